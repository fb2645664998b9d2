import assert from 'node:assert/strict'
import { test } from 'node:test'
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

test('a row cannot forge a line or a colour', () => {
  assert.deepEqual(layTable([{ n: 1, title: 'a\nb\u001b[31mc\u202ed' }], columns, plain).slice(1), [
    '1  a b\ufffd[31mc\ufffdd  done',
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
