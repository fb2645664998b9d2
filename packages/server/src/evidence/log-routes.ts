import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type AuditEvent,
  type auditApi,
  auditKeys,
  type ErrorCode,
  type SelfCheckReport,
  type VerifyReport,
} from '@writ/api'
import { parseCheckpoint, parseNote } from '@writ/tlog'
import {
  type AuditFolders,
  append,
  countEvents,
  countPending,
  dayFolder,
  type EventFilter,
  type EventLine,
  type EventRow,
  erasureState,
  findAnchored,
  findOpenLog,
  isLogPath,
  isLogStoreUnavailable,
  listEvents,
  listEventsForward,
  loadAnchorEvidence,
  logPlace,
  OVERWRITTEN,
  placeOfErasure,
  readLine,
  requireEventType,
  type Sequencer,
  snapshotLog,
  type VerifyProgress,
  vkeysOf,
  type Witnesses,
} from '../audit/index.ts'
import { type Caller, findUserRef, listTokenIds, logAccessOf } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339 } from '../platform/clock.ts'
import { type Database, type DatabaseSettings, DatabaseUnavailable, inProject, type Tx } from '../platform/db/index.ts'
import { type Streaming, streamEvents, wantsStream } from '../platform/http/event-stream.ts'
import type { Ask, Handlers } from '../platform/http/mount.ts'
import { NOBODY } from '../platform/ids.ts'
import { endsEarly } from '../platform/validation-fields.ts'
import { doorOf, type LogDoors } from './log-doors.ts'
import type { SelfChecker } from './self-checker.ts'
import { findNumbered } from './store.ts'
import { runInThread } from './verify-thread.ts'

export interface LogOn {
  readonly db: Database
  readonly database: DatabaseSettings
  readonly folders: AuditFolders
  readonly dataDir: string
  readonly sequencer: Sequencer
  readonly selfChecker: SelfChecker
  readonly doors: LogDoors
  readonly witnesses: Pick<Witnesses, 'cosignersOf'>
  readonly streams: Streaming<Caller>
}

/** How often a stream says how far a verification is. */
const PROGRESS_MS = 500

const PAGE = 500

