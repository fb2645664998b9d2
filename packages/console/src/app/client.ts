import { type Client, createClient, type ItemOf, type ListId } from '@writ/sdk'
import { hearTime } from './clock.ts'
import { paths, prefix } from './page-settings.ts'
import { createStore } from './store.ts'
import { nextTurn } from './turns.ts'

/** Whether the server answers. A request that got any answer says that it does. */
export const reachable = createStore(true)
/** Whether somebody is logged in, as far as the last answer told; null before the first. `ended`: not any more, and nobody signed out. */
export const loggedIn = createStore<boolean | 'ended' | null>(null)

/** An answer said that nobody is. */
export const nobodyHere = (): void =>
  loggedIn.set(loggedIn.get() === true || loggedIn.get() === 'ended' ? 'ended' : false)

/** How often an answer said that the role does not allow what was asked: what the page offers may be of a role that is lost. */
export const denials = createStore(0)

/** How the page hears of changes: as they happen, or (as long as no stream comes through) by asking. */
export const hearing = createStore<'connecting' | 'live' | 'polling'>('connecting')

// In memory only: a page that is opened anew asks for it with its cookie (GET /auth/session).
let csrf = ''
export const setCsrf = (token: string): void => {
  csrf = token
}

/** For so long what was sent without an answer and is sent again is one sending; later it is meant to be another. */
const SAME_SENDING_MS = 600_000

/**
 * Sendings that were not answered, by what they say, with their Idempotency-Key: the server may have done what they ask for. Whoever presses
 * again sends the same once more, and it is done once.
 */
const unanswered = new Map<string, { key: string; at: number }>()

function sayAgain(what: string, headers: Headers): void {
  const before = unanswered.get(what)
  if (before && performance.now() - before.at < SAME_SENDING_MS) headers.set('idempotency-key', before.key)
}

/** Answers of whoever did not look at what was asked: they say nothing of a sending before. */
const BEFORE_IT = [401, 403, 408, 425, 429]

/** Whether the answer leaves open what became of the request: it broke on the way, or is still being worked on. */
const isOpen = async (answer: Response): Promise<boolean> =>
  answer.status >= 500 ||
  BEFORE_IT.includes(answer.status) ||
  (answer.status === 409 && (await answer.clone().text()).includes('IDEMPOTENCY_IN_FLIGHT'))

async function send(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers)
  if (typeof init.body !== 'string' || !headers.has('idempotency-key')) return sendOnce(input, init, headers)
  const what = [init.method, String(input), headers.get('x-project'), init.body].join(' ')
  sayAgain(what, headers)
  const key = headers.get('idempotency-key') ?? ''
  try {
    const answer = await sendOnce(input, init, headers)
    if (await isOpen(answer)) unanswered.set(what, { key, at: performance.now() })
    else unanswered.delete(what)
    return answer
  } catch (error) {
    unanswered.set(what, { key, at: performance.now() })
    throw error
  }
}

async function sendOnce(input: RequestInfo | URL, init: RequestInit, headers: Headers): Promise<Response> {
  // To begin a request costs a browser some milliseconds, and a page asks a dozen questions at once.
  await nextTurn()
  if (init.method !== undefined && init.method !== 'GET') headers.set('x-csrf-token', csrf)
  try {
    const askedAt = Date.now()
    const answer = await fetch(input, { ...init, headers, credentials: 'same-origin' })
    hearTime(answer.headers.get('date'), askedAt, Date.now())
    reachable.set(true)
    // A wrong password is a 401 too, and says nothing of the session.
    if (answer.status === 401 && !/\/auth\/(session|login)$/.test(String(input))) nobodyHere()
    // Asking who one is would be answered so again and again, and a page would ask for ever.
    if (answer.status === 403 && !/\/auth\/me$/.test(String(input))) denials.set(denials.get() + 1)
    return isFeed(input, headers) && answer.ok ? overheard(answer) : answer
  } catch (error) {
    // A stream that does not come through says nothing about the rest.
    if (init.signal?.aborted) throw error
    if (isFeed(input, headers)) hearing.set('polling')
    else reachable.set(false)
    throw error
  }
}

/** The stream of the project's events; that of a log says nothing about it. */
const isFeed = (input: RequestInfo | URL, headers: Headers): boolean =>
  headers.get('accept') === 'text/event-stream' && /\/events(\?|$)/.test(String(input))

// The client opens a broken stream again by itself; whether bytes come through can only be seen here. A stream that a proxy
// holds back is answered and stays silent, so it counts from its first byte on.
function overheard(answer: Response): Response {
  if (!answer.body) return answer
  const watched = answer.body.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, out) {
        hearing.set('live')
        out.enqueue(chunk)
      },
      flush: () => hearing.set('polling'),
    }),
  )
  return new Response(watched, answer)
}

/** What `/readyz` says, with 200 as with 503. */
export interface Readiness {
  readonly status: string
  readonly checks: Readonly<Record<string, string>>
  readonly degraded?: Readonly<Record<string, string>>
}

/** Asks whether the server serves. That stands beside the API: a proxy that keeps it to itself answers something else, which throws. */
export const askReadiness = async (signal: AbortSignal): Promise<Readiness> =>
  // The server says it in this form.
  (await send(paths.readiness, { signal })).json() as Promise<Readiness>

/** Whether the server answers and serves the console: what of it is missing then is of another version. */
export const isServed = (): Promise<boolean> =>
  send(`${paths.console}/`, { method: 'HEAD', cache: 'no-store' }).then(
    ({ ok }) => ok,
    () => false,
  )

const clients = new Map<string, Client>()

/** The client of a project; without one, of what belongs to the person. */
export function clientOf(project?: string): Client {
  const key = project ?? ''
  let client = clients.get(key)
  if (!client) {
    // The page says what happened, and asks again when told to: patience here would look like a page that hangs.
    client = createClient({ url: location.origin, prefix, project, fetch: send, retry: { attempts: 2, cap_ms: 3_000 } })
    clients.set(key, client)
  }
  return client
}

/** The first rows of a list, and how many there are in all. */
export async function firstOf<I extends ListId>(
  client: Client,
  id: I,
  query: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<{ rows: readonly ItemOf<I>[]; total: number }> {
  // Without a cursor the answer is an array (`listOf` in @writ/api); the server checks what the query holds.
  const call = client.call as (id: string, args: object) => Promise<{ data: readonly ItemOf<I>[]; headers: Headers }>
  const { data, headers } = await call(id, { query, signal })
  return { rows: data, total: Number(headers.get('x-total-count') ?? data.length) }
}
