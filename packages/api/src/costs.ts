/**
 * What a cost may be, for everybody who says one and everybody who counts it. It imports nothing: `@writ/api/costs` is loaded by processes of
 * handlers and by workers, which need no schemas.
 */

/** Billionths in a dollar: sums are taken in them, because sums of whole numbers are exact. */
export const NANOS = 1_000_000_000
/** Of one attempt. */
const MAX_USD = 10_000
/** So many different things one attempt may pay for. */
const MAX_KINDS = 50
/** One word for one thing: what looks different is different, on every database. */
const WHAT = /^[\p{L}\p{N}_][\p{L}\p{N}_ .:/@+#-]{0,99}$/u
/** What one attempt paid for one thing, and what a run cost in all, is counted up to here: below it a sum is exact. */
export const MOST_NANOS = 1_000_000 * NANOS

/** Looks at costs as one attempt says them: what is wrong with the next, or null if nothing is. */
export function createCostCheck(): (usd: unknown, what: unknown) => string | null {
  const kinds = new Set<unknown>()
  let sum = 0
  return (usd, what) => {
    if (typeof usd !== 'number' || !(usd >= 0 && usd <= MAX_USD))
      return `A cost is a number of US dollars from 0 to ${MAX_USD}`
    if (what !== undefined && (typeof what !== 'string' || !WHAT.test(what)))
      return 'What a cost is for has up to 100 letters, digits, spaces and _.:/@+#-, and begins with a letter or a digit'
    if (kinds.size >= MAX_KINDS && !kinds.has(what)) return `An attempt pays for at most ${MAX_KINDS} different things`
    if (sum + nanosOf(usd) > MAX_USD * NANOS) return `An attempt costs at most ${MAX_USD} US dollars`
    kinds.add(what)
    sum += nanosOf(usd)
    return null
  }
}

/** To the next billionth: even one token costs more than that. */
export const nanosOf = (usd: number): number => Math.round(usd * NANOS)

/** The dollars of some nanos. Up to `MOST_NANOS` they have at most 15 digits, so what is written is exact. */
export const usdOf = (nanos: number): number => Math.min(nanos, MOST_NANOS) / NANOS

export const totalUsd = (all: readonly { readonly nanos: number }[]): number =>
  usdOf(all.reduce((sum, one) => sum + one.nanos, 0))