/** Reading, exporting and verifying the audit log. Reading it is itself recorded. */
export const auditHandlers = (on: LogOn): Handlers<typeof auditApi, Caller> => ({
  async events(ask) {
    const { skip, limit, cursor, ...asked } = ask.query
    const filter = await ask.read((tx) => filterOf(tx, asked))
    // Who asks for the headers alone reads no event.
    if (ask.request.method !== 'HEAD')
      await ask.change(async (tx) => {
        await append(tx, ask.caller.at, ask.caller, {
          type: 'audit.read',
          action: 'Read audit events',
          details: { ...asked, skip, limit },
        })
      })
    return ask.page({
      rows: (tx, page) =>
        listEvents(tx, filter, {
          limit: page.limit,
          skip: page.skip,
          ...(page.after === undefined ? {} : { before: page.after }),
        }),
      total: (tx) => countEvents(tx, filter),
      key: (row) => row.id,
      show: showEvent,
    })
  },
  async export(ask) {
    const { format = 'jsonl', ...asked } = ask.query
    const filter = await ask.read((tx) => filterOf(tx, asked))
    const isHead = ask.request.method === 'HEAD'
    // Who asks for the headers alone takes nothing along.
    if (!isHead)
      await ask.change(async (tx) => {
        await append(tx, ask.caller.at, ask.caller, {
          type: 'audit.exported',
          action: `Exported audit events as ${format}`,
          details: { ...asked, format },
        })
      })
    const project = ask.caller.project!
    // Page by page, each in a snapshot of its own: a long reader would keep the store from tidying up.
    const pages = async function* () {
      if (format === 'csv') yield `${auditKeys.join(',')}\r\n`
      for (let after: string | undefined; ; ) {
        const page: { limit: number; after?: string } = after === undefined ? { limit: PAGE } : { limit: PAGE, after }
        const rows = await inProject(project, () => on.db.read((tx) => listEventsForward(tx, filter, page)))
        if (rows.length > 0)
          yield rows
            .map(format === 'csv' ? (row) => csvLine(readLine(row.event) ?? withoutLine(row)) : jsonLine)
            .join('')
        if (rows.length < PAGE) return
        after = rows.at(-1)!.id
      }
    }
    const name = `audit-${ask.caller.projectSlug}-${rfc3339(ask.caller.at).slice(0, 10)}.${format}`
    return ask.reply
      .type(format === 'csv' ? 'text/csv; charset=utf-8' : 'application/jsonl; charset=utf-8')
      .header('content-disposition', `attachment; filename="${name}"`)
      .send(Readable.from(isHead ? [] : pages()))
  },
  async log(ask) {
    const { log, pending } = await ask.read(async (tx) => ({
      log: (await findOpenLog(tx))!,
      pending: await countPending(tx),
    }))
    const anchored = await findAnchored(on.db, log)
    // Entries have their places before the root over them is signed: what is shown is what the newest checkpoint says.
    const published = log.checkpoint === null ? 0 : parseCheckpoint(parseNote(log.checkpoint).text).size
    return {
      origin: log.origin,
      vkey: log.vkey ?? '',
      shard: log.shard,
      size: published,
      root: log.root,
      pending: pending + log.size - published,
      folder: logPlace(on.folders, log.project_id, log.shard),
      audit_folder: dayFolder(on.folders, log.project_id, ask.caller.projectSlug ?? undefined),
      vkeys: [...vkeysOf(log)],
      door: doorOf(log.origin),
      access: (await logAccessOf(on.db, log.project_id)) ?? 'members',
      anchored: anchored && {
        size: anchored.size,
        via: anchored.via,
        witnesses: await on.witnesses.cosignersOf(anchored.note),
      },
    }
  },
  async anchor(ask) {
    const log = (await ask.read(findOpenLog))!
    const anchored = await findAnchored(on.db, log)
    if (!anchored) throw new AppError('LOG_NOT_ANCHORED')
    return loadAnchorEvidence(on.folders, anchored)
  },
  served: (ask) => on.doors.serve(ask.request, ask.reply),
  async file(ask) {
    const path = (ask.request.params as { '*': string })['*']
    if (!isLogPath(path)) throw new AppError('LOG_FILE_NOT_FOUND')
    const log = (await ask.read((tx) => findOpenLog(tx)))!
    return on.doors.send(ask.reply, log, path, 'private')
  },
  verify: (ask) => report(on, ask, (watching) => verifyLog(on, ask, watching)),
  selfCheck: (ask) => report(on, ask, (watching) => checkLog(on, ask, watching)),
})

interface Watching {
  readonly signal?: AbortSignal
  readonly onProgress?: (done: VerifyProgress) => void
}

/**
 * Answers with the report, or with a stream of how far it is and then the report: a log of millions takes minutes, and clients give
 * up that hear nothing.
 */
async function report<R>(
  on: LogOn,
  ask: Pick<Ask<(typeof auditApi)['verify'], Caller>, 'request' | 'reply' | 'caller'>,
  work: (watching: Watching) => Promise<R>,
) {
  if (!wantsStream(ask.request)) return work({})
  const over = new AbortController()
  const signal = AbortSignal.any([over.signal, on.streams.stopping])
  let done: VerifyProgress = { entries: 0, rows: 0, size: 0 }
  const ended = work({ signal, onProgress: (now) => (done = now) }).then(
    (report) => ({ state: 'done', report }),
    (error: unknown) => ({ state: 'failed', code: codeOf(error) }),
  )
  await streamEvents(on.streams, ask, '', async (_, until) => {
    const end = await Promise.race([ended, sleep(PROGRESS_MS, undefined, { signal: until }).catch(() => undefined)])
    const said = end ?? { state: 'running', ...done }
    return { text: `event: verification\ndata: ${JSON.stringify(said)}\n\n`, last: end !== undefined }
  })
  // Nobody is there any more to hear how it ends.
  over.abort()
  return ask.reply
}

