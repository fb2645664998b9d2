import type { Role } from '@writ/api'
import { append } from '../audit/index.ts'
import { AppError } from '../platform/app-error.ts'
import type { Tx } from '../platform/db/index.ts'
import { alarmIfNoneLeft, countApprovers } from './accounts.ts'
import type { Caller } from './caller.ts'
import { countAdmins, deleteMember, findMember, lockProjects, type MemberRow, putMember } from './store-projects.ts'

type Person = { readonly id: string; readonly number: number; readonly username: string }

/** Throws LAST_ADMIN where `changeRole` would, before anything else is changed. */
export async function mayChangeRole(tx: Tx, person: Pick<Person, 'id'>, role: Role): Promise<void> {
  if (role !== 'admin') await mustNotBeLast(tx, await findMember(tx, person.id))
}

/** Gives a user a role in the project in context, as a new member or another role. Throws LAST_ADMIN. */
export async function changeRole(tx: Tx, caller: Caller, person: Person, role: Role): Promise<MemberRow> {
  await lockProjects(tx, [tx.project])
  const before = await findMember(tx, person.id)
  if (before?.role !== role) {
    await mustNotBeLast(tx, before)
    const approvers = await countApprovers(tx)
    await putMember(tx, tx.project, person.id, role, caller.at)
    await append(tx, caller.at, caller, {
      type: 'member.updated',
      resource: { type: 'user', id: person.id, number: person.number },
      action: before ? `Changed role of member: ${person.username}` : `Added member: ${person.username}`,
      details: { role, previous_role: before?.role ?? null },
    })
    await alarmIfNoneLeft(tx, caller.at, caller, approvers)
  }
  const after = await findMember(tx, person.id)
  if (!after) throw new Error('a member was written that is not there')
  return after
}

/** Takes a user out of the project in context; the account stays. Throws USER_NOT_FOUND or LAST_ADMIN. */
export async function removeMember(tx: Tx, caller: Caller, person: Person): Promise<void> {
  await lockProjects(tx, [tx.project])
  const before = await findMember(tx, person.id)
  if (!before) throw new AppError('USER_NOT_FOUND')
  await mustNotBeLast(tx, before)
  const approvers = await countApprovers(tx)
  await deleteMember(tx, person.id)
  await append(tx, caller.at, caller, {
    type: 'member.removed',
    resource: { type: 'user', id: person.id, number: person.number },
    action: `Removed member: ${person.username}`,
    details: { previous_role: before.role },
  })
  await alarmIfNoneLeft(tx, caller.at, caller, approvers)
}

/** Of an admin who counts as one. */
async function mustNotBeLast(tx: Tx, member: MemberRow | undefined): Promise<void> {
  if (member?.role !== 'admin' || member.is_active !== 1) return
  if ((await countAdmins(tx, tx.project, member.user_id)) === 0) throw new AppError('LAST_ADMIN')
}
