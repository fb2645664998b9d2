import { setTimeout as sleep } from 'node:timers/promises'
import type { Blobs } from '../../platform/blobs/index.ts'
import type { Clock } from '../../platform/clock.ts'
import { type Command, type Database, inProject, type Tx } from '../../platform/db/index.ts'
import { randomToken } from '../../platform/ids.ts'
import type { Logger } from '../../platform/log.ts'
import { spanIdOf, traceOf } from '../../platform/tracing.ts'
import { createTurns, type Turns } from '../../platform/turns.ts'
import { isFirstClaim, type Lease, type Queue } from '../../queue/index.ts'
import { type EagerLane, isFinal } from '../../runs/index.ts'
import { type AttemptLog, createAttemptLog, type TakenLines } from './attempt-log.ts'
import type { AtWork, Children } from './child.ts'
import { type Costs, createCosts } from './cost.ts'
import { type Handlers, type Intent, type Outcome, Suspended, type TaskContext, TaskError } from './handler.ts'
import { findHeldBack } from './hold.ts'
import type { HttpHandler, HttpHandlers } from './http/http-handlers.ts'
import { announce } from './intent.ts'
import { ended, endOf, failureOf, isAway, PAST_DEADLINE, refusalOf, resultOf, TIMED_OUT } from './outcome.ts'
import { readInput } from './payload.ts'
import type { Payloads } from './sealed.ts'
import { CANCELLED, type End, type Ending, settleTasks } from './settle.ts'
import { createStepRecord, createSteps } from './step.ts'
import { isPaused, keyedAmong, loadWork, type WorkRow } from './store.ts'
import { keepChunks, lastChunk, type NewChunk } from './store-log.ts'

/** An attempt that is over, whatever comes of it. */
export interface AttemptEnded {
  readonly row: WorkRow
  readonly attempt: number
  readonly startedAt: number
  readonly endedAt: number
  readonly ending: Ending
}

/** The span of an attempt; that of its task has the id of the run. */
export const attemptSpanId = (runId: string, attempt: number): string => spanIdOf(`${runId}/${attempt}`)

export interface TaskLaneSettings {
  readonly db: Database
  readonly queue: Queue
  readonly blobs: Blobs
  readonly clock: Clock
  readonly log: Logger
  readonly handlers: Handlers
  readonly payloads: Payloads
  readonly children: Children
  readonly http: HttpHandlers
  /** Handlers that are disabled in a project. */
  off(project: string): readonly string[]
  /** How many tasks run at once: of one queue, and of all. */
  readonly concurrency: number
  readonly atMost: number
  /** How long after it was told to stop a handler is waited for. */
  readonly patienceMs: number
  /** A task whose workers were lost more often than this is failed: it takes them down. */
  readonly maxLost: number
  readonly random: () => number
  /** Root of the newest checkpoint that witnesses cosigned, if there is one: no run began before it. */
  notBefore(): string | undefined
  /** After the commit: waiters and metrics hear of it. */
  settled(runId: string, state: Ending['state']): void
  /** Hears of attempts as they begin and end. */
  readonly observe?: {
    started(queue: string, handler: string): void
    ended(done: AttemptEnded): void
    /** After the commit. */
    settled(row: WorkRow, ending: Ending, at: number): void
    leaseLost(): void
  }
  /** There is room again. */
  free(): void
}

/** Why work was told to stop. */
type Reason = 'timeout' | 'deadline' | 'cancelled' | 'lost' | 'stopping'

interface Work {
  readonly lease: Lease
  readonly row: WorkRow
  /** Its handler, if that is one of the project's own. */
  readonly http: HttpHandler | undefined
  /** Made when somebody looks at it: most work ends before anybody tells it to. */
  abort: AbortController | null
  /** Made with its first line: most work prints none. */
  log: AttemptLog | null
  /** Made when it first says what it costs: most work never does. */
  costs: Costs | null
  /** Lines of it are being kept: it ends after that. */
  keeping: Promise<void> | null
  steps: number
  /** Of its steps and children so far, under the first lease. Made with the first. */
  names: Set<string> | null
  startedAt: number | null
  /** What it announced that it will do; null of most. */
  intent: Intent | null
  events: number
  reason: Reason | null
  /** Children whose end it waits for: when it stops, it goes on when they have ended. Made with the first, as is what is under way. */
  awaits: Set<string> | null
  /** Questions about children that were not answered yet: of all it asked about it waits for those that have not ended. */
  asking: Set<Promise<Outcome>> | null
  /** For what it asks of the database. Made with the first question. */
  turns: Turns | null
  timer: NodeJS.Timeout | undefined
  over: boolean
  /** Where it stands among what is held. */
  at: number
}

