// A process of handlers: imports files of the folder as the server read them, and does one task at a time. It has no secret
// of ours and no way to the database; what goes wrong in it ends it and nothing else.
import { Console } from 'node:console'
import { registerHooks } from 'node:module'
import { Writable } from 'node:stream'
import { Worker } from 'node:worker_threads'
import { createCostCheck } from '@writ/api/costs'
import { fieldFault } from '@writ/api/handler-fields'
import { thrownText } from '@writ/api/thrown'
import type { Asking, Described, Failure, FromChild, ToChild } from './protocol.ts'

/** A result longer than this is refused here, before it travels; the server refuses what is less and still too long. */
const MAX_RESULT_CHARS = 4 * 1024 * 1024
/** So much of a task's log is sent as it is written; then what is newest, a few times a second. */
const PROMPT_CHARS = 64 * 1024
const KEPT_CHARS = 64 * 1024
const LOG_MS = 200

interface Step {
  work(): unknown
  resolve(value: unknown): void
  reject(error: unknown): void
  /** What the work itself threw: whoever called the step gets that, and not its copy. */
  thrown?: unknown
}

interface Definition {
  readonly name: string
  run(input: unknown, context: object): unknown
}

const say = (message: FromChild) => void process.send!(message)
let running: AbortController | null = null
let log = createLog()
/** Steps of the task that runs, by their number. */
let steps = new Map<number, Step>()
let stepsAsked = 0
/** What the server was asked for, by its number. */
let asked = new Map<number, PromiseWithResolvers<unknown>>()

// Handlers of many files write with console; while a task runs, its lines are the task's.
globalThis.console = new Console({ stdout: lineStream(), stderr: lineStream() })

process.on('disconnect', () => process.exit(0))
process.on('message', (message: ToChild) => {
  if (message.say === 'begin') begin(message)
  else if (message.say === 'abort') running?.abort(new Error(message.reason))
  else if (message.say === 'stepGo') void goStep(message.id)
  else if (message.say === 'stepIs') endStep(message.id)?.resolve(JSON.parse(message.result))
  else if (message.say === 'stepNot') failStep(message)
  else if (message.say === 'answer') endAsking(message.id)?.resolve(JSON.parse(message.result))
  else if (message.say === 'refusal') {
    const { message: text, code, retryable } = message.failure
    const name = message.suspended ? { name: 'Suspended' } : {}
    endAsking(message.id)?.reject(Object.assign(new Error(text), { code: code ?? undefined, retryable, ...name }))
  } else if (message.say === 'describe')
    answer(async () => say({ say: 'described', handlers: await describe(message.file) }))
  else answer(() => run(message))
})

/** Has the server do something for the task that runs; what it refuses is thrown. */
function ask(what: Asking, args: unknown): Promise<unknown> {
  const id = ++stepsAsked
  const answer = Promise.withResolvers<unknown>()
  asked.set(id, answer)
  say({ say: 'ask', id, what, args: JSON.stringify(args) })
  return answer.promise
}

function endAsking(id: number): PromiseWithResolvers<unknown> | undefined {
  const answer = asked.get(id)
  asked.delete(id)
  return answer
}

/** The server keeps what a step answers, and knows whether it was done before. */
function askStep(name: unknown, work: () => unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const id = ++stepsAsked
    steps.set(id, { work, resolve, reject })
    say({ say: 'step', id, name: String(name) })
  })
}

async function goStep(id: number): Promise<void> {
  const step = steps.get(id)
  if (!step) return
  try {
    const value = (await step.work()) ?? null
    const result = JSON.stringify(value) as string | undefined
    if (result === undefined) throw never('STEP_RESULT_INVALID', 'The result of a step is not JSON')
    say({ say: 'stepDone', id, result })
  } catch (error) {
    step.thrown = error
    say({ say: 'stepFailed', id, failure: failureOf(error) })
  }
}

function endStep(id: number): Step | undefined {
  const step = steps.get(id)
  steps.delete(id)
  return step
}

