import { type Database, INSTANCE, inList, inProject, type Tx } from '../platform/db/index.ts'
import type { Entry, Lease, Listener, Queue, Settlement } from './queue.ts'
import {
  countDepth,
  createQueueLimits,
  endOwn,
  enqueueHeld,
  type LeaseRow,
  leaseColumns,
  leasesOf,
  mayHold,
  renewLeases,
  ripenDue,
  sweepRows,
  unpausedAt,
} from './rows.ts'

/**
 * The queue in the table `queue` of SQLite. One process, one writer: while a transaction claims, nobody else can, so there
 * are no locks to skip, and leases only matter to work that hangs. At its first sweep every lease belongs to a process that
 * is gone.
 */
export function openSqliteQueue(db: Database): Queue {
  let listener: Listener | undefined
  const limits = createQueueLimits(db)
  let taken = false

  return {
    async enqueue(tx, entries, now) {
      for (const entry of entries)
        await tx.sql(
          `insert into queue (run_id, project_id, queue, handler, priority, run_at, ready) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
           on conflict (run_id) do update set run_at = excluded.run_at, ready = excluded.ready where queue.lease_until is null`,
          [
            entry.runId,
            tx.project,
            entry.queue,
            entry.handler,
            entry.priority,
            entry.runAt,
            entry.runAt <= now ? 1 : 0,
          ],
        )
      tellOf(tx, entries, now, () => listener)
    },
    mayHold: (tx, queue) => mayHold(tx, queue, limits),
    enqueueHeld,
    async reserve() {},
    async claim(tx, ask) {
      const room = await limits.room(tx, ask)
      if (room === 0) return []
      const rows = await tx.sql<LeaseRow>(
        `update queue set lease_owner = ?1, lease_until = ?2, claimed_at = ?3, fence = fence + 1, attempt = attempt + 1, ready = 0
         where run_id in (select run_id from queue where queue = ?4 and project_id = ?5 and ready = 1 and ${unpausedAt('?4', '?5')}
           ${ask.except.length > 0 ? 'and handler not in (select value from json_each(?7))' : ''}
           order by priority desc, run_at, run_id limit ?6)
         returning ${leaseColumns.replaceAll('queue.', '')}`,
        [
          ask.worker,
          ask.leaseUntil,
          ask.now,
          ask.queue,
          tx.project,
          room,
          ...(ask.except.length > 0 ? [ask.except] : []),
        ],
      )
      return leasesOf(rows)
    },
    async extend(leases, until) {
      const lost: Lease[] = []
      const stop: Lease[] = []
      if (leases.length === 0) return { lost, stop }
      await inProject(INSTANCE, () =>
        db.write(async (tx) => {
          lost.length = 0
          stop.length = 0
          for (const lease of leases) {
            const [row] = await tx.sql<{ stop: number }>(
              'update queue set lease_until = ?1 where run_id = ?2 and fence = ?3 and lease_until is not null returning stop',
              [until, lease.runId, lease.fence],
            )
            if (!row) lost.push(lease)
            else if (row.stop === 1) stop.push(lease)
          }
        }),
      )
      return { lost, stop }
    },
    async settle(tx, settlements) {
      limits.ended(tx, () => listener)
      const ended = await endTogether(tx, settlements)
      if (ended) return ended
      const settled: boolean[] = []
      for (const one of settlements) settled.push(await settleOne(tx, one))
      return settled
    },
    async sweep(now) {
      if (!taken) await endOwn(db)
      taken = true
      await limits.refresh()
      return sweepRows(db, now)
    },
    async clockSet(change) {
      await renewLeases(db, change)
      await ripenDue(db, change)
    },
    async stop(tx, runId) {
      const rows = await tx.sql(
        'update queue set stop = 1 where run_id = ?1 and project_id = ?2 and lease_until is not null returning run_id',
        [runId, tx.project],
      )
      tx.afterCommit(() => listener?.stop(runId))
      return rows.length === 1
    },
    wake(heard) {
      listener = heard
    },
    depth: countDepth,
    async close() {
      listener = undefined
    },
  }
}

/** After the commit, one word for each queue that got something. */
export function tellOf(tx: Tx, entries: readonly Entry[], now: number, listener: () => Listener | undefined): void {
  if (entries.length === 0) return
  tx.afterCommit(() => {
    for (const [queue, all] of Map.groupBy(entries, (entry) => entry.queue)) {
      const due = all.filter((entry) => entry.runAt <= now).length
      if (due > 0) listener()?.runnable({ queue, project: tx.project }, due)
    }
  })
}

/**
 * Work that is done, in one statement: mostly that is all of what is settled, and was claimed for the first time, so that all fences are
 * alike. Undefined where it is not.
 */
async function endTogether(tx: Tx, settlements: readonly Settlement[]): Promise<boolean[] | undefined> {
  const fence = settlements[0]?.fence
  if (settlements.length < 2 || fence === undefined || fence === 'unclaimed') return undefined
  if (settlements.some((one) => one.next !== 'done' || one.fence !== fence)) return undefined
  const ids = settlements.map(({ runId }) => runId)
  const rows = await tx.sql<{ run_id: string }>(
    `delete from queue where ${inList(tx, 'run_id', '?1')} and fence = ?2 and lease_until is not null returning run_id`,
    [ids, fence],
  )
  const gone = new Set(rows.map(({ run_id }) => run_id))
  return ids.map((id) => gone.delete(id))
}

async function settleOne(tx: Tx, one: Settlement): Promise<boolean> {
  const held = one.fence === 'unclaimed' ? 'lease_until is null' : 'fence = ?2 and lease_until is not null'
  const places = one.fence === 'unclaimed' ? [one.runId] : [one.runId, one.fence]
  if (one.next === 'done')
    return (await tx.sql(`delete from queue where run_id = ?1 and ${held} returning run_id`, places)).length === 1
  const counts = one.next === 'retry' ? 'failures = failures + 1' : 'attempt = attempt - 1'
  const rows = await tx.sql(
    `update queue set lease_owner = null, lease_until = null, claimed_at = null, ready = 0, stop = 0, run_at = ?${places.length + 1}, ${counts}
     where run_id = ?1 and ${held} returning run_id`,
    [...places, one.runAt],
  )
  return rows.length === 1
}
