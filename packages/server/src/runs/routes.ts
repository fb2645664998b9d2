import { Readable } from 'node:stream'
import type { artifactsApi, RunContract, runsApi, StartRun, StartTask, Submitted } from '@writ/api'
import { withHiddenShown } from '@writ/api/hidden'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Attest, append } from '../audit/index.ts'
import { type Caller, personOf } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { BlobStoreUnavailable, type Blobs } from '../platform/blobs/index.ts'
import type { Clock } from '../platform/clock.ts'
import { type Database, inProject, type Tx } from '../platform/db/index.ts'
import { whileConnected } from '../platform/http/gone.ts'
import { type Ask, contentsText, type Handlers } from '../platform/http/mount.ts'
import { receiveFile } from '../platform/http/receive-file.ts'
import { redactor } from '../platform/redact/index.ts'
import type { Queue } from '../queue/index.ts'
import { type Ref, seeTicket } from '../tickets/index.ts'
import { eraseArtifact, removeErasedBytes, runsUnlessHeld } from './artifact.ts'
import { announcedBy, missingOf, namesOf } from './expected.ts'
import type { RunKind } from './kind.ts'
import { dequeueCheck, enqueueCheck } from './lane.ts'
import { chooseSettled, countChosen, filterOf, lockWaiting } from './many.ts'
import { isFinal } from './run.ts'
import { settleRun } from './settle.ts'
import { showArtifact, showContract, showRun, showRunDetail } from './show.ts'
import { runToSee, runToWorkOn, startRun, verifyAgain } from './start.ts'
import * as store from './store.ts'
import { takeUpload, type UploadSettings, withoutEvidence } from './upload.ts'
import type { Waiting } from './waiting.ts'

export interface RunsOn {
  readonly db: Database
  readonly queue: Queue
  readonly blobs: Blobs
  readonly clock: Clock
  readonly kinds: ReadonlyMap<string, RunKind>
  readonly attest: Attest
  readonly uploads: UploadSettings
  readonly waiting: Waiting
  /** The server stops: who waits is answered as it is, and asks another one. */
  readonly stopping: AbortSignal
  /** The worker should look. */
  wake(): void
  readonly tasks: RunsWithoutTicket
}

/** Runs that belong to no ticket: they are started here as well, and shown by their kind. */
export interface RunsWithoutTicket {
  start(ask: Ask<typeof runsApi.start, Caller>, task: StartTask, status: number): Promise<Submitted>
  /** The projection of one that is there. */
  contract(ask: Ask<typeof runsApi.contract, Caller>, ref: Ref): Promise<RunContract>
}

