import type { Role } from '@writ/api'
import { type Selectable, sql } from 'kysely'
import {
  countOf,
  type Database,
  forUpdate,
  INSTANCE,
  inList,
  type ListPart,
  projectInContext,
  type Tx,
} from '../platform/db/index.ts'
import type { SessionsTable, UsersTable } from '../platform/db/tables.ts'

// People and their sessions. These tables have no tenant policy; what belongs to a project says so in each statement.

export type UserRow = Selectable<UsersTable>
export type SessionRow = Selectable<SessionsTable>
/** A user with the role in the project in view; null for somebody who is no member of it. */
export type UserInView = UserRow & { readonly role: Role | null }

/** Takes the user's row until the end of the transaction: what is decided by it stays true. */
export async function lockUser(tx: Tx, id: string): Promise<UserRow | undefined> {
  const rows = await tx.sql<UserRow>(`select * from users where id = ?1 ${forUpdate(tx)}`, [id])
  return rows[0]
}

/** By the name as typed; names differ in more than their case. */
export async function findUserByName(db: Pick<Database, 'lookup'>, username: string): Promise<UserRow | undefined> {
  const rows = await db.lookup<UserRow>('select * from users where lower(username) = lower(?1)', [username])
  return rows[0]
}

/** By id, outside any transaction. */
export async function loadUser(db: Pick<Database, 'lookup'>, id: string): Promise<UserRow | undefined> {
  const rows = await db.lookup<UserRow>('select * from users where id = ?1', [id])
  return rows[0]
}

export async function anyUser(db: Pick<Database, 'lookup'>): Promise<boolean> {
  return (await db.lookup('select 1 as one from users limit 1', [])).length > 0
}

/** By id or number, with the role in `project`. */
export function findInView(tx: Tx, project: string, ref: string | number): Promise<UserInView | undefined> {
  return inView(tx, project)
    .$if(isNumber(ref), (q) => q.where('users.number', '=', Number(ref)))
    .$if(!isNumber(ref), (q) => q.where('users.id', '=', String(ref)))
    .executeTakeFirst()
}

export interface UserFilter {
  readonly q?: string
  readonly role?: Role
  readonly is_active?: boolean
  /** Also those who are no members of the project. */
  readonly everybody: boolean
}

export function listUsers(
  tx: Tx,
  project: string,
  filter: UserFilter,
  page: { limit: number; skip: number; after: string | undefined },
): Promise<UserInView[]> {
  return filtered(inView(tx, project), filter)
    .$if(page.after !== undefined, (q) => q.where('users.number', '>', Number(page.after)))
    .orderBy('users.number')
    .limit(page.limit)
    .$if(page.skip > 0, (q) => q.offset(page.skip))
    .execute()
}

export async function countUsers(tx: Tx, project: string, filter: UserFilter): Promise<number> {
  const row = await filtered(inView(tx, project), filter)
    .clearSelect()
    .select(sql<number>`count(*)`.as('n'))
    .executeTakeFirstOrThrow()
  return Number(row.n)
}

function inView(tx: Tx, project: string) {
  return tx.db
    .selectFrom('users')
    .leftJoin('memberships', (join) =>
      join.onRef('memberships.user_id', '=', 'users.id').on('memberships.project_id', '=', project),
    )
    .selectAll('users')
    .select('memberships.role')
}

function filtered(query: ReturnType<typeof inView>, f: UserFilter) {
  const like = `%${(f.q ?? '').toLowerCase().replace(/[\\%_]/g, '\\$&')}%`
  return query
    .$if(!f.everybody, (q) => q.where('memberships.role', 'is not', null))
    .$if(f.role !== undefined, (q) => q.where('memberships.role', '=', f.role!))
    .$if(f.is_active !== undefined, (q) => q.where('users.is_active', '=', f.is_active ? 1 : 0))
    .$if(f.q !== undefined && f.q !== '', (q) =>
      q.where(
        sql<boolean>`(lower(users.username) like ${like} escape '\\' or lower(users.full_name) like ${like} escape '\\' or lower(users.email) like ${like} escape '\\')`,
      ),
    )
}

const isNumber = (ref: string | number) => /^\d+$/.test(String(ref))

