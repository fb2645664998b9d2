import { copyFile, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import {
  type ContinuedLog,
  continueLog,
  dayFolder,
  findLogsAhead,
  isLogStoreUnavailable,
  LogError,
  listOpenLogs,
  loadUnfinishedRestore,
  putBackLog,
  RestoreUnfinished,
  rebuildDayFiles,
  replaceFile,
  sizeInStore,
  syncDirectory,
  UNFINISHED_RESTORE,
} from '../audit/index.ts'
import { listProjects, slugOf } from '../identity/index.ts'
import { BlobStoreUnavailable, openBlobs } from '../platform/blobs/index.ts'
import { rfc3339, systemClock } from '../platform/clock.ts'
import {
  type Database,
  INSTANCE,
  inProject,
  inspectStore,
  isEmptyPostgres,
  openDatabase,
  prepareRestorePostgres,
  restorePostgres,
} from '../platform/db/index.ts'
import { ifThere } from '../platform/if-there.ts'
import { leaveLineToOthers } from '../queue/index.ts'
import { lookForErasedAgain } from '../runs/index.ts'
import { listFiles, type Manifest, verifyBackup } from './backup-manifest.ts'
import { type MissingBytes, missingBytes } from './missing-bytes.ts'
import { holdPlace, type OpenPlace, OperationRefused, openPlace, type Place } from './place.ts'
import { settleLogs } from './settle-logs.ts'

export interface Restore extends Place {
  /** The backup's folder. Left out: the database was put back by other means, and only the logs are to be continued. */
  readonly from?: string | undefined
  /** Without `from`: agree that what was published beyond the database is lost. */
  readonly acceptLoss?: boolean | undefined
  /** Without `from`: every log is continued, also those that lost nothing. For a key that leaked, or cannot be put back. */
  readonly allLogs?: boolean | undefined
  /** Why; it stands in the first entry of each new log. */
  readonly reason?: string | undefined
  /** Who; the system's user if left out. */
  readonly operator?: string | undefined
  readonly onProgress?: ((step: { done: number; size: number; what: string }) => void) | undefined
}

export interface Restored {
  readonly dataDir: string
  readonly continued: readonly ContinuedLog[]
  /** Of the project `default`, or the first that was continued. */
  readonly size: number
  readonly old_origin: string
  readonly new_origin: string
  /** What an operator has to know: sentences. */
  readonly notes: readonly string[]
}

/**
 * Puts a backup into an empty data directory and database, or makes peace with a database that was put back otherwise.
 *
 * Nobody can know what was published after a backup was made, so nothing is ever signed again under the names of its
 * logs: each is closed, and a new one opened whose first entry says which log it continues, its last checkpoint, how much
 * of it the database knows, who did it and why (`log.continued`). Without `from` only those logs are continued
 * of which more was published than the database knows, or with `allLogs` every one: nothing of `keys/` and `signer/` is needed for that.
 *
 * Tiles in a bucket are put there where the bucket lacks them; one that outlived its server has more than the backup, and keeps it.
 *
 * Throws OperationRefused: a damaged backup, a target that is not empty, a server that runs, nothing to accept, a bucket that has
 * another log in the place of one.
 * Stopped anywhere, no server starts there (`RestoreUnfinished`): what was put back knows nothing of what was signed since. Stopped
 * while copying, the same call copies anew over what it left; stopped later, a call without `from` goes on.
 */
export async function restore(on: Restore): Promise<Restored> {
  const place = openPlace(on)
  if (on.from === undefined && on.acceptLoss !== true)
    throw new OperationRefused(
      'Name a backup, or accept the loss (--accept-loss) after you put a database back yourself.',
    )
  const { dataDir } = place.config
  const unfinished = await loadUnfinishedRestore(dataDir)
  const anew = unfinished === 'copying' && on.from !== undefined
  if (unfinished && !anew && (unfinished === 'copying' || on.from !== undefined))
    throw new OperationRefused(new RestoreUnfinished(dataDir, unfinished).message)
  if (on.from !== undefined && !anew) await refuseUnlessEmpty(place)
  const lock = holdPlace(place)
  try {
    if (on.from !== undefined) await putBack(on, place, resolve(on.from), anew)
    const db = await openDatabase(place.database, systemClock)
    try {
      on.signal?.throwIfAborted()
      const every = on.from !== undefined || unfinished !== null || on.allLogs === true
      const continued = await continueLogs(on, place, db, every)
      if (on.from !== undefined || unfinished) {
        await rm(join(dataDir, UNFINISHED_RESTORE))
        await syncDirectory(dataDir)
      }
      return { ...continued, notes: await lookForBytes(on, place, db) }
    } finally {
      await db.close()
    }
  } finally {
    lock.release()
  }
}

async function putBack(on: Restore, place: OpenPlace, from: string, anew: boolean): Promise<void> {
  const { config, folders } = place
  const manifest = await verifyBackup(from)
  if (manifest.database !== config.database.kind)
    throw new OperationRefused(
      `The backup is of ${manifest.database}, but ${config.database.kind} is configured (DATABASE_URL).`,
    )
  if (manifest.artifacts === 'local' && config.blobs.type !== 'local')
    throw new OperationRefused(
      'The backup holds artifact bytes, but ARTIFACT_STORAGE_TYPE names a bucket. Restore to local first.',
    )
  const { known } = await inspectStore(place.database)
  if ((manifest.schema ?? 0) > known)
    throw new OperationRefused(
      `The backup has schema ${manifest.schema}, but this version of Writ knows only ${known}. Restore it with the version that made it (${manifest.version}) or a newer one.`,
    )
  const url = place.database.migrationUrl ?? place.database.url
  const dump = join(from, 'database', 'postgres.dump')
  const homes: Record<string, string> = {
    ...(folders.tiles ? {} : { log: folders.log }),
    keys: folders.keys,
    signer: folders.signer,
    ...(config.blobs.type === 'local' ? { blobs: config.blobs.dir } : {}),
  }
  // Whatever can be refused is refused before anything is put anywhere.
  if (anew) await refuseOthers(place, manifest, homes)
  if (folders.tiles) await refuseUnfitTiles(place, manifest)
  if (config.database.kind === 'postgres') await prepareRestorePostgres(url, dump)
  const atStep = (step: string) => replaceFile(join(config.dataDir, UNFINISHED_RESTORE), `${step}\n`)
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  await atStep('copying')
  for (const [done, { path }] of manifest.files.entries()) {
    on.signal?.throwIfAborted()
    const [part, ...rest] = path.split('/')
    const home = homes[part!]
    // Day files are written anew from the rows: those of the backup may be ahead of its database.
    if (home !== undefined) {
      const secret = part === 'keys' || part === 'signer'
      const target = join(home, ...rest)
      await mkdir(dirname(target), { recursive: true, mode: secret ? 0o700 : 0o750 })
      // A copy of what may only be read may only be read, too.
      if (anew) await rm(target, { force: true })
      await copyFile(join(from, path), target)
    }
    on.onProgress?.({ done: done + 1, size: manifest.files.length, what: path })
  }
  if (folders.tiles)
    for (const log of manifest.logs) {
      on.signal?.throwIfAborted()
      await putBackLog(folders, log, join(from, 'log'))
    }
  // The database comes last: without it the directory is visibly unfinished.
  if (config.database.kind === 'postgres') await restorePostgres(url, dump)
  else {
    const temporary = `${config.database.file}.restoring`
    await mkdir(dirname(temporary), { recursive: true, mode: 0o700 })
    await copyFile(join(from, 'database', 'writ.db'), temporary)
    await rename(temporary, config.database.file)
    await syncDirectory(dirname(config.database.file))
  }
  await atStep('continuing')
}

/** The bucket of the tiles is reached, and has no other log where one of the backup belongs. Like a server, it makes the bucket. */
async function refuseUnfitTiles({ config, folders }: OpenPlace, manifest: Manifest): Promise<void> {
  try {
    await (await openBlobs(config.blobs)).close()
    for (const log of manifest.logs) await sizeInStore(folders, log)
  } catch (error) {
    const taken = error instanceof LogError
    if (!(taken || error instanceof BlobStoreUnavailable || isLogStoreUnavailable(error))) throw error
    const advice = taken
      ? 'Another server was started on this bucket: restore into another one.'
      : 'They are in the backup: name a bucket that can be reached.'
    throw new OperationRefused(`The logs cannot be put into their store: ${(error as Error).message} ${advice}`, {
      cause: error,
    })
  }
}

async function continueLogs(
  on: Restore,
  place: OpenPlace,
  db: Database,
  every: boolean,
): Promise<Omit<Restored, 'notes'>> {
  const { config, folders } = place
  const leading = await db
    .lead('sequencer', AbortSignal.any([AbortSignal.timeout(3_000), ...(on.signal ? [on.signal] : [])]))
    .catch(() => {
      throw new OperationRefused('A server runs on this database. Stop it first.')
    })
  try {
    const all = await db.sequence(listOpenLogs)
    const ahead = await findLogsAhead(db, folders)
    const chosen = every ? all : all.filter((log) => ahead.some((one) => one.origin === log.origin))
    if (chosen.length === 0)
      throw new OperationRefused(
        'No log was published beyond what the database knows: there is no loss to accept. Start the server; if a key leaked, or keys/ or signer/ cannot be put back, close every log with --all-logs.',
      )
    // Before the logs: stopped in between, the same command does it once more.
    await leaveLineToOthers(db)
    for (const { id } of await listProjects(db)) await inProject(id, () => db.write(lookForErasedAgain))
    const continued: ContinuedLog[] = []
    for (const log of chosen) {
      const slug = log.project_id === INSTANCE ? undefined : await slugOf(db, log.project_id)
      const now = systemClock.now()
      await setAside(dayFolder(folders, log.project_id, slug), now)
      continued.push(
        await continueLog({
          db,
          folders,
          project: log.project_id,
          slug,
          operator: on.operator ?? userInfo().username,
          reason: on.reason ?? (on.from === undefined ? 'continued without a backup' : 'restored from a backup'),
          now,
        }),
      )
      await rebuildDayFiles(db, folders, log.project_id, slug)
      if (slug === 'default') continued.unshift(continued.pop()!)
    }
    // Keys are made and the first checkpoints published, so that what was restored verifies before any server starts.
    await settleLogs(place, db)
    const { restored_size, old_origin, new_origin } = continued[0]!
    return { dataDir: config.dataDir, continued, size: restored_size, old_origin, new_origin }
  } finally {
    await leading.release()
  }
}

/**
 * A bucket is not in the backup, and one that was copied too early lacks what the database names; a server would say so to whoever asks
 * for the file, months later. It was restored all the same: what is missing can be put there, and a store that is away comes back.
 */
async function lookForBytes(on: Restore, { config }: OpenPlace, db: Database): Promise<string[]> {
  const where = config.blobs.type === 'local' ? config.blobs.dir : `the bucket "${config.blobs.bucket}"`
  const projects = [INSTANCE, ...(await listProjects(db)).map(({ id }) => id)]
  let count = 0
  let first: MissingBytes | undefined
  try {
    const blobs = await openBlobs(config.blobs)
    try {
      for await (const one of missingBytes({ db, blobs, projects, signal: on.signal })) {
        first ??= one
        count++
      }
    } finally {
      await blobs.close()
    }
  } catch (error) {
    if (!(error instanceof BlobStoreUnavailable || on.signal?.aborted)) throw error
    return [`Whether the bytes of all artifacts are in ${where} is not known: ${(error as Error).message}`]
  }
  if (!first) return []
  return [
    `Of the artifacts that the database names ${count} ${count === 1 ? 'has' : 'have'} no bytes in ${where}, the first ${first.sha256} of project ${first.project}. Put them there from a copy of the store that was made after the backup.`,
  ]
}

/** Day files that may tell of lost events are kept, under a name that nothing reads. */
async function setAside(folder: string, now: number): Promise<void> {
  const names = (await ifThere(readdir(folder), [])).filter((name) => /^(audit_|\.cursor)/.test(name))
  if (names.length === 0) return
  const aside = join(folder, `before-restore-${rfc3339(now).replaceAll(':', '')}`)
  await mkdir(aside, { mode: 0o700 })
  for (const name of names) await rename(join(folder, name), join(aside, name))
}

async function refuseUnlessEmpty(place: OpenPlace): Promise<void> {
  const { config, folders } = place
  const places = [folders.log, folders.keys, folders.signer, folders.days]
  if (config.blobs.type === 'local') places.push(config.blobs.dir)
  if (config.database.kind === 'sqlite') places.push(config.database.file)
  for (const path of places) {
    if (!(await isEmpty(path)))
      throw new OperationRefused(
        `${path} is not empty. Restore into an empty data directory: move the old one away, do not delete it.`,
      )
  }
  await refuseUnlessEmptyPostgres(place)
}

/**
 * Where a restore was stopped while it copied there is nothing but its copies, whole or not: every place was empty before. Anything else
 * is of another backup, or of somebody else.
 */
async function refuseOthers(place: OpenPlace, manifest: Manifest, homes: Record<string, string>): Promise<void> {
  const known = new Set(manifest.files.map(({ path }) => path))
  for (const [part, home] of Object.entries(homes)) {
    const other = (await listFiles(home)).find((file) => !known.has(`${part}/${file}`))
    if (other !== undefined)
      throw new OperationRefused(
        `${join(home, other)} is not of this backup, and a restore of another was stopped here. Empty the data directory and the database, and restore into them.`,
      )
  }
  await refuseUnlessEmptyPostgres(place)
}

async function refuseUnlessEmptyPostgres({ config, database }: OpenPlace): Promise<void> {
  if (config.database.kind === 'postgres' && !(await isEmptyPostgres(database.migrationUrl ?? database.url)))
    throw new OperationRefused(
      'The database has tables of Writ or of something else where Writ has its own. Make a new one and name it in DATABASE_URL.',
    )
}

async function isEmpty(path: string): Promise<boolean> {
  const found = await ifThere(stat(path), undefined)
  return found === undefined || (found.isDirectory() && (await readdir(path)).length === 0)
}