function failStep({ id, failure }: Extract<ToChild, { say: 'stepNot' }>): void {
  const step = endStep(id)
  step?.reject(
    step.thrown ?? Object.assign(new Error(failure.message), { ...failure, code: failure.code ?? undefined }),
  )
}

function answer(work: () => Promise<void>): void {
  work().catch(async (error: unknown) => {
    log.flush()
    await writesHaveLeft()
    const { code, message, retryable } = failureOf(error)
    say({ say: 'failed', code, message, retryable, rss: process.memoryUsage.rss() })
  })
}

/** Own words of a handler are a TaskError, or whatever looks like one: the module that it comes from may be another copy of ours. */
function failureOf(error: unknown): Failure {
  const own = error as { code?: unknown; retryable?: unknown }
  return error instanceof Error && typeof own.code === 'string' && typeof own.retryable === 'boolean'
    ? { code: own.code, message: error.message, retryable: own.retryable }
    : { code: null, message: thrownText(error), retryable: true }
}

/** From here on, modules of the folder are what the server read, whatever the disk says by now. */
function begin({ sources, ours, maxBytes }: Extract<ToChild, { say: 'begin' }>): void {
  registerHooks({
    resolve(specifier, context, next) {
      if (/^(\.{0,2}\/|file:)/.test(specifier)) {
        const url = new URL(specifier, context.parentURL).href
        if (Object.hasOwn(sources, url)) return { url, format: formatOf(url), shortCircuit: true }
      }
      const own = Object.hasOwn(ours, specifier) ? ours[specifier] : undefined
      if (own === undefined) return next(specifier, context)
      try {
        return next(specifier, context)
      } catch {
        return next(own, context)
      }
    },
    load(url, context, next) {
      const source = Object.hasOwn(sources, url) ? sources[url] : undefined
      return source === undefined ? next(url, context) : { format: formatOf(url), source, shortCircuit: true }
    },
  })
  // A thread of its own, because the main one may be blocked by a handler.
  const watchdog = new Worker(new URL('./watchdog.ts', import.meta.url), {
    workerData: { parent: process.ppid, maxBytes },
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
  watchdog.unref()
  say({ say: 'ready' })
}

const formatOf = (url: string): string =>
  url.endsWith('.json') ? 'json' : /\.m?ts$/.test(url) ? 'module-typescript' : 'module'

const isDefinition = (value: unknown): value is Definition =>
  typeof value === 'object' && value !== null && 'name' in value && 'run' in value && typeof value.run === 'function'

/** What a file exports as handlers: by default or by name, one or an array of them. */
async function handlersIn(file: string): Promise<Definition[]> {
  const module = (await import(file)) as Record<string, unknown>
  const found = Object.values(module).flat(1).filter(isDefinition)
  if (found.length === 0) throw new Error('the file exports no handler: an object with name and run')
  return [...new Set(found)]
}

async function describe(file: string): Promise<Described[]> {
  const found = await handlersIn(file).catch((error: unknown) => {
    const place = placeOf(error)
    throw place === undefined ? error : new Error(`${thrownText(error)} (${place})`)
  })
  return found.map((handler) => {
    const fault = fieldFault(handler, FIELDS)
    if (fault !== undefined) throw new Error(`handler ${handler.name}: ${fault}`)
    const { name, title, input, output, queue, timeoutMs, maxAttempts, ttlMs, concurrency, sideEffect, perKey } =
      handler as unknown as Described
    return { name, title, input, output, queue, timeoutMs, maxAttempts, ttlMs, concurrency, sideEffect, perKey }
  })
}

/** File and line of the folder at which something was thrown or could not be parsed, as far as the stack says so. */
function placeOf(error: unknown): string | undefined {
  const lines = error instanceof Error ? (error.stack ?? '').split('\n') : []
  const folder = `${process.cwd()}/`
  for (const line of lines) {
    const [, file, at] = /(?:^|file:\/\/|\()(\/[^()]*?):(\d+)(?::\d+)?\)?$/.exec(line) ?? []
    if (file?.startsWith(folder)) return `${file.slice(folder.length)}:${at}`
  }
  return undefined
}

const FIELDS = [
  'name',
  'title',
  'input',
  'output',
  'queue',
  'timeoutMs',
  'maxAttempts',
  'ttlMs',
  'concurrency',
  'sideEffect',
  'perKey',
  'run',
]

async function run(task: Extract<ToChild, { say: 'run' }>): Promise<void> {
  const abort = new AbortController()
  running = abort
  log = createLog()
  steps = new Map()
  asked = new Map()
  const mine = log
  const checkCost = createCostCheck()
  try {
    const handler = (await handlersIn(task.file)).find((one) => one.name === task.name)
    if (!handler) throw new Error(`${task.file} has no handler ${task.name}`)
    const { runId, project, attempt, traceparent, tracestate, concurrencyKey } = task
    const value = await handler.run(JSON.parse(task.input), {
      runId,
      project,
      attempt,
      traceparent,
      tracestate,
      concurrencyKey,
      signal: abort.signal,
      step: askStep,
      dispatch: (name: unknown, child: unknown) => ask('dispatch', [String(name), child]),
      waitFor: (child: unknown) => ask('waitFor', [child]),
      pauseKey: (key: unknown, until: unknown) => ask('pauseKey', [String(key), Number(until)]),
      log: (line: unknown) => mine.add(String(line)),
      cost(usd: unknown, what?: unknown) {
        const fault = checkCost(usd, what)
        if (fault !== null) throw never('COST_INVALID', fault)
        if (running === abort)
          say({ say: 'cost', usd: usd as number, ...(what === undefined ? {} : { what: what as string }) })
      },
    })
    const result = JSON.stringify(value ?? null) as string | undefined
    if (result === undefined) throw never('RESULT_INVALID', 'The result is not JSON')
    if (result.length > MAX_RESULT_CHARS) throw never('RESULT_TOO_LARGE', `The result has ${result.length} characters`)
    mine.flush()
    await writesHaveLeft()
    say({ say: 'done', result, rss: process.memoryUsage.rss() })
  } finally {
    running = null
  }
}

/** What a handler wrote past `console` goes another way than its result, and must be there before it. */
async function writesHaveLeft(): Promise<void> {
  for (const stream of [process.stdout, process.stderr])
    if (stream.writableLength > 0) await new Promise((done) => stream.write('', done))
}

const never = (code: string, message: string) => Object.assign(new Error(message), { code, retryable: false })

/** The lines of one task. A handler that writes without end must not fill the server's ears. */
function createLog() {
  let prompt = PROMPT_CHARS
  let kept: string[] = []
  let size = 0
  let leftOut = 0
  let timer: NodeJS.Timeout | undefined
  const flush = () => {
    clearTimeout(timer)
    timer = undefined
    if (leftOut > 0) kept.unshift(`[${leftOut} lines left out: written faster than they are kept]`)
    if (kept.length > 0) say({ say: 'lines', lines: kept })
    kept = []
    size = 0
    leftOut = 0
  }
  return {
    flush,
    add(line: string) {
      const text = line.slice(0, KEPT_CHARS)
      kept.push(text)
      size += text.length + 1
      while (size > KEPT_CHARS) {
        size -= kept.shift()!.length + 1
        leftOut++
      }
      prompt -= text.length + 1
      // At once, because a crash may be what comes next.
      if (prompt >= 0) flush()
      else timer ??= setTimeout(flush, LOG_MS)
    },
  }
}

function lineStream(): Writable {
  let begun = ''
  return new Writable({
    decodeStrings: false,
    write(chunk, _, done) {
      const lines = (begun + String(chunk)).split('\n')
      begun = lines.pop()!.slice(-KEPT_CHARS)
      for (const line of lines) log.add(line)
      done()
    },
  })
}
