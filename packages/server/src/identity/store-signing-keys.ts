import type { Selectable } from 'kysely'
import { countOf, inOrderOf, type ListPart, type Tx } from '../platform/db/index.ts'
import type { ApprovalSignaturesTable, SigningKeysTable } from '../platform/db/tables.ts'

export type SigningKeyRow = Selectable<SigningKeysTable>
export type NamedSigningKey = SigningKeyRow & { readonly user_number: number; readonly username: string }
export type ApprovalSignatureRow = Selectable<ApprovalSignaturesTable>

export async function insertSigningKey(tx: Tx, key: Omit<SigningKeyRow, 'project_id'>): Promise<void> {
  await tx.insert('signing_keys', [{ project_id: tx.project, ...key }])
}

export const findSigningKey = (tx: Tx, id: string): Promise<SigningKeyRow | undefined> =>
  tx.db.selectFrom('signing_keys').selectAll().where('id', '=', id).executeTakeFirst()

/** As `findSigningKey`, with the row locked until commit: a revocation comes before what is signed, or after it. */
export async function lockSigningKey(tx: Tx, id: string): Promise<SigningKeyRow | undefined> {
  await tx.db
    .updateTable('signing_keys')
    .set((eb) => ({ state: eb.ref('state') }))
    .where('id', '=', id)
    .execute()
  return findSigningKey(tx, id)
}

const named = (tx: Tx) =>
  tx.db
    .selectFrom('signing_keys')
    .innerJoin('users', 'users.id', 'signing_keys.user_id')
    .selectAll('signing_keys')
    .select(['users.number as user_number', 'users.username'])

export const findNamedSigningKey = (tx: Tx, id: string): Promise<NamedSigningKey | undefined> =>
  named(tx).where('signing_keys.id', '=', id).executeTakeFirst()

/** The oldest first. */
export const listSigningKeys = (tx: Tx, part: ListPart): Promise<NamedSigningKey[]> =>
  named(tx)
    .$call(inOrderOf('signing_keys.id', 'asc', part))
    .execute()

export const countSigningKeys = (tx: Tx): Promise<number> => countOf(tx.db.selectFrom('signing_keys'))

/** Keys that wait for a second person. */
export const countProposedKeys = (tx: Tx): Promise<number> =>
  countOf(tx.db.selectFrom('signing_keys').where('state', '=', 'proposed'))

/** Whether this key waits or is enrolled here. */
export async function isLive(tx: Tx, fingerprint: string): Promise<boolean> {
  const row = await tx.db
    .selectFrom('signing_keys')
    .select('id')
    .where('fingerprint', '=', fingerprint)
    .where('state', 'in', ['proposed', 'enrolled'])
    .executeTakeFirst()
  return row !== undefined
}

/** Whether any key was ever enrolled in this project. */
export async function everEnrolled(tx: Tx): Promise<boolean> {
  const row = await tx.db
    .selectFrom('signing_keys')
    .select('id')
    .where('state', 'in', ['enrolled', 'revoked'])
    .executeTakeFirst()
  return row !== undefined
}

/** Of these people, those with an enrolled key. */
export async function withEnrolledKeys(tx: Tx, people: readonly string[]): Promise<string[]> {
  if (people.length === 0) return []
  const rows = await tx.db
    .selectFrom('signing_keys')
    .select('user_id')
    .distinct()
    .where('state', '=', 'enrolled')
    .where('user_id', 'in', people)
    .execute()
  return rows.map((row) => row.user_id)
}

/** Moves a key on, if it still is in state `from`; false if somebody decided meanwhile. */
export async function moveSigningKey(
  tx: Tx,
  id: string,
  from: SigningKeyRow['state'],
  change: Partial<Pick<SigningKeyRow, 'state' | 'decided_by_id' | 'decided_at' | 'revoked_at' | 'revoked_by_id'>>,
): Promise<boolean> {
  const done = await tx.db
    .updateTable('signing_keys')
    .set(change)
    .where('id', '=', id)
    .where('state', '=', from)
    .executeTakeFirst()
  return done.numUpdatedRows === 1n
}
