import { setImmediate as turn } from 'node:timers/promises'

/** Milliseconds. A change waits for the database several times, and so much of a round fits into one of those pauses. */
const LEAST = 0.6
/** Of the time that everybody else took meanwhile. */
const SHARE = 0.5

/**
 * For work on thousands of entries, tens of milliseconds in which nobody else would be answered: asked after each entry, it says
 * when to let everybody else go first, as a promise to wait for. Where others take long, because there is much to do, a round may
 * take its share of it at a time, or it would never end.
 */
export function createSlices(): () => Promise<void> | undefined {
  let began = performance.now()
  let length = LEAST
  return () => {
    const now = performance.now()
    if (now - began < length) return undefined
    return turn().then(() => {
      began = performance.now()
      length = Math.max(LEAST, (began - now) * SHARE)
    })
  }
}
