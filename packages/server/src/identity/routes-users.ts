import type { BodyOf, usersApi } from '@writ/api'
import { append } from '../audit/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339, rfc3339OrNull } from '../platform/clock.ts'
import { inProject, type Tx } from '../platform/db/index.ts'
import type { Ask, Handlers } from '../platform/http/mount.ts'
import { randomToken, uuidv7 } from '../platform/ids.ts'
import { alarmIfNoneLeft, announceMember, countApprovers, createAccount, refusingTaken, showUser } from './accounts.ts'
import { secretHash } from './api-token.ts'
import { type Caller, personOf } from './caller.ts'
import type { Identity } from './identity.ts'
import { changeRole, mayChangeRole } from './members.ts'
import { checkPassword, oneTimePassword } from './password.ts'
import { mustStillStand } from './standing.ts'
import { countUsers, findInView, listUsers, revokeSessions, type UserInView, updateUser } from './store.ts'
import {
  countAdmins,
  countInstanceAdmins,
  countInvites,
  type InviteRow,
  insertInvite,
  listInvites,
  listMemberships,
  listProjects,
  loadPolicy,
  lockInstanceAdmins,
  lockProjects,
  revokeInvite,
} from './store-projects.ts'

const INVITE_HOURS = 168

/** Handlers of accounts and invitations. */
export const usersHandlers = (identity: Identity) =>
  ({
    list(ask) {
      const { q, role, is_active } = ask.query
      const project = projectOf(ask.caller)
      const filter = { q, role, is_active, everybody: ask.caller.isInstanceAdmin }
      return ask.page({
        rows: (tx, page) => listUsers(tx, project, filter, page),
        total: (tx) => countUsers(tx, project, filter),
        key: (row) => String(row.number),
        show: showUser,
      })
    },

    async get(ask) {
      return showUser(await ask.read((tx) => mustSee(tx, ask.caller, ask.params.id)))
    },

    async create(ask) {
      const { caller, body } = ask
      if (body.password !== undefined) checkPassword(body.password, body.username)
      const oneTime = body.password === undefined ? oneTimePassword() : undefined
      const passwordHash = await identity.passwords.hash(body.password ?? oneTime!)
      const project = { id: projectOf(caller), slug: caller.projectSlug ?? '' }
      const user = await refusingTaken(() =>
        ask.instance.change(async (tx) => {
          await mustStillStand(tx, caller)
          return showUser(
            await createAccount(tx, caller.at, caller, {
              username: body.username,
              email: body.email ?? null,
              fullName: body.full_name ?? null,
              passwordHash,
              role: body.role ?? (body.is_admin ? 'admin' : 'employee'),
              project,
              mustChangePassword: oneTime !== undefined,
            }),
          )
        }),
      )
      await announceMember(identity.db, project.id, caller.at, caller, user)
      return oneTime === undefined ? user : { ...user, one_time_password: oneTime }
    },

    async update(ask) {
      const { caller, body } = ask
      const { role, ...account } = body
      const target = await ask.read((tx) => mustSee(tx, caller, ask.params.id))
      if (Object.keys(account).length > 0) {
        if (account.is_instance_admin !== undefined && !caller.isInstanceAdmin)
          throw new AppError('INSTANCE_ADMIN_REQUIRED')
        await mustRule(ask, target)
      }
      // The account is the instance's and the role the project's, so they are two transactions: what can be refused is, before both.
      const moves = role !== undefined && role !== target.role
      if (moves) await ask.read((tx) => mayChangeRole(tx, target, role))
      if (Object.keys(account).length > 0) {
        await refusingTaken(() => ask.instance.change((tx) => changeAccount(tx, caller, target.id, account)))
        if (target.is_active === 1 && (account.is_active === false || account.is_instance_admin === false))
          await alarmWhereLost(identity, caller, target, account.is_active === false)
      }
      if (moves)
        await ask.change(async (tx) => {
          // Not of whoever gives up their own account with it.
          if (Object.keys(account).length === 0) await mustStillStand(tx, caller)
          return changeRole(tx, caller, target, role)
        })
      return showUser(await ask.read((tx) => mustSee(tx, caller, target.id)))
    },

    async resetPassword(ask) {
      const { caller } = ask
      const target = await ask.read((tx) => mustSee(tx, caller, ask.params.id))
      await mustRule(ask, target)
      const oneTime = oneTimePassword()
      const passwordHash = await identity.passwords.hash(oneTime)
      return ask.instance.change(async (tx) => {
        await mustStillStand(tx, caller)
        await updateUser(
          tx,
          target.id,
          { password_hash: passwordHash, must_change_password: 1, totp_secret: null, totp_pending: null },
          caller.at,
        )
        const ended = await revokeSessions(tx, target.id, null, caller.at)
        const resource = { type: 'user', id: target.id, number: target.number }
        await append(tx, caller.at, caller, {
          type: 'user.password_reset',
          resource,
          action: `Reset password of: ${target.username}`,
          details: { ended_sessions: ended },
        })
        // Whoever lost the device has no other way back in; it is told apart, because it weakens the account.
        if (target.totp_secret !== null)
          await append(tx, caller.at, caller, {
            type: 'user.totp_disabled',
            resource,
            action: `Switched off one-time codes: ${target.username}`,
            details: { reason: 'password reset' },
          })
        return { one_time_password: oneTime }
      })
    },

    invites(ask) {
      const project = projectOf(ask.caller)
      return ask.page({
        rows: (tx, page) => listInvites(tx, project, page),
        total: (tx) => countInvites(tx, project),
        key: ({ id }) => id,
        show: showInvite,
      })
    },

    async invite(ask) {
      const { caller, body } = ask
      const code = `inv_${randomToken(24)}`
      const invite: InviteRow = {
        id: uuidv7(caller.at),
        project_id: projectOf(caller),
        code_hash: secretHash(code),
        email: body.email ?? null,
        role: body.role ?? 'employee',
        created_by_id: personOf(caller),
        created_at: caller.at,
        expires_at: caller.at + (body.expires_in_hours ?? INVITE_HOURS) * 3_600_000,
        used_at: null,
        used_by_id: null,
        revoked_at: null,
      }
      return ask.instance.change(async (tx) => {
        await mustStillStand(tx, caller)
        await insertInvite(tx, invite)
        await append(tx, caller.at, caller, {
          type: 'invite.created',
          resource: { type: 'invite', id: invite.id },
          action: `Invited a ${invite.role}`,
          details: { role: invite.role, project: caller.projectSlug, email: invite.email },
        })
        return { ...showInvite(invite), invite: code }
      })
    },

    async revokeInvite(ask) {
      const { caller, params } = ask
      await ask.instance.change(async (tx) => {
        if (!(await revokeInvite(tx, projectOf(caller), params.id, caller.at))) throw new AppError('INVITE_NOT_FOUND')
        await append(tx, caller.at, caller, {
          type: 'invite.revoked',
          resource: { type: 'invite', id: params.id },
          action: 'Revoked an invitation',
          details: { project: caller.projectSlug },
        })
      })
      return undefined
    },
  }) satisfies Handlers<typeof usersApi, Caller>

