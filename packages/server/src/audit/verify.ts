import { createHmac } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { VerifyReport } from '@writ/api'
import {
  decodeEntry,
  encodeBundle,
  equalBytes,
  formatCommitment,
  splitBundle,
  TILE_WIDTH,
  tilePath,
  toBase64,
  toUtf8,
  verifyLog,
} from '@writ/tlog'
import { rfc3339 } from '../platform/clock.ts'
import { type Database, inProject } from '../platform/db/index.ts'
import { dayOf, jsonlName, readableLine, readableName } from './day-file.ts'
import { openLogFiles } from './log-files.ts'
import { sha256, verifyEd25519 } from './node-crypto.ts'
import { type AuditFolders, dayFolder, logFolder } from './sequencer.ts'
import * as store from './store.ts'

const PAGE = 1_000

type Fault = { code: string; reason: string; index?: number; path?: string }

class Found extends Error {
  readonly fault: Fault
  constructor(fault: Fault) {
    super(fault.reason)
    this.fault = fault
  }
}

/**
 * Verifies one project's log from three sides and names the first bad entry:
 *
 * - the files by themselves: signature, every entry against its leaf, every tile, root, the kept checkpoint;
 * - every row against the entry in the log, its payload against the commitment, its columns against the payload;
 * - every day file against the lines that follow from the rows, byte for byte.
 *
 * Rows committed after the last checkpoint are not in the log yet and are left out. Constant memory, page by page.
 */
export async function verifyProjectLog(options: {
  db: Database
  folders: AuditFolders
  project: string
  slug: string | undefined
  kept?: string | undefined
  snapshot?: LogSnapshot | undefined
}): Promise<VerifyReport> {
  const { db, folders, project } = options
  const log = await inProject(project, () => db.read((tx) => store.findOpenLog(tx)))
  if (!log) throw new Error(`project ${project} has no open log`)
  const dir = logFolder(folders, project, log.shard)
  const checked = { entries: 0, rows: 0, day_files: 0 }
  const report = (fault: Fault | null, at?: { size: number; root: Uint8Array; text: string }): VerifyReport => ({
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
  })
  if (log.vkey === null) return report(null)

  const files = await openLogFiles({ dir, origin: log.origin, hash: sha256 }).catch((error: unknown) => error)
  const days = dayFolder(folders, project, options.slug)
  const snapshot = options.snapshot ?? (await snapshotLog(folders, project, log.shard, options.slug))
  const text = snapshot.checkpoint
  if (log.size === 0 && text === '') return report(null)
  const read = (path: string) => (path === 'checkpoint' ? Promise.resolve(toUtf8(text)) : readTileFile(dir, path))
  const verdict = await verifyLog({
    read,
    vkeys: [log.vkey],
    origin: log.origin,
    hash: sha256,
    verify: verifyEd25519,
    ...(options.kept ? { kept: options.kept } : {}),
    onEntry: () => {
      checked.entries++
      return undefined
    },
  })
  if (!verdict.ok) return report(verdict)
  if (files instanceof Error) return report({ code: 'LOG_DAMAGED', reason: files.message })
  const at = { size: verdict.checkpoint.size, root: verdict.checkpoint.root, text }
  try {
    await compareRows({
      db,
      project,
      log,
      size: at.size,
      read,
      days: createDayComparison(days, snapshot.days, checked),
      checked,
    })
    return report(null, at)
  } catch (error) {
    if (error instanceof Found) return report(error.fault, at)
    throw error
  }
}

async function compareRows(on: {
  db: Database
  project: string
  log: store.Log
  size: number
  read: (path: string) => Promise<Uint8Array | null>
  days: ReturnType<typeof createDayComparison>
  checked: { rows: number }
}): Promise<void> {
  const { db, project, log, size, read, days, checked } = on
  let bundle: readonly Uint8Array[] = []
  for (let from = 0; from < size; ) {
    const rows = await inProject(project, () => db.read((tx) => store.listLogRows(tx, log.shard, from, PAGE)))
    if (rows.length === 0)
      throw new Found({
        code: 'ROW_MISSING',
        index: from,
        reason: `the log has entry ${from}, the database has no row for it`,
      })
    for (const [i, row] of rows.entries()) {
      const index = from + i
      if (index >= size) break
      if (row.log_index !== index)
        throw new Found({
          code: 'ROW_MISSING',
          index,
          reason: `the log has entry ${index}, the database has no row for it`,
        })
      if (index % TILE_WIDTH === 0 || bundle.length === 0)
        bundle = await readBundle(read, Math.floor(index / TILE_WIDTH), size)
      compareRow(row, bundle[index % TILE_WIDTH]!, index)
      await days.add(row, index)
      checked.rows++
    }
    from += rows.length
  }
  const { placed, orphans } = await inProject(project, () => db.read((tx) => store.countLogRows(tx, log.shard)))
  if (placed < size)
    throw new Found({ code: 'ROW_MISSING', reason: `the log has ${size} entries, the database ${placed} placed rows` })
  if (orphans > 0)
    throw new Found({ code: 'ROW_ORPHANED', reason: `${orphans} events have lost their place in the order of the log` })
  await days.end()
}