export const runHandlers = (on: RunsOn): Handlers<typeof runsApi, Caller> => ({
  async start(ask) {
    // Typed as the form for tickets; the schema let this one in by its `kind`.
    const body = ask.body as StartRun | StartTask
    if ('kind' in body) return ask.reply.send(await on.tasks.start(ask, body, 200))
    await on.kinds.get(body.run_type)?.ready()
    return ask.change((tx) => startRun(tx, ask.caller, on.kinds, body))
  },
  async list(ask) {
    const filter = await ask.read((tx) => filterOf(tx, ask.caller, ask.query))
    return ask.page({
      rows: (tx, page) =>
        store.listRuns(tx, filter, { ...page, before: page.after === undefined ? undefined : Number(page.after) }),
      total: (tx) => store.countRuns(tx, filter),
      key: (row) => String(row.number),
      show: showRun,
    })
  },
  async get(ask) {
    const run = await ask.read((tx) => runOrTask(tx, ask.caller, ask.params.id))
    return run === 'task' ? toTask(ask) : showRunDetail(run)
  },
  async contract(ask) {
    const run = await ask.read((tx) => runOrTask(tx, ask.caller, ask.params.id))
    return run === 'task' ? on.tasks.contract(ask, ask.params.id) : showContract(run, ask.caller.projectSlug!)
  },
  async wait(ask) {
    const first = await ask.read((tx) => runOrTask(tx, ask.caller, ask.params.id))
    if (first === 'task') return toTask(ask)
    const read = () => ask.read((tx) => runToSee(tx, ask.caller, ask.params.id))
    const ms = (ask.query.timeout ?? 30) * 1_000
    const run = await whileConnected(ask.request, (gone) =>
      on.waiting.until(first.id, read, ms, AbortSignal.any([gone, on.stopping])),
    )
    return showRunDetail(run)
  },
  async finalize(ask) {
    const run = await ask.change(async (tx) => {
      const found = await runToWorkOn(tx, ask.caller, ask.params.id, 'ARTIFACT_UPLOAD_DENIED')
      if (found.state !== 'pending' || found.waiting_for !== 'evidence') throw new AppError('RUN_SETTLED')
      const announced = announcedBy(found)
      const missing = missingOf(announced, announced.length === 0 ? [] : await store.listEvidence(tx, found.id))
      if (missing.length > 0) throw new AppError('EVIDENCE_MISSING', { missing: namesOf(missing) })
      // Uploads after this are late; one under way is still taken, and holds the check back.
      await enqueueCheck(on.queue, tx, found.id, ask.caller.at, ask.caller.at)
      return showRun(found)
    })
    on.wake()
    return run
  },
  cancel: (ask) =>
    ask.change(async (tx) => {
      const found = await runToWorkOn(tx, ask.caller, ask.params.id, 'RUN_TICKET_DENIED')
      if (found.state !== 'pending') throw new AppError('RUN_NOT_CANCELLABLE', { state: found.state })
      await cancelRun(on, tx, ask.caller, found, ask.body?.reason)
      return showRun((await store.findRun(tx, found.id))!)
    }),
  async verify(ask) {
    const run = await ask.change((tx) => verifyAgain(tx, on.queue, ask.caller, ask.params.id, ask.body))
    on.wake()
    return run
  },
  preview: (ask) => ask.read((tx) => countChosen(tx, ask.caller, ask.body)),
  cancelMany: (ask) =>
    ask.change(async (tx) => {
      const { reason, limit = MOST_AT_ONCE, ...choice } = ask.body
      const { rows, left } = await lockWaiting(tx, ask.caller, choice, limit)
      for (const row of rows) await cancelRun(on, tx, ask.caller, row, reason)
      return { cancelled: rows.length, left: await left() }
    }),
  async verifyMany(ask) {
    const answer = await ask.change(async (tx) => {
      const { after, limit = MOST_AT_ONCE, ...choice } = ask.body
      const { ids, last, left } = await chooseSettled(tx, ask.caller, choice, { after, limit })
      const started: { id: string; number: number; verifies_run_id: string }[] = []
      for (const before of ids) {
        const { id, number } = await verifyAgain(tx, on.queue, ask.caller, before, null)
        started.push({ id, number, verifies_run_id: before })
      }
      return { started, last, left: await left() }
    })
    on.wake()
    return answer
  },
})

/** So many share one transaction: each is a dozen statements, during which others who want to write wait. */
const MOST_AT_ONCE = 100

/** Ends a run that waits, locked by the caller. */
async function cancelRun(
  on: RunsOn,
  tx: Tx,
  caller: Caller,
  run: store.RunRow,
  reason: string | undefined,
): Promise<void> {
  await dequeueCheck(on.queue, tx, run.id)
  const summary = reason ? `Run cancelled: ${reason}` : 'Run cancelled'
  const settling = { attest: on.attest, settled: on.waiting.settled }
  await settleRun(tx, settling, run, caller, { state: 'cancelled', summary, errorCode: 'CANCELLED' }, caller.at)
}

/** The same path below /tasks: the answer has another shape, so it has another address. */
const toTask = (ask: { request: FastifyRequest; reply: FastifyReply }): FastifyReply =>
  ask.reply.redirect(ask.request.url.replace('/runs/', '/tasks/'), 307)

const runOrTask = async (tx: Tx, caller: Caller, ref: Ref): Promise<store.RunRow | 'task'> =>
  (await store.findTask(tx, ref)) ? 'task' : runToSee(tx, caller, ref)

