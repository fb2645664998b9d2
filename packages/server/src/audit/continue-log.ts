import { readdir, readFile } from 'node:fs/promises'
import { toBase64 } from '@writ/tlog'
import { type Database, INSTANCE, type RequestMark } from '../platform/db/index.ts'
import { ifThere } from '../platform/if-there.ts'
import { type Actor, appendUnfenced, SYSTEM } from './append.ts'
import { type Continuation, openNote, sizeOfNote } from './continuation.ts'
import { type DayFiles, openDayFiles } from './day-files.ts'
import { type AuditFolders, dayFolder, logFolder, readLogText, signerStateFile } from './folders.ts'
import { loadLogVkeys } from './log-keys.ts'
import { CHECKPOINT } from './log-store.ts'
import { EMPTY_ROOT, LogBusy, newOrigin } from './sequencer.ts'
import type * as store from './store.ts'
import * as logRows from './store-logs.ts'

const PAGE = 5_000

/** An open log of which more was published or signed than the database knows: an older database was put in place. */
export interface LogAhead {
  readonly project: string
  readonly origin: string
  /** Entries that the world may have seen: of the published checkpoint or of the signer's memory, whichever is more, and of logs after it. */
  readonly published: number
  readonly stored: number
}

/** Looks at every open log. Reads only; a log whose files are on another host is not seen. */
export async function findLogsAhead(db: Database, folders: AuditFolders): Promise<LogAhead[]> {
  const before = await db.sequence(logRows.listOpenLogs)
  const seen = await Promise.all(
    before.map(async (log) => [log.origin, await loadLastCheckpoint(folders, log)] as const),
  )
  const published = new Map(seen.map(([origin, last]) => [origin, last.published]))
  // Sizes after the files: another server may be publishing meanwhile, and its rows come first.
  const logs = await db.sequence(logRows.listOpenLogs)
  return logs
    .filter((log) => (published.get(log.origin) ?? 0) > log.size)
    .map((log) => ({
      project: log.project_id,
      origin: log.origin,
      published: published.get(log.origin)!,
      stored: log.size,
    }))
}

async function loadLastCheckpoint(folders: AuditFolders, log: store.Log): Promise<{ note: string; published: number }> {
  const note = await readLogText(folders, log, CHECKPOINT)
  const memory = /"size":(\d+)/.exec(await ifThere(readFile(signerStateFile(folders, log.origin), 'utf8'), ''))
  const own = Math.max(sizeOfNote(note), Number(memory?.[1] ?? 0))
  return { note, published: own + (await loadSizeBehind(folders, log)) }
}

/**
 * Entries of published logs of a project behind one that is open: a database that calls it open is older than they are, also where nothing
 * was added to it before it was closed, as a restore closes it.
 */
async function loadSizeBehind(folders: AuditFolders, { project_id, shard }: store.Log): Promise<number> {
  let entries = 0
  for (let next = shard + 1; ; next++) {
    const size = sizeOfNote(await readLogText(folders, { project_id, shard: next }, CHECKPOINT))
    if (size === 0) return entries
    entries += size
  }
}

export interface ContinuedLog extends Continuation {
  readonly project: string
  readonly new_origin: string
}

/**
 * Closes the open log of a project and opens the one that continues it. The new log's first entry tells of
 * the old one: name, last checkpoint, how much of it the database still knows, who did it and why.
 *
 * Rows that have a place but were never published are given back and get new places; rows that the old log published
 * keep theirs, so that its proofs stay good. Closing, opening and the entry are one transaction: stopped before it, nothing
 * happened; after it, the server starts. No server may run on this database meanwhile, but the one that does this between
 * two rounds of its sequencer (`rotate`): then everything placed is published, and nothing is given back or lost.
 */
