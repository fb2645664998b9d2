import type { Clock } from '../../platform/clock.ts'
import { type Database, inProject } from '../../platform/db/index.ts'
import type { Logger } from '../../platform/log.ts'
import type { Lease, Queue } from '../../queue/index.ts'
import { isFinal } from '../../runs/index.ts'
import { ended } from './outcome.ts'
import { type End, type Ending, settleTasks } from './settle.ts'
import { findHolders, type Holder, loadWork, type WorkRow } from './store.ts'

/** Of work that was asked to stop, and nobody is left who could. */
const LOST = ended('cancelled', 'CANCELLED', 'Cancelled while it ran, and its worker was lost')

/**
 * Ends tasks that were asked to stop and whose worker is gone, wherever it was: what would have to be claimed only to end may have
 * nobody who claims it. With the fence of the lease that ran out, so of two servers that swept at once one settles.
 *
 * Stopped before the commit: the next sweep names them again.
 */
export function createEndStopped(on: {
  readonly db: Database
  readonly queue: Queue
  readonly clock: Clock
  readonly log: Logger
  /** After the commit. */
  settled(runId: string, state: Ending['state']): void
  readonly observe?: { settled(row: WorkRow, ending: Ending, at: number): void; leaseLost(): void }
}): (leases: readonly Lease[]) => Promise<void> {
  const { db, queue, clock, log } = on
  const settle = settleTasks(queue, clock.now, on.settled)

  /** Whoever saw it run was told that it began when it was claimed; nobody says otherwise any more. */
  async function end(lease: Lease, row: WorkRow, by: Holder | undefined): Promise<void> {
    const at = clock.now()
    const { worker = null, since: startedAt = null } = by ?? {}
    const attempt = { worker, startedAt, endedAt: at, log: null, events: row.event_count, steps: 0 }
    const what: End = { next: 'settle', lease, row, ending: LOST, attempt }
    const [mine] = await db.submit(settle, [what])
    if (!mine) return
    on.observe?.leaseLost()
    on.observe?.settled(row, LOST, at)
    on.settled(row.id, LOST.state)
  }

  /** An entry of a task that is gone or has ended: nothing is left to settle. */
  const forget = ({ runId, fence }: Lease) => db.write((tx) => queue.settle(tx, [{ runId, fence, next: 'done' }]))

  return async (leases) => {
    for (const [project, mine] of Map.groupBy(leases, (lease) => lease.project))
      await inProject(project, async () => {
        const ids = mine.map(({ runId }) => runId)
        const [rows, holders] = await db.read((tx) => Promise.all([loadWork(tx, ids), findHolders(tx, ids)]))
        // Each by itself, so that one that cannot be settled holds up none; they share a commit all the same.
        const done = await Promise.allSettled(
          mine.map((lease) => {
            const row = rows.get(lease.runId)
            return row && !isFinal(row.state) ? end(lease, row, holders.get(lease.runId)) : forget(lease)
          }),
        )
        for (const [i, one] of done.entries())
          if (one.status === 'rejected')
            log.error({ err: one.reason as unknown, run: mine[i]!.runId }, 'a stopped task could not be settled')
      })
  }
}
