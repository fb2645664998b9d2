import type { Policy, Role, User } from '@writ/api'
import { type Actor, append } from '../audit/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339 } from '../platform/clock.ts'
import { type Database, inProject, type Tx, UniqueViolation } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { insertUser, type UserInView, type UserRow } from './store.ts'
import { listWithRoles, loadPolicy, putMember } from './store-projects.ts'

// Accounts and who may do what with them: the changes that several doors (registration, administration, start) share.

export const showUser = (user: UserInView): User => ({
  id: user.id,
  number: user.number,
  username: user.username,
  email: user.email,
  full_name: user.full_name,
  is_active: user.is_active === 1,
  is_admin: user.role === 'admin',
  is_instance_admin: user.is_instance_admin === 1,
  role: user.role,
  created_at: rfc3339(user.created_at),
})

export interface NewAccount {
  readonly username: string
  readonly email: string | null
  readonly fullName: string | null
  readonly passwordHash: string
  readonly role: Role
  readonly project: { readonly id: string; readonly slug: string }
  readonly isInstanceAdmin?: boolean
  readonly mustChangePassword?: boolean
  /** Somebody registered it whom nobody knows: neither name nor address need be theirs. */
  readonly unvouched?: boolean
  /** What the event tells beside the documented facts. */
  readonly how?: Record<string, unknown>
}

/**
 * Creates an account with its first membership, and its event, in one transaction of the instance. `by` null is the new
 * person: a registration. Throws USERNAME_TAKEN or EMAIL_TAKEN through `takenOf`.
 */
export async function createAccount(
  tx: Tx,
  at: number,
  by: Actor | null,
  account: NewAccount,
  from?: Pick<Actor, 'ip' | 'userAgent'>,
): Promise<UserInView> {
  const user = await insertUser(tx, {
    id: uuidv7(at),
    username: account.username,
    email: account.email,
    full_name: account.fullName,
    password_hash: account.passwordHash,
    isInstanceAdmin: account.isInstanceAdmin,
    mustChangePassword: account.mustChangePassword,
    vouched: account.unvouched !== true,
    now: at,
  })
  await putMember(tx, account.project.id, user.id, account.role, at)
  await append(tx, at, by ?? actorOf(user, from), {
    type: 'user.created',
    resource: { type: 'user', id: user.id, number: user.number },
    action: `Created user: ${user.username}`,
    details: {
      is_admin: account.role === 'admin',
      role: account.role,
      project: account.project.slug,
      is_instance_admin: account.isInstanceAdmin === true,
      ...account.how,
    },
  })
  return { ...user, role: account.role }
}

/**
 * Tells the project's own log of a member who came with a new account. The account's event in the instance's log is the
 * record of the change; stopped before this line, the project's log lacks the echo.
 */
export const announceMember = (
  db: Database,
  project: string,
  at: number,
  by: Actor,
  member: Pick<UserInView, 'id' | 'number' | 'username' | 'role'>,
): Promise<void> =>
  inProject(project, () =>
    db.write((tx) =>
      append(tx, at, by, {
        type: 'member.updated',
        resource: { type: 'user', id: member.id, number: member.number },
        action: `Added member: ${member.username}`,
        details: { role: member.role, previous_role: null },
      }),
    ),
  )

export const actorOf = (
  user: Pick<UserRow, 'id' | 'number' | 'username'>,
  from?: Pick<Actor, 'ip' | 'userAgent'>,
): Actor => ({
  kind: 'user',
  id: user.id,
  number: user.number,
  username: user.username,
  ip: from?.ip ?? null,
  userAgent: from?.userAgent ?? null,
})

/** Runs a change of accounts; what the unique indexes refuse becomes the documented refusal. */
export async function refusingTaken<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof UniqueViolation && /users_username/.test(error.index)) throw new AppError('USERNAME_TAKEN')
    if (error instanceof UniqueViolation && /users_email/.test(error.index)) throw new AppError('EMAIL_TAKEN')
    throw error
  }
}

/** How many people may approve in the project in context. */
export async function countApprovers(tx: Tx, policy?: Policy): Promise<number> {
  return (await listWithRoles(tx, (policy ?? (await loadPolicy(tx))).approver_roles)).length
}

/**
 * Raises `approver.none_left` when a change of people took the last possible approver: nobody is left, or under four
 * eyes only one, whose own requests nobody can approve.
 */
export async function alarmIfNoneLeft(tx: Tx, at: number, by: Actor, before: number): Promise<void> {
  const policy = await loadPolicy(tx)
  const after = await countApprovers(tx, policy)
  const enough = policy.four_eyes ? 2 : 1
  if (after >= before || after >= enough || (before < enough && after > 0)) return
  await append(tx, at, by, {
    type: 'approver.none_left',
    action:
      after === 0 ? 'Nobody is left who may approve' : 'One approver is left, whose own requests nobody can approve',
    details: { remaining: after, approver_roles: policy.approver_roles, four_eyes: policy.four_eyes },
    success: false,
  })
}
