import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises'
import { formatKeyChange, keyChangePath, toBase64 } from '@writ/tlog'
import type { Clock } from '../platform/clock.ts'
import { type Database, DatabaseUnavailable, INSTANCE, type RequestMark } from '../platform/db/index.ts'
import { eachAlone } from '../platform/each-alone.ts'
import { randomToken } from '../platform/ids.ts'
import type { Logger } from '../platform/log.ts'
import { createTrouble } from '../platform/trouble.ts'
import { type Actor, appendUnfenced, SYSTEM } from './append.ts'
import { sizeOfNote } from './continuation.ts'
import { type ContinuedLog, continueLog, writeClosedLogs } from './continue-log.ts'
import { dayOf } from './day-file.ts'
import { type DayFiles, openDayFiles } from './day-files.ts'
import { eachParallel } from './durable-file.ts'
import { type AuditFolders, dayFolder, openLogStore, signerStateFile } from './folders.ts'
import { LogError, LogStoreUnavailable } from './log-error.ts'
import { type LogFiles, openLogFiles } from './log-files.ts'
import { CHECKPOINT } from './log-store.ts'
import { sha256 } from './node-crypto.ts'
import { type RecentRow, recentRows } from './recent.ts'
import { announceKeys } from './rotate-log-key.ts'
import { createSigner, type Signer } from './signer.ts'
import type * as store from './store.ts'
import * as erasures from './store-erasure.ts'
import * as logRows from './store-logs.ts'

/** Entries that one statement places, or reads back. */
const BATCH = 5_000
/** Entries that are published together at most, where they are at hand: what a round costs besides is waiting for the disk. */
const GROUP = 4 * BATCH
/** Found so often that another one leads, a second apart, this process begins as one that follows. */
const BESIDE = 2
/** Logs that are written side by side: one alone mostly waits for the disk, which syncs several at the price of one. */
const AT_ONCE = 8
const RECORD_EVERY_MS = 60_000
/** Events of a dropped log that go in one transaction, and how long a round does that: others wait for the one, their log for the other. */
const SLICE = 500
const CLEARING_MS = 100
/** Of the time that a round took, but of no more than the interval: what the next one leaves to everybody else. */
const LEAST_REST = 0.1

/** Root of the empty tree (RFC 6962, 2.1): what a log without entries has. */
export const EMPTY_ROOT = '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='

/** A new log's name: scheme-less, random, so that a witness learns nothing of the project. */
export const newOrigin = (): string => `writ.log/${Buffer.from(randomToken(16), 'base64url').toString('hex')}`

/** The published log is longer than the database: a backup was restored. Going on would sign a second history. */
export class LogAheadOfDatabase extends Error {
  override name = 'LogAheadOfDatabase'
  constructor(project: string, published: number, stored: number) {
    const whose = project === INSTANCE ? 'the instance' : `project ${project}`
    super(
      `The log of ${whose} was published with ${published} entries, but the database knows ${stored}: an older database was put in place. ` +
        'Start with the newest database, or run "writ restore --accept-loss --reason <why>" to close this log and continue in a new one that says so.',
    )
  }
}

/** Files, keys and database of a log do not fit together. */
const isDamage = (error: unknown) => error instanceof LogAheadOfDatabase || error instanceof LogError
/** What the next log would meet as well. */
const stopsAll = (error: unknown) =>
  isDamage(error) || error instanceof DatabaseUnavailable || error instanceof LogStoreUnavailable

/** The log cannot be closed at this moment, or not by this process. */
export class LogBusy extends Error {
  override name = 'LogBusy'
}

export interface Sequencer {
  /** Becomes the leader and works until stopped. Rejects with what must stop the server (LogAheadOfDatabase, LogError). */
  run(signal: AbortSignal): Promise<void>
  /** Resolves when all that is committed now is in the logs and day files. */
  settle(): Promise<void>
  /** Resolves when the first round as the leader went well, so that the logs fit the database; or when another one leads. */
  readonly first: Promise<void>
  /**
   * Closes the open log of a project and opens the next, which begins with its end. Throws LogBusy when this process does
   * not write the log, or the log has not caught up, or was closed by another rotation meanwhile. `mark` goes into the new log's first
   * entry, by which the same request finds what it did.
   */
  rotate(project: string, by: Actor, reason: string, mark?: RequestMark | null): Promise<ContinuedLog>
  /** Rotates every log that is older or larger than the policy allows; 0 is no limit. Nothing to do beside another leader. */
  rotateDue(policy: { days: number; entries: number }): Promise<void>
  /** Runs `work` while no log or day file is being written. */
  hold<T>(work: () => Promise<T>): Promise<T>
  readonly health: { readonly leading: boolean; readonly failing: string | null; readonly integrated: number }
}

