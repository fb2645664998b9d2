import type { AuditEventType, IssuedStatement, Policy, Ticket, TicketStatus, UpdateTicket } from '@writ/api'
import { APPROVAL_NAMESPACE, statementBytes, toBase64Url } from '@writ/tlog'
import { type Attest, append, sha256 } from '../audit/index.ts'
import {
  type Caller,
  type Decision,
  findAppliedChange,
  findApproval,
  findUserRef,
  holdPolicy,
  loadPolicy,
  loadPolicyAndApprovers,
  lockSigningKey,
  mustBeInPerson,
  mustBeUsable,
  mustStillStand,
  personOf,
  policyDigest,
  policyText,
  type RecordedApproval,
  recordApproval,
  SIGN_WITHIN_MS,
  type SignedApproval,
  statementOf,
} from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339 } from '../platform/clock.ts'
import type { Tx } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { holdTicket, isApprover, mayWorkOn } from './access.ts'
import { changesOf } from './asset.ts'
import { showTicket } from './show.ts'
import * as store from './store.ts'
import { digestOf, editorsOf, outcomeOf, requireMove, whyExcluded } from './ticket.ts'

const resourceOf = (ticket: Pick<store.TicketRow, 'id' | 'number'>) => ({
  type: 'ticket',
  id: ticket.id,
  number: ticket.number,
})
const mayEdit = (caller: Caller, ticket: Pick<store.TicketRow, 'created_by_id'>) =>
  caller.role === 'admin' || ticket.created_by_id === caller.userId

/** What is promised. Who does it, and until when, is arranged by those who approve as well. */
const WORDS: ReadonlySet<string> = new Set(['title', 'description', 'asset_id'])
const withEditor = (ticket: store.TicketRow, person: string): string =>
  JSON.stringify([...new Set([...editorsOf(ticket), person])])

/**
 * Edits the given fields, never the status. An edit voids an approval, also while the work is under way or done: nobody
 * agreed to the new version. What was only approved goes back to submitted.
 * @param mustMatch throws if the caller knows another version than this one
 */
export async function editTicket(
  tx: Tx,
  caller: Caller,
  ref: store.Ref,
  body: UpdateTicket,
  mustMatch: (version: string) => void,
): Promise<Ticket> {
  const before = await holdTicket(tx, caller, ref, mayEdit, 'TICKET_UPDATE_DENIED')
  mustMatch(before.digest)
  const { status, digest: read, ...rest } = body
  if (read !== undefined && read !== before.digest) throw new AppError('TICKET_CHANGED')
  if (status !== undefined && status !== before.status) throw new AppError('TICKET_STATUS_BY_PATCH')
  if (before.status === 'closed') throw new AppError('TICKET_CLOSED')
  const edited = { ...before, ...(await resolve(tx, rest, before)) }
  const changed = changesOf(before, edited)
  if (changed.length === 0) return showTicket(before)
  const rewords = changed.some(({ field }) => WORDS.has(field))
  const voided = before.approved_by_id !== null
  const version = before.version + 1
  const { title, description, asset_id, assignee_id, due_at } = edited
  const change = {
    title,
    description,
    asset_id,
    assignee_id,
    due_at,
    version,
    digest: digestOf({ ...edited, project: tx.project, version }),
    updated_at: caller.at,
    ...(rewords ? { edited_by_ids: withEditor(before, personOf(caller)) } : {}),
  }
  await store.updateTicket(tx, before.id, {
    ...change,
    ...(voided ? { approved_by_id: null } : {}),
    ...(before.status === 'approved' ? { status: 'submitted' } : {}),
  })
  await append(tx, caller.at, caller, {
    type: 'ticket.updated',
    resource: resourceOf(before),
    action: `Updated ticket: ${title}`,
    details: { updated_fields: changed.map((one) => one.field), changes: changed, version, digest: change.digest },
  })
  if (voided) {
    await store.voidApprovals(tx, before.id, caller.at)
    await append(tx, caller.at, caller, {
      type: 'ticket.approval_voided',
      resource: resourceOf(before),
      action: `Approval voided by an edit: ${title}`,
      details: { version, approved_version: before.version, approved_by_id: before.approved_by_id },
    })
  }
  const now = (await store.findTicket(tx, before.id))!
  return showTicket(now, rewords && now.status === 'submitted' ? await loadPolicyAndApprovers(tx) : undefined)
}

async function resolve(
  tx: Tx,
  body: Omit<UpdateTicket, 'status' | 'digest'>,
  before: Pick<store.TicketRow, 'assignee_id'>,
): Promise<Partial<store.TicketRow>> {
  const { asset_id, assignee_id, due_at, ...plain } = body
  const asset = asset_id == null ? undefined : await store.findAsset(tx, asset_id)
  if (asset_id != null && !asset) throw new AppError('ASSET_NOT_FOUND')
  const assignee = assignee_id == null ? undefined : await findUserRef(tx, assignee_id)
  if (assignee_id != null && !assignee) throw new AppError('USER_NOT_FOUND')
  // Who was deactivated since stays what they were; a form that sends everything back changes nothing.
  if (assignee && !assignee.is_active && assignee.id !== before.assignee_id) throw new AppError('ASSIGNEE_INACTIVE')
  return {
    ...plain,
    ...(asset_id === undefined ? {} : { asset_id: asset?.id ?? null }),
    ...(assignee_id === undefined ? {} : { assignee_id: assignee?.id ?? null }),
    ...(due_at === undefined ? {} : { due_at: due_at === null ? null : Date.parse(due_at) }),
  }
}

