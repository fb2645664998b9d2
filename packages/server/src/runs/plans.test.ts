/** That what is compared with the ids of runs has an index that serves it: asked of the planner, because time says little. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type pg from 'pg'
import { type Asked, doneOnPostgres, notingIn } from '../../../../test/servers/listening.ts'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { missingPostgres } from '../../../../test/servers/postgres.ts'
import { onPostgres } from '../../../../test/servers/stores.ts'
import { lockDroppable } from '../kinds/task/store-retention.ts'
import { type Database, inProject, type Tx } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { findUntoldEnd } from './store-untold.ts'

const A = '0190a000-0000-7000-8000-00000000000a'
const T = 1_800_000_000_000
const RUNS = 6_000
const ids = Array.from({ length: RUNS }, (_, n) => uuidv7(T + n))

/** Tasks of which each but the first was dispatched by the one before, and an event of the creation and one of the end of each. */
async function fill(db: Database, client: pg.Client): Promise<void> {
  await inProject(A, () =>
    db.write((tx) => tx.insert('projects', [{ id: A, slug: 'p', name: 'Test', policy: '{}', created_at: 0 }])),
  )
  await db.prepareMonths(T)
  await client.query(
    `insert into runs (project_id, id, number, kind, handler, state, parent_run_id, root_run_id, trigger, trace_id, created_at, updated_at, completed_at)
     select $1, id, n, 'task', 'noop', 'completed', lag(id) over (order by n), id, '{}', '0', $2::bigint, $2::bigint, $2::bigint + n
     from unnest($3::text[]) with ordinality as all_ids(id, n)`,
    [A, T, ids],
  )
  await client.query(
    `insert into audit_events (project_id, id, event_type, timestamp, actor_kind, resource_id, success, event, salt, entry, append, place)
     select $1, id || t, 'run.' || t, $2, 'system', id, 1, '{}', '', '', 1, row_number() over ()
     from unnest($3::text[]) id, unnest(array['created', 'completed']) t`,
    [A, T, ids],
  )
  await client.query('analyze runs; analyze audit_events; analyze dependencies')
}

async function blocksOf(client: pg.Client, db: Database, ask: (tx: Tx) => Promise<unknown>): Promise<number> {
  const said: Asked[] = []
  await inProject(A, () => db.write((tx) => ask(notingIn(tx, said))))
  assert.equal(said.length, 1)
  const [{ text, params }] = said as [Asked]
  return (await doneOnPostgres(client, { sql: text, parameters: params })).blocks
}

test('PostgreSQL: parents and children of tasks, and the events about runs, are found by their indexes', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(T, async (db, client) => {
    await fill(db, client)
    await client.query(`set role writ_app; set writ.project = '${A}'`)
    // All of them are some hundred blocks; the ends are looked for among the runs.
    const [{ blocks }] = (
      await client.query<{ blocks: number }>(
        `select sum(pg_relation_size(inhrelid) / 8192)::int as blocks from pg_inherits where inhparent = 'runs'::regclass`,
      )
    ).rows as [{ blocks: number }]
    const dropping = await blocksOf(client, db, (tx) => lockDroppable(tx, ids.slice(3_000, 3_003)))
    assert.ok(dropping < 60, `${dropping} blocks`)
    const looking = await blocksOf(client, db, (tx) => findUntoldEnd(tx, T + RUNS - 10))
    assert.ok(looking < blocks + 100, `${looking} blocks, runs are ${blocks}`)
  })
})
