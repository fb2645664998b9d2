import type { TicketChanges } from '@writ/api'
import { listEventsAbout, readLine } from '../audit/index.ts'
import { type Caller, loadPolicy } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339OrNull } from '../platform/clock.ts'
import type { Tx } from '../platform/db/index.ts'
import { mustBeApprover } from './change-ticket.ts'
import { showApproval } from './show.ts'
import * as store from './store.ts'

type Field = TicketChanges['changes'][number]['field']

/** A field as an edit tells it: the row's own values, times in milliseconds. */
interface Edited {
  readonly field: Field
  readonly from: string | number | null
  readonly to: string | number | null
}

/**
 * What somebody agrees to anew: the fields that were edited since a version of the ticket was approved last, as they were then and as
 * they are now. Read from the edits' own events, in the order in which they were made; one whose text was erased, or written over, is counted.
 * For whoever may approve, and for those who read the log anyway. Throws ADMIN_REQUIRED, ROLE_NOT_ALLOWED, TICKET_NOT_FOUND.
 */
export async function changesSinceApproval(tx: Tx, caller: Caller, ref: store.Ref): Promise<TicketChanges> {
  if (caller.role !== 'admin' && caller.role !== 'auditor') mustBeApprover(caller, await loadPolicy(tx))
  const ticket = await store.findTicket(tx, ref)
  if (!ticket) throw new AppError('TICKET_NOT_FOUND')
  const approvals = await store.listApprovals(tx, ticket.id)
  const last = approvals.findLast(({ decision }) => decision === 'approved')
  const nothing = { version: ticket.version, approval: null, changes: [], unreadable: 0 }
  if (!last) return nothing
  const events = await listEventsAbout(tx, ticket.id, ['ticket.approved', 'ticket.updated'])
  const edits = events.slice(events.findLastIndex(({ event_type }) => event_type === 'ticket.approved') + 1)
  const fields = new Map<Field, Edited>()
  for (const { event } of edits) {
    // Written by editTicket alone.
    const { changes = [] } = (readLine(event)?.details ?? {}) as { changes?: Edited[] }
    for (const one of changes) fields.set(one.field, { ...one, from: (fields.get(one.field) ?? one).from })
  }
  return {
    ...nothing,
    approval: showApproval(last),
    // Changed and changed back is no change.
    changes: [...fields.values()]
      .filter(({ from, to }) => from !== to)
      .map(({ field, from, to }) => ({ field, from: shown(from), to: shown(to) })),
    unreadable: edits.filter(({ event }) => readLine(event) === null).length,
  }
}

const shown = (value: string | number | null): string | null =>
  typeof value === 'number' ? rfc3339OrNull(value) : value
