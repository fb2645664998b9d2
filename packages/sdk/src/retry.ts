import { ConnectionLost, WritError } from './errors.ts'

/** When a call is sent again, and how patiently. */
export interface RetryRules {
  /** Sendings in all, the first included. */
  readonly attempts: number
  /** Milliseconds before the second sending; doubled for each further one. */
  readonly base_ms: number
  /** Longest wait in milliseconds; a `Retry-After` beyond it is not waited for. */
  readonly cap_ms: number
  /** A number in [0, 1); replaced in tests. */
  readonly random: () => number
}

export const defaultRetry: RetryRules = { attempts: 4, base_ms: 250, cap_ms: 20_000, random: Math.random }

/**
 * Whether a failed call may be sent again. `repeatable` says that a second arrival of the same request does no more
 * than the first: reads, and recorded POSTs, whose Idempotency-Key makes the server answer the first answer again.
 *
 * 429 and 503 with `Retry-After` promise that nothing was done, so they are repeated for every call.
 */
export function shouldRetry(error: unknown, call: { repeatable: boolean; retryAfter: string | null }): boolean {
  if (error instanceof ConnectionLost) return call.repeatable
  if (!(error instanceof WritError)) return false
  if (error.status === 429 || error.status === 503) return call.retryAfter !== null
  // Our own first sending, whose answer was lost, is still being worked on.
  return error.code === 'IDEMPOTENCY_IN_FLIGHT' && call.repeatable
}

/**
 * Milliseconds to wait before sending `attempt` + 1 (attempts count from 1), or undefined if the server asks for more
 * patience than the rules allow. Exponential with factor 2 and jitter of +-25 %; never less than `Retry-After`.
 */
export function retryDelay(
  rules: RetryRules,
  attempt: number,
  answer: { retryAfter: string | null; date: string | null },
): number | undefined {
  const asked = answer.retryAfter === null ? 0 : parseRetryAfter(answer.retryAfter, answer.date)
  if (asked > rules.cap_ms) return undefined
  const grown = Math.min(rules.cap_ms, rules.base_ms * 2 ** (attempt - 1))
  const jittered = grown * (0.75 + rules.random() * 0.5)
  // Everybody was told the same Retry-After: the jitter goes on top of it, or all come back at once.
  return asked > 0 ? asked + jittered * 0.25 : jittered
}

// RFC 9110 section 10.2.3: seconds, or an HTTP date, which is read by the server's own clock: ours may be wrong.
function parseRetryAfter(value: string, date: string | null): number {
  if (/^\d+$/.test(value.trim())) return Number(value) * 1000
  const wait = Date.parse(value) - Date.parse(date ?? '')
  return Number.isNaN(wait) ? 0 : Math.max(0, wait)
}

/** Resolves after `ms`; rejects with the signal's reason as soon as it aborts. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const give = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', give)
      resolve()
    }, ms)
    signal?.addEventListener('abort', give, { once: true })
  })
}
