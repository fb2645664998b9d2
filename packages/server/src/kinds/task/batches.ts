import type { Batch, RunState } from '@writ/api'
import { type Caller, personOf, seesAll } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import { rfc3339 } from '../../platform/clock.ts'
import type { Tx } from '../../platform/db/index.ts'
import type { Cancels } from './cancel.ts'
import { mine } from './see.ts'
import * as store from './store.ts'

/** Tasks that were dispatched together. */
export interface Batches {
  /** Batches, newest first, that the caller may see; `before` is the id of one. */
  listBatches(
    tx: Tx,
    caller: Caller,
    page: { limit: number; skip: number; before: string | undefined },
  ): Promise<Batch[]>
  countBatches(tx: Tx, caller: Caller): Promise<number>
  /** How far a batch is. Throws BATCH_NOT_FOUND. */
  batch(tx: Tx, caller: Caller, id: string): Promise<Batch>
  /** Cancels what of a batch has not ended, up to `limit` at once. Throws BATCH_NOT_FOUND. */
  cancelBatch(tx: Tx, caller: Caller, id: string, limit: number): Promise<Batch>
}

export function createBatches({ cancelAll }: Pick<Cancels, 'cancelAll'>): Batches {
  async function seeBatch(tx: Tx, caller: Caller, id: string): Promise<store.BatchRow> {
    const row = await store.findBatch(tx, id)
    // Of others it is not told whether there is one.
    if (!row || (!seesAll(caller) && row.executed_by_id !== personOf(caller))) throw new AppError('BATCH_NOT_FOUND')
    return row
  }

  async function showBatch(tx: Tx, row: store.BatchRow): Promise<Batch> {
    return batchOf(row, (await store.countByState(tx, [row])).get(row.id))
  }

  function batchOf(row: store.BatchRow, counts: Partial<Record<RunState, number>> = {}): Batch {
    const of = (state: RunState) => counts[state] ?? 0
    return {
      id: row.id,
      executed_by_id: row.executed_by_id,
      created_at: rfc3339(row.created_at),
      total: row.last_number - row.first_number + 1,
      pending: of('pending'),
      running: of('running'),
      completed: of('completed'),
      failed: of('failed'),
      timeout: of('timeout'),
      cancelled: of('cancelled'),
      done: of('pending') + of('running') === 0,
    }
  }

  return {
    async listBatches(tx, caller, page) {
      const rows = await store.listBatches(tx, mine(caller), page)
      const counts = await store.countByState(tx, rows)
      return rows.map((row) => batchOf(row, counts.get(row.id)))
    },
    countBatches: (tx, caller) => store.countBatches(tx, mine(caller)),
    batch: async (tx, caller, id) => showBatch(tx, await seeBatch(tx, caller, id)),
    async cancelBatch(tx, caller, id, limit) {
      const row = await seeBatch(tx, caller, id)
      await cancelAll(tx, caller, await store.listOpenOf(tx, row, limit), `batch ${row.id} was cancelled`)
      return showBatch(tx, row)
    },
  }
}