export async function continueLog(on: {
  db: Database
  folders: AuditFolders
  project: string
  slug: string | undefined
  operator: string
  reason: string
  now: number
  /** The name of the next log, where the old one has named it already. */
  origin?: string
  /** Who is on record as the actor; an operator at the host's command line is none. */
  by?: Actor
  /** What was seen of the log that is to be closed. If it moved since, another process writes it: nothing is done (LogBusy). */
  from?: Pick<store.Log, 'shard' | 'size'>
  mark?: RequestMark | null
}): Promise<ContinuedLog> {
  const { db, folders, project, now } = on
  return db.sequence(async (tx) => {
    const old = (await logRows.listOpenLogs(tx)).find((log) => log.project_id === project)
    if (!old) throw new Error(`project ${project} has no open log`)
    const seen = on.from ?? old
    const { note, published } = await loadLastCheckpoint(folders, old)
    const kept = Math.min(old.size, sizeOfNote(note))
    const continued: Continuation = {
      old_origin: old.origin,
      last_checkpoint: note,
      restored_size: kept,
      lost_entries: Math.max(0, published - old.size),
      operator: on.operator,
      reason: on.reason,
    }
    const shard = await nextFreeShard(folders, old)
    const next = { project_id: project, shard, origin: on.origin ?? newOrigin(), root: EMPTY_ROOT, now }
    // First, because it waits for whoever places rows in it: behind it nobody does.
    if (!(await logRows.closeLog(tx, { ...old, ...seen }, { size: kept, now })))
      throw new LogBusy('another server writes it')
    // What is left of a log when it is dropped is its line: it has the end that the next log names.
    const end = openNote(note)
    if (end) await logRows.setCheckpoint(tx, old, toBase64(end.root), note)
    await logRows.releaseRows(tx, old, kept)
    // Saved just after a log was opened, a database knows no key of it, while it was published: its key is beside its files.
    const [vkey] = old.vkey === null && note !== '' ? await loadLogVkeys(folders.keys, old.origin) : []
    if (vkey !== undefined) await logRows.setVkey(tx, old, vkey)
    await logRows.insertContinuedLog(tx, next)
    if (project === INSTANCE) await logRows.forgetRecorded(tx)
    await appendUnfenced(tx, project, now, on.by ?? SYSTEM, {
      type: 'log.continued',
      resource: { type: 'log', id: project },
      action: `Continued the log ${old.origin} as ${next.origin}`,
      details: { ...continued, new_origin: next.origin, ...(on.mark && { asked_by: on.mark }) },
    })
    await logRows.placeContinuation(tx, next)
    return { ...continued, project, new_origin: next.origin }
  })
}

/**
 * The number of the next log: behind those of which there are files, too. A backup that was made while the log was rotated, or an older
 * database in the place of one that rotated it, knows nothing of a log that the world may have seen; its files stay what they are.
 */
async function nextFreeShard(
  folders: AuditFolders,
  { project_id, shard }: Pick<store.Log, 'project_id' | 'shard'>,
): Promise<number> {
  for (let next = shard + 1; ; next++) {
    const onDisk = folders.tiles ? [] : await ifThere(readdir(logFolder(folders, project_id, next)), [])
    if (onDisk.length === 0 && (await readLogText(folders, { project_id, shard: next }, CHECKPOINT)) === '') return next
  }
}

/**
 * Writes the day files of a project anew from the rows of its closed logs: they are projections, and those at hand may
 * hold lines of events that the restored database does not know. The folder must be empty of them; the sequencer adds
 * the open log's lines.
 */
export async function rebuildDayFiles(
  db: Database,
  folders: AuditFolders,
  project: string,
  slug: string | undefined,
): Promise<void> {
  await writeClosedLogs(db, await openDayFiles(dayFolder(folders, project, slug)), project)
}

/** Writes what day files lack of closed logs; nothing, unless they were lost or are being made anew. */
export async function writeClosedLogs(db: Database, days: DayFiles, project: string): Promise<void> {
  const { shard, index } = days.cursor
  const logs = (await db.sequence(logRows.listAllLogs)).filter(
    (log) => log.project_id === project && log.closed_at !== null && log.dropped_at === null && log.shard >= shard,
  )
  for (const log of logs) {
    for (let from = log.shard === shard ? index : 0; from < log.size; ) {
      const rows = await db.sequence((tx) => logRows.listPlacedRows(tx, log, from, PAGE))
      if (rows.length === 0) break
      from += rows.length
      await days.write(rows, { shard: log.shard, index: from })
    }
  }
}
