/** How many by class of length. Eight classes for each doubling: what is told of a class is within 5 % of what was in it. */
export type Histogram = Readonly<Record<string, number>>

const PER_DOUBLING = 8

/** The class of a length in milliseconds; 0 is that of nothing. */
export const classOf = (ms: number): number => (ms < 1 ? 0 : 1 + Math.floor(Math.log2(ms) * PER_DOUBLING))

/** The length that stands for a class: the middle of it, by ratio. */
export const lengthOf = (of: number): number => (of === 0 ? 0 : Math.round(2 ** ((of - 0.5) / PER_DOUBLING)))

/** Adds up to `into`, which is changed. */
export function addTo(into: Record<string, number>, more: Histogram): void {
  // No array of pairs for each of tens of thousands of rows.
  for (const name in more) into[name] = (into[name] ?? 0) + more[name]!
}

/** The lengths that these shares of all stay under, in milliseconds; null of nothing. `shares` ascend. */
export function quantiles(histogram: Histogram, shares: readonly number[]): number[] | null {
  const classes = Object.entries(histogram)
    .map(([name, count]) => [Number(name), count] as const)
    .sort(([a], [b]) => a - b)
  const all = classes.reduce((sum, [, count]) => sum + count, 0)
  if (all === 0) return null
  const found: number[] = []
  let seen = 0
  for (const [name, count] of classes) {
    seen += count
    while (found.length < shares.length && seen >= shares[found.length]! * all) found.push(lengthOf(name))
  }
  return found
}
