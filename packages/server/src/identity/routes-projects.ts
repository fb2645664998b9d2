import type { Policy, PolicyChange, Project, projectsApi, Role } from '@writ/api'
import { type Attest, append, newOrigin } from '../audit/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339, rfc3339OrNull } from '../platform/clock.ts'
import { INSTANCE, inProject, type Tx, UniqueViolation } from '../platform/db/index.ts'
import type { Handlers } from '../platform/http/mount.ts'
import { uuidv7 } from '../platform/ids.ts'
import { consume, type RecordedApproval, recordApproval } from './approval.ts'
import { type Caller, personOf } from './caller.ts'
import type { Identity } from './identity.ts'
import { changeRole, removeMember } from './members.ts'
import { asksAlike, mustBeInPerson, parsePolicy, policyDigest, policyText, unsatisfiable } from './policy.ts'
import { createProject, loadLogOrigin, openProjectLog } from './projects.ts'
import { mustStillStand } from './standing.ts'
import { findInView } from './store.ts'
import {
  countMembers,
  countOpeners,
  countPolicyChanges,
  countProjectsSeen,
  findPolicyChange,
  findProject,
  findProjectSeen,
  insertPolicyChange,
  listMembers,
  listPendingChanges,
  listPolicyChanges,
  listProjectsSeen,
  listWithRoles,
  loadPolicy,
  lockProjects,
  type MemberRow,
  type PolicyChangeRow,
  type ProjectRow,
  type ProjectsSeen,
  putMember,
  setPolicy,
  settlePolicyChange,
  updateProject,
} from './store-projects.ts'
import { withEnrolledKeys } from './store-signing-keys.ts'

