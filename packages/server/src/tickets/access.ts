import type { ErrorCode, Policy } from '@writ/api'
import { type Caller, loadPolicy, seesAll } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import type { Tx } from '../platform/db/index.ts'
import { findTicket, lockTicket, type Ref, type TicketRow } from './store.ts'

/** Creator and assignee have a part in a ticket. */
const hasPart = (caller: Caller, ticket: Pick<TicketRow, 'created_by_id' | 'assignee_id'>): boolean =>
  caller.userId !== null && (ticket.created_by_id === caller.userId || ticket.assignee_id === caller.userId)

/** May look at the ticket and what belongs to it. */
export const maySee = (caller: Caller, ticket: Pick<TicketRow, 'created_by_id' | 'assignee_id'>): boolean =>
  seesAll(caller) || hasPart(caller, ticket)

/** Whose role approves in this project. */
export const isApprover = (caller: Caller, policy: Pick<Policy, 'approver_roles'>): boolean =>
  caller.role !== null && policy.approver_roles.includes(caller.role)

/** May look at every ticket of the project: who agrees to one has to see it, and the others that it is like. */
export const seesEveryTicket = async (tx: Tx, caller: Caller): Promise<boolean> =>
  seesAll(caller) || isApprover(caller, await loadPolicy(tx))

/** May run on it and hand in evidence: those with a part in it, ops and admins. */
export const mayWorkOn = (caller: Caller, ticket: Pick<TicketRow, 'created_by_id' | 'assignee_id'>): boolean =>
  caller.role === 'admin' || caller.role === 'ops' || hasPart(caller, ticket)

/** The ticket, if the caller may see it. Throws TICKET_NOT_FOUND or `denied`. */
export async function seeTicket(
  tx: Tx,
  caller: Caller,
  ref: Ref,
  denied: ErrorCode = 'TICKET_VIEW_DENIED',
): Promise<TicketRow> {
  const ticket = await findTicket(tx, ref)
  if (!ticket) throw new AppError('TICKET_NOT_FOUND')
  if (!maySee(caller, ticket) && !(await seesEveryTicket(tx, caller))) throw new AppError(denied)
  return ticket
}

/** The ticket, locked for a change, if `may` allows it. */
export async function holdTicket(
  tx: Tx,
  caller: Caller,
  ref: Ref,
  may: typeof maySee,
  denied: ErrorCode,
): Promise<TicketRow> {
  const ticket = await lockTicket(tx, ref)
  if (!ticket) throw new AppError('TICKET_NOT_FOUND')
  if (!may(caller, ticket)) throw new AppError(denied)
  return ticket
}
