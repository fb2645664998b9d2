import type { Tx } from '../../platform/db/index.ts'
import type { Entry, Queue } from '../../queue/index.ts'
import type { Worker } from '../../runs/index.ts'
import type { TaskLane } from './lane.ts'
import type { WorkRow } from './store.ts'

type RowOf = (runId: string) => WorkRow

/** Tasks that begin where they are accepted. */
export interface Eager {
  /** Of these queues those in which something may be taken in this transaction. */
  open(tx: Tx, queues: Iterable<string>): Promise<ReadonlySet<string>>
  /**
   * Claims what this process can begin now, in the transaction that accepts it; answers the entries that are to be enqueued.
   * `open` is what `open` answered.
   */
  take(tx: Tx, entries: readonly Entry[], open: ReadonlySet<string>, rows: RowOf, now: number): readonly Entry[]
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
    async open(tx, queues) {
      const asked = [...queues].filter((name) => worker.mayBegin(name, lane))
      const answers = await Promise.all(asked.map((name) => queue.mayHold(tx, name)))
      return new Set(asked.filter((_, i) => answers[i]))
    },
    take(tx, entries, open, rows, now) {
      const left: Entry[] = []
      for (const [name, all] of Map.groupBy(entries, (entry) => entry.queue)) {
        const where = { queue: name, project: tx.project }
        const aside = open.has(name) ? worker.setAside(tx, where, all, lane, now) : undefined
        if (!aside) left.push(...all)
        else {
          const leases = queue.enqueueHeld(tx, aside.entries, aside.holder)
          left.push(...aside.rest)
          aside.afterwards(() => lane.begin(leases, rows))
        }
      }
      return left
    },
  }
}
