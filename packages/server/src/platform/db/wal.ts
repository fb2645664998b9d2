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
  close(): Promise<void>
}

/**
 * SQLite would sync its log within COMMIT, and the loop would stand still meanwhile: a third of all time under load. So COMMIT
 * only writes (`synchronous = normal`), and the same sync is asked for here, in another thread, before anybody is answered. One
 * sync serves all commits before it; the log is one file that only grows between checkpoints, so what is on the disk is always
 * a whole number of transactions from the first on (https://sqlite.org/wal.html, sections 2.1 and 3.1).
 *
 * When a sync fails, what it was to save may be lost although the next one succeeds. Nothing is committed any more then: the
 * server has to be started again, and finds what the disk has.
 */
export function openWal(file: string): Wal {
  // SQLite holds no lock on this file, so closing it lets none go (https://sqlite.org/howtocorrupt.html, section 2.2).
  const log = openSync(`${file}-wal`, 'r+')
  let written = 0
  let saved = 0
  let running: Promise<void> | undefined
  let following: Promise<void> | undefined
  let lost: DatabaseUnavailable | undefined

  function sync(): Promise<void> {
    const upTo = written
    return new Promise((resolve, reject) =>
      fdatasync(log, (error) => {
        if (error) lost ??= new DatabaseUnavailable(error)
        else saved = upTo
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
    refuseLost() {
      if (lost) throw lost
    },
    async close() {
      await onDisk().catch(() => {})
      closeSync(log)
    },
  }
}
