import type { Policy, Role } from '@writ/api'
import { type Selectable, sql } from 'kysely'
import {
  byId,
  countOf,
  type Database,
  forChange,
  forUpdate,
  inList,
  inOrderOf,
  type ListPart,
  type Tx,
} from '../platform/db/index.ts'
import type { InvitesTable, PolicyChangesTable, ProjectsTable } from '../platform/db/tables.ts'
import { defaultPolicy, parsePolicy } from './policy.ts'

export type ProjectRow = Selectable<ProjectsTable>
export type PolicyChangeRow = Selectable<PolicyChangesTable>
export type InviteRow = Selectable<InvitesTable>
type Lookup = Pick<Database, 'lookup'>

// ---- projects

/** Every project, oldest first. */
export const listProjects = (db: Lookup): Promise<ProjectRow[]> =>
  db.lookup<ProjectRow>('select * from projects order by id', [])

/** The slug of a project id; undefined for the instance and for strangers. */
export async function slugOf(db: Lookup, projectId: string): Promise<string | undefined> {
  const rows = await db.lookup<{ slug: string }>('select slug from projects where id = ?1', [projectId])
  return rows[0]?.slug
}

export async function findProject(db: Lookup, slug: string): Promise<ProjectRow | undefined> {
  return (await db.lookup<ProjectRow>('select * from projects where slug = ?1', [slug]))[0]
}

export interface ProjectsSeen {
  /** Whose roles they are. */
  readonly by: string
  /** Those too in which they have none. */
  readonly all: boolean
  /** Only this one. */
  readonly only: string | null
}

const projectsSeen = (tx: Tx, { by, all, only }: ProjectsSeen) =>
  tx.db
    .selectFrom('projects')
    .leftJoin('memberships', (join) =>
      join.onRef('memberships.project_id', '=', 'projects.id').on('memberships.user_id', '=', by),
    )
    .$if(!all, (q) => q.where('memberships.role', 'is not', null))
    .$if(only !== null, (q) => q.where('projects.id', '=', only!))

/** Projects that somebody sees, with their role in each, by slug, behind the slug `after`. */
export const listProjectsSeen = (
  tx: Tx,
  seen: ProjectsSeen,
  part: ListPart,
): Promise<(ProjectRow & { role: Role | null })[]> =>
  projectsSeen(tx, seen)
    .selectAll('projects')
    .select('memberships.role')
    .$call(inOrderOf('slug', 'asc', part))
    .execute()

export const countProjectsSeen = (tx: Tx, seen: ProjectsSeen): Promise<number> => countOf(projectsSeen(tx, seen))

export const findProjectSeen = (
  tx: Tx,
  seen: ProjectsSeen,
  slug: string,
): Promise<(ProjectRow & { role: Role | null }) | undefined> =>
  projectsSeen(tx, seen).selectAll('projects').select('memberships.role').where('slug', '=', slug).executeTakeFirst()

export async function insertProject(tx: Tx, project: ProjectRow): Promise<void> {
  await tx.db.insertInto('projects').values(project).execute()
}

export async function updateProject(
  tx: Tx,
  id: string,
  change: { readonly name?: string; readonly log_access?: ProjectRow['log_access'] },
): Promise<void> {
  if (Object.keys(change).length === 0) return
  await tx.db.updateTable('projects').set(change).where('id', '=', id).execute()
}

/** Whether the log of a project may be read by anybody; undefined for the instance and for strangers. */
export async function logAccessOf(db: Lookup, projectId: string): Promise<ProjectRow['log_access'] | undefined> {
  const rows = await db.lookup<Pick<ProjectRow, 'log_access'>>('select log_access from projects where id = ?1', [
    projectId,
  ])
  return rows[0]?.log_access
}

/** The origin of the open log of the project in context. */
export async function findLogOrigin(tx: Tx): Promise<string | undefined> {
  const row = await tx.db.selectFrom('logs').select('origin').where('closed_at', 'is', null).executeTakeFirst()
  return row?.origin
}

