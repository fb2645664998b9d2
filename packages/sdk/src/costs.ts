import type { WorkResult } from '@writ/api'
import { TaskError } from './handlers.ts'

const NANOS = 1_000_000_000
/** Of one attempt. */
const MAX_USD = 10_000
const MAX_KINDS = 50
const WHAT = /^[\p{L}\p{N}_][\p{L}\p{N}_ .:/@+#-]{0,99}$/u

type Said = NonNullable<WorkResult['costs']>

/** What a task costs, until it is sent. Added up in billionths of a dollar, which are whole numbers: so sums are exact. */
export function createCosts() {
  const nanos = new Map<string | undefined, number>()
  const kinds = new Set<string | undefined>()
  let total = 0
  return {
    /** Throws TaskError: COST_INVALID. The server refuses the same. */
    add(usd: number, what?: string): void {
      if (typeof usd !== 'number' || !(usd >= 0 && usd <= MAX_USD))
        throw invalid(`A cost is a number of US dollars from 0 to ${MAX_USD}`)
      if (what !== undefined && (typeof what !== 'string' || !WHAT.test(what)))
        throw invalid(
          'What a cost is for has up to 100 letters, digits, spaces and _.:/@+#-, and begins with a letter or a digit',
        )
      if (kinds.size >= MAX_KINDS && !kinds.has(what))
        throw invalid(`An attempt pays for at most ${MAX_KINDS} different things`)
      const more = Math.round(usd * NANOS)
      if (total + more > MAX_USD * NANOS) throw invalid(`An attempt costs at most ${MAX_USD} US dollars`)
      total += more
      kinds.add(what)
      nanos.set(what, (nanos.get(what) ?? 0) + more)
    },
    /** What was said since it was last taken; it is the caller's now. */
    take(): { costs?: Said } {
      if (nanos.size === 0) return {}
      const costs = [...nanos].map(([what, sum]) => ({ usd: sum / NANOS, ...(what === undefined ? {} : { what }) }))
      nanos.clear()
      return { costs }
    },
    /** It was not kept after all. */
    giveBack({ costs = [] }: { costs?: Said }): void {
      for (const { usd, what } of costs) nanos.set(what, (nanos.get(what) ?? 0) + Math.round(usd * NANOS))
    },
  }
}

const invalid = (message: string) => new TaskError('COST_INVALID', message, { retryable: false })
