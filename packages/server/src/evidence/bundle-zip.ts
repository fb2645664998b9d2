import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { BUNDLE_NAMESPACE, formatSshSignature, parsePem, sshSigned } from '@writ/tlog'
import yazl from 'yazl'
import { type Keys, sha256, sha512 } from '../audit/index.ts'
import type { BundleFile } from './bundle.ts'

/**
 * Packs the files of a bundle, with the manifest over all of them and its signature last. One file at a time, each only as
 * fast as the reader takes it: memory does not grow with the bundle. A source that fails, fails the stream: a zip that
 * ends early has no directory and opens nowhere.
 */
export function zipBundle(
  files: AsyncIterable<BundleFile>,
  on: { keys: Pick<Keys, 'manifest'>; at: number; signal?: AbortSignal },
): Readable {
  const zip = new yazl.ZipFile()
  // yazl types it as the interface; it is a stream of Node.
  const out = zip.outputStream as Readable
  const mtime = new Date(on.at)
  const sums: string[] = []

  async function add({ path, body, executable }: BundleFile): Promise<void> {
    const digest = createHash('sha256')
    const source = body instanceof Uint8Array ? [body] : await body()
    const stream = Readable.from(
      (async function* () {
        for await (const chunk of source) {
          on.signal?.throwIfAborted()
          digest.update(chunk)
          yield chunk
        }
      })(),
      { objectMode: false },
    )
    zip.addReadStream(stream, path, { mtime, mode: executable ? 0o100755 : 0o100644, compress: true })
    // A reader that has gone asks for nothing more: without the signal this would wait for ever, with the source open.
    await finished(stream, on.signal ? { signal: on.signal } : {}).catch((error: unknown) => {
      stream.destroy()
      throw error
    })
    sums.push(`${digest.digest('hex')}  ${path}\n`)
  }

  async function pack(): Promise<void> {
    for await (const file of files) await add(file)
    const manifest = Buffer.from(sums.sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join(''))
    const { manifest: key } = on.keys
    const hashAlgorithm = 'sha512'
    const signature = key.sign(sshSigned(manifest, BUNDLE_NAMESPACE, { sha256, sha512 }, hashAlgorithm))
    const spki = parsePem(key.publicPem)
    const sig = formatSshSignature({ spki, namespace: BUNDLE_NAMESPACE, hashAlgorithm, signature })
    zip.addBuffer(manifest, 'SHA256SUMS', { mtime, mode: 0o100644 })
    zip.addBuffer(Buffer.from(sig), 'SHA256SUMS.sig', { mtime, mode: 0o100644 })
    zip.end()
  }

  zip.on('error', (error: Error) => out.destroy(error))
  pack().catch((error: unknown) => out.destroy(error instanceof Error ? error : new Error(String(error))))
  return out
}
