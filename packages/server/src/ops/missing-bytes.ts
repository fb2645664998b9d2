import type { Blobs } from '../platform/blobs/index.ts'
import { type Database, inProject } from '../platform/db/index.ts'
import { listServedDigests } from '../runs/index.ts'

const PAGE = 500
/** Asked for at once: enough to hide the latency of a remote store. */
const LANES = 16

export interface MissingBytes {
  readonly project: string
  readonly sha256: string
}

/** What artifacts have that the database serves, and the store has not. Reads no bytes. Throws BlobStoreUnavailable, DatabaseUnavailable. */
export async function* missingBytes(on: {
  readonly db: Database
  readonly blobs: Blobs
  readonly projects: readonly string[]
  readonly signal: AbortSignal | undefined
}): AsyncGenerator<MissingBytes> {
  for (const project of on.projects)
    for (let after = ''; ; ) {
      const digests = await inProject(project, () => on.db.read((tx) => listServedDigests(tx, after, PAGE)))
      for (let at = 0; at < digests.length; at += LANES) {
        on.signal?.throwIfAborted()
        const some = digests.slice(at, at + LANES)
        const found = await Promise.all(some.map((sha256) => on.blobs.stat(project, sha256)))
        for (const [i, sha256] of some.entries()) if (found[i] === undefined) yield { project, sha256 }
      }
      if (digests.length < PAGE) break
      after = digests.at(-1)!
    }
}
