import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEvent, Token } from '@writ/api'
import { eventColumns, tokenColumns } from './columns.ts'
import { layTable } from './table.ts'
import { bytesText, fitText, padText, safeLine, usdText } from './text.ts'

const plain = { width: undefined, paint: (text: string) => text }
const columns = [
  { head: '#', value: (r: { n: number }) => r.n, right: true as const },
  { head: 'TITLE', value: (r: { title: string }) => r.title, shrink: true as const },
  { head: 'STATUS', value: () => 'done' },
]

test('wide characters take two columns', () => {
  const rows = [
    { n: 1, title: '更换交换机' },
    { n: 12, title: 'abc' },
  ]
  assert.deepEqual(layTable(rows, columns, plain), [
    ' #  TITLE       STATUS',
    ' 1  更换交换机  done',
    '12  abc         done',
  ])
})

test('a narrow terminal shortens what may shrink, at a whole character', () => {
  const rows = [{ n: 1, title: '更换主交换机并且验证' }]
  assert.deepEqual(layTable(rows, columns, { ...plain, width: 20 }), ['#  TITLE      STATUS', '1  更换主交…  done'])
})

test('a terminal too narrow for all columns loses what can be spared, and only then', () => {
  const rows = [{ n: 1, title: 'Replace the main switch' }]
  const more = [
    ...columns,
    { head: 'BY', value: () => 'li.na', spare: true as const },
    { head: 'CHANGED', value: () => '2026-11-23 08:18:50Z', spare: true as const },
  ]
  const laid = (width: number) => layTable(rows, more, { ...plain, width })[1]
  assert.equal(laid(56), '1  Replace the mai…  done    li.na  2026-11-23 08:18:50Z')
  assert.equal(laid(55), '1  Replace the main switch  done    li.na')
  assert.equal(laid(25), '1  Replace the m…  done')
  assert.equal(laid(17), '1  Replace…  done')
})

test('a column that says nothing gives way before what says something is shortened', () => {
  const rows = [{ n: 1, title: '安装工厂交换机' }]
  const more = [...columns, { head: 'ASSET', value: () => null }]
  const laid = (width: number) => layTable(rows, more, { ...plain, width })
  assert.deepEqual(laid(34), ['#  TITLE           STATUS  ASSET', '1  安装工厂交换机  done'])
  assert.deepEqual(laid(26), ['#  TITLE           STATUS', '1  安装工厂交换机  done'])
})

test('what people look at most fits into 80 columns', () => {
  const lines = layTable<AuditEvent>([event], eventColumns, { ...plain, width: 80 })
  assert.deepEqual(lines, [
    'ENTRY  TIME                  EVENT              WHO       ACTION',
    '   22  2026-11-23 08:18:50Z  artifact.uploaded  employee  Uploaded artifact 10',
  ])
  const [, next] = layTable<AuditEvent>([{ ...event, shard: 1 }], eventColumns, { ...plain, width: 80 })
  assert.match(next!, /^ 1\/22 {2}2026-11-23/)
  const [, row] = layTable<Token>([token], tokenColumns, { ...plain, width: 80 })
  assert.equal(row, '01a21ad8-f150-759f-9ea6-67e925d6502d  nightly u…  employee  2027-02-25 02:32:34Z')
})

const event: AuditEvent = {
  id: '01a21ad8-f150-759f-9ea6-67e925d6502e',
  shard: 0,
  event_type: 'artifact.uploaded',
  timestamp: '2026-11-23T08:18:50Z',
  actor_id: '01a21ad8-f150-759f-9ea6-67e925d6502f',
  actor_number: 2,
  actor_username: 'employee',
  resource_type: 'artifact',
  resource_id: '01a21ad8-f150-759f-9ea6-67e925d65030',
  resource_number: null,
  action: 'Uploaded artifact 10',
  details: null,
  ip_address: null,
  user_agent: null,
  success: true,
  error_message: null,
  log_index: 22,
}
const token: Token = {
  id: '01a21ad8-f150-759f-9ea6-67e925d6502d',
  name: 'nightly upload',
  prefix: 'writ_Uc1DcJ2rzm2G',
  user_id: '01a21ad8-f150-759f-9ea6-67e925d6502f',
  role: 'employee',
  scopes: ['artifacts.upload', 'runs.get'],
  ip_ranges: [],
  project: 'default',
  created_at: '2026-11-27T02:32:34Z',
  expires_at: '2027-02-25T02:32:34Z',
  last_used_at: null,
  revoked_at: null,
}

test('a row cannot forge a line or a colour', () => {
  assert.deepEqual(layTable([{ n: 1, title: 'a\nb\u001b[31mc\u202ed' }], columns, plain).slice(1), [
    '1  a b\ufffd[31mc[U+202E]d  done',
  ])
  assert.equal(safeLine('x\r\u009by'), 'x\ufffd\ufffdy')
})

test('fitting and padding count columns, not characters', () => {
  assert.equal(fitText('交换机', 5), '交换…')
  assert.equal(fitText('👩‍👩‍👧‍👧abc', 5), '👩‍👩‍👧‍👧abc')
  assert.equal(padText('交', 4), '交  ')
})

test('bytes are told in binary units', () => {
  assert.deepEqual([0, 1023, 1536, 5 * 1024 ** 3].map(bytesText), ['0 B', '1023 B', '1.5 KiB', '5.0 GiB'])
})

test('money is told to its last digit, and not at all where nobody said', () => {
  assert.deepEqual([null, 0, 1_234.5, 0.000_000_15].map(usdText), ['', '0.00 USD', '1234.50 USD', '0.00000015 USD'])
})