/** Runs the self-check now, and records that it did. */
async function checkLog(
  on: LogOn,
  ask: Ask<(typeof auditApi)['selfCheck'], Caller>,
  watching: Watching,
): Promise<SelfCheckReport> {
  const { caller } = ask
  const report = await on.selfChecker.check(
    { id: caller.project!, slug: caller.projectSlug! },
    { full: ask.body?.full ?? false, ...watching },
  )
  await ask.change(async (tx) => {
    await append(tx, caller.at, caller, {
      type: 'audit.verified',
      action: report.ok ? `Self-check of ${entriesText(report.entries)}` : `Self-check failed: ${report.reason}`,
      details: { full: report.full, entries: report.entries, code: report.code, index: report.index },
      success: report.ok,
      ...(report.reason === null ? {} : { error: report.reason }),
    })
  })
  return report
}

/** Verifies everything now, and records that it did. */
async function verifyLog(
  on: LogOn,
  ask: Ask<(typeof auditApi)['verify'], Caller>,
  watching: Watching,
): Promise<VerifyReport> {
  const { caller } = ask
  const project = caller.project!
  const slug = caller.projectSlug!
  const verifyOnce = async () => {
    await on.sequencer.settle()
    const { shard, checkpoint: recorded } = (await ask.read((tx) => findOpenLog(tx)))!
    const snapshot = await on.sequencer.hold(async () => ({
      ...(await snapshotLog(on.folders, project, shard, slug)),
      recorded,
    }))
    const kept = ask.body?.kept_checkpoint
    return runInThread(
      { kind: 'verify', database: on.database, folders: on.folders, project, slug, kept, snapshot },
      watching,
    )
  }
  let before = await ask.read(erasureState)
  let report = await verifyOnce()
  // An erasure that went by changed what was being compared; a real fault is there again the next time.
  for (let again = 0; !report.ok && again < 3; again++) {
    const now = await ask.read(erasureState)
    if (now === before) break
    before = now
    report = await verifyOnce()
  }
  await ask.change(async (tx) => {
    await append(tx, caller.at, caller, {
      type: 'audit.verified',
      action: report.ok ? `Verified ${entriesText(report.checked.rows)}` : `Verification failed: ${report.reason}`,
      details: { size: report.size, code: report.code, index: report.index },
      success: report.ok,
      ...(report.reason === null ? {} : { error: report.reason }),
    })
  })
  return report
}

/** What a stream says that broke off: the code that an answer would have. */
function codeOf(error: unknown): ErrorCode {
  if (error instanceof AppError) return error.code
  if (error instanceof DatabaseUnavailable) return 'DATABASE_UNAVAILABLE'
  return isLogStoreUnavailable(error) ? 'LOG_UNAVAILABLE' : 'INTERNAL'
}

