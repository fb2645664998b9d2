import { type Database, inProject, type Tx } from '../../platform/db/index.ts'
import type { Queue } from '../../queue/index.ts'
import { parseLimits } from './key-limit.ts'
import { updateTask } from './store.ts'
import * as held from './store-held.ts'

/** Tasks and keys that one transaction looks at. */
const PAGE = 200

interface ClockChange {
  /** The time that would be, if nobody had set the clock; `to` itself where nothing is known of that. */
  readonly from: number
  readonly to: number
}

/**
 * After the clock was set, in all projects: a try that is to come and what is debounced wait for their span at most, what is held and was due is due, and the
 * bucket of a key is at most empty. A time that somebody named (`run_at`, the end of a pause) is that time. Nothing here needs to know
 * by how much the clock went back, but for buckets of keys of which no rate is known: so each process that sees it may do it, and one
 * that begins after it, which knows nothing.
 */
export async function keepSpans(
  on: { readonly db: Database; readonly queue: Queue },
  change: ClockChange,
): Promise<void> {
  for (const { project_id } of await held.listAheadProjects(on.db, change.to)) {
    const write = <T>(work: (tx: Tx) => Promise<T>) => inProject(project_id, () => on.db.write(work))
    if (change.to < change.from) await write((tx) => held.keepDueHeld(tx, change))
    const page = async (work: (tx: Tx, after: string) => Promise<string | undefined>) => {
      for (let after: string | undefined = ''; after !== undefined; ) {
        const from: string = after
        after = await write((tx) => work(tx, from))
      }
    }
    await page((tx, after) => bringForward(tx, on.queue, change.to, after))
    // The last: it has what may start admitted now.
    await page((tx, after) => capKeys(tx, change, after))
  }
}

/** Answers behind which there may be more. */
async function bringForward(tx: Tx, queue: Queue, now: number, after: string): Promise<string | undefined> {
  const late = await held.listLateWaits(tx, now, after, PAGE)
  if (late.length === 0) return undefined
  const waiting = await held.lockWaiting(
    tx,
    late.map(({ run_id }) => run_id),
  )
  // Read again: whoever had them locked may have lifted what holds one, which waits in the queue since, by the time that it had here.
  const mine = (await held.listLateWaits(tx, now, after, PAGE)).filter(({ run_id }) => waiting.has(run_id))
  const inQueue = mine.filter((one) => one.held === 0)
  await queue.enqueue(
    tx,
    inQueue.map((one) => ({
      runId: one.run_id,
      queue: one.queue,
      handler: one.handler,
      priority: one.priority,
      runAt: now + one.wait_ms,
    })),
    now,
  )
  for (const one of mine) {
    if (one.held === 1) await held.setHeldTime(tx, one.run_id, now + one.wait_ms)
    await updateTask(tx, one.run_id, { run_at: now + one.wait_ms })
  }
  return late.length < PAGE ? undefined : late.at(-1)!.run_id
}

async function capKeys(tx: Tx, { from, to }: ClockChange, after: string): Promise<string | undefined> {
  const names = await held.listKeysToLookAt(tx, to, after, PAGE)
  if (names.length === 0) return undefined
  const rows = await held.lockKeys(tx, names)
  const periods = await held.longestPeriods(tx, names)
  for (const row of rows) {
    const longest = Math.max(
      periods.get(row.key) ?? 0,
      ...parseLimits(row.limits).map(({ rate }) => rate?.periodMs ?? 0),
    )
    // What is owed under a rate that nobody waits for is known by the difference alone.
    const next_us =
      longest > 0
        ? Math.min(row.next_us, (to + longest) * 1_000)
        : row.next_us - Math.max(0, Math.min(from, row.next_us / 1_000) - to) * 1_000
    await held.saveKey(tx, row.key, { ...row, next_us: Math.round(next_us), wake_at: to })
  }
  return names.length < PAGE ? undefined : names.at(-1)
}
