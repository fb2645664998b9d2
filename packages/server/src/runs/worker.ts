import { setTimeout as sleep } from 'node:timers/promises'
import { append, SYSTEM } from '../audit/index.ts'
import { DatabaseUnavailable, INSTANCE, inProject } from '../platform/db/index.ts'
import { randomToken } from '../platform/ids.ts'
import { type Executing, executeRun } from './execute.ts'
import { settleRun } from './settle.ts'
import * as store from './store.ts'

export interface Worker {
  run(stop: AbortSignal): Promise<void>
  /** Something may be due; a hint. Polling is the promise. */
  wake(): void
}

/**
 * Claims due runs and executes them, and does what falls due by the clock. The queue index is read outside the fences;
 * each run is then worked on inside its own project. A starting worker first takes over expired leases: they are due.
 * When told to stop it claims no more, gives the runs under way the grace, and hands the rest back uncounted.
 */
export function createWorker(
  on: Executing,
  options: { concurrency: number; pollMs: number; graceMs: number; alone: boolean },
): Worker {
  const name = randomToken(9)
  const running = new Set<Promise<void>>()
  let wakeUp = new AbortController()

  async function claimAndStart(stopWork: AbortSignal): Promise<void> {
    const free = options.concurrency - running.size
    if (free <= 0) return
    const now = on.clock.now()
    const claims = await inProject(INSTANCE, () =>
      on.db.write((tx) => store.claim(tx, name, now, now + on.leaseMs, free)),
    )
    for (const claim of claims) {
      const done = executeRun(on, claim, stopWork)
        .catch((err) => on.log.error({ err, run: claim.run_id }, 'run could not be settled'))
        .finally(() => {
          running.delete(done)
          wakeUp.abort()
        })
      running.add(done)
    }
  }

  return {
    wake: () => wakeUp.abort(),
    async run(stop) {
      const stopWork = new AbortController()
      if (options.alone) await inProject(INSTANCE, () => on.db.write((tx) => store.endLeases(tx, on.clock.now())))
      while (!stop.aborted) {
        wakeUp = new AbortController()
        try {
          await claimAndStart(stopWork.signal)
          await fireTimers(on)
        } catch (err) {
          if (err instanceof DatabaseUnavailable) on.log.warn({ err }, 'no runs claimed, the database is away')
          else on.log.error({ err }, 'no runs claimed')
        }
        await sleep(options.pollMs, undefined, { signal: AbortSignal.any([stop, wakeUp.signal]) }).catch(() => {})
      }
      await Promise.race([Promise.allSettled(running), sleep(options.graceMs, undefined, { ref: false })])
      stopWork.abort()
      await Promise.allSettled(running)
    },
  }
}

/** Waits that ended, and reminders. Taking the timer and acting on it are one transaction: two servers cannot both act. */
export async function fireTimers(on: Pick<Executing, 'db' | 'clock' | 'log' | 'attest' | 'settled'>): Promise<void> {
  const due = await inProject(INSTANCE, () => on.db.read((tx) => store.listDueTimers(tx, on.clock.now(), 100)))
  for (const timer of due) {
    const acted = await inProject(timer.project_id, () =>
      on.db.write(async (tx) => {
        if (!(await store.takeTimer(tx, timer))) return false
        const run = await store.lockRun(tx, timer.run_id)
        if (run?.state !== 'pending' || run.waiting_for !== 'evidence') return false
        if (timer.what === 'remind') {
          await append(tx, on.clock.now(), SYSTEM, {
            type: 'run.reminded',
            resource: { type: 'run', id: run.id, number: run.number },
            action: `Run ${run.number} still waits for evidence`,
            details: { ticket_id: run.ticket_id, executed_by_id: run.executed_by_id, timeout_at: run.timeout_at },
            run: { id: run.id, seq: await store.nextEvent(tx, run.id) },
          })
          return false
        }
        await store.dequeue(tx, run.id)
        const ending = {
          state: 'timeout',
          summary: 'Run execution timed out',
          stderr: 'No evidence came in time',
          errorCode: 'EVIDENCE_EXPIRED',
        } as const
        await settleRun(tx, on.attest, run, SYSTEM, ending, on.clock.now())
        return true
      }),
    )
    if (acted) on.settled(timer.run_id)
  }
}