interface Done {
  readonly work: Work
  readonly end: End
  /** How often the database refused to keep it. */
  readonly refused: number
}

export interface TaskLane extends EagerLane {
  /** Begins tasks of this server's own handlers that were claimed as they were accepted, after that committed. */
  begin(leases: readonly Lease[], rows: (runId: string) => WorkRow): void
}

/**
 * So many questions of one task are asked of the database at once: as many as are dispatched in one group. What is looked for together is
 * one question; of ten thousand that each asked their own, what sweeps, claims and answers would be told that the database is away.
 */
const ASKED_AT_ONCE = 64
const RESETTLE_MS = 500
/** So often an end is tried that the database refuses, before its lease is let go. */
const MOST_REFUSALS = 10
/** A line is kept so long after it was printed, unless the attempt ends before. */
const KEEP_LINES_MS = 250

/**
 * The lane of tasks. A claim is loaded in its own transaction; the handler runs without one; what it came to is settled
 * together with whatever else ended meanwhile. So a task is written twice, when it is accepted and when it is settled, and
 * "running" is what its lease says.
 *
 * Work that is told to stop gets `patienceMs`; then nobody waits for it, and what it still does settles nothing.
 * Stopped anywhere before the settling commit: the lease runs out, and the task is done again.
 */
export function createTaskLane(on: TaskLaneSettings): TaskLane {
  const { db, queue, clock, log, handlers } = on
  const worker = randomToken(9)
  /** Everything under a lease, until its settling is committed. */
  const held = createHeld()
  /** What its handler has no room for yet, in order. */
  const parked = new Map<string, Work[]>()
  /** Of those, what has room now and is looked at once more before it begins. */
  const looked = new Set<Work>()
  const running = new Map<string, number>()
  const perQueue = new Map<string, number>()
  const perPlace = new Map<string, number>()
  const stepsOn = { clock, record: createStepRecord(on) }
  const settle = settleTasks(queue, clock.now, on.settled)
  let outbox = new Map<string, Done[]>()
  /** Work that printed something since it was kept. */
  const printing = new Set<Work>()
  let keepingSoon = false
  let runningAll = 0
  let flushing = false
  let stopped = false
  let idle: (() => void) | undefined

  const count = (map: Map<string, number>, key: string, by: 1 | -1) => {
    const n = (map.get(key) ?? 0) + by
    if (n === 0) map.delete(key)
    else map.set(key, n)
  }
  const placeOf = ({ queue: name, project }: { queue: string; project: string }) => `${name}\n${project}`
  const handlerOf = ({ row, http }: Work) => handlers.find(row.handler) ?? http
  const limitOf = (name: string) => handlers.find(name)?.concurrency ?? Number.POSITIVE_INFINITY

  function hold(lease: Lease, row: WorkRow, http: HttpHandler | undefined): Work {
    const work: Work = {
      lease,
      row,
      http,
      abort: null,
      log: null,
      costs: null,
      keeping: null,
      steps: 0,
      names: null,
      startedAt: null,
      intent: null,
      events: row.event_count,
      reason: null,
      awaits: null,
      asking: null,
      turns: null,
      timer: undefined,
      over: false,
      at: -1,
    }
    held.add(work)
    count(perPlace, placeOf(lease), 1)
    return work
  }

  function begin(work: Work): void {
    const { handler } = work.row
    const waiting = parked.get(handler) ?? []
    if ((running.get(handler) ?? 0) < limitOf(handler)) start(work)
    // A few more than can run are kept at hand; the others are for servers that have room.
    else if (waiting.length < limitOf(handler)) parked.set(handler, [...waiting, work])
    else end(work, { next: 'back', lease: work.lease, row: work.row })
  }

  /** There is room for one more of what this handler has parked. */
  function beginNext(handler: string): void {
    const next = parked.get(handler)?.shift()
    if (next) beginAfterLook(next)
  }

  /**
   * What was parked was claimed a while ago: if its queue or its key was paused since, or its handler disabled, it is not to begin. Its
   * room is kept meanwhile; somebody else has it if it was told to stop.
   */
  function beginAfterLook(work: Work): void {
    const { lease, row } = work
    looked.add(work)
    count(running, row.handler, 1)
    const open = (closed: 'back' | 'hold' | null) => {
      count(running, row.handler, -1)
      if (looked.delete(work)) {
        if (stopped) end(work, { next: 'back', lease, row })
        else if (closed === null) return begin(work)
        else end(work, { next: closed, lease, row })
      }
      beginNext(row.handler)
    }
    inProject(lease.project, () => db.read((tx) => closedTo(tx, work))).then(open, (err: unknown) => {
      log.warn({ err, run: row.id }, 'whether a task may begin is not known, it is put back')
      open('back')
    })
  }

  async function closedTo(tx: Tx, { lease, row }: Work): Promise<'back' | 'hold' | null> {
    if (on.off(lease.project).includes(row.handler) || (await isPaused(tx, row.queue))) return 'back'
    return row.concurrency_key !== null && (await findHeldBack(tx, [row.id], clock.now())).size > 0 ? 'hold' : null
  }

  function start(work: Work): void {
    const { row, lease } = work
    count(running, row.handler, 1)
    count(perQueue, lease.queue, 1)
    runningAll++
    work.startedAt = clock.now()
    on.observe?.started(lease.queue, row.handler)
    const refused = whyNot(work)
    if (refused) finished(work, refused)
    else
      run(work).then(
        (ending) => finished(work, ending),
        async (error: unknown) => {
          // Of many children the first that has not ended stops it. The others are waited for as well, or it began again after each.
          if (work.asking?.size) await Promise.allSettled(work.asking)
          if (!isAway(error)) return finished(work, failureOf(error), error)
          // Ours to mend, and no failure of the handler's: as if its worker had been lost, but at once, and after a moment.
          log.warn({ err: error, run: row.id, handler: row.handler }, 'a store is away, the task is put back')
          setTimeout(() => finished(work, null), RESETTLE_MS)
        },
      )
  }

  /** What ends a task before its handler is called. */
  function whyNot(work: Work): Ending | undefined {
    const { row, lease } = work
    const refusal = refusalOf(row, lease, { now: clock.now(), maxLost: on.maxLost })
    if (refusal) return refusal
    if (!handlerOf(work)) return ended('failed', 'HANDLER_GONE', `No handler is called "${row.handler}" any more`)
    return undefined
  }

  async function run(work: Work): Promise<Ending> {
    const { row, lease } = work
    const handler = handlerOf(work)!
    const input = await readInput(on, lease.project, row)
    if (handler.sideEffect === 'irreversible' && work.reason === null) {
      work.intent = (await handler.intent?.(input)) ?? null
      await inProject(lease.project, () => db.submit(intend, work))
      work.events++
    }
    if (work.reason !== null) throw stopOf(work.reason)
    limit(work, handler.waitsForPlace ? Number.POSITIVE_INFINITY : row.timeout_ms)
    const context = new Context(work, may)
    const value = await inProject(lease.project, () => handler.run(input, context))
    return resultOf(on, handler, lease.project, value)
  }

  const atWork = ({ lease, row }: Work): AtWork => ({
    project: lease.project,
    row,
    attempt: lease.attempt,
    lease,
  })

  function turnsOf(work: Work): Turns {
    work.turns ??= createTurns(ASKED_AT_ONCE)
    return work.turns
  }

  /** Counts a step, and answers whether one of its name may be there: under the first lease only what this attempt began itself. */
  function beginStep(work: Work, name: string): boolean {
    work.steps++
    if (!isFirstClaim(work.lease)) return true
    work.names ??= new Set()
    const isThere = work.names.has(name)
    work.names.add(name)
    return isThere
  }

  async function outcomeOf(work: Work, id: string): Promise<Outcome> {
    const outcome = await turnsOf(work)(() => on.children.outcome(atWork(work), id))
    if (outcome) return outcome
    work.awaits ??= new Set()
    work.awaits.add(id)
    throw new Suspended(id)
  }

  /** What handlers may ask for. */
  const may: May = {
    began(work) {
      if (work.over || work.reason !== null) return
      work.startedAt = clock.now()
      limit(work, work.row.timeout_ms)
    },
    steps: (work) =>
      createSteps(stepsOn, {
        project: work.lease.project,
        id: work.row.id,
        attempt: work.lease.attempt,
        fence: work.lease.fence,
        began: (name) => beginStep(work, name),
        costs: () => work.costs,
        inTurn: turnsOf(work),
      }),
    async dispatch(work, name, task) {
      beginStep(work, name)
      try {
        return await turnsOf(work)(() => on.children.dispatch(atWork(work), name, task))
      } catch (error) {
        // What the queue says of it may come later, or never.
        if (error instanceof TaskError && error.code === 'TASK_STOPPING') interrupt(work, 'cancelled')
        throw error
      }
    },
    waitFor(work, child) {
      const asked = outcomeOf(work, typeof child === 'string' ? child : child.id)
      work.asking ??= new Set()
      const asking = work.asking.add(asked)
      const answered = () => void asking.delete(asked)
      asked.then(answered, answered)
      return asked
    },
    pauseKey: (work, key, until) => on.children.pauseKey(atWork(work), key, Number(until)),
    log: print,
    cost: spend,
  }

  /** Says in the log what will be done, before it is done: it cannot be taken back. */
  const intend: Command<Work, null> = {
    name: 'intend',
    async run(tx, all) {
      for (const work of all)
        await announce(tx, {
          row: work.row,
          lease: work.lease,
          now: clock.now(),
          ckpt: on.notBefore(),
          intent: work.intent,
        })
      return all.map(() => null)
    },
  }

  /** Ends the attempt after its time, or at the deadline of the task, whichever is first. */
  function limit(work: Work, timeoutMs: number): void {
    const { deadline_at } = work.row
    const left = deadline_at === null ? Number.POSITIVE_INFINITY : deadline_at - clock.now()
    const reason = left <= timeoutMs ? 'deadline' : 'timeout'
    clearTimeout(work.timer)
    if (left === Number.POSITIVE_INFINITY && timeoutMs === left) return
    work.timer = setTimeout(() => interrupt(work, reason), Math.max(0, Math.min(left, timeoutMs)))
  }

  /** Tells work to stop, and ends it a little later whether it did or not. */
  function interrupt(work: Work, reason: Reason): void {
    if (work.over || work.reason !== null) return
    work.reason = reason
    clearTimeout(work.timer)
    work.timer = setTimeout(() => {
      log.warn({ run: work.row.id, handler: work.row.handler, reason }, 'handler did not stop and is not waited for')
      finished(work, null)
    }, on.patienceMs)
    work.abort?.abort(stopOf(reason))
  }

  /** The handler has answered, or is not waited for any more (`null`). */
  function finished(work: Work, found: Ending | null, error?: unknown): void {
    if (work.over) return
    clearTimeout(work.timer)
    work.over = true
    const { row, lease, reason } = work
    count(running, row.handler, -1)
    count(perQueue, lease.queue, -1)
    runningAll--
    beginNext(row.handler)
    const conclude = () => end(work, decide(work, reason === null ? found! : stoppedBy(reason), error))
    // What is kept of its log must not come behind its end.
    if (work.keeping) void work.keeping.then(conclude)
    else conclude()
  }

  /** What is said after the attempt is over counts no more than what it did. */
  function spend(work: Work, usd: number, what: string | undefined): void {
    if (work.over) return
    work.costs ??= createCosts()
    work.costs.add(usd, what)
  }

  function print(work: Work, line: string): void {
    if (work.over) return
    work.log ??= createAttemptLog()
    if (work.log.waitingSince === null) {
      printing.add(work)
      keepSoon()
    }
    work.log.add(line)
  }

  /**
   * Keeps what was printed a while ago, of all who print in one command for each project. Work that is over by then is not among
   * them: its lines come with its end. Stopped before the commit, they are gone with the attempt.
   */
  function keepLines(): void {
    const before = performance.now() - KEEP_LINES_MS / 2
    const projects = new Map<string, { work: Work; lines: TakenLines }[]>()
    for (const work of printing) {
      const log = work.log!
      if (work.over || log.waitingSince === null) printing.delete(work)
      else if (work.keeping === null && log.waitingSince < before) {
        const lines = log.take()
        const { project } = work.lease
        if (lines) projects.set(project, [...(projects.get(project) ?? []), { work, lines }])
      }
    }
    for (const [project, all] of projects) {
      const kept = inProject(project, () => db.submit(keep, all.map(chunkOf))).then(
        () => {
          for (const { work, lines } of all) work.log!.kept(lines)
        },
        // Tried again with what follows; what does not fit by then is counted as left out.
        (err: unknown) => {
          for (const { work } of all) work.log!.doubt()
          log.warn({ err, project, runs: all.length }, 'lines of tasks could not be kept')
        },
      )
      for (const { work } of all)
        work.keeping = kept.finally(() => {
          work.keeping = null
        })
    }
    if (printing.size > 0) keepSoon()
  }

  function keepSoon(): void {
    if (keepingSoon) return
    keepingSoon = true
    setTimeout(() => {
      keepingSoon = false
      keepLines()
    }, KEEP_LINES_MS).unref()
  }

  const chunkOf = ({ work, lines }: { work: Work; lines: TakenLines }): NewChunk => ({
    runId: work.row.id,
    attempt: work.lease.attempt,
    fence: work.lease.fence,
    printed: lines.printed,
    leftOut: lines.leftOut,
    first: lines.first,
    at: clock.now(),
    last: false,
  })

  /** What of its log is to be kept with the end of an attempt. The whole of a short one that settles its task stands in the run. */
  function restOf(work: Work, next: End['next']): NewChunk | undefined {
    const { log } = work
    if (log === null || (next === 'settle' && !log.isParted)) return undefined
    const { printed, leftOut, first } = log.takeRest() ?? { printed: [], leftOut: 0, first: undefined }
    const { attempt, fence } = work.lease
    return lastChunk({ runId: work.row.id, attempt, fence, at: clock.now() }, { printed, leftOut, first }, next)
  }

  function decide(work: Work, ending: Ending | null, error?: unknown): End | null {
    const { row, lease } = work
    if (work.reason === 'lost') return null
    const costs = work.costs?.take()
    if (ending === null) return { next: 'back', lease, row, costs, rest: restOf(work, 'back') }
    // Whatever the handler made of it: it was told that it will be called again.
    if (work.reason === null && work.awaits)
      return {
        next: 'wait',
        lease,
        row,
        on: [...work.awaits],
        startedAt: work.startedAt,
        costs,
        rest: restOf(work, 'wait'),
      }
    const attempt = {
      worker,
      startedAt: work.startedAt,
      endedAt: clock.now(),
      log: work.log?.newest() ?? null,
      events: work.events,
      steps: work.steps,
    }
    if (work.startedAt !== null)
      on.observe?.ended({ row, attempt: lease.attempt, startedAt: work.startedAt, endedAt: attempt.endedAt, ending })
    const final = error instanceof TaskError && !error.retryable
    const retryAfterMs = error instanceof TaskError ? error.retryAfterMs : 0
    const what = endOf({ lease, row, ending, attempt, final, retryAfterMs }, on.random)
    return { ...what, costs, rest: restOf(work, what.next) }
  }

  function end(work: Work, what: End | null): void {
    work.over = true
    if (what === null) forget(work)
    else {
      const project = outbox.get(work.lease.project)
      if (project) project.push({ work, end: what, refused: 0 })
      else outbox.set(work.lease.project, [{ work, end: what, refused: 0 }])
      flushSoon()
    }
  }

  function forget(work: Work): void {
    held.delete(work)
    count(perPlace, placeOf(work.lease), -1)
    on.free()
    if (held.all.length === 0) idle?.()
  }

  /** What ends within one turn of the event loop is settled together. */
  function flushSoon(): void {
    if (flushing) return
    flushing = true
    setImmediate(() => {
      flushing = false
      const ended = outbox
      outbox = new Map()
      for (const [project, all] of ended) flush(project, all)
      on.free()
    })
  }

  function flush(project: string, all: readonly Done[]): void {
    const ends = all.map((one) => one.end)
    inProject(project, () => db.submit(settle, ends)).then(
      (settled) => {
        for (const [i, { work, end: what }] of all.entries()) {
          forget(work)
          if (!settled[i]) log.warn({ run: work.row.id, fence: work.lease.fence }, 'lease lost, nothing settled')
          else if (what.next === 'settle') {
            on.observe?.settled(work.row, what.ending, what.attempt.endedAt)
            on.settled(work.row.id, what.ending.state)
          }
        }
      },
      (err: unknown) => {
        log.error({ err, project, runs: all.length }, 'tasks could not be settled')
        const away = isAway(err)
        for (const { work, end: what, refused } of all) {
          // Tried again as long as the lease may be ours; the fence decides. What is never taken is let go: its lease runs out, and after so
          // many losses it ends as DELIVERIES_EXHAUSTED.
          if (stopped || !held.has(work) || refused >= MOST_REFUSALS) forget(work)
          else if (away) setTimeout(() => end(work, what), RESETTLE_MS)
          // Each alone, so that one that cannot be kept does not hold up those that ended beside it.
          else setTimeout(() => flush(project, [{ work, end: what, refused: refused + 1 }]), RESETTLE_MS)
        }
      },
    )
  }

  return {
    serves: (name) => /^[^.@]/.test(name),
    room(name) {
      if (stopped) return 0
      // What is not settled yet counts at double the limit, or a slow commit would be outrun without end.
      const unsettled = 2 * on.atMost - held.all.length
      return Math.max(0, Math.min(on.concurrency - (perQueue.get(name) ?? 0), on.atMost - runningAll, unsettled))
    },
    busy: (where) => perPlace.get(placeOf(where)) ?? 0,
    except: ({ project }) => [
      ...on.off(project),
      ...[...parked].filter(([handler, waiting]) => waiting.length >= limitOf(handler)).map(([handler]) => handler),
    ],
    async take(tx, leases) {
      const rows = await loadWork(
        tx,
        leases.map((lease) => lease.runId),
      )
      const strange = new Set([...rows.values()].map((row) => row.handler).filter((name) => !handlers.find(name)))
      const http = strange.size > 0 ? await on.http.find(tx, [...strange]) : undefined
      const heldBack = await findHeldBack(tx, keyedAmong(rows.values()), clock.now())
      return () => {
        for (const lease of leases) {
          const row = rows.get(lease.runId)
          if (!row || isFinal(row.state)) throw new Error(`queued task ${lease.runId} is ${row?.state ?? 'gone'}`)
          const work = hold(lease, row, http?.get(row.handler))
          if (stopped) end(work, { next: 'back', lease, row })
          else if (heldBack.has(row.id)) end(work, { next: 'hold', lease, row })
          // It was asked for before its handler was disabled: a claim takes a moment.
          else if (on.off(lease.project).includes(row.handler)) end(work, { next: 'back', lease, row })
          else begin(work)
        }
      }
    },
    begin(leases, rows) {
      for (const lease of leases) {
        const work = hold(lease, rows(lease.runId), undefined)
        if (stopped) end(work, { next: 'back', lease, row: work.row })
        else begin(work)
      }
    },
    startable(name, { project }) {
      const handler = handlers.find(name)
      if (!handler || parked.get(name)?.length || on.off(project).includes(name)) return 0
      return limitOf(name) - (running.get(name) ?? 0)
    },
    held: () => held.all.map((work) => work.lease),
    lost(lease) {
      const work = held.all.find((one) => one.lease === lease)
      // Said again and again while a store is away. What is over already hears it when it is settled.
      if (!work || work.over || work.reason === 'lost') return
      log.warn({ run: lease.runId, fence: lease.fence }, 'lease lost')
      on.observe?.leaseLost()
      if (unpark(work)) end(work, null)
      else interrupt(work, 'lost')
    },
    stopWork(runId) {
      const work = held.all.findLast((one) => one.row.id === runId)
      if (!work) return
      if (unpark(work)) {
        work.reason = 'cancelled'
        end(work, decide(work, stoppedBy('cancelled')))
      } else interrupt(work, 'cancelled')
    },
    async stop(graceMs) {
      stopped = true
      for (const waiting of parked.values())
        for (const work of waiting.splice(0)) end(work, { next: 'back', lease: work.lease, row: work.row })
      const empty = new Promise<void>((resolve) => {
        idle = resolve
      })
      if (held.all.length === 0) return
      await Promise.race([empty, sleep(graceMs, undefined, { ref: false })])
      for (const work of [...held.all]) interrupt(work, 'stopping')
      if (held.all.length > 0) await empty
    },
  }

  function unpark(work: Work): boolean {
    if (looked.delete(work)) return true
    const waiting = parked.get(work.row.handler)
    const at = waiting?.indexOf(work) ?? -1
    if (at >= 0) waiting!.splice(at, 1)
    return at >= 0
  }
}

