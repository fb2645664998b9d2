import { createHash } from 'node:crypto'
import { type Actor, append } from '../audit/index.ts'
import type { BlobRef } from '../platform/blobs/index.ts'
import { type Tx, takeNumbers } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import * as store from './store.ts'

/** What is known of a file besides its bytes. */
export interface Labels {
  readonly filename: string
  readonly contentType: string | null
  readonly artifactType: string | null
  readonly role?: 'before' | 'after' | null
  readonly description?: string | null
  readonly expectedSha256?: string | null
  /** The person who brought it; null for what the system made. */
  readonly uploadedBy: string | null
}

/**
 * Records bytes that the blob store already has as an artifact of a run, with the event that says so. Answers its id.
 * Stopped before the commit: a blob that nothing names, which collection removes.
 */
export async function recordArtifact(
  tx: Tx,
  by: Actor,
  run: Pick<store.RunRow, 'id' | 'number'>,
  labels: Labels,
  blob: BlobRef,
  now: number,
): Promise<string> {
  const { filename, artifactType } = labels
  const id = uuidv7(now)
  const number = await takeNumbers(tx, 'artifacts', 1)
  await store.insertArtifact(tx, {
    id,
    number,
    run_id: run.id,
    run_number: run.number,
    filename,
    content_type: labels.contentType,
    artifact_type: artifactType,
    role: labels.role ?? null,
    description: labels.description ?? null,
    expected_sha256: labels.expectedSha256 ?? null,
    size_bytes: blob.size,
    sha256: blob.sha256,
    store: 'default',
    uploaded_by_id: labels.uploadedBy,
    created_at: now,
  })
  await append(tx, now, by, {
    type: 'artifact.uploaded',
    resource: { type: 'artifact', id, number },
    action: `Uploaded artifact: ${filename}`,
    details: { run_id: run.id, filename, size_bytes: blob.size, sha256_hash: blob.sha256, artifact_type: artifactType },
    run: { id: run.id, seq: await store.nextEvent(tx, run.id) },
  })
  return id
}

/** SHA-256 of a document, in hex. */
export const digestOf = (text: string | Uint8Array): string => createHash('sha256').update(text).digest('hex')
