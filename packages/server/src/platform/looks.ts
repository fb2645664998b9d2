import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Waiting for something in the database by looking again and again. Those who wait for the same share each look, and all wake at the
 * same moment, so a thousand who wait cost as much as one.
 */
export interface Looks {
  /**
   * What `look` answers, as soon as it is `found`, or as it is when `signal` aborts; looks at least once. `key` names what is looked
   * at: whoever gives the same may get the answer to the other's look.
   */
  until<T>(key: string, look: () => Promise<T>, found: (seen: T) => boolean, signal: AbortSignal): Promise<T>
}

export function createLooks(pollMs: number): Looks {
  const asked = new Map<string, Promise<unknown>>()
  let tick: Promise<void> | undefined

  function once<T>(key: string, look: () => Promise<T>): Promise<T> {
    const same = asked.get(key)
    // By its key it is an answer to the same question.
    if (same) return same as Promise<T>
    const answer = look()
    asked.set(key, answer)
    answer.finally(() => asked.delete(key)).catch(() => {})
    return answer
  }

  function nextTick(): Promise<void> {
    tick ??= sleep(pollMs, undefined, { ref: false }).then(() => {
      tick = undefined
    })
    return tick
  }

  return {
    async until(key, look, found, signal) {
      for (;;) {
        const seen = await once(key, look)
        if (found(seen) || signal.aborted) return seen
        await orAborted(nextTick(), signal)
        if (signal.aborted) return seen
      }
    },
  }
}

function orAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      signal.removeEventListener('abort', end)
      resolve()
    }
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
    work.then(end, end)
  })
}
