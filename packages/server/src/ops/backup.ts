import { createReadStream, createWriteStream } from 'node:fs'
import { copyFile, link, mkdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import {
  keyChangePath,
  type LogReader,
  listAllLogs,
  logFolder,
  openLogReader,
  openNote,
  readKeyChanges,
  readLogFile,
  sizeOfNote,
  syncDirectory,
  tilePaths,
  writeSynced,
} from '../audit/index.ts'
import { rfc3339, systemClock } from '../platform/clock.ts'
import { attachDatabase, copySqlite, dumpPostgres, inspectStore } from '../platform/db/index.ts'
import { ifThere } from '../platform/if-there.ts'
import { version } from '../version.ts'
import { hashFile, listFiles, MANIFEST, type Manifest, type ManifestFile } from './backup-manifest.ts'
import { type OpenPlace, OperationRefused, openExisting, type Place } from './place.ts'

export interface Backup extends Place {
  /** The folder to make. Its parent has to be there. */
  readonly to: string
  readonly onProgress?: ((step: { done: number; size: number; what: string }) => void) | undefined
}

export interface BackedUp {
  readonly path: string
  readonly bytes: number
  readonly files: number
  /** What is not in the backup, and what was found wrong while it was made. */
  readonly notes: readonly string[]
}

/**
 * Backs up database, log, keys and evidence into one folder, beside a running server.
 *
 * The order makes copies of different moments fit each other:
 *
 * 1. The database, as of one moment.
 * 2. The logs: each checkpoint, then its tiles. They are later than the database, so every entry that the database says
 *    is published is in the copied log and stays provable; what the log has beyond it is named as lost by `restore`,
 *    which never signs on under the old name. The other way round, entries would be missing from the middle of a history.
 * 3. Keys and the signer's memory, later than the log that they signed.
 * 4. Evidence, which is written before the row that names it and never changed: whatever the database names is there.
 *
 * The folder has another name until its manifest is written and everything is on the disk: killed anywhere, what is left
 * is no backup and says so. What failed takes away what it made, above all from a disk that it filled.
 */
export async function backup(on: Backup): Promise<BackedUp> {
  const place = openExisting(on)
  const to = resolve(on.to)
  if (await isThere(to)) throw new OperationRefused(`${to} is there already. Give a name that is free.`)
  const folder = `${to}.partial`
  if (await isThere(folder))
    throw new OperationRefused(`${folder} was left by a backup that did not finish. Remove it.`)
  await mkdir(folder, { mode: 0o700 })
  try {
    return await fill(on, place, folder, to)
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

async function fill(on: Backup, place: OpenPlace, folder: string, to: string): Promise<BackedUp> {
  const notes: string[] = []

  await mkdir(join(folder, 'database'), { mode: 0o700 })
  const { config } = place
  const { schema } = await inspectStore(place.database)
  const before = await listDropped(place)
  if (config.database.kind === 'sqlite') await copySqlite(config.database.file, join(folder, 'database', 'writ.db'))
  else await dumpPostgres(place.database.migrationUrl ?? place.database.url, join(folder, 'database', 'postgres.dump'))
  on.signal?.throwIfAborted()

  const logs = await copyLogs(on, place, join(folder, 'log'), notes)
  if ((await listDropped(place)).some((origin) => !before.includes(origin)))
    throw new OperationRefused(
      'A log was dropped while this backup was made, so that its rows may be in it and its tiles are not. Give the command again.',
    )
  for (const name of ['keys', 'signer'] as const) await copyTree(on, place.folders[name], join(folder, name), 0o600)
  await copyTree(on, place.folders.days, join(folder, 'audit'), 0o600)
  if (config.blobs.type === 'local') await linkTree(on, config.blobs.dir, join(folder, 'blobs'), notes)
  else notes.push(`The artifact bytes are in the bucket "${config.blobs.bucket}" and not in this backup.`)
  if (config.secretKey)
    notes.push('SECRET_KEY comes from the environment and is not in this backup. Keep it elsewhere.')

  const files = await hashTree(on, folder, notes)
  const manifest: Manifest = {
    v: 1,
    kind: 'writ-backup',
    version,
    made_at: rfc3339(systemClock.now()),
    schema,
    database: config.database.kind,
    artifacts: config.blobs.type,
    logs,
    files,
  }
  await writeSynced(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`, 0o600)
  await syncDirectory(folder)
  await rename(folder, to)
  await syncDirectory(dirname(to))
  return { path: to, files: files.length, bytes: files.reduce((sum, file) => sum + file.size, 0), notes }
}

async function listLogs(place: OpenPlace): Promise<Awaited<ReturnType<typeof listAllLogs>>> {
  const db = await attachDatabase(place.database)
  return db.sequence(listAllLogs).finally(() => db.close())
}

/** Origins of the logs that retention has dropped so far. */
const listDropped = async (place: OpenPlace): Promise<string[]> =>
  (await listLogs(place)).filter(({ dropped_at }) => dropped_at !== null).map(({ origin }) => origin)

async function copyLogs(on: Backup, place: OpenPlace, to: string, notes: string[]): Promise<Manifest['logs']> {
  const logs = await listLogs(place)
  const copied: Manifest['logs'][number][] = []
  for (const log of logs) {
    const from = logFolder(place.folders, log.project_id, log.shard)
    const reader = await openLogReader(place.folders, log.project_id, log.shard)
    const target = logFolder({ ...place.folders, log: to }, log.project_id, log.shard)
    await mkdir(target, { recursive: true })
    const checkpoint = Buffer.from((await reader.read('checkpoint')) ?? '').toString()
    copied.push({
      project: log.project_id,
      shard: log.shard,
      origin: log.origin,
      size: sizeOfNote(checkpoint),
    })
    if (checkpoint !== '') {
      await writeSynced(join(target, 'checkpoint'), checkpoint)
      await copyBeside(reader, target)
      // Of a log that was dropped the tiles are gone, or about to go.
      if (place.folders.tiles && log.dropped_at === null) await fetchTiles(reader, openNote(checkpoint)!.size, target)
    }
    await reader.close()
    if (checkpoint === '' || place.folders.tiles || log.dropped_at !== null) continue
    const missing = await copyTiles(on, openNote(checkpoint)!.size, from, target)
    if (missing) notes.push(`The log ${log.origin} has no ${missing}: verify it.`)
  }
  return copied
}

/**
 * The tiles of the first `size` entries, from a folder. They are asked for by name: a list would lack what is made, and trip over what
 * goes, while it is read. Answers the first that is not there.
 */
async function copyTiles(on: Backup, size: number, from: string, to: string): Promise<string | undefined> {
  let missing: string | undefined
  for (const path of tilePaths(size)) {
    on.signal?.throwIfAborted()
    await mkdir(dirname(join(to, path)), { recursive: true })
    const copy = (name: string) => ifThere(copyFile(join(from, name), join(to, name)), GONE)
    if ((await copy(path)) !== GONE) continue
    // A partial tile that went made room for the full one.
    const full = /^(.*)\.p\/\d+$/.exec(path)?.[1]
    if (full === undefined || (await copy(full)) === GONE) missing ??= path
  }
  return missing
}

/** What stands beside a checkpoint: the cosigned one, and the log's key changes. */
async function copyBeside(reader: LogReader, target: string): Promise<void> {
  const cosigned = await reader.read('checkpoint.cosigned')
  if (cosigned) await writeSynced(join(target, 'checkpoint.cosigned'), cosigned)
  for (const [n, text] of (await readKeyChanges(reader)).entries()) {
    const file = join(target, keyChangePath(n))
    await mkdir(dirname(file), { recursive: true })
    await writeSynced(file, text)
  }
}

/** The tiles of the first `size` entries, from a store that is no folder. */
async function fetchTiles(reader: LogReader, size: number, target: string): Promise<void> {
  for (const path of tilePaths(size)) {
    const bytes = await readLogFile(reader, path)
    if (!bytes) throw new OperationRefused(`The log has no ${path}: verify it before backing it up.`)
    await mkdir(dirname(join(target, path)), { recursive: true })
    await writeSynced(join(target, path), bytes)
  }
}

/**
 * Keys and states are replaced as a whole by their owner, so each is read as one of its states; day files only grow. They come and go while
 * keys are rotated and logs dropped: unless the folder has the same names afterwards, a list of keys may name one that is not in the copy.
 */
async function copyTree(on: Backup, from: string, to: string, mode: number): Promise<void> {
  for (;;) {
    const names = await listSettled(from)
    await mkdir(to, { recursive: true, mode: 0o700 })
    let gone = false
    for (const file of names) {
      on.signal?.throwIfAborted()
      await mkdir(dirname(join(to, file)), { recursive: true, mode: 0o700 })
      const copied = pipeline(
        createReadStream(join(from, file)),
        createWriteStream(join(to, file), { mode, flush: true }),
      )
      if ((await ifThere(copied, GONE)) === GONE) gone = true
    }
    if (!gone && (await listSettled(from)).join('\n') === names.join('\n')) return
    await rm(to, { recursive: true })
  }
}

/** Without what is about to get its name. */
const listSettled = async (folder: string): Promise<string[]> =>
  (await listFiles(folder)).filter((file) => !/\.tmp$|(^|\/)\.audit_[^/]*$/.test(file))

/**
 * Blobs never change: a second name for the same bytes is enough, and where that is not possible, a copy. They do go, while a server
 * erases or its records are old enough: what is not there any more is left out.
 */
async function linkTree(on: Backup, from: string, to: string, notes: string[]): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 })
  let gone = 0
  for (const file of await listFiles(from)) {
    if (file.startsWith('.tmp/')) continue
    on.signal?.throwIfAborted()
    await mkdir(dirname(join(to, file)), { recursive: true, mode: 0o700 })
    const [source, target] = [join(from, file), join(to, file)]
    const copied = link(source, target).catch(() => copyFile(source, target))
    if ((await ifThere(copied, GONE)) === GONE) gone++
  }
  if (gone > 0)
    notes.push(
      `${gone === 1 ? 'One file' : `${gone} files`} of evidence or payloads went while this backup was made, by an erasure or by retention, and ${gone === 1 ? 'is' : 'are'} not in it.`,
    )
}

const GONE = Symbol('gone')

async function hashTree(on: Backup, folder: string, notes: string[]): Promise<ManifestFile[]> {
  const paths = await listFiles(folder)
  const files: ManifestFile[] = []
  for (const [done, path] of paths.entries()) {
    on.signal?.throwIfAborted()
    const file = { path, ...(await hashFile(join(folder, path))) }
    if (/^blobs\/.*\/sha256\//.test(path) && basename(path) !== file.sha256)
      notes.push(
        `The artifact bytes ${basename(path)} had changed on disk before this backup: they hash to ${file.sha256}.`,
      )
    files.push(file)
    on.onProgress?.({ done: done + 1, size: paths.length, what: path })
  }
  return files
}

const isThere = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )
