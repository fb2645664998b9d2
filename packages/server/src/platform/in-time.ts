import { setTimeout as sleep } from 'node:timers/promises'

/** What the work comes to, or `late` where it takes longer than so many milliseconds. It goes on then, and nobody hears of its end. */
export async function inTime<T, L>(work: Promise<T>, ms: number, late: L): Promise<T | L> {
  const patience = new AbortController()
  const over = sleep(ms, late, { ref: false, signal: patience.signal }).catch(() => late)
  try {
    return await Promise.race([work, over])
  } finally {
    patience.abort()
  }
}