/**
 * Approves exactly the version the approver read. Documented words for whoever may not, and for the wrong status.
 * @param signed the approver's own signature over the statement of this approval, verified already
 */
export async function approveTicket(
  tx: Tx,
  caller: Caller,
  ref: store.Ref,
  body: { digest?: string; reason?: string; approved?: boolean } | null,
  attest: Attest,
  signed: SignedApproval | null,
): Promise<Ticket> {
  const { ticket, policy } = await decide(tx, caller, ref)
  if (body?.approved === false)
    throw new AppError(
      'VALIDATION_FAILED',
      {},
      {
        fields: [
          { path: 'body.approved', message: 'must be true; a rejection is POST /tickets/{id}/reject with a reason' },
        ],
      },
    )
  if (signed && (await findApproval(tx, signed.claim.id))) throw new AppError('APPROVAL_USED')
  mustBeSubmitted(ticket)
  if (body?.digest !== undefined && body.digest !== ticket.digest) throw new AppError('APPROVAL_STALE')
  // The key may have been revoked since its signature was verified.
  if (signed) mustBeUsable((await lockSigningKey(tx, signed.key.id))!, personOf(caller))
  else if (policy.require_signature) throw new AppError('SIGNATURE_REQUIRED', { ticket: ticket.number })
  mustBeInPerson(caller, policy, signed !== null)
  const decision = { ...approvalOf(ticket, policy), reason: body?.reason ?? null }
  const { att, details } = await recordApproval(tx, attest, caller, decision, signed)
  await store.updateTicket(tx, ticket.id, {
    status: 'approved',
    approved_by_id: personOf(caller),
    edited_by_ids: '[]',
    updated_at: caller.at,
  })
  await append(tx, caller.at, caller, {
    type: 'ticket.approved',
    resource: resourceOf(ticket),
    action: `Approved ticket: ${ticket.title}`,
    details: {
      number: ticket.number,
      created_by_id: ticket.created_by_id,
      version: ticket.version,
      digest: ticket.digest,
      reason: body?.reason ?? null,
      ...details,
      ...(await ruledBy(tx, policy)),
    },
    att,
  })
  return showTicket((await store.findTicket(tx, ticket.id))!)
}

/** Under which policy something was agreed to, and which change made it so: for whoever reads of the approval later, under another one. */
async function ruledBy(tx: Tx, policy: Policy): Promise<Record<string, unknown>> {
  const digest = policyDigest(policy)
  const change = await findAppliedChange(tx, digest)
  return {
    // The text that was digested, as an object.
    policy: JSON.parse(policyText(policy)) as unknown,
    policy_digest: digest,
    policy_change_id: change?.id ?? null,
  }
}

const mustBeSubmitted = (ticket: store.TicketRow): void => {
  if (ticket.status !== 'submitted') throw new AppError('TICKET_NOT_SUBMITTED', { status: ticket.status })
}

const approvalOf = (ticket: store.TicketRow, policy: Policy): Omit<Decision, 'reason'> => ({
  subject: { type: 'ticket', id: ticket.id, version: ticket.version, sha256: ticket.digest },
  decision: 'approved',
  ttlMs: policy.approval_ttl_hours === null ? null : policy.approval_ttl_hours * 3_600_000,
})

/** The statement that would approve the version as it stands, for the caller to sign; nothing is kept of it. */
export async function approvalToSign(tx: Tx, caller: Caller, ref: store.Ref): Promise<IssuedStatement> {
  const policy = await loadPolicy(tx)
  const ticket = await store.findTicket(tx, ref)
  mayDecide(caller, policy, ticket)
  mustBeSubmitted(ticket)
  const issued = { id: uuidv7(caller.at), at: caller.at, signable: true }
  const decision = { ...approvalOf(ticket, policy), reason: null }
  const statement = Buffer.from(statementBytes(statementOf(tx.project, personOf(caller), decision, issued)))
  return {
    statement: statement.toString(),
    challenge: toBase64Url(sha256(statement)),
    namespace: APPROVAL_NAMESPACE,
    sign_before: rfc3339(caller.at + SIGN_WITHIN_MS),
  }
}

