import type { Selectable } from 'kysely'
import { countOf, inList, inOrderOf, type Tx } from '../../../platform/db/index.ts'
import type { WorkerHandlersTable } from '../../../platform/db/tables.ts'
import type { NamesBehind } from '../handler.ts'

// All SQL of handlers that workers registered.

export type WorkerHandlerRow = Selectable<WorkerHandlersTable>

/** By name, all or up to `limit` behind the name `after`. */
export const listHandlers = (tx: Tx, part?: NamesBehind): Promise<WorkerHandlerRow[]> =>
  tx.db
    .selectFrom('worker_handlers')
    .selectAll()
    .$call(inOrderOf('name', 'asc', part))
    .execute()

export const countHandlers = (tx: Tx): Promise<number> => countOf(tx.db.selectFrom('worker_handlers'))

export const findHandlers = (tx: Tx, names: readonly string[]): Promise<WorkerHandlerRow[]> =>
  names.length === 0
    ? Promise.resolve([])
    : tx.sql(`select * from worker_handlers where project_id = ?1 and ${inList(tx, 'name', '?2')} order by name`, [
        tx.project,
        names,
      ])

/** Answers whether the row is new; two workers may come with the same handler at once. */
export async function insertHandler(
  tx: Tx,
  row: Pick<WorkerHandlerRow, 'name' | 'contract' | 'enabled' | 'registered_at' | 'last_seen_at'>,
): Promise<boolean> {
  const rows = await tx.sql(
    `insert into worker_handlers (project_id, name, contract, enabled, registered_at, last_seen_at)
     values (?1, ?2, ?3, ?4, ?5, ?6) on conflict do nothing returning name`,
    [tx.project, row.name, row.contract, row.enabled, row.registered_at, row.last_seen_at],
  )
  return rows.length === 1
}

export async function updateHandlers(
  tx: Tx,
  names: readonly string[],
  change: Partial<Omit<WorkerHandlerRow, 'project_id' | 'name' | 'registered_at'>>,
): Promise<void> {
  if (names.length > 0) await tx.db.updateTable('worker_handlers').set(change).where('name', 'in', names).execute()
}
