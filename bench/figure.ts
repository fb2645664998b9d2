/** One line of `npm run bench -- <suite> --json`. */
export interface Figure {
  readonly suite: string
  readonly figure: string
  readonly mode: string
  readonly ours: number
  readonly peer: string | null
  readonly peer_value: number | null
  readonly ratio: number | null
  readonly unit: string
  /** Interleaved runs behind the medians. */
  readonly runs: number
  /** What the product owes; `ratio` of figures with a peer, else `ours`. */
  readonly goal: { readonly at_least?: number; readonly at_most?: number } | null
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export const round = (value: number, digits = 3): number => Number(value.toPrecision(digits))

export const met = (figure: Figure): boolean => {
  const value = figure.ratio ?? figure.ours
  return (
    (figure.goal?.at_least === undefined || value >= figure.goal.at_least) &&
    (figure.goal?.at_most === undefined || value <= figure.goal.at_most)
  )
}
