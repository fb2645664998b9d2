import type { Tx } from '../platform/db/index.ts'
import { type Actor, appendOne } from './append.ts'
import * as store from './store.ts'
import * as erasures from './store-erasure.ts'

/** Events that explain the log itself, or an erasure, keep their payloads. */
export const isErasable = (eventType: string): boolean => !erasures.KEPT_PAYLOADS.some((type) => type === eventType)

/**
 * Erases the payload of one event: text and salt go, so that not even a guess can be checked against the commitment in the
 * log. The entry stays, and with it every proof. The `payload.erased` of the same transaction says who did it and on what
 * ground; without one, an empty row is a finding. False if there was nothing left to erase.
 *
 * Stopped before the commit: nothing happened. After it: the sequencer gives the new event its place, and then replaces
 * the lines in the day files, at the next start if need be.
 */
export async function erasePayload(
  tx: Tx,
  now: number,
  by: Actor,
  event: { id: string; event_type: string; shard: number | null; log_index: number | null },
  ground: string,
): Promise<string | undefined> {
  const erasedBy = await appendOne(tx, now, by, {
    type: 'payload.erased',
    resource: { type: 'audit_event', id: event.id, number: event.log_index },
    action: `Erased the payload of entry ${placeOf(event)}`,
    details: {
      event_id: event.id,
      shard: event.shard,
      log_index: event.log_index,
      event_type: event.event_type,
      ground,
    },
  })
  return (await erasures.emptyEvent(tx, event.id, erasedBy, now)) ? erasedBy : undefined
}

/** Each log counts its entries from 0. */
const placeOf = (event: { id: string; shard: number | null; log_index: number | null }): string =>
  event.log_index === null ? event.id : `${event.log_index} of log ${event.shard}`

/**
 * Drops the oldest closed log of the project in context: its lines of day files and its tiles go with the sequencer's next rounds, its
 * rows at once or, on SQLite, with them. The event restates every log that was dropped before, because the one that said so may be among them.
 */
export async function dropOldestLog(tx: Tx, now: number, by: Actor, log: store.Log, reason: string): Promise<void> {
  const before = (await store.listLogs(tx)).filter((one) => one.dropped_at !== null)
  const droppedBy = await appendOne(tx, now, by, {
    type: 'log.dropped',
    resource: { type: 'log', id: tx.project },
    action: `Dropped the log ${log.origin}`,
    details: {
      dropped: [...before, log].map(({ shard, origin, size, checkpoint }) => ({ shard, origin, size, checkpoint })),
      reason,
    },
  })
  await erasures.dropLog(tx, log.shard, droppedBy, now)
}
