import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { thrownText } from '@writ/api/thrown'
import type { Logger } from '../../../platform/log.ts'
import { Suspended, type TaskContext, TaskError } from '../handler.ts'
import type { Described, Failure, FromChild, Sources, ToChild } from './protocol.ts'

/** What work may ask for from inside its process. */
type Asked = Pick<TaskContext, 'step' | 'dispatch' | 'waitFor' | 'pauseKey' | 'cost'>

export interface PoolSettings {
  readonly dir: string
  /** The whole environment of a process. */
  readonly env: Readonly<Record<string, string>>
  /** Processes that are there at once, and so tasks. */
  readonly processes: number
  /** A process is replaced after so many tasks, */
  readonly maxTasks: number
  /** and ended when it takes more memory than this. */
  readonly memoryMb: number
  /** How long an aborted task has before its process is killed. */
  readonly patienceMs: number
  readonly log: Logger
}

/**
 * Processes that do the work of handlers, each for one version of the sources and one task at a time: so one that blocks,
 * leaks or crashes takes its own task with it and no other. Processes are started when there is work, replaced after a number
 * of tasks, and killed with all that they started.
 *
 * Stopped by a kill of the server: each process sees it within a second and ends.
 */
export interface HandlerPool {
  /** Looks at files of these sources in a process beside the others. Close it. */
  openReader(sources: Sources): Reader
  /** Throws TaskError: HANDLER_CRASHED, or what the handler threw. Says `ctx.began()` when a process is free. */
  run(sources: Sources, file: string, name: string, input: unknown, ctx: TaskContext): Promise<unknown>
  /** Processes that have nothing to do and hold other sources than these end now. */
  retire(current: readonly Sources[]): void
  close(): Promise<void>
}

export interface Reader {
  /** What a file exports as handlers; rejects with why it does not load. */
  read(file: string): Promise<readonly Described[]>
  close(): void
}

/** How long a file may take to load. */
const DESCRIBE_MS = 10_000
const LEAVE_MS = 2_000
const KEPT_ERRORS = 2_000
/** Of a line that does not end the newest so many characters are kept. */
const LONGEST_LINE = 64 * 1024
/** Of the memory: a process that took so much is replaced before another task pays for it. */
const FULL = 0.8
const child = fileURLToPath(new URL('./child.ts', import.meta.url))
/** What a file may import without installing it. */
const ours = Object.fromEntries(['@writ/sdk/handlers', 'typebox'].map((name) => [name, import.meta.resolve(name)]))

interface Process {
  readonly sources: Sources
  /** It can be asked, or is gone. */
  readonly ready: Promise<void>
  readonly gone: Promise<void>
  /** Aborted: told to stop, and killed `patienceMs` later. */
  ask(
    message: ToChild,
    on: Pick<TaskContext, 'signal' | 'log'> & Partial<Asked>,
  ): Promise<Extract<FromChild, { say: 'done' | 'described' }>>
  /** Whether it may have another task. */
  fit(): boolean
  /** Ends it, gently; it has nothing to do. */
  leave(): void
  kill(): void
}

interface Waiter {
  readonly sources: Sources
  take(process: Process): void
}

