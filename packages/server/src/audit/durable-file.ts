import { closeSync, fsync, openSync, renameSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'

const synced = promisify(fsync)

// A file is either its old or its new self after a crash, and the new self for good once its directory is synced.

/** For tests: called with the name of each step just done. What it throws stops the work there, as a crash would. */
export type AfterStep = (step: string) => void

/** Replaces a file: written beside it, fsynced, renamed over it, directory fsynced. `mode` applies to the new file. */
export async function replaceFile(
  path: string,
  bytes: Uint8Array | string,
  { mode = 0o644, after }: { mode?: number; after?: AfterStep | undefined } = {},
): Promise<void> {
  // One fixed name: the owner of the file is its only writer, and the next write covers what a crash left here.
  const temporary = `${path}.tmp`
  await writeSynced(temporary, bytes, mode)
  after?.('temp-synced')
  renameSync(temporary, path)
  after?.('renamed')
  await syncDirectory(dirname(path))
  after?.('directory-synced')
}

/** Writes a file and fsyncs it; its directory is the caller's to sync. An existing file is emptied first. */
export async function writeSynced(path: string, bytes: Uint8Array | string, mode = 0o644): Promise<void> {
  const file = await open(path, 'w', mode)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Makes names created, renamed or removed in a directory durable. Windows cannot open directories and needs no such call. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const directory = openSync(path, 'r')
  try {
    await synced(directory)
  } finally {
    closeSync(directory)
  }
}

/** Runs one task per item, at most `width` at a time. Waits for all before it throws the first error. */
export async function eachParallel<T>(
  items: Iterable<T>,
  width: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items]
  const failures: unknown[] = []
  async function drain(): Promise<void> {
    for (let item = queue.shift(); item !== undefined && failures.length === 0; item = queue.shift()) {
      try {
        await task(item)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, queue.length) }, drain))
  if (failures.length > 0) throw failures[0]
}