/** Handlers of projects, members and policies. */
export const projectsHandlers = (identity: Identity, attest: Attest) =>
  ({
    async list(ask) {
      const seen = seenBy(ask.caller)
      const page = await ask.page({
        ofInstance: true,
        rows: (tx, part) => listProjectsSeen(tx, seen, part),
        total: (tx) => countProjectsSeen(tx, seen),
        key: ({ slug }) => slug,
        show: (project) => project,
      })
      // Each has its log among its own tables.
      const shown = (rows: Seen[]) => Promise.all(rows.map((project) => show(identity, project)))
      return Array.isArray(page) ? shown(page) : { ...page, items: await shown(page.items) }
    },

    async create(ask) {
      const { caller, body } = ask
      if (await findProject(identity.db, body.slug)) throw new AppError('PROJECT_EXISTS')
      const id = uuidv7(caller.at)
      const origin = newOrigin()
      const creator = personOf(caller)
      try {
        const project = await ask.instance.change(async (tx) => {
          const row = await createProject(tx, caller.at, caller, { id, ...body, created_by_id: creator }, origin)
          await putMember(tx, id, creator, 'admin', caller.at)
          return showWith({ ...row, role: 'admin' }, origin)
        })
        // Stopped here, the project has no log yet; the next start opens it under this origin.
        await openProjectLog(identity.db, id, origin, caller.at)
        return project
      } catch (error) {
        if (error instanceof UniqueViolation && /slug/.test(error.index)) throw new AppError('PROJECT_EXISTS')
        throw error
      }
    },

    async get(ask) {
      return show(identity, await mustSee(identity, ask.caller, ask.params.slug))
    },

    async update(ask) {
      const { caller, body } = ask
      const project = await mustSee(identity, caller, ask.params.slug)
      await ask.instance.change(async (tx) => {
        await updateProject(tx, project.id, body)
        await append(tx, caller.at, caller, {
          type: 'project.updated',
          resource: { type: 'project', id: project.id },
          action: `Updated project: ${project.slug}`,
          details: { updated_fields: Object.keys(body), ...body },
        })
      })
      return show(identity, { ...project, ...body })
    },

    members: (ask) =>
      ask.page({
        rows: listMembers,
        total: countMembers,
        key: ({ user_number }) => String(user_number),
        show: showMember,
      }),

    async setMember(ask) {
      return ask.change(async (tx) => {
        await lockProjects(tx, [tx.project])
        await mustStillStand(tx, ask.caller)
        const user = await findInView(tx, tx.project, ask.params.id)
        if (!user) throw new AppError('USER_NOT_FOUND')
        return showMember(await changeRole(tx, ask.caller, user, ask.body.role))
      })
    },

    async removeMember(ask) {
      await ask.change(async (tx) => {
        const user = await findInView(tx, tx.project, ask.params.id)
        if (!user) throw new AppError('USER_NOT_FOUND')
        await removeMember(tx, ask.caller, user)
      })
      return undefined
    },

    policy: (ask) => ask.read(loadPolicy),

    async changePolicy(ask) {
      const { caller } = ask
      const policy = parsePolicy(policyText(ask.body))
      return ask.change(async (tx) => {
        await lockProjects(tx, [tx.project])
        await mustStillStand(tx, caller)
        await mustBeSatisfiable(tx, policy)
        const others = (await listWithRoles(tx, ['admin'])).filter((admin) => admin.id !== caller.userId)
        const alone = others.length === 0
        if (alone) mustBeInPerson(caller, await loadPolicy(tx), false)
        const change: PolicyChangeRow = {
          project_id: tx.project,
          id: uuidv7(caller.at),
          state: alone ? 'applied' : 'pending',
          policy: policyText(policy),
          digest: policyDigest(policy),
          requested_by_id: personOf(caller),
          decided_by_id: alone ? personOf(caller) : null,
          reason: null,
          created_at: caller.at,
          decided_at: alone ? caller.at : null,
        }
        await insertPolicyChange(tx, change)
        await append(tx, caller.at, caller, {
          type: 'policy.change_requested',
          resource: { type: 'policy_change', id: change.id },
          action: 'Asked for another policy',
          details: { policy, digest: change.digest },
        })
        if (alone) await apply(tx, caller, change, policy)
        return showChange(change)
      })
    },

    policyChanges: (ask) =>
      ask.page({ rows: listPolicyChanges, total: countPolicyChanges, key: ({ id }) => id, show: showChange }),

    async approvePolicy(ask) {
      const { caller, params } = ask
      return ask.change(async (tx) => {
        await lockProjects(tx, [tx.project])
        await mustStillStand(tx, caller)
        const change = await mustBePending(tx, params.id)
        const approver = personOf(caller)
        if (change.requested_by_id === approver)
          throw new AppError('APPROVER_EXCLUDED', { reason: 'who asked for the change cannot approve it' })
        const policy = parsePolicy(change.policy)
        if (policyDigest(policy) !== change.digest) throw new AppError('APPROVAL_STALE')
        const now = await loadPolicy(tx)
        mustBeInPerson(caller, now, false)
        await mustBeSatisfiable(tx, policy)
        const { approval_ttl_hours: ttl } = now
        const approval = await recordApproval(tx, attest, caller, {
          subject: { type: 'policy', id: change.id, version: 1, sha256: change.digest },
          decision: 'approved',
          reason: null,
          ttlMs: ttl === null ? null : ttl * 3_600_000,
        })
        await settle(tx, change, { state: 'applied', by: approver, reason: null, now: caller.at })
        await consume(tx, approval.id, caller, caller.at, `policy_change:${change.id}`)
        await apply(tx, caller, change, policy, approval)
        return showChange(await mustFind(tx, change.id))
      })
    },

    async rejectPolicy(ask) {
      const { caller, params } = ask
      return ask.change(async (tx) => {
        const change = await mustBePending(tx, params.id)
        const reason = ask.body?.reason ?? null
        await settle(tx, change, { state: 'rejected', by: personOf(caller), reason, now: caller.at })
        await append(tx, caller.at, caller, {
          type: 'policy.change_rejected',
          resource: { type: 'policy_change', id: change.id },
          action: change.requested_by_id === caller.userId ? 'Withdrew a policy change' : 'Rejected a policy change',
          details: { digest: change.digest, reason },
        })
        return showChange(await mustFind(tx, change.id))
      })
    },
  }) satisfies Handlers<typeof projectsApi, Caller>

type Seen = ProjectRow & { role: Role | null }

/** Projects that the caller is in, all of them for an instance administrator; for an API token only its own. */
const seenBy = (caller: Caller): ProjectsSeen => ({
  by: personOf(caller),
  all: caller.isInstanceAdmin,
  only: caller.tokenId === null ? null : (caller.project ?? ''),
})

async function mustSee(identity: Identity, caller: Caller, slug: string): Promise<Seen> {
  const found = await inProject(INSTANCE, () => identity.db.read((tx) => findProjectSeen(tx, seenBy(caller), slug)))
  if (!found) throw new AppError('PROJECT_NOT_FOUND')
  return found
}

