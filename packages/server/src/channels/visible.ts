import { openGroups, ticketGroups } from '@writ/api'
import type { PlacedEvent } from '../audit/index.ts'
import { type Caller, seesAll } from '../identity/index.ts'
import type { Database, Tx } from '../platform/db/index.ts'
import type { FeedEvent } from './feed.ts'
import { originsOfRuns, ownTickets } from './store-events.ts'

const groupOf = ({ event_type }: PlacedEvent) => event_type.slice(0, event_type.indexOf('.'))

/**
 * Of these events, those that the caller may watch. Admins and auditors read the log anyway and see all of it. Everybody
 * sees what happens to assets and rule sets; ops what happens to any ticket, run and artifact; others only what
 * belongs to tickets that they opened or are assigned to now, or to tasks that they dispatched.
 */
export async function visibleTo(
  db: Database,
  caller: Caller,
  events: readonly FeedEvent[],
): Promise<readonly FeedEvent[]> {
  if (caller.role === 'admin' || caller.role === 'auditor') return events
  const ofTickets = events.filter(({ row }) => ticketGroups.includes(groupOf(row)))
  const seen =
    seesAll(caller) || ofTickets.length === 0
      ? new Set(ofTickets)
      : await db.read((tx) => ownEvents(tx, caller, ofTickets))
  return events.filter((event) => openGroups.includes(groupOf(event.row)) || seen.has(event))
}

async function ownEvents(tx: Tx, caller: Caller, events: readonly FeedEvent[]): Promise<Set<FeedEvent>> {
  if (caller.userId === null) return new Set()
  const runIds = new Set(events.map(({ row }) => row.run_id).filter((id) => id !== null))
  const runs = await originsOfRuns(tx, [...runIds])
  const ticketOf = ({ row }: FeedEvent) =>
    row.resource_type === 'ticket'
      ? row.resource_id
      : row.run_id === null
        ? null
        : (runs.get(row.run_id)?.ticket ?? null)
  const ticketIds = new Set(events.map(ticketOf).filter((id) => id !== null))
  const own = await ownTickets(tx, caller.userId, [...ticketIds])
  const isOwnTask = ({ row }: FeedEvent) => {
    const origin = row.run_id === null ? undefined : runs.get(row.run_id)
    return origin?.ticket === null && origin.person === caller.userId
  }
  return new Set(events.filter((event) => own.has(ticketOf(event) ?? '') || isOwnTask(event)))
}