/** Back to draft, with a reason. */
export async function rejectTicket(
  tx: Tx,
  caller: Caller,
  ref: store.Ref,
  reason: string,
  attest: Attest,
): Promise<Ticket> {
  const { ticket, policy } = await decide(tx, caller, ref)
  requireMove(ticket.status, 'draft')
  const decision = { ...approvalOf(ticket, policy), decision: 'rejected', reason, ttlMs: null } as const
  const approval = await recordApproval(tx, attest, caller, decision)
  return move(tx, caller, ticket, 'draft', 'ticket.rejected', `Rejected ticket: ${ticket.title}`, reason, approval)
}

async function decide(tx: Tx, caller: Caller, ref: store.Ref) {
  const policy = await holdPolicy(tx)
  await mustStillStand(tx, caller)
  mustBeApprover(caller, policy)
  const ticket = await store.lockTicket(tx, ref)
  mayDecide(caller, policy, ticket)
  return { ticket, policy }
}

/** Throws ADMIN_REQUIRED or ROLE_NOT_ALLOWED. */
export function mustBeApprover(caller: Caller, policy: Policy): void {
  if (!isApprover(caller, policy))
    throw new AppError(policy.approver_roles.every((role) => role === 'admin') ? 'ADMIN_REQUIRED' : 'ROLE_NOT_ALLOWED')
}

function mayDecide(
  caller: Caller,
  policy: Policy,
  ticket: store.TicketRow | undefined,
): asserts ticket is store.TicketRow {
  mustBeApprover(caller, policy)
  if (!ticket) throw new AppError('TICKET_NOT_FOUND')
  const reason = policy.four_eyes ? whyExcluded(ticket, personOf(caller)) : undefined
  if (reason !== undefined) throw new AppError('APPROVER_EXCLUDED', { reason })
}

/** Draft to submitted; warns when nobody could approve it. */
export async function submitTicket(tx: Tx, caller: Caller, ref: store.Ref): Promise<Ticket> {
  const ticket = await holdTicket(tx, caller, ref, mayEdit, 'TICKET_UPDATE_DENIED')
  if (ticket.status !== 'draft') throw new AppError('TICKET_MOVE_ILLEGAL', { status: ticket.status, to: 'submitted' })
  await move(tx, caller, ticket, 'submitted', 'ticket.submitted', `Submitted ticket: ${ticket.title}`, null)
  return showTicket((await store.findTicket(tx, ticket.id))!, await loadPolicyAndApprovers(tx))
}

export async function closeTicket(tx: Tx, caller: Caller, ref: store.Ref, reason: string | null): Promise<Ticket> {
  const ticket = await holdTicket(tx, caller, ref, mayWorkOn, 'TICKET_UPDATE_DENIED')
  return move(tx, caller, ticket, 'closed', 'ticket.closed', `Closed ticket: ${ticket.title}`, reason)
}

/** Closed, done or failed: back to submitted. What was agreed before is void. */
export async function reopenTicket(tx: Tx, caller: Caller, ref: store.Ref, reason: string | null): Promise<Ticket> {
  const ticket = await holdTicket(tx, caller, ref, mayWorkOn, 'TICKET_UPDATE_DENIED')
  if (ticket.status !== 'closed' && ticket.status !== 'done' && ticket.status !== 'failed')
    throw new AppError('TICKET_MOVE_ILLEGAL', { status: ticket.status, to: 'submitted' })
  await store.voidApprovals(tx, ticket.id, caller.at)
  return move(tx, caller, ticket, 'submitted', 'ticket.reopened', `Reopened ticket: ${ticket.title}`, reason)
}

async function move(
  tx: Tx,
  caller: Caller,
  ticket: store.TicketRow,
  to: TicketStatus,
  type: AuditEventType,
  action: string,
  reason: string | null,
  approval?: RecordedApproval,
): Promise<Ticket> {
  requireMove(ticket.status, to)
  const forgotten = to === 'submitted' || to === 'draft' ? { approved_by_id: null } : {}
  await store.updateTicket(tx, ticket.id, { status: to, updated_at: caller.at, ...forgotten })
  await append(tx, caller.at, caller, {
    type,
    resource: resourceOf(ticket),
    action,
    details: { number: ticket.number, from: ticket.status, to, reason, ...approval?.details },
    ...(approval ? { att: approval.att } : {}),
  })
  return showTicket((await store.findTicket(tx, ticket.id))!)
}

/** Runs move tickets: to `running` when one starts. The run's own event tells of it. Throws for closed and draft tickets. */
export async function beginWork(tx: Tx, ticket: store.TicketRow, now: number): Promise<void> {
  if (ticket.status === 'closed') throw new AppError('TICKET_CLOSED')
  if (ticket.status === 'running') return
  requireMove(ticket.status, 'running')
  await store.updateTicket(tx, ticket.id, { status: 'running', updated_at: now })
}

/** And to done or failed when the last open one has settled. Does nothing unless the ticket is running. */
export async function endWork(
  tx: Tx,
  ticketId: string,
  chains: readonly ('passed' | 'failed')[],
  now: number,
): Promise<void> {
  const ticket = await store.lockTicket(tx, ticketId)
  if (ticket?.status !== 'running') return
  await store.updateTicket(tx, ticketId, { status: outcomeOf(chains), updated_at: now })
}
