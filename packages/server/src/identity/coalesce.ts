interface Waiting<V> {
  resolve(value: V | undefined): void
  reject(error: unknown): void
}

/**
 * Joins lookups asked for in one turn of the event loop into one call: `load` gets the distinct keys and answers what it
 * found, by key. Nothing is kept: the next turn asks again, so what changed meanwhile is seen.
 */
export function coalesce<V>(load: (keys: readonly string[]) => Promise<ReadonlyMap<string, V>>) {
  let waiting = new Map<string, Waiting<V>[]>()

  async function flush() {
    const asked = waiting
    waiting = new Map()
    try {
      const found = await load([...asked.keys()])
      for (const [key, callers] of asked) for (const caller of callers) caller.resolve(found.get(key))
    } catch (error) {
      for (const callers of asked.values()) for (const caller of callers) caller.reject(error)
    }
  }

  return (key: string): Promise<V | undefined> =>
    new Promise((resolve, reject) => {
      if (waiting.size === 0) setImmediate(flush)
      const callers = waiting.get(key)
      if (callers) callers.push({ resolve, reject })
      else waiting.set(key, [{ resolve, reject }])
    })
}