// ---- members

export interface MemberRow {
  readonly user_id: string
  readonly user_number: number
  readonly username: string
  readonly role: Role
  readonly is_active: number
  readonly created_at: number
}

/** Members of the project in context, by number, behind the number `after`. */
export const listMembers = (tx: Tx, page: ListPart): Promise<MemberRow[]> =>
  tx.sql<MemberRow>(
    `select u.id as user_id, u.number as user_number, u.username, m.role, u.is_active, m.created_at
     from memberships m join users u on u.id = m.user_id where m.project_id = ?1 and u.number > ?2
     order by u.number limit ?3 offset ?4`,
    [tx.project, Number(page.after ?? 0), page.limit, page.skip],
  )

export const countMembers = (tx: Tx): Promise<number> =>
  countOf(tx.db.selectFrom('memberships').where('project_id', '=', tx.project))

export async function findMember(tx: Tx, userId: string): Promise<MemberRow | undefined> {
  const rows = await tx.sql<MemberRow>(
    `select u.id as user_id, u.number as user_number, u.username, m.role, u.is_active, m.created_at
     from memberships m join users u on u.id = m.user_id where m.project_id = ?1 and m.user_id = ?2`,
    [tx.project, userId],
  )
  return rows[0]
}

/** Adds a member, or changes the role of one. */
export async function putMember(tx: Tx, project: string, userId: string, role: Role, now: number): Promise<void> {
  await tx.sql(
    `insert into memberships (project_id, user_id, role, created_at) values (?1, ?2, ?3, ?4)
     on conflict (project_id, user_id) do update set role = excluded.role`,
    [project, userId, role, now],
  )
}

export async function deleteMember(tx: Tx, userId: string): Promise<void> {
  await tx.db.deleteFrom('memberships').where('project_id', '=', tx.project).where('user_id', '=', userId).execute()
}

/** Projects of a user with the role in each. */
export const listMemberships = (tx: Tx, userId: string): Promise<{ project_id: string; role: Role }[]> =>
  tx.db
    .selectFrom('memberships')
    .select(['project_id', 'role'])
    .where('user_id', '=', userId)
    .orderBy('project_id')
    .execute()

/** Takes the rows of projects in id order, so that two changes of who administers them cannot pass each other. */
export async function lockProjects(tx: Tx, ids: readonly string[]): Promise<void> {
  await tx.sql(`select id from projects where ${inList(tx, 'id', '?1')} order by id ${forUpdate(tx)}`, [ids])
}

/** The same for the instance: every instance administrator's row, in id order. */
export async function lockInstanceAdmins(tx: Tx): Promise<void> {
  await tx.sql(`select id from users where is_instance_admin = 1 order by id ${forUpdate(tx)}`)
}

/** Active members with the role admin, without one user. */
export async function countAdmins(tx: Tx, project: string, except: string): Promise<number> {
  const rows = await tx.sql<{ n: number }>(
    `select count(*) as n from memberships m join users u on u.id = m.user_id
     where m.project_id = ?1 and m.role = 'admin' and u.is_active = 1 and u.id <> ?2`,
    [project, except],
  )
  return Number(rows[0]!.n)
}

export async function countInstanceAdmins(tx: Tx, except: string): Promise<number> {
  const rows = await tx.sql<{ n: number }>(
    'select count(*) as n from users where is_instance_admin = 1 and is_active = 1 and id <> ?1',
    [except],
  )
  return Number(rows[0]!.n)
}

/** Somebody who may approve. */
export interface Approver {
  readonly id: string
  readonly number: number
  readonly username: string
}

/** Active people of the project in context with one of `roles`; instance administrators count as admin everywhere. */
export const listWithRoles = (tx: Tx, roles: readonly Role[]): Promise<Approver[]> =>
  tx.sql<Approver>(
    `select u.id, u.number, u.username from users u
     left join memberships m on m.user_id = u.id and m.project_id = ?1
     where u.is_active = 1 and (${inList(tx, 'm.role', '?2')} ${roles.includes('admin') ? 'or u.is_instance_admin = 1' : ''})
     order by u.number`,
    [tx.project, [...roles]],
  )

