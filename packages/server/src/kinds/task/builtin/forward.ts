import { alteredNumbers, isAltered } from '@writ/api/exact-numbers'
import { type Static, Type } from 'typebox'
import { systemClock } from '../../../platform/clock.ts'
import { type EgressOf, EgressTimeout, type Incoming } from '../../../platform/egress.ts'
import { retryAfterOf } from '../../../platform/retry-after.ts'
import { traceHeaders } from '../../../platform/tracing.ts'
import type { Handler, TaskContext } from '../handler.ts'
import { define } from './define.ts'

// Each request has its own limit; these leave room for as many as an input may name.
const HANDLER_TIMEOUT_MS = 15 * 60_000
const DEFAULT_SECONDS = 5
const MAX_ANSWER_BYTES = 1024 * 1024
const MAX_TEXT = 500
const MAX_PLACES = 20
/** Requests of one task that are under way at once. */
const CONCURRENT = 16

const Url = Type.String({ maxLength: 2_048, pattern: '^https?://' })
const Headers = Type.Record(Type.String(), Type.String())
const Seconds = Type.Number({ exclusiveMinimum: 0, maximum: 300 })
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

const ForwardInput = Type.Object({
  urls: Type.Array(Url, { maxItems: 1_000 }),
  data: Type.Optional(Type.Union([Type.Unknown(), Type.Null()], { description: 'Sent to each url as JSON' })),
  headers: Type.Optional(Type.Union([Headers, Type.Null()])),
  timeout: Type.Optional(Type.Union([Seconds, Type.Null()], { description: 'Seconds for each url; 5 when left out' })),
})

const MultiForwardInput = Type.Object({
  tasks: Type.Array(
    Type.Object({
      url: Type.Optional(Type.Union([Url, Type.Literal(''), Type.Null()])),
      method: Type.Optional(Type.String({ pattern: `^(?:${METHODS.join('|')}|${METHODS.join('|').toLowerCase()})$` })),
      data: Type.Optional(Type.Unknown()),
      headers: Type.Optional(Type.Union([Headers, Type.Null()])),
    }),
    { maxItems: 1_000 },
  ),
  timeout: Type.Optional(Type.Union([Seconds, Type.Null()])),
})

/** One answer, or why there was none: then `status` is 0 and `error` says "timeout" or what happened. */
export interface Forwarded {
  url: string | null
  method?: string
  status?: number
  ok: boolean
  response?: unknown
  /** Where numbers of `response` are kept as text, such as `.order.id`, because as numbers they would not keep all their digits; the first twenty. */
  numbers_as_text?: string[]
  error?: string
  duration_ms?: number
}

/**
 * Posts the same JSON to many urls at once, and tells what each answered. A url that does not answer fails alone. One that answers
 * 429 with a Retry-After pauses the concurrency key of the task, if it has one.
 */
export const proxyForward = (egressOf: EgressOf, now: () => number = systemClock.now): Handler =>
  define({
    name: 'proxy_forward',
    title: 'Post JSON to many urls',
    input: ForwardInput,
    timeoutMs: HANDLER_TIMEOUT_MS,
    sideEffect: 'irreversible',
    async run({ urls, data, headers, timeout }, context) {
      const results = await inTurn(urls, (url) =>
        send({ egressOf, now }, { url, method: 'POST', data, headers, timeout }, context),
      )
      return summaryOf(results)
    },
  })

/** As `proxy_forward`, with a method, data and headers for each url. GET and DELETE send `data` in the query. */
export const proxyMultiForward = (egressOf: EgressOf, now: () => number = systemClock.now): Handler =>
  define({
    name: 'proxy_multi_forward',
    title: 'Call many urls, each in its own way',
    input: MultiForwardInput,
    timeoutMs: HANDLER_TIMEOUT_MS,
    sideEffect: 'irreversible',
    async run(input, context) {
      const results = await inTurn(input.tasks, async ({ url, method = 'POST', data, headers }): Promise<Forwarded> => {
        if (!url) return { url: null, ok: false, error: 'url_missing' }
        const verb = method.toUpperCase() as (typeof METHODS)[number]
        const { url: _, ...result } = await send(
          { egressOf, now },
          { url, method: verb, data, headers, timeout: input.timeout },
          context,
        )
        return { url, method: verb, ...result }
      })
      return summaryOf(results)
    },
  })

