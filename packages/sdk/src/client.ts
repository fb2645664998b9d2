import type { Route } from '@writ/api'
import { routes } from '@writ/api/routes'
import type { Answer, Client } from './calls.ts'
import { downloadOf } from './download.ts'
import { ConnectionLost, refusalOf, WritError } from './errors.ts'
import { multipartBody, type OnProgress, type UploadSource } from './multipart.ts'
import type { ClientOptions } from './options.ts'
import { defaultRetry, pause, retryDelay, shouldRetry } from './retry.ts'
import { readVerification, type SelfCheckArgs, type VerifyArgs } from './verification.ts'
import { type FollowLogArgs, followLog, type WatchArgs, watchEvents } from './watch.ts'

/** What every call may carry, whatever its endpoint; `calls.ts` says which endpoint takes what. */
interface LooseArgs {
  readonly params?: Readonly<Record<string, string | number>>
  readonly query?: Readonly<Record<string, unknown>>
  readonly body?: unknown
  readonly file?: Blob | UploadSource
  readonly onProgress?: OnProgress
  readonly signal?: AbortSignal | undefined
  readonly headers?: Readonly<Record<string, string>>
  readonly idempotencyKey?: string
  readonly ifMatch?: string
}

/**
 * A client of one server. Calls hang under their group, `client.tickets.create({ body })`, and throw `WritError` on a
 * refusal, `ConnectionLost` when no answer came, and the signal's reason when aborted. Throws a TypeError on a bad url.
 */
export function createClient(options: ClientOptions): Client {
  const base = baseOf(options)
  const groups = Object.fromEntries(
    Object.entries(routes).map(([group, calls]) => [
      group,
      Object.fromEntries(
        Object.entries<Route>(calls).map(([name, route]) => [
          name,
          async (args: LooseArgs = {}) => (await send(base, options, route, args)).data,
        ]),
      ),
    ]),
  )
  const call = (id: string, args: LooseArgs = {}) => send(base, options, findRoute(id), args)
  async function* pages(id: string, args: LooseArgs = {}) {
    let cursor: string | null = ''
    while (cursor !== null) {
      const answer: Answer<unknown> = await call(id, { ...args, query: { ...args.query, cursor } })
      // `listOf` in @writ/api: with a cursor in the query the answer is a page.
      const page = answer.data as { items: unknown[]; next_cursor: string | null }
      if (page.items.length > 0) yield page.items
      cursor = page.next_cursor
    }
  }
  async function* items(id: string, args: LooseArgs = {}) {
    for await (const page of pages(id, args)) yield* page
  }
  /** One call where that is enough. A server that knows no pages of this list answers all of it, and no count. */
  async function all(id: string, args: LooseArgs = {}) {
    const { data, headers } = await call(id, args)
    // Without a cursor in the query the answer is an array: `listOf` in @writ/api.
    const listed = data as unknown[]
    if (listed.length >= Number(headers.get('x-total-count') ?? 0)) return listed
    const found: unknown[] = []
    for await (const page of pages(id, args)) found.push(...page)
    return found
  }
  const watch = (args: WatchArgs = {}) => {
    const route = findRoute('events.list')
    const open = (after: string | undefined, signal: AbortSignal) => {
      const call: LooseArgs = {
        query: { after, types: args.types?.join(','), run_id: args.run },
        headers: { accept: 'text/event-stream' },
      }
      return fetchOnce({ url: urlOf(base, route, call), route, args: call, key: undefined, options, signal })
    }
    return watchEvents(open, { ...args, signal: signalOf(options.signal, args.signal) }, options.retry)
  }
  const follow = (args: FollowLogArgs) => {
    const route = findRoute('tasks.log')
    const open = (after: string | undefined, signal: AbortSignal) => {
      const call: LooseArgs = {
        params: { id: args.task },
        query: { attempt: args.attempt, after: args.after, tail: args.tail },
        headers: { accept: 'text/event-stream', ...(after === undefined ? {} : { 'last-event-id': after }) },
      }
      return fetchOnce({ url: urlOf(base, route, call), route, args: call, key: undefined, options, signal })
    }
    return followLog(open, { ...args, signal: signalOf(options.signal, args.signal) }, options.retry)
  }
  const verification = (id: string, body: object, args: Pick<VerifyArgs, 'onProgress' | 'signal'>) => {
    const route = findRoute(id)
    const call: LooseArgs = { body, headers: { accept: 'text/event-stream, application/json' } }
    const url = urlOf(base, route, call)
    const signal = signalOf(options.signal, args.signal)
    const open = (both: AbortSignal) => fetchOnce({ url, route, args: call, key: undefined, options, signal: both })
    return readVerification(url, open, { onProgress: args.onProgress, signal })
  }
  const verifyLog = (args: VerifyArgs = {}) =>
    verification('audit.verify', { kept_checkpoint: args.kept_checkpoint }, args)
  const selfCheck = (args: SelfCheckArgs = {}) => verification('audit.selfCheck', { full: args.full }, args)
  // Behind the loop every endpoint is one of many; the mapped type gives each its own shapes back.
  return { ...groups, call, pages, items, all, watch, followLog: follow, verifyLog, selfCheck } as unknown as Client
}

function baseOf({ url, prefix = '/api/v1' }: ClientOptions): { root: string; prefix: string } {
  const parsed = new URL(url)
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') {
    throw new TypeError(`A server's url starts with http:// or https://, not ${parsed.protocol}`)
  }
  return { root: parsed.origin + parsed.pathname.replace(/\/+$/, ''), prefix }
}

function findRoute(id: string): Route {
  const [group = '', name = ''] = id.split('.')
  const groups: Record<string, Readonly<Record<string, Route>>> = routes
  const found = Object.hasOwn(groups, group) ? groups[group]?.[name] : undefined
  if (!found) throw new TypeError(`The API has no operation ${id}`)
  return found
}

