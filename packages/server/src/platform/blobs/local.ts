/**
 * Blobs as files. A blob's path comes into being by link(2) of a finished, fsynced temporary file, so it is never seen half-written.
 *
 * Stopped while writing: a temporary file is left, and the next open sweeps it. Stopped after the link: the blob is whole and durable, or,
 * before its folder's fsync, perhaps gone; nobody was told of it yet either way.
 */
import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import * as fs from 'node:fs/promises'
import { hostname } from 'node:os'
import path from 'node:path'
import { makeFolder } from '../make-folder.ts'
import {
  BlobMissing,
  type BlobRange,
  type BlobRef,
  BlobStoreUnavailable,
  type Blobs,
  blobPath,
  type PutOptions,
  projectFolder,
  resolveRange,
} from './blobs.ts'
import { giveOut, takeIn } from './streams.ts'

export type LocalSettings = {
  /** The store's folder; made if it is not there. */
  dir: string
  /** How old a temporary file of another host must be, in milliseconds, before open removes it. Default: a day. */
  sweepAfterMs?: number
}

const DAY_MS = 86_400_000
/** Chunks are gathered up to this before one writev: fewer trips to the thread pool. */
const WRITE_BYTES = 1024 * 1024
/** Every so many bytes the file is flushed while more comes in; one fsync of a GiB at the end would hold the answer for seconds. */
const FLUSH_BYTES = 16 * 1024 * 1024
const READ_BYTES = 256 * 1024
/** Marks a folder as a store. Gone while we run: the volume was unmounted, and "no such blob" would be a lie. */
const MARKER = '.writ-blobs'
const TEMPORARY = '.tmp'
/** Told apart from an earlier process with the same number: in a container every server is number 1. */
const LIFE = randomUUID()

