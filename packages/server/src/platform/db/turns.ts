import { setImmediate as turn } from 'node:timers/promises'

/** Milliseconds in which statements follow each other without anybody else being answered. */
const TOGETHER = 20

/**
 * Of a connection whose calls are synchronous: a transaction of thousands of statements would keep the loop until its end, because
 * between them only promises are settled. So now and then a statement is answered a turn of the loop later than it was done. Nobody
 * else has the connection meanwhile, and statements are done in the order in which they are asked for.
 */
export interface Turns {
  /** A transaction begins, in a turn of its own. */
  begin(): void
  /** Asked when a statement was done: what to wait for before it is answered, if anything. */
  due(): Promise<void> | undefined
  /**
   * Resolves when nobody waits for a turn any more. What is to be undone has to be over: of statements that were asked for side by
   * side one may have failed while what belongs to another goes on.
   */
  quiet(): Promise<void>
}

export function createTurns(): Turns {
  let since = performance.now()
  let waiting = 0
  return {
    begin() {
      since = performance.now()
    },
    due() {
      if (performance.now() - since < TOGETHER) return undefined
      waiting++
      return turn().then(() => {
        waiting--
        since = performance.now()
      })
    },
    async quiet() {
      while (waiting > 0) await turn()
    },
  }
}
