/** The one source of time: wall time in integer milliseconds, and timers that tests can drive. */
export interface Clock {
  now(): number
}

export const systemClock: Clock = { now: () => Date.now() }

/** A clock that stands still until moved; for tests. */
export function createFakeClock(start = Date.UTC(2026, 0, 5, 8)): Clock & { advance(ms: number): void } {
  let now = start
  return {
    now: () => now,
    advance(ms) {
      now += ms
    },
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
