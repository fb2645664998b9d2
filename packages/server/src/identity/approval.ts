import {
  type ApprovalClaim,
  type ApprovalSubject,
  approvalStatement,
  type Statement,
  statementBytes,
  toHex,
} from '@writ/tlog'
import { type Actor, type Attest, append, sha256 } from '../audit/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339, rfc3339OrNull } from '../platform/clock.ts'
import type { Tx } from '../platform/db/index.ts'
import { isUuid, uuidv7 } from '../platform/ids.ts'
import { type Caller, personOf } from './caller.ts'
import type { SignedApproval } from './personal-signature.ts'
import {
  type ApprovalRow,
  findApproval,
  insertApproval,
  insertApprovalSignature,
  markConsumed,
} from './store-approvals.ts'

/** How long a statement that was issued to be signed may be handed in. */
export const SIGN_WITHIN_MS = 600_000

export interface Decision {
  readonly subject: ApprovalSubject
  readonly decision: 'approved' | 'rejected'
  readonly reason: string | null
  /** How long it may be used, from when it was issued; null: as long as the version stands. */
  readonly ttlMs: number | null
}

/** What a decision leaves for the event that tells of it. */
export interface RecordedApproval {
  readonly id: string
  /** Digests of its attestation. */
  readonly att: readonly string[]
  readonly details: Readonly<Record<string, unknown>>
}

/** The statement of a decision; with `signable` one that its approver has ten minutes to sign. */
export function statementOf(
  project: string,
  approver: string,
  { subject, decision, ttlMs }: Decision,
  issued: { id: string; at: number; signable: boolean },
): Statement {
  const claim: ApprovalClaim = {
    id: issued.id,
    project,
    subject,
    decision,
    approver,
    issuedAt: rfc3339(issued.at),
    expiresAt: rfc3339OrNull(ttlMs === null ? null : issued.at + ttlMs),
    signBefore: issued.signable ? rfc3339(issued.at + SIGN_WITHIN_MS) : null,
  }
  return approvalStatement(claim)
}

/**
 * Records a decision with its attestation; what the approver signed, if anything, is that very statement. Answers what
 * belongs into the event: the approval's id, the attestation's digest, when and how the approver had proved who they are,
 * and what is known of the signature.
 * Throws APPROVAL_USED for a signed statement that was handed in before, APPROVAL_STALE for one about something else,
 * SIGNATURE_LATE.
 */
export async function recordApproval(
  tx: Tx,
  attest: Attest,
  caller: Caller,
  decided: Decision,
  signed: SignedApproval | null = null,
): Promise<RecordedApproval> {
  const approver = personOf(caller)
  if (signed) await mustFit(tx, approver, caller.at, decided, signed)
  const id = signed?.claim.id ?? uuidv7(caller.at)
  const issuedAt = signed ? Date.parse(signed.claim.issuedAt) : caller.at
  const statement = statementOf(tx.project, approver, decided, { id, at: issuedAt, signable: signed !== null })
  await insertApproval(tx, {
    id,
    subject_type: decided.subject.type,
    subject_id: decided.subject.id,
    subject_version: decided.subject.version,
    subject_digest: decided.subject.sha256,
    decision: decided.decision,
    decided_by_id: approver,
    reason: decided.reason,
    created_at: caller.at,
    expires_at: decided.ttlMs === null ? null : issuedAt + decided.ttlMs,
    auth_time: caller.authentication?.at ?? null,
    amr: JSON.stringify(caller.authentication?.methods ?? []),
  })
  const att = await attest(tx, decided.subject, statement, caller.at)
  const details = {
    approval_id: id,
    auth_time: rfc3339OrNull(caller.authentication?.at ?? null),
    amr: caller.authentication?.methods ?? [],
  }
  if (!signed) return { id, att: [att], details }
  await insertApprovalSignature(tx, {
    approval_id: id,
    signing_key_id: signed.key.id,
    statement: signed.statement,
    signature: signed.signature,
    created_at: caller.at,
  })
  const signature = {
    key_id: signed.key.id,
    fingerprint: signed.key.fingerprint,
    sha256: toHex(sha256(Buffer.from(signed.signature))),
  }
  return { id, att: [att], details: { ...details, signature } }
}

async function mustFit(
  tx: Tx,
  approver: string,
  now: number,
  decided: Decision,
  { claim, statement }: SignedApproval,
): Promise<void> {
  // The row is locked by whoever decides about the subject: of many at once, all but the first find it here.
  if (await findApproval(tx, claim.id)) throw new AppError('APPROVAL_USED')
  if (claim.signBefore === null || Date.parse(claim.signBefore) <= now)
    throw new AppError('SIGNATURE_LATE', { time: claim.signBefore ?? claim.issuedAt })
  const at = Date.parse(claim.issuedAt)
  // What the server issues is kept nowhere: an id that is no id would be a path in every bundle, under a signature that is good.
  if (!isUuid(claim.id) || !(at <= now)) throw new AppError('APPROVAL_STALE')
  const expected = statementOf(tx.project, approver, decided, { id: claim.id, at, signable: true })
  // Another version, another policy, another person: whatever it is, it is not what this decision is about.
  if (!Buffer.from(statementBytes(expected)).equals(Buffer.from(statement))) throw new AppError('APPROVAL_STALE')
}

const resources = { ticket: 'ticket', policy: 'policy_change', signing_key: 'signing_key' } as const

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
    resource: { type: resources[approval.subject_type], id: approval.subject_id },
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
