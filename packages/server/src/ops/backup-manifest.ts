import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { ifThere } from '../platform/if-there.ts'
import { OperationRefused } from './place.ts'

/** What a backup holds. Written last, so a folder without it is no backup. */
export interface Manifest {
  readonly v: 1
  readonly kind: 'writ-backup'
  /** Version of Writ that made it. */
  readonly version: string
  /** RFC 3339. */
  readonly made_at: string
  /** Of its database. Backups of earlier versions do not say. */
  readonly schema?: number
  readonly database: 'sqlite' | 'postgres'
  /** Where artifact bytes are: in the backup, or in a bucket that is backed up by its own means. */
  readonly artifacts: 'local' | 'minio' | 's3'
  /** Every log with the size of its checkpoint in the backup. */
  readonly logs: readonly {
    readonly project: string
    readonly shard: number
    readonly origin: string
    readonly size: number
  }[]
  readonly files: readonly ManifestFile[]
}

export interface ManifestFile {
  /** Relative to the backup, with `/`. */
  readonly path: string
  readonly size: number
  /** Lower-case hex. */
  readonly sha256: string
}

export const MANIFEST = 'manifest.json'

export async function hashFile(path: string): Promise<{ size: number; sha256: string }> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return { size: (await stat(path)).size, sha256: hash.digest('hex') }
}

/**
 * Files below a folder, sorted, with `/` between names; nothing if the folder is not there. Folders in it may go meanwhile. Node's own
 * recursive `readdir` ends with ENOENT then, as if there were nothing at all.
 */
export async function listFiles(folder: string): Promise<string[]> {
  const files: string[] = []
  const walk = async (below: string): Promise<void> => {
    for (const entry of await ifThere(readdir(join(folder, below), { withFileTypes: true }), [])) {
      const path = below === '' ? entry.name : `${below}/${entry.name}`
      if (entry.isDirectory()) await walk(path)
      else if (entry.isFile()) files.push(path)
    }
  }
  await walk('')
  return files.sort()
}

/** Reads a backup and compares every file with the manifest. Throws OperationRefused with the first that differs. */
export async function verifyBackup(folder: string, onFile?: (file: ManifestFile) => void): Promise<Manifest> {
  const manifest = await loadManifest(folder)
  const listed = new Set([MANIFEST, ...manifest.files.map((file) => file.path)])
  const extra = (await listFiles(folder)).find((path) => !listed.has(path))
  if (extra)
    throw new OperationRefused(`${join(folder, extra)} is no part of the backup: its manifest does not list it.`)
  for (const file of manifest.files) {
    const found = await ifThere(hashFile(join(folder, file.path)), undefined)
    if (found?.sha256 !== file.sha256 || found.size !== file.size)
      throw new OperationRefused(
        `${join(folder, file.path)} ${found ? 'is not the file that was backed up' : 'is missing from the backup'}. Use another backup.`,
      )
    onFile?.(file)
  }
  return manifest
}

async function loadManifest(folder: string): Promise<Manifest> {
  let value: unknown
  try {
    value = JSON.parse(await readFile(join(folder, MANIFEST), 'utf8'))
  } catch (cause) {
    throw new OperationRefused(`${folder} is no backup: it has no readable ${MANIFEST}.`, { cause })
  }
  const manifest = value as Manifest
  const safe = (path: unknown) =>
    typeof path === 'string' && !path.split('/').some((part) => part === '..' || part === '')
  if (manifest?.kind !== 'writ-backup' || manifest.v !== 1 || !manifest.files?.every((file) => safe(file.path)))
    throw new OperationRefused(`${folder} is no backup that this version of Writ can read.`)
  return manifest
}
