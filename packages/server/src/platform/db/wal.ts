import { closeSync, fdatasync, openSync } from 'node:fs'
import { DatabaseUnavailable } from './database.ts'

/** The write-ahead log of a SQLite file, brought to the disk beside what goes on. */
export interface Wal {
  /** Resolves when everything that was committed before the call is on the disk. Throws DatabaseUnavailable. */
  onDisk(): Promise<void>
  /** Whether something was committed, with `wrote`, that is not known to be on the disk. */
  readonly behind: boolean
  /** A transaction was committed. */
  wrote(): void
  /** Throws DatabaseUnavailable once a sync has failed. */
  refuseLost(): void
  /** Rejects when a sync has failed. */
  readonly broken: Promise<never>
  close(): Promise<void>
}

/**
 * SQLite would sync its log within COMMIT, and the loop would stand still meanwhile: a third of all time under load. So COMMIT
 * only writes (`synchronous = normal`), and the same sync is asked for here, in another thread, before anybody is answered. One
 * sync serves all commits before it; the log is one file that only grows between checkpoints, so what is on the disk is always
 * a whole number of transactions from the first on (https://sqlite.org/wal.html, sections 2.1 and 3.1).
 *
 * When a sync fails, what it was to save may be lost although the next one succeeds (https://wiki.postgresql.org/wiki/Fsync_Errors).
 * Nothing is committed any more then: the server has to be started again. The start goes on with what it can read: the last connection
 * that closes (`migrateSqlite`) carries the log into the database file, syncs that, and begins a new log, so that nothing that comes
 * later stands behind a gap.
 */
export function openWal(file: string): Wal {
  // SQLite holds no lock on this file, so closing it lets none go (https://sqlite.org/howtocorrupt.html, section 2.2).
  const log = openSync(`${file}-wal`, 'r+')
  let written = 0
  let saved = 0
  let running: Promise<void> | undefined
  let following: Promise<void> | undefined
  let lost: DatabaseUnavailable | undefined
  const broken = Promise.withResolvers<never>()
  broken.promise.catch(() => {}) // A tool looks at what it asked for.

  function sync(): Promise<void> {
    const upTo = written
    return new Promise((resolve, reject) =>
      fdatasync(log, (error) => {
        if (error) {
          lost ??= new DatabaseUnavailable(error)
          broken.reject(
            new Error(
              `The disk did not keep what the database was given (${error.message}). None of it was answered. Started again, Writ goes on with what the disk has.`,
              { cause: error },
            ),
          )
        } else saved = upTo
        running = undefined
        if (lost) reject(lost)
        else resolve()
      }),
    )
  }

  function onDisk(): Promise<void> {
    if (lost) return Promise.reject(lost)
    if (saved === written) return Promise.resolve()
    // The one under way may have begun before the newest commit.
    if (running) {
      following ??= running.then(() => {
        following = undefined
        return onDisk()
      })
      return following
    }
    running = sync()
    return running
  }

  return {
    onDisk,
    get behind() {
      return saved !== written
    },
    wrote() {
      written++
    },
    broken: broken.promise,
    refuseLost() {
      if (lost) throw lost
    },
    async close() {
      await onDisk().catch(() => {})
      closeSync(log)
    },
  }
}
