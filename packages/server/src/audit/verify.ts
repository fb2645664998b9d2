import type { VerifyReport } from '@writ/api'
import { toBase64, toUtf8, verifyLog } from '@writ/tlog'
import { type Database, inProject, type Tx } from '../platform/db/index.ts'
import { compareRows } from './compare-rows.ts'
import { findContinuation, openNote } from './continuation.ts'
import { createDayComparison, type DayComparison } from './day-comparison.ts'
import { createDropCheck, type DropCheck } from './drop-check.ts'
import { createErasureCheck, type ErasureCheck } from './erasure-check.ts'
import { type Fault, Found } from './finding.ts'
import { type AuditFolders, dayFolder, type LogReader, openLogReader, readLogText } from './folders.ts'
import { loadLogVkeys } from './log-keys.ts'
import { type LogSnapshot, readKeyChanges, snapshotLog } from './log-snapshot.ts'
import { CHECKPOINT, readLogFile } from './log-store.ts'
import { sha256, verifyEd25519 } from './node-crypto.ts'
import { createSequenceCheck, type SequenceCheck } from './sequence-check.ts'
import * as store from './store.ts'
import * as logRows from './store-logs.ts'

/** Entries that were hashed and rows that were compared, of all logs of the project so far; `size` of the log that is being verified. */
export interface VerifyProgress {
  readonly entries: number
  readonly rows: number
  readonly size: number
}