/**
 * Up to three who may approve: enough to know whether one is neither creator nor assignee. They are those whom
 * `listWithRoles` names, found without reading every user, because each ticket that is opened asks.
 */
async function someApprovers(tx: Tx, policy: Pick<Policy, 'approver_roles'>): Promise<string[]> {
  const roles: readonly Role[] = policy.approver_roles
  const members = `select id from (
      select u.id from memberships m join users u on u.id = m.user_id
      where m.project_id = ?1 and ${inList(tx, 'm.role', '?2')} and u.is_active = 1 order by u.id limit 3
    ) as members`
  const administrators = `select id from (
      select id from users where is_instance_admin = 1 and is_active = 1 order by id limit 3
    ) as administrators`
  const rows = await tx.sql<{ id: string }>(roles.includes('admin') ? `${members} union ${administrators}` : members, [
    tx.project,
    roles,
  ])
  return rows.map((row) => row.id)
}

// ---- policy

/** The policy of the project in context. */
export async function loadPolicy(tx: Tx): Promise<Policy> {
  // By hand: every ticket asks for it, and a prepared statement costs the database a tenth of one that is planned each time.
  const rows = await tx.sql<{ policy: string }>('select policy from projects where id = ?1', [tx.project])
  if (!rows[0]) throw new Error('the project of the context is gone')
  return parsePolicy(rows[0].policy)
}

/**
 * The same, until commit nobody changes it or the role of a member: what is decided under it comes before the change or after it, on
 * every server and in the log.
 */
export async function holdPolicy(tx: Tx): Promise<Policy> {
  await tx.sql(`select id from projects where id = ?1 ${forChange(tx)}`, [tx.project])
  return loadPolicy(tx)
}

/** Roles of approvers as each project last had them. Only a guess: it saves a trip to the database where it is right. */
const lastRoles = new Map<string, readonly Role[]>()

/** The policy of the project in context, and `someApprovers` of it. */
export async function loadPolicyAndApprovers(tx: Tx): Promise<{ policy: Policy; approvers: readonly string[] }> {
  const guess = lastRoles.get(tx.project) ?? defaultPolicy.approver_roles
  const [policy, approvers] = await Promise.all([loadPolicy(tx), someApprovers(tx, { approver_roles: [...guess] })])
  const roles = policy.approver_roles
  if (roles.length === guess.length && roles.every((role, i) => role === guess[i])) return { policy, approvers }
  if (lastRoles.size > 1000) lastRoles.clear()
  lastRoles.set(tx.project, roles)
  return { policy, approvers: await someApprovers(tx, policy) }
}

export async function setPolicy(tx: Tx, policy: string): Promise<void> {
  await tx.db.updateTable('projects').set({ policy }).where('id', '=', tx.project).execute()
}

export async function insertPolicyChange(tx: Tx, change: PolicyChangeRow): Promise<void> {
  await tx.db.insertInto('policy_changes').values(change).execute()
}

export const findPolicyChange = (tx: Tx, id: string): Promise<PolicyChangeRow | undefined> =>
  tx.db.selectFrom('policy_changes').selectAll().where('id', '=', id).executeTakeFirst()

/** Newest first, older than `after`. */
export const listPolicyChanges = (tx: Tx, page: ListPart): Promise<PolicyChangeRow[]> =>
  tx.db.selectFrom('policy_changes').selectAll().$call(byId('newest', page)).execute()

/** Those that nobody has decided, oldest first. */
export const listPendingChanges = (tx: Tx): Promise<PolicyChangeRow[]> =>
  tx.db.selectFrom('policy_changes').selectAll().where('state', '=', 'pending').orderBy('id').execute()