async function mustFind(tx: Tx, id: string): Promise<PolicyChangeRow> {
  const change = await findPolicyChange(tx, id)
  if (!change) throw new AppError('POLICY_CHANGE_NOT_FOUND')
  return change
}

async function mustBePending(tx: Tx, id: string): Promise<PolicyChangeRow> {
  const change = await mustFind(tx, id)
  if (change.state !== 'pending') throw new AppError('POLICY_CHANGE_SETTLED')
  return change
}

async function settle(tx: Tx, change: PolicyChangeRow, end: Parameters<typeof settlePolicyChange>[2]): Promise<void> {
  if (!(await settlePolicyChange(tx, change.id, end))) throw new AppError('POLICY_CHANGE_SETTLED')
}

/** One person alone may not have enough for the policy that a project begins with, and sets other things in it all the same. */
async function mustBeSatisfiable(tx: Tx, policy: Policy): Promise<void> {
  if (asksAlike(policy, await loadPolicy(tx))) return
  const approvers = await listWithRoles(tx, policy.approver_roles)
  const ids = approvers.map((approver) => approver.id)
  const reason = unsatisfiable(policy, { approvers: ids.length, others: await countOpeners(tx, ids) })
  if (reason !== undefined) throw new AppError('POLICY_UNSATISFIABLE', { reason })
  if (policy.require_signature && (await withEnrolledKeys(tx, ids)).length === 0)
    throw new AppError('POLICY_UNSATISFIABLE', { reason: 'no approver has an enrolled signing key' })
}

async function apply(
  tx: Tx,
  caller: Caller,
  change: PolicyChangeRow,
  policy: Policy,
  approval?: RecordedApproval,
): Promise<void> {
  const before = await loadPolicy(tx)
  await setPolicy(tx, change.policy)
  await rejectOthers(tx, caller, change)
  await append(tx, caller.at, caller, {
    type: 'policy.changed',
    resource: { type: 'policy_change', id: change.id },
    action: 'Changed the policy',
    details: {
      policy,
      previous_policy: before,
      digest: change.digest,
      requested_by_id: change.requested_by_id,
      ...(change.requested_by_id === caller.userId ? { warning: 'NO_ELIGIBLE_APPROVER' } : {}),
      ...approval?.details,
    },
    ...(approval ? { att: approval.att } : {}),
  })
}

/**
 * A change is all of a policy, as its asker knew it. Applied after another one, it would take that one back, and whoever approves it may
 * have read it before: what waits is asked for anew.
 */
async function rejectOthers(tx: Tx, caller: Caller, applied: PolicyChangeRow): Promise<void> {
  for (const change of await listPendingChanges(tx)) {
    if (change.id === applied.id) continue
    const reason = 'another change was applied first'
    await settle(tx, change, { state: 'rejected', by: personOf(caller), reason, now: caller.at })
    await append(tx, caller.at, caller, {
      type: 'policy.change_rejected',
      resource: { type: 'policy_change', id: change.id },
      action: 'Rejected a policy change: another one was applied',
      details: { digest: change.digest, reason, applied_id: applied.id },
    })
  }
}

async function show(identity: Identity, project: Seen): Promise<Project> {
  return showWith(project, (await loadLogOrigin(identity.db, project.id)) ?? '')
}

const showWith = (project: Seen, origin: string): Project => ({
  id: project.id,
  slug: project.slug,
  name: project.name,
  role: project.role,
  policy: parsePolicy(project.policy),
  log_origin: origin,
  log_access: project.log_access,
  created_at: rfc3339(project.created_at),
})

const showMember = (row: MemberRow) => ({
  user_id: row.user_id,
  user_number: row.user_number,
  username: row.username,
  role: row.role,
  is_active: row.is_active === 1,
  created_at: rfc3339(row.created_at),
})

// Nobody else could have approved what its own asker applied.
const showChange = (row: PolicyChangeRow): PolicyChange => ({
  id: row.id,
  state: row.state,
  policy: parsePolicy(row.policy),
  digest: row.digest,
  requested_by_id: row.requested_by_id,
  decided_by_id: row.decided_by_id,
  reason: row.reason,
  created_at: rfc3339(row.created_at),
  decided_at: rfc3339OrNull(row.decided_at),
  warnings: row.state === 'applied' && row.requested_by_id === row.decided_by_id ? ['NO_ELIGIBLE_APPROVER'] : [],
})
