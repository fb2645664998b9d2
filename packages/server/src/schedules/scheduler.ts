import { setTimeout as sleep } from 'node:timers/promises'
import type { PauseCause } from '@writ/api'
import { append, SYSTEM } from '../audit/index.ts'
import { type Caller, createActing } from '../identity/index.ts'
import type { Payloads, PreparedTask, Tasks } from '../kinds/task/index.ts'
import { AppError } from '../platform/app-error.ts'
import type { Clock } from '../platform/clock.ts'
import { coalesceIn } from '../platform/coalesce.ts'
import { type Command, type Database, inProject, type Tx } from '../platform/db/index.ts'
import { eachAlone } from '../platform/each-alone.ts'
import { randomHex } from '../platform/ids.ts'
import type { Logger } from '../platform/log.ts'
import { beginTrace, type Tracing } from '../platform/tracing.ts'
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
  readonly tracing: Pick<Tracing, 'samples'>
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

type Prepared = PreparedTask | { readonly refusal: string } | 'too late'

/** A schedule as it was read, and what is to be decided of it, by due time. */
interface Firing {
  readonly row: store.ScheduleRow
  readonly caller: Caller
  readonly prepared: ReadonlyMap<number, Prepared>
  readonly now: number
}

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
          fresh.slice(from, from + TOGETHER).map((one) => {
            tried.add(one.id)
            return inProject(one.project, () => fire(one, now)).catch((err) => {
              log.error({ err, schedule: one.id }, 'a schedule could not be fired and will be tried again')
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
  ): Promise<Exclude<Prepared, 'too late'>> {
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

  /** Of schedules that are due together, in this order: what stands in the way of one is met when each is tried alone. */
  const fireSchedules: Command<Firing, null> = {
    name: 'fireSchedules',
    weight: ({ prepared }) => prepared.size + 1,
    async run(tx, all) {
      const locked = await store.findSchedules(
        tx,
        all.map(({ row }) => row.id),
        'lock',
      )
      const firing = all.flatMap((one) => {
        const found = locked.get(one.row.id)
        // Changed meanwhile: the next look sees what it is now.
        if (found?.state !== 'active' || found.version !== one.row.version || found.next_at !== one.row.next_at)
          return []
        return [{ ...one, found, times: [...one.prepared].map(([dueAt, task]) => ({ dueAt, task })) }]
      })
      if (firing.length === 0) return all.map(() => null)
      const decided = await store.findFires(
        tx,
        firing.flatMap(({ found, times }) => times.map(({ dueAt }) => ({ schedule: found.id, dueAt }))),
      )
      const undecided = firing.map((one) => ({
        ...one,
        times: one.times.filter(({ dueAt }) => !decided.has(store.fireKey(one.found.id, dueAt))),
      }))
      // One that was started before the schedule was told to skip has no key of its own.
      const open = await store.findOpenRuns(
        tx,
        undecided.flatMap(({ found }) => (found.when_running === 'skip' ? (found.last_run_id ?? []) : [])),
      )
      const starts = undecided.flatMap(({ found, caller, times }) =>
        times.flatMap(({ dueAt, task }) =>
          task === 'too late' || 'refusal' in task || open.has(found.last_run_id ?? '')
            ? []
            : [{ schedule: found.id, caller, dueAt, task }],
        ),
      )
      const submitted =
        starts.length === 0
          ? []
          : await on.tasks.submit.run(
              tx,
              starts.map(({ schedule, caller, task }) => ({
                // Of several that are due at once each begins a trace of its own.
                caller: { ...caller, ...beginTrace(on.tracing, randomHex(16), randomHex(8)) },
                tasks: [task],
                remember: null,
                schedule,
              })),
            )
      const runs = new Map(
        starts.map(({ schedule, dueAt }, i) => [store.fireKey(schedule, dueAt), submitted[i]![0]!] as const),
      )
      const fires: store.NewFire[] = []
      const changes: store.Fired[] = []
      const pauses: { found: store.ScheduleRow; now: number; cause: PauseCause }[] = []
      for (const { found, times, now } of undecided) {
        let { refusals, last_due_at, last_run_id } = found
        let refused: string | null = null
        for (const { dueAt, task } of times) {
          const fire = { schedule_id: found.id, due_at: dueAt, fired_at: now }
          const run = runs.get(store.fireKey(found.id, dueAt))
          if (run) {
            refusals = 0
            last_due_at = dueAt
            if (!run.duplicate) last_run_id = run.id
            const outcome = run.duplicate ? 'skipped' : 'started'
            fires.push({ ...fire, outcome, run_id: run.id, error_code: null })
          } else if (task !== 'too late' && !('refusal' in task)) {
            refusals = 0
            last_due_at = dueAt
            fires.push({ ...fire, outcome: 'skipped', run_id: found.last_run_id, error_code: null })
          } else if (task !== 'too late') {
            refusals++
            refused = task.refusal
            fires.push({ ...fire, outcome: 'refused', run_id: null, error_code: task.refusal })
          }
          // As it was asked for, and no reason to pause.
          else fires.push({ ...fire, outcome: 'skipped', run_id: null, error_code: 'DEADLINE_EXCEEDED' })
        }
        const next = nextAfter(timingOf(found), now)
        const state = next === null ? 'ended' : found.state
        changes.push({ id: found.id, next_at: next, last_due_at, last_run_id, refusals, state })
        if (refused !== null && refusals >= MOST_REFUSALS && next !== null) {
          pauses.push({ found, now, cause: { code: 'refused', refusals, error_code: refused } })
        }
      }
      await Promise.all([
        store.insertFires(tx, fires),
        store.noteFired(tx, changes),
        store.forgetFires(
          tx,
          changes.map(({ id }) => id),
          Math.min(...firing.map(({ now }) => now)) - KEEP_FIRES_MS,
        ),
      ])
      for (const { found, now, cause } of pauses) await pauseItself(tx, found, now, cause)
      return all.map(() => null)
    },
  }

  const findRow = coalesceIn(db, (tx, ids) => store.findSchedules(tx, ids))
  const findOwner = createActing(on, 'schedules.create')

  async function fire({ id, project }: store.Due, now: number): Promise<void> {
    const row = await findRow(project, id)
    if (!row) return
    const owner = await findOwner(project, row.owner_id)
    if (!owner) {
      await db.write(async (tx) => {
        const found = await store.lockSchedule(tx, id)
        if (found?.state === 'active' && found.owner_id === row.owner_id)
          await pauseItself(tx, found, now, { code: 'owner_denied', refusals: null, error_code: null })
      })
      return
    }
    const caller = { ...owner, at: now }
    // Outside of the transaction, because a large input goes into the store of bytes.
    const times = row.next_at === null ? [] : dueTimes(row, row.next_at, now)
    const prepared = new Map<number, Prepared>()
    for (const dueAt of times) {
      const deadline = deadlineOf(row, dueAt)
      prepared.set(dueAt, deadline !== null && deadline <= now ? 'too late' : await prepare(row, caller, dueAt))
    }
    await db.submit(fireSchedules, { row, caller, prepared, now })
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
        // Whoever led before may have gone by a clock that was ahead of ours.
        newest = Number.NEGATIVE_INFINITY
        while (!stop.aborted && !lead.lost.aborted) {
          await tick().then(trouble.over, trouble.met)
          await sleep(on.pollMs, undefined, { signal: AbortSignal.any([stop, lead.lost]) }).catch(() => {})
        }
        await lead.release()
      }
    },
  }
}

/** So many at a time: of one that was due each second there are millions, and others want to write meanwhile. */
const FORGETS = 1_000

/** Forgets what became of due times 90 days ago, of schedules that are paused, over or deleted. */
export async function forgetOldFires(
  db: Database,
  projects: readonly { readonly id: string }[],
  now: number,
): Promise<void> {
  await eachAlone(projects, ({ id }) =>
    inProject(id, async () => {
      while ((await db.write((tx) => forgetResting(tx, now - KEEP_FIRES_MS))) === FORGETS) {}
    }),
  )
}

async function forgetResting(tx: Tx, before: number): Promise<number> {
  const old = await store.listRestingFires(tx, before, FORGETS)
  const last = new Map(old.map(({ schedule_id, due_at }) => [schedule_id, Number(due_at)]))
  for (const [schedule, dueAt] of last) await store.forgetFires(tx, [schedule], dueAt + 1)
  return old.length
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

const punctual = (timing: Timing, after: number, now: number): number[] => nextTimes(timing, after, AT_ONCE, now)

/** The server pauses it and says so as a failure: somebody has to look. */
async function pauseItself(tx: Tx, row: store.ScheduleRow, now: number, cause: PauseCause): Promise<void> {
  const reason =
    cause.code === 'owner_denied'
      ? 'its owner may not dispatch tasks here any more'
      : `it started nothing ${cause.refusals} times in a row, the last time ${cause.error_code}`
  await store.updateSchedule(tx, row.id, {
    state: 'paused',
    paused_at: now,
    paused_by_id: null,
    paused_reason: reason,
    paused_cause: JSON.stringify(cause),
    next_at: null,
    version: row.version + 1,
    updated_at: now,
  })
  await append(tx, now, SYSTEM, {
    type: 'schedule.paused',
    resource: { type: 'schedule', id: row.id },
    action: `Paused schedule: ${row.name}`,
    details: { reason, cause, owner_id: row.owner_id },
    success: false,
    error: reason,
  })
}
