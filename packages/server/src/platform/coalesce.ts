interface Waiting<V> {
  resolve(value: V | undefined): void
  reject(error: unknown): void
}

/**
 * Joins lookups asked for in one turn of the event loop, or while an earlier call is under way, into one call: `load` gets the
 * distinct keys and answers what it found, by key. Nothing is kept: every key is looked for after it was asked for, so what
 * changed before is seen.
 */
export function coalesce<V>(load: (keys: readonly string[]) => Promise<ReadonlyMap<string, V>>) {
  let waiting = new Map<string, Waiting<V>[]>()
  let loading = false

  async function flush() {
    const asked = waiting
    waiting = new Map()
    loading = true
    try {
      const found = await load([...asked.keys()])
      for (const [key, callers] of asked) for (const caller of callers) caller.resolve(found.get(key))
    } catch (error) {
      for (const callers of asked.values()) for (const caller of callers) caller.reject(error)
    } finally {
      loading = false
      if (waiting.size > 0) setImmediate(flush)
    }
  }

  return (key: string): Promise<V | undefined> =>
    new Promise((resolve, reject) => {
      if (waiting.size === 0 && !loading) setImmediate(flush)
      const callers = waiting.get(key)
      if (callers) callers.push({ resolve, reject })
      else waiting.set(key, [{ resolve, reject }])
    })
}
