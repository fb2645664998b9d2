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
  // Times of uses, the oldest first. Those before `from` are over: a limit may be a million, and each is looked at once.
  const uses = new Map<string, { times: number[]; from: number }>()
  let swept = 0
  return {
    take(key, now) {
      const { max, windowMs } = limit()
      if (max === 0) return { ok: true }
      if (now - swept > windowMs) {
        for (const [name, { times }] of uses) if (times.at(-1)! <= now - windowMs) uses.delete(name)
        swept = now
      }
      const name = hash('sha256', key, 'base64')
      const used = uses.get(name) ?? { times: [], from: 0 }
      uses.set(name, used)
      const { times } = used
      while (used.from < times.length && times[used.from]! <= now - windowMs) used.from++
      if (used.from > times.length / 2) {
        times.splice(0, used.from)
        used.from = 0
      }
      if (times.length - used.from >= max)
        return { ok: false, retryAfter: Math.ceil((times.at(-max)! + windowMs - now) / 1_000) }
      times.push(now)
      return { ok: true }
    },
  }
}
