import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import type { Policy } from '@writ/api'
import { appendOne, SYSTEM } from '../../audit/index.ts'
import { listProjects, loadPolicy } from '../../identity/index.ts'
import { type Blobs, removeBytes } from '../../platform/blobs/index.ts'
import type { Clock } from '../../platform/clock.ts'
import { type Database, INSTANCE, inProject, type Tx } from '../../platform/db/index.ts'
import { holdOn, listLastingHolds } from '../../tickets/index.ts'
import * as store from './store-retention.ts'

const DAY_MS = 86_400_000
/** How long after a round of a project the next one begins. A round reads what is kept longer, too. */
const EVERY_MS = 10 * 60_000
/** Runs that are read at once, and tasks that go in one transaction: 10 ms of SQLite's only writer. */
const STRETCH = 1_000
const SLICE = 200
/** A payload that no task names is kept so long: whoever stores one that is there already has named it by then. */
const UNNAMED_MS = 60 * 60_000
const PAYLOADS = 500
const BATCHES = 500
/** Idempotency keys are looked through once a day. Those of dispatches stay a day longer than what they are kept for, the others so long. */
const KEYS = 500
const ANSWER_DAYS = 30

/** How many days records are kept; null: for ever. */
type Kept = Required<Pick<Policy, 'completed_task_days' | 'failed_task_days'>>

export interface TaskRetention {
  /** A round of each project whose time for one has come. Returns early when `stop` aborts. */
  run(stop?: AbortSignal): Promise<void>
  /** A round of one project, now. Answers how many tasks went. */
  round(project: string, stop?: AbortSignal): Promise<number>
}

/**
 * Drops the records of tasks whose time is over by the policy of their project: row, attempts, steps, lines, costs, and the payloads that
 * stood beside them. Their entries in the log stay until the log is dropped, and so does what insight counted. Idempotency keys go
 * beside them, those of all other operations too: they stand in one table, and one walk reads it.
 *
 * 1. A slice of tasks goes in one transaction with the `tasks.dropped` that names their numbers. Stopped before its commit: nothing
 *    went. After it: the next round finds the others.
 * 2. Their payloads are named by nobody from then on, and go an hour later. Stopped while one goes: the next round removes it.
 *
 * @param countedUntil a time before which each end of a task in the project in context was counted for insight: what was not counted
 *   yet is kept, or it never would be.
 */
