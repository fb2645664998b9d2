import type { NewTask, Role } from '@writ/api'
import type { TSchema } from 'typebox'
import type { TLocalizedValidationError } from 'typebox/error'
import { Compile } from 'typebox/schema'
import type { FieldError } from '../../platform/app-error.ts'
import { fieldsOf, type ValidationFault } from '../../platform/validation-fields.ts'
import type { Disabled } from './disabled.ts'
import type { KeyLimits } from './key-limit.ts'

/**
 * A named function that tasks run, and its contract. The promise that comes with it: execution is at least once, so `run`
 * may be called again for a run that it did before, with the next attempt's number.
 */
export interface Handler {
  readonly name: string
  /** What it does, as a sentence. */
  readonly title: string
  readonly source: 'builtin' | 'folder' | 'http' | 'worker'
  /** JSON Schema of input and result; null takes and gives any JSON. */
  readonly input: TSchema | null
  readonly output: TSchema | null
  /** Where its tasks wait unless the caller says otherwise. */
  readonly queue: string
  /** Of one attempt, unless the caller says otherwise. */
  readonly timeoutMs: number
  /** At least 1. */
  readonly maxAttempts: number
  /** Its tasks have to end so long after they were due, unless a dispatch says otherwise; left out: whenever. */
  readonly ttlMs?: number | null
  /** How many run at once on one server; null: as many as its queue allows. */
  readonly concurrency: number | null
  /** Of each concurrency key of its tasks, over all servers; left out: any number. */
  readonly perKey?: KeyLimits | null
  /** `irreversible`: the log says what will be done before it is done. */
  readonly sideEffect: 'none' | 'reversible' | 'irreversible'
  /** Who may dispatch its tasks; left out: whoever may dispatch at all. */
  readonly roles?: readonly Role[]
  /** It may have to wait for a place of its own, and says `ctx.began()` when it has one: the time of the attempt counts from there. */
  readonly waitsForPlace?: true
  /** False: no task may name it, and none that waits is handed out. */
  readonly enabled?: boolean
  /** Who disabled it; null or left out where nobody did, or that is not known any more. */
  readonly disabled?: Disabled | null
  /** When a worker last said that it has it; null elsewhere. */
  readonly lastSeenAt?: number | null
  /** Why its newest version cannot be used; the one before goes on. */
  readonly fault?: string | null
  /**
   * What exactly will be done, for the log, before it is done: of a handler whose effect is `irreversible`, on this server. `run` finds it as
   * `ctx.intent`, and does that or nothing.
   */
  intent?(input: unknown): Promise<Intent | null>
  /** Does it; what it answers must be JSON. Stops when `ctx.signal` aborts: soon after, nobody waits for it any more. */
  run(input: unknown, ctx: TaskContext): Promise<unknown>
}

/** Which bytes will run and where they are kept, in the words of its handler. */
export type Intent = Readonly<Record<string, string | boolean>>

export interface TaskContext {
  readonly runId: string
  readonly project: string
  /** From 1 on; lost attempts count. */
  readonly attempt: number
  /** The name of the handler. */
  readonly handler: string
  /** What the log says will be done; null or left out where it says no more than the handler. */
  readonly intent?: Intent | null
  /** When the attempt is out of time, by the server's clock; null if that is not known yet. */
  readonly endsAt: number | null
  /** Aborts on timeout, deadline, cancel, a lost lease, and when the server stops. */
  readonly signal: AbortSignal
  /** See `Handler.waitsForPlace`. */
  began?(): void
  /**
   * Does a part of the work once: its result is kept, and a later attempt gets it instead of doing it again. A name stands
   * for one step of the run; a loop numbers its own. The result must be JSON of at most 64 KiB. Stopped between the
   * work and its record, the step is done again.
   */
  step<T>(name: string, work: () => Promise<T>): Promise<T>
  /**
   * Dispatches another task as a step of this name: a later attempt gets the same child and dispatches none. Whoever dispatched
   * this task is who asks for it. Throws TaskError with the code of the refusal.
   */
  dispatch(name: string, task: NewTask): Promise<Dispatched>
  /**
   * What a child came to. While it has not ended, this throws `Suspended`, which must not be caught: the attempt ends without
   * being one, its room is free, and when the child has ended the handler is called again, with its steps done.
   */
  waitFor(child: string | Dispatched): Promise<Outcome>
  /** The task's concurrency key; null without one. */
  readonly concurrencyKey: string | null
  /** Nothing more is started under this key before then: a time, or milliseconds since 1970. A longer pause stays. */
  pauseKey(key: string, until: Date | number): Promise<void>
  /** The trace that this attempt is part of, as the header of that name has it: W3C Trace Context. */
  readonly traceparent: string
  /** What the tracing systems of whoever dispatched the task keep in it, to be sent beside it; null if nothing. */
  readonly tracestate: string | null
  /** Kept with the run, redacted, up to 64 KiB of the newest lines. */
  log(line: string): void
  /**
   * What a part of the work cost, in US dollars, and for what: added to what the run cost, if the attempt also fails. Kept with the
   * step in which it is said, or else with the end of the attempt. Throws TaskError: COST_INVALID.
   */
  cost(usd: number, what?: string): void
}

/** A child as `dispatch` answers it. */
export interface Dispatched {
  readonly id: string
  readonly number: number
  /** It was there already, with the same unique key: no child, unless this task dispatched it before. */
  readonly duplicate: boolean
}

