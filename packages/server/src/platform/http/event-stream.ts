import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../app-error.ts'
import type { Logger } from '../log.ts'
import { writePatiently } from './patient-write.ts'

/** What all streams of server-sent events share. */
export interface Streaming<C> {
  /** Ends everything that waits: the server is stopping. */
  readonly stopping: AbortSignal
  /** Something is said at least so often; a reader that takes nothing for twice as long is closed. */
  readonly heartbeatMs: number
  readonly log: Logger
  /** Asks again who the caller of a long request is. Throws when the session, token or membership has ended. */
  recheck(request: FastifyRequest): Promise<C>
}

/** Whether the client asks for a stream rather than for one answer. */
export const wantsStream = (request: FastifyRequest): boolean =>
  /\btext\/event-stream\b/.test(request.headers.accept ?? '')

/** The id of the last event that the client got before its connection broke. */
export function lastEventId(request: FastifyRequest): string | undefined {
  const id = request.headers['last-event-id']
  return typeof id === 'string' && id !== '' ? id : undefined
}

/** Aborts when the answer has ended or nobody is there to get it. */
export function goneOf(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  return gone.signal
}

/**
 * Answers with server-sent events for as long as somebody takes them and may have them. `next` says what follows, in the form of the
 * stream; it answers at the latest when its signal aborts, with a comment at least, so that who is gone is noticed. `last` ends the
 * stream behind it. A reader that does not read is closed, not buffered for: it comes back and goes on where it was.
 */
export async function streamEvents<C>(
  on: Streaming<C>,
  ask: { readonly request: FastifyRequest; readonly reply: FastifyReply; readonly caller: C },
  begin: string,
  next: (caller: C, until: AbortSignal) => Promise<{ readonly text: string; readonly last?: boolean }>,
): Promise<void> {
  const { request, reply } = ask
  const gone = AbortSignal.any([goneOf(reply), on.stopping])
  reply.hijack()
  const { raw } = reply
  raw.writeHead(200, {
    ...plainHeaders(reply),
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    // Kept for another request, it would hold up the end of the server.
    connection: 'close',
    // Or nginx gathers them.
    'x-accel-buffering': 'no',
  })
  const write = async (text: string) => {
    if (await writePatiently(raw, text, 2 * on.heartbeatMs, gone)) return true
    if (!gone.aborted) on.log.info({ request: request.id }, 'a stream was closed that nobody reads')
    return false
  }
  let { caller } = ask
  let checkedAt = performance.now()
  try {
    if (!(await write(`retry: 2000\n${begin}\n`))) return
    while (!gone.aborted) {
      const { text, last } = await next(caller, AbortSignal.any([gone, AbortSignal.timeout(on.heartbeatMs)]))
      if (!(await write(text)) || last) return
      if (performance.now() - checkedAt < on.heartbeatMs) continue
      checkedAt = performance.now()
      caller = await on.recheck(request)
    }
  } catch (err) {
    // Whose session or membership has ended is told so when they come back.
    if (!(err instanceof AppError)) on.log.error({ err, request: request.id }, 'a stream of events broke')
  } finally {
    raw.end()
  }
}

/** What hooks have set; a hijacked answer does not send it by itself. */
function plainHeaders(reply: FastifyReply): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(reply.getHeaders())
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, Array.isArray(value) ? value : String(value)]),
  )
}
