import { comparePositions, findPlacedEvents, type Position } from '../audit/index.ts'
import type { Tx } from '../platform/db/index.ts'
import { covers } from './event.ts'
import * as store from './store.ts'

/** What a webhook listens to: nothing while it is not active. */
interface Wish {
  readonly events: readonly string[]
  readonly handlers: readonly string[]
  readonly active: boolean
}

/** What it listened to until the event, by its id, that tells of its change. */
interface Earlier extends Wish {
  readonly until: string
}

type Wishing = Pick<store.WebhookRow, 'events' | 'handlers' | 'state' | 'earlier'>

export interface Listener {
  readonly id: string
  readonly ordered: boolean
  /** Whether it names handlers, or did. */
  readonly heeds: boolean
  /** What it listened to at a place in the log. */
  at(place: Position): Wish
  /** What is kept of the past once the log was read up to a place; undefined where that is kept already. */
  keptBehind(place: Position): string | null | undefined
}

/**
 * A change of what a webhook listens to counts from its own event on. What is before that in the log was promised under the wish of
 * then, however late the log is read; so that wish is kept until the reader has come to the event (docs/decisions/0101).
 *
 * @param until the id of the event that tells of the change
 */
export const withEarlier = (row: Wishing, until: string): string =>
  JSON.stringify([...earlierOf(row), { until, ...wishOf(row) } satisfies Earlier])

/** Of one that was just made, which had listened to nothing. */
export const sinceMade = (until: string): string =>
  JSON.stringify([{ until, events: [], handlers: [], active: false } satisfies Earlier])

export const listensAlike = (a: Wishing, b: Wishing): boolean => JSON.stringify(wishOf(a)) === JSON.stringify(wishOf(b))

/**
 * Who may listen to events that were read before: so no change is missed that has its event among them. Those that are ordered, or of which
 * something is kept, are locked: nobody ends the last one in turn, or changes what is kept, meanwhile.
 */
export async function listListeners(tx: Tx): Promise<Listener[]> {
  const rows = await store.listListening(tx)
  const toLock = rows.filter(({ ordered, earlier }) => ordered === 1 || earlier !== null).map(({ id }) => id)
  const locked = new Map((toLock.length === 0 ? [] : await store.lockWebhooks(tx, toLock)).map((row) => [row.id, row]))
  const known = rows.flatMap((row) => (toLock.includes(row.id) ? (locked.get(row.id) ?? []) : row))
  const places = await findPlacedEvents(tx, [
    ...new Set(known.flatMap((row) => earlierOf(row).map(({ until }) => until))),
  ])
  /** An event that is gone, with a log that was dropped, is before all that can be read; one without a place is behind it. */
  const isBehind = ({ until }: Earlier, place: Position): boolean => {
    const change = places.get(until)
    return change !== undefined && (change.position === null || comparePositions(change.position, place) > 0)
  }
  return known.map((row) => {
    const [past, now] = [earlierOf(row), wishOf(row)]
    return {
      id: row.id,
      ordered: row.ordered === 1,
      heeds: [...past, now].some(({ handlers }) => handlers.length > 0),
      at: (place) => past.find((earlier) => isBehind(earlier, place)) ?? now,
      keptBehind(place) {
        const left = past.filter((earlier) => isBehind(earlier, place))
        if (left.length === past.length) return undefined
        return left.length === 0 ? null : JSON.stringify(left)
      },
    }
  })
}

/** Whether it hears of an event: by its type, or as the end of a task of one of its handlers. */
export const hears = ({ active, events, handlers }: Wish, type: string, handler: string | undefined): boolean =>
  active && (covers(events, type) || (handler !== undefined && handlers.includes(handler)))

// As the functions above and the routes wrote them.
const earlierOf = ({ earlier }: Wishing): Earlier[] => (earlier === null ? [] : (JSON.parse(earlier) as Earlier[]))
const wishOf = (row: Wishing): Wish => ({
  events: JSON.parse(row.events) as string[],
  handlers: JSON.parse(row.handlers) as string[],
  active: row.state === 'active',
})
