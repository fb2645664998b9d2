import { type Database, inProject, type Tx } from './db/index.ts'

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

/** As `coalesce`, of what a project has: keys of one that are asked for together are looked for in one snapshot. */
export function coalesceIn<V>(
  db: Pick<Database, 'read'>,
  load: (tx: Tx, keys: readonly string[]) => Promise<ReadonlyMap<string, V>>,
) {
  const find = coalesce<V>(async (all) => {
    const found = new Map<string, V>()
    for (const [project, asked] of Map.groupBy(all, (key) => key.slice(0, key.indexOf(' ')))) {
      const keys = asked.map((key) => key.slice(project.length + 1))
      for (const [key, value] of await inProject(project, () => db.read((tx) => load(tx, keys))))
        found.set(`${project} ${key}`, value)
    }
    return found
  })
  return (project: string, key: string): Promise<V | undefined> => find(`${project} ${key}`)
}
