import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, link, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Download } from './download.ts'
import type { OnProgress, UploadSource } from './multipart.ts'

// What the SDK can do with files; for Node only.

/**
 * A file on disk as an upload, read as it is sent. `digest` answers the hex SHA-256 of what the last complete sending
 * read, for comparing with the server's; undefined before. Throws as `stat` does, and on anything but a regular file.
 */
export async function openFileSource(
  path: string,
  options: { name?: string; type?: string } = {},
): Promise<UploadSource & { digest(): string | undefined }> {
  const { size } = await regularFile(path)
  let digest: string | undefined
  return {
    name: options.name ?? basename(path),
    size,
    type: options.type,
    digest: () => digest,
    open() {
      digest = undefined
      const hash = createHash('sha256')
      const chunks: AsyncIterator<Uint8Array> = createReadStream(path, { highWaterMark: 256 * 1024 })[
        Symbol.asyncIterator
      ]()
      // Not Readable.toWeb: it counts chunks where it should count bytes, and reads a whole file ahead of the connection.
      return new ReadableStream<Uint8Array>(
        {
          async pull(controller) {
            const chunk = await chunks.next()
            if (chunk.done) {
              digest = hash.digest('hex')
              return controller.close()
            }
            hash.update(chunk.value)
            controller.enqueue(chunk.value)
          },
          async cancel() {
            await chunks.return?.()
          },
        },
        { highWaterMark: 0 },
      )
    },
  }
}

async function regularFile(path: string): Promise<{ size: number }> {
  const found = await stat(path)
  if (!found.isFile()) throw new Error(`${path} is not a regular file`)
  return { size: found.size }
}

/** Hex SHA-256 of a file, in constant memory. */
export async function digestFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) hash.update(chunk)
  return hash.digest('hex')
}

/** The bytes that came are not those that were announced. */
export class DigestMismatch extends Error {
  override readonly name = 'DigestMismatch'
  readonly expected: string
  readonly actual: string
  constructor(expected: string, actual: string) {
    super(`The bytes have SHA-256 ${actual}, not ${expected}`)
    this.expected = expected
    this.actual = actual
  }
}

/**
 * Writes a download to `path` in constant memory and compares its SHA-256 with `sha256`, or else with what the server
 * announced. Throws DigestMismatch, or an error with code EEXIST when `path` exists and `overwrite` is not set.
 *
 * The bytes go into `<path>.part-<n>` first: whoever finds `path` finds it whole and checked, also after a crash.
 */
export async function saveDownload(
  download: Download,
  path: string,
  options: { sha256?: string; overwrite?: boolean; onProgress?: OnProgress; signal?: AbortSignal } = {},
): Promise<{ bytes: number; sha256: string; checked: boolean }> {
  const part = join(dirname(path), `.${basename(path)}.part-${process.pid}`)
  try {
    if (!options.overwrite && (await exists(path))) throw taken(path)
    const result = await writeChecked(download, part, options)
    await (options.overwrite ? rename(part, path) : claimName(part, path))
    return result
  } catch (error) {
    await rm(part, { force: true })
    // After a failed write the connection is still sending.
    if (!download.stream.locked) await download.stream.cancel().catch(() => {})
    throw error
  }
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )

const taken = (path: string) => Object.assign(new Error(`${path} exists already`), { code: 'EEXIST' })

// Unlike rename, link refuses a name that somebody took since.
async function claimName(part: string, path: string): Promise<void> {
  try {
    await link(part, path)
    await rm(part)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') throw error
    // A file system without hard links.
    await rename(part, path)
  }
}

async function writeChecked(
  download: Download,
  part: string,
  options: { sha256?: string; onProgress?: OnProgress; signal?: AbortSignal },
): Promise<{ bytes: number; sha256: string; checked: boolean }> {
  const hash = createHash('sha256')
  const file = await open(part, 'w', 0o600)
  let bytes = 0
  try {
    for await (const chunk of download.stream) {
      options.signal?.throwIfAborted()
      hash.update(chunk)
      await file.writeFile(chunk)
      bytes += chunk.length
      options.onProgress?.({ bytes, size: download.size ?? bytes })
    }
    await file.sync()
  } finally {
    await file.close()
  }
  const sha256 = hash.digest('hex')
  const expected = options.sha256 ?? download.sha256
  if (expected !== null && expected !== sha256) throw new DigestMismatch(expected, sha256)
  return { bytes, sha256, checked: expected !== null }
}
