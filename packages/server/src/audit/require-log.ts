import { AppError } from '../platform/app-error.ts'
import type { Tx } from '../platform/db/index.ts'
import { sizeOfNote } from './continuation.ts'
import { findOpenLog } from './store.ts'

/** What weighs much is not done while events wait for their log for longer than this. */
const PATIENCE_MS = 60_000

/**
 * For what must not stand outside of the log for long: an approval, a key, an erasure, an export. Throws LOG_BEHIND while the oldest
 * event of the project in context that is not published yet is older than a minute: the disk is full, or no sequencer runs. All else
 * goes on, for events are durable before they are in the log.
 */
export async function requireLog(tx: Tx, now: number): Promise<void> {
  const log = await findOpenLog(tx)
  if (!log) return
  const published = sizeOfNote(log.checkpoint)
  const oldest = async (which: string, params: (string | number)[]) =>
    tx.sql<{ timestamp: number }>(
      `select e.timestamp from audit_events e where e.project_id = ?1 and e.id =
         (select first_id from audit_appends where project_id = ?1 and ${which} limit 1)`,
      [tx.project, ...params],
    )
  // Placed before they are written: on a full disk all of them have places.
  const [placed] = await oldest('shard = ?2 and log_index >= ?3 order by log_index', [log.shard, published])
  const [waits] = placed ? [placed] : await oldest('log_index is null order by seq', [])
  if (!waits) return
  const age = now - Number(waits.timestamp)
  if (age > PATIENCE_MS)
    throw new AppError('LOG_BEHIND', { seconds: String(Math.floor(age / 1_000)) }, { headers: { 'retry-after': '10' } })
}
