import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { faultOfPatterns, type Position } from '../audit/index.ts'
import type { Caller } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { type Clock, rfc3339 } from '../platform/clock.ts'
import { covers, sequenceOf } from './event.ts'
import { hear, type Interest, type Watching } from './watch.ts'

/** What of a WebSocket is used here; `ws` has it. */
export interface Socket {
  send(text: string | Buffer, options: { binary: false }, sent?: (error?: Error | null) => void): void
  ping(): void
  close(code: number, reason: string): void
  terminate(): void
  on(event: 'message', heard: (data: { toString(): string }, isBinary: boolean) => void): unknown
  on(event: 'pong' | 'close', heard: () => void): unknown
  on(event: 'error', heard: (error: Error) => void): unknown
}

export interface SocketOn extends Watching {
  readonly clock: Clock
  readonly publicUrl: string | undefined
}

const BATCH = 200
const PATTERN = /^(\*|[a-z_]+\.(\*|[a-z_]+))$/
const MAX_PATTERNS = 50
const ALL = ['*']
const MAX_OWED = 100
const TEXT = { binary: false } as const

/** Why a socket is closed whose client answered no ping, where it can be told. */
const NO_ANSWER = 'a ping was not answered'

/** Why a socket is closed whose `after` is a place that no event has. */
export const NO_SEQUENCE = 'after is no sequence of an event'

/**
 * Events over a WebSocket, in messages of JSON (docs/events.md). Nothing depends on it: what a socket tells can be had by
 * stream and by poll, and a socket that broke goes on by `after`. Each one reads the log from a place of its own, so all
 * get the whole sequence in order; one that does not read is closed, and so is one that does not answer a ping.
 *
 * @param first `start` is where it begins; undefined closes the socket with NO_SEQUENCE
 * @param recheck asks again who the caller is; throws when the session, token or membership has ended
 */
