import type { Artifact } from '@writ/api'
import { append } from '../audit/index.ts'
import { type Caller, loadPolicy, personOf } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import {
  BlobAbandoned,
  type BlobRef,
  BlobStoreUnavailable,
  type Blobs,
  BlobTooLarge,
  endComing,
  expectBytes,
  touchComing,
} from '../platform/blobs/index.ts'
import type { Clock } from '../platform/clock.ts'
import type { Database, Tx } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { createScanner, type Finding, personalKinds } from '../platform/redact/index.ts'
import type { Queue } from '../queue/index.ts'
import type { Ref } from '../tickets/index.ts'
import { recordArtifact } from './artifact.ts'
import { announcedBy, expectedAs, missingOf, namesOf } from './expected.ts'
import { dequeueCheck, enqueueCheck } from './lane.ts'
import { showArtifact } from './show.ts'
import { runToWorkOn } from './start.ts'
import * as store from './store.ts'

const TOUCH_EVERY_MS = 15_000

export interface UploadSettings {
  readonly maxBytes: number
  readonly limitMb: number
  /** From the last upload to the check, in milliseconds. */
  readonly settleMs: number
}

export interface Upload {
  readonly runRef: Ref
  readonly filename: string
  readonly contentType: string | null
  readonly artifactType: string | null
  readonly description: string | null
  readonly role: 'before' | 'after' | null
  /** What the caller says the bytes hash to. */
  readonly expectedSha256: string | null
  readonly bytes: AsyncIterable<Uint8Array>
  /** True if the part was cut short. */
  abandoned(): boolean
  readonly signal: AbortSignal
}

/**
 * Takes one file into a run, in three steps:
 *
 * 1. The upload is announced, so that no check starts while it is under way. Stopped here: the announcement dies after
 *    a minute without a touch.
 * 2. The bytes go to the store, hashed on the way; before they are seen there, whoever removes the same is waited for. Stopped here: a
 *    blob that nothing names. It stays: an older database that is put back may name it.
 * 3. Artifact, evidence, audit event and the coming check are one transaction. Only then is the caller answered.
 *
 * `change` is the caller's write, which also keeps the answer under the Idempotency-Key.
 */
export async function takeUpload(
  on: {
    db: Database
    queue: Queue
    blobs: Blobs
    clock: Clock
    settings: UploadSettings
    project: string
  },
  caller: Caller,
  upload: Upload,
  change: <T>(work: (tx: Tx) => Promise<T>, blob: BlobRef) => Promise<T>,
): Promise<{ artifact: Artifact; message: string }> {
  const { db, clock, settings } = on
  const id = uuidv7(clock.now())
  const { run, policy } = await db.write(async (tx) => {
    const found = await runToTakeEvidence(tx, caller, upload)
    await store.openUpload(tx, { id, run_id: found.id, now: clock.now() })
    return { run: found, policy: await loadPolicy(tx) }
  })
  let coming: { sha256: string; holder: string } | undefined
  const touching = setInterval(() => {
    db.write(async (tx) => {
      await store.touchUpload(tx, id, clock.now())
      if (coming) await touchComing(tx, coming, clock.now())
    }).catch(() => {})
  }, TOUCH_EVERY_MS)
  try {
    const { blob, findings } = await storeBytes(on, upload, policy.artifact_scan === 'refuse', async ({ sha256 }) => {
      coming = { sha256, holder: id }
      await expectBytes(on, on.project, coming)
    })
    return await change(async (tx) => {
      if (!(await endComing(tx, { sha256: blob.sha256, holder: id })))
        throw new BlobStoreUnavailable('the same bytes may have been removed meanwhile')
      // The run may have been cancelled or have expired meanwhile; the check cannot have started.
      await runToTakeEvidence(tx, caller, { ...upload, runRef: run.id })
      const artifact = await keep(tx, caller, run, upload, { blob, findings }, clock.now())
      await store.closeUpload(tx, id)
      await scheduleCheck(on.queue, tx, run, clock.now(), settings.settleMs)
      return { artifact, message: 'Artifact uploaded successfully' }
    }, blob)
  } catch (error) {
    await db
      .write(async (tx) => {
        await store.closeUpload(tx, id)
        if (coming) await endComing(tx, coming)
        if (error instanceof AppError && error.code === 'SECRET_IN_ARTIFACT')
          await recordRefusal(tx, caller, run, upload, error)
        const held = await store.findRun(tx, run.id)
        if (held?.waiting_for === 'evidence') await scheduleCheck(on.queue, tx, held, clock.now(), settings.settleMs)
      })
      .catch(() => {})
    throw error
  } finally {
    clearInterval(touching)
  }
}

