import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { auditFolders, databaseSettings } from '../app.ts'
import type { AuditFolders } from '../audit/index.ts'
import { type Config, loadConfig } from '../config.ts'
import type { DatabaseSettings } from '../platform/db/index.ts'
import { lockDataDir } from '../platform/lock.ts'

/** Where an operation works: a configuration at hand, or one that is loaded as the server in `cwd` would load it. */
export interface Place {
  readonly config?: Config | undefined
  /** In place of the configured data directory. */
  readonly dataDir?: string | undefined
  readonly env?: Record<string, string | undefined> | undefined
  readonly cwd?: string | undefined
  /** Between two steps an operation looks here and stops with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** Something stands in the way that a person can change; the message says what, and what to do; `code`, where there is one, stays. */
export class OperationRefused extends Error {
  override name = 'OperationRefused'
  readonly code: string | undefined
  constructor(message: string, { code, ...options }: ErrorOptions & { code?: string } = {}) {
    super(message, options)
    this.code = code
  }
}

export interface OpenPlace {
  readonly config: Config
  readonly folders: AuditFolders
  readonly database: DatabaseSettings
}

/** Loads the configuration of a place. Throws OperationRefused with every problem of it. */
export function openPlace(place: Place): OpenPlace {
  const config = place.config ?? loadPlace(place)
  return { config, folders: auditFolders(config), database: databaseSettings(config) }
}

/** The arguments of `loadConfig` for a place; the process's own flags are the command's, not the server's. */
export const loadArguments = ({ dataDir, env, cwd }: Place) => ({
  argv: dataDir === undefined ? [] : ['--data-dir', dataDir],
  ...(env ? { env } : {}),
  ...(cwd ? { cwd } : {}),
})

function loadPlace(place: Place): Config {
  const { config, problems } = loadConfig(loadArguments(place))
  if (!config) throw new OperationRefused(problems.join('\n'))
  return config
}

/**
 * Opens a place that is there already. Throws OperationRefused where nothing is: SQLite would make an empty database, in a backup
 * as well, which is to stay what it was.
 */
export function openExisting(place: Place): OpenPlace {
  const opened = openPlace(place)
  requireExisting(opened)
  return opened
}

/** Throws OperationRefused as `openExisting` does. */
export function requireExisting({ config: { database, dataDir } }: OpenPlace): void {
  if (database.kind === 'postgres' || isThere(database.file)) return
  throw new OperationRefused(
    existsSync(join(dataDir, 'manifest.json')) && existsSync(join(dataDir, 'database'))
      ? `${dataDir} is a backup and no data directory. Restore it into an empty one first, with "writ restore ${dataDir} --data-dir <folder>".`
      : `There is no database ${database.file}. Name the data directory of the server with --data-dir, or its WRIT_DATA_DIR.`,
  )
}

/** Throws OperationRefused where nobody can tell: in a folder that this user may not enter. */
function isThere(file: string): boolean {
  try {
    statSync(file)
    return true
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR') return false
    throw new OperationRefused(`${file} may not be read by the user that this runs as (${code}).`, { cause })
  }
}

/**
 * Holds the data directory for an operation that writes. On SQLite that keeps a server out, and is refused while one
 * runs; on PostgreSQL the caller takes what it needs in the database.
 */
export function holdPlace({ config }: OpenPlace): { release(): void } {
  return config.database.kind === 'sqlite' ? lockDataDir(config.dataDir) : { release() {} }
}
