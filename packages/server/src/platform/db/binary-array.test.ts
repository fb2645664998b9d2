import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import pg from 'pg'
import { missingBackend } from '../../../../../test/servers/missing-backend.ts'
import { missingPostgres, type Postgres, startPostgres } from '../../../../../test/servers/postgres.ts'
import { binaryArray } from './binary-array.ts'

let server: Promise<Postgres> | undefined
after(async () => (await server)?.stop())

const cases = [
  { type: 'text', values: ['', 'plain', '"quoted" {and} \\ back', 'Änderung 变更 🔧', null, 'null'] },
  {
    type: 'int8',
    values: [0, -1, 1, 2 ** 31, -(2 ** 31) - 1, 2 ** 32, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, null],
  },
  { type: 'int2', values: [0, -32_768, 32_767, null] },
  { type: 'float8', values: [0, -0.5, 1e300, null] },
  { type: 'bytea', values: [Buffer.alloc(0), Buffer.from([0, 255, 34, 92]), null] },
  { type: 'text', values: [] },
] as const

test('PostgreSQL reads back what is written as a binary array', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  server ??= startPostgres()
  const client = new pg.Client({ connectionString: (await server).url })
  await client.connect()
  try {
    for (const { type, values } of cases) {
      const { rows } = await client.query(`select v from unnest($1::${type}[]) with ordinality as u(v, n) order by n`, [
        binaryArray(type, values),
      ])
      assert.deepEqual(
        rows.map((row: { v: unknown }) => (type === 'int8' && row.v !== null ? Number(row.v) : row.v)),
        [...values],
      )
    }
  } finally {
    await client.end()
  }
})

test('a value of another type is refused, and a type that is not known is left to the driver', () => {
  assert.throws(() => binaryArray('int8', [1.5]), /1.5 is no whole number/)
  assert.throws(() => binaryArray('text', [1]), /a number is no text/)
  assert.throws(() => binaryArray('int8', ['1']), /a string is no int8/)
  assert.equal(binaryArray('jsonb', ['{}']), undefined)
})
