/** That reading on from a place costs what is behind it, and not what is before: counted in blocks, because time says little. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { missingPostgres } from '../../../../test/servers/postgres.ts'
import { onPostgres, onSqlite } from '../../../../test/servers/stores.ts'
import { type Database, inProject, type Tx } from '../platform/db/index.ts'
import { listEndsBehind, listEventsBehind, oldestBehind } from './store.ts'

const T = Date.UTC(2026, 0, 1)
const A = '0190a000-0000-7000-8000-000000000001'
const APPENDS = 20_000

interface Said {
  readonly text: string
  readonly params: readonly unknown[]
}

/** The statements of both readers, each from a place near the end of the log, and what they answer. */
async function read(db: Database) {
  const said: Said[] = []
  const found = await inProject(A, () =>
    db.read(async (tx) => {
      const listening: Tx = {
        ...tx,
        sql: (text, params = []) => {
          said.push({ text, params })
          return tx.sql(text, params)
        },
      }
      const after = { shard: 0, index: 3 * APPENDS - 5 }
      const events = await listEventsBehind(listening, after, 10)
      return {
        events: events.map((one) => one.position),
        ends: await listEndsBehind(listening, after),
        oldest: [await oldestBehind(listening, after), await oldestBehind(tx, { shard: 0, index: 3 * APPENDS - 1 })],
      }
    }),
  )
  return { said, ...found }
}

// As text on both databases: UUIDs of one moment, which differ in their last digits.
const id = (n: string) =>
  `'${T.toString(16)
    .padStart(12, '0')
    .replace(/^(.{8})/, '$1-')}-7000-8000-' || (100000000000 + ${n})`
// Appends of three events each, of which the last append alone tells of an end.
const appends = (numbers: string) =>
  `insert into audit_appends (project_id, first_id, last_id, entries, shard, log_index, ends)
   select '${A}', ${id('n * 3')}, ${id('n * 3 + 2')}, 3, 0, n * 3, case when n = ${APPENDS - 1} then 1 else 0 end from ${numbers}`
const events = (numbers: string, empty: string) =>
  `insert into audit_events (project_id, id, event_type, timestamp, actor_kind, resource_id, success, event, salt, entry, append, place)
   select '${A}', ${id('n')}, case when n = ${3 * APPENDS - 1} then 'run.failed' else 'run.started' end, ${T}, 'system', 'r' || n,
     1, '{}', ${empty}, ${empty}, (select min(seq) from audit_appends) + n / 3, n % 3 from ${numbers}`

function check({ events, ends, oldest }: Awaited<ReturnType<typeof read>>) {
  const last = 3 * APPENDS - 1
  assert.deepEqual(
    events,
    [last - 3, last - 2, last - 1, last].map((index) => ({ shard: 0, index })),
  )
  assert.deepEqual(oldest, [T, Number.POSITIVE_INFINITY])
  assert.deepEqual(ends, { to: { shard: 0, index: last }, entries: 6, runs: [`r${last}`], more: false })
}

const addProject = (db: Database) =>
  inProject(A, () =>
    db.write((tx) => tx.insert('projects', [{ id: A, slug: 'p', name: 'Test', policy: '{}', created_at: 0 }])),
  )

test('SQLite: what is behind a place is found by its index', async () => {
  await onSqlite(T, async (db) => {
    await addProject(db)
    const numbers = (count: number) =>
      `(with recursive numbers(n) as (select 0 union all select n + 1 from numbers where n < ${count - 1}) select n from numbers)`
    await inProject(A, () =>
      db.write(async (tx) => {
        await tx.sql(appends(numbers(APPENDS)))
        await tx.sql(events(numbers(3 * APPENDS), "x''"))
      }),
    )
    const all = await read(db)
    check(all)
    for (const { text, params } of all.said) {
      const plan = await inProject(A, () =>
        // Of this file: what the reader asked with.
        db.read((tx) => tx.sql<{ detail: string }>(`explain query plan ${text}`, params as never)),
      )
      const details = plan.map((one) => one.detail).join('\n')
      assert.match(
        details,
        /SEARCH (c USING COVERING INDEX .*log_index<\?|audit_appends USING INDEX (.*\(shard,log_index\)>|audit_appends_pending )|e USING INDEX .*id>\? AND id<\?)/,
      )
      assert.doesNotMatch(details, /SCAN (c|e|audit_appends)\b/)
    }
  })
})

test('PostgreSQL: what is behind a place is found by its index, also behind row-level security', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(T, async (db, client) => {
    await addProject(db)
    await db.prepareMonths(T)
    await client.query(appends(`generate_series(0, ${APPENDS - 1}) n`))
    await client.query(events(`generate_series(0, ${3 * APPENDS - 1}) n`, "''"))
    const all = await read(db)
    check(all)
    await client.query('analyze audit_appends; analyze audit_events')
    await client.query(`set role writ_app; set writ.project = '${A}'; set plan_cache_mode = force_generic_plan`)
    for (const [i, { text, params }] of all.said.entries()) {
      await client.query(`prepare behind_${i} as ${text.replace(/\?(\d+)/g, '$$$1')}`)
      const values = params.map((one) =>
        Array.isArray(one) ? `'{${one.join()}}'` : typeof one === 'number' ? one : `'${one}'`,
      )
      const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: { 'Shared Hit Blocks': number } }] }>(
        `explain (analyze, buffers, format json) execute behind_${i}(${values})`,
      )
      const plan = rows[0]!['QUERY PLAN'][0]
      // The whole log is some hundred blocks of appends and thousands of events.
      assert.ok(plan.Plan['Shared Hit Blocks'] < 60, JSON.stringify(plan))
    }
  })
})