export function createHandlerPool(on: PoolSettings): HandlerPool {
  /** All that count, and those of them that have nothing to do. */
  const alive = new Set<Process>()
  const idle = new Set<Process>()
  const waiting = new Set<Waiter>()
  let closed = false

  function open(sources: Sources): Process {
    const process = openProcess(on, sources)
    alive.add(process)
    void process.gone.then(() => {
      alive.delete(process)
      idle.delete(process)
      serve()
    })
    return process
  }

  function dismiss(process: Process): void {
    alive.delete(process)
    idle.delete(process)
    process.leave()
  }

  /** A process for these sources if there may be one: one that waits, a new one, or a new one in place of one that holds others. */
  function find(sources: Sources): Process | undefined {
    const mine = [...idle].find((one) => one.sources === sources && one.fit())
    if (mine) {
      idle.delete(mine)
      return mine
    }
    const [other] = idle
    if (alive.size >= on.processes) {
      if (!other) return undefined
      dismiss(other)
    }
    return open(sources)
  }

  function serve(): void {
    for (const waiter of waiting) {
      if (closed) return
      const process = find(waiter.sources)
      if (!process) return
      waiting.delete(waiter)
      waiter.take(process)
    }
  }

  function acquire(sources: Sources, signal: AbortSignal): Promise<Process> {
    return new Promise((resolve, reject) => {
      const away = () => {
        waiting.delete(waiter)
        reject(signal.reason)
      }
      const waiter: Waiter = {
        sources,
        take(process) {
          signal.removeEventListener('abort', away)
          resolve(process)
        },
      }
      if (signal.aborted) return reject(signal.reason)
      signal.addEventListener('abort', away, { once: true })
      waiting.add(waiter)
      serve()
    })
  }

  function release(process: Process): void {
    if (!alive.has(process)) return
    if (closed || !process.fit()) dismiss(process)
    else idle.add(process)
    serve()
  }

  return {
    openReader(sources) {
      let process: Process | undefined
      return {
        async read(file) {
          process ??= openProcess(on, sources)
          await process.ready
          const limit = AbortSignal.timeout(DESCRIBE_MS)
          try {
            const answer = await process.ask({ say: 'describe', file }, { signal: limit, log() {} })
            return answer.say === 'described' ? answer.handlers : []
          } catch (error) {
            if (limit.aborted) throw new Error(`it did not load within ${DESCRIBE_MS / 1_000} seconds`)
            throw error
          } finally {
            // One that is blocked or gone reads nothing more.
            if (limit.aborted || !process.fit()) {
              process.kill()
              process = undefined
            }
          }
        },
        close: () => process?.kill(),
      }
    },
    async run(sources, file, name, input, ctx) {
      const process = await acquire(sources, ctx.signal)
      // How long a process takes to start is nothing to the task.
      await process.ready
      ctx.began?.()
      const { runId, project, attempt, traceparent, tracestate, concurrencyKey } = ctx
      const task = {
        file,
        name,
        input: JSON.stringify(input ?? null),
        runId,
        project,
        attempt,
        traceparent,
        tracestate,
      }
      try {
        const answer = await process.ask({ say: 'run', ...task, concurrencyKey }, ctx)
        return answer.say === 'done' ? JSON.parse(answer.result) : null
      } finally {
        release(process)
      }
    },
    retire(current) {
      for (const process of idle) if (!current.includes(process.sources)) dismiss(process)
      serve()
    },
    async close() {
      closed = true
      const all = [...alive]
      for (const process of all) process.kill()
      await Promise.all(all.map((process) => process.gone))
    },
  }
}