/** @throws BlobStoreUnavailable if the folder cannot be made or written */
export async function openLocalBlobs(settings: LocalSettings): Promise<Blobs> {
  const root = path.resolve(settings.dir)
  const temporaries = path.join(root, TEMPORARY)
  // Folders whose own directory entry is known to be durable. Blobs' folders are never removed, so this stays true.
  const durable = new Set<string>()

  const temporaryFile = () => path.join(temporaries, [hostname(), process.pid, LIFE, randomUUID()].join('~'))

  /** What a failing system call means here; ENOENT of a blob in a store that is still there is for the caller to judge. */
  async function refusal(error: unknown): Promise<Error> {
    if (await exists(path.join(root, MARKER))) return unavailable(error)
    return new BlobStoreUnavailable('the store is not there any more', error)
  }

  async function absent(sha256: string): Promise<Error> {
    if (await exists(path.join(root, MARKER))) return new BlobMissing(sha256)
    return new BlobStoreUnavailable('the store is not there any more')
  }

  async function put(project: string, stream: AsyncIterable<Uint8Array>, options: PutOptions): Promise<BlobRef> {
    projectFolder(project)
    const intake = takeIn(stream, options)
    const temporary = temporaryFile()
    const system = <T>(call: Promise<T>) => call.catch(async (error) => Promise.reject(await refusal(error)))
    const file = await system(fs.open(temporary, 'wx', 0o440)).catch(async (error) => {
      await stream[Symbol.asyncIterator]().return?.() // the source is given up on every failure, this one too
      throw error
    })
    try {
      try {
        await writeAll(file, intake.chunks, system)
        await system(file.sync())
      } finally {
        await file.close()
      }
      const ref = intake.ref()
      await options.coming?.(ref)
      await system(publish(project, ref, temporary))
      return ref
    } finally {
      await fs.rm(temporary, { force: true }).catch(() => {}) // the store is lost, or the next open sweeps it
    }
  }

  /** Makes the finished temporary file visible under its digest, durably. */
  async function publish(project: string, ref: BlobRef, temporary: string): Promise<void> {
    const target = path.join(root, blobPath(project, ref.sha256))
    const folder = path.dirname(target)
    await fs.mkdir(folder, { recursive: true, mode: 0o750 })
    try {
      await fs.link(temporary, target)
    } catch (error) {
      const code = codeOf(error)
      if (code !== 'EEXIST' && !NO_LINKS.has(code)) throw error
      // There already: the same bytes, unless the disk lost some. Then, and where links cannot be had, the new file takes the place.
      if (await holds(target, ref)) return syncFolders(folder)
      await fs.rename(temporary, target)
    }
    await syncFolders(folder)
  }

  /** Makes the entries from the store's root down to this folder durable, and the folder's own content. */
  async function syncFolders(folder: string): Promise<void> {
    for (let at = folder; at !== root && !durable.has(at); at = path.dirname(at)) await syncFolder(path.dirname(at))
    if (durable.size > 100_000) durable.clear()
    for (let at = folder; at !== root; at = path.dirname(at)) durable.add(at)
    await syncFolder(folder)
  }

  async function open(project: string, sha256: string, range: BlobRange = {}) {
    const file = await fs.open(path.join(root, blobPath(project, sha256)), 'r').catch(async (error) => {
      throw codeOf(error) === 'ENOENT' ? await absent(sha256) : await refusal(error)
    })
    try {
      const { size } = await file.stat()
      const { start, end, whole } = resolveRange(range, size)
      // An empty blob has no last byte to name, and createReadStream takes none for "one byte".
      const limits = size === 0 ? {} : { start, end }
      const source = createReadStream('', { fd: file, ...limits, highWaterMark: READ_BYTES })
      return giveOut(source, whole ? sha256 : undefined, end - start + 1, unavailable)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async function stat(project: string, sha256: string): Promise<BlobRef | undefined> {
    try {
      const { size } = await fs.stat(path.join(root, blobPath(project, sha256)))
      return { sha256, size }
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw await asRefusal(error)
      const reason = await absent(sha256)
      if (reason instanceof BlobMissing) return undefined
      throw reason
    }
  }

  const asRefusal = (error: unknown) => (codeOf(error) ? refusal(error) : Promise.resolve(error))

  async function remove(project: string, sha256: string): Promise<boolean> {
    const target = path.join(root, blobPath(project, sha256))
    try {
      await fs.unlink(target)
      await syncFolder(path.dirname(target)) // erased must mean erased, after a power cut too
      return true
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw await refusal(error)
      const reason = await absent(sha256)
      if (reason instanceof BlobMissing) return false
      throw reason
    }
  }

  async function* list(project: string): AsyncGenerator<BlobRef> {
    const top = path.join(root, projectFolder(project))
    const names = async (folder: string) => {
      try {
        return (await fs.readdir(folder)).sort()
      } catch (error) {
        if (codeOf(error) === 'ENOENT' && (await exists(path.join(root, MARKER)))) return []
        throw await refusal(error)
      }
    }
    for (const first of await names(top)) {
      for (const second of await names(path.join(top, first))) {
        for (const sha256 of await names(path.join(top, first, second))) {
          const ref = await stat(project, sha256)
          if (ref) yield ref
        }
      }
    }
  }

  async function check(): Promise<void> {
    const probe = temporaryFile()
    try {
      // A full disk still makes empty files: the probe has to have bytes, and they have to arrive.
      const file = await fs.open(probe, 'wx', 0o440)
      await file
        .writeFile('probe')
        .then(() => file.sync())
        .finally(() => file.close())
    } catch (error) {
      throw await refusal(error)
    } finally {
      await fs.rm(probe, { force: true }).catch(() => {})
    }
  }

  try {
    makeFolder(temporaries, 0o750)
    // Written once: a backup may hold this very file by a hard link.
    await fs
      .writeFile(path.join(root, MARKER), 'A Writ blob store. Do not change anything in it.\n', { flag: 'wx' })
      .catch((error: unknown) => {
        if (codeOf(error) !== 'EEXIST') throw error
      })
    await syncFolder(root)
    await sweep(temporaries, settings.sweepAfterMs ?? DAY_MS)
  } catch (error) {
    throw codeOf(error) ? unavailable(error) : error
  }
  return { put, open, stat, remove, list, check, close: async () => {} }
}

/** Writes chunks in large batches, the next batch filling (and being hashed) while the one before is on its way to the disk. */
async function writeAll(
  file: fs.FileHandle,
  chunks: AsyncIterable<Uint8Array>,
  system: <T>(call: Promise<T>) => Promise<T>,
): Promise<void> {
  let batch: Uint8Array[] = []
  let batched = 0
  let unflushed = 0
  let writing: Promise<unknown> = Promise.resolve()
  let flushing: Promise<unknown> = Promise.resolve()
  const send = async () => {
    await writing
    const sent = batch
    const bytes = batched
    batch = []
    batched = 0
    writing = writeFully(file, sent)
    writing.catch(() => {}) // awaited above at the next batch, or below
    unflushed += bytes
    if (unflushed < FLUSH_BYTES) return
    await writing
    await flushing
    unflushed = 0
    flushing = file.datasync()
    flushing.catch(() => {}) // likewise
  }
  try {
    for await (const chunk of chunks) {
      batch.push(chunk)
      batched += chunk.length
      if (batched >= WRITE_BYTES) await system(send())
    }
    if (batched > 0) await system(send())
    await system(Promise.all([writing, flushing]))
  } finally {
    // The caller closes the file next; nothing may still be using it.
    await Promise.allSettled([writing, flushing])
  }
}

/** writev(2) may write less than it was given, on a nearly full disk for one; the rest has to follow or fail. */
async function writeFully(file: fs.FileHandle, parts: Uint8Array[]): Promise<void> {
  let rest = parts
  while (rest.length > 0) {
    let { bytesWritten } = await file.writev(rest)
    const left: Uint8Array[] = []
    for (const part of rest) {
      if (bytesWritten >= part.length) bytesWritten -= part.length
      else {
        left.push(part.subarray(bytesWritten))
        bytesWritten = 0
      }
    }
    rest = left
  }
}

/** True if the file is exactly this blob. */
async function holds(file: string, ref: BlobRef): Promise<boolean> {
  const intake = takeIn(createReadStream(file, { highWaterMark: READ_BYTES }), { maxBytes: ref.size })
  try {
    for await (const _ of intake.chunks);
    return intake.ref().sha256 === ref.sha256
  } catch (error) {
    const code = codeOf(error)
    if (code && code !== 'ENOENT' && code !== 'EIO') throw error
    return false // longer than it should be, unreadable, or removed just now
  }
}

/**
 * Removes what earlier processes left half-written. Another host may share the folder and its pids mean nothing here, so there age decides,
 * measured against a file made now: by the file system's own clock, whatever ours says.
 */
async function sweep(folder: string, olderThanMs: number): Promise<void> {
  const clock = path.join(folder, [hostname(), process.pid, LIFE, randomUUID()].join('~'))
  await fs.writeFile(clock, '')
  const now = (await fs.stat(clock)).mtimeMs
  await fs.rm(clock, { force: true })
  for (const name of await fs.readdir(folder)) {
    const [host, pid, life] = name.split('~')
    const file = path.join(folder, name)
    if (life === LIFE) continue
    const stale = host === hostname() ? !isAlive(Number(pid)) : await isOlder(file, now - olderThanMs)
    if (stale) await fs.rm(file, { force: true })
  }
}

async function isOlder(file: string, than: number): Promise<boolean> {
  try {
    return (await fs.stat(file)).mtimeMs <= than
  } catch {
    return false // swept by another server that is starting too
  }
}

/** Our own number from an earlier life counts as dead: that process cannot be running. */
function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0 || pid === process.pid) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await fs.open(folder, 'r')
  await handle.sync().finally(() => handle.close())
}

async function exists(file: string): Promise<boolean> {
  try {
    await fs.access(file)
    return true
  } catch {
    return false
  }
}

/** File systems without hard links (some network and FUSE mounts). */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** Every system call that fails here fails because of the store: full, over quota, read-only, broken, unmounted. */
function unavailable(error: unknown): Error {
  if (error instanceof BlobStoreUnavailable) return error
  return new BlobStoreUnavailable(codeOf(error) || 'unknown', error)
}
