import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import type { Param } from './database.ts'
import { insertTogether } from './sqlite-rows.ts'

const texts = [
  '',
  'plain',
  '"quoted" \\ / \b\f\n\r\t',
  'Änderung 变更 🔧',
  '\u0001\u001f\u007f\u2028\ufffe',
  'null',
  '12',
  '{"a":[1]}',
  '\\u0041 \\n',
]
const numbers = [0, -1, 2 ** 31, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, null]

const schema = (name: string) => `create table ${name} (id text primary key, n integer, r real, t text) strict`
const columns = 'id, n, r, t, typeof(n), typeof(r), typeof(t), hex(t)'

test('rows that are inserted together are the rows that one by one would be', () => {
  const db = new DatabaseSync(':memory:')
  db.exec(`${schema('one')}; ${schema('many')}`)
  const each = db.prepare('insert into one values (?, ?, ?, ?)')
  let made = 0
  for (const [n, t, r] of [
    [numbers, texts, [1]],
    [numbers, ['alike "变"'], [0.5]],
    [[7], texts, [null, 3]],
    [[null], [null], [1e300]],
    [numbers, [null, ...texts], [0.1]],
  ] as const) {
    const rows = Array.from({ length: 40 }, (_, i) => ({
      id: `${String(made++).padStart(4, '0')}`,
      n: n[i % n.length]!,
      r: r[i % r.length]!,
      t: t[i % t.length]!,
    }))
    for (const row of rows) each.run(row.id, row.n, row.r, row.t)
    const { sql, params } = insertTogether('many', rows)!
    db.prepare(sql).run(...(params as (string | number | null)[]))
  }
  const read = (table: string) => db.prepare(`select ${columns} from ${table} order by rowid`).all()
  assert.deepEqual(read('many'), read('one'))
  assert.equal(read('many').length, made)
  db.close()
})

test('what JSON would not give back exactly is inserted row by row', () => {
  const rows = (value: Param, count = 40) =>
    Array.from({ length: count }, (_, i) => ({ id: `${i}`, t: i === 7 ? value : 'a' }))
  assert.notEqual(insertTogether('t', rows('b')), undefined)
  for (const value of ['\u0000', 'a\u0000b', '\ud83d', 'a\udd27', 0.5, 2 ** 53, Number.NaN, Buffer.from('b')])
    assert.equal(insertTogether('t', rows(value)), undefined, String(value))
  assert.equal(insertTogether('t', rows('b', 8)), undefined)
})