/** A member as other features refer to one. */
export interface UserRef {
  readonly id: string
  readonly number: number
  readonly username: string
  readonly is_active: boolean
}

/** A member of the project in context, by id or number. */
export async function findUserRef(source: Tx | Database, ref: string | number): Promise<UserRef | undefined> {
  const project = 'project' in source ? source.project : projectInContext()
  const column = isNumber(ref) ? 'number' : 'id'
  const text = `select u.id, u.number, u.username, u.is_active from users u
    join memberships m on m.user_id = u.id and m.project_id = ?1 where u.${column} = ?2`
  const params = [project, column === 'number' ? Number(ref) : String(ref)]
  const rows = await ('lookup' in source
    ? source.lookup<Omit<UserRef, 'is_active'> & { is_active: number }>(text, params)
    : source.sql<Omit<UserRef, 'is_active'> & { is_active: number }>(text, params))
  return rows[0] && { ...rows[0], is_active: rows[0].is_active === 1 }
}

/** Gives the number and keeps the total. Throws UniqueViolation for a name or address that is taken; in INSTANCE only. */
export async function insertUser(
  tx: Tx,
  user: Pick<UserRow, 'id' | 'username' | 'email' | 'full_name' | 'password_hash'> & {
    now: number
    isInstanceAdmin?: boolean
    mustChangePassword?: boolean
    vouched: boolean
  },
): Promise<UserRow> {
  const [counter] = await tx.sql<{ value: number }>(
    `insert into counters (project_id, name, value, total) values (?1, 'users', 1, 1)
     on conflict (project_id, name) do update set value = counters.value + 1, total = counters.total + 1
     returning value`,
    [INSTANCE],
  )
  const row: UserRow = {
    id: user.id,
    number: Number(counter!.value),
    username: user.username,
    email: user.email,
    full_name: user.full_name,
    password_hash: user.password_hash,
    is_active: 1,
    is_instance_admin: user.isInstanceAdmin ? 1 : 0,
    must_change_password: user.mustChangePassword ? 1 : 0,
    totp_secret: null,
    totp_pending: null,
    totp_last_step: null,
    created_at: user.now,
    updated_at: user.now,
    vouched: user.vouched ? 1 : 0,
  }
  await tx.db.insertInto('users').values(row).execute()
  return row
}

export async function updateUser(
  tx: Tx,
  id: string,
  change: Partial<
    Pick<
      UserRow,
      | 'email'
      | 'full_name'
      | 'is_active'
      | 'is_instance_admin'
      | 'password_hash'
      | 'must_change_password'
      | 'totp_secret'
      | 'totp_pending'
    >
  >,
  now: number,
): Promise<void> {
  await tx.db
    .updateTable('users')
    .set({ ...change, updated_at: now })
    .where('id', '=', id)
    .execute()
}

/** Replaces a hash made with old parameters, unless the password was changed meanwhile. */
export async function rehash(tx: Tx, id: string, before: string, after: string): Promise<void> {
  await tx.db
    .updateTable('users')
    .set({ password_hash: after })
    .where('id', '=', id)
    .where('password_hash', '=', before)
    .execute()
}

/** Uses up a step of the one-time codes. False if it, or a later one, was used already. */
export async function useTotpStep(tx: Tx, id: string, step: number): Promise<boolean> {
  const done = await tx.db
    .updateTable('users')
    .set({ totp_last_step: step })
    .where('id', '=', id)
    .where((or) => or.or([or('totp_last_step', 'is', null), or('totp_last_step', '<', step)]))
    .executeTakeFirst()
  return done.numUpdatedRows === 1n
}

// ---- sessions

export async function insertSession(tx: Tx, session: Omit<SessionRow, 'last_seen_at' | 'revoked_at'>): Promise<void> {
  await tx.db
    .insertInto('sessions')
    .values({ ...session, last_seen_at: session.created_at, revoked_at: null })
    .execute()
}

const liveSessions = (tx: Tx, userId: string, now: number) =>
  tx.db
    .selectFrom('sessions')
    .where('user_id', '=', userId)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)

