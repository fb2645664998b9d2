import { createHash } from 'node:crypto'
import { AppError } from '../platform/app-error.ts'
import type { Clock } from '../platform/clock.ts'

export interface ThrottleLimits {
  readonly perName: number
  readonly perAddress: number
  readonly windowMs: number
}
const defaultThrottleLimits: ThrottleLimits = { perName: 10, perAddress: 50, windowMs: 300_000 }

// Attempts that are being checked count too, or a burst would go through before the first failure is known. The bound
// is wider, because a busy client may log in many times at once with the right password.
const IN_FLIGHT_FACTOR = 5
const KEYS = 20_000
const REPORT_MS = 60_000

export interface Throttle {
  /** Admits one attempt or throws RATE_LIMITED, alike for accounts that exist and that do not. */
  admit(name: string, address: string): { failed(): void; succeeded(): void; dropped(): void }
  /** What was refused since the last report, at most once a minute; undefined when there is nothing to say. */
  report(force?: boolean): { refused: number; names: number; addresses: number } | undefined
}

/**
 * Slows down guessing: failures in a sliding window, by a hash of the typed name and by address. Nothing is locked for
 * ever, and a right password clears the name. In memory and bounded: each server counts for itself, and the oldest
 * key is forgotten first. By the steady clock: when the wall clock is set back, nobody is shut out until it is there again.
 */
export function createThrottle(clock: Clock, limits: ThrottleLimits = defaultThrottleLimits): Throttle {
  const names = createWindow(limits.perName, limits.windowMs)
  const addresses = createWindow(limits.perAddress, limits.windowMs)
  let refused = { count: 0, names: new Set<string>(), addresses: new Set<string>() }
  let reportedAt = Number.NEGATIVE_INFINITY

  return {
    admit(name, address) {
      const now = clock.steady()
      const key = createHash('sha256').update(name.toLowerCase()).digest('base64url')
      const wait = Math.max(names.wait(key, now), addresses.wait(address, now))
      if (wait > 0) {
        refused.count++
        if (refused.names.size < KEYS) refused.names.add(key)
        if (refused.addresses.size < KEYS) refused.addresses.add(address)
        throw new AppError('RATE_LIMITED', {}, { headers: { 'retry-after': String(Math.ceil(wait / 1000)) } })
      }
      names.enter(key)
      addresses.enter(address)
      let open = true
      const leave = () => {
        if (!open) return false
        open = false
        names.leave(key)
        addresses.leave(address)
        return true
      }
      return {
        failed() {
          if (!leave()) return
          names.fail(key, clock.steady())
          addresses.fail(address, clock.steady())
        },
        succeeded() {
          if (leave()) names.forget(key)
        },
        dropped() {
          leave()
        },
      }
    },
    report(force = false) {
      const now = clock.steady()
      if (refused.count === 0 || (!force && now - reportedAt < REPORT_MS)) return undefined
      const report = { refused: refused.count, names: refused.names.size, addresses: refused.addresses.size }
      refused = { count: 0, names: new Set(), addresses: new Set() }
      reportedAt = now
      return report
    },
  }
}

function createWindow(limit: number, windowMs: number) {
  const seen = new Map<string, { failures: number[]; inFlight: number }>()
  const entryOf = (key: string) => {
    let entry = seen.get(key)
    if (!entry) {
      if (seen.size >= KEYS) seen.delete(seen.keys().next().value!)
      entry = { failures: [], inFlight: 0 }
      seen.set(key, entry)
    }
    return entry
  }
  return {
    /** Milliseconds until the next attempt is admitted; 0 for now. */
    wait(key: string, now: number): number {
      const entry = seen.get(key)
      if (!entry) return 0
      while (entry.failures.length > 0 && entry.failures[0]! <= now - windowMs) entry.failures.shift()
      if (entry.failures.length >= limit) return entry.failures[entry.failures.length - limit]! + windowMs - now
      return entry.failures.length + entry.inFlight >= limit * IN_FLIGHT_FACTOR ? 1000 : 0
    },
    enter(key: string) {
      entryOf(key).inFlight++
    },
    leave(key: string) {
      const entry = seen.get(key)
      if (!entry) return
      entry.inFlight = Math.max(0, entry.inFlight - 1)
      if (entry.inFlight === 0 && entry.failures.length === 0) seen.delete(key)
    },
    fail(key: string, now: number) {
      entryOf(key).failures.push(now)
    },
    forget(key: string) {
      const entry = seen.get(key)
      if (entry) entry.failures.length = 0
    },
  }
}
