import { createHash } from 'node:crypto'
import { addAbortSignal, Readable } from 'node:stream'
import { BUNDLE_NAMESPACE, formatSshSignature, parsePem, sshSigned } from '@writ/tlog'
import { createSlices, type Keys, sha256, sha512 } from '../audit/index.ts'
import type { BundleFile } from './bundle.ts'
import { type ZipFile, zipped } from './zip.ts'

/**
 * Packs the files of a bundle, with the manifest over all of them and its signature last. One file at a time, each only as
 * fast as the reader takes it: memory does not grow with the bundle. A source that fails, fails the stream: a zip that
 * ends early has no directory and opens nowhere.
 */
export function zipBundle(
  files: AsyncIterable<BundleFile>,
  on: { keys: Pick<Keys, 'manifest'>; at: number; signal?: AbortSignal },
): Readable {
  const out = Readable.from(zipped(withManifest(files, on), new Date(on.at)), { objectMode: false })
  // A reader that has gone asks for nothing more: without the signal this would wait for ever, with the source open.
  return on.signal ? addAbortSignal(on.signal, out) : out
}

async function* withManifest(
  files: AsyncIterable<BundleFile>,
  on: { keys: Pick<Keys, 'manifest'>; signal?: AbortSignal },
): AsyncGenerator<ZipFile> {
  const sums: string[] = []
  const slices = createSlices()
  for await (const { body, ...file } of files) {
    const digest = createHash('sha256')
    if (body instanceof Uint8Array) {
      digest.update(body)
      yield { ...file, body }
    } else yield { ...file, body: digested(await body(), digest, on.signal) }
    sums.push(`${digest.digest('hex')}  ${file.path}\n`)
    on.signal?.throwIfAborted()
    // Small files that are all there already would come without a pause for anybody else.
    const others = slices()
    if (others) await others
  }
  const manifest = Buffer.from(sums.sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join(''))
  const { manifest: key } = on.keys
  const hashAlgorithm = 'sha512'
  const signature = key.sign(sshSigned(manifest, BUNDLE_NAMESPACE, { sha256, sha512 }, hashAlgorithm))
  const spki = parsePem(key.publicPem)
  const sig = formatSshSignature({ spki, namespace: BUNDLE_NAMESPACE, hashAlgorithm, signature })
  yield { path: 'SHA256SUMS', body: manifest }
  yield { path: 'SHA256SUMS.sig', body: Buffer.from(sig) }
}

async function* digested(
  source: AsyncIterable<Uint8Array>,
  digest: { update(bytes: Uint8Array): unknown },
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    signal?.throwIfAborted()
    digest.update(chunk)
    yield chunk
  }
}
