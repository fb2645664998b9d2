import { hash } from 'node:crypto'
import { type Actor, append } from '../audit/index.ts'
import { type Caller, personOf } from '../identity/index.ts'
import { type BlobRef, type Blobs, removeBytes } from '../platform/blobs/index.ts'
import type { Clock } from '../platform/clock.ts'
import { type Database, inProject, type Tx, takeNumbers } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import type { Finding } from '../platform/redact/index.ts'
import { refuseIfHeld } from '../tickets/index.ts'
import * as store from './store.ts'

/** What is known of a file besides its bytes. */
export interface Labels {
  readonly filename: string
  readonly contentType: string | null
  readonly artifactType: string | null
  readonly role?: 'before' | 'after' | null
  readonly description?: string | null
  readonly expectedSha256?: string | null
  /** What its bytes seem to hold; undefined where nobody looked. */
  readonly findings?: readonly Finding[] | undefined
  /** The person who brought it; null for what the system made. */
  readonly uploadedBy: string | null
}

/**
 * Records bytes that the blob store already has as an artifact of a run, with the event that says so. Answers its id.
 * Stopped before the commit: a blob that nothing names. It stays: an older database that is put back may name it.
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
    findings: labels.findings ? JSON.stringify(labels.findings) : null,
  })
  await append(tx, now, by, {
    type: 'artifact.uploaded',
    resource: { type: 'artifact', id, number },
    action: `Uploaded artifact: ${filename}`,
    details: {
      run_id: run.id,
      number,
      filename,
      size_bytes: blob.size,
      sha256_hash: blob.sha256,
      artifact_type: artifactType,
      ...(labels.findings?.length ? { flagged: labels.findings.map((finding) => finding.kind) } : {}),
    },
    run: { id: run.id, seq: await store.nextEvent(tx, run.id) },
  })
  return id
}

/** SHA-256 of a document, in hex. */
export const digestOf = (text: string | Uint8Array): string => hash('sha256', text, 'hex')

/** The runs of a file: its own, and those that check it again. Throws LEGAL_HOLD where a hold keeps it. */
export async function runsUnlessHeld(tx: Tx, artifact: store.ArtifactRow): Promise<readonly string[]> {
  const runs = await store.listRunsOf(tx, artifact)
  await refuseIfHeld(tx, { runs, ticket: (await store.findRun(tx, artifact.run_id))?.ticket_id ?? null })
  return runs
}

/** What an audit event belongs to: its run, or what it is about, with the ticket of either. For legal holds. */
export async function belongingOf(
  tx: Tx,
  event: { run_id: string | null; resource_type: string | null; resource_id: string | null },
): Promise<{ ticket: string | null; runs: readonly string[] }> {
  const { resource_type: type, resource_id: id } = event
  if (type === 'ticket') return { ticket: id, runs: [] }
  const artifact = type === 'artifact' && id !== null ? await store.findArtifact(tx, id) : undefined
  const run = event.run_id ?? artifact?.run_id ?? (type === 'run' ? id : null)
  return {
    ticket: run === null ? null : ((await store.findRun(tx, run))?.ticket_id ?? null),
    runs: artifact ? await store.listRunsOf(tx, artifact) : run === null ? [] : [run],
  }
}

/**
 * Erases the bytes of an artifact on demand: hash and record stay, so what was proven about it stays provable. All artifacts
 * of the project with the same bytes are erased, because the bytes are one. Answers how many, and the runs that they are evidence of.
 *
 * Stopped after the commit: `removeErasedBytes` of a later minute takes the bytes away.
 */
export async function eraseArtifact(
  tx: Tx,
  caller: Caller,
  artifact: store.ArtifactRow,
  ground: string,
): Promise<{ erased: number; runs: readonly string[] }> {
  const same = await store.listSameBytes(tx, artifact.sha256)
  const runs: string[] = []
  for (const one of same) runs.push(...(await runsUnlessHeld(tx, one)))
  await store.markErased(tx, artifact.sha256, personOf(caller), caller.at)
  for (const one of same)
    await append(tx, caller.at, caller, {
      type: 'artifact.erased',
      resource: { type: 'artifact', id: one.id, number: one.number },
      action: `Erased the bytes of artifact: ${one.filename}`,
      details: { run_id: one.run_id, filename: one.filename, sha256_hash: one.sha256, ground },
      run: { id: one.run_id, seq: await store.nextEvent(tx, one.run_id) },
    })
  return { erased: same.length, runs }
}

/** Takes erased bytes out of the store, unless the same were uploaded anew meanwhile or are about to be. */
export async function removeErasedBytes(
  on: { db: Database; blobs: Pick<Blobs, 'remove'>; clock: Clock },
  project: string,
): Promise<void> {
  await inProject(project, async () => {
    for (const sha256 of await on.db.read(store.listBytesToRemove))
      await removeBytes(on, project, sha256, {
        isFree: (tx) => store.areErased(tx, sha256),
        gone: (tx, now) => store.markBytesGone(tx, sha256, now),
      })
  })
}
