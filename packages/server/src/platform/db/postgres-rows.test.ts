import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import pg from 'pg'
import { missingBackend } from '../../../../../test/servers/missing-backend.ts'
import { missingPostgres, type Postgres, startPostgres } from '../../../../../test/servers/postgres.ts'
import { type ColumnTypes, insertOf, updateOf } from './postgres-rows.ts'

const skip = missingBackend('PostgreSQL', missingPostgres())
let server: Promise<Postgres> | undefined
after(async () => (await server)?.stop())

const newColumns = (): ColumnTypes =>
  new Map([
    [
      'things',
      new Map([
        ['id', 'text'],
        ['project_id', 'text'],
        ['size', 'int8'],
        ['small', 'int2'],
        ['cost', 'float8'],
        ['note', 'text'],
        ['bytes', 'bytea'],
        ['awaited', 'int8'],
      ]),
    ],
  ])

type Thing = {
  readonly id: string
  readonly project_id: string
  readonly size: number
  readonly small: number | null
  readonly cost: number | null
  readonly note: string | null
  readonly bytes: Uint8Array | null
  readonly awaited: number
}

/** Rows with every column apart, alike, or alike but for the last. */
const things = (count: number, how: 'apart' | 'alike' | 'last'): Thing[] => {
  const same = Buffer.from('same')
  return Array.from({ length: count }, (_, i) => {
    const one = how === 'apart' ? i : how === 'last' && i === count - 1 ? 1 : 0
    return {
      id: `${how}-${String(i).padStart(3, '0')}`,
      project_id: 'p',
      size: 2 ** 40 + one,
      small: one === 0 ? null : one % 100,
      cost: one === 0 ? 0.5 : null,
      note: one === 0 ? '"变更" {a,\\b}' : null,
      bytes: one === 0 ? same : Buffer.from([one % 256]),
      awaited: one,
    }
  })
}

test('rows are written and changed as they are, whichever of their columns are alike', { skip }, async () => {
  server ??= startPostgres()
  const client = new pg.Client({ connectionString: (await server).url })
  await client.connect()
  const run = ({ statement, values }: { statement: { text: string }; values: readonly unknown[] }) =>
    client.query<{ updated: string; told: string }>(statement.text, [...values])
  const stored = async () =>
    (
      await client.query<Thing>(
        'select id, project_id, size::float8, small, cost, note, bytes, awaited::float8 from things order by id',
      )
    ).rows
  try {
    await client.query(
      'create temporary table things (id text primary key, project_id text, size int8, small int2, cost float8, note text, bytes bytea, awaited int8)',
    )
    for (const count of [1, 2, 3, 15, 16, 17, 100])
      for (const how of ['apart', 'alike', 'last'] as const) {
        const columns = newColumns()
        const rows = things(count, how)
        await client.query('truncate things')
        await run(insertOf(columns, 'things', rows))
        assert.deepEqual(await stored(), rows, `${count} rows, ${how}`)
        // The next ones meet the statements of those before, which may not suit them.
        for (const other of ['alike', 'last', 'apart'] as const) {
          const changed = things(count, other).map((thing, i) => ({ ...thing, id: rows[i]!.id }))
          const found = await run(
            updateOf(columns, {
              table: 'things',
              project: 'p',
              key: 'id',
              rows: changed.map(({ project_id: _, ...one }) => ({ ...one })),
              when: 'size > 0',
              returning: 'awaited',
            }),
          )
          assert.deepEqual(
            found.rows.map(({ updated, told }) => [updated, Number(told)]).toSorted(),
            changed.map(({ id, awaited }) => [id, awaited]),
          )
          assert.deepEqual(await stored(), changed, `${count} rows, ${how}, then ${other}`)
        }
      }
  } finally {
    await client.end()
  }
})

test('there are few statements, whatever is alike', () => {
  const columns = newColumns()
  const texts = new Set<string>()
  for (let mask = 0; mask < 2 ** 7; mask++)
    for (const count of [1, 2, 15, 16, 40]) {
      const rows = Array.from({ length: count }, (_, i) =>
        Object.fromEntries(
          ['id', 'project_id', 'size', 'small', 'cost', 'note', 'awaited'].map((key, k) => [
            key,
            mask & (1 << k) ? 1 : i,
          ]),
        ),
      ).map((row) => ({ ...row, id: `${row.id}`, project_id: `${row.project_id}`, note: `${row.note}` }))
      const { statement, values } = insertOf(columns, 'things', rows)
      assert.equal(values.length, 7)
      texts.add(statement.text)
    }
  // Eight for many rows, one for a single row, one that suits all others.
  assert.ok(texts.size <= 10, `${texts.size} statements`)
})

test('many rows that are alike in everything are as many rows', { skip }, async () => {
  server ??= startPostgres()
  const client = new pg.Client({ connectionString: (await server).url })
  await client.connect()
  try {
    await client.query('create temporary table things (project_id text, size int8)')
    const { statement, values } = insertOf(
      newColumns(),
      'things',
      Array.from({ length: 20 }, () => ({ project_id: 'p', size: 1 })),
    )
    await client.query(statement.text, [...values])
    const { rows } = await client.query('select count(*)::int as n from things where size = 1')
    assert.deepEqual(rows, [{ n: 20 }])
  } finally {
    await client.end()
  }
})

test('a column that is not there is named', () => {
  assert.throws(() => insertOf(newColumns(), 'things', [{ colour: 'red' }]), /things has no column colour/)
})
