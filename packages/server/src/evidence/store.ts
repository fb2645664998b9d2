import type { Selectable } from 'kysely'
import { inList, type Tx } from '../platform/db/index.ts'
import type { ApprovalSignaturesTable, AttestationsTable } from '../platform/db/tables.ts'

// All SQL of evidence: the envelopes that were made, and what a bundle is put together from.

export type AttestationRow = Selectable<AttestationsTable>

/** Where the things are that have numbers, by the names that events have for them. */
const numbered: Readonly<Record<string, string>> = {
  ticket: 'tickets where project_id = ?1 and number = ?2',
  run: 'runs where project_id = ?1 and number = ?2',
  artifact: 'artifacts where project_id = ?1 and number = ?2',
  asset: 'assets where project_id = ?1 and number = ?2',
  user: "users where ?1 <> '' and number = ?2",
}

/** The id of what events call by a type and a number; undefined for what is not there, or not any more. */
export async function findNumbered(tx: Tx, type: string, number: number): Promise<string | undefined> {
  const place = Object.hasOwn(numbered, type) ? numbered[type] : undefined
  if (place === undefined) return undefined
  const [row] = await tx.sql<{ id: string }>(`select id from ${place}`, [tx.project, number])
  return row?.id
}

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

/**
 * Tickets, each with its runs, or runs, by number; with `of` only those on tickets that this person has a part in, and
 * tasks that this person dispatched.
 */
export async function listSealed(
  tx: Tx,
  subject: 'ticket' | 'run',
  numbers: readonly number[],
  of: string | null,
): Promise<{ id: string; number: number; runs: string[] }[]> {
  const own = of === null ? '' : 'and (t.created_by_id = ?3 or t.assignee_id = ?3)'
  const ownTask = of === null ? '' : 'and r.executed_by_id = ?3'
  const params = of === null ? [tx.project, numbers] : [tx.project, numbers, of]
  if (subject === 'run')
    return (
      await tx.sql<{ id: string; number: number }>(
        `select r.id, r.number from runs r join tickets t on t.project_id = r.project_id and t.id = r.ticket_id
         where r.project_id = ?1 and ${inList(tx, 'r.number', '?2')} ${own}
         union all
         select r.id, r.number from runs r
         where r.project_id = ?1 and r.kind = 'task' and ${inList(tx, 'r.number', '?2')} ${ownTask} order by 2`,
        params,
      )
    ).map((row) => ({ ...row, runs: [] }))
  const rows = await tx.sql<{ id: string; number: number; run: string | null }>(
    `select t.id, t.number, r.id as run from tickets t left join runs r on r.project_id = t.project_id and r.ticket_id = t.id
     where t.project_id = ?1 and ${inList(tx, 't.number', '?2')} ${own} order by t.number, r.id`,
    params,
  )
  const tickets = new Map<string, { id: string; number: number; runs: string[] }>()
  for (const { id, number, run } of rows) {
    const one = tickets.get(id) ?? { id, number, runs: [] }
    if (run !== null) one.runs.push(run)
    tickets.set(id, one)
  }
  return [...tickets.values()]
}
