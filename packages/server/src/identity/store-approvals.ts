import type { Selectable } from 'kysely'
import type { Tx } from '../platform/db/index.ts'
import type { ApprovalSignaturesTable, ApprovalsTable } from '../platform/db/tables.ts'

export type ApprovalRow = Selectable<ApprovalsTable>

export async function insertApproval(
  tx: Tx,
  approval: Omit<ApprovalRow, 'project_id' | 'voided_at' | 'consumed_at' | 'consumed_by'>,
): Promise<void> {
  await tx.db
    .insertInto('approvals')
    .values({ ...approval, project_id: tx.project, voided_at: null, consumed_at: null, consumed_by: null })
    .execute()
}

/** What the approver signed, beside the approval. */
export async function insertApprovalSignature(
  tx: Tx,
  signature: Omit<Selectable<ApprovalSignaturesTable>, 'project_id'>,
): Promise<void> {
  await tx.insert('approval_signatures', [{ project_id: tx.project, ...signature }])
}

export const findApproval = (tx: Tx, id: string): Promise<ApprovalRow | undefined> =>
  tx.db.selectFrom('approvals').selectAll().where('id', '=', id).executeTakeFirst()

/** One statement tests and sets: of two that come at once, one gets true. */
export async function markConsumed(tx: Tx, id: string, by: string, now: number): Promise<boolean> {
  const done = await tx.db
    .updateTable('approvals')
    .set({ consumed_at: now, consumed_by: by })
    .where('id', '=', id)
    .where('decision', '=', 'approved')
    .where('consumed_at', 'is', null)
    .where('voided_at', 'is', null)
    .where((or) => or.or([or('expires_at', 'is', null), or('expires_at', '>', now)]))
    .executeTakeFirst()
  return done.numUpdatedRows === 1n
}
