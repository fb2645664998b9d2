import type { Policy, Role } from '@writ/api'
import { AppError } from '../platform/app-error.ts'
import { secretHash } from './api-token.ts'
import type { Caller } from './caller.ts'

/** What a project starts with: four eyes, admins approve, approvals stay, evidence is awaited for a week. */
export const defaultPolicy: Policy = {
  four_eyes: true,
  approver_roles: ['admin'],
  approval_ttl_hours: null,
  evidence_ttl_hours: 168,
  artifact_scan: 'flag',
  completed_task_days: null,
  failed_task_days: null,
}

const order: readonly Role[] = ['admin', 'ops', 'dev', 'employee', 'auditor']

/** The one text of a policy: keys and roles in a fixed order, no blanks (RFC 8785). Approvals bind its digest. */
export const policyText = (policy: Policy): string =>
  JSON.stringify({
    approval_ttl_hours: policy.approval_ttl_hours,
    // Written only where it is asked for, as what follows: digests of older policies stay what they were.
    ...(policy.approve_in_person ? { approve_in_person: true } : {}),
    approver_roles: order.filter((role) => policy.approver_roles.includes(role)),
    // Left out while it is the default: digests of policies from before there was a choice stay what they were.
    ...(policy.artifact_scan === 'refuse' ? { artifact_scan: policy.artifact_scan } : {}),
    ...(policy.completed_task_days ? { completed_task_days: policy.completed_task_days } : {}),
    evidence_ttl_hours: policy.evidence_ttl_hours,
    ...(policy.failed_task_days ? { failed_task_days: policy.failed_task_days } : {}),
    four_eyes: policy.four_eyes,
    ...(policy.require_signature ? { require_signature: true } : {}),
  })

/** SHA-256 of the policy's text, hex. */
export const policyDigest = (policy: Policy): string => secretHash(policyText(policy))

/** A stored policy; what an older version did not know yet has its default. */
export const parsePolicy = (text: string): Policy => ({
  ...defaultPolicy,
  // Written by policyText alone.
  ...(JSON.parse(text) as Partial<Policy>),
})

/**
 * A token works without anybody: where the policy asks for a person, a script is nobody's second pair of eyes. A signature is a
 * person's, whatever carries it. Throws APPROVAL_IN_PERSON.
 */
export function mustBeInPerson(caller: Pick<Caller, 'tokenId'>, policy: Policy, signed: boolean): void {
  if (policy.approve_in_person && caller.tokenId !== null && !signed) throw new AppError('APPROVAL_IN_PERSON')
}

/** Whether two policies ask for the same approvals: what else is changed makes none of them harder to get. */
export const asksAlike = (a: Policy, b: Policy): boolean =>
  a.four_eyes === b.four_eyes &&
  (a.require_signature ?? false) === (b.require_signature ?? false) &&
  (a.approve_in_person ?? false) === (b.approve_in_person ?? false) &&
  order.every((role) => a.approver_roles.includes(role) === b.approver_roles.includes(role))

/**
 * Why nobody could satisfy a policy, or undefined. `approvers` may approve by role; `others` are active members who may
 * open a ticket and are no approvers. With four eyes a single approver needs somebody else to open what is approved.
 */
export function unsatisfiable(policy: Policy, people: { approvers: number; others: number }): string | undefined {
  if (people.approvers === 0) return `no active member has a role of ${policy.approver_roles.join(', ')}`
  if (policy.four_eyes && people.approvers === 1 && people.others === 0)
    return 'four eyes need a second person, and there is only one'
  return undefined
}