export const artifactHandlers = (on: RunsOn): Handlers<typeof artifactsApi, Caller> => ({
  async upload(ask) {
    try {
      return await upload(on, ask)
    } catch (error) {
      discardBody(ask.request, error)
      throw error
    }
  },
  get: async (ask) => showArtifact(await ask.read((tx) => artifactToSee(tx, ask.caller, ask.params.id))),
  download: (ask) => download(on, ask),
  ofRun(ask) {
    const seen = async (tx: Tx) => (await runToSee(tx, ask.caller, ask.params.id, 'ARTIFACTS_VIEW_DENIED')).id
    return ask.page({
      rows: async (tx, page) => store.listArtifacts(tx, await seen(tx), page),
      total: async (tx) => store.countArtifacts(tx, await seen(tx)),
      key: ({ number }) => String(number),
      show: showArtifact,
    })
  },
  delete: (ask) =>
    ask.change(async (tx) => {
      const { caller } = ask
      const artifact = await artifactToSee(tx, caller, ask.params.id)
      if (artifact.is_deleted === 1) throw new AppError('ARTIFACT_DELETED')
      const run = await store.lockRun(tx, artifact.run_id)
      // Evidence that was judged is an admin's to withdraw; its uploader may take it back before that.
      const own = artifact.uploaded_by_id === personOf(caller) && run !== undefined && !isFinal(run.state)
      if (caller.role !== 'admin' && !own) throw new AppError('ARTIFACT_DELETE_DENIED')
      const runs = await runsUnlessHeld(tx, artifact)
      await store.deleteArtifact(tx, artifact.id, personOf(caller), caller.at)
      await append(tx, caller.at, caller, {
        type: 'artifact.deleted',
        resource: { type: 'artifact', id: artifact.id, number: artifact.number },
        action: `Deleted artifact: ${artifact.filename}`,
        details: { run_id: artifact.run_id, filename: artifact.filename, sha256_hash: artifact.sha256 },
        run: { id: artifact.run_id, seq: await store.nextEvent(tx, artifact.run_id) },
      })
      await withoutEvidence(on.queue, tx, runs)
      return undefined
    }),
  async erase(ask) {
    const shown = await ask.change(async (tx) => {
      const artifact = await artifactToSee(tx, ask.caller, ask.params.id)
      if (artifact.erased_at !== null) throw new AppError('ARTIFACT_ERASED')
      const { erased, runs } = await eraseArtifact(tx, ask.caller, artifact, ask.body.ground)
      await withoutEvidence(on.queue, tx, runs)
      return { artifact: showArtifact((await store.findArtifact(tx, artifact.id))!), erased }
    })
    // The erasure is committed, whatever the store says. Where it is away, the bytes go in the first minute in which it is back.
    await removeErasedBytes(on, ask.caller.project!).catch((error: unknown) => {
      if (!(error instanceof BlobStoreUnavailable)) throw error
    })
    return shown
  },
})

async function upload(
  on: RunsOn,
  ask: Ask<(typeof artifactsApi)['upload'], Caller>,
): Promise<Awaited<ReturnType<typeof takeUpload>>> {
  const { caller, query, request } = ask
  const file = await receiveFile(request)
  const gone = new AbortController()
  request.raw.once('aborted', () => gone.abort(new AppError('UPLOAD_INTERRUPTED')))
  const project = caller.project!
  const uploaded = await inProject(project, () =>
    takeUpload(
      { db: on.db, queue: on.queue, blobs: on.blobs, clock: on.clock, settings: on.uploads, project },
      caller,
      {
        runRef: query.run_id,
        filename: redactor.text(labelOf(file.filename)),
        contentType: redactor.text(file.mimetype.slice(0, 100)) || null,
        artifactType: query.artifact_type ?? null,
        description: query.description ?? null,
        role: query.role ?? null,
        expectedSha256: query.sha256 ?? null,
        bytes: file.bytes,
        abandoned: file.cutShort,
        signal: gone.signal,
      },
      (work, blob) => {
        ask.received(contentsText(file.filename, blob.sha256))
        return ask.change(work)
      },
    ),
  )
  on.wake()
  return uploaded
}

/**
 * Reads what is left of a refused upload and forgets it: left unread, it would stand before the client's next request on
 * this connection, which then waits for ever. An answer that closes the connection needs no such thing.
 */
function discardBody(request: FastifyRequest, error: unknown): void {
  if (error instanceof AppError && error.headers.connection === 'close') return
  request.raw.unpipe()
  request.raw.resume()
}

async function artifactToSee(tx: Tx, caller: Caller, ref: Ref): Promise<store.ArtifactRow> {
  const artifact = await store.findArtifact(tx, ref)
  if (!artifact) throw new AppError('ARTIFACT_NOT_FOUND')
  const run = await store.findRun(tx, artifact.run_id)
  await seeTicket(tx, caller, run!.ticket_id, 'ARTIFACT_VIEW_DENIED')
  return artifact
}

/** Of a HEAD: its answer has the headers of the bytes, and none of them. */
const NOTHING: readonly Uint8Array[] = []

