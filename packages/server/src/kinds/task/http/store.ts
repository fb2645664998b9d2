import type { Selectable } from 'kysely'
import { countOf, inList, inOrderOf, type Tx } from '../../../platform/db/index.ts'
import type { DisabledHandlersTable, HttpHandlersTable } from '../../../platform/db/tables.ts'
import type { NamesBehind } from '../handler.ts'

// All SQL of handlers that are called over HTTP, and of those that are switched off.

export type HttpHandlerRow = Selectable<HttpHandlersTable>

/** By name, all or up to `limit` behind the name `after`. */
export const listHandlers = (tx: Tx, part?: NamesBehind): Promise<HttpHandlerRow[]> =>
  tx.db
    .selectFrom('http_handlers')
    .selectAll()
    .$call(inOrderOf('name', 'asc', part))
    .execute()

export const countHandlers = (tx: Tx): Promise<number> => countOf(tx.db.selectFrom('http_handlers'))

export const findHandlers = (tx: Tx, names: readonly string[]): Promise<HttpHandlerRow[]> =>
  names.length === 0
    ? Promise.resolve([])
    : tx.sql(`select * from http_handlers where project_id = ?1 and ${inList(tx, 'name', '?2')} order by name`, [
        tx.project,
        names,
      ])

/** Answers whether the name was free. */
export async function insertHandler(tx: Tx, row: Omit<HttpHandlerRow, 'project_id'>): Promise<boolean> {
  const rows = await tx.db
    .insertInto('http_handlers')
    .values({ project_id: tx.project, ...row })
    .onConflict((conflict) => conflict.columns(['project_id', 'name']).doNothing())
    .returning('name')
    .execute()
  return rows.length === 1
}

export async function updateHandler(
  tx: Tx,
  name: string,
  change: Pick<HttpHandlerRow, 'sealed_secret' | 'sealed_previous_secret' | 'previous_secret_until'>,
): Promise<void> {
  await tx.db.updateTable('http_handlers').set(change).where('name', '=', name).execute()
}

export async function deleteHandler(tx: Tx, name: string): Promise<boolean> {
  const rows = await tx.db.deleteFrom('http_handlers').where('name', '=', name).returning('name').execute()
  return rows.length === 1
}

// ---- switches. The table has no tenant policy: each server knows those of all projects.

export const listSwitchedOff = (db: {
  lookup<Row>(text: string, params: readonly string[]): Promise<Row[]>
}): Promise<{ project_id: string; name: string }[]> => db.lookup('select project_id, name from disabled_handlers', [])

/** Those of these that are switched off in the project. */
export const findSwitchedOff = (
  tx: Tx,
  names: readonly string[],
): Promise<Pick<DisabledHandlersTable, 'name' | 'disabled_at' | 'disabled_by_id' | 'disabled_reason'>[]> =>
  tx.sql(
    `select name, disabled_at, disabled_by_id, disabled_reason from disabled_handlers where project_id = ?1 and ${inList(tx, 'name', '?2')}`,
    [tx.project, names],
  )

/** Answers whether it changed anything. */
export async function switchOff(
  tx: Tx,
  name: string,
  by: { at: number; id: string; reason: string | null },
): Promise<boolean> {
  const rows = await tx.sql(
    `insert into disabled_handlers (project_id, name, disabled_by_id, disabled_at, disabled_reason) values (?1, ?2, ?3, ?4, ?5)
     on conflict do nothing returning name`,
    [tx.project, name, by.id, by.at, by.reason],
  )
  return rows.length === 1
}

export async function switchOn(tx: Tx, name: string): Promise<boolean> {
  const rows = await tx.sql('delete from disabled_handlers where project_id = ?1 and name = ?2 returning name', [
    tx.project,
    name,
  ])
  return rows.length === 1
}