export async function serveSocket(
  on: SocketOn,
  socket: Socket,
  first: { readonly caller: Caller; readonly interest: Interest; start(): Promise<Position | undefined> },
  recheck: () => Promise<Caller>,
): Promise<void> {
  const closed = new AbortController()
  const gone = AbortSignal.any([closed.signal, on.stopping])
  let { caller, interest } = first
  let place: Position = { shard: -1, index: -1 }
  /** Unsubscribed from everything is not subscribed to everything. */
  let patterns = new Set(interest.patterns)
  /** Of what the patterns cover, what is not wanted. */
  let except: readonly string[] = []
  let alive = true
  let said = Promise.resolve(true)
  let owed = 0

  socket.on('close', () => closed.abort())
  socket.on('error', () => closed.abort())
  socket.on('pong', () => {
    alive = true
  })
  socket.on('message', (data, isBinary) => {
    alive = true
    const answer = isBinary ? refusal('messages are text') : obey(data.toString())
    if (answer === undefined) return
    // Who asks and asks and reads no answer is not read any further.
    if (owed === MAX_OWED) return socket.terminate()
    owed++
    void say(answer).then(() => owed--)
  })

  /** One after the other; false when the reader is gone or takes nothing. A batch is bounded, so only its end is waited for. */
  function say(...texts: readonly (string | Buffer)[]): Promise<boolean> {
    said = said.then((fine) => fine && !closed.signal.aborted && sendPatiently(socket, texts, 2 * on.heartbeatMs))
    return said
  }

  function obey(text: string): string | undefined {
    const asked = parse(text)
    if (asked === undefined) return refusal('this is no JSON object')
    if (asked.type === 'ping') return JSON.stringify({ type: 'pong', timestamp: rfc3339(on.clock.now()) })
    if (asked.action === 'pong' || asked.type === 'pong') return undefined
    if (asked.action === 'subscribe_all') return confirm('subscribe_all', new Set(['*']))
    if (asked.action !== 'subscribe' && asked.action !== 'unsubscribe')
      return refusal('action must be subscribe, unsubscribe, subscribe_all or pong')
    const events: unknown = asked.events
    const fits =
      Array.isArray(events) && events.length > 0 && events.every((one) => typeof one === 'string' && PATTERN.test(one))
    if (!fits) return refusal('events must be a list of types such as run.completed, groups such as run.*, or *')
    const named = events as string[]
    const fault = faultOfPatterns(named)
    if (fault !== undefined) return refusal(fault)
    if (asked.action === 'unsubscribe') {
      const left = [...patterns].filter((one) => !covers(named, one))
      // What is left may be wider than what is not wanted any more.
      const without = new Set([
        ...except.filter((one) => !covers(named, one)),
        ...named.filter((one) => covers(left, one)),
      ])
      if (without.size > MAX_PATTERNS) return refusal(`at most ${MAX_PATTERNS} patterns`)
      return confirm('unsubscribe', new Set(left), [...without])
    }
    // The first wish replaces "everything"; later ones add to it.
    const all = patterns.has('*')
    const wanted = new Set([...(all ? [] : patterns), ...named])
    if (wanted.size > MAX_PATTERNS) return refusal(`at most ${MAX_PATTERNS} patterns`)
    return confirm('subscribe', wanted, all ? [] : except.filter((one) => !covers(named, one)))
  }

  function confirm(action: string, wanted: Set<string>, without: readonly string[] = []): string {
    patterns = wanted
    except = without
    interest = { ...interest, patterns: [...wanted] }
    return JSON.stringify({
      type: 'subscription:confirmed',
      action,
      events: interest.patterns,
      ...(except.length > 0 ? { except } : {}),
    })
  }

  const status = (word: 'connected' | 'disconnected', reason?: string) =>
    JSON.stringify({
      type: 'connection:status',
      status: word,
      timestamp: rfc3339(on.clock.now()),
      server_time: rfc3339(on.clock.now()),
      sequence: sequenceOf(place),
      ...(reason === undefined ? {} : { reason }),
    })

  let beatAt = performance.now()
  try {
    // Behind the listeners above: what the client says meanwhile is heard.
    const begin = await first.start()
    if (begin === undefined) return socket.close(1008, NO_SEQUENCE)
    place = begin
    await say(status('connected'))
    while (!gone.aborted) {
      const rest = Math.ceil(Math.max(1, on.heartbeatMs - (performance.now() - beatAt)))
      const until = AbortSignal.any([gone, AbortSignal.timeout(rest)])
      const { events, upTo } = await hear(on, caller, { ...interest, patterns: ALL }, place, BATCH, until)
      place = upTo
      // A wish that was confirmed while we waited holds for these already.
      const wanted = events.filter(
        ({ row }) => covers(interest.patterns, row.event_type) && !covers(except, row.event_type),
      )
      if (wanted.length > 0) void say(...wanted.map(({ message }) => message))
      if (!(await said)) return
      if (performance.now() - beatAt < on.heartbeatMs) continue
      beatAt = performance.now()
      if (!alive) return
      alive = false
      socket.ping()
      void say(JSON.stringify({ type: 'ping', timestamp: rfc3339(on.clock.now()), sequence: sequenceOf(place) }))
      caller = await recheck()
    }
    if (on.stopping.aborted) {
      await say(status('disconnected', 'the server is stopping'))
      socket.close(1001, 'the server is stopping')
      // Whoever listens says goodbye; whoever stops the server waits for a moment, and ends the others.
      if (!closed.signal.aborted) await once(closed.signal, 'abort')
    }
  } catch (err) {
    const known = err instanceof AppError
    if (!known) on.log.error({ err }, 'a socket broke')
    const reason = known ? 'not allowed any more' : 'something went wrong in the server'
    await say(status('disconnected', reason))
    socket.close(known ? 1008 : 1011, reason)
  } finally {
    const took = await said
    if (!closed.signal.aborted && !(alive && took)) {
      on.log.info({ user: caller.username, sequence: sequenceOf(place) }, 'a socket was closed that takes nothing')
      // Into what room there is on the way to it; where there is none, it is not told.
      if (took) {
        socket.send(status('disconnected', NO_ANSWER), TEXT)
        socket.close(1008, NO_ANSWER)
      }
    }
    // Nobody reads, or nobody is there: a closing handshake would wait for them.
    if (!alive || !took) socket.terminate()
    closed.abort()
  }
}

const refusal = (message: string): string => JSON.stringify({ type: 'error', code: 'MESSAGE_INVALID', message })

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    // Checked: neither null nor a list.
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

function sendPatiently(socket: Socket, texts: readonly (string | Buffer)[], patienceMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), patienceMs)
    for (const text of texts.slice(0, -1)) socket.send(text, TEXT)
    socket.send(texts.at(-1)!, TEXT, (error) => {
      clearTimeout(timer)
      resolve(!error)
    })
  })
}

/** Whether a page of another site opened this socket: browsers send cookies with it, and no CSRF token. */
export function isForeignPage(request: IncomingMessage, publicUrl: string | undefined): boolean {
  const { origin, host } = request.headers
  if (origin === undefined) return false
  const own = publicUrl === undefined ? undefined : new URL(publicUrl).origin
  return origin !== own && !(URL.canParse(origin) && new URL(origin).host === host)
}