function summaryOf(results: readonly Forwarded[]) {
  const success = results.filter((one) => one.ok).length
  return { count: results.length, success, failed: results.length - success, results }
}

async function send(
  { egressOf, now }: { egressOf: EgressOf; now: () => number },
  asked: {
    url: string
    method: (typeof METHODS)[number]
    data: unknown
    headers: Static<typeof Headers> | null | undefined
    timeout: number | null | undefined
  },
  context: Pick<TaskContext, 'project' | 'signal' | 'traceparent' | 'tracestate' | 'concurrencyKey' | 'pauseKey'>,
): Promise<Forwarded> {
  const began = performance.now()
  const took = () => Math.round(performance.now() - began)
  const { url, method } = asked
  const { signal, concurrencyKey } = context
  try {
    const inQuery = method === 'GET' || method === 'DELETE'
    const egress = await egressOf(context.project)
    const answer = await egress.send({
      url: inQuery ? withQuery(url, asked.data) : url,
      method,
      headers: {
        ...traceHeaders(context),
        ...(inQuery ? {} : { 'content-type': 'application/json' }),
      },
      credentials: asked.headers ?? {},
      ...(inQuery ? {} : { body: JSON.stringify(asked.data ?? {}) }),
      timeoutMs: (asked.timeout ?? DEFAULT_SECONDS) * 1_000,
      maxBytes: MAX_ANSWER_BYTES,
      signal,
    })
    const ok = answer.status >= 200 && answer.status < 300
    const wait = answer.status === 429 ? retryAfterOf(answer.headers, now()) : null
    if (wait !== null && concurrencyKey !== null) await context.pauseKey(concurrencyKey, now() + wait)
    return { url, status: answer.status, ok, ...responseOf(answer, MAX_TEXT), duration_ms: took() }
  } catch (error) {
    // A task that is cancelled or out of time is that, and no list of failures.
    signal.throwIfAborted()
    const text = error instanceof EgressTimeout ? 'timeout' : error instanceof Error ? error.message : String(error)
    return { url, status: 0, ok: false, error: text, duration_ms: took() }
  }
}

/**
 * What came back: JSON as it is, any other text cut to `max` characters. A number that would be kept as another is kept as the text of
 * its digits: whoever answered has done what was asked, and knows nothing of what we can keep.
 */
function responseOf(answer: Incoming, max: number): Pick<Forwarded, 'response' | 'numbers_as_text'> {
  const text = answer.body.toString('utf8')
  try {
    const altered = [...alteredNumbers(text)]
    if (altered.length === 0) return { response: JSON.parse(text) }
    return { response: JSON.parse(text, asText), numbers_as_text: altered.slice(0, MAX_PLACES) }
  } catch {
    return { response: text.slice(0, max) }
  }
}

/** A reviver. The engine tells it what was written; the types of the language do not know that yet. */
function asText(_name: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === 'number' && context?.source !== undefined && isAltered(context.source)
    ? context.source
    : value
}

function withQuery(url: string, data: unknown): string {
  if (typeof data !== 'object' || data === null) return url
  const target = new URL(url)
  for (const [name, value] of Object.entries(data))
    for (const one of [value].flat())
      target.searchParams.append(name, typeof one === 'object' ? JSON.stringify(one) : String(one))
  return target.href
}

/** All of them, some at a time, answers in the order of the questions. */
async function inTurn<T, R>(all: readonly T[], work: (one: T) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(all.length)
  let next = 0
  const lane = async () => {
    while (next < all.length) {
      const i = next++
      results[i] = await work(all[i]!)
    }
  }
  await Promise.all(Array.from({ length: Math.min(CONCURRENT, all.length) }, lane))
  return results
}