async function send(
  base: { root: string; prefix: string },
  options: ClientOptions,
  route: Route,
  args: LooseArgs,
): Promise<Answer<unknown>> {
  const rules = { ...defaultRetry, ...options.retry }
  const recorded = route.method === 'POST' && route.unrecorded !== true
  const repeatable = route.method === 'GET' || recorded
  // One key for all sendings of this call: that is what makes them one.
  const key = recorded ? (args.idempotencyKey ?? crypto.randomUUID()) : args.idempotencyKey
  const url = urlOf(base, route, args)
  const signal = signalOf(options.signal, args.signal)
  let lost: ConnectionLost | undefined
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted()
    let headers: Headers | undefined
    let failure: unknown
    try {
      const response = await fetchOnce({ url, route, args, key, options, signal })
      headers = response.headers
      if (response.ok) return await read(response, route, url)
      failure = await refusalOf(redirected(response) ?? response)
    } catch (error) {
      signal?.throwIfAborted()
      failure = error
    }
    const answer = { retryAfter: headers?.get('retry-after') ?? null, date: headers?.get('date') ?? null }
    const again = attempt < rules.attempts && shouldRetry(failure, { repeatable, retryAfter: answer.retryAfter })
    const wait = again ? retryDelay(rules, attempt, answer) : undefined
    if (failure instanceof ConnectionLost) lost = failure
    if (wait === undefined) {
      // What is still being answered is our own first sending: why nobody heard its answer is what went wrong.
      if (lost && failure instanceof WritError && failure.code === 'IDEMPOTENCY_IN_FLIGHT') failure.cause = lost
      throw failure
    }
    await pause(wait, signal)
  }
}

async function fetchOnce(sending: {
  url: string
  route: Route
  args: LooseArgs
  key: string | undefined
  options: ClientOptions
  signal: AbortSignal | undefined
}): Promise<Response> {
  const { url, route, args, key, options, signal } = sending
  const headers = new Headers({
    accept: route.media ?? 'application/json',
    ...options.headers,
    ...args.headers,
    ...(options.token ? { authorization: `Bearer ${options.token}` } : {}),
    ...(options.project ? { 'x-project': options.project } : {}),
    ...(key ? { 'idempotency-key': key } : {}),
    ...(args.ifMatch ? { 'if-match': args.ifMatch } : {}),
  })
  // `duplex` is required for streams and missing from the DOM's type.
  const init: RequestInit & { duplex?: 'half' } = { method: route.method, headers, redirect: 'manual' }
  if (signal) init.signal = signal
  let sourceFailure: unknown
  if (args.file instanceof Blob) {
    const form = new FormData()
    form.set('file', args.file)
    init.body = form
  } else if (args.file) {
    const { body, length, contentType } = await multipartBody(args.file, args.onProgress, (error) => {
      sourceFailure = error
    })
    headers.set('content-type', contentType)
    headers.set('content-length', String(length))
    init.body = body
    init.duplex = 'half'
    // Otherwise fetch clones the request to be able to follow a redirect or ask for credentials, and the clone keeps
    // every byte that was sent. Source: Fetch standard, HTTP-network-or-cache fetch, step 5.
    init.redirect = 'error'
    init.window = null
  } else if (args.body !== undefined) {
    headers.set('content-type', 'application/json')
    init.body = JSON.stringify(args.body)
  }
  try {
    return await (options.fetch ?? fetch)(url, init)
  } catch (error) {
    // A file that cannot be read is no lost connection: sending it again would fail the same way.
    throw sourceFailure ?? new ConnectionLost(url, error)
  }
}

async function read(response: Response, route: Route, url: string): Promise<Answer<unknown>> {
  const { status, headers } = response
  if (route.media) return { data: downloadOf(response), status, headers }
  try {
    const text = await response.text()
    if (!route.json || text === '') return { data: undefined, status, headers }
    return { data: JSON.parse(text), status, headers }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw new ConnectionLost(url, error)
    throw new WritError({
      type: 'about:blank',
      title: 'Not an answer of Writ',
      status,
      detail: `${url.replace(/[?#].*$/, '')} does not answer like a Writ server; check the url.`,
      instance: '',
      code: `HTTP_${status}`,
      request_id: headers.get('x-request-id') ?? '',
      retryable: false,
    })
  }
}

// Credentials are not carried to wherever a redirect points; the person decides.
function redirected(response: Response): Response | undefined {
  const location = response.headers.get('location')
  if (response.status < 300 || response.status >= 400 || location === null) return undefined
  const detail = `The server redirects to ${location}; use that address as the url.`
  return Response.json({ code: `HTTP_${response.status}`, status: response.status, detail }, { status: 500 })
}

function urlOf(base: { root: string; prefix: string }, route: Route, args: LooseArgs): string {
  const params = args.params ?? {}
  const path = route.path
    .replace(/:(\w+)/g, (_, name: string) => {
      const value = params[name]
      if (value === undefined || value === '') throw new TypeError(`${route.path} needs params.${name}`)
      return encodeURIComponent(String(value))
    })
    .replace(/\*$/, () =>
      String(params.path ?? '')
        .split('/')
        .map(encodeURIComponent)
        .join('/'),
    )
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(args.query ?? {})) {
    if (value !== undefined && value !== null) query.append(name, String(value))
  }
  const search = query.size > 0 ? `?${query}` : ''
  return `${base.root}${route.root ? '' : base.prefix}${path}${search}`
}

function signalOf(...signals: (AbortSignal | undefined)[]): AbortSignal | undefined {
  const given = signals.filter((signal) => signal !== undefined)
  return given.length > 1 ? AbortSignal.any(given) : given[0]
}
