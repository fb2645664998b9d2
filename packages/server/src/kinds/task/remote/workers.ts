import type {
  ClaimedTask,
  ClaimedTasks,
  ClaimTasks,
  ExtendedLease,
  KeptLines,
  WaitedFor,
  WorkedStep,
  WorkerAnswers,
  WorkerAsks,
  WorkerDispatch,
  WorkerDispatched,
  WorkerLines,
  WorkerPause,
  WorkerStep,
  WorkerWait,
  WorkResult,
} from '@writ/api'
import { type Caller, requireWorkerScope } from '../../../identity/index.ts'
import { AppError } from '../../../platform/app-error.ts'
import type { Blobs } from '../../../platform/blobs/index.ts'
import type { Clock } from '../../../platform/clock.ts'
import { coalesceIn } from '../../../platform/coalesce.ts'
import { type Command, type Database, inProject } from '../../../platform/db/index.ts'
import { mayGoOn, redactor } from '../../../platform/redact/index.ts'
import { storable } from '../../../platform/storable.ts'
import { traceHeaders, traceOf } from '../../../platform/tracing.ts'
import { type Ask, type Lease, type Queue, type Runnable, remotePlace } from '../../../queue/index.ts'
import { isFinal } from '../../../runs/index.ts'
import type { AtWork, Children } from '../child.ts'
import { type Cost, costsSaid } from '../cost.ts'
import { TaskError } from '../handler.ts'
import { findHeldBack } from '../hold.ts'
import { announce } from '../intent.ts'
import { attemptSpanId, type TaskLaneSettings } from '../lane.ts'
import {
  ended,
  endOf,
  failedWith,
  failureOf,
  isAway,
  PAST_DEADLINE,
  refusalOf,
  resultAltered,
  resultOf,
  TIMED_OUT,
} from '../outcome.ts'
import { readInput } from '../payload.ts'
import type { Payloads } from '../sealed.ts'
import { CANCELLED, type End, type Ending, settleTasks } from '../settle.ts'
import { createStepRecord } from '../step.ts'
import { findChildren, heldAmong, keyedAmong, listPaused, loadWork, type WorkRow } from '../store.ts'
import { countTold, keepChunks, lastChunk, type NewChunk, withoutTold } from '../store-log.ts'
import type { Held, LeaseTexts } from './lease-text.ts'
import type { RemoteHandlers } from './registry.ts'

/**
 * Workers outside of the servers: they claim tasks of handlers that they have, keep the leases alive and say what became of
 * them. The same leases, fences and settling as the server's own lane; only the work is elsewhere.
 *
 * Stopped after a claim and before its answer: the lease runs out, and the task is given to the next. A worker that is lost:
 * the same. A result that comes late finds its fence gone, and nothing is written.
 */
