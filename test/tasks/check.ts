/** The invariants of tasks, read from the database of a server that may be running. */
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { journalOfRows } from '../../packages/server/src/kinds/task/record.ts'
import * as store from '../../packages/server/src/kinds/task/store.ts'
import { type CostRow, listCosts } from '../../packages/server/src/kinds/task/store-cost.ts'
import { type Database, inProject } from '../../packages/server/src/platform/db/index.ts'

interface Said {
  readonly event_type: string
  readonly details: Record<string, unknown> | null
}

const SETTLED = /^run\.(completed|failed|timeout|cancelled)$/
const PAGE = 1_000

/**
 * Every settled task has one leaf of its settling, which names the state and the digest of the journal that its rows give;
 * every other task is in the queue; keys are held by live tasks only. Answers the ids of the settled ones.
 */
export async function checkTasks(
  db: Database,
  project: string,
  events: ReadonlyMap<string, readonly Said[]>,
): Promise<string[]> {
  const settled: string[] = []
  for (let before: number | undefined; ; ) {
    const { rows, attempts, costs } = await inProject(project, () =>
      db.read(async (tx) => {
        const page = await store.listTasks(tx, {}, { limit: PAGE, skip: 0, before })
        const ids = page.filter((row) => row.attempt > 0).map((row) => row.id)
        const every = page.map((row) => row.id)
        return {
          rows: page,
          attempts: Map.groupBy(await store.listAttempts(tx, ids), (one) => one.run_id),
          costs: Map.groupBy(await listCosts(tx, every), (one) => one.run_id),
        }
      }),
    )
    for (const row of rows) {
      const kept = attempts.get(row.id) ?? []
      if (checkTask(row, kept, costs.get(row.id) ?? [], events.get(row.id) ?? [])) settled.push(row.id)
    }
    before = rows.at(-1)?.number
    if (rows.length < PAGE) break
  }
  const done = new Set(settled)
  const keys = await inProject(project, () =>
    db.read((tx) => tx.db.selectFrom('unique_keys').select('run_id').execute()),
  )
  assert.deepEqual(
    keys.filter((key) => done.has(key.run_id)),
    [],
    'unique keys of settled tasks',
  )
  return settled
}

/** Whether it is settled. */
function checkTask(
  row: store.TaskRow,
  kept: readonly store.AttemptRow[],
  costs: readonly CostRow[],
  said: readonly Said[],
): boolean {
  const leaves = said.filter((event) => SETTLED.test(event.event_type))
  const what = `task ${row.number} (${row.id}), which is ${row.state},`
  const nanos = costs.reduce((sum, one) => sum + one.nanos, 0)
  assert.equal(row.cost_usd, costs.length === 0 ? null : nanos / 1e9, `${what} cost what its attempts did`)
  if (row.state === 'pending') {
    assert.equal(leaves.length, 0, `${what} has a leaf of its settling`)
    assert.notEqual(row.deliveries, null, `${what} is not in the queue`)
    return false
  }
  assert.deepEqual(
    leaves.map((event) => [event.event_type, event.details?.journal_sha256, event.details?.cost_usd ?? null]),
    [[`run.${row.state}`, row.journal_sha256, row.cost_usd]],
    `${what} has exactly its leaf`,
  )
  assert.equal(row.deliveries, null, `${what} is in the queue`)
  assert.equal(
    row.journal_sha256,
    hash('sha256', journalOfRows({ ...row, completed_at: row.completed_at! }, kept, costs)),
    `${what} has the journal that its leaf commits to`,
  )
  return true
}
