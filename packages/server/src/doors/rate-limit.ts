import { hash } from 'node:crypto'

/** Counts uses of a key in a sliding window. */
export interface RateLimit {
  /** Whether one more use is within the limit; if so it counts. Else the seconds after which one will be. `now` is of a steady clock. */
  take(key: string, now: number): { ok: true } | { ok: false; retryAfter: number }
}

/**
 * A sliding-window log of at most `max` uses in `windowMs`; 0 is no limit. Both are asked for at each use, because they may be changed.
 * Keys are hashed and forgotten when unused.
 */
export function createRateLimit(limit: () => { readonly max: number; readonly windowMs: number }): RateLimit {
  const uses = new Map<string, number[]>()
  let swept = 0
  return {
    take(key, now) {
      const { max, windowMs } = limit()
      if (max === 0) return { ok: true }
      if (now - swept > windowMs) {
        for (const [name, times] of uses) if (times.at(-1)! <= now - windowMs) uses.delete(name)
        swept = now
      }
      const name = hash('sha256', key, 'base64')
      const times = (uses.get(name) ?? []).filter((time) => time > now - windowMs)
      uses.set(name, times)
      if (times.length >= max) return { ok: false, retryAfter: Math.ceil((times.at(-max)! + windowMs - now) / 1_000) }
      times.push(now)
      return { ok: true }
    },
  }
}
