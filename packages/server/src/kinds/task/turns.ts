/** How many questions of a handler are under way at a time. */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>

/** Lets `most` work at once, and the others in the order in which they came. What fails holds up no other. */
export function createTurns(most: number): Turns {
  const waiting: (() => void)[] = []
  let working = 0
  return async (work) => {
    if (working < most) working++
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else working--
    }
  }
}
