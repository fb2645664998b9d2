import type { ClaimedTask, WorkerHandler, WorkResult } from '@writ/api'
import { fieldFault } from '@writ/api/handler-fields'
import { isStepName } from '@writ/api/step-name'
import { thrownText } from '@writ/api/thrown'
import type { Static, TSchema } from 'typebox'
import { createAsk } from './asks.ts'
import type { Client } from './calls.ts'
import { createCosts } from './costs.ts'
import { WritError } from './errors.ts'
import { type HandlerContext, type HandlerDefinition, type Outcome, TaskError } from './handlers.ts'
import { createLines } from './lines.ts'

export { type Dispatched, type HandlerContext, type Outcome, TaskError } from './handlers.ts'

export interface WorkerOptions {
  /** Queues to take from; an API token needs the scope `worker:<queue>` for each. `api` when left out. */
  readonly queues?: readonly string[]
  /** Tasks that run at once, 1 or more; 10 when left out. */
  readonly concurrency?: number
  /** What attempts are shown as done by; made up when left out. Two that run at once should differ. */
  readonly name?: string
  /** How long work has after `run` was told to stop, in milliseconds, before it goes back; 10 seconds when left out. */
  readonly graceMs?: number
  /** Hears of what goes wrong and is tried again: the server away, a lease lost. Nothing is written anywhere by itself. */
  readonly onError?: (error: unknown) => void
}

export interface Worker {
  /**
   * Before `run`. The contract is told to the server; a name may be given once. Throws a TypeError on a field that there is not: nothing
   * else would tell that a misspelt limit is none.
   */
  handle<const I extends TSchema>(
    name: string,
    contract: Omit<HandlerDefinition<I>, 'name' | 'run' | 'concurrency'>,
    run: (input: Static<I>, context: HandlerContext) => unknown,
  ): void
  /**
   * Works until the signal aborts; then it claims no more, gives what runs its grace, and hands the rest back. Rejects only on
   * a refusal that no other try can mend: no right to a queue, a contract that is none.
   */
  run(signal: AbortSignal): Promise<void>
}

interface Work {
  readonly task: ClaimedTask
  readonly abort: AbortController
  /** Made with its first line. */
  log: ReturnType<typeof createLines> | null
  /** Made when it first says what it costs. */
  costs: ReturnType<typeof createCosts> | null
  /** When the oldest line was printed that was not sent; null if all were. */
  printedAt: number | null
  /** Lines are under way: what became of it is said after that. */
  telling: Promise<void> | null
  /** Until when the lease holds, on this machine's monotonic clock. */
  until: number
  /** Children whose end it waits for: given back, it comes again when they have ended. */
  readonly awaits: Set<string>
  /** Questions about children that were not answered yet. */
  readonly asking: Set<Promise<Outcome>>
  /** Of its steps and children so far, under the first lease. */
  readonly names: Set<string>
  over: boolean
  why: 'cancelled' | 'timeout' | 'lost' | 'stopping' | null
}

const CLAIM_SECONDS = 20
const MAX_CLAIM = 100
const MAX_BATCH = 50
/** Of all results that are sent together; a server takes a body of 1 MiB. */
const MAX_BATCH_CHARS = 256 * 1024
/** In bytes, of which no character has less than one: what is at the border the server decides. */
const MAX_RESULT_CHARS = 1024 * 1024
const MAX_STEP_CHARS = 64 * 1024
/** Lines are sent so long after they were printed, unless the task ends before. */
const TELL_MS = 400
/** Of all tasks that are told of together; a server takes a body of 1 MiB. */
const MAX_TOLD = 4
/** Children that one answer says are waited for. Where there are more, it is called again when these have ended. */
const MOST_AWAITED = 10_000
/** Of a server of before, which tells no `claims`. */
const MOST_AWAITED_BEFORE = 1_000
const FIRST_PAUSE_MS = 200
const LAST_PAUSE_MS = 10_000
/** So long before its lease runs out work is stopped: an answer needs its time too. */
const MARGIN_MS = 2_000

/**
 * A worker of tasks in this process: `worker.handle('name', contract, fn)`, then `await worker.run(signal)`. It claims and settles
 * in batches, keeps leases alive, and stops work whose lease it could not extend, on a clock that nobody sets. What it does is
 * done at least once: another worker gets the task if this one is gone, or cut off. Throws a TypeError on a number that is none.
 */
export function createWorker(client: Client, options: WorkerOptions = {}): Worker {
  const { queues = ['api'], concurrency = 10, graceMs = 10_000, onError = () => {} } = options
  // With a variable that is not set, as with none at all, it would claim nothing for ever, without a word.
  if (!(concurrency >= 1)) throw new TypeError(`concurrency is a number from 1 on, not ${concurrency}`)
  if (!(graceMs >= 0)) throw new TypeError(`graceMs is a number of milliseconds, not ${graceMs}`)
  const name = options.name ?? `sdk-${crypto.randomUUID().slice(0, 8)}`
  const handlers = new Map<string, { contract: WorkerHandler; run(input: unknown, context: HandlerContext): unknown }>()
  const active = new Set<Work>()
  const outbox: { work: Work; result: WorkResult; size: number }[] = []
  let leaseMs = 30_000
  let sending = false
  const put = createAsk(client)
  const told = new WeakSet<Error>()
  let extendAt = 0
  let room = Promise.withResolvers<void>()
  let tells = true
  let tellTimer: ReturnType<typeof setTimeout> | undefined

  /** Ends at the time of the attempt, and when the lease is about to run out. */
  async function perform(work: Work): Promise<void> {
    const { task } = work
    const timer = setTimeout(() => interrupt(work, 'timeout'), Math.min(task.ends_in_ms, 2 ** 31 - 1))
    let result: Omit<WorkResult, 'lease'>
    try {
      const found = handlers.get(task.handler)
      if (!found) throw new TaskError('HANDLER_GONE', `this worker has no handler ${task.handler}`)
      const stopped = new Promise<never>((_, reject) => {
        work.abort.signal.addEventListener('abort', () => reject(work.abort.signal.reason), { once: true })
      })
      // A handler that does not listen is not waited for; what it still does settles nothing.
      const value = await Promise.race([
        Promise.resolve(
          found.run(task.input, {
            runId: task.run_id,
            project: task.project_id,
            attempt: task.attempt,
            signal: work.abort.signal,
            log: (line) => print(work, String(line)),
            cost(usd, what) {
              if (work.over) return
              work.costs ??= createCosts()
              work.costs.add(usd, what)
            },
            step: (name, part) => stepOf(work, name, part),
            ...childrenOf(work),
          }),
        ),
        stopped,
      ])
      result = { outcome: 'completed', result: value ?? null }
    } catch (error) {
      result = failureOf(error)
    }
    // Of many children the first that has not ended stops it. The others are waited for as well, or it began again after each.
    if (work.awaits.size > 0) await Promise.allSettled(work.asking)
    clearTimeout(timer)
    work.over = true
    if (work.why === 'cancelled' || work.why === 'timeout') result = { outcome: work.why }
    if (work.why === 'stopping') result = { outcome: 'back' }
    // Whatever the handler made of it: it was told that it will be called again.
    if (work.why === null && work.awaits.size > 0)
      result = { outcome: 'wait', children: [...work.awaits].slice(0, mostAwaited(task)) }
    if (work.why === 'lost') return forget(work)
    await work.telling
    send(work, { ...result, lease: task.lease, ...work.log?.result(), ...work.costs?.take() })
  }

  /** Asked for before it is done, and kept under the lease: a worker that lost it keeps nothing. */
  async function stepOf<T>(work: Work, name: string, part: () => Promise<T> | T): Promise<T> {
    const { lease } = work.task
    // Under the first lease it is there only if this attempt began it.
    if (beginStep(work, name)) {
      const before = await ask(work, (signal) => put('step', { lease, name }, signal))
      // What the step answered then is what it answers now.
      if (before.done) return before.result as T
    }
    const began = performance.now()
    const value = await part()
    const took_ms = Math.round(performance.now() - began)
    const text = jsonOf(value)
    if (text === undefined || text.length > MAX_STEP_CHARS)
      throw new TaskError('STEP_RESULT_INVALID', `The result of step "${name}" is no JSON of at most 64 KiB`, {
        retryable: false,
      })
    const said = work.costs?.take() ?? {}
    const body = { lease, name, result: value ?? null, took_ms, ...said }
    try {
      return (await ask(work, (signal) => put('step', body, signal))).result as T
    } catch (error) {
      work.costs?.giveBack(said)
      throw error
    }
  }

  /** Answers whether one of this name may be there, as the claim says, or the server has to say that there can be none. */
  function beginStep(work: Work, name: string): boolean {
    if (work.task.claims !== 1 || !isStepName(name)) return true
    const isThere = work.names.has(name)
    work.names.add(name)
    return isThere
  }

  async function outcomeOf(work: Work, child: string): Promise<Outcome> {
    const { lease } = work.task
    const { outcome } = await ask(work, (signal) => put('wait', { lease, child }, signal))
    if (outcome) return outcome
    work.awaits.add(child)
    throw new Suspended(child)
  }

  /** What the work may do with other tasks: each is asked of the server, under the lease. */
  function childrenOf(
    work: Work,
  ): Pick<HandlerContext, 'dispatch' | 'waitFor' | 'concurrencyKey' | 'pauseKey' | 'traceparent' | 'tracestate'> {
    const { lease, concurrency_key, traceparent, tracestate = null } = work.task
    return {
      async dispatch(name, task) {
        // What is no JSON is no server that is away.
        JSON.stringify(task)
        beginStep(work, name)
        return ask(work, (signal) => put('dispatch', { lease, name, task }, signal))
      },
      waitFor(child) {
        const asked = outcomeOf(work, typeof child === 'string' ? child : child.id)
        work.asking.add(asked)
        const answered = () => void work.asking.delete(asked)
        asked.then(answered, answered)
        return asked
      },
      concurrencyKey: concurrency_key,
      async pauseKey(key, until) {
        const end = new Date(until)
        if (Number.isNaN(end.getTime()))
          throw new TaskError('KEY_PAUSE_INVALID', 'A pause needs an end', { retryable: false })
        const body = { lease, key, until: end.toISOString() }
        await ask(work, (signal) => client.workers.pauseKey({ body, signal }))
      },
      traceparent,
      tracestate,
    }
  }

  /**
   * Asks the server for something that is the same when it is asked for twice. While there is no answer it asks again, as long as the
   * lease holds: a server that is away is no failure of the work. A refusal is one that no other try mends.
   */
  async function ask<T>(work: Work, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal } = work.abort
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LAST_PAUSE_MS, pauseMs * 2)) {
      try {
        return await call(signal)
      } catch (error) {
        if (signal.aborted) throw signal.reason
        if (error instanceof WritError && error.code === 'LEASE_LOST') interrupt(work, 'lost')
        // Heard here before the lease was extended.
        else if (error instanceof WritError && error.code === 'TASK_STOPPING') interrupt(work, 'cancelled')
        else if (error instanceof WritError && error.status < 500 && error.status !== 429)
          throw new TaskError(error.code, error.detail, { retryable: false, cause: error })
        else tellOnce(error)
        await pause(pauseMs, signal)
        if (signal.aborted) throw signal.reason
      }
    }
  }

  /** What many asked together failed together. */
  function tellOnce(error: unknown): void {
    if (error instanceof Error && told.has(error)) return
    if (error instanceof Error) told.add(error)
    onError(error)
  }

  function print(work: Work, line: string): void {
    if (work.over) return
    work.log ??= createLines()
    work.log.add(line)
    work.printedAt ??= performance.now()
    if (tellTimer === undefined && tells) tellTimer = setTimeout(tell, TELL_MS)
  }

  /** Sends what tasks printed a while ago. What does not arrive goes with the next lines, or with what became of the task. */
  function tell(): void {
    tellTimer = undefined
    const before = performance.now() - TELL_MS / 2
    const due = [...active].filter((one) => !one.over && one.telling === null && (one.printedAt ?? before) < before)
    const told = due
      .slice(0, MAX_TOLD)
      .flatMap((work) => (work.log === null ? [] : { work, log: work.log, ...work.log.unsent() }))
      .filter(({ lines }) => lines.length > 0)
    if (told.length > 0) {
      const sending = sendLines(told)
      for (const { work } of told)
        work.telling = sending.finally(() => {
          work.telling = null
        })
    }
    const waits = [...active].some((one) => !one.over && one.printedAt !== null)
    if (waits && tells) tellTimer = setTimeout(tell, due.length > MAX_TOLD ? 0 : TELL_MS)
  }

  async function sendLines(
    told: readonly {
      work: Work
      log: ReturnType<typeof createLines>
      lines: string[]
      leftOut: number
      begin: number
    }[],
  ): Promise<void> {
    const logs = told.map(({ work, lines, leftOut, begin }) => ({
      lease: work.task.lease,
      lines,
      left_out: leftOut,
      first: begin + 1,
    }))
    for (const { work } of told) work.printedAt = null
    try {
      const { logs: answers } = await client.workers.log({ body: { logs }, signal: AbortSignal.timeout(leaseMs / 3) })
      for (const [i, { work, log, lines, begin }] of told.entries()) {
        const { kept } = answers[i]!
        if (kept > 0) log.sentUpTo(begin + kept)
        if (kept < lines.length) work.printedAt ??= performance.now()
      }
    } catch (error) {
      // A server that does not know this yet: everything goes with the results.
      if (error instanceof WritError && error.status < 500 && error.status !== 429) tells = false
      else
        for (const { work, log } of told) {
          // It may have arrived after all: the server keeps what has a number once.
          log.doubt()
          work.printedAt ??= performance.now()
        }
      onError(error)
    }
  }

  function interrupt(work: Work, why: NonNullable<Work['why']>): void {
    if (work.over || work.why !== null) return
    work.why = why
    work.abort.abort(new Error(`the task is to stop: ${why}`))
  }

  function forget(work: Work): void {
    active.delete(work)
    room.resolve()
    room = Promise.withResolvers()
  }

  function send(work: Work, result: WorkResult): void {
    const { result: value, ...rest } = result
    const text = jsonOf(value)
    // As the server would, without sending it.
    if (text === undefined) result = { ...rest, ...failedFor('RESULT_INVALID', 'The result is not JSON') }
    else if (text.length > MAX_RESULT_CHARS)
      result = {
        ...rest,
        ...failedFor('RESULT_TOO_LARGE', `The result has ${text.length} characters; at most ${MAX_RESULT_CHARS} bytes`),
      }
    const size = JSON.stringify(rest).length + (text?.length ?? 0)
    outbox.push({ work, result, size })
    if (sending) return
    sending = true
    void flush()
  }

  /** What ended meanwhile goes together. Tried again as long as the leases hold; the fence decides what counts. */
  async function flush(): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS
    let most = MAX_BATCH
    while (outbox.length > 0) {
      // Whatever ends in this turn comes along.
      await new Promise((later) => setTimeout(later, 0))
      const batch = outbox.slice(0, 1)
      let size = batch[0]!.size
      for (const one of outbox.slice(1, most)) {
        size += one.size
        if (size > MAX_BATCH_CHARS) break
        batch.push(one)
      }
      try {
        const { results } = await client.workers.settle({ body: { results: batch.map((one) => one.result) } })
        for (const [i, { settled, run_id }] of results.entries()) {
          const { why } = batch[i]!.work
          // What is over its time, or was called off, the server ends too, if it hears of the lease first.
          if (!settled && why !== 'timeout' && why !== 'cancelled')
            onError(new Error(`the lease of task ${run_id} was lost; nothing of it was settled`))
        }
        for (const { work } of batch) forget(work)
        outbox.splice(0, batch.length)
        pauseMs = FIRST_PAUSE_MS
      } catch (error) {
        onError(error)
        const hopeless = error instanceof WritError && error.status < 500 && error.status !== 429
        if (hopeless && batch.length > 1) {
          // One of them spoils it for all: each by itself tells which.
          most = 1
          continue
        }
        if (hopeless) {
          // A result that is too long for the server, say: the attempt fails, and says why.
          const [{ work, result }] = batch as [(typeof outbox)[number]]
          outbox.shift()
          if (result.outcome === 'failed') forget(work)
          else {
            const failed = { error_code: 'RESULT_REFUSED', error: error.message.slice(0, 1_000), retryable: false }
            outbox.unshift({ work, result: { lease: result.lease, outcome: 'failed', ...failed }, size: 1_000 })
          }
          continue
        }
        // Somebody else has those by now.
        const now = performance.now()
        for (const one of outbox.filter(({ work }) => work.until <= now)) {
          outbox.splice(outbox.indexOf(one), 1)
          forget(one.work)
        }
        await pause(pauseMs)
        pauseMs = Math.min(LAST_PAUSE_MS, pauseMs * 2)
      }
    }
    // In the turn in which nothing was left: what comes next begins anew.
    sending = false
  }

  async function extendAll(): Promise<void> {
    const all = [...active]
    for (let at = 0; at < all.length; at += 500) {
      const some = all.slice(at, at + 500)
      const asked = performance.now()
      const answer = await client.workers.extend({
        body: { leases: some.map(({ task }) => task.lease) },
        signal: AbortSignal.timeout(leaseMs / 3),
      })
      for (const [i, { state, reason }] of answer.leases.entries()) {
        const work = some[i]!
        if (state === 'held') work.until = asked + answer.lease_ms
        else if (state === 'lost' || reason !== 'cancelled') interrupt(work, 'lost')
        else interrupt(work, 'cancelled')
      }
    }
  }

  /** Looks after the leases until told to stop. */
  async function beat(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const now = performance.now()
      for (const work of active)
        if (work.until - MARGIN_MS <= now) {
          if (work.why === null && !work.over)
            onError(new Error(`the lease of task ${work.task.run_id} could not be kept`))
          interrupt(work, 'lost')
        }
      if (active.size > 0 && now >= extendAt) {
        extendAt = now + leaseMs / 4
        await extendAll().catch(onError)
      }
      await pause(Math.min(500, leaseMs / 8), stop)
    }
  }

  async function claim(signal: AbortSignal): Promise<void> {
    const asked = performance.now()
    const answer = await client.workers.claim({
      body: {
        worker: name,
        queues: [...queues],
        handlers: [...handlers.values()].map(({ contract }) => contract),
        limit: Math.min(MAX_CLAIM, concurrency - active.size),
        wait_seconds: CLAIM_SECONDS,
      },
      signal,
    })
    leaseMs = answer.lease_ms
    // The lease began somewhere between question and answer, and how long the answer took is not known: so from the question on,
    // and what is left after a long wait is extended at once.
    const until = asked + answer.lease_ms
    if (performance.now() - asked > leaseMs / 8) extendAt = 0
    for (const task of answer.tasks) {
      const work: Work = {
        task,
        abort: new AbortController(),
        log: null,
        costs: null,
        printedAt: null,
        telling: null,
        until,
        awaits: new Set(),
        asking: new Set(),
        names: new Set(),
        over: false,
        why: null,
      }
      active.add(work)
      void perform(work)
    }
  }

  return {
    handle(handler, contract, run) {
      if (handlers.has(handler)) throw new TypeError(`the worker has a handler ${handler} already`)
      requireFields(handler, contract)
      const { title, input, output, queue, timeoutMs, maxAttempts, ttlMs, sideEffect, perKey } = contract
      const told = JSON.parse(
        JSON.stringify({
          name: handler,
          title,
          input,
          output,
          queue: queue ?? queues[0],
          timeout_ms: timeoutMs,
          max_attempts: maxAttempts,
          ttl_ms: ttlMs,
          side_effect: sideEffect,
          per_key: perKey && {
            concurrency: perKey.concurrency,
            rate: perKey.rate && { limit: perKey.rate.limit, period_ms: perKey.rate.periodMs },
          },
        }),
      ) as WorkerHandler
      // The server has checked the input against the schema that gives it its type.
      handlers.set(handler, {
        contract: told,
        run: (value, context) => run(value as Static<typeof input & TSchema>, context),
      })
    },
    async run(signal) {
      if (handlers.size === 0) throw new TypeError('the worker has no handlers: call handle() first')
      const stopped = aborted(signal)
      const beats = new AbortController()
      const beating = beat(beats.signal)
      let pauseMs = FIRST_PAUSE_MS
      try {
        while (!signal.aborted) {
          if (active.size >= concurrency) {
            await Promise.race([room.promise, stopped])
            continue
          }
          try {
            await claim(signal)
            pauseMs = FIRST_PAUSE_MS
          } catch (error) {
            if (signal.aborted) break
            if (error instanceof WritError && [401, 403, 404, 409, 422].includes(error.status)) throw error
            onError(error)
            await pause(pauseMs * (0.75 + Math.random() / 2), signal)
            pauseMs = Math.min(LAST_PAUSE_MS, pauseMs * 2)
          }
        }
      } finally {
        await drainedWithin(graceMs)
        for (const work of active) interrupt(work, 'stopping')
        // As long as the leases hold, what became of the work can still be said.
        await drainedWithin(leaseMs)
        beats.abort()
        await beating
      }
    },
  }

  async function drained(): Promise<void> {
    while (active.size > 0) await room.promise
  }

  async function drainedWithin(ms: number): Promise<void> {
    const over = new AbortController()
    await Promise.race([drained(), pause(ms, over.signal)])
    // Or the timer would keep the process.
    over.abort()
  }
}

