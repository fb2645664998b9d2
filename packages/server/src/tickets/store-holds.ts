import type { Selectable } from 'kysely'
import { byId, countOf, type ListPart, type Tx } from '../platform/db/index.ts'
import type { HoldsTable } from '../platform/db/tables.ts'

export type HoldRow = Selectable<HoldsTable>

export async function insertHold(
  tx: Tx,
  row: Pick<HoldRow, 'id' | 'subject_type' | 'subject_id' | 'subject_number' | 'reason' | 'set_by_id' | 'created_at'>,
): Promise<void> {
  await tx.insert('holds', [{ project_id: tx.project, ...row }])
}

/** Of the project in context, newest first, older than `after`, those that were released included. */
export const listHolds = (tx: Tx, page: ListPart): Promise<HoldRow[]> =>
  tx.db.selectFrom('holds').selectAll().$call(byId('newest', page)).execute()

export const countHolds = (tx: Tx): Promise<number> => countOf(tx.db.selectFrom('holds'))

export const findHold = (tx: Tx, id: string): Promise<HoldRow | undefined> =>
  tx.db.selectFrom('holds').selectAll().where('id', '=', id).executeTakeFirst()

/** The holds that last now. They are few: each was set by a person, with a reason. */
export const listLastingHolds = (tx: Tx): Promise<HoldRow[]> =>
  tx.db.selectFrom('holds').selectAll().where('released_at', 'is', null).orderBy('id').execute()

/** False if it was released before. */
export async function releaseHold(
  tx: Tx,
  id: string,
  end: { by: string; reason: string; now: number },
): Promise<boolean> {
  const done = await tx.db
    .updateTable('holds')
    .set({ released_at: end.now, released_by_id: end.by, release_reason: end.reason })
    .where('id', '=', id)
    .where('released_at', 'is', null)
    .executeTakeFirst()
  return done.numUpdatedRows === 1n
}
