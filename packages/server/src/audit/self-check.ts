import {
  createTreeHasher,
  equalBytes,
  openCheckpoint,
  proveInclusion,
  TILE_WIDTH,
  tilePath,
  verifyInclusion,
} from '@writ/tlog'
import { type Database, inProject, type Tx } from '../platform/db/index.ts'
import { compareRow, readBundle } from './compare-rows.ts'
import { createDayComparison } from './day-comparison.ts'
import { dayOf, jsonlName, readableName } from './day-file.ts'
import { createErasureCheck } from './erasure-check.ts'
import { type Fault, Found } from './finding.ts'
import { type AuditFolders, dayFolder, openLogReader } from './folders.ts'
import type { LogSnapshot } from './log-snapshot.ts'
import { readLogFile } from './log-store.ts'
import { sha256, verifyEd25519 } from './node-crypto.ts'
import { createSequenceCheck } from './sequence-check.ts'
import * as store from './store.ts'
import * as erasures from './store-erasure.ts'
import * as logRows from './store-logs.ts'
import type { VerifyProgress } from './verify.ts'

const HASH_BYTES = 32

export interface SelfCheckOptions {
  readonly db: Database
  readonly folders: AuditFolders
  readonly project: string
  readonly slug: string | undefined
  readonly snapshot: LogSnapshot
  /** Entries of the open log below this were checked before, of this shard. */
  readonly since: { readonly shard: number; readonly index: number }
  /** Which share of the bundles below is looked at again, 0 to 1, and the dice for it. */
  readonly share: number
  readonly random: () => number
  /** How far it is in the log: what was looked at, and what was passed over as checked before. */
  readonly onProgress?: ((done: VerifyProgress) => void) | undefined
}

export interface SelfChecked {
  readonly fault: Fault | null
  /** Of the log that was looked at: of several of a project, the open one. */
  readonly origin: string
  readonly entries: number
  /** How far the open log is checked now. */
  readonly upTo: { readonly shard: number; readonly index: number }
}

/**
 * Compares a part of one log from all sides: entries against the signed root, rows against entries, payloads against
 * commitments, the day file of the newest day and of another day against rows. All that is new since last time, and a
 * random share of the old, so that sooner or later a change anywhere is met. A root alone says nothing of what is stored.
 */
export async function selfCheck(on: SelfCheckOptions): Promise<SelfChecked> {
  const { db, project } = on
  const logs = await inProject(project, () => db.read(store.listLogs))
  const log = logs.at(-1)
  if (!log) throw new Error(`project ${project} has no log`)
  const { origin } = log
  const checked = { entries: 0 }
  const since = on.since.shard === log.shard ? on.since.index : 0
  try {
    const size = await checkEntries(on, log, since, checked)
    await checkPlaces(on, log, size)
    await checkDays(on, log, size)
    return { fault: null, origin, entries: checked.entries, upTo: { shard: log.shard, index: size } }
  } catch (error) {
    if (error instanceof Found) return { fault: error.fault, origin, entries: checked.entries, upTo: on.since }
    throw error
  }
}

/** Answers the published size, of which the rest of the check speaks. */
async function checkEntries(on: SelfCheckOptions, log: store.Log, since: number, checked: { entries: number }) {
  const files = await openLogReader(on.folders, on.project, log.shard)
  try {
    return await compareEntries(on, log, (path) => readLogFile(files, path), since, checked)
  } finally {
    await files.close()
  }
}

