import { setTimeout as sleep } from 'node:timers/promises'
import { append, SYSTEM } from '../audit/index.ts'
import { actFor, type Caller } from '../identity/index.ts'
import type { Payloads, PreparedTask, Tasks } from '../kinds/task/index.ts'
import { AppError } from '../platform/app-error.ts'
import type { Clock } from '../platform/clock.ts'
import { type Database, inProject, type Tx } from '../platform/db/index.ts'
import { randomHex } from '../platform/ids.ts'
import type { Logger } from '../platform/log.ts'
import { createTrouble } from '../platform/trouble.ts'
import { deadlineOf, inputOf, taskOf, timingOf } from './schedule.ts'
import * as store from './store.ts'
import { lastTimes, nextAfter, nextTimes, type Timing } from './timing.ts'

export interface Scheduler {
  run(stop: AbortSignal): Promise<void>
  /** Decides everything that is due by the clock. Any number of servers may do it at once. */
  tick(): Promise<void>
}

export interface SchedulerOn {
  readonly db: Database
  readonly clock: Clock
  readonly log: Logger
  readonly tasks: Pick<Tasks, 'prepare' | 'submit'>
  readonly payloads: Pick<Payloads, 'open'>
  readonly pollMs: number
}

/** A time that is further back than this was missed: what becomes of it is the schedule's `catch_up`. */
const LATE_MS = 60_000
/** Times that were not missed and are decided in one transaction. */
const AT_ONCE = 100
const KEEP_FIRES_MS = 90 * 86_400_000
/** After this many fires in a row that started nothing somebody has to look. */
const MOST_REFUSALS = 10
const PAGE = 100
/** So many are fired in one transaction: whoever dispatches meanwhile waits for it. */
const TOGETHER = 25

/**
 * Starts what is due. Each due time is one row, made in the transaction that accepts its task, so that it happens once: however many
 * servers look at once, and whatever the clock does. That one of them leads saves work, and promises nothing.
 *
 * Stopped before that commit: the time is due still, and decided at the next look. Stopped after it: the task is in the queue.
 */
