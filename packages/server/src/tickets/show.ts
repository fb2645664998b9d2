import type { Approval, Policy, Ticket } from '@writ/api'
import { rfc3339, rfc3339OrNull } from '../platform/clock.ts'
import type { ApprovalRow, TicketRow } from './store.ts'
import { editorsOf, whyExcluded } from './ticket.ts'

/** Who could approve under which policy. */
export interface Approvable {
  readonly policy: Pick<Policy, 'four_eyes'>
  readonly approvers: readonly string[]
}

/** A ticket as it crosses the wire; told who could approve, it warns when four eyes leave none of them. */
export function showTicket(row: TicketRow, approvable?: Approvable): Ticket {
  const shown: Ticket = {
    id: row.id,
    number: row.number,
    title: row.title,
    description: row.description,
    status: row.status,
    asset_id: row.asset_id,
    asset_number: row.asset_number,
    created_by_id: row.created_by_id,
    created_by_number: row.created_by_number,
    assignee_id: row.assignee_id,
    assignee_number: row.assignee_number,
    approved_by_id: row.approved_by_id,
    approved_by_number: row.approved_by_number,
    edited_by_ids: editorsOf(row),
    due_at: rfc3339OrNull(row.due_at),
    version: row.version,
    digest: row.digest,
    created_at: rfc3339(row.created_at),
    updated_at: rfc3339(row.updated_at),
  }
  const mayApprove = (id: string) => !approvable?.policy.four_eyes || whyExcluded(row, id) === undefined
  if (approvable && !approvable.approvers.some(mayApprove)) {
    shown.warnings = [
      {
        code: 'NO_ELIGIBLE_APPROVER',
        text: 'Nobody but those who opened it, changed it or do it could approve this ticket; name another approver.',
      },
    ]
  }
  return shown
}

export const showApproval = (row: ApprovalRow): Approval => ({
  id: row.id,
  decision: row.decision,
  ticket_version: row.subject_version,
  ticket_digest: row.subject_digest,
  decided_by_id: row.decided_by_id,
  decided_by_number: row.decided_by_number,
  reason: row.reason,
  created_at: rfc3339(row.created_at),
  expires_at: rfc3339OrNull(row.expires_at),
  voided_at: rfc3339OrNull(row.voided_at),
  consumed_at: rfc3339OrNull(row.consumed_at),
  signed_with_id: row.signing_key_id,
  auth_time: rfc3339OrNull(row.auth_time),
  amr: JSON.parse(row.amr) as string[],
})
