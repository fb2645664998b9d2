import { accessSync, constants, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'

/** A SQLite file cannot be opened, or has changed while it was read as one that does not; the message is a sentence that names it. */
export class SqliteFileRefused extends Error {
  override name = 'SqliteFileRefused'
}

/** Opens a file to be read and written; one that is not there is made. Throws SqliteFileRefused. */
export function openToWrite(file: string, timeout: number): DatabaseSync {
  return opened(file, () => new DatabaseSync(file, { timeout }))
}

/** A file that is read. Throws SqliteFileRefused. */
export interface FileToRead {
  open(): DatabaseSync
  /** Throws SqliteFileRefused where what was read since may be of several moments. */
  requireUnchanged(): void
}

/**
 * How a file can be read where it is. SQLite keeps a log beside it (`-wal`) and an index of that (`-shm`), which it makes where
 * there are none. In a folder in which it cannot, on a snapshot that is mounted read-only or for an auditor who may only read, a database
 * without a log is opened as one that does not change, which is wrong as soon as a server starts on it, and looked at afterwards.
 */
export function fileToRead(file: string, timeout: number, writable = isWritable(file)): FileToRead {
  const plain = { open: () => opened(file, () => new DatabaseSync(file, { readOnly: true, timeout })) }
  if (writable || sizeOf(`${file}-shm`) !== undefined) return { ...plain, requireUnchanged: () => {} }
  if ((sizeOf(`${file}-wal`) ?? 0) > 0)
    return {
      open() {
        throw new SqliteFileRefused(
          `${file} cannot be read in ${dirname(file)}, where nothing can be written: its log ${file}-wal is there without ${file}-shm. Copy the folder to a place where files can be made, and name that one.`,
        )
      },
      requireUnchanged: () => {},
    }
  const fixed = pathToFileURL(file)
  fixed.searchParams.set('immutable', '1')
  const stateOf = () => {
    const { mtimeNs, size } = statSync(file, { bigint: true })
    return `${mtimeNs} ${size} ${sizeOf(`${file}-wal`) ?? 0}`
  }
  const before = stateOf()
  return {
    open: () => opened(file, () => new DatabaseSync(fixed, { readOnly: true, timeout })),
    requireUnchanged() {
      if (stateOf() === before) return
      throw new SqliteFileRefused(
        `${file} has changed while it was read: a server was started on it. Do the same once more, or with a copy that nothing writes to.`,
      )
    },
  }
}

/** Whether SQLite can keep what it needs beside this file. */
export const isWritable = (file: string): boolean => may(file, constants.W_OK) && may(dirname(file), constants.W_OK)

function may(file: string, how: number): boolean {
  try {
    accessSync(file, how)
    return true
  } catch (error) {
    // Nothing is there yet: what comes next says so.
    return codeOf(error) === 'ENOENT'
  }
}

function sizeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.size
}

/** SQLite looks at a file when it is asked for the first time, and says of one that it cannot open not which. */
function opened(file: string, open: () => DatabaseSync): DatabaseSync {
  let database: DatabaseSync | undefined
  try {
    database = open()
    database.prepare('pragma schema_version').get()
    return database
  } catch (cause) {
    database?.close()
    const why = may(file, constants.R_OK)
      ? isWritable(file)
        ? ''
        : ' Nothing can be written there by the user that this runs as.'
      : ' It may not be read by the user that this runs as.'
    throw new SqliteFileRefused(
      `The database ${file} cannot be opened: ${cause instanceof Error ? cause.message : String(cause)}.${why}`,
      { cause },
    )
  }
}

const codeOf = (error: unknown) => (error instanceof Error && 'code' in error ? error.code : undefined)
