import { type Blobs, untilNotGoing } from '../../platform/blobs/index.ts'
import type { Clock } from '../../platform/clock.ts'
import { type Database, inProject } from '../../platform/db/index.ts'
import type { Payloads } from './sealed.ts'
import { announcePayload } from './store-retention.ts'

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

interface Stored {
  readonly text: string | null
  readonly sha256: string | null
  readonly sealed: string | null
}

type Places = { readonly blobs: Blobs; readonly payloads: Payloads }

/** The input of a task as it was given, secrets included: for whoever is to do it. Undefined if there is none. */
export const readInput = (
  on: Places,
  project: string,
  row: { readonly input: string | null; readonly input_sha256: string | null; readonly input_sealed: string | null },
): Promise<unknown> => readExact(on, project, { text: row.input, sha256: row.input_sha256, sealed: row.input_sealed })

/** The result of a task as its work gave it, secrets included: for whoever asked. Undefined if there is none. */
export const readResult = (
  on: Places,
  project: string,
  row: { readonly result: string | null; readonly output_sha256: string | null; readonly result_sealed: string | null },
): Promise<unknown> =>
  readExact(on, project, { text: row.result, sha256: row.output_sha256, sealed: row.result_sealed })

async function readExact(on: Places, project: string, { text, sha256, sealed }: Stored): Promise<unknown> {
  if (sealed === null) return readJson(on.blobs, project, text, sha256)
  return JSON.parse(on.payloads.open(project, sealed, sha256!))
}

/**
 * Stores a JSON text as a blob, under its digest. It is announced before, so that nobody removes the same bytes on behalf of a task that
 * was dropped, and whoever is at it is waited for. Stopped after it and before the row that names it: a blob that nobody names, which retention removes.
 * Throws BlobStoreUnavailable.
 */
export async function keepJson(
  on: { readonly db: Database; readonly blobs: Blobs; readonly clock: Clock },
  project: string,
  payload: { readonly bytes: Buffer; readonly sha256: string },
): Promise<void> {
  await inProject(project, () => on.db.write((tx) => announcePayload(tx, payload.sha256, on.clock.now())))
  await untilNotGoing(on, project, payload.sha256)
  const one = async function* () {
    yield payload.bytes
  }
  await on.blobs.put(project, one(), { maxBytes: payload.bytes.length })
}
