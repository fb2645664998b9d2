import type { Role } from '@writ/api'
import { type Database, inList, type Tx } from '../platform/db/index.ts'

// What a request's credentials stand for, read anew each time: deactivation, revocation and roles act at once. One
// statement serves all requests of one turn of the event loop.

interface Person {
  readonly user_id: string
  readonly user_number: number
  readonly username: string
  readonly is_active: number
  readonly is_instance_admin: number
  readonly must_change_password: number
  /** Null when the project does not exist. */
  readonly project_id: string | null
  /** Null when the user is no member of it. */
  readonly role: Role | null
}

export interface SessionAccess extends Person {
  readonly session_id: string
  readonly secret_hash: string
  readonly kind: 'bearer' | 'cookie'
  readonly csrf_hash: string | null
  readonly last_seen_at: number
  readonly expires_at: number
  readonly revoked_at: number | null
  readonly auth_time: number | null
  readonly amr: string
}

export interface TokenAccess extends Person {
  readonly token_id: string
  /** Of the first of those that replaced each other. */
  readonly family_id: string
  readonly prefix: string
  readonly secret_hash: string
  readonly token_role: Role
  readonly scopes: string
  readonly ip_ranges: string
  readonly project_slug: string
  readonly last_used_at: number | null
  readonly expires_at: number
  readonly revoked_at: number | null
}

type Source = Pick<Database, 'dialect' | 'lookup'>

const person = `u.id as user_id, u.number as user_number, u.username, u.is_active, u.is_instance_admin,
  u.must_change_password, p.id as project_id, m.role`

/** Sessions by id, or by the hash of a cookie's secret, with the user and the role in the project `slug`. */
export function findSessions(
  db: Source,
  by: 'id' | 'secret_hash',
  keys: readonly string[],
  slug: string,
): Promise<SessionAccess[]> {
  return db.lookup<SessionAccess>(
    `select s.id as session_id, s.secret_hash, s.kind, s.csrf_hash, s.last_seen_at, s.expires_at, s.revoked_at,
            s.auth_time, s.amr, ${person}
     from sessions s join users u on u.id = s.user_id
     left join projects p on p.slug = ?2
     left join memberships m on m.project_id = p.id and m.user_id = u.id
     where ${inList(db, `s.${by}`, '?1')}`,
    [keys, slug],
  )
}

/** API tokens by their public part, with the owner and the owner's role in the token's project. */
export function findTokens(db: Source, prefixes: readonly string[]): Promise<TokenAccess[]> {
  return db.lookup<TokenAccess>(
    `select t.id as token_id, coalesce(t.family_id, t.id) as family_id, t.prefix, t.secret_hash, t.role as token_role, t.scopes, t.ip_ranges, t.last_used_at,
            t.expires_at, t.revoked_at, p.slug as project_slug, ${person}
     from tokens t join users u on u.id = t.user_id join projects p on p.id = t.project_id
     left join memberships m on m.project_id = p.id and m.user_id = u.id
     where ${inList(db, 't.prefix', '?1')}`,
    [prefixes],
  )
}

export interface Standing {
  readonly number: number
  readonly username: string
  readonly is_active: number
  readonly is_instance_admin: number
  readonly role: Role | null
  readonly project_slug: string
}

/** Where a person stands in a project now, that of `tx` if none is named. */
export async function findStanding(
  tx: Tx,
  userId: string,
  project: string = tx.project,
): Promise<Standing | undefined> {
  const [found] = await tx.sql<Standing>(
    `select u.number, u.username, u.is_active, u.is_instance_admin, m.role, p.slug as project_slug
     from users u join projects p on p.id = ?1 left join memberships m on m.project_id = p.id and m.user_id = u.id
     where u.id = ?2`,
    [project, userId],
  )
  return found
}

/** Whether the session or API token that carried a request was ended by somebody since. */
export async function isRevoked(
  tx: Tx,
  by: { readonly session: { readonly id: string } | null; readonly tokenId: string | null },
): Promise<boolean> {
  const [table, id] = by.session ? ['sessions', by.session.id] : ['tokens', by.tokenId]
  if (id === null) return false
  const [found] = await tx.sql<{ revoked_at: number | null }>(`select revoked_at from ${table} where id = ?1`, [id])
  return found !== undefined && found.revoked_at !== null
}

/** Notes that sessions and tokens were used. */
export async function touch(
  tx: Tx,
  used: { sessions: readonly string[]; tokens: readonly string[] },
  now: number,
): Promise<void> {
  if (used.sessions.length > 0)
    await tx.sql(`update sessions set last_seen_at = ?1 where ${inList(tx, 'id', '?2')}`, [now, used.sessions])
  if (used.tokens.length > 0)
    await tx.sql(`update tokens set last_used_at = ?1 where ${inList(tx, 'id', '?2')}`, [now, used.tokens])
}
