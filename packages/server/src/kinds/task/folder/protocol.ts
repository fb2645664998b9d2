/** What the server and a process of handlers say to each other. One task at a time, so nothing needs a number. */

/** The sources of a folder as they were at one moment: text by file URL. A process sees these and no later ones. */
export type Sources = Readonly<Record<string, string>>

/** A handler as its file describes it, before anything of it was believed. */
export interface Described {
  readonly name: unknown
  readonly title: unknown
  readonly input: unknown
  readonly output: unknown
  readonly queue: unknown
  readonly timeoutMs: unknown
  readonly maxAttempts: unknown
  readonly ttlMs: unknown
  readonly concurrency: unknown
  readonly sideEffect: unknown
  readonly perKey: unknown
}

export interface Failure {
  /** Null unless whoever failed said so itself. */
  readonly code: string | null
  readonly message: string
  readonly retryable: boolean
}

export type Asking = 'dispatch' | 'waitFor' | 'pauseKey'

export type ToChild =
  | {
      /** First, once. `ours`: URLs of modules that a file may import though its folder has not installed them. */
      readonly say: 'begin'
      readonly sources: Sources
      readonly ours: Readonly<Record<string, string>>
      readonly maxBytes: number
    }
  | { readonly say: 'describe'; readonly file: string }
  | {
      readonly say: 'run'
      readonly file: string
      readonly name: string
      /** JSON text. */
      readonly input: string
      readonly runId: string
      readonly project: string
      readonly attempt: number
      readonly traceparent: string
      readonly tracestate: string | null
      readonly concurrencyKey: string | null
    }
  /** Do step `id`: it was not done before. */
  | { readonly say: 'stepGo'; readonly id: number }
  | { readonly say: 'stepIs'; readonly id: number; readonly result: string }
  | { readonly say: 'stepNot'; readonly id: number; readonly failure: Failure }
  | { readonly say: 'abort'; readonly reason: string }
  | { readonly say: 'answer'; readonly id: number; readonly result: string }
  /** `suspended`: the task is to stop here, and will be done again later. */
  | { readonly say: 'refusal'; readonly id: number; readonly failure: Failure; readonly suspended: boolean }

export type FromChild =
  | { readonly say: 'ready' }
  | { readonly say: 'described'; readonly handlers: readonly Described[] }
  | { readonly say: 'step'; readonly id: number; readonly name: string }
  | { readonly say: 'stepDone'; readonly id: number; readonly result: string }
  | { readonly say: 'stepFailed'; readonly id: number; readonly failure: Failure }
  /** What work asks the server to do for it: `args` is JSON. */
  | { readonly say: 'ask'; readonly id: number; readonly what: Asking; readonly args: string }
  | { readonly say: 'lines'; readonly lines: readonly string[] }
  | { readonly say: 'cost'; readonly usd: number; readonly what?: string }
  /** `rss`: bytes of memory that the process has. */
  | { readonly say: 'done'; readonly result: string; readonly rss: number }
  | {
      readonly say: 'failed'
      /** Null unless the handler said so itself. */
      readonly code: string | null
      readonly message: string
      readonly retryable: boolean
      readonly rss: number
    }
