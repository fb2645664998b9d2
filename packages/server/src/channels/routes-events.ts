import type { EventPage, eventsApi, QueryOf } from '@writ/api'
import type { FastifyRequest } from 'fastify'
import { comparePositions, endOfLog, faultOfPatterns, type Position, requireEventPatterns } from '../audit/index.ts'
import type { Caller } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { inProject } from '../platform/db/index.ts'
import { goneOf, lastEventId, type Streaming, streamEvents, wantsStream } from '../platform/http/event-stream.ts'
import type { Ask, Handlers } from '../platform/http/mount.ts'
import { runToSee } from '../runs/index.ts'
import { positionOf, sequenceOf } from './event.ts'
import { isForeignPage, NO_SEQUENCE, type Socket, type SocketOn, serveSocket } from './socket.ts'
import { hear, type Interest, type Watching } from './watch.ts'

export type EventsOn = Watching & Streaming<Caller>

const BATCH = 200

export const eventHandlers = (on: EventsOn): Handlers<typeof eventsApi, Caller> => ({
  async list(ask) {
    const interest = await interestOf(ask)
    const streams = wantsStream(ask.request)
    const after = await startOf(ask, (streams ? lastEventId(ask.request) : undefined) ?? ask.query.after)
    if (!streams) return page(on, ask, interest, after)
    await stream(on, ask, interest, after)
    return ask.reply
  },
  socket: async () => {
    throw new AppError('UPGRADE_REQUIRED', {}, { headers: { upgrade: 'websocket' } })
  },
})

/** Serves the socket behind `events.socket`, whose caller is known already. */
export async function acceptSocket(
  on: EventsOn & SocketOn,
  socket: Socket,
  request: FastifyRequest,
  caller: Caller,
): Promise<void> {
  // Validated against the endpoint's schema before the upgrade.
  const { after, types } = request.query as QueryOf<(typeof eventsApi)['socket']>
  const position = after === undefined ? undefined : positionOf(after)
  const refused =
    caller.session?.kind === 'cookie' && isForeignPage(request.raw, on.publicUrl)
      ? 'a page of another site may not open this'
      : after !== undefined && position === undefined
        ? NO_SEQUENCE
        : faultOfPatterns(patternsOf(types)) === undefined
          ? undefined
          : 'types names an event that there is not'
  if (refused !== undefined) return socket.close(1008, refused)
  await serveSocket(
    on,
    socket,
    {
      caller,
      interest: { patterns: patternsOf(types) },
      async start() {
        const end = await inProject(caller.project!, () => on.db.read(endOfLog))
        if (position === undefined) return end
        return isBeyond(position, end) ? undefined : position
      },
    },
    () => on.recheck(request),
  )
}

const patternsOf = (types: string | undefined): string[] =>
  types === undefined ? ['*'] : types.split(',').map((one) => one.trim())

async function interestOf(ask: Ask<(typeof eventsApi)['list'], Caller>): Promise<Interest> {
  const { types, run_id } = ask.query
  requireEventPatterns('query.types', patternsOf(types))
  const run = run_id === undefined ? undefined : await ask.read((tx) => runToSee(tx, ask.caller, run_id))
  return { patterns: patternsOf(types), run: run?.id }
}

async function startOf(ask: Ask<(typeof eventsApi)['list'], Caller>, sequence: string | undefined): Promise<Position> {
  const end = await ask.read(endOfLog)
  if (sequence === undefined) return end
  const position = positionOf(sequence)
  if (!position || isBeyond(position, end)) throw new AppError('SEQUENCE_INVALID', { sequence })
  return position
}

/** Of a place that no event has had yet nobody can have heard: whoever waited there would miss all that comes before it. */
const isBeyond = (place: Position, end: Position): boolean => comparePositions(place, end) > 0

async function page(
  on: EventsOn,
  ask: Ask<(typeof eventsApi)['list'], Caller>,
  interest: Interest,
  after: Position,
): Promise<EventPage> {
  const { limit = 100, wait = 0 } = ask.query
  const end = performance.now() + wait * 1_000
  const gone = goneOf(ask.reply)
  let place = after
  for (;;) {
    const left = Math.max(0, end - performance.now())
    const time = AbortSignal.any([gone, on.stopping, AbortSignal.timeout(Math.ceil(left))])
    const { events, upTo } = await hear(on, ask.caller, interest, place, limit, time)
    const moved = upTo.index !== place.index || upTo.shard !== place.shard
    place = upTo
    // What was looked through and held nothing is no reason to wait; the end of the log is.
    if (events.length > 0 || gone.aborted || on.stopping.aborted || (left <= 0 && !moved))
      return { items: events.map((one) => one.event), last: sequenceOf(place) }
  }
}

/**
 * Server-sent events. Each has the sequence as its id, so a client that comes back with `Last-Event-ID` gets what
 * followed. A line with the id alone moves that place on when there was nothing to see.
 */
function stream(
  on: EventsOn,
  ask: Ask<(typeof eventsApi)['list'], Caller>,
  interest: Interest,
  after: Position,
): Promise<void> {
  let place = after
  return streamEvents(on, ask, `id: ${sequenceOf(place)}\n`, async (caller, until) => {
    const { events, upTo } = await hear(on, caller, interest, place, BATCH, until)
    place = upTo
    const texts = events.map(
      ({ event, text }) => `id: ${event.sequence}\nevent: ${event.data.event_type}\ndata: ${text}\n\n`,
    )
    // Also the heartbeat.
    texts.push(`: beat\nid: ${sequenceOf(place)}\n\n`)
    return { text: texts.join('') }
  })
}
