import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { VerifyReport } from '@writ/api'
import {
  type Behind,
  dayFolder,
  listLogs,
  openNote,
  replaceFile,
  snapshotBeside,
  verifyProjectLog,
} from '../audit/index.ts'
import { listProjects } from '../identity/index.ts'
import { attachDatabase, type Database, INSTANCE, inProject } from '../platform/db/index.ts'
import { ifThere } from '../platform/if-there.ts'
import { findUntoldEnd } from '../runs/index.ts'
import { type OpenPlace, OperationRefused, openExisting, type Place } from './place.ts'

export interface VerifyOffline extends Place {
  /** The slug of one project, or `_instance`; every log when left out. */
  readonly project?: string | undefined
  /** Where the last verified checkpoint of each log is kept. Best on another machine; without it a rewrite by the key's holder passes. */
  readonly keptDir?: string | undefined
  /** A checkpoint kept elsewhere, verbatim; it is looked for among the logs. */
  readonly kept?: string | undefined
  /** How long a running server is given to come to a moment in which log and day files agree. Default: 3000. */
  readonly patienceMs?: number | undefined
  readonly onProgress?: ((step: { done: number; size: number; what: string }) => void) | undefined
}

export interface LogReport extends VerifyReport {
  /** The project's slug, `_instance` for the instance's log. */
  readonly project: string
}

export interface OfflineReport extends VerifyReport {
  /** One report a log. The fields beside it are those of the first that failed, or of the first. */
  readonly reports: readonly LogReport[]
}

/**
 * Verifies logs from the data directory and the database, without the server's help: it may be stopped or running. What
 * was verified is kept in `keptDir`, and the next time the log must continue it: a log that was cut says LOG_TRUNCATED,
 * one that was written anew says LOG_REWRITTEN, one that was replaced says KEPT_ORIGIN. A checkpoint is kept only after
 * its log passed. Writes nothing but into `keptDir`.
 */
export async function verifyOffline(on: VerifyOffline): Promise<OfflineReport> {
  const place = openExisting(on)
  const db = await attachDatabase(place.database)
  try {
    const all = [{ id: INSTANCE, slug: '_instance' }, ...(await listProjects(db)).map(({ id, slug }) => ({ id, slug }))]
    const chosen = on.project === undefined ? all : all.filter(({ slug }) => slug === on.project)
    if (chosen.length === 0) throw new OperationRefused(`There is no project "${on.project}" in this database.`)
    const reports: LogReport[] = []
    for (const project of chosen) reports.push(await verifyOne(on, place, db, project, chosen.length === 1))
    if (on.keptDir !== undefined && on.project === undefined) {
      const gone = await findForgotten(on.keptDir, all)
      reports.push(...gone)
    }
    return { ...(reports.find((report) => !report.ok) ?? reports[0]!), reports }
  } finally {
    await db.close()
  }
}

async function verifyOne(
  on: VerifyOffline,
  { folders }: OpenPlace,
  db: Database,
  project: { id: string; slug: string },
  only: boolean,
): Promise<LogReport> {
  const slug = project.id === INSTANCE ? undefined : project.slug
  const logs = await inProject(project.id, () => db.read(listLogs))
  const keptHere = on.keptDir === undefined ? [] : await loadKept(on.keptDir, project.id)
  const given = on.kept === undefined ? [] : [on.kept]
  const mine = given.filter((note) => only || logs.some((log) => log.origin === openNote(note)?.origin))
  const open = logs.at(-1)
  if (!open)
    throw new OperationRefused(
      `The project "${project.slug}" has no log: its creation was interrupted. Start the server once.`,
    )
  const snapshot = await snapshotBeside(folders, project.id, open.shard, slug, open.checkpoint, on.patienceMs ?? 3_000)
  const report = await verifyProjectLog({
    db,
    folders,
    project: project.id,
    slug,
    kept: [...keptHere, ...mine],
    snapshot,
    findUntoldEnd,
    signal: on.signal,
    onProgress: ({ entries, size }) => on.onProgress?.({ done: entries, size, what: project.slug }),
  })
  if (report.ok && on.keptDir !== undefined && report.checkpoint !== '')
    await keep(on.keptDir, project.id, report.origin, report.checkpoint)
  return { ...withoutLines(report, snapshot, dayFolder(folders, project.id, slug)), project: project.slug }
}

/**
 * Where the day files end before the log does, and nothing else was found, that is said and not that they were changed: a server publishes
 * first, and then waits for a store that is slow to say so, or was stopped there.
 */
function withoutLines(report: VerifyReport, { written, behind, asRemembered }: Behind, folder: string): VerifyReport {
  if (report.code !== 'DAY_FILE_CHANGED' || behind <= 0) return report
  const late = `the writer of ${folder} is ${behind} ${behind === 1 ? 'entry' : 'entries'} behind`
  if (asRemembered && report.index === written)
    return {
      ...report,
      code: 'DAY_FILES_BEHIND',
      reason: `${late}; what it has written is right. A server that runs completes it when the store of its log answers, and the next start of one that was stopped does`,
    }
  return { ...report, reason: `${report.reason}; ${late}, which the next start completes if that is all` }
}

const nameOf = (origin: string) => `${encodeURIComponent(origin)}.checkpoint`

async function loadKept(keptDir: string, project: string): Promise<string[]> {
  const folder = join(keptDir, project)
  const names = (await ifThere(readdir(folder), [])).filter((name) => name.endsWith('.checkpoint'))
  return Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
}

async function keep(keptDir: string, project: string, origin: string, checkpoint: string): Promise<void> {
  const folder = join(keptDir, project)
  await mkdir(folder, { recursive: true })
  await replaceFile(join(folder, nameOf(origin)), checkpoint)
}

/** Projects that were verified before and are not in the database any more. */
async function findForgotten(keptDir: string, all: readonly { id: string }[]): Promise<LogReport[]> {
  const folders = (await ifThere(readdir(keptDir), [])).filter((name) => /^[0-9a-f-]{36}$/.test(name))
  return folders
    .filter((id) => !all.some((project) => project.id === id))
    .map((id) => ({
      ok: false,
      code: 'PROJECT_GONE',
      reason: `the log of project ${id} was verified before, and the database has no such project`,
      index: null,
      path: null,
      origin: '',
      size: 0,
      root: '',
      checkpoint: '',
      checked: { entries: 0, rows: 0, day_files: 0 },
      project: id,
    }))
}
