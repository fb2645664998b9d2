/** How many of something are under way at a time. */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>

/**
 * Lets `most` work at once, and the others in the order in which they came. Where that changes, fewer are let on until it is kept. What
 * fails holds up no other.
 */
export function createTurns(most: number | (() => number)): Turns {
  const mayBe = typeof most === 'number' ? () => most : most
  const waiting: (() => void)[] = []
  let working = 0
  return async (work) => {
    if (working < mayBe()) working++
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await work()
    } finally {
      working--
      while (waiting.length > 0 && working < mayBe()) {
        working++
        waiting.shift()!()
      }
    }
  }
}
