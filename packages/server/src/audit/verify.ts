import { createHmac } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { VerifyReport } from '@writ/api'
import {
  decodeEntry,
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
  const text = await readFile(join(dir, 'checkpoint'), 'utf8').catch(() => '')
  if (log.size === 0 && text === '') return report(null)
  const read = async (path: string) => readFile(join(dir, path)).catch(() => null)
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
    await compareRows(db, project, log, at.size, read, dayFolder(folders, project, options.slug), checked)
    return report(null, at)
  } catch (error) {
    if (error instanceof Found) return report(error.fault, at)
    throw error
  }
}

async function compareRows(
  db: Database,
  project: string,
  log: store.Log,
  size: number,
  read: (path: string) => Promise<Uint8Array | null>,
  days: string,
  checked: { rows: number; day_files: number },
): Promise<void> {
  const dayFiles = createDayComparison(days, checked)
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
      await dayFiles.add(row, index)
      checked.rows++
    }
    from += rows.length
  }
  const { placed, orphans } = await inProject(project, () => db.read((tx) => store.countLogRows(tx, log.shard)))
  if (placed < size)
    throw new Found({ code: 'ROW_MISSING', reason: `the log has ${size} entries, the database ${placed} placed rows` })
  if (orphans > 0)
    throw new Found({ code: 'ROW_ORPHANED', reason: `${orphans} events have lost their place in the order of the log` })
  await dayFiles.end()
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
  return splitBundle(bytes)
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

/** Regenerates day files as rows go by, holding one day's lines of each kind as running comparisons with the files. */
function createDayComparison(dir: string, checked: { day_files: number }) {
  const offsets = new Map<string, number>()
  const contents = new Map<string, Buffer>()

  async function content(name: string): Promise<Buffer> {
    let bytes = contents.get(name)
    if (!bytes) {
      bytes = await readFile(join(dir, name)).catch(() => Buffer.alloc(0))
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
    if (!equalBytes(bytes.subarray(from, from + expected.length), expected))
      throw new Found({
        code: 'DAY_FILE_CHANGED',
        index,
        path: name,
        reason: `${name} does not hold the line of entry ${index} where it belongs`,
      })
    offsets.set(name, from + expected.length)
  }

  return {
    async add(row: store.LogRow, index: number) {
      const day = dayOf(row.timestamp)
      await compare(jsonlName(day), row.event, index)
      await compare(readableName(day), readableLine(row), index)
    },
    async end() {
      for (const name of await readdir(dir).catch((): string[] => [])) {
        if (!/^audit_.*\.(jsonl|txt)$/.test(name)) continue
        const known = offsets.get(name) ?? 0
        const bytes = await readFile(join(dir, name))
        // Lines of events behind the checkpoint cannot be there: day files follow the log. More bytes are an addition.
        if (bytes.length > known)
          throw new Found({
            code: 'DAY_FILE_CHANGED',
            path: name,
            reason: `${name} holds ${bytes.length - known} bytes that no event explains`,
          })
        checked.day_files++
      }
    },
  }
}