type Rest<F> = F extends (...args: infer A) => infer R ? (work: Work, ...args: A) => R : never

/** What the lane does for work that asks. */
interface May {
  began(work: Work): void
  steps(work: Work): TaskContext['step']
  readonly dispatch: Rest<TaskContext['dispatch']>
  readonly waitFor: Rest<TaskContext['waitFor']>
  readonly pauseKey: Rest<TaskContext['pauseKey']>
  readonly log: Rest<TaskContext['log']>
  readonly cost: Rest<TaskContext['cost']>
}

/**
 * What a handler is given. Its functions are made when they are asked for: most handlers ask for none, and a dozen for each task was a
 * twenty-fifth of what is allocated for it. A class for its getters: those of an object of its own would be functions that the engine puts into the old
 * generation, and with them all that they see (docs/decisions/0085-what-grows-old.md).
 */
class Context implements TaskContext {
  readonly #work: Work
  readonly #may: May
  #steps: TaskContext['step'] | undefined
  readonly runId: string
  readonly project: string
  readonly attempt: number
  readonly handler: string
  readonly concurrencyKey: string | null

  constructor(work: Work, may: May) {
    const { row, lease } = work
    this.#work = work
    this.#may = may
    this.runId = row.id
    this.project = lease.project
    this.attempt = lease.attempt
    this.handler = row.handler
    this.concurrencyKey = row.concurrency_key
  }