/** How a child ended; its exact result. */
export interface Outcome {
  readonly id: string
  readonly state: 'completed' | 'failed' | 'timeout' | 'cancelled'
  readonly result: unknown
  readonly error_code: string | null
  readonly error: string | null
}

/** Thrown by `TaskContext.waitFor`: the work goes on when the child has ended. */
export class Suspended extends Error {
  constructor(child: string) {
    super(`waits for task ${child}`)
    this.name = 'Suspended'
  }
}

/** How work fails that knows why: a code that stays the same, and whether trying again can help. Anything else that is thrown counts as TASK_FAILED, which may be tried again. */
export class TaskError extends Error {
  readonly code: string
  readonly retryable: boolean
  /** The next attempt waits at least so long. */
  readonly retryAfterMs: number
  constructor(
    code: string,
    message: string,
    options: { retryable?: boolean; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'TaskError'
    this.code = code
    this.retryable = options.retryable ?? true
    this.retryAfterMs = options.retryAfterMs ?? 0
  }
}

/** The handlers of a server. Names are unique; what is added or removed counts from the next task on. */
export interface Handlers {
  find(name: string): Handler | undefined
  /** By name. */
  list(): readonly Handler[]
  /** Throws on a name that is taken by another source, or that begins with `test.` outside of tests. */
  add(handler: Handler): void
  /** Throws what `add` would throw, and adds nothing. */
  require(handler: Handler): void
  /** True if it was there. Tasks that wait for it fail as HANDLER_GONE when their turn comes. */
  remove(name: string): boolean
  /** Files of which no handler is known, because none of their versions could be used; by name. */
  broken(): readonly BrokenFile[]
  /** Says which files those are, in place of what was said before. */
  setBroken(files: readonly BrokenFile[]): void
  /** What is wrong with an input or a result, by its schema; empty when nothing is. `at` is where the value stands. */
  faults(name: string, which: 'input' | 'output', value: unknown, at: string): readonly FieldError[]
}

/** Of a list by name: so many behind a name, or from its beginning. */
export interface NamesBehind {
  readonly limit: number
  readonly after: string | undefined
}

export interface BrokenFile {
  readonly file: string
  readonly reason: string
}

const MOST_FAULTS = 20

// Schemas of handlers that are gone go with them.
const checks = new WeakMap<TSchema, ReturnType<typeof Compile>>()

/** So that a pattern that is none is refused when it comes, not when a task does. See `requireSchemas`. */
export function compileSchemas({ input, output }: Pick<Handler, 'input' | 'output'>): void {
  for (const schema of [input, output]) if (schema && !checks.has(schema)) checks.set(schema, Compile(schema))
}

/** What is wrong with a value by a schema that was compiled; null takes any. `at` is where the value stands. */
export function faultsOf(schema: TSchema | null, value: unknown, at: string): readonly FieldError[] {
  const check = schema && checks.get(schema)
  if (!check || check.Check(value)) return []
  const [, errors] = check.Errors(value)
  return fieldsOf(at, errors.filter((error) => !isToldElsewhere(error, errors)).flatMap(asAjvSays)).slice(
    0,
    MOST_FAULTS,
  )
}

/**
 * TypeBox says of each property that may not be there that its schema is false, and then of their object which they are. A schema
 * that is false may also be all that is wrong (`"items": false`): a fault that nobody tells would be none.
 */
function isToldElsewhere(fault: TLocalizedValidationError, all: readonly TLocalizedValidationError[]): boolean {
  if (fault.keyword !== 'boolean') return false
  return all.some((other) => {
    const inside = (name: PropertyKey) =>
      `${other.instancePath}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}` === fault.instancePath
    if (other.keyword === 'additionalProperties') return other.params.additionalProperties.some(inside)
    if (other.keyword === 'propertyNames') return other.params.propertyNames.some(inside)
    return other.keyword !== 'boolean' && other.instancePath === fault.instancePath
  })
}

/** TypeBox names all properties of an object at once. */
function asAjvSays(error: TLocalizedValidationError): ValidationFault[] {
  if (error.keyword === 'required')
    return error.params.requiredProperties.map((missingProperty) => ({ ...error, params: { missingProperty } }))
  if (error.keyword === 'additionalProperties')
    return error.params.additionalProperties.map((additionalProperty) => ({ ...error, params: { additionalProperty } }))
  return [{ ...error, params: { ...error.params } }]
}

export function createHandlers(list: readonly Handler[], options: { testHandlers?: boolean } = {}): Handlers {
  const handlers = new Map<string, Handler>()
  let broken: readonly BrokenFile[] = []
  const all: Handlers = {
    find: (name) => handlers.get(name),
    list: () => [...handlers.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    require(handler) {
      const before = handlers.get(handler.name)
      if (before && before.source !== handler.source)
        throw new Error(`handler ${handler.name} is there already, from ${before.source}`)
      if (handler.name.startsWith('test.') && !options.testHandlers)
        throw new Error(`handler ${handler.name}: names that begin with "test." are for tests`)
      if (handler.maxAttempts < 1) throw new Error(`handler ${handler.name} needs at least one attempt`)
      compileSchemas(handler)
    },
    add(handler) {
      all.require(handler)
      handlers.set(handler.name, handler)
    },
    remove: (name) => handlers.delete(name),
    broken: () => broken,
    setBroken(files) {
      broken = files
    },
    faults: (name, which, value, at) => faultsOf(handlers.get(name)?.[which] ?? null, value, at),
  }
  for (const handler of list) all.add(handler)
  return all
}
