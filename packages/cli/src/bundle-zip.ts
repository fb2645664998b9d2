import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { pipeline, Readable } from 'node:stream'
import { createInflateRaw, inflateRawSync } from 'node:zlib'
import { type BundleFiles, type CreateSha256, type Inflate, openZip, type ZipBytes } from '@writ/tlog'

/** A zipped bundle on disk, as @writ/tlog reads it. */
export async function openZipFile(path: string): Promise<ZipBytes & AsyncDisposable> {
  const file = await open(path)
  const { size } = await file.stat()
  // A folder can be opened, too, and says that it is one when it is read.
  await file.read(Buffer.alloc(1), 0, 1, 0).catch(async (error: unknown) => {
    await file.close()
    throw error
  })
  return {
    size,
    async read(from, length) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, from)
      if (bytesRead < length) throw new Error(`${path} was cut while it was read`)
      return buffer
    },
    [Symbol.asyncDispose]: () => file.close(),
  }
}

/** The files of a zipped bundle. Throws as `openZip` does. */
export async function openBundle(path: string): Promise<BundleFiles & { close(): Promise<void> }> {
  const zip = await openZipFile(path)
  const close = async () => zip[Symbol.asyncDispose]()
  try {
    return { ...(await openZip(zip, { inflate, createSha256 })), close }
  } catch (error) {
    await close()
    throw error
  }
}

const AT_ONCE = 1024 * 1024

/** Bytes behind the end of what was deflated are passed over by Node, and are seen here by how many it read. */
export const inflate: Inflate = async function* (chunks, { packed, size }) {
  if (packed <= AT_ONCE && size <= AT_ONCE) {
    const all: Uint8Array[] = []
    for await (const chunk of chunks) all.push(chunk)
    // With `info` it answers what it read, too; its types do not know that.
    const { buffer, engine } = inflateRawSync(Buffer.concat(all), {
      info: true,
      maxOutputLength: Math.max(1, size),
    }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } }
    if (engine.bytesWritten !== packed) throw new Error('something stands behind its end')
    yield buffer
    return
  }
  const inflater = createInflateRaw()
  // What fails ends the stream that is read here, with its error.
  pipeline(Readable.from(chunks, { objectMode: false }), inflater, () => {})
  yield* inflater
  if (inflater.bytesWritten !== packed) throw new Error('something stands behind its end')
}

export const createSha256: CreateSha256 = () => createHash('sha256')