  get began(): () => void {
    return () => this.#may.began(this.#work)
  }

  get step(): TaskContext['step'] {
    // One for the whole attempt: it knows which names were used.
    this.#steps ??= this.#may.steps(this.#work)
    return this.#steps
  }

  get dispatch(): TaskContext['dispatch'] {
    return (name, task) => this.#may.dispatch(this.#work, name, task)
  }

  get waitFor(): TaskContext['waitFor'] {
    return (child) => this.#may.waitFor(this.#work, child)
  }

  get pauseKey(): TaskContext['pauseKey'] {
    return (key, until) => this.#may.pauseKey(this.#work, key, until)
  }

  get log(): TaskContext['log'] {
    return (line) => this.#may.log(this.#work, line)
  }

  get cost(): TaskContext['cost'] {
    return (usd, what) => this.#may.cost(this.#work, usd, what)
  }

  get endsAt() {
    const { startedAt, row } = this.#work
    return startedAt === null ? null : Math.min(row.deadline_at ?? Infinity, startedAt + row.timeout_ms)
  }

  get signal() {
    const work = this.#work
    work.abort ??= new AbortController()
    if (work.reason !== null) work.abort.abort(stopOf(work.reason))
    return work.abort.signal
  }

  get intent() {
    return this.#work.intent
  }

