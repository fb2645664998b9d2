import type { Selectable } from 'kysely'
import { inList, type Tx } from '../platform/db/index.ts'
import type { ApprovalSignaturesTable, AttestationsTable } from '../platform/db/tables.ts'

// All SQL of evidence: the envelopes that were made, and what a bundle is put together from.

export type AttestationRow = Selectable<AttestationsTable>

export async function insertAttestation(tx: Tx, row: Omit<AttestationRow, 'project_id'>): Promise<void> {
  await tx.insert('attestations', [{ project_id: tx.project, ...row }])
}

/** Envelopes by the digests of their payloads, in hexadecimal. */
export const listAttestations = (tx: Tx, digests: readonly string[]): Promise<AttestationRow[]> =>
  tx.sql(`select * from attestations where project_id = ?1 and ${inList(tx, 'digest', '?2')} order by digest`, [
    tx.project,
    digests,
  ])

/** What people signed about a ticket, oldest first. */
export const listApprovalSignatures = (tx: Tx, ticketId: string): Promise<Selectable<ApprovalSignaturesTable>[]> =>
  tx.db
    .selectFrom('approval_signatures')
    .innerJoin('approvals', 'approvals.id', 'approval_signatures.approval_id')
    .selectAll('approval_signatures')
    .where('approvals.subject_type', '=', 'ticket')
    .where('approvals.subject_id', '=', ticketId)
    .orderBy('approval_id')
    .execute()
