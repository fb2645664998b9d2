import type { Tx } from '../platform/db/index.ts'

/** Of these runs, the ticket of each, or for those on none who asked for them. */
export async function originsOfRuns(
  tx: Tx,
  runIds: readonly string[],
): Promise<Map<string, { ticket: string | null; person: string | null }>> {
  if (runIds.length === 0) return new Map()
  const rows = await tx.db
    .selectFrom('runs')
    .select(['id', 'ticket_id', 'executed_by_id'])
    .where('id', 'in', runIds)
    .execute()
  return new Map(rows.map((row) => [row.id, { ticket: row.ticket_id, person: row.executed_by_id }]))
}

/** Of these tickets, those that a person opened or is assigned to. */
export async function ownTickets(tx: Tx, person: string, ticketIds: readonly string[]): Promise<Set<string>> {
  if (ticketIds.length === 0) return new Set()
  const rows = await tx.db
    .selectFrom('tickets')
    .select('id')
    .where('id', 'in', ticketIds)
    .where((eb) => eb.or([eb('created_by_id', '=', person), eb('assignee_id', '=', person)]))
    .execute()
  return new Set(rows.map((row) => row.id))
}