async function readBundle(
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

function compareRow(row: store.LogRow & { salt: Uint8Array }, entry: Uint8Array, index: number): void {
  if (!equalBytes(row.entry, entry))
    throw new Found({
      code: 'ROW_CHANGED',
      index,
      reason: `the row of entry ${index} holds another entry than the log`,
    })
  const leaf = decodeEntry(entry)
  const payload = leaf.pl.find((one) => one.n === 'event')
  const computed = formatCommitment(createHmac('sha256', row.salt).update(toUtf8(row.event)).digest())
  if (payload?.c !== computed)
    throw new Found({
      code: 'PAYLOAD_CHANGED',
      index,
      reason: `the event of entry ${index} is not the one that the log commits to`,
    })
  if (leaf.id !== row.id || leaf.t !== rfc3339(row.timestamp))
    throw new Found({ code: 'ROW_CHANGED', index, reason: `id or time of entry ${index} differ from the log` })
}

/** Regenerates day files as rows go by and compares them up to the sizes of the snapshot. */
function createDayComparison(dir: string, sizes: Readonly<Record<string, number>>, checked: { day_files: number }) {
  const offsets = new Map<string, number>()
  const contents = new Map<string, Buffer>()

  async function content(name: string): Promise<Buffer> {
    let bytes = contents.get(name)
    if (!bytes) {
      bytes = (await readFile(join(dir, name)).catch(() => Buffer.alloc(0))).subarray(0, sizes[name] ?? 0)
      // Two days at most are under way when a clock steps back; older ones are read again if ever needed.
      if (contents.size > 6) contents.clear()
      contents.set(name, bytes)
    }
    return bytes
  }

  async function compare(name: string, line: string, index: number): Promise<void> {
    const bytes = await content(name)
    const from = offsets.get(name) ?? 0
    const expected = toUtf8(`${line}\n`)
    if (!equalBytes(bytes.subarray(from, from + expected.length), expected)) {
      throw new Found({
        code: 'DAY_FILE_CHANGED',
        index,
        path: name,
        reason: `${name} does not hold the line of entry ${index} where it belongs`,
      })
    }
    offsets.set(name, from + expected.length)
  }

  return {
    async add(row: store.LogRow, index: number) {
      const day = dayOf(row.timestamp)
      await compare(jsonlName(day), row.event, index)
      await compare(readableName(day), readableLine(row), index)
    },
    async end() {
      for (const [name, size] of Object.entries(sizes)) {
        const extra = size - (offsets.get(name) ?? 0)
        if (extra > 0)
          throw new Found({
            code: 'DAY_FILE_CHANGED',
            path: name,
            reason: `${name} holds ${extra} bytes that no event explains`,
          })
        checked.day_files++
      }
    },
  }
}

/** What a verification compares with: the published checkpoint, and the day files as long as they were at that moment. */
export interface LogSnapshot {
  readonly checkpoint: string
  readonly days: Readonly<Record<string, number>>
}

/** Take it while the sequencer rests, so that day files hold exactly the entries below the checkpoint. */
export async function snapshotLog(
  folders: AuditFolders,
  project: string,
  shard: number,
  slug: string | undefined,
): Promise<LogSnapshot> {
  const days = dayFolder(folders, project, slug)
  const names = (await readdir(days).catch((): string[] => [])).filter((name) => /^audit_.*\.(jsonl|txt)$/.test(name))
  const sizes = await Promise.all(names.map(async (name) => [name, (await stat(join(days, name))).size] as const))
  const checkpoint = await readFile(join(logFolder(folders, project, shard), 'checkpoint'), 'utf8').catch(() => '')
  return { checkpoint, days: Object.fromEntries(sizes) }
}

/** A file of the log; where a partial tile made room for the full one, its beginning. */
export async function readTileFile(dir: string, path: string): Promise<Uint8Array | null> {
  const exact = await readFile(join(dir, path)).catch(() => null)
  const partial = /^(.*)\.p\/(\d+)$/.exec(path)
  if (exact || !partial) return exact
  const full = await readFile(join(dir, partial[1]!)).catch(() => null)
  const width = Number(partial[2])
  if (!full) return null
  return path.startsWith('tile/entries/')
    ? encodeBundle(splitBundle(full).entries.slice(0, width))
    : full.subarray(0, width * 32)
}
