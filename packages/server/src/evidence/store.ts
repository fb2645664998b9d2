import type { Selectable } from 'kysely'
import type { Tx } from '../platform/db/index.ts'
import type { AttestationsTable } from '../platform/db/tables.ts'

// All SQL of evidence: the envelopes that were made, and what a bundle is put together from.

export type AttestationRow = Selectable<AttestationsTable>

export async function insertAttestation(tx: Tx, row: Omit<AttestationRow, 'project_id'>): Promise<void> {
  await tx.insert('attestations', [{ project_id: tx.project, ...row }])
}
