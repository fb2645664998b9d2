import { existsSync, renameSync } from 'node:fs'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { equalBytes } from '@writ/tlog'
import { type AfterStep, eachParallel, replaceFile, syncDirectory, writeSynced } from './durable-file.ts'
import { LogError } from './log-error.ts'
import { CHECKPOINT, isLogPath, type LogStore } from './log-store.ts'

// Node's pool has four threads; the others of a round wait there. One after another, each step of each file would wait for a turn of
// the event loop, and those are long where there is much to do.
const PARALLEL = 64

/** The files of a log below `dir`, to be read; nothing is created. */
export const createDiskReader = (dir: string): Pick<LogStore, 'read'> => ({
  read: (path) => (isLogPath(path) ? readIfThere(join(dir, path)) : Promise.resolve(null)),
})

/**
 * The files of a log below `dir`, which is created if missing: `checkpoint` and `tile/...` can be served as they are. One
 * process at a time may write. `after` is for tests only.
 */
export async function openDiskStore(dirGiven: string, after?: AfterStep): Promise<LogStore> {
  const dir = resolve(dirGiven)
  const temporary = join(dir, '.tmp')
  // Temporary files of a crashed call are no part of the log and nobody's to finish.
  await rm(temporary, { recursive: true, force: true })
  const firstMade = await mkdir(temporary, { recursive: true })
  // Names above `dir` that this call made; those from `dir` down are synced with the first entries.
  for (let made = dirname(dir); firstMade && made.startsWith(dirname(firstMade)); made = dirname(made)) {
    await syncDirectory(made)
    if (made === dirname(made)) break
  }
  // Directories whose own names are known to be durable: a directory made by a process that was killed may not be.
  const durable = new Set([dirname(dir)])

  async function add(files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    const present = new Set<string>()
    await eachParallel(files, PARALLEL, async ([path, bytes]) => {
      const there = existsSync(join(dir, path)) && (await readIfThere(join(dir, path)))
      if (!there) return
      // Other bytes would be a second history under one path. Better no log than two.
      if (!equalBytes(there, bytes)) throw new LogError('LOG_FORK', `${path} exists with other bytes`)
      present.add(path)
    })
    const missing = [...files]
      .filter(([path]) => !present.has(path))
      .map(([path, bytes]) => ({ path, bytes, temp: join(temporary, path.replaceAll('/', '_')) }))
    const directories = new Set([...files.keys()].map((path) => dirname(join(dir, path))))
    for (const directory of directories) if (!durable.has(directory)) await mkdir(directory, { recursive: true })
    after?.('directories-made')
    await eachParallel(missing, PARALLEL, ({ temp, bytes }) => writeSynced(temp, bytes))
    after?.('files-synced')
    for (const { path, temp } of missing) {
      renameSync(temp, join(dir, path))
      after?.(`renamed ${path}`)
    }
    // Also for files met again: the crash may have come after their rename and before this.
    const made = new Set<string>()
    for (const directory of directories) {
      for (let child = directory; !durable.has(child) && !made.has(child); child = dirname(child)) made.add(child)
    }
    const unsynced = new Set([...directories, ...[...made].map((directory) => dirname(directory))])
    await eachParallel(unsynced, PARALLEL, syncDirectory)
    for (const directory of made) durable.add(directory)
    after?.('directories-synced')
  }

  // Undefined until the checkpoint is first read or written here.
  let seen: Uint8Array | null | undefined

  async function read(path: string): Promise<Uint8Array | null> {
    const bytes = isLogPath(path) ? await readIfThere(join(dir, path)) : null
    if (path === CHECKPOINT) seen = bytes
    return bytes
  }

  /**
   * A file system knows no condition, so looking and renaming are two steps: what is refused is a leader that was paused
   * before it looked. One paused between the two puts an older checkpoint in place until the next one is published.
   */
  async function isPublished(given: Uint8Array | string): Promise<boolean> {
    const before = seen === undefined ? await read(CHECKPOINT) : seen
    const there = await readIfThere(join(dir, CHECKPOINT))
    const same = there === null || before === null ? there === before : equalBytes(there, before)
    if (same) return false
    // Published already, and then an answer was lost on the way.
    if (there && equalBytes(there, typeof given === 'string' ? Buffer.from(given) : given)) return true
    throw new LogError('LOG_FORK', 'another leader has published a checkpoint meanwhile')
  }

  async function replace(path: string, bytes: Uint8Array | string): Promise<void> {
    const file = join(dir, path)
    if (path === CHECKPOINT) {
      const done = await isPublished(bytes)
      seen = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
      if (done) return
    }
    if (dirname(file) !== dir) {
      await mkdir(dirname(file), { recursive: true })
      await syncDirectory(dir)
    }
    await replaceFile(file, bytes, { after: after && ((step) => after(`${path}-${step}`)) })
  }

  async function dropPartials(fullTiles: readonly string[]): Promise<void> {
    await eachParallel(fullTiles, PARALLEL, async (tile) => {
      const partials = `${join(dir, tile)}.p`
      await rm(partials, { recursive: true, force: true })
      durable.delete(partials)
    })
  }

  async function dropTiles(): Promise<void> {
    await rm(join(dir, 'tile'), { recursive: true, force: true })
    await syncDirectory(dir)
  }

  return { read, add, replace, dropPartials, dropTiles, close: async () => {} }
}

async function readIfThere(path: string): Promise<Uint8Array | null> {
  try {
    return await readFile(path)
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')
}