export interface VerifyOptions {
  readonly db: Database
  readonly folders: AuditFolders
  readonly project: string
  readonly slug: string | undefined
  /** Checkpoints kept from earlier, of this log or of those that it continues. */
  readonly kept?: string | readonly string[] | undefined
  readonly snapshot?: LogSnapshot | undefined
  /** The number of a run that ended after a time and of whose end no event tells; given by who knows of runs. */
  readonly findUntoldEnd: (tx: Tx, since: number) => Promise<number | undefined>
  readonly onProgress?: ((done: VerifyProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Verifies one project's log from four sides and names the first bad entry:
 *
 * - the files by themselves: signature, every entry against its leaf, every tile, root, the kept checkpoints;
 * - every row against the entry in the log, its payload against the commitment, its columns against the payload;
 * - every day file against the lines that follow from the rows, byte for byte;
 * - the events of every run against its own numbers, and every run that ended against the event that tells of it.
 *
 * A log that continues a closed one is verified with it: the closed log to its last checkpoint, which the
 * first entry of the next names. The report is that of the open log, or of the one in which the fault is.
 *
 * Rows committed after the last checkpoint are not in the log yet and are left out. Reads only, also beside a running
 * server. Page by page, in memory that grows only with runs of several events.
 */
export async function verifyProjectLog(options: VerifyOptions): Promise<VerifyReport> {
  const { db, folders, project } = options
  const readLogs = () => inProject(project, () => db.read(store.listLogs))
  let logs = await readLogs()
  const last = logs.at(-1)
  if (!last) throw new Error(`project ${project} has no log`)
  const snapshot = options.snapshot ?? {
    ...(await snapshotLog(folders, project, last.shard, options.slug)),
    recorded: last.checkpoint,
  }
  // Rows are read after the files, so that on a running server they can only be ahead.
  logs = await readLogs()
  const open = logs.at(-1)!
  const checked = { entries: 0, rows: 0, day_files: 0 }
  let log = open
  let at: { size: number; root: Uint8Array; text: string } | undefined
  const report = (fault: Fault | null): VerifyReport => ({
    ok: fault === null,
    code: fault?.code ?? null,
    reason: fault?.reason ?? null,
    index: fault?.index ?? null,
    path: fault?.path ?? null,
    origin: log.origin,
    size: at?.size ?? 0,
    root: at ? toBase64(at.root) : '',
    checkpoint: at?.text ?? '',
    checked,
    dropped: logs.filter((one) => one.dropped_at !== null).map(({ shard, origin, size }) => ({ shard, origin, size })),
  })
  const readers: LogReader[] = []
  const days = createDayComparison(dayFolder(folders, project, options.slug), snapshot.days, checked)
  const erasures = createErasureCheck(db, project)
  const sequences = createSequenceCheck({ db, project }, 'beginning')
  const firstRows = (shard: number, limit: number) =>
    inProject(project, () => db.read((tx) => store.listLogRows(tx, shard, 0, limit)))
  const drops = createDropCheck(firstRows)
  try {
    const kept = keptByOrigin(options.kept, logs)
    for (const [i, one] of logs.entries()) {
      log = one
      at = undefined
      const following = logs.slice(i + 1)
      const [next] = following
      if (one.closed_at === null && next) throw new Found(notContinued(one, next))
      if (one.dropped_at !== null) {
        await drops.expect(one, following, kept.get(one.origin) ?? [])
        continue
      }
      const end = await findContinuation(one.origin, following, firstRows)
      if (next && !end) throw new Found(notContinued(one, next))
      const reader = await openLogReader(folders, one.project_id, one.shard)
      readers.push(reader)
      const files = await verifyFiles({
        ...options,
        reader,
        log: one,
        checkpoint: next ? await readLogText(folders, one, CHECKPOINT) : snapshot.checkpoint,
        keyChanges: next ? undefined : snapshot.keyChanges,
        recorded: next ? null : snapshot.recorded,
        // The end that the next log names counts as kept: a closed log can be cut no more than an open one.
        kept: [...(kept.get(one.origin) ?? []), ...(end?.last_checkpoint ? [end.last_checkpoint] : [])],
        checked,
      })
      at = files?.at
      await compareLog(options, one, files, end?.restored_size, { days, checked, erasures, drops, sequences })
    }
    if (open.closed_at !== null)
      throw new Found({ code: 'LOG_CLOSED', reason: `${open.origin} is closed and nothing continues it` })
    const { orphans } = await inProject(project, () => db.read((tx) => store.countLogRows(tx, open.shard)))
    if (orphans > 0)
      throw new Found({
        code: 'ROW_ORPHANED',
        reason: `${orphans} events have lost their place in the order of the log`,
      })
    // What ended in a log that was dropped is told of nowhere any more.
    const since = logs.reduce((newest, one) => Math.max(newest, one.dropped_until ?? 0), 0)
    const untold = await inProject(project, () => db.read((tx) => options.findUntoldEnd(tx, since)))
    if (untold !== undefined)
      throw new Found({
        code: 'RUN_EVENT_MISSING',
        reason: `the run ${untold} has ended, and no event tells of it`,
      })
    await erasures.end()
    drops.end()
    await days.end()
    return report(null)
  } catch (error) {
    if (error instanceof Found) return report(error.fault)
    throw error
  } finally {
    await Promise.all(readers.map((reader) => reader.close()))
  }
}

interface VerifiedFiles {
  readonly at: { size: number; root: Uint8Array; text: string }
  readonly read: (path: string) => Promise<Uint8Array | null>
}

/** The files by themselves, and against every checkpoint kept. Undefined for a log in which nothing was published yet. */
async function verifyFiles(
  on: Pick<VerifyOptions, 'folders' | 'project' | 'onProgress' | 'signal'> & {
    reader: LogReader
    log: store.Log
    checkpoint: string
    /** Those at the moment of the checkpoint; all that there are where they are left out. */
    keyChanges: readonly string[] | undefined
    recorded: string | null | undefined
    kept: readonly string[]
    checked: { entries: number; rows: number }
  },
): Promise<VerifiedFiles | undefined> {
  const { folders, log, checkpoint } = on
  const held = await loadLogVkeys(folders.keys, log.origin)
  const keys = logRows.vkeysOf(log)
  // Keys are made before the row is told of them, so those held here may be one ahead.
  if (held.length > 0 && keys.some((key, i) => key !== held[i]))
    throw new Found({
      code: 'KEY_CHANGED',
      reason: `the database names another key for ${log.origin} than its signer has`,
    })
  if (log.vkey === null || (log.size === 0 && checkpoint === '')) {
    if (checkpoint === '' && on.kept.length === 0 && log.size === 0) return undefined
    throw new Found({
      code: 'LOG_EMPTIED',
      reason: `${log.origin} was published, but the database knows nothing of it`,
    })
  }
  const recorded = on.recorded ? openNote(on.recorded) : undefined
  const shown = openNote(checkpoint)
  if (recorded && shown && recorded.size > shown.size)
    throw new Found({
      code: 'LOG_TRUNCATED',
      reason: `the log has ${shown.size} entries, but the database recorded a checkpoint of ${recorded.size}`,
    })
  const read = (path: string) =>
    path === CHECKPOINT ? Promise.resolve(checkpoint === '' ? null : toUtf8(checkpoint)) : readLogFile(on.reader, path)
  const keyChanges = on.keyChanges ?? (await readKeyChanges(on.reader))
  // The content is hashed with the first; a further kept checkpoint is checked the same way.
  const others = on.kept.filter((note) => note !== checkpoint)
  const rounds = others.length === 0 ? [undefined] : others
  for (const [round, kept] of rounds.entries()) {
    const verdict = await verifyLog({
      read,
      // The first key leads to all others by what the log itself says of them.
      vkeys: [keys[0]!],
      keyChanges,
      origin: log.origin,
      hash: sha256,
      verify: verifyEd25519,
      ...(kept === undefined ? {} : { kept }),
      ...(on.onProgress
        ? { onProgress: ({ entries, size }) => on.onProgress!({ entries, rows: on.checked.rows, size }) }
        : {}),
      ...(on.signal ? { signal: on.signal } : {}),
      onEntry: () => {
        if (round === 0) on.checked.entries++
        return undefined
      },
    })
    if (!verdict.ok) throw new Found(verdict)
    if (round === rounds.length - 1) {
      const { size, root } = verdict.checkpoint
      return { at: { size, root, text: checkpoint }, read }
    }
  }
  return undefined
}

async function compareLog(
  options: VerifyOptions,
  log: store.Log,
  files: VerifiedFiles | undefined,
  restoredSize: number | undefined,
  on: {
    days: DayComparison
    checked: { entries: number; rows: number }
    erasures: ErasureCheck
    drops: DropCheck
    sequences: SequenceCheck
  },
): Promise<void> {
  const { db, project, signal, onProgress } = options
  const published = files?.at.size ?? 0
  // An open log's rows may be ahead of its checkpoint, never behind it. A closed log ends where the next one says.
  const size = restoredSize ?? published
  if (restoredSize !== undefined && restoredSize !== log.size)
    throw new Found({
      code: 'ROW_MISSING',
      reason: `${log.origin} was closed with ${restoredSize} entries, not ${log.size}`,
    })
  if (files) await compareRows({ ...on, db, project, log, size, published, read: files.read, signal, onProgress })
  // Places and the log's size are given in one transaction: anything but equal was done by somebody else.
  const { placed, recorded } = await inProject(project, () => db.read((tx) => store.countLogRows(tx, log.shard)))
  if (placed !== recorded || placed < size)
    throw new Found({
      code: 'ROW_MISSING',
      reason: `${log.origin} has ${Math.max(size, recorded)} entries, the database ${placed} rows that have a place in it`,
    })
}

const notContinued = (log: store.Log, next: store.Log): Fault => ({
  code: 'LOG_NOT_CONTINUED',
  index: 0,
  reason: `${next.origin} stands in the place of ${log.origin}, but does not begin with its end`,
})

/** Kept checkpoints by the log they are of. One of a log that is not there any more is a finding: it was replaced. */
function keptByOrigin(kept: VerifyOptions['kept'], logs: readonly store.Log[]): Map<string, string[]> {
  const notes = kept === undefined ? [] : typeof kept === 'string' ? [kept] : kept
  const byOrigin = Map.groupBy(notes, (note) => openNote(note)?.origin ?? '')
  for (const origin of byOrigin.keys()) {
    if (origin === '') throw new Found({ code: 'KEPT_MALFORMED', reason: 'the kept checkpoint cannot be read' })
    if (!logs.some((log) => log.origin === origin))
      throw new Found({
        code: 'KEPT_ORIGIN',
        reason: `the kept checkpoint is of ${origin}, which this project has no more`,
      })
  }
  return byOrigin
}
