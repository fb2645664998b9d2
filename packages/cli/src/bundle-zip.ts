import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { type BundleFiles, checkZip } from '@writ/tlog'
import yauzl from 'yauzl'

/** Of a file that is read at once; files of evidence, which may be of any size, are only hashed. */
const MOST_READ = 64 * 1024 * 1024

/**
 * The files of a zipped bundle, read from the archive as they are asked for. Throws an Error with a sentence on anything
 * that is no plain archive: names that leave it or repeat, links, encrypted files, anything that its directory does not name. So does reading a file that unpacks to
 * more than could be meant.
 */
export async function openBundle(path: string): Promise<BundleFiles & { close(): void }> {
  await refuseAmbiguous(path)
  // Names are checked by the library: relative, with slashes, without "..".
  const zip = await yauzl.openPromise(path, { lazyEntries: true, autoClose: false, strictFileNames: true })
  try {
    const entries = new Map<string, yauzl.Entry>()
    for await (const entry of zip.eachEntry()) {
      const name = entry.fileName
      // The upper half is the Unix mode; 0o120000 is a link.
      const isLink = ((entry.externalFileAttributes >>> 16) & 0o170000) === 0o120000
      if (entries.has(name)) throw new Error(`the archive has ${name} twice`)
      if (isLink) throw new Error(`${name} of the archive is a link`)
      if (entry.isEncrypted()) throw new Error(`${name} of the archive is encrypted`)
      if (!name.endsWith('/')) entries.set(name, entry)
    }
    const chunksOf = async function* (name: string): AsyncGenerator<Buffer> {
      try {
        yield* await zip.openReadStreamPromise(entries.get(name)!)
      } catch (cause) {
        // What inflates says ("invalid distance too far back") tells nobody which file it is.
        const why = cause instanceof Error ? cause.message : String(cause)
        throw new Error(`the archive is damaged at ${name} (${why})`, { cause })
      }
    }
    return {
      names: [...entries.keys()],
      async read(name) {
        // The library lets nothing come out that is longer than what its entry says.
        if (entries.get(name)!.uncompressedSize > MOST_READ)
          throw new Error(`${name} of the archive is larger than ${MOST_READ / 1024 / 1024} MiB; only evidence is`)
        const chunks: Buffer[] = []
        for await (const chunk of chunksOf(name)) chunks.push(chunk)
        return new Uint8Array(Buffer.concat(chunks))
      },
      async sha256(name) {
        const digest = createHash('sha256')
        for await (const chunk of chunksOf(name)) digest.update(chunk)
        return digest.digest('hex')
      },
      close: () => zip.close(),
    }
  } catch (error) {
    zip.close()
    throw error
  }
}

async function refuseAmbiguous(path: string): Promise<void> {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    await checkZip({
      size,
      async read(from, length) {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, from)
        if (bytesRead < length) throw new Error('the archive ends too early')
        return buffer
      },
    })
  } finally {
    await file.close()
  }
}
