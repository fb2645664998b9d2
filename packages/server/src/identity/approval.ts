import type { Policy } from '@writ/api'
import { type Actor, append } from '../audit/index.ts'
import { AppError } from '../platform/app-error.ts'
import type { Tx } from '../platform/db/index.ts'
import { type ApprovalRow, findApproval, markConsumed } from './store-approvals.ts'
import { type Approver, listWithRoles } from './store-projects.ts'

/**
 * Uses an approval up, in the transaction of what it allows; everything that rests on an approval comes through here,
 * so that none is used twice. Answers the approval as it was.
 * Throws APPROVAL_USED (used, voided, or a rejection) or APPROVAL_EXPIRED.
 * @param use what used it, as `type:id`; the actor's id if left out
 */
export async function consume(
  tx: Tx,
  approvalId: string,
  by: Actor,
  now: number,
  use: string = by.id ?? by.kind,
): Promise<ApprovalRow> {
  const done = await markConsumed(tx, approvalId, use, now)
  const approval = await findApproval(tx, approvalId)
  if (!approval) throw new Error('an approval was to be used that is not there')
  if (!done) {
    const expired =
      approval.consumed_at === null &&
      approval.voided_at === null &&
      approval.expires_at !== null &&
      approval.expires_at <= now
    throw new AppError(expired ? 'APPROVAL_EXPIRED' : 'APPROVAL_USED')
  }
  await append(tx, now, by, {
    type: 'approval.consumed',
    resource: { type: approval.subject_type === 'policy' ? 'policy_change' : 'ticket', id: approval.subject_id },
    action: `Used approval of ${approval.subject_type} version ${approval.subject_version}`,
    details: {
      approval_id: approval.id,
      subject_digest: approval.subject_digest,
      decided_by_id: approval.decided_by_id,
      used_by: use,
    },
  })
  return approval
}

/** Who may approve under a policy and is not excluded (creator and assignee, by four eyes). By number. */
export async function listEligibleApprovers(
  tx: Tx,
  asked: { readonly policy: Pick<Policy, 'approver_roles' | 'four_eyes'>; readonly excluded: readonly string[] },
): Promise<Approver[]> {
  const all = await listWithRoles(tx, asked.policy.approver_roles)
  return asked.policy.four_eyes ? all.filter((approver) => !asked.excluded.includes(approver.id)) : all
}
