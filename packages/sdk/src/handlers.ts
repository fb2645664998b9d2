/**
 * What a file of handlers imports: `import { defineHandler, TaskError } from '@writ/sdk/handlers'`. In the folder that
 * WRIT_HANDLERS_DIR names this needs no installation.
 */
import type { NewTask } from '@writ/api'
import type { Static, TSchema } from 'typebox'

/** What a handler is called with beside its input. */
export interface HandlerContext {
  /** Of the task; the same at every attempt. */
  readonly runId: string
  /** Id of the project. */
  readonly project: string
  /** From 1 on; attempts whose worker was lost count. */
  readonly attempt: number
  /** Aborts on timeout, deadline, cancel and stop. A second later nobody waits for the handler any more. */
  readonly signal: AbortSignal
  /**
   * Does a part of the work once: its result is kept, and a later attempt gets it instead of doing it again. A name stands for
   * one step of the task; a loop numbers its own. The result must be JSON of at most 64 KiB.
   */
  step<T>(name: string, work: () => Promise<T> | T): Promise<T>
  /**
   * Dispatches another task, as a step of this name: a later attempt gets the same child and dispatches none. `task` is what
   * `POST /tasks` takes. Refused with the code that the route would have.
   */
  dispatch(name: string, task: NewTask): Promise<Dispatched>
  /**
   * What a child came to. While it has not ended, this throws an error that must not be caught: the handler ends here without
   * having failed, and is called again, with its steps done, when the child has ended.
   */
  waitFor(child: string | Dispatched): Promise<Outcome>
  /** The task's concurrency key; null without one. */
  readonly concurrencyKey: string | null
  /** Nothing more is started under this key before then: a time, or milliseconds since 1970. A longer pause stays. */
  pauseKey(key: string, until: Date | number): Promise<void>
  /** The trace that this attempt is part of, as the header of that name has it (W3C Trace Context). */
  readonly traceparent: string
  /** What the tracing systems of whoever dispatched the task keep in it, to be sent beside it; null if nothing. */
  readonly tracestate: string | null
  /** Kept with the task, redacted, up to 64 KiB of the newest lines. */
  log(line: string): void
  /**
   * What a part of the work cost, in US dollars, kept to a billionth, and for what: up to 100 letters, digits, spaces and `_.:/@+#-`. An
   * attempt costs at most 10,000 dollars, for 50 different things. All that is said is added up, of failed attempts too. Said inside of
   * a step it is kept with that step, which a later attempt does not do again; otherwise with the end of the attempt. Throws an
   * error with the code COST_INVALID, which is not tried again.
   */
  cost(usd: number, what?: string): void
}

/** A task that a handler dispatched. */
export interface Dispatched {
  readonly id: string
  readonly number: number
  /** It was there already, with the same unique key: no child to wait for, unless this task dispatched it before. */
  readonly duplicate: boolean
}

/** How a child ended. */
export interface Outcome {
  readonly id: string
  readonly state: 'completed' | 'failed' | 'timeout' | 'cancelled'
  readonly result: unknown
  readonly error_code: string | null
  readonly error: string | null
}

export interface HandlerDefinition<I extends TSchema = TSchema> {
  /** What tasks call it: letters, digits, `_`, `.` and `-`. */
  readonly name: string
  /** What it does, as a sentence; its name when left out. */
  readonly title?: string
  /** JSON Schema of the input; without one, any JSON. */
  readonly input?: I
  /** JSON Schema of the result; without one, any JSON. */
  readonly output?: TSchema
  /** Where its tasks wait unless the dispatch says otherwise; `api` when left out. */
  readonly queue?: string
  /** Of one attempt, in milliseconds; a minute when left out. */
  readonly timeoutMs?: number
  /** How often it may fail; once when left out. */
  readonly maxAttempts?: number
  /** Its tasks have to end so long after they were due, in milliseconds, unless a dispatch says otherwise; whenever when left out. */
  readonly ttlMs?: number
  /** How many run at once on one server. */
  readonly concurrency?: number
  /** Under each concurrency key of its tasks, on all servers together: so many at once, so many starts in so long. */
  readonly perKey?: {
    readonly concurrency?: number
    readonly rate?: { readonly limit: number; readonly periodMs: number }
  }
  /** `irreversible`: the audit log says what will be done before it is done. `none` when left out. */
  readonly sideEffect?: 'none' | 'reversible' | 'irreversible'
  /**
   * Does it. What it answers must be JSON, at most 1 MiB. What it throws fails the attempt: it is tried again while the task has
   * attempts left, unless it throws a `TaskError` with `retryable: false`. It may be called again for a task that it did before.
   */
  run(input: Static<I>, context: HandlerContext): unknown
}

/** Answers the handler as it is; only there so that `input` has the type that its schema says. */
export const defineHandler = <const I extends TSchema>(handler: HandlerDefinition<I>): HandlerDefinition<I> => handler

/** How work fails that knows why: with a code that stays the same, and whether trying again can help (it can, unless said otherwise). */
export class TaskError extends Error {
  readonly code: string
  readonly retryable: boolean
  constructor(code: string, message: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'TaskError'
    this.code = code
    this.retryable = options.retryable ?? true
  }
}