type PlacedRow = RecentRow & { readonly log_index: number }

interface OpenLog {
  readonly row: store.Log
  readonly files: LogFiles
  readonly signer: Signer
  readonly days: DayFiles
}

/**
 * Puts committed events into their logs: one sequencer in the world works at a time, and recovery is the normal path.
 *
 * 1. Places are given in the database and committed. Stopped here: the next round reads the same rows in the same order.
 * 2. Bundles and tiles are written and fsynced, then the signer remembers and signs. Stopped here: the same bytes again.
 * 3. The checkpoint is renamed into place: published. 4. Day files follow with a memory of their own.
 *
 * An old leader that wakes late is refused three times: by the compare-and-set on logs.size, by the unique place, and by
 * the signer, which signs only what continues the state it signed last.
 */
export function createSequencer(options: {
  db: Database
  clock: Clock
  log: Logger
  folders: AuditFolders
  intervalMs: number
  slugOf(project: string): Promise<string | undefined>
}): Sequencer {
  const { db, clock, log, folders } = options
  const open = new Map<string, OpenLog>()
  /** Projects whose log is being closed and continued. */
  const rotating = new Set<string>()
  let working: Promise<void> = Promise.resolve()
  let recordedAt = Number.NEGATIVE_INFINITY
  // Whether the next round looks at all logs, and not only at those that have something to place. What was placed and not
  // published is known to whoever placed it alone, which is this process unless it has just begun.
  let lookAtAll = true
  /** By the origin of a dropped log the time up to which its lines are gone from the day files. */
  const clearing = new Map<string, number>()
  const first = Promise.withResolvers<void>()
  // Somebody may lead, we or another process; without `run` this is a tool that works alone.
  let following = false
  const health = { leading: false, failing: null as string | null, integrated: 0 }
  const trouble = createTrouble(log, {
    stopped: 'audit events do not go into the log',
    again: 'audit events go into the log again',
  })

  async function openLog(row: store.Log): Promise<OpenLog> {
    const known = open.get(row.project_id)
    if (known?.row.shard === row.shard) return { ...known, row }
    const [files, signer, days] = await Promise.all([
      openLogFiles({
        store: await openLogStore(folders, row.project_id, row.shard),
        origin: row.origin,
        hash: sha256,
      }),
      createSigner({
        keysDir: folders.keys,
        origin: row.origin,
        stateFile: signerStateFile(folders, row.origin),
        isNamed: row.vkey !== null,
        now: clock.now,
      }),
      openDayFiles(dayFolder(folders, row.project_id, await options.slugOf(row.project_id))),
    ])
    const keys = (await signer.keys.list()).map((key) => key.vkey)
    if (row.vkey === null) await db.sequence((tx) => logRows.setVkey(tx, row, signer.vkey))
    else if (!keys.includes(row.vkey))
      throw new LogError('SIGNER_REFUSED', `the keys of ${row.origin} are older than its log, which names ${row.vkey}`)
    // A rotation was stopped before the logs were told.
    else if (row.vkey !== keys.at(-1))
      await announceKeys({ db, log: row, keys: signer.keys, now: clock.now(), by: SYSTEM })
    const published = Math.max(files.published.size, (await signer.last()).size)
    if (published > row.size) throw new LogAheadOfDatabase(row.project_id, published, row.size)
    // Published by a process that was stopped before it told the database: with nothing more to publish nobody else would.
    if (files.published.size > sizeOfNote(row.checkpoint)) {
      const checkpoint = Buffer.from((await files.read(CHECKPOINT))!).toString()
      await db.sequence((tx) => logRows.setCheckpoint(tx, row, toBase64(files.published.root), checkpoint))
    }
    if (days.aside)
      log.warn(
        { project: row.project_id, folder: days.aside },
        'day files were there without .cursor.json: they were put aside, and all lines are written anew',
      )
    // A folder of day files that was lost is made again whole, not only from the log that is open on.
    if (days.cursor.shard < row.shard) await writeClosedLogs(db, days, row.project_id)
    const opened = { row, files, signer, days }
    await known?.files.close()
    open.set(row.project_id, opened)
    return opened
  }

  /** One round over every log that may have moved: it costs by what moved, however many projects are quiet. */
  async function round(): Promise<void> {
    const record = clock.steady() - recordedAt >= RECORD_EVERY_MS
    const all = lookAtAll || record
    // Stopped or failing anywhere in here, the next round looks at all again.
    lookAtAll = true
    const { logs, lag } = await db.sequence(async (tx) => {
      const pending = new Set(await logRows.listPendingProjects(tx))
      const rows = all ? await logRows.listOpenLogs(tx) : await logRows.listMovedLogs(tx, [...pending])
      const logs = rows.map((row) => ({ row, pending: pending.has(row.project_id) }))
      return { logs, lag: await erasures.filesLag(tx) }
    })
    const moved = logs.filter(({ row, pending }) => pending || !caughtUp(row))
    const failures: unknown[] = []
    await eachParallel(moved, AT_ONCE, async ({ row }) => {
      try {
        await integrate(row)
      } catch (error) {
        await forgetLog(row.project_id)
        // What one log has met by itself, such as a folder that cannot be written, holds up no other one.
        if (stopsAll(error)) throw error
        failures.push(error)
      }
    })
    recentRows.endRound()
    if (lag)
      // A day that cannot be written anew keeps no other from it, and no checkpoint from being recorded.
      await eachAlone([writeErasures, clearDropped], (work) => work(), stopsAll).catch((error) => {
        if (stopsAll(error)) throw error
        failures.push(error)
      })
    if (record) {
      recordedAt = clock.steady()
      await recordCheckpoints(logs.map((one) => one.row))
    }
    if (failures.length > 0) throw failures[0]
    lookAtAll = false
  }

  /** It is opened again from its files, whatever was done to it in memory. */
  async function forgetLog(project: string): Promise<void> {
    const known = open.get(project)
    open.delete(project)
    await known?.files.close()
  }

  async function forgetLogs(): Promise<void> {
    await Promise.all([...open.keys()].map(forgetLog))
  }

  function caughtUp(row: store.Log): boolean {
    const known = open.get(row.project_id)
    return (
      known?.row.shard === row.shard &&
      known.files.published.size === row.size &&
      known.days.cursor.index >= row.size &&
      known.days.cursor.shard === row.shard
    )
  }

  async function integrate(row: store.Log): Promise<void> {
    const { files, signer, days } = await openLog(row)
    let size = row.size
    for (;;) {
      const places: logRows.Placement[] = []
      const before = size
      let placed: number
      do {
        const more = await db.sequence((tx) => logRows.placeAppends(tx, { ...row, size }, BATCH))
        places.push(...more)
        placed = more.reduce((sum, place) => sum + place.entries, 0)
        size += placed
      } while (placed >= BATCH && size - before < GROUP)
      while (files.published.size < size) {
        const { from, rows } = await publish(row, files, signer, places, size)
        // The rows at hand are the next lines, unless the day files are behind after a crash.
        if (days.cursor.shard === row.shard && days.cursor.index === from)
          await days.write(rows, { shard: row.shard, index: from + rows.length })
      }
      await writeDays(row, days, size)
      if (placed < BATCH) break
    }
    await handOver(row, files, signer)
  }

  /**
   * After a rotation: keeps the proof that the log itself names the new key, under a checkpoint that the old key signed.
   * Stopped anywhere in here, the old key signs on and the next round does it again.
   */
  async function handOver(row: store.Log, files: LogFiles, signer: Signer): Promise<void> {
    const keys = await signer.keys.list()
    const n = keys.findIndex((key) => key.until !== null && !key.handed_over)
    if (n < 0) return
    const place = await db.sequence((tx) => logRows.findKeyChange(tx, row, keys[n + 1]!.vkey))
    const { size } = files.published
    if (!place || place.log_index >= size) return
    const path = keyChangePath(n)
    if ((await files.read(path)) === null) {
      const checkpoint = Buffer.from((await files.read(CHECKPOINT))!).toString()
      const hashes = await files.proveEntry(place.log_index, size)
      await files.keep(path, formatKeyChange({ entry: place.entry, index: place.log_index, hashes, checkpoint }))
    }
    await signer.keys.handedOver(n)
  }

  async function publish(
    row: store.Log,
    files: LogFiles,
    signer: Signer,
    places: readonly logRows.Placement[],
    size: number,
  ): Promise<{ from: number; rows: readonly PlacedRow[] }> {
    const from = files.published.size
    const rows = await rowsFrom(row, from, places, size)
    const gap = rows.findIndex((one, i) => one.log_index !== from + i)
    if (rows.length === 0 || gap >= 0)
      throw new LogError('LOG_GAP', `no row for entry ${from + Math.max(gap, 0)} of ${row.origin}: a row was deleted`)
    const state = await files.integrate(
      from,
      rows.map((one) => one.entry),
    )
    const last = await signer.last()
    const checkpoint = await signer.sign({
      ...state,
      consistencyProof: last.size === 0 || last.size === state.size ? [] : await files.proveFrom(last.size),
    })
    await files.publish(checkpoint)
    await db.sequence((tx) => logRows.setCheckpoint(tx, row, toBase64(state.root), checkpoint))
    health.integrated += rows.length
    return { from, rows }
  }

  /**
   * The next rows to publish. Those that this process appended are mostly at hand, and need not be read back; the newest
   * may be committed and not here yet, or come from another process. One that was erased meanwhile gets its line in the
   * day file as it was, and loses it in the same round as any other (`writeErasures`).
   */
  async function rowsFrom(
    row: store.Log,
    from: number,
    places: readonly logRows.Placement[],
    size: number,
  ): Promise<readonly PlacedRow[]> {
    const rows: PlacedRow[] = []
    const beginning = new Map(places.map((place) => [place.log_index, place]))
    for (let at = from; at < size; at = from + rows.length) {
      const place = beginning.get(at)
      const recent = place && recentRows.take(place.first_id)
      if (recent) {
        for (const [i, one] of recent.entries()) rows.push({ ...one, log_index: at + i })
        continue
      }
      if (rows.length >= BATCH) break
      const until = places.find((one) => one.log_index > at && recentRows.has(one.first_id))?.log_index ?? size
      const read = await db.sequence((tx) => logRows.listPlacedRows(tx, row, at, Math.min(until - at, BATCH)))
      if (read.length === 0) break
      rows.push(...read)
    }
    return rows
  }

  async function writeDays(row: store.Log, days: DayFiles, size: number): Promise<void> {
    for (;;) {
      const from = days.cursor.shard === row.shard ? days.cursor.index : 0
      if (from >= size) return
      const rows = await db.sequence((tx) => logRows.listPlacedRows(tx, row, from, BATCH))
      if (rows.length === 0) return
      await days.write(rows, { shard: row.shard, index: from + rows.length })
    }
  }

  const daysOf = async (project: string): Promise<DayFiles> =>
    open.get(project)?.days ?? openDayFiles(dayFolder(folders, project, await options.slugOf(project)))

  /** Lines of erased payloads, in day files that were written before. Stopped in between: found again by the next round. */
  async function writeErasures(): Promise<void> {
    const all = await db.sequence(erasures.listUnwrittenErasures)
    const byProject = Map.groupBy(all, (one) => one.project_id)
    const write = async ([project, erased]: [string, typeof all]) => {
      const days = await daysOf(project)
      for (const [day, events] of Map.groupBy(erased, (one) => dayOf(one.timestamp))) {
        await days.rewrite(day, () => rowsOfDay(project, day))
        await db.sequence((tx) =>
          erasures.setErasuresWritten(
            tx,
            project,
            events.map((one) => one.event_id),
          ),
        )
      }
    }
    await eachAlone(byProject, write, stopsAll)
  }

  /**
   * What is left of logs that retention dropped: day files up to their newest event are written anew without them, then their rows go,
   * then the tiles; the last checkpoint stays. Rows take many rounds, so that events of everybody else go into their logs meanwhile.
   * Stopped in between: the next round goes on, and writes the days once more.
   */
  async function clearDropped(): Promise<void> {
    const enough = performance.now() + CLEARING_MS
    const clear = async (log: store.Log) => {
      if (performance.now() >= enough) return
      const project = log.project_id
      let cleared = clearing.get(log.origin)
      if (cleared === undefined) {
        cleared = log.dropped_until ?? 0
        await clearDays(project, 0, cleared)
        clearing.set(log.origin, cleared)
      }
      while (await db.sequence((tx) => erasures.deleteDropped(tx, log, SLICE))) {
        if (performance.now() >= enough) return
        // Who asked meanwhile is heard before the next slice.
        await immediate()
      }
      // Slices of any of the rounds may have met newer events than the log was thought to have.
      await clearDays(project, cleared, await db.sequence((tx) => erasures.findDroppedUntil(tx, log)))
      const files = await openLogStore(folders, project, log.shard)
      await files.dropTiles().finally(files.close)
      await db.sequence((tx) => erasures.setFilesGone(tx, log, clock.now()))
      clearing.delete(log.origin)
    }
    await eachAlone(await db.sequence(erasures.listDroppedLogs), clear, stopsAll)
  }

  /** Writes the day files of days behind the one of `after`, up to that of `until`, anew from the rows that are left. */
  async function clearDays(project: string, after: number, until: number): Promise<void> {
    const days = await daysOf(project)
    for (const day of await days.list())
      if (day > dayOf(after) && day <= dayOf(until)) await days.regenerate(day, rowsOfDay(project, day))
  }

  const rowsOfDay = (project: string, day: string) => erasures.rowsOfDay((work) => db.sequence(work), project, day)

  /** The log of logs: the instance log records the checkpoint of every project that moved. */
  async function recordCheckpoints(rows: readonly store.Log[]): Promise<void> {
    const moved = rows.filter(
      (row) => row.project_id !== INSTANCE && (open.get(row.project_id)?.files.published.size ?? 0) > row.recorded_size,
    )
    if (moved.length === 0) return
    await db.sequence(async (tx) => {
      for (const row of moved) {
        const { size, root } = open.get(row.project_id)!.files.published
        await appendUnfenced(tx, INSTANCE, clock.now(), SYSTEM, {
          type: 'project.checkpoint',
          resource: { type: 'log', id: row.project_id },
          action: `Recorded checkpoint of ${row.origin}`,
          details: { origin: row.origin, size, root: toBase64(root) },
        })
        await logRows.setRecordedSize(tx, row, size)
      }
    })
  }

  /** The open log of a project, if this process may close it. Throws LogBusy. */
  async function rotatable(project: string): Promise<store.Log> {
    const row = await db.sequence((tx) => logRows.findOpenLogOf(tx, project))
    if (!row || (following && !health.leading)) throw new LogBusy('another server writes it')
    if (row.size === 0) throw new LogBusy('it has no entries')
    if (!caughtUp(row)) throw new LogBusy('it has not caught up')
    return row
  }

  function work(): Promise<void> {
    working = working.catch(() => {}).then(round)
    return working
  }

  async function lead(signal: AbortSignal): Promise<void> {
    let refused = 0
    const leadership = await db.lead('sequencer', signal, () => {
      // Once may be the connection of a process that was just killed, before the database has noticed.
      if (++refused === BESIDE) first.resolve()
    })
    const stop = AbortSignal.any([signal, leadership.lost])
    health.leading = true
    const rest = (ms: number) => sleep(ms, undefined, { signal: stop }).catch(() => {})
    let take = () => {}
    const endReading = recentRows.read(() => take())
    await forgetLogs()
    lookAtAll = true
    try {
      while (!stop.aborted) {
        const began = performance.now()
        try {
          await work()
          trouble.over()
          health.failing = null
          first.resolve()
        } catch (error) {
          if (isDamage(error)) {
            if (await leadership.held()) throw error
            // A leader that was paused and is none any more meets what its successor wrote. That is no damage; it follows.
            log.warn({ err: error }, 'leadership was lost; what this process was about to publish is refused')
            break
          }
          // The outbox is durable: what could not be placed waits, and readiness says so.
          trouble.met(error)
          health.failing = error instanceof Error ? error.message : String(error)
        }
        // A fixed pace, whatever is committed: one fsync group and one signature serve all of it. A round's own time counts, or
        // a change that just missed one would wait for it twice. Before there are more than this process can keep at hand, the
        // next one begins early: it would have to read them back.
        const took = performance.now() - began
        await rest(Math.min(took, options.intervalMs) * LEAST_REST)
        if (took >= options.intervalMs) continue
        const many = Promise.withResolvers<void>()
        // What could not be placed is not tried again at once, however much of it there is.
        take = health.failing === null ? many.resolve : () => {}
        if (recentRows.many) take()
        await Promise.race([many.promise, rest(options.intervalMs - took)])
      }
      if (signal.aborted) await work().catch((err) => log.error({ err }, 'audit events wait for the next start'))
    } finally {
      health.leading = false
      endReading()
      await forgetLogs()
      await leadership.release()
    }
  }

  function hold<T>(rest: () => Promise<T>): Promise<T> {
    const held = working
      .catch(() => {})
      .then(() => {
        // What is done between rounds may close a log and place the first entry of the next.
        lookAtAll = true
        return rest()
      })
    working = held.then(
      () => {},
      () => {},
    )
    return held
  }

  async function settle(): Promise<void> {
    // Only the leader may write. Beside one, all that can be done is to see it through, for a while.
    for (
      const end = performance.now() + 5_000;
      following && !health.leading && performance.now() < end;
      await sleep(options.intervalMs)
    ) {
      if ((await db.sequence((tx) => logRows.listPendingProjects(tx))).length === 0) return
    }
    if (following && !health.leading) return
    // The round under way may have read before the last commit; the one after it has not.
    await working.catch(() => {})
    await work()
  }

  async function rotate(project: string, by: Actor, reason: string, mark: RequestMark | null): Promise<ContinuedLog> {
    await settle()
    const old = await hold(() => rotatable(project))
    // The old log names the new one by its key, so that whoever follows the one has to trust nothing anew. Stopped behind this,
    // it names a log that never came to be, and the next rotation names another.
    const origin = newOrigin()
    const stateFile = signerStateFile(folders, origin)
    const { vkey } = await createSigner({ keysDir: folders.keys, origin, stateFile, now: clock.now })
    await db.sequence((tx) =>
      appendUnfenced(tx, project, clock.now(), by, {
        type: 'log.succeeded',
        // In the leaf, as the key of a rotation is: who reads only the tiles can follow it.
        resource: { type: 'log_key', id: vkey },
        action: `The log ${old.origin} will be continued by ${origin}`,
        details: { origin: old.origin, new_origin: origin, new_vkey: vkey, reason },
      }),
    )
    await settle()
    return hold(async () => {
      const row = await rotatable(project)
      // The log that was closed meanwhile names another successor; the one that is open now names none.
      if (row.shard !== old.shard) throw new LogBusy('it was closed by another rotation at the same time')
      // Nothing tells of it afterwards: what witnesses of the instance log are to stand for is recorded to its end. Stopped behind
      // this, it was recorded early.
      await recordCheckpoints([row])
      const slug = await options.slugOf(project)
      const operator = by.username ?? 'retention'
      const now = clock.now()
      return continueLog({ db, folders, project, slug, operator, reason, origin, now, by, from: row, mark })
    })
  }

  return {
    health,
    async run(signal) {
      following = true
      while (!signal.aborted) await lead(signal)
      following = false
    },
    async rotate(project, by, reason, mark = null) {
      // A log is closed once, and names one successor; the second request would close the new one, which names none.
      if (rotating.has(project)) throw new LogBusy('it is being rotated')
      rotating.add(project)
      return rotate(project, by, reason, mark).finally(() => rotating.delete(project))
    },
    async rotateDue({ days, entries }) {
      if (days === 0 && entries === 0) return
      // The first chore of a start comes before we lead.
      await Promise.race([first.promise, sleep(5_000, undefined, { ref: false })])
      if (!health.leading) return
      for (const row of await db.sequence(logRows.listOpenLogs)) {
        const old = days > 0 && clock.now() - row.opened_at >= days * 86_400_000
        const large = entries > 0 && row.size >= entries
        if (row.size > 1 && (old || large))
          await this.rotate(row.project_id, SYSTEM, `policy: ${old ? `${days} days` : `${entries} entries`}`).catch(
            (error: unknown) => {
              // Somebody does it by hand; the others are due none the less.
              if (!(error instanceof LogBusy)) throw error
            },
          )
      }
    },
    hold,
    first: first.promise,
    settle,
  }
}
