import type { Event, TaskLog } from '@writ/api'
import { ConnectionLost, refusalOf } from './errors.ts'
import { defaultRetry, pause, type RetryRules, retryDelay } from './retry.ts'

export interface WatchArgs {
  /** `run.*`, `ticket.approved`; everything that you may see when left out. */
  readonly types?: readonly string[]
  /** Only what happens to this run, by id or number. */
  readonly run?: string | number
  /** The sequence of the last event that was taken care of; `0` for all that ever happened; from now on when left out. */
  readonly after?: string
  readonly signal?: AbortSignal | undefined
}

/** The server says something every 15 s; a connection that is silent for this long is dead. */
const SILENCE_MS = 45_000

export interface FollowLogArgs {
  /** By id or number. */
  readonly task: string | number
  /** This attempt alone; when left out, the newest one and those that follow it. */
  readonly attempt?: number | undefined
  /** Lines behind this one; of `attempt`, or of the newest. */
  readonly after?: number | undefined
  /** Begins with the newest so many lines, instead of `after`. */
  readonly tail?: number | undefined
  /** `<attempt>.<line>`, the place of a line that was taken care of: goes on behind it, and over the attempts that follow. */
  readonly behind?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Events in the order of the log, each once, for as long as the caller takes them. A connection that breaks is opened
 * again behind the last event that was yielded, so nothing is missed and nothing comes twice; `sequence` of the last one,
 * kept somewhere, does the same for another process. Ends by `break`, or by the signal, whose reason it throws; throws
 * `WritError` when the server refuses.
 */
export const watchEvents = (open: Open, args: WatchArgs, retry: Partial<RetryRules> = {}) =>
  readStream<Event>(open, args.after, args.signal, retry, () => false)

/**
 * What a task prints, as it is kept: each answer holds the lines that came since the one before, and says which attempt they are of. Ends
 * when nothing is still to come: the attempt is over, or, without `attempt`, the task. Connections that break are opened again
 * behind the last line; see `watchEvents` for how else it ends.
 */
export const followLog = (open: Open, args: FollowLogArgs, retry: Partial<RetryRules> = {}) =>
  readStream<TaskLog>(
    open,
    args.behind,
    args.signal,
    retry,
    (log) => log.complete && !log.more && (args.attempt !== undefined || (log.final && log.attempt >= log.attempts)),
  )

/** Opens the stream behind the event of this id, or where the query says. */
type Open = (after: string | undefined, signal: AbortSignal) => Promise<Response>

async function* readStream<T>(
  open: Open,
  begin: string | undefined,
  signal: AbortSignal | undefined,
  retry: Partial<RetryRules>,
  isLast: (item: T) => boolean,
): AsyncGenerator<T, void, undefined> {
  const rules = { ...defaultRetry, ...retry }
  let after = begin
  let failures = 0
  for (;;) {
    signal?.throwIfAborted()
    const connection = new AbortController()
    const both = signal ? AbortSignal.any([signal, connection.signal]) : connection.signal
    const silence = createSilence(() => connection.abort(new Error('silence')))
    let headers: Headers | undefined
    try {
      const response = await open(after, both)
      headers = response.headers
      if (!response.ok) {
        const refusal = await refusalOf(response)
        if (refusal.status !== 429 && refusal.status < 500) throw refusal
      } else if (response.body) {
        for await (const block of blocksOf(response.body, silence.broken)) {
          failures = 0
          if (block.data !== undefined) {
            // Written by the server from its own shape.
            const item = JSON.parse(block.data) as T
            // The caller may take its time; only what comes from the server counts as silence.
            silence.pause()
            yield item
            if (isLast(item)) return
            silence.broken()
          }
          // Behind the yield: an event that the caller did not take is not passed over.
          if (block.id !== undefined) after = block.id
        }
      }
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof ConnectionLost) && !isBroken(error, connection.signal)) throw error
    } finally {
      silence.pause()
      connection.abort()
    }
    failures++
    const asked = { retryAfter: headers?.get('retry-after') ?? null, date: headers?.get('date') ?? null }
    await pause(retryDelay(rules, Math.min(failures, 8), asked) ?? rules.cap_ms, signal)
  }
}

// fetch ends a stream that broke with a TypeError; our own abort has its own reason.
const isBroken = (error: unknown, connection: AbortSignal) => error instanceof TypeError || connection.aborted

/** Calls `over` when nothing was heard of for too long. */
export function createSilence(over: () => void) {
  let timer: ReturnType<typeof setTimeout> | undefined
  const pauseTimer = () => clearTimeout(timer)
  return {
    broken() {
      pauseTimer()
      timer = setTimeout(over, SILENCE_MS)
    },
    pause: pauseTimer,
  }
}

interface Block {
  id?: string
  data?: string
}

/** The blocks of an event stream. Source: HTML standard, 9.2.6, as far as Writ writes it: `id` and one line of `data`. */
export async function* blocksOf(
  body: ReadableStream<Uint8Array>,
  heard: () => void,
): AsyncGenerator<Block, void, undefined> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  let block: Block = {}
  heard()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      heard()
      text += decoder.decode(value, { stream: true })
      const lines = text.split('\n')
      text = lines.pop()!
      for (const line of lines) {
        if (line === '') {
          yield block
          block = {}
        } else if (line.startsWith('id: ')) block.id = line.slice(4)
        else if (line.startsWith('data: ')) block.data = line.slice(6)
      }
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}