/** Live sessions of a user, newest first, behind the key `after`. */
export function listSessions(tx: Tx, userId: string, now: number, part: ListPart): Promise<SessionRow[]> {
  const [at, id] = part.after?.split(' ') ?? []
  return liveSessions(tx, userId, now)
    .selectAll()
    .$if(part.after !== undefined, (q) =>
      q
        .where('created_at', '<=', Number(at))
        .where((eb) => eb.or([eb('created_at', '<', Number(at)), eb('id', '<', id!)])),
    )
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(part.limit)
    .offset(part.skip)
    .execute()
}

/** A live session of a user. */
export const findSession = (tx: Tx, userId: string, id: string, now: number): Promise<SessionRow | undefined> =>
  liveSessions(tx, userId, now).selectAll().where('id', '=', id).executeTakeFirst()

/** Where a session stands in that list. */
export const sessionKey = ({ created_at, id }: SessionRow): string => `${created_at} ${id}`

export const countSessions = (tx: Tx, userId: string, now: number): Promise<number> =>
  countOf(liveSessions(tx, userId, now))

/** False if the user has no such live session. */
export async function revokeSession(tx: Tx, userId: string, id: string, now: number): Promise<boolean> {
  const done = await tx.db
    .updateTable('sessions')
    .set({ revoked_at: now })
    .where('id', '=', id)
    .where('user_id', '=', userId)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirst()
  return done.numUpdatedRows === 1n
}

/** Ends all sessions of a user but one; answers how many. */
export async function revokeSessions(tx: Tx, userId: string, except: string | null, now: number): Promise<number> {
  const done = await tx.db
    .updateTable('sessions')
    .set({ revoked_at: now })
    .where('user_id', '=', userId)
    .where('revoked_at', 'is', null)
    .$if(except !== null, (q) => q.where('id', '!=', except!))
    .executeTakeFirst()
  return Number(done.numUpdatedRows)
}

/** Forgets up to `limit` sessions that ended before `before`; answers how many there were. */
export async function forgetSessions(tx: Tx, before: number, limit: number): Promise<number> {
  const old = await tx.db.selectFrom('sessions').select('id').where('expires_at', '<', before).limit(limit).execute()
  const ids = old.map(({ id }) => id)
  await tx.sql(`delete from sessions where ${inList(tx, 'id', '?1')}`, [ids])
  return ids.length
}

/**
 * Takes out of an account whatever says who it was; number and id stay, because entries of logs name them. Sessions,
 * tokens and links to identity providers end.
 */
export async function anonymiseUser(tx: Tx, user: { id: string; number: number }, now: number): Promise<void> {
  await tx.sql(
    `update invites set email = null where used_by_id = ?1
       or lower(email) = (select lower(email) from users where id = ?1)`,
    [user.id],
  )
  await tx.sql(
    `update users set username = ?2, email = null, full_name = null, password_hash = '', totp_secret = null,
       totp_pending = null, is_active = 0, updated_at = ?3 where id = ?1`,
    [user.id, `erased-${user.number}`, now],
  )
  await tx.sql(
    'update sessions set ip_address = null, user_agent = null, revoked_at = coalesce(revoked_at, ?2) where user_id = ?1',
    [user.id, now],
  )
  await tx.sql(`update tokens set name = 'erased', revoked_at = coalesce(revoked_at, ?2) where user_id = ?1`, [
    user.id,
    now,
  ])
  await tx.sql('delete from user_links where user_id = ?1', [user.id])
}

/** Anybody with an account, by id or number, in whatever project. */
export async function findAccount(db: Pick<Database, 'lookup'>, ref: string | number): Promise<UserRef | undefined> {
  const number = /^\d+$/.test(String(ref))
  const rows = await db.lookup<{ id: string; number: number; username: string; is_active: number }>(
    `select id, number, username, is_active from users where ${number ? 'number' : 'id'} = ?1`,
    [number ? Number(ref) : String(ref)],
  )
  return rows[0] && { ...rows[0], is_active: rows[0].is_active === 1 }
}

/**
 * Forgets answers that were kept for replays and name a user, in the project in context. A replay of such a request then
 * answers without a body.
 */
export async function forgetAnswers(tx: Tx, username: string): Promise<void> {
  await tx.sql(`update idempotency set response = null where project_id = ?1 and response like '%' || ?2 || '%'`, [
    tx.project,
    JSON.stringify(username),
  ])
}
