import { MOST_NANOS } from '@writ/api/costs'
import type { Selectable } from 'kysely'
import { inList, type Tx } from '../../platform/db/index.ts'
import type { CostsTable } from '../../platform/db/tables.ts'
import type { Cost } from './cost.ts'

// What attempts cost. A run that cost nothing has no row here, and nothing of this is asked for it.

export type CostRow = Pick<Selectable<CostsTable>, 'run_id' | 'attempt' | 'what' | 'nanos'>

/** What an attempt cost more. */
export interface NewCosts {
  readonly runId: string
  readonly attempt: number
  readonly costs: readonly Cost[]
}

const MAX_ROWS = 1_000

/**
 * Adds to what attempts cost, and writes the sum into their runs. For whoever holds the lease: nobody else adds to these rows.
 * Here a budget will settle what it reserved.
 */
export async function addCosts(tx: Tx, all: readonly NewCosts[]): Promise<void> {
  // One statement changes no row twice.
  const rows = [
    ...Map.groupBy(
      all.flatMap(({ runId, attempt, costs }) =>
        costs.map(({ what, nanos }) => ({ project_id: tx.project, run_id: runId, attempt, what, nanos })),
      ),
      (row) => JSON.stringify([row.run_id, row.attempt, row.what]),
    ).values(),
  ].map((same) => ({
    ...same[0]!,
    nanos: Math.min(
      MOST_NANOS,
      same.reduce((sum, { nanos }) => sum + nanos, 0),
    ),
  }))
  if (rows.length === 0) return
  for (let at = 0; at < rows.length; at += MAX_ROWS)
    await tx.db
      .insertInto('costs')
      .values(rows.slice(at, at + MAX_ROWS))
      .onConflict((conflict) =>
        conflict.columns(['project_id', 'run_id', 'attempt', 'what']).doUpdateSet({
          nanos: (eb) =>
            eb
              .case()
              .when(eb('costs.nanos', '>', eb(eb.val(MOST_NANOS), '-', eb.ref('excluded.nanos'))))
              .then(MOST_NANOS)
              .else(eb('costs.nanos', '+', eb.ref('excluded.nanos')))
              .end(),
        }),
      )
      .execute()
  const ids = [...new Set(rows.map((row) => row.run_id))].toSorted()
  await tx.sql(
    `update runs set cost_usd =
       (select case when sum(c.nanos) > ?5 then ?5 else sum(c.nanos) end / 1e9 from costs c
        where c.project_id = runs.project_id and c.run_id = runs.id)
     where project_id = ?1 and id >= ?2 and id <= ?3 and ${inList(tx, 'id', '?4')}`,
    [tx.project, ids[0]!, ids.at(-1)!, ids, MOST_NANOS],
  )
}

/** By attempt, and then by what was paid for. */
export async function listCosts(tx: Tx, runIds: readonly string[]): Promise<CostRow[]> {
  if (runIds.length === 0) return []
  const ids = runIds.toSorted()
  const rows = await tx.sql<CostRow>(
    `select run_id, attempt, what, nanos from costs
     where project_id = ?1 and run_id >= ?2 and run_id <= ?3 and ${inList(tx, 'run_id', '?4')}`,
    [tx.project, ids[0]!, ids.at(-1)!, ids],
  )
  // Here and not by the database: in the journal their order is the same everywhere.
  return rows.toSorted((a, b) => a.attempt - b.attempt || (a.what < b.what ? -1 : 1))
}
