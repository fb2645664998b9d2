import { forUpdate, type Tx } from '../platform/db/index.ts'
import type { UserRow } from './store.ts'

// Who people are at identity providers. No tenant policy, like everything about people.

/** The user of this account at the provider, locked until commit. */
export async function findLinked(tx: Tx, issuer: string, subject: string): Promise<UserRow | undefined> {
  const rows = await tx.sql<UserRow>(
    `select * from users where id = (select user_id from user_links where issuer = ?1 and subject = ?2) ${forUpdate(tx)}`,
    [issuer, subject],
  )
  return rows[0]
}

/** A user by address or by name, whatever their case, locked until commit. */
export async function lockByEmail(tx: Tx, email: string): Promise<UserRow | undefined> {
  return (await tx.sql<UserRow>(`select * from users where lower(email) = lower(?1) ${forUpdate(tx)}`, [email]))[0]
}
export async function lockByName(tx: Tx, name: string): Promise<UserRow | undefined> {
  return (await tx.sql<UserRow>(`select * from users where lower(username) = lower(?1) ${forUpdate(tx)}`, [name]))[0]
}

/** True if the user has another account at this provider. */
export async function isLinked(tx: Tx, issuer: string, userId: string): Promise<boolean> {
  const rows = await tx.sql('select 1 as one from user_links where issuer = ?1 and user_id = ?2', [issuer, userId])
  return rows.length > 0
}

/** Throws UniqueViolation if the account or the user has a link at this provider. */
export async function insertLink(
  tx: Tx,
  link: { issuer: string; subject: string; user_id: string; created_at: number },
): Promise<void> {
  await tx.db.insertInto('user_links').values(link).execute()
}
