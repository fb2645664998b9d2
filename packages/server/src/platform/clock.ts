/** The one source of time: wall time in integer milliseconds, and timers that tests can drive. */
export interface Clock {
  now(): number
  /** Milliseconds since some moment, whatever somebody sets the wall time to. */
  steady(): number
}

export const systemClock: Clock = { now: () => Date.now(), steady: () => performance.now() }

/** A clock that stands still until time passes (`advance`), or somebody sets it (`set`, by a difference); for tests. */
export function createFakeClock(
  start = Date.UTC(2026, 0, 5, 8),
): Clock & { advance(ms: number): void; set(ms: number): void } {
  let now = start
  let steady = 0
  return {
    now: () => now,
    steady: () => steady,
    advance(ms) {
      now += ms
      steady += ms
    },
    set(ms) {
      now += ms
    },
  }
}

/**
 * Answers a look at the clock, to be taken now and then: when somebody set the wall time by `toleratedMs` or more since the look before,
 * it calls `set` with the time that would have been (`from`) and the one that is (`to`). At the first look nothing is known, and the
 * two are the same. A `set` that throws is called again at the next look.
 */
export function watchClock(
  clock: Clock,
  toleratedMs: number,
): (now: number, set: (change: { readonly from: number; readonly to: number }) => Promise<void>) => Promise<void> {
  /** How far the wall time was from the clock that only goes forward. */
  let apart: number | null = null
  return async (now, set) => {
    const before = apart
    apart = now - clock.steady()
    if (before !== null && Math.abs(apart - before) < toleratedMs) return
    try {
      await set({ from: before === null ? now : now - (apart - before), to: now })
    } catch (error) {
      apart = before
      throw error
    }
  }
}

/** What happens together has few times: the texts of the last ones are kept. */
const said = new Map<number, string>()

/** RFC 3339 in UTC with milliseconds. */
export function rfc3339(ms: number): string {
  let text = said.get(ms)
  if (text === undefined) {
    if (said.size >= 64) said.clear()
    text = new Date(ms).toISOString()
    said.set(ms, text)
  }
  return text
}
export const rfc3339OrNull = (ms: number | null): string | null => (ms === null ? null : rfc3339(ms))