export function createTaskRetention(on: {
  db: Database
  blobs: Pick<Blobs, 'remove'>
  clock: Clock
  countedUntil: (tx: Tx) => Promise<number>
}): TaskRetention {
  const { db, blobs, clock } = on
  /** When the next round of a project begins, and when its keys are looked through next: by the steady clock. */
  const next = new Map<string, number>()
  const keysAt = new Map<string, number>()

  async function dropOver(kept: Kept, stop?: AbortSignal): Promise<number> {
    const counted = await db.read(on.countedUntil)
    const now = clock.now()
    const until = (days: number | null | undefined) => Math.min(days ? now - days * DAY_MS : 0, counted)
    const [completed, failed] = [until(kept.completed_task_days), until(kept.failed_task_days)]
    const isOver = (one: Pick<store.Passed, 'state' | 'completed_at'>) =>
      one.completed_at !== null && one.completed_at < (one.state === 'completed' ? completed : failed)
    const newest = Math.max(completed, failed)
    let dropped = 0
    for (let after = ''; !stop?.aborted; ) {
      const runs = await db.read((tx) => store.listStretch(tx, after, STRETCH))
      const due = runs.filter((run) => run.kind === 'task' && isOver(run)).map(({ id }) => id)
      for (let at = 0; at < due.length && !stop?.aborted; at += SLICE) {
        const began = performance.now()
        const gone = await db.write((tx) => dropSlice(tx, due.slice(at, at + SLICE), kept))
        if (gone === undefined) return dropped
        dropped += gone
        // At most half of the time is ours: the others want to write, too.
        await sleep(Math.min(performance.now() - began, 1_000), undefined, { signal: stop }).catch(() => {})
      }
      // Ids grow with the time, but those of a clock that was set back stand behind younger ones.
      if (runs.length < STRETCH || runs.every((run) => run.created_at >= newest)) break
      after = runs.at(-1)!.id
      await turn()
    }
    return dropped
  }

  /** Undefined if the policy says something else by now. */
  async function dropSlice(tx: Tx, ids: readonly string[], kept: Kept): Promise<number | undefined> {
    const { completed_task_days, failed_task_days } = keptOf(await loadPolicy(tx))
    if (completed_task_days !== kept.completed_task_days || failed_task_days !== kept.failed_task_days) return undefined
    const holds = await listLastingHolds(tx)
    const free = ids.filter((id) => !holdOn(holds, { runs: [id] }))
    const tasks = free.length === 0 ? [] : await store.lockDroppable(tx, free)
    if (tasks.length === 0) return 0
    const now = clock.now()
    const numbers = rangesOf(tasks.map(({ number }) => number))
    const droppedBy = await appendOne(tx, now, SYSTEM, {
      type: 'tasks.dropped',
      resource: { type: 'project', id: tx.project },
      action: `Dropped the records of ${tasks.length} tasks whose time was over`,
      details: {
        count: tasks.length,
        numbers,
        states: Object.fromEntries(
          [...Map.groupBy(tasks, ({ state }) => state)].map(([state, all]) => [state, all.length]),
        ),
        ...kept,
      },
    })
    await store.dropTasks(tx, tasks, droppedBy, now)
    return tasks.length
  }

  async function removePayloads(project: string, stop?: AbortSignal): Promise<void> {
    const unnamed = clock.now() - UNNAMED_MS
    for (let after: string | undefined = ''; after !== undefined && !stop?.aborted; ) {
      const from: string = after
      const removable = await db.read((tx) => store.listRemovable(tx, unnamed, from, PAYLOADS))
      for (const sha256 of removable)
        await removeBytes({ db, blobs, clock }, project, sha256, {
          isFree: (tx) => store.isRemovable(tx, sha256, unnamed),
          gone: (tx) => store.forgetPayload(tx, sha256, unnamed),
        })
      after = removable.length === PAYLOADS ? removable.at(-1) : undefined
    }
  }

  /** They are read beside whoever writes, and only what goes is written: most stay. */
  async function forgetOldKeys(project: string, kept: Kept, stop?: AbortSignal): Promise<void> {
    if ((keysAt.get(project) ?? 0) > clock.steady()) return
    const days = Object.values(kept).filter((one) => one !== null)
    const dispatched = days.length === 0 ? 0 : clock.now() - (Math.min(...days) + 1) * DAY_MS
    const others = clock.now() - ANSWER_DAYS * DAY_MS
    for (let after: store.KeyPlace | undefined = store.FIRST_KEY; after !== undefined && !stop?.aborted; await turn()) {
      const from: store.KeyPlace = after
      const { page, over } = await db.read(async (tx) => {
        const page = await store.listKeys(tx, from, KEYS)
        const old = page.filter((one) => one.created_at < (store.isOfDispatch(one) ? dispatched : others))
        const [tasks, rest] = [old.filter(store.isOfDispatch), old.filter((one) => !store.isOfDispatch(one))]
        return { page, over: [...(await store.withoutTask(tx, tasks)), ...rest] }
      })
      if (over.length > 0) await db.write((tx) => store.forgetKeys(tx, over))
      after = page.at(-1)
    }
    if (!stop?.aborted) keysAt.set(project, clock.steady() + DAY_MS)
  }

  /** Page by page, each in a transaction of its own, until one answers that there is none behind it. */
  async function walk<At>(from: At, page: (tx: Tx, after: At) => Promise<At | undefined>, stop?: AbortSignal) {
    for (let after: At | undefined = from; after !== undefined && !stop?.aborted; await turn()) {
      const at: At = after
      after = await db.write((tx) => page(tx, at))
    }
  }

  const round = (project: string, stop?: AbortSignal): Promise<number> =>
    inProject(project, async () => {
      const kept = keptOf(await db.read(loadPolicy))
      const isKept = kept.completed_task_days === null && kept.failed_task_days === null
      const dropped = isKept ? 0 : await dropOver(kept, stop)
      if (!isKept) await walk('', (tx, after) => store.dropEmptyBatches(tx, after, BATCHES), stop)
      await forgetOldKeys(project, kept, stop)
      await removePayloads(project, stop)
      return dropped
    })

  return {
    round,
    async run(stop) {
      const failures: unknown[] = []
      for (const { id } of await listProjects(db)) {
        if (stop?.aborted || (next.get(id) ?? 0) > clock.steady()) continue
        // What goes wrong in one keeps none of the others waiting.
        await round(id, stop).then(
          () => next.set(id, clock.steady() + EVERY_MS),
          (error: unknown) => failures.push(error),
        )
      }
      // Of who belongs to no project: it has answers, and no tasks.
      if (!stop?.aborted)
        await inProject(INSTANCE, () => forgetOldKeys(INSTANCE, keptOf({}), stop)).catch((error: unknown) =>
          failures.push(error),
        )
      if (failures.length > 0) throw failures[0]
    },
  }
}

const keptOf = ({ completed_task_days = null, failed_task_days = null }: Partial<Policy>): Kept => ({
  completed_task_days,
  failed_task_days,
})

/** Numbers as people write them, `1-480, 482`. They may come in any order. */
function rangesOf(numbers: readonly number[]): string {
  const ranges: [number, number][] = []
  for (const number of numbers.toSorted((a, b) => a - b)) {
    const last = ranges.at(-1)
    if (last && number === last[1] + 1) last[1] = number
    else ranges.push([number, number])
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(', ')
}
