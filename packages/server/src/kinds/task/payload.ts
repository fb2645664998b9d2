import type { BlobRef, Blobs } from '../../platform/blobs/index.ts'

/** JSON texts up to this stand in the row, longer ones in the blob store under their digest. */
export const INLINE_BYTES = 8 * 1024

/** The JSON value of a text that stands in the row, or else under its digest in the blob store. Undefined if there is none. */
export async function readJson(
  blobs: Blobs,
  project: string,
  text: string | null,
  sha256: string | null,
): Promise<unknown> {
  if (text !== null) return JSON.parse(text)
  if (sha256 === null) return undefined
  const chunks: Buffer[] = []
  for await (const chunk of await blobs.open(project, sha256)) chunks.push(chunk as Buffer)
  return JSON.parse(Buffer.concat(chunks).toString('utf8'))
}

/** Stores a JSON text as a blob. Stopped after it and before the row that names it: a blob that nothing names. */
export async function keepJson(blobs: Blobs, project: string, bytes: Buffer): Promise<BlobRef> {
  const one = async function* () {
    yield bytes
  }
  return blobs.put(project, one(), { maxBytes: bytes.length })
}
