import type { Selectable } from 'kysely'
import { byId, countOf, forUpdate, type ListPart, type Tx } from '../platform/db/index.ts'
import type { TokensTable } from '../platform/db/tables.ts'

// API tokens of the project in context. The table has no tenant policy, because a token is found before its project is
// known; so every statement here names the project.

export type TokenRow = Selectable<TokensTable>

export async function insertToken(tx: Tx, token: TokenRow): Promise<void> {
  if (token.project_id !== tx.project) throw new Error('a token is made in its own project')
  await tx.db.insertInto('tokens').values(token).execute()
}

const tokensOf = (tx: Tx, ownerId: string | null) =>
  tx.db
    .selectFrom('tokens')
    .where('project_id', '=', tx.project)
    .$if(ownerId !== null, (q) => q.where('user_id', '=', ownerId!))

/** Newest first, older than `after`; of one owner, or of all with null. */
export const listTokens = (tx: Tx, ownerId: string | null, page: ListPart): Promise<TokenRow[]> =>
  tokensOf(tx, ownerId).selectAll().$call(byId('newest', page)).execute()

export const countTokens = (tx: Tx, ownerId: string | null): Promise<number> => countOf(tokensOf(tx, ownerId))

/** Those that ended too: what was done with them was done. */
export const listTokenIds = async (tx: Tx, ownerId: string): Promise<string[]> =>
  (await tokensOf(tx, ownerId).select('id').execute()).map(({ id }) => id)

export function findToken(tx: Tx, id: string): Promise<TokenRow | undefined> {
  return tx.db
    .selectFrom('tokens')
    .selectAll()
    .where('project_id', '=', tx.project)
    .where('id', '=', id)
    .executeTakeFirst()
}

/** As `findToken`, with the row locked until commit: a revocation comes before what the token does, or after it. */
export async function lockToken(tx: Tx, id: string): Promise<TokenRow | undefined> {
  const rows = await tx.sql<TokenRow>(`select * from tokens where project_id = ?1 and id = ?2 ${forUpdate(tx)}`, [
    tx.project,
    id,
  ])
  return rows[0]
}

/** False if it was revoked already. */
export async function revokeToken(tx: Tx, id: string, now: number): Promise<boolean> {
  const done = await tx.db
    .updateTable('tokens')
    .set({ revoked_at: now })
    .where('project_id', '=', tx.project)
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  return done.numUpdatedRows === 1n
}

/** Lets a token end at `expiresAt`. False if it was revoked meanwhile. */
export async function shortenToken(tx: Tx, id: string, expiresAt: number): Promise<boolean> {
  const done = await tx.db
    .updateTable('tokens')
    .set({ expires_at: expiresAt })
    .where('project_id', '=', tx.project)
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  return done.numUpdatedRows === 1n
}
