import type { RunState } from '@writ/api'
import { isFinal } from './run.ts'

export interface Waiting {
  /** Resolves with the run once it is final, or as it is when the time is up or the caller has gone. */
  until<R extends { readonly state: RunState }>(
    runId: string,
    read: () => Promise<R>,
    timeoutMs: number,
    gone: AbortSignal,
  ): Promise<R>
  /** Called after the commit that settled a run. */
  settled(runId: string, kind: string, state: RunState): void
}

/** Another process may settle the run: polling is the promise, the signal only makes it quicker. */
const POLL_MS = 500

/** `count` hears of every run that this process settled, whoever waits for it. */
export function createWaiting(count: (kind: string, state: RunState) => void): Waiting {
  const waiters = new Map<string, Set<() => void>>()
  return {
    async until(runId, read, timeoutMs, gone) {
      const end = performance.now() + timeoutMs
      for (;;) {
        const run = await read()
        const left = end - performance.now()
        if (isFinal(run.state) || left <= 0 || gone.aborted) return run
        await new Promise<void>((resolve) => {
          const mine = waiters.get(runId) ?? new Set()
          waiters.set(runId, mine)
          const wake = () => {
            clearTimeout(timer)
            gone.removeEventListener('abort', wake)
            mine.delete(wake)
            if (mine.size === 0) waiters.delete(runId)
            resolve()
          }
          const timer = setTimeout(wake, Math.min(left, POLL_MS))
          gone.addEventListener('abort', wake)
          mine.add(wake)
        })
      }
    },
    settled(runId, kind, state) {
      count(kind, state)
      for (const wake of [...(waiters.get(runId) ?? [])]) wake()
    },
  }
}