export interface Workers {
  /** Throws SCOPE_NOT_ALLOWED, HANDLER_NAME_TAKEN, HANDLER_CONTRACT_INVALID. Waits as long as was asked for, or until `gone`. */
  claim(caller: Caller, ask: ClaimTasks, gone: AbortSignal): Promise<ClaimedTasks>
  /** Throws SCOPE_NOT_ALLOWED, LEASE_INVALID. */
  extend(caller: Caller, leases: readonly string[]): Promise<ExtendedLease[]>
  /**
   * Answers for each whether its lease still held. `altered`: where numbers of results (`.results.0.result.id`) were read as others than
   * were sent; those results are no results. Throws SCOPE_NOT_ALLOWED, LEASE_INVALID.
   */
  settle(
    caller: Caller,
    results: readonly WorkResult[],
    altered?: readonly string[],
  ): Promise<{ run_id: string; settled: boolean }[]>
  /**
   * A step of a claimed task: what it answered if it was done, or, with `result`, keeps that. Throws SCOPE_NOT_ALLOWED, LEASE_INVALID,
   * LEASE_LOST, STEP_INVALID.
   */
  step(caller: Caller, step: WorkerStep): Promise<WorkedStep>
  /** What a handler of the server does with `ctx.dispatch`. Throws what `step` does, DISPATCH_DENIED, TASK_STOPPING, and what dispatching a task does. */
  dispatch(caller: Caller, asked: WorkerDispatch): Promise<WorkerDispatched>
  /** What a child came to; null while it has not ended. Throws SCOPE_NOT_ALLOWED, LEASE_INVALID, LEASE_LOST, NOT_A_CHILD, WAIT_CIRCLE. */
  wait(caller: Caller, asked: WorkerWait): Promise<WaitedFor>
  /**
   * Several steps, dispatches and waits, each as by itself. Answers null for one that is refused, and has then changed nothing for it.
   * Throws SCOPE_NOT_ALLOWED, LEASE_INVALID, and what no other question would be answered after: a store that is away.
   */
  ask(caller: Caller, asks: WorkerAsks['asks']): Promise<WorkerAnswers['answers']>
  /** Throws SCOPE_NOT_ALLOWED, LEASE_INVALID, LEASE_LOST. */
  pauseKey(caller: Caller, asked: WorkerPause): Promise<void>
  /**
   * Keeps lines that claimed tasks printed, and answers for each how many of them; the others come again. None where the lease is
   * lost. Those with a number are kept once, however often they are sent. Throws SCOPE_NOT_ALLOWED, LEASE_INVALID, LOG_GAP.
   */
  keepLines(caller: Caller, logs: readonly WorkerLines[]): Promise<KeptLines['logs']>
  /** There may be something to claim here, or anywhere; a hint. */
  wake(where: Runnable | null): void
  /** Nobody waits any longer. */
  stop(): void
  readonly leaseMs: number
}

export interface WorkersOn {
  readonly db: Database
  readonly queue: Queue
  readonly blobs: Blobs
  readonly clock: Clock
  readonly payloads: Payloads
  readonly registry: RemoteHandlers
  readonly children: Children
  readonly texts: LeaseTexts
  readonly leaseMs: number
  readonly maxLost: number
  readonly random: () => number
  notBefore(): string | undefined
  settled(runId: string, state: Ending['state']): void
  readonly observe?: NonNullable<TaskLaneSettings['observe']>
}

/** Hints may be lost: so often it is looked, whatever they say. */
const POLL_MS = 1_000
const MAX_LOG_CHARS = 64 * 1024

interface WorkerPlace {
  readonly place: string
  readonly queue: string
  readonly handler: string
}

interface Claiming {
  readonly ask: Ask
  readonly irreversible: boolean
}

interface Claimed {
  readonly lease: Lease
  readonly row: WorkRow
  readonly refusal: Ending | undefined
  /** Its key is not to give it yet: it goes back before anybody hears of it. */
  readonly isHeldBack: boolean
}

