import type { Ticket } from '@writ/api'
import { canonicalize, type Hash, toHex, toUtf8 } from '@writ/tlog'

/**
 * The digest of a ticket version, made here from what the page shows: what is approved is this and nothing else. The form
 * is that of docs/trust.md: RFC 8785 of these fields, with the due time in milliseconds.
 */
export function digestOfTicket(ticket: Ticket, project: string, sha256: Hash): string {
  const { id, version, title, description, asset_id, assignee_id, created_by_id } = ticket
  const due_at = ticket.due_at === null ? null : Date.parse(ticket.due_at)
  const promise = { project, id, version, title, description, asset_id, assignee_id, created_by_id, due_at }
  return toHex(sha256(toUtf8(canonicalize(promise))))
}
