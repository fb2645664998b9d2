import { join } from 'node:path'
import { INSTANCE } from '../platform/db/index.ts'
import { createDiskReader, openDiskStore } from './disk-store.ts'
import { type AfterStep, replaceFile } from './durable-file.ts'
import type { LogStore } from './log-store.ts'
import { openS3LogReader, openS3LogStore, putS3Object, type TileStoreSettings } from './s3-log-store.ts'

/** Where the audit log and its keys are. */
export interface AuditFolders {
  /** `<data>/log` */
  readonly log: string
  /** `<data>/keys` */
  readonly keys: string
  /** `<data>/signer` */
  readonly signer: string
  /** AUDIT_LOG_PATH */
  readonly days: string
  /** Tiles and checkpoints in an S3-compatible store instead of `log`. Keys and the signer's memory stay in their folders. */
  readonly tiles?: TileStoreSettings | undefined
}

const nameOf = (project: string) => (project === INSTANCE ? '_instance' : project)

export const logFolder = (folders: Pick<AuditFolders, 'log'>, project: string, shard: number): string =>
  join(folders.log, nameOf(project), String(shard))

/** `default` writes to AUDIT_LOG_PATH itself, every other project to a folder by slug, the instance to `_instance`. */
export const dayFolder = (folders: AuditFolders, project: string, slug: string | undefined): string =>
  slug === 'default' ? folders.days : join(folders.days, project === INSTANCE ? '_instance' : (slug ?? project))

/** Where the signer of a log remembers what it signed last. */
export const signerStateFile = (folders: AuditFolders, origin: string): string =>
  join(folders.signer, `${origin.replaceAll('/', '_')}.json`)

const keyPrefix = (project: string, shard: number) => `log/${nameOf(project)}/${shard}/`

/** Where the files of a log are, as a person may look for them. */
export const logPlace = (folders: AuditFolders, project: string, shard: number): string =>
  folders.tiles ? `s3://${folders.tiles.bucket}/${keyPrefix(project, shard)}` : logFolder(folders, project, shard)

/** The store of one log, for its one writer. Close it. */
export const openLogStore = (
  folders: AuditFolders,
  project: string,
  shard: number,
  after?: AfterStep,
): Promise<LogStore> =>
  folders.tiles
    ? openS3LogStore(folders.tiles, keyPrefix(project, shard))
    : openDiskStore(logFolder(folders, project, shard), after)

export type LogReader = Pick<LogStore, 'read' | 'close'>

/** The files of one log, to be read. Close it. */
export const openLogReader = async (folders: AuditFolders, project: string, shard: number): Promise<LogReader> =>
  folders.tiles
    ? openS3LogReader(folders.tiles, keyPrefix(project, shard))
    : { ...createDiskReader(logFolder(folders, project, shard)), close: async () => {} }

/** Replaces a file that stands beside a log's checkpoint, durably, also while the log's writer works. */
export async function keepBeside(
  folders: AuditFolders,
  log: { project_id: string; shard: number },
  path: string,
  text: string,
): Promise<void> {
  if (!folders.tiles) return replaceFile(join(logFolder(folders, log.project_id, log.shard), path), text)
  await putS3Object(folders.tiles, keyPrefix(log.project_id, log.shard) + path, text)
}

/** One file of a log as text; empty if there is none. */
export async function readLogText(
  folders: AuditFolders,
  log: { project_id: string; shard: number },
  path: string,
): Promise<string> {
  const reader = await openLogReader(folders, log.project_id, log.shard)
  try {
    return Buffer.from((await reader.read(path)) ?? '').toString()
  } finally {
    await reader.close()
  }
}