function openProcess(on: PoolSettings, sources: Sources): Process {
  const { log } = on
  const forked = fork(child, {
    cwd: on.dir,
    env: { ...on.env },
    execArgv: ['--disable-warning=ExperimentalWarning', `--max-old-space-size=${on.memoryMb}`],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // A group of its own, so that what it started can be ended with it.
    detached: true,
  })
  let dead = false
  /** It ends, and must not be given another task. */
  let ending = false
  let tasks = 0
  let full = false
  let errors = ''
  let current:
    | {
        readonly log: (line: string) => void
        readonly may: Partial<Asked>
        readonly over: (outcome: Error | Extract<FromChild, { say: 'done' | 'described' }>) => void
      }
    | undefined

  const kill = () => killGroup(forked)
  /** What came comes in pieces of any size: a line counts once it is whole, or a secret would go by in halves. */
  const begun = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    forked[name]!.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-KEPT_ERRORS)
      const lines = (begun[name] + text).split('\n')
      begun[name] = lines.pop()!.slice(-LONGEST_LINE)
      for (const line of lines) if (line !== '') current?.log(line)
    })
  /** What the work wrote last may have no end of its line; what the next one writes begins a line. */
  function endLines(): void {
    for (const line of [begun.stdout, begun.stderr]) if (line !== '') current?.log(line)
    begun.stdout = ''
    begun.stderr = ''
  }
  const { promise: ready, resolve: isReady } = Promise.withResolvers<void>()
  forked.on('message', (message: FromChild) => {
    if (message.say === 'ready') return isReady()
    if (message.say === 'lines') {
      for (const line of message.lines) current?.log(line)
      return
    }
    if (message.say === 'cost') return spend(message.usd, message.what)
    if (message.say === 'step') return startStep(message.id, message.name)
    if (message.say === 'ask') return answerFor(message)
    if (message.say === 'stepDone') return stepping.get(message.id)?.resolve(JSON.parse(message.result))
    if (message.say === 'stepFailed') return stepping.get(message.id)?.reject(errorOf(message.failure))
    if ('rss' in message) full = message.rss > FULL * on.memoryMb * 2 ** 20
    const mine = current
    // What was written before is in the pipes by now, and is read within this turn of the event loop.
    setImmediate(() => {
      if (mine === current) mine?.over(message.say === 'failed' ? errorOf(message) : message)
    })
  })
  /** The record of a step is kept here; its work is done there. */
  const stepping = new Map<number, PromiseWithResolvers<unknown>>()
  function startStep(id: number, name: string): void {
    const mine = current
    if (!mine?.may.step) return
    const work = () => {
      const done = Promise.withResolvers<unknown>()
      stepping.set(id, done)
      send({ say: 'stepGo', id })
      return done.promise.finally(() => stepping.delete(id))
    }
    mine.may.step(name, work).then(
      (value) => send({ say: 'stepIs', id, result: JSON.stringify(value ?? null) }),
      (error: unknown) => send({ say: 'stepNot', id, failure: failureOf(error) }),
    )
  }
  /** Looked at there already, and not believed: one that is none is not of our making, and ends attempt and process. */
  function spend(usd: number, what: string | undefined): void {
    try {
      current?.may.cost?.(usd, what)
    } catch (error) {
      ending = true
      current?.over(error as TaskError)
      kill()
    }
  }
  /** What the work asks for is done here, with the rights of the task. */
  function answerFor({ id, what, args }: Extract<FromChild, { say: 'ask' }>): void {
    const may = current?.may
    // What it says is not believed: each of these examines what it is given.
    const [first, second] = JSON.parse(args) as [string, never]
    const work = may && { dispatch: may.dispatch, waitFor: may.waitFor, pauseKey: may.pauseKey }[what]
    const done = work
      ? (work as (a: string, b: never) => Promise<unknown>)(first, second)
      : Promise.reject(new Error('no task runs here'))
    done.then(
      (value) => send({ say: 'answer', id, result: JSON.stringify(value ?? null) }),
      (error: unknown) =>
        send({ say: 'refusal', id, failure: failureOf(error), suspended: error instanceof Suspended }),
    )
  }
  const gone = new Promise<void>((resolve) => {
    const over = (how: string) => {
      if (dead) return
      dead = true
      const said = lastWords(errors)
      if (current)
        current.over(new TaskError('HANDLER_CRASHED', `The handler's process ended (${how}). ${said}`.trim()))
      else if (how !== 'exit code 0' && how !== 'SIGKILL') log.warn({ how, said }, 'an idle process of handlers ended')
      isReady()
      resolve()
    }
    // What it left running would outlive it, and hold its output open.
    forked.once('exit', kill)
    forked.once('close', (code, signal) => over(signal ?? `exit code ${code}`))
    forked.on('error', (error) => {
      if (forked.pid === undefined) over(error.message)
    })
  })
  forked.once('disconnect', () => {
    ending = true
  })
  const send = (message: ToChild) => {
    // One that is gone says so by its end.
    if (forked.connected) forked.send(message, () => {})
  }
  send({ say: 'begin', sources, ours, maxBytes: on.memoryMb * 2 ** 20 })

  return {
    sources,
    ready,
    gone,
    ask(message, may) {
      const { signal, log: keep } = may
      return new Promise((resolve, reject) => {
        let patience: NodeJS.Timeout | undefined
        const stop = () => {
          send({ say: 'abort', reason: signal.reason instanceof Error ? signal.reason.message : 'aborted' })
          patience = setTimeout(kill, message.say === 'run' ? on.patienceMs : 0)
        }
        tasks++
        current = {
          log: keep,
          may,
          over(outcome) {
            endLines()
            current = undefined
            stepping.clear()
            clearTimeout(patience)
            signal.removeEventListener('abort', stop)
            if (signal.aborted) reject(signal.reason)
            else if (outcome instanceof Error) reject(outcome)
            else resolve(outcome)
          },
        }
        if (dead) return current.over(new TaskError('HANDLER_CRASHED', `The handler's process ended. ${errors}`.trim()))
        send(message)
        if (signal.aborted) stop()
        else signal.addEventListener('abort', stop, { once: true })
      })
    },
    fit: () => !dead && !ending && !full && tasks < on.maxTasks,
    leave() {
      if (forked.connected) forked.disconnect()
      setTimeout(() => dead || kill(), LEAVE_MS).unref()
    },
    kill,
  }
}

/** What a process said at its end: its error without the stack of it, or else its last lines. */
function lastWords(errors: string): string {
  const lines = errors.trim().split('\n')
  const from = lines.findLastIndex((line) => /^(?:\w+: )?\w*Error\b/.test(line))
  if (from < 0) return lines.slice(-5).join('\n')
  const isStack = (line: string) => /^\s+at |^Node\.js v|^\s*$/.test(line)
  return lines
    .slice(from)
    .filter((line) => !isStack(line))
    .slice(0, 5)
    .join('\n')
}

function killGroup(forked: ChildProcess): void {
  if (forked.pid === undefined) return
  try {
    process.kill(-forked.pid, 'SIGKILL')
  } catch {
    // It is gone already.
  }
}

const errorOf = ({ code, message, retryable }: Failure): TaskError =>
  new TaskError(code ?? 'TASK_FAILED', message, { retryable })

const failureOf = (error: unknown): Failure => ({
  code: error instanceof TaskError ? error.code : null,
  message: error instanceof TaskError ? error.message : thrownText(error),
  retryable: !(error instanceof TaskError) || error.retryable,
})
