import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { makeFolder } from './make-folder.ts'

/**
 * Holds a data directory for this process alone. The lock is SQLite's own file lock on a database that holds nothing:
 * the kernel releases it when the process ends, however it ends, so there is no stale lock to clean up.
 * Throws with a sentence when another process holds it.
 */
export function lockDataDir(dataDir: string): { release(): void } {
  makeFolder(dataDir, 0o700)
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(join(dataDir, 'server.lock'), { timeout: 0 })
    database.exec('pragma locking_mode = exclusive; begin exclusive')
  } catch (error) {
    database?.close()
    if (isBusy(error))
      throw new Error(
        `Another Writ server uses the data directory ${dataDir}. Stop it, or give this one another WRIT_DATA_DIR.`,
        { cause: error },
      )
    const said = error instanceof Error ? error.message : String(error)
    throw new Error(`The data directory ${dataDir} cannot be held for this process alone: server.lock, ${said}.`, {
      cause: error,
    })
  }
  const held = database
  return { release: () => held.close() }
}

/** SQLITE_BUSY: somebody else holds the lock. */
const isBusy = (error: unknown): boolean => error instanceof Error && 'errcode' in error && error.errcode === 5