async function download(on: RunsOn, ask: Ask<(typeof artifactsApi)['download'], Caller>): Promise<FastifyReply> {
  const { caller, reply, request } = ask
  const isHead = request.method === 'HEAD'
  const find = async (tx: Tx) => {
    const found = await artifactToSee(tx, caller, ask.params.id)
    if (found.erased_at !== null) throw new AppError('ARTIFACT_ERASED')
    if (found.is_deleted === 1) throw new AppError('ARTIFACT_DELETED')
    return { ...found, isUnchanged: isNamed(request.headers['if-none-match'], etagOf(found)) }
  }
  // The record that somebody took the bytes is durable before the first byte leaves.
  const take = async (tx: Tx) => {
    const found = await find(tx)
    // Who has the bytes is sent none, and that is nothing to record.
    if (found.isUnchanged) return found
    await append(tx, caller.at, caller, {
      type: 'artifact.downloaded',
      resource: { type: 'artifact', id: found.id, number: found.number },
      action: `Downloaded artifact: ${found.filename}`,
      details: { run_id: found.run_id, filename: found.filename },
      run: { id: found.run_id, seq: await store.nextEvent(tx, found.run_id) },
    })
    return found
  }
  const artifact = await (isHead ? ask.read(find) : ask.change(take))
  const etag = etagOf(artifact)
  // A browser may keep them, if it asks each time whether it still may have them.
  reply.header('cache-control', 'private, no-cache')
  if (artifact.isUnchanged) return reply.code(304).header('etag', etag).send()
  // A part of other bytes is no use to whoever has the rest of these.
  const isOther = request.headers['if-range'] !== undefined && request.headers['if-range'] !== etag
  const range = isOther ? undefined : rangeOf(request.headers.range, artifact.size_bytes)
  const stream = isHead ? NOTHING : await on.blobs.open(caller.project!, artifact.sha256, range ?? {})
  reply.header('content-type', artifact.content_type ?? 'application/octet-stream')
  reply.header('content-disposition', dispositionOf(artifact.filename))
  reply.header('accept-ranges', 'bytes')
  reply.header('etag', etag)
  reply.header('x-content-type-options', 'nosniff')
  reply.header('repr-digest', `sha-256=:${Buffer.from(artifact.sha256, 'hex').toString('base64')}:`)
  reply.header('content-length', String(range ? range.end - range.start + 1 : artifact.size_bytes))
  if (range) reply.code(206).header('content-range', `bytes ${range.start}-${range.end}/${artifact.size_bytes}`)
  return reply.send(Readable.from(stream))
}

const etagOf = (artifact: { sha256: string }): string => `"${artifact.sha256}"`

/** Whether If-None-Match names this tag (RFC 9110, 13.1.2). */
const isNamed = (header: string | undefined, etag: string): boolean =>
  header === '*' || (header?.split(',').some((one) => one.trim().replace(/^W\//, '') === etag) ?? false)

/** One byte range as RFC 9110, 14.1.2 writes it; several, or a form that is not understood, mean the whole. */
function rangeOf(header: string | undefined, size: number): { start: number; end: number } | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  if (!match || (match[1] === '' && match[2] === '')) return undefined
  const last = size - 1
  const start = match[1] === '' ? Math.max(0, size - Number(match[2])) : Number(match[1])
  const end = match[1] === '' || match[2] === '' ? last : Math.min(Number(match[2]), last)
  if (start > last || end < start)
    throw new AppError('RANGE_NOT_SATISFIABLE', { size }, { headers: { 'content-range': `bytes */${size}` } })
  return { start, end }
}

/** A file name is only a label: no path, no control character, at most 255 characters, never empty. */
function labelOf(name: string | undefined): string {
  // macOS takes letters and their marks apart; whoever wrote the rules did not.
  const plain = withHiddenShown((name ?? '').normalize('NFC'), () => '_')
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '_')
    .trim()
  return plain.slice(0, 255) || 'unnamed'
}

/** `attachment` with an ASCII name for old clients and the real one as RFC 5987 (RFC 6266, 4.3). */
function dispositionOf(name: string): string {
  const ascii = name.replace(/[^\x20-\x7e]|["\\%]/g, '_')
  const encoded = encodeURIComponent(name).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
  return `attachment; filename="${ascii}"${ascii === name ? '' : `; filename*=UTF-8''${encoded}`}`
}