export function createScheduler(on: SchedulerOn): Scheduler {
  const { db, clock, log } = on
  let newest = Number.NEGATIVE_INFINITY

  async function tick(): Promise<void> {
    const now = clock.now()
    // The clock went back, perhaps while nobody looked: times that were computed by the later clock lie too far ahead.
    if (now < newest || newest === Number.NEGATIVE_INFINITY) await alignAll(now)
    newest = now
    const tried = new Set<string>()
    // Those that were tried and are due still stand before the others.
    for (let still = 0; ; ) {
      const limit = PAGE + still
      const due = await store.listDue(db, now, limit)
      const fresh = due.filter(({ id }) => !tried.has(id))
      still = due.length - fresh.length
      // Some together, so that they share transactions: many are due on the hour.
      for (let from = 0; from < fresh.length; from += TOGETHER)
        await Promise.all(
          fresh.slice(from, from + TOGETHER).map(({ id, project }) => {
            tried.add(id)
            return inProject(project, () => fire(id, now)).catch((err) => {
              log.error({ err, schedule: id }, 'a schedule could not be fired and will be tried again')
            })
          }),
        )
      if (due.length < limit) return
    }
  }

  async function alignAll(now: number): Promise<void> {
    for (let after = ''; ; ) {
      const page = await store.listAhead(db, now, after, PAGE)
      for (const { id, project } of page)
        await inProject(project, () =>
          db.write(async (tx) => {
            const row = await store.lockSchedule(tx, id)
            const next = row && nextAfter(timingOf(row), now)
            if (row?.state === 'active' && next != null && row.next_at !== null && next < row.next_at)
              await store.updateSchedule(tx, id, { next_at: next })
          }),
        )
      if (page.length < PAGE) return
      after = page.at(-1)!.id
    }
  }

  async function prepare(
    row: store.ScheduleRow,
    caller: Caller,
    dueAt: number,
  ): Promise<PreparedTask | { readonly refusal: string }> {
    let input: unknown
    try {
      input = inputOf(on.payloads, row.project_id, row)
    } catch {
      // SECRET_KEY was changed since, and the one before is gone.
      return { refusal: 'INPUT_UNREADABLE' }
    }
    const prepared = on.tasks.prepare(caller, taskOf(row, input, dueAt, dueAt))
    return prepared
      .then((task) => ({ ...task, callback: row.callback }))
      .catch((error: unknown) => {
        if (error instanceof AppError) return { refusal: error.code }
        throw error
      })
  }

  async function fire(id: string, now: number): Promise<void> {
    const row = await db.read((tx) => store.findSchedule(tx, id))
    if (!row) return
    const caller = await db.read((tx) => actFor(tx, row.owner_id, 'schedules.create', now))
    if (!caller) {
      await db.write(async (tx) => {
        const found = await store.lockSchedule(tx, id)
        if (found?.state === 'active' && found.owner_id === row.owner_id)
          await pauseItself(tx, found, now, 'its owner may not dispatch tasks here any more')
      })
      return
    }
    // Outside of the transaction, because a large input goes into the store of bytes.
    const times = row.next_at === null ? [] : dueTimes(row, row.next_at, now)
    const prepared = new Map<number, PreparedTask | { readonly refusal: string } | 'too late'>()
    for (const dueAt of times) {
      const deadline = deadlineOf(row, dueAt)
      prepared.set(dueAt, deadline !== null && deadline <= now ? 'too late' : await prepare(row, caller, dueAt))
    }
    await db.write(async (tx) => {
      const found = await store.lockSchedule(tx, id)
      // Changed meanwhile: the next look sees what it is now.
      if (found?.state !== 'active' || found.version !== row.version || found.next_at !== row.next_at) return
      let { refusals, last_due_at, last_run_id } = found
      let refused: string | null = null
      const outcomes: [dueAt: number, outcome: Parameters<typeof store.updateFire>[3]][] = []
      for (const [dueAt, task] of prepared) {
        if (!(await store.takeFire(tx, id, dueAt, now))) continue
        if (task === 'too late') {
          // As it was asked for, and no reason to pause.
          outcomes.push([dueAt, { outcome: 'skipped', run_id: null, error_code: 'DEADLINE_EXCEEDED' }])
          continue
        }
        if ('refusal' in task) {
          refusals++
          refused = task.refusal
          outcomes.push([dueAt, { outcome: 'refused', run_id: null, error_code: task.refusal }])
          continue
        }
        // Of several that are due at once each begins a trace of its own.
        const asker = { ...caller, traceId: randomHex(16) }
        const [submitted] = await on.tasks.submit.run(tx, [
          { caller: asker, tasks: [task], remember: null, schedule: id },
        ])
        const { id: runId, duplicate } = submitted![0]!
        refusals = 0
        last_due_at = dueAt
        if (!duplicate) last_run_id = runId
        outcomes.push([dueAt, { outcome: duplicate ? 'skipped' : 'started', run_id: runId, error_code: null }])
      }
      const next = nextAfter(timingOf(found), now)
      const ended = next === null ? { state: 'ended' as const } : {}
      // Asked for together: many schedules are due on the hour, and on PostgreSQL each answer takes its way.
      await Promise.all([
        ...outcomes.map(([dueAt, outcome]) => store.updateFire(tx, id, dueAt, outcome)),
        store.updateSchedule(tx, id, { next_at: next, last_due_at, last_run_id, refusals, ...ended }),
        store.forgetFires(tx, id, now - KEEP_FIRES_MS),
      ])
      if (refused !== null && refusals >= MOST_REFUSALS && next !== null)
        await pauseItself(tx, found, now, `it started nothing ${refusals} times in a row, the last time ${refused}`)
    })
  }

  const trouble = createTrouble(log, {
    stopped: 'schedules could not be looked at',
    again: 'schedules are looked at again',
  })
  return {
    tick,
    async run(stop) {
      while (!stop.aborted) {
        const lead = await db.lead('schedules', stop).catch(() => undefined)
        if (!lead) continue
        while (!stop.aborted && !lead.lost.aborted) {
          await tick().then(trouble.over, trouble.met)
          await sleep(on.pollMs, undefined, { signal: AbortSignal.any([stop, lead.lost]) }).catch(() => {})
        }
        await lead.release()
      }
    },
  }
}

/** The due times from `first` to `now` that are to be started: all that were not missed, and of the missed what `catch_up` says. */
function dueTimes(
  row: Pick<store.ScheduleRow, 'catch_up' | 'catch_up_limit'> & Parameters<typeof timingOf>[0],
  first: number,
  now: number,
): number[] {
  const timing = timingOf(row)
  const edge = now - LATE_MS
  const missed =
    first > edge || row.catch_up === 'none'
      ? []
      : lastTimes(timing, first, edge, row.catch_up === 'last' ? 1 : row.catch_up_limit)
  return [...missed, ...punctual(timing, Math.max(first - 1, edge), now)]
}

const punctual = (timing: Timing, after: number, now: number): number[] =>
  nextTimes(timing, after, AT_ONCE).filter((at) => at <= now)

/** The server pauses it and says so as a failure: somebody has to look. */
async function pauseItself(tx: Tx, row: store.ScheduleRow, now: number, reason: string): Promise<void> {
  await store.updateSchedule(tx, row.id, {
    state: 'paused',
    paused_reason: reason,
    next_at: null,
    version: row.version + 1,
    updated_at: now,
  })
  await append(tx, now, SYSTEM, {
    type: 'schedule.paused',
    resource: { type: 'schedule', id: row.id },
    action: `Paused schedule: ${row.name}`,
    details: { reason, owner_id: row.owner_id },
    success: false,
    error: reason,
  })
}
