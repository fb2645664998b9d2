import { setTimeout as sleep } from 'node:timers/promises'
import type { Tx } from '../platform/db/index.ts'
import { type Lease, PROOFS, type Queue, type Runnable } from '../queue/index.ts'
import { type Executing, executeRun } from './execute.ts'

/** Work of one sort, as the worker sees it: from which queues, how much of it at once, and how it begins and ends. */
export interface Lane {
  serves(queue: string): boolean
  /** How many more it takes of a queue now. */
  room(queue: string): number
  /** How many it has in hand of a project's queue: who has the least is served first. */
  busy(where: Runnable): number
  /** Handlers of which it has enough. */
  except(where: Runnable): readonly string[]
  /** Loads what the work needs in the transaction of the claim, and answers what begins it after the commit. */
  take(tx: Tx, leases: readonly Lease[]): Promise<() => void>
  /** Leases that the worker keeps alive. */
  held(): readonly Lease[]
  /** Somebody else has it now: its work stops and settles nothing. */
  lost(lease: Lease): void
  /** Somebody asked that the work on a run stops. */
  stopWork(runId: string): void
  /** Hands back what was not begun, gives the rest `graceMs`, hands back what then still runs. Nothing is claimed any more. */
  stop(graceMs: number): Promise<void>
}

/** A lane that can begin work which was claimed as it was accepted. */
export interface EagerLane extends Lane {
  /** How many more of a handler could begin now; 0 of those that are not this server's own. */
  startable(handler: string, where: Runnable): number
}

/** Makes a proof run claimable from `runAt` on; a later call moves the time. A claimed run stays with its worker. */
export const enqueueCheck = (queue: Queue, tx: Tx, runId: string, runAt: number, now: number): Promise<void> =>
  queue.enqueue(tx, [{ runId, queue: PROOFS, handler: '', priority: 0, runAt }], now)

/** Takes a run out of the queue unless a worker has it; that worker finds it settled and lets it go. */
export async function dequeueCheck(queue: Queue, tx: Tx, runId: string): Promise<void> {
  await queue.settle(tx, [{ runId, fence: 'unclaimed', next: 'done' }])
}

/** The lane of proof runs: each is begun and settled by itself, and keeps its own lease alive. */
export function createCheckLane(on: Executing, concurrency: number, free: () => void): Lane {
  const running = new Map<Promise<void>, string>()
  const stopWork = new AbortController()
  return {
    serves: (queue) => queue === PROOFS,
    room: () => concurrency - running.size,
    busy: ({ project }) => [...running.values()].filter((one) => one === project).length,
    except: () => [],
    take: async (_, leases) => () => {
      for (const lease of leases) {
        const done = executeRun(on, lease, stopWork.signal)
          .catch((err) => on.log.error({ err, run: lease.runId }, 'run could not be settled'))
          .finally(() => {
            running.delete(done)
            free()
          })
        running.set(done, lease.project)
      }
    },
    held: () => [],
    lost() {},
    stopWork() {},
    async stop(graceMs) {
      await Promise.race([Promise.allSettled(running.keys()), sleep(graceMs, undefined, { ref: false })])
      stopWork.abort()
      await Promise.allSettled(running.keys())
    },
  }
}