function projectOf(caller: Caller): string {
  if (caller.project === null) throw new AppError('NOT_A_MEMBER')
  return caller.project
}

/** A user whom the caller sees: members of the project, and for instance administrators everybody. */
async function mustSee(tx: Tx, caller: Caller, ref: string): Promise<UserInView> {
  const user = await findInView(tx, projectOf(caller), ref)
  if (!user || (user.role === null && !caller.isInstanceAdmin)) throw new AppError('USER_NOT_FOUND')
  return user
}

/**
 * An account reaches further than one project: who belongs to another one too, or administers the instance, is changed
 * by instance administrators only. Otherwise the admin of one project could take over an account of another.
 */
async function mustRule(ask: Pick<Ask<typeof usersApi.update, Caller>, 'caller' | 'read'>, target: UserInView) {
  if (ask.caller.isInstanceAdmin) return
  const memberships = await ask.read((tx) => listMemberships(tx, target.id))
  if (target.is_instance_admin === 1 || memberships.some((m) => m.project_id !== ask.caller.project))
    throw new AppError('INSTANCE_ADMIN_REQUIRED')
}

type AccountChange = Omit<BodyOf<typeof usersApi.update>, 'role'>

async function changeAccount(tx: Tx, caller: Caller, id: string, change: AccountChange): Promise<void> {
  await mustStillStand(tx, caller)
  const memberships = await listMemberships(tx, id)
  const administers = memberships.filter((m) => m.role === 'admin').map((m) => m.project_id)
  const leaves = change.is_active === false
  if (leaves) await lockProjects(tx, administers)
  if (leaves || change.is_instance_admin === false) await lockInstanceAdmins(tx)
  const before = await findInView(tx, projectOf(caller), id)
  if (!before) throw new AppError('USER_NOT_FOUND')
  if (leaves && before.is_active === 1)
    for (const project of administers) if ((await countAdmins(tx, project, id)) === 0) throw new AppError('LAST_ADMIN')
  if ((leaves || change.is_instance_admin === false) && before.is_instance_admin === 1 && before.is_active === 1)
    if ((await countInstanceAdmins(tx, id)) === 0) throw new AppError('LAST_ADMIN')
  // Who comes back begins anew: what was open when they were locked out is not open again.
  const ended = change.is_active && before.is_active === 0 ? await revokeSessions(tx, id, null, caller.at) : undefined
  await updateUser(
    tx,
    id,
    {
      // Who administers the account says whose the address is.
      ...(change.email === undefined ? {} : { email: change.email, vouched: 1 }),
      ...(change.full_name === undefined ? {} : { full_name: change.full_name }),
      ...(change.is_active === undefined ? {} : { is_active: change.is_active ? 1 : 0 }),
      ...(change.is_instance_admin === undefined ? {} : { is_instance_admin: change.is_instance_admin ? 1 : 0 }),
    },
    caller.at,
  )
  await append(tx, caller.at, caller, {
    type: 'user.updated',
    resource: { type: 'user', id, number: before.number },
    action: `Updated user: ${before.username}`,
    details: {
      updated_fields: Object.keys(change),
      ...(change.is_active === undefined ? {} : { is_active: change.is_active }),
      ...(ended === undefined ? {} : { ended_sessions: ended }),
      ...(change.is_instance_admin === undefined ? {} : { is_instance_admin: change.is_instance_admin }),
    },
  })
}

