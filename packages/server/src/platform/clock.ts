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

let said = { ms: Number.NaN, text: '' }

/** RFC 3339 in UTC with milliseconds. What happens in one request, and often in one group, has one time: it is kept. */
export function rfc3339(ms: number): string {
  if (ms !== said.ms) said = { ms, text: new Date(ms).toISOString() }
  return said.text
}
export const rfc3339OrNull = (ms: number | null): string | null => (ms === null ? null : rfc3339(ms))