const FIELDS = ['title', 'input', 'output', 'queue', 'timeoutMs', 'maxAttempts', 'ttlMs', 'sideEffect', 'perKey']

/** A definition that a folder of handlers uses too may be given as it is, but for what would count there and not here. */
function requireFields(name: string, contract: object): void {
  if ('concurrency' in contract)
    throw new TypeError(`handler ${name}: createWorker takes concurrency, for all handlers of the worker together`)
  const fault = fieldFault(contract, 'name' in contract && contract.name === name ? [...FIELDS, 'name'] : FIELDS)
  if (fault !== undefined) throw new TypeError(`handler ${name}: ${fault}`)
}

/** Thrown by `waitFor`: the work goes on when the child has ended. */
class Suspended extends Error {
  override readonly name = 'Suspended'
  constructor(child: string) {
    super(`waits for task ${child}`)
  }
}

function failureOf(error: unknown): Omit<WorkResult, 'lease'> {
  if (!(error instanceof TaskError)) return { outcome: 'failed', error: thrownText(error).slice(0, 5_000) }
  const code = /^[A-Z][A-Z0-9_]{0,99}$/.test(error.code) ? { error_code: error.code } : {}
  return { outcome: 'failed', error: error.message.slice(0, 5_000), retryable: error.retryable, ...code }
}

// Typed as always there, because the server of this version says it.
const mostAwaited = ({ claims }: Partial<ClaimedTask>): number =>
  claims === undefined ? MOST_AWAITED_BEFORE : MOST_AWAITED

const failedFor = (error_code: string, error: string) =>
  ({ outcome: 'failed', error_code, error, retryable: false }) as const

/** Undefined if it is none; nothing is null, as in the server. */
function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value ?? null)
  } catch {
    return undefined
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })

const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    if (signal?.aborted) done()
    else signal?.addEventListener('abort', done, { once: true })
  })