async function runToTakeEvidence(
  tx: Tx,
  caller: Caller,
  upload: Pick<Upload, 'runRef' | 'filename' | 'role'>,
): Promise<store.RunRow> {
  const run = await runToWorkOn(tx, caller, upload.runRef, 'ARTIFACT_UPLOAD_DENIED')
  if (run.state !== 'pending' || run.waiting_for !== 'evidence') throw new AppError('RUN_SETTLED')
  const announced = announcedBy(run)
  if (announced.length > 0 && !expectedAs(announced, upload))
    throw new AppError('ARTIFACT_UNEXPECTED', { expected: namesOf(announced) })
  return run
}

/** Bytes go to the store as they are; on the way they are hashed and looked at. With `refuse`, those with a secret are not kept. */
async function storeBytes(
  on: { blobs: Blobs; settings: UploadSettings; project: string },
  upload: Upload,
  refuse: boolean,
  coming: (ref: BlobRef) => Promise<void>,
): Promise<{ blob: BlobRef; findings: readonly Finding[] }> {
  const scanner = createScanner()
  const looked = async function* () {
    for await (const chunk of upload.bytes) {
      scanner.push(chunk)
      yield chunk
    }
  }
  let findings: readonly Finding[] = []
  let refused = false
  try {
    const blob = await on.blobs.put(on.project, looked(), {
      maxBytes: on.settings.maxBytes,
      signal: upload.signal,
      // The last moment at which the bytes can go without a trace: nothing names them yet.
      abandoned() {
        findings = scanner.end()
        refused = refuse && secretsIn(findings).length > 0
        return refused || upload.abandoned()
      },
      coming,
    })
    return { blob, findings }
  } catch (error) {
    if (refused) throw new AppError('SECRET_IN_ARTIFACT', { kinds: secretsIn(findings).join(', ') }, { cause: error })
    if (error instanceof BlobTooLarge)
      throw new AppError('ARTIFACT_TOO_LARGE', { limit: on.settings.limitMb }, { headers: { connection: 'close' } })
    if (error instanceof BlobAbandoned || upload.signal.aborted)
      throw new AppError('UPLOAD_INTERRUPTED', {}, { cause: error })
    throw error
  }
}

const secretsIn = (findings: readonly Finding[]): string[] =>
  findings.map((finding) => finding.kind).filter((kind) => !personalKinds.has(kind))

async function recordRefusal(
  tx: Tx,
  caller: Caller,
  run: store.RunRow,
  upload: Upload,
  refusal: AppError,
): Promise<void> {
  await append(tx, caller.at, caller, {
    type: 'artifact.refused',
    resource: { type: 'run', id: run.id, number: run.number },
    action: `Refused artifact: ${upload.filename}`,
    details: { filename: upload.filename },
    success: false,
    error: refusal.message,
    run: { id: run.id, seq: await store.nextEvent(tx, run.id) },
  })
}

async function keep(
  tx: Tx,
  caller: Caller,
  run: store.RunRow,
  upload: Upload,
  stored: { blob: BlobRef; findings: readonly Finding[] },
  now: number,
): Promise<Artifact> {
  const announced = announcedBy(run)
  const file = { filename: upload.filename, role: upload.role, sha256: stored.blob.sha256 }
  const left = announced.length === 0 ? [] : missingOf(announced, await store.listEvidence(tx, run.id))
  const expected = expectedAs(left, file) ?? expectedAs(announced, file)
  const labels = {
    ...upload,
    role: upload.role ?? expected?.role ?? null,
    expectedSha256: upload.expectedSha256 ?? expected?.sha256 ?? null,
    uploadedBy: personOf(caller),
    findings: stored.findings,
  }
  const id = await recordArtifact(tx, caller, run, labels, stored.blob, now)
  await store.addEvidence(tx, run.id, [id])
  return showArtifact((await store.findArtifact(tx, id))!)
}

/**
 * When the check begins: at once when every expected file is there, else a second after the last upload; never by
 * itself for `manual` runs or runs without a file. An upload under way holds the check back when it is claimed.
 */
async function scheduleCheck(queue: Queue, tx: Tx, run: store.RunRow, now: number, settleMs: number): Promise<void> {
  if (run.finalize === 'manual' || !(await hasEnough(tx, run))) return
  await enqueueCheck(queue, tx, run.id, announcedBy(run).length > 0 ? now : now + settleMs, now)
}

/** Evidence was taken back. Of its runs what waits begins no check without it: it waits on until enough is there again. */
export async function withoutEvidence(queue: Queue, tx: Tx, runIds: readonly string[]): Promise<void> {
  // In the order of their ids, or two who take back at once could wait for each other.
  for (const id of [...new Set(runIds)].sort()) {
    const run = await store.lockRun(tx, id)
    if (run?.waiting_for !== 'evidence' || run.finalize === 'manual' || (await hasEnough(tx, run))) continue
    await dequeueCheck(queue, tx, id)
  }
}

/** Whether there is evidence, and all that was announced. */
async function hasEnough(tx: Tx, run: store.RunRow): Promise<boolean> {
  const files = await store.listEvidence(tx, run.id)
  return files.length > 0 && missingOf(announcedBy(run), files).length === 0
}