/** The newest change that made a policy of this digest the policy; undefined of the one that a project begins with. */
export const findAppliedChange = (tx: Tx, digest: string): Promise<PolicyChangeRow | undefined> =>
  tx.db
    .selectFrom('policy_changes')
    .selectAll()
    .where('state', '=', 'applied')
    .where('digest', '=', digest)
    .orderBy('decided_at', 'desc')
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()

export const countPolicyChanges = (tx: Tx): Promise<number> => countOf(tx.db.selectFrom('policy_changes'))

/** False if somebody decided it meanwhile. */
export async function settlePolicyChange(
  tx: Tx,
  id: string,
  end: { state: 'applied' | 'rejected'; by: string; reason: string | null; now: number },
): Promise<boolean> {
  const done = await tx.db
    .updateTable('policy_changes')
    .set({ state: end.state, decided_by_id: end.by, reason: end.reason, decided_at: end.now })
    .where('id', '=', id)
    .where('state', '=', 'pending')
    .executeTakeFirst()
  return done.numUpdatedRows === 1n
}

// ---- invitations

export async function insertInvite(tx: Tx, invite: InviteRow): Promise<void> {
  await tx.db.insertInto('invites').values(invite).execute()
}

/** Newest first, older than `after`. */
export const listInvites = (tx: Tx, project: string, page: ListPart): Promise<InviteRow[]> =>
  tx.db.selectFrom('invites').selectAll().where('project_id', '=', project).$call(byId('newest', page)).execute()

export const countInvites = (tx: Tx, project: string): Promise<number> =>
  countOf(tx.db.selectFrom('invites').where('project_id', '=', project))

/** Whose invitation counts: as a token lends no more than its owner has now, nobody lets people in who could not any more. */
const MAY_STILL_INVITE = `exists (select 1 from users u
    left join memberships m on m.user_id = u.id and m.project_id = invites.project_id
    where u.id = invites.created_by_id and u.is_active = 1 and (u.is_instance_admin = 1 or m.role = 'admin'))`

/** An invitation whose maker may still invite. */
export async function findInvite(db: Lookup, codeHash: string): Promise<InviteRow | undefined> {
  const rows = await db.lookup<InviteRow>(`select * from invites where code_hash = ?1 and ${MAY_STILL_INVITE}`, [
    codeHash,
  ])
  return rows[0]
}

/** Uses an invitation up. False if it is used, revoked or expired by now, or its maker may not invite any more. */
export async function takeInvite(tx: Tx, id: string, userId: string, now: number): Promise<boolean> {
  const taken = await tx.sql(
    `update invites set used_at = ?1, used_by_id = ?2
     where id = ?3 and used_at is null and revoked_at is null and expires_at > ?1 and ${MAY_STILL_INVITE} returning id`,
    [now, userId, id],
  )
  return taken.length === 1
}

/** False if there is none in this project that could still be used. */
export async function revokeInvite(tx: Tx, project: string, id: string, now: number): Promise<boolean> {
  const done = await tx.db
    .updateTable('invites')
    .set({ revoked_at: now })
    .where('id', '=', id)
    .where('project_id', '=', project)
    .where('used_at', 'is', null)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  return done.numUpdatedRows === 1n
}

/** How many active members could open a ticket and are none of `except`. */
export async function countOpeners(tx: Tx, except: readonly string[]): Promise<number> {
  const row = await tx.db
    .selectFrom('memberships')
    .innerJoin('users', 'users.id', 'memberships.user_id')
    .where('memberships.project_id', '=', tx.project)
    .where('memberships.role', '!=', 'auditor')
    .where('users.is_active', '=', 1)
    .$if(except.length > 0, (q) => q.where('users.id', 'not in', [...except]))
    .select(sql<number>`count(*)`.as('n'))
    .executeTakeFirstOrThrow()
  return Number(row.n)
}

/** Active admins of the project in context besides one: whom four eyes can come from. */
export const countOtherAdmins = async (tx: Tx, userId: string): Promise<number> =>
  (await listWithRoles(tx, ['admin'])).filter((admin) => admin.id !== userId).length
