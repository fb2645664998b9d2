/** That tasks with a key are found by its index, however many others there are: asked of the planner, because time says little. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createQueryId, type RootOperationNode } from 'kysely'
import { missingBackend } from '../../../../../test/servers/missing-backend.ts'
import { missingPostgres } from '../../../../../test/servers/postgres.ts'
import { onPostgres, onSqlite } from '../../../../../test/servers/stores.ts'
import { type Database, inProject, type Tx } from '../../platform/db/index.ts'
import { uuidv7 } from '../../platform/ids.ts'
import { listReplayable, listTasks, type Wanted } from './store.ts'

const A = '0190a000-0000-7000-8000-00000000000a'
const T = 1_800_000_000_000
const TASKS = 6_000
/** One in a thousand has keys. */
const rows = Array.from({ length: TASKS }, (_, n) => {
  const id = uuidv7(T + n)
  return {
    id,
    project_id: A,
    number: n + 1,
    kind: 'task',
    handler: 'noop',
    state: n % 2 === 0 ? 'completed' : 'failed',
    error_code: n % 2 === 0 ? null : 'TASK_FAILED',
    root_run_id: id,
    trigger: '{}',
    trace_id: '0',
    queue: 'api',
    priority: 0,
    run_at: T,
    max_attempts: 1,
    timeout_ms: 1_000,
    concurrency_key: n % 1_000 === 0 ? 'customer 17' : null,
    unique_key: n % 1_000 === 0 ? 'night 17' : null,
    created_at: T + n,
    updated_at: T + n,
  }
})

interface Said {
  readonly sql: string
  readonly parameters: readonly unknown[]
}

/** What is asked of the database for a page of such tasks and for their count. */
async function asked(db: Database, want: Wanted): Promise<Said[]> {
  const said: Said[] = []
  await inProject(A, () =>
    db.read(async (tx) => {
      const nodes: RootOperationNode[] = []
      const listening: Tx = {
        ...tx,
        db: tx.db.withPlugin({
          transformQuery({ node }) {
            nodes.push(node)
            return node
          },
          transformResult: async ({ result }) => result,
        }),
      }
      const page = await listTasks(listening, want, { limit: 4, skip: 0, before: 5_500 })
      assert.deepEqual(
        page.map(({ number }) => number),
        [5_001, 4_001, 3_001, 2_001],
      )
      assert.equal((await listReplayable(listening, want, 100)).length, 6)
      for (const node of nodes) said.push(tx.db.getExecutor().compileQuery(node, createQueryId()))
    }),
  )
  assert.equal(said.length, 2)
  return said
}

async function fill(db: Database): Promise<void> {
  await inProject(A, () =>
    db.write((tx) => tx.insert('projects', [{ id: A, slug: 'p', name: 'Test', policy: '{}', created_at: 0 }])),
  )
  await db.prepareMonths(T)
  await inProject(A, () => db.write((tx) => tx.insert('runs', rows)))
}

const KEYS: { wanted: Wanted; column: string; index: string }[] = [
  { wanted: { concurrency_key: 'customer 17' }, column: 'concurrency_key', index: 'runs_keyed' },
  { wanted: { unique_key: 'night 17' }, column: 'unique_key', index: 'runs_unique_keyed' },
]

test('SQLite: tasks with a key are found by its index, in the order of lists', async () => {
  await onSqlite(T, async (db) => {
    await fill(db)
    for (const { wanted, column, index } of KEYS)
      for (const { sql, parameters } of await asked(db, wanted)) {
        const plan = await inProject(A, () =>
          // Of this file: what the store asked with.
          db.read((tx) => tx.sql<{ detail: string }>(`explain query plan ${sql}`, parameters as never)),
        )
        const details = plan.map((one) => one.detail).join('\n')
        assert.match(details, new RegExp(`SEARCH runs USING INDEX ${index} \\(project_id=\\? AND ${column}=\\?`))
        assert.doesNotMatch(details, /SCAN runs\b|TEMP B-TREE/)
      }
  })
})

test('PostgreSQL: tasks with a key are found by its index, also behind row-level security', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(T, async (db, client) => {
    await fill(db)
    const said = await Promise.all(KEYS.map(async ({ wanted, column }) => ({ column, all: await asked(db, wanted) })))
    await client.query('analyze runs')
    await client.query(`set role writ_app; set writ.project = '${A}'`)
    for (const { column, all } of said)
      for (const { sql, parameters } of all) {
        const { rows: told } = await client.query<{ 'QUERY PLAN': [{ Plan: { 'Shared Hit Blocks': number } }] }>(
          `explain (analyze, buffers, format json) ${sql}`,
          [...parameters],
        )
        const plan = told[0]!['QUERY PLAN'][0]
        assert.match(JSON.stringify(plan), new RegExp(`"Index Cond":"[^"]*${column}`))
        // All of the tasks are some hundred blocks.
        assert.ok(plan.Plan['Shared Hit Blocks'] < 40, JSON.stringify(plan))
      }
  })
})