// The account is the instance's, approvers are the project's: the alarm follows in the log of each project it touches.
// Stopped before it, the alarm is not raised; submitting a ticket still warns with NO_ELIGIBLE_APPROVER.
async function alarmWhereLost(identity: Identity, caller: Caller, target: UserInView, deactivated: boolean) {
  const { db } = identity
  const projects = await listProjects(db)
  for (const project of projects)
    await inProject(project.id, () =>
      db.write(async (tx) => {
        const policy = await loadPolicy(tx)
        const role = (await listMemberships(tx, target.id)).find((m) => m.project_id === project.id)?.role
        const byRole = role !== undefined && policy.approver_roles.includes(role)
        const byGrant = target.is_instance_admin === 1 && policy.approver_roles.includes('admin')
        const lost = deactivated ? byRole || byGrant : byGrant && !byRole
        if (lost) await alarmIfNoneLeft(tx, caller.at, caller, (await countApprovers(tx, policy)) + 1)
      }),
    )
}

const showInvite = (row: InviteRow) => ({
  id: row.id,
  email: row.email,
  role: row.role,
  created_by_id: row.created_by_id,
  created_at: rfc3339(row.created_at),
  expires_at: rfc3339(row.expires_at),
  used_at: rfc3339OrNull(row.used_at),
  revoked_at: rfc3339OrNull(row.revoked_at),
})
