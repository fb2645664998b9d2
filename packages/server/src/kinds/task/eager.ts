import type { Tx } from '../../platform/db/index.ts'
import type { Entry, Queue } from '../../queue/index.ts'
import type { Worker } from '../../runs/index.ts'
import type { TaskLane } from './lane.ts'
import type { WorkRow } from './store.ts'

/** Tasks that begin where they are accepted. */
export interface Eager {
  /** Claims what this process can begin now, in the transaction that accepts it; answers the entries that are to be enqueued. */
  take(tx: Tx, entries: readonly Entry[], rows: (runId: string) => WorkRow, now: number): Promise<readonly Entry[]>
}

/**
 * When this process has room, and knows of nothing that waits before it, a task is claimed in the very transaction that accepts it
 * and begins after the commit. That saves the transaction of a claim, which costs as much as that of the task itself
 * (docs/decisions/0049-eager-start.md).
 *
 * Stopped before the commit: nothing was accepted. Stopped after it: the lease runs out, as that of any claim.
 */
export function createEager(on: { queue: Queue; worker: Worker; lane: TaskLane }): Eager {
  const { queue, worker, lane } = on
  return {
    async take(tx, entries, rows, now) {
      const left: Entry[] = []
      for (const [name, all] of Map.groupBy(entries, (entry) => entry.queue)) {
        const aside = worker.setAside(tx, { queue: name, project: tx.project }, all, lane, now)
        const leases = aside ? await queue.enqueueHeld(tx, aside.entries, aside.holder) : []
        if (leases.length === 0) left.push(...all)
        else {
          left.push(...aside!.rest)
          aside!.afterwards(() => lane.begin(leases, rows))
        }
      }
      return left
    },
  }
}
