import { createHmac, createSecretKey } from 'node:crypto'
import {
  decodeEntry,
  type Entry,
  equalBytes,
  formatCommitment,
  splitBundle,
  TILE_WIDTH,
  tilePath,
  toUtf8,
} from '@writ/tlog'
import { rfc3339 } from '../platform/clock.ts'
import { type Database, INSTANCE, inProject } from '../platform/db/index.ts'
import { compareAttestations } from './compare-attestations.ts'
import type { DayComparison } from './day-comparison.ts'
import { isErased } from './day-file.ts'
import type { DropCheck } from './drop-check.ts'
import type { ErasureCheck } from './erasure-check.ts'
import { Found } from './finding.ts'
import type { SequenceCheck } from './sequence-check.ts'
import * as store from './store.ts'

const PAGE = 1_000

/**
 * Compares the rows of one log with its entries, one by one and in pages: the row's entry with the bundle's, the payload
 * with the commitment, the columns with the payload, the line of the day file with the payload. Throws Found at the first
 * that differs.
 */
export async function compareRows(on: {
  db: Database
  project: string
  log: store.Log
  /** Entries to compare: the published size, or for a log that was closed with a loss, what the database kept. */
  size: number
  /** The width of the published log, by which its last files are named. */
  published: number
  read: (path: string) => Promise<Uint8Array | null>
  days: DayComparison
  checked: { entries: number; rows: number }
  erasures: ErasureCheck
  sequences: SequenceCheck
  drops?: DropCheck
  signal?: AbortSignal | undefined
  onProgress?: ((done: { entries: number; rows: number; size: number }) => void) | undefined
}): Promise<void> {
  const { db, project, log, size, read, days, checked, erasures, sequences } = on
  let bundle: readonly Uint8Array[] = []
  for (let from = 0; from < size; ) {
    on.signal?.throwIfAborted()
    const rows = await inProject(project, () => db.read((tx) => store.listLogRows(tx, log.shard, from, PAGE)))
    if (rows.length === 0) throw missing(from)
    for (const [i, row] of rows.entries()) {
      const index = from + i
      if (index >= size) break
      if (row.log_index !== index) throw missing(index)
      if (index % TILE_WIDTH === 0 || bundle.length === 0)
        bundle = await readBundle(read, Math.floor(index / TILE_WIDTH), on.published)
      compareRow(row, bundle[index % TILE_WIDTH]!, index, erasures, sequences)
      on.drops?.see(row)
      await days.add(row, index)
      checked.rows++
    }
    await compareAttestations({ db, project, rows: rows.slice(0, size - from), from })
    await sequences.caughtUp()
    on.onProgress?.({ ...checked, size })
    from += rows.length
  }
}

const missing = (index: number) =>
  new Found({ code: 'ROW_MISSING', index, reason: `the log has entry ${index}, the database has no row for it` })

/** The entries of a bundle of the published log. Throws Found if it is gone. */
export async function readBundle(
  read: (path: string) => Promise<Uint8Array | null>,
  index: number,
  size: number,
): Promise<readonly Uint8Array[]> {
  const width = Math.min(TILE_WIDTH, size - index * TILE_WIDTH)
  const path = tilePath({ level: 'entries', index, width })
  const bytes = (await read(path)) ?? (await read(tilePath({ level: 'entries', index, width: TILE_WIDTH })))
  if (!bytes)
    throw new Found({ code: 'FILE_MISSING', path, index: index * TILE_WIDTH, reason: 'the entry bundle is gone' })
  return splitBundle(bytes).entries
}

/** One row against its entry; without `sequences` not against what came before of its run. Throws Found. */
export function compareRow(
  row: store.VerifiedRow,
  entry: Uint8Array,
  index: number,
  erasures: ErasureCheck,
  sequences?: SequenceCheck,
): void {
  if (!equalBytes(row.entry, entry))
    throw new Found({
      code: 'ROW_CHANGED',
      index,
      reason: `the row of entry ${index} holds another entry than the log`,
    })
  const leaf = decodeEntry(entry)
  erasures.see(leaf)
  sequences?.see(leaf, index)
  const erased = isErased(row)
  if (erased) erasures.expect(row, index)
  else comparePayload(row, leaf, index)
  // Of an erased event only what the leaf says can be compared.
  const event = erased ? undefined : (JSON.parse(row.event) as Record<string, unknown>)
  const columns: [string, unknown, unknown][] = [
    ['id', row.id, leaf.id],
    ['timestamp', rfc3339(row.timestamp), leaf.t],
    ['event_type', row.event_type, leaf.act],
    ['actor_kind', row.actor_kind, leaf.actor.kind],
    ['actor_id', row.actor_id ?? INSTANCE, leaf.actor.id],
    ['actor_username', row.actor_username, event ? event.actor_username : null],
    ...(event ? [['resource_type', row.resource_type, event.resource_type] as [string, unknown, unknown]] : []),
    ['resource_id', row.resource_id, leaf.res ?? null],
    ['run_id', row.run_id, leaf.run ?? null],
    ...(event ? [['success', row.success === 1, event.success] as [string, unknown, unknown]] : []),
  ]
  const changed = columns.find(([, stored, logged]) => stored !== logged)
  if (changed)
    throw new Found({
      code: 'ROW_CHANGED',
      index,
      reason: `the column ${changed[0]} of entry ${index} differs from the log`,
    })
}

function comparePayload(row: store.VerifiedRow, leaf: Entry, index: number): void {
  const payload = leaf.pl.find((one) => one.n === 'event')
  const computed = formatCommitment(createHmac('sha256', createSecretKey(row.salt)).update(toUtf8(row.event)).digest())
  if (payload?.c !== computed)
    throw new Found({
      code: 'PAYLOAD_CHANGED',
      index,
      reason: `the event of entry ${index} is not the one that the log commits to`,
    })
}