async function filterOf(
  tx: Tx,
  asked: {
    event_id?: string
    event_type?: string
    actor_id?: string | number
    resource_type?: string
    resource_id?: string | number
    start_date?: string
    end_date?: string
    success?: boolean
  },
): Promise<EventFilter> {
  if (asked.event_type !== undefined) requireEventType('query.event_type', asked.event_type)
  const since = asked.start_date === undefined ? undefined : timeOf('start_date', asked.start_date, 0)
  const until = asked.end_date === undefined ? undefined : timeOf('end_date', asked.end_date, 86_400_000)
  if (since !== undefined && until !== undefined && until < since)
    throw new AppError('VALIDATION_FAILED', {}, { fields: [endsEarly('query.end_date', 'start_date')] })
  const actors = asked.actor_id === undefined ? undefined : await actorsOf(tx, asked.actor_id)
  const resource =
    asked.resource_id === undefined ? undefined : await resourceOf(tx, asked.resource_type, asked.resource_id)
  return {
    ...(asked.event_id === undefined ? {} : { id: asked.event_id }),
    ...(asked.event_type === undefined ? {} : { event_type: asked.event_type }),
    ...(actors === undefined ? {} : { actor_ids: actors }),
    ...(asked.resource_type === undefined ? {} : { resource_type: asked.resource_type }),
    ...(resource === undefined ? {} : { resource }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    ...(asked.success === undefined ? {} : { success: asked.success }),
  }
}

/** A person acts with their tokens as well, each of which is an actor of its own; a token that is named is that alone. */
async function actorsOf(tx: Tx, ref: string | number): Promise<string[]> {
  const person = await findUserRef(tx, ref)
  if (person) return [person.id, ...(await listTokenIds(tx, person.id))]
  return [typeof ref === 'string' && !/^\d+$/.test(ref) ? ref : NOBODY]
}

/** By its id where that is known: ids have an index, numbers have none. */
async function resourceOf(tx: Tx, type: string | undefined, ref: string | number): Promise<string | number> {
  if (type === undefined || !/^\d+$/.test(String(ref))) return ref
  return (await findNumbered(tx, type, Number(ref))) ?? ref
}

const DATE_OR_TIME = /^(\d{4}-\d{2}-\d{2})(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?$/i

/**
 * A date covers its whole day in UTC; a time is itself, and in UTC when it names no zone. Nothing else: `Date.parse` alone takes
 * "1" for a year and a time without a zone for one of the server's own, and an auditor would read the wrong days without knowing.
 */
function timeOf(name: string, text: string, wholeDay: number): number {
  const [, day = '', zone] = DATE_OR_TIME.exec(text) ?? []
  const date = day === text
  const at = Date.parse(date || zone ? text : `${text}Z`)
  // The 30th of February would be the 2nd of March.
  const isDay = day !== '' && new Date(`${day}T00:00:00Z`).toJSON()?.startsWith(day)
  if (!isDay || Number.isNaN(at))
    throw new AppError(
      'VALIDATION_FAILED',
      {},
      {
        fields: [
          { path: `query.${name}`, message: 'must be a date or an RFC 3339 time, such as 2026-05-17T09:30:00Z' },
        ],
      },
    )
  return date ? at + wholeDay : at
}

const entriesText = (count: number) => (count === 1 ? '1 entry' : `${count} entries`)

/** An event whose line is not there any more: what the columns still say, in the twelve keys. */
const withoutLine = (row: EventRow): EventLine => ({
  event_type: row.event_type as AuditEvent['event_type'],
  timestamp: rfc3339(row.timestamp),
  actor_id: row.actor_id,
  actor_username: null,
  resource_type: row.resource_type,
  resource_id: row.resource_id,
  action: row.event === '' ? `[erased, see ${placeOfErasure(row) ?? row.erased_by ?? 'the log'}]` : OVERWRITTEN,
  details: null,
  ip_address: null,
  user_agent: null,
  success: row.success === 1,
  error_message: null,
})

function showEvent(row: EventRow): AuditEvent {
  const place = { id: row.id, shard: row.shard, log_index: row.log_index }
  return {
    ...place,
    // The stored line is the twelve keys; beside them stand the numbers that people read.
    ...(readLine(row.event) ?? withoutLine(row)),
    ...place,
    ...(row.event === '' ? { erased_index: row.erased_index, erased_shard: row.erased_shard } : {}),
    actor_number: row.actor_number,
    resource_number: row.resource_number,
  }
}

/** As it was recorded, to the byte, where it is a line. */
const jsonLine = (row: EventRow): string => `${readLine(row.event) ? row.event : JSON.stringify(withoutLine(row))}\n`

/** One CSV line (RFC 4180). A field that a spreadsheet would take for a formula gets a quote in front. */
function csvLine(line: EventLine): string {
  const fields = auditKeys.map((key) => {
    const value = line[key]
    const text = value === null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value)
    const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
  })
  return `${fields.join(',')}\r\n`
}
