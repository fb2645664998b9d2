/** That a list which no index serves keeps nobody waiting on SQLite, and finds what it would have found at once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listeningOn, planOnSqlite } from '../../../../../test/servers/listening.ts'
import { onSqlite } from '../../../../../test/servers/stores.ts'
import { type Database, inProject } from '../../platform/db/index.ts'
import { uuidv7 } from '../../platform/ids.ts'
import { countTasks, listTasks, type Wanted } from './store.ts'

const A = '0190a000-0000-7000-8000-00000000000a'
const T = 1_800_000_000_000
/** Two and a half stretches. */
const TASKS = 25_000
const RARE = new Set([3, 9_999, 10_000, 10_001, 24_000])
/** Failed for good, an hour and more ago. */
const DEAD = new Set([5, 20_001])
/** Waits, and runs. */
const WAITS = 12_345
const RUNS = 7

/** What one that is none of these dispatched. */
const parent = uuidv7(T - 1)
const CHILD = 400

const rows = Array.from({ length: TASKS }, (_, n) => {
  const number = n + 1
  const id = uuidv7(T + n)
  const isOpen = number === WAITS || number === RUNS
  return {
    id,
    project_id: A,
    number,
    kind: 'task',
    handler: RARE.has(number) ? 'rare' : 'noop',
    state: isOpen ? 'pending' : DEAD.has(number) ? 'failed' : 'completed',
    error_code: DEAD.has(number) ? 'TASK_FAILED' : null,
    dead_at: DEAD.has(number) ? T + n : null,
    parent_run_id: number === CHILD ? parent : null,
    root_run_id: id,
    trigger: '{}',
    trace_id: '0',
    queue: 'api',
    priority: 0,
    run_at: T,
    max_attempts: 1,
    timeout_ms: 1_000,
    created_at: T + n,
    updated_at: T + n,
  }
})

const fill = (db: Database) =>
  inProject(A, () =>
    db.write(async (tx) => {
      await tx.insert('projects', [{ id: A, slug: 'p', name: 'Test', policy: '{}', created_at: 0 }])
      await tx.insert('runs', rows)
      const place = (number: number, lease_until: number | null) => ({
        run_id: rows[number - 1]!.id,
        project_id: A,
        run_at: T,
        queue: 'api',
        handler: 'noop',
        lease_until,
      })
      await tx.insert('queue', [place(WAITS, null), place(RUNS, T + 30_000)])
    }),
  )

/** A page and its count; how often others were heard meanwhile, and what was asked for the page. */
async function look(db: Database, want: Wanted, page: { limit: number; skip?: number; before?: number }) {
  let turns = 0
  let looking = true
  const others = (async () => {
    for (; looking; turns++) await new Promise((turn) => setImmediate(turn))
  })()
  const found = await inProject(A, () =>
    db.read(async (tx) => {
      const listening = listeningOn(tx)
      const numbers = (await listTasks(listening.tx, want, { skip: 0, ...page })).map(({ number }) => number)
      const asked = listening.said()
      const plan = (await Promise.all(asked.map((one) => planOnSqlite(tx, one)))).flat()
      return { numbers, asked: asked.length, plan, count: await countTasks(tx, want) }
    }),
  )
  looking = false
  await others
  return { ...found, turns }
}

test('what no index finds is looked for in stretches, between which others are heard', () =>
  onSqlite(T, async (db) => {
    await fill(db)
    const all = await look(db, { handler: 'rare' }, { limit: 10 })
    assert.deepEqual([all.numbers, all.count], [[24_000, 10_001, 10_000, 9_999, 3], 5])
    // Three stretches of the list, three of the count.
    assert.ok(all.turns >= 6, String(all.turns))
    const page = await look(db, { handler: 'rare' }, { limit: 2, before: 24_000 })
    assert.deepEqual(page.numbers, [10_001, 10_000])
    const skipped = await look(db, { handler: 'rare' }, { limit: 2, skip: 2 })
    assert.deepEqual(skipped.numbers, [10_000, 9_999])
    // Of a period its numbers are looked through, and no others: this one ends long before the newest.
    const DAY_MS = 86_400_000
    const period = { handler: 'rare', created_after: T + 1_000, created_before: T + 10_000 }
    const within = await look(db, period, { limit: 10 })
    assert.deepEqual([within.numbers, within.count], [[10_000, 9_999], 2])
    const never = { handler: 'rare', created_after: T + DAY_MS, created_before: T + 2 * DAY_MS }
    const nothing = await look(db, never, { limit: 10 })
    assert.deepEqual([nothing.numbers, nothing.count, nothing.asked], [[], 0, 2])
    // What is in the newest stretch costs one look: for the newest number, then for the page.
    assert.equal((await look(db, { handler: 'noop' }, { limit: 50 })).asked, 2)
    assert.deepEqual((await look(db, { handler: 'rare', state: 'completed' }, { limit: 1, before: 3 })).numbers, [])
  }))

test('dead letters, and the few that wait or run, are found without looking through all', () =>
  onSqlite(T, async (db) => {
    await fill(db)
    for (const [want, numbers] of [
      [{ dead: true }, [20_001, 5]],
      [{ dead: true, queue: 'api' }, [20_001, 5]],
      [{ state: 'pending' }, [WAITS]],
      [{ state: 'running' }, [RUNS]],
      [{ state: 'running', handler: 'rare' }, []],
      [{ parent }, [CHILD]],
    ] as const) {
      const found = await look(db, want, { limit: 10 })
      assert.deepEqual([found.numbers, found.count], [numbers, numbers.length], JSON.stringify(want))
      const through = found.plan.filter((detail) => /SCAN runs\b|runs_number \(project_id=\?\)/.test(detail))
      assert.deepEqual(through, [], JSON.stringify(want))
    }
  }))