async function compareEntries(
  on: SelfCheckOptions,
  log: store.Log,
  read: (path: string) => Promise<Uint8Array | null>,
  since: number,
  checked: { entries: number },
) {
  const { db, project } = on
  if (log.vkey === null || on.snapshot.checkpoint === '') {
    if (log.size === 0) return 0
    throw new Found({
      code: 'CHECKPOINT_MISSING',
      path: 'checkpoint',
      reason: `${log.origin} has no checkpoint any more`,
    })
  }
  const trust = { origin: log.origin, vkeys: logRows.vkeysOf(log), verify: verifyEd25519, hash: sha256 }
  const opened = await openCheckpoint(on.snapshot.checkpoint, trust)
  if (!opened.ok) throw new Found({ code: opened.code, path: 'checkpoint', reason: opened.reason })
  const { size, root } = opened.checkpoint
  if (size < since)
    throw new Found({ code: 'LOG_TRUNCATED', reason: `the log has ${size} entries, and ${since} were checked before` })
  const { leaf } = createTreeHasher(sha256)
  const erasures = createErasureCheck(db, project)
  const sequences = createSequenceCheck({ db, project }, 'anywhere')
  const bundles = Math.ceil(size / TILE_WIDTH)
  for (let bundle = 0; bundle < bundles; bundle++) {
    const from = bundle * TILE_WIDTH
    on.onProgress?.({ entries: from, rows: from, size })
    const isNew = from + TILE_WIDTH > since
    if (!isNew && on.random() >= on.share) continue
    const width = Math.min(TILE_WIDTH, size - from)
    const entries = await readBundle(read, bundle, size)
    // One proof ties the tile to the signed root; the leaves of the others are in that tile.
    const tile = await readTile(read, 0, bundle, width)
    for (const [i, entry] of entries.slice(0, width).entries())
      if (!equalBytes(leaf(entry), tile.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)))
        throw new Found({
          code: 'LEAF_MISMATCH',
          index: from + i,
          reason: `entry ${from + i} is not the one that was hashed`,
        })
    for (const index of new Set([from, from + width - 1])) {
      const proof = await proveInclusion({
        size,
        index,
        hash: sha256,
        readTile: (level, at, wide) => readTile(read, level, at, wide),
      })
      const own = leaf(entries[index - from]!)
      if (!verifyInclusion({ leaf: own, index, size, root, proof, hash: sha256 }))
        throw new Found({ code: 'TILE_MISMATCH', index, reason: `entry ${index} is not in the tree that was signed` })
    }
    const rows = await inProject(project, () => db.read((tx) => store.listLogRows(tx, log.shard, from, width)))
    for (let i = 0; i < width; i++) {
      const row = rows[i]
      if (row?.log_index !== from + i)
        throw new Found({
          code: 'ROW_MISSING',
          index: from + i,
          reason: `the log has entry ${from + i}, the database has no row for it`,
        })
      // Between old ones that are looked at again others are passed over, and with them events of the same runs.
      compareRow(row, entries[i]!, from + i, erasures, isNew ? sequences : undefined)
      checked.entries++
    }
  }
  await erasures.end()
  return size
}

async function readTile(
  read: (path: string) => Promise<Uint8Array | null>,
  level: number,
  index: number,
  width: number,
): Promise<Uint8Array> {
  const path = tilePath({ level, index, width })
  const bytes = await read(path)
  if (!bytes || bytes.length < width * HASH_BYTES)
    throw new Found({ code: 'FILE_MISSING', path, reason: `the hash tile ${path} is gone or cut` })
  return bytes.subarray(0, width * HASH_BYTES)
}

async function checkPlaces(on: SelfCheckOptions, log: store.Log, size: number): Promise<void> {
  const { placed, recorded, orphans } = await inProject(on.project, () =>
    on.db.read((tx) => store.countLogRows(tx, log.shard)),
  )
  if (placed !== recorded || placed < size)
    throw new Found({
      code: 'ROW_MISSING',
      reason: `${log.origin} has ${Math.max(size, recorded)} entries, the database ${placed} rows that have a place in it`,
    })
  if (orphans > 0)
    throw new Found({ code: 'ROW_ORPHANED', reason: `${orphans} events have lost their place in the order of the log` })
}

/** The day file of the newest day and of one other. */
async function checkDays(on: SelfCheckOptions, log: store.Log, size: number): Promise<void> {
  const { snapshot, project } = on
  const read = <T>(work: (tx: Tx) => Promise<T>) => inProject(project, () => on.db.read(work))
  const days = [...new Set(Object.keys(snapshot.days).map((name) => /\d{4}-\d\d-\d\d/.exec(name)?.[0] ?? ''))].sort()
  const newest = days.pop()
  const other = days[Math.floor(on.random() * days.length)]
  for (const day of [newest, other]) {
    if (!day) continue
    const sizes = Object.fromEntries(
      [jsonlName(day), readableName(day)].map((name) => [name, snapshot.days[name] ?? 0] as const),
    )
    const comparison = createDayComparison(dayFolder(on.folders, project, on.slug), sizes, { day_files: 0 })
    for await (const row of erasures.rowsOfDay(read, project, day)) {
      // What was written after the snapshot stands beyond the sizes that are compared.
      if (row.shard === log.shard && row.log_index >= size) break
      if (dayOf(row.timestamp) === day) await comparison.add(row, row.log_index)
    }
    await comparison.end()
  }
}