export function createWorkers(on: WorkersOn): Workers {
  const { db, queue, clock, registry, texts } = on
  const steps = createStepRecord(on)
  const settleCommand = settleTasks(queue, clock.now, on.settled)
  const waiting = new Set<{
    readonly project: string
    readonly places: ReadonlySet<string>
    /** Where something came since it was looked. */
    readonly hinted: Set<string>
    wake(): void
  }>()
  let stopped = false

  const claimCommand: Command<Claiming, readonly Claimed[]> = {
    name: 'claimForWorkers',
    apart: true,
    async run(tx, all) {
      const outcomes: Claimed[][] = []
      for (const { ask, irreversible } of all) {
        const leases = await queue.claim(tx, ask)
        const rows = await loadWork(
          tx,
          leases.map(({ runId }) => runId),
        )
        const claimed: Claimed[] = []
        const heldBack = await findHeldBack(tx, keyedAmong(rows.values()), ask.now)
        for (const lease of leases) {
          const row = rows.get(lease.runId)
          if (!row || isFinal(row.state)) throw new Error(`queued task ${lease.runId} is ${row?.state ?? 'gone'}`)
          const refusal = refusalOf(row, lease, { now: ask.now, maxLost: on.maxLost })
          const isHeldBack = heldBack.has(row.id)
          if (!refusal && !isHeldBack && irreversible)
            await announce(tx, { row, lease, now: ask.now, ckpt: on.notBefore() })
          claimed.push({ lease, row, refusal, isHeldBack })
        }
        outcomes.push(claimed)
      }
      return outcomes
    },
  }

  /** Of several places none goes always first. */
  let turn = 0

  /** Claims up to `limit` from the places that are open, one after the other: what one gives, the next need not. */
  async function claimFrom(
    project: string,
    ask: { worker: string; limit: number; places: readonly WorkerPlace[] },
  ): Promise<Claimed[]> {
    const { paused, known } = await inProject(project, () =>
      db.read(async (tx) => ({
        paused: new Set(await listPaused(tx)),
        known: await registry.find(tx, [...new Set(ask.places.map(({ handler }) => handler))]),
      })),
    )
    const open = ask.places.filter((one) => !paused.has(one.queue) && known.get(one.handler)?.enabled === true)
    const at = turn++ % Math.max(1, open.length)
    const claimed: Claimed[] = []
    for (const one of [...open.slice(at), ...open.slice(0, at)]) {
      const now = clock.now()
      const limit = ask.limit - claimed.length
      if (limit === 0) break
      const { worker } = ask
      const asked: Ask = { queue: one.place, limit, worker, now, leaseUntil: now + on.leaseMs, except: [] }
      const irreversible = known.get(one.handler)?.sideEffect === 'irreversible'
      await queue.reserve(project, asked)
      claimed.push(...(await inProject(project, () => db.submit(claimCommand, { ask: asked, irreversible }))))
    }
    return claimed
  }

  async function handOut(project: string, worker: string, claimed: readonly Claimed[]): Promise<ClaimedTask[]> {
    const now = clock.now()
    const refused = claimed.flatMap(({ lease, row, refusal, isHeldBack }): End[] => {
      if (refusal)
        return [
          { next: 'settle', lease, row, ending: refusal, attempt: { ...attempted(now), events: row.event_count } },
        ]
      return isHeldBack ? [{ next: 'hold', lease, row }] : []
    })
    const fit = claimed.filter(({ refusal, isHeldBack }) => !refusal && !isHeldBack)
    // In clear: whoever may claim it is to do it.
    const inputs = await Promise.allSettled(fit.map(({ row }) => readInput(on, project, row)))
    const tasks: ClaimedTask[] = []
    const unread: End[] = []
    let away: unknown
    for (const [i, { lease, row }] of fit.entries()) {
      const input = inputs[i]!
      if (input.status === 'rejected' && isAway(input.reason)) {
        away = input.reason
        unread.push({ next: 'back', lease, row })
        continue
      }
      on.observe?.started(row.queue, row.handler)
      if (input.status === 'rejected') {
        const attempt = { ...attempted(now), worker, events: row.event_count }
        unread.push(endOf({ lease, row, ending: failureOf(input.reason), attempt, final: false }, on.random))
        continue
      }
      const deadline = row.deadline_at ?? Number.POSITIVE_INFINITY
      const endsAt = Math.min(deadline, now + row.timeout_ms)
      const by = endsAt === deadline ? 'deadline' : 'timeout'
      tasks.push({
        run_id: row.id,
        project_id: project,
        number: row.number,
        handler: row.handler,
        queue: row.queue,
        input: input.value ?? null,
        attempt: lease.attempt,
        claims: lease.fence,
        lease: texts.write({ lease, queue: row.queue, worker, startedAt: now, endsAt, by }),
        ends_in_ms: endsAt - now,
        concurrency_key: row.concurrency_key,
        ...traceHeaders(traceOf(row, attemptSpanId(row.id, lease.attempt))),
      })
    }
    await settleEnds(project, [...refused, ...unread])
    // Whoever asks again at once would only wait for the same store.
    if (away !== undefined && tasks.length === 0) throw away
    return tasks
  }

  const attempted = (now: number) => ({ worker: null, startedAt: now, endedAt: now, log: null, steps: 0 })

  async function settleEnds(project: string, ends: readonly End[]): Promise<readonly boolean[]> {
    if (ends.length === 0) return []
    const settled = await inProject(project, () => db.submit(settleCommand, ends))
    for (const [i, end] of ends.entries()) {
      if (!settled[i]) on.observe?.leaseLost()
      else if (end.next === 'settle' || end.next === 'retry') {
        const { row, lease, ending, attempt } = end
        const { startedAt, endedAt } = attempt
        on.observe?.ended({ row, attempt: lease.attempt, startedAt: startedAt ?? endedAt, endedAt, ending })
        if (end.next === 'settle') {
          on.observe?.settled(row, ending, endedAt)
          on.settled(row.id, ending.state)
        }
      }
    }
    return settled
  }

  const load = (project: string, held: readonly Held[]) =>
    inProject(project, () =>
      db.read((tx) =>
        loadWork(
          tx,
          held.map(({ lease }) => lease.runId),
        ),
      ),
    )

  function readLeases(caller: Caller, leases: readonly string[]): Held[] {
    return leases.map((text) => {
      const held = texts.read(text)
      if (held?.lease.project !== caller.project) throw new AppError('LEASE_INVALID')
      requireWorkerScope(caller, held.queue)
      return held
    })
  }

  const attemptOf = ({ worker, startedAt }: Held, row: WorkRow, log: string | undefined) => ({
    worker,
    startedAt,
    endedAt: clock.now(),
    log: log ? redactor.text(storable(log.slice(-MAX_LOG_CHARS))) : null,
    events: row.event_count,
    steps: 0,
  })

  /** What of its log is to be kept with the end of an attempt, as in the server's own lane. */
  function restOf({ lease }: Held, said: WorkResult, next: End['next']): NewChunk | undefined {
    const { log, log_rest: rest } = said
    if (rest === undefined && (log === undefined || next === 'settle')) return undefined
    const { runId, attempt, fence } = lease
    const all = log?.slice(-MAX_LOG_CHARS).split('\n') ?? []
    const missing = Math.max(0, (rest?.lines ?? 0) - all.length)
    const printed = all.slice(all.length - Math.min(all.length, rest?.lines ?? all.length))
    const first = rest?.first === undefined ? undefined : rest.first + missing
    const lines = { printed, leftOut: (rest?.left_out ?? 0) + missing, first }
    return lastChunk({ runId, attempt, fence, at: clock.now() }, lines, next)
  }

  async function endFor(
    project: string,
    held: Held,
    row: WorkRow,
    said: WorkResult,
    altered: string | undefined,
  ): Promise<End> {
    const { lease } = held
    const attempt = attemptOf(held, row, said.log)
    const costs = readCosts(said.costs)
    const end = (ending: Ending, final = false) => {
      const what = endOf({ lease, row, ending, attempt, final }, on.random)
      return { ...what, costs, rest: restOf(held, said, what.next) }
    }
    const back = (): End => ({ next: 'back', lease, row, costs, rest: restOf(held, said, 'back') })
    if (said.outcome === 'back') return back()
    if (said.outcome === 'wait' && row.cancel_requested_at === null) {
      const children = said.children ?? []
      const own = await inProject(project, () => db.read((tx) => findChildren(tx, row.id, children)))
      const strange = children.find((id) => !own.has(id))
      // Of another's child it could be that it waits for this one.
      if (strange !== undefined || children.length === 0) throw new AppError('NOT_A_CHILD', { task: strange ?? 'null' })
      const { startedAt } = held
      return { next: 'wait', lease, row, on: [...own], startedAt, costs, rest: restOf(held, said, 'wait') }
    }
    if (said.outcome === 'wait') return end(CANCELLED)
    // It gave up because it was refused what one that is to stop may not.
    if (said.error_code === 'TASK_STOPPING' && row.cancel_requested_at !== null) return end(CANCELLED)
    // Nobody asked for it, so the work was given up by itself.
    if (said.outcome === 'cancelled') return row.cancel_requested_at === null ? back() : end(CANCELLED)
    if (said.outcome === 'timeout') return end(held.by === 'deadline' ? PAST_DEADLINE : TIMED_OUT)
    if (said.outcome === 'failed')
      return end(failedWith(said.error_code ?? 'TASK_FAILED', said.error ?? ''), said.retryable === false)
    try {
      if (altered !== undefined) throw resultAltered(altered)
      const handlers = await inProject(project, () => db.read((tx) => registry.find(tx, [row.handler])))
      const handler = handlers.get(row.handler)
      return end(handler ? await resultOf(on, handler, project, said.result) : ended('failed', 'HANDLER_GONE', ''))
    } catch (error) {
      if (!(error instanceof TaskError)) throw error
      return end(failedWith(error.code, error.message), !error.retryable)
    }
  }

  const leaseKey = ({ runId, fence }: Lease) => `${runId} ${fence}`
  // A handler with many children asks many things under one lease.
  const findHeld = coalesceIn<WorkRow>(db, async (tx, keys) => {
    const leases = keys.map((key) => {
      const [runId, fence] = key.split(' ')
      return { runId: runId!, fence: Number(fence) }
    })
    const holds = await heldAmong(tx, leases)
    const rows = await loadWork(tx, [...new Set(leases.filter(holds).map(({ runId }) => runId))])
    return new Map(
      leases.flatMap((lease, i) => {
        const row = holds(lease) ? rows.get(lease.runId) : undefined
        return row ? [[keys[i]!, row]] : []
      }),
    )
  })

  /** A task that a worker holds, as what it asks the server for sees it. Throws SCOPE_NOT_ALLOWED, LEASE_INVALID, LEASE_LOST. */
  async function atWork(caller: Caller, text: string): Promise<AtWork> {
    const [held] = readLeases(caller, [text])
    const { lease } = held!
    const project = caller.project!
    const row = await findHeld(project, leaseKey(lease))
    if (!row || isFinal(row.state)) throw new AppError('LEASE_LOST')
    return { project, row, attempt: lease.attempt, lease }
  }

  const workers: Workers = {
    leaseMs: on.leaseMs,

    async claim(caller, ask, gone) {
      for (const name of ask.queues) requireWorkerScope(caller, name)
      const project = caller.project!
      const all = registry.examine(ask.handlers)
      if (registry.isNews(caller, ask.worker, all))
        await inProject(project, () => db.write((tx) => registry.register(tx, caller, ask.worker, all)))
      const places = ask.queues.flatMap((name) =>
        all.map(({ name: handler }) => ({ place: remotePlace(name, handler), queue: name, handler })),
      )
      const { worker, limit = 1 } = ask
      const end = performance.now() + (ask.wait_seconds ?? 0) * 1_000
      const waiter = {
        project,
        places: new Set(places.map(({ place }) => place)),
        hinted: new Set<string>(),
        wake() {},
      }
      // Before it is looked, so that what comes while it is looked is not missed.
      waiting.add(waiter)
      gone.addEventListener('abort', () => waiter.wake(), { once: true })
      try {
        for (let look = places; ; ) {
          const hint = Promise.withResolvers<void>()
          waiter.wake = hint.resolve
          const claimed = await claimFrom(project, { worker, limit, places: look })
          if (claimed.length > 0 && (gone.aborted || stopped)) {
            // Nobody hears the answer: back at once, rather than when the leases run out.
            await settleEnds(
              project,
              claimed.map(({ lease, row }) => ({ next: 'back', lease, row })),
            )
            return { tasks: [], lease_ms: on.leaseMs }
          }
          const tasks = await handOut(project, worker, claimed)
          const left = end - performance.now()
          if (tasks.length > 0 || left <= 0 || gone.aborted || stopped) return { tasks, lease_ms: on.leaseMs }
          if (waiter.hinted.size === 0) {
            const timer = setTimeout(hint.resolve, Math.min(left, POLL_MS))
            await hint.promise
            clearTimeout(timer)
          }
          look = waiter.hinted.size > 0 ? places.filter(({ place }) => waiter.hinted.has(place)) : places
          waiter.hinted.clear()
        }
      } finally {
        waiting.delete(waiter)
      }
    },

    async extend(caller, leases) {
      const project = caller.project!
      const all = readLeases(caller, leases)
      const now = clock.now()
      const over = all.filter((held) => held.endsAt <= now)
      const rows = over.length > 0 ? await load(project, over) : new Map<string, WorkRow>()
      // Its time is over whether the worker says so or not: here it is ended, and what the worker still says finds no lease.
      await settleEnds(
        project,
        over.flatMap((held): End[] => {
          const row = rows.get(held.lease.runId)
          if (!row) return []
          const ending = held.by === 'deadline' ? PAST_DEADLINE : TIMED_OUT
          const attempt = attemptOf(held, row, undefined)
          return [endOf({ lease: held.lease, row, ending, attempt, final: false }, on.random)]
        }),
      )
      const rest = all.filter((held) => held.endsAt > now)
      const { lost, stop } = await queue.extend(
        rest.map(({ lease }) => lease),
        now + on.leaseMs,
      )
      return all.map(({ lease, endsAt, by }) => {
        const run_id = lease.runId
        if (endsAt <= now) return { run_id, state: 'stop', reason: by }
        if (lost.includes(lease)) return { run_id, state: 'lost', reason: null }
        if (stop.includes(lease)) return { run_id, state: 'stop', reason: 'cancelled' }
        return { run_id, state: 'held', reason: null }
      })
    },

    async settle(caller, results, altered = []) {
      const project = caller.project!
      const all = readLeases(
        caller,
        results.map(({ lease }) => lease),
      )
      const rows = await load(project, all)
      // Twice in one request is once.
      const first = new Map(all.toReversed().map((held) => [`${held.lease.runId} ${held.lease.fence}`, held]))
      const ends = await Promise.all(
        all.map(async (held, i) => {
          if (first.get(`${held.lease.runId} ${held.lease.fence}`) !== held) return null
          const row = rows.get(held.lease.runId)
          if (!row || isFinal(row.state)) return null
          const place = `.results.${i}.result`
          const at = altered.find((path) => path === place || path.startsWith(`${place}.`))?.slice(place.length)
          return endFor(project, held, row, results[i]!, at)
        }),
      )
      const settled = await settleEnds(
        project,
        ends.filter((end) => end !== null),
      )
      let at = 0
      return all.map(({ lease }, i) => ({ run_id: lease.runId, settled: ends[i] === null ? false : settled[at++]! }))
    },

    async step(caller, { lease: text, name, result, took_ms = 0, costs: said }) {
      const [held] = readLeases(caller, [text])
      const { lease } = held!
      const project = caller.project!
      try {
        if (result === undefined) {
          const before = await steps.find(project, lease.runId, name)
          return { done: before !== undefined, result: before?.result ?? null }
        }
        const run = { project, id: lease.runId, attempt: lease.attempt, fence: lease.fence }
        const step = { name, startedAt: clock.now() - took_ms, value: result, costs: readCosts(said) ?? [] }
        const kept = await steps.keep(run, step, 'held')
        return { done: true, result: kept.result }
      } catch (error) {
        throw refusalIn(error)
      }
    },

    async dispatch(caller, { lease, name, task }) {
      const work = await atWork(caller, lease)
      return on.children.dispatch(work, name, task).catch((error) => {
        throw refusalIn(error)
      })
    },

    async wait(caller, { lease, child }) {
      const work = await atWork(caller, lease)
      const outcome = await on.children.outcome(work, child).catch((error) => {
        throw refusalIn(error, child)
      })
      return { outcome }
    },

    async ask(caller, asks) {
      // Whoever may not ask for one of them is refused, as everywhere, before any is looked at.
      readLeases(
        caller,
        asks.map(({ step, dispatch, wait }) => (step ?? dispatch ?? wait)!.lease),
      )
      // Together: what each asks of the store in this turn is one question or one command for all.
      return Promise.all(
        asks.map(async ({ step, dispatch, wait }) => {
          try {
            if (step) return { step: await workers.step(caller, step) }
            if (dispatch) return { dispatch: await workers.dispatch(caller, dispatch) }
            return { wait: await workers.wait(caller, wait!) }
          } catch (error) {
            if (error instanceof AppError && error.status < 500) return null
            throw error
          }
        }),
      )
    },

    async pauseKey(caller, { lease, key, until }) {
      const work = await atWork(caller, lease)
      await on.children.pauseKey(work, key, Date.parse(until))
    },

    async keepLines(caller, logs) {
      const all = readLeases(
        caller,
        logs.map(({ lease }) => lease),
      )
      const now = clock.now()
      const kept = new Map<string, number>()
      await inProject(caller.project!, () =>
        db.write(async (tx) => {
          const chunks: NewChunk[] = []
          // In the order of ids, as everybody locks them; of one task the first counts.
          const inOrder = all.map((held, i) => ({ held, i, ...logs[i]! }))
          inOrder.sort((a, b) => (a.held.lease.runId < b.held.lease.runId ? -1 : 1))
          // Locked, because a request that was given up may still be under way beside the one that repeats it.
          const leases = inOrder.map(({ held }) => held.lease)
          const holds = await heldAmong(tx, leases, 'lock')
          for (const { held, i, lines, left_out: leftOut = 0, first } of inOrder) {
            const { runId, attempt, fence } = held.lease
            if (kept.has(runId)) continue
            kept.set(runId, 0)
            if (!holds(held.lease)) continue
            if (first !== undefined && first <= leftOut) {
              const message = `must be more than left_out, which is ${leftOut}`
              throw new AppError('VALIDATION_FAILED', {}, { fields: [{ path: `body.logs.${i}.first`, message }] })
            }
            const told = first === undefined ? 0 : await countTold(tx, held.lease)
            if (first !== undefined && first - leftOut > told + 1)
              throw new AppError('LOG_GAP', { first, left_out: leftOut, told })
            const printed = lines.slice(0, lines.length - mayGoOn(lines))
            if (printed.length === 0) continue
            kept.set(runId, printed.length)
            const chunk: NewChunk = { runId, attempt, fence, printed, leftOut, at: now, last: false }
            chunks.push(first === undefined ? chunk : withoutTold(chunk, first, told))
          }
          await keepChunks(tx, chunks)
        }),
      )
      return all.map(({ lease }) => ({ run_id: lease.runId, kept: kept.get(lease.runId) ?? 0 }))
    },

    wake(where) {
      for (const one of waiting) {
        if (where !== null && (one.project !== where.project || !one.places.has(where.queue))) continue
        if (where !== null) one.hinted.add(where.queue)
        one.wake()
      }
    },
    stop() {
      stopped = true
      for (const one of waiting) one.wake()
    },
  }
  return workers
}

/** Throws COST_INVALID. */
function readCosts(said: WorkResult['costs']): readonly Cost[] | undefined {
  try {
    return costsSaid(said)
  } catch (error) {
    throw refusalIn(error)
  }
}

/** What a handler of the server is told as the code of its own failure, as the refusal of a request. */
function refusalIn(error: unknown, child = ''): unknown {
  if (!(error instanceof TaskError)) return error
  if (error.cause instanceof AppError) return error.cause
  if (error.code === 'DISPATCH_DENIED') return new AppError('DISPATCH_DENIED', {}, { cause: error })
  if (error.code === 'COST_INVALID') return new AppError('COST_INVALID', { reason: error.message }, { cause: error })
  if (error.code === 'WAIT_CIRCLE') return new AppError('WAIT_CIRCLE', { task: child }, { cause: error })
  if (error.code === 'NOT_A_CHILD') return new AppError('NOT_A_CHILD', { task: child }, { cause: error })
  return new AppError('STEP_INVALID', { reason: error.message }, { cause: error })
}