  get traceparent() {
    const { row, lease } = this.#work
    return traceOf(row, attemptSpanId(row.id, lease.attempt)).traceparent
  }

  get tracestate() {
    return this.#work.row.tracestate
  }
}

/**
 * What is held, in no order. Not a Map: each table that a Map has outgrown points to the one after it, so that once one of them has
 * grown old, everything that was ever held stays until the old generation is collected (0085).
 */
function createHeld() {
  const all: Work[] = []
  return {
    all: all as readonly Work[],
    has: (work: Work) => all[work.at] === work,
    add(work: Work) {
      work.at = all.push(work) - 1
    },
    /** Of what is not held nothing happens. */
    delete(work: Work) {
      if (all[work.at] !== work) return
      const last = all.pop()!
      if (last === work) return
      all[work.at] = last
      last.at = work.at
    },
  }
}

const stopOf = (reason: Reason): Error => new Error(`the task is to stop: ${reason}`)

/** How work ends that was told to stop; null: it goes back, uncounted. */
function stoppedBy(reason: Reason): Ending | null {
  if (reason === 'timeout') return TIMED_OUT
  if (reason === 'deadline') return PAST_DEADLINE
  if (reason === 'cancelled') return CANCELLED
  return null
}

const keep: Command<readonly NewChunk[], null> = {
  name: 'keepLines',
  apart: true,
  weight: (chunks) => chunks.length,
  async run(tx, all) {
    await keepChunks(tx, all.flat())
    return all.map(() => null)
  },
}
