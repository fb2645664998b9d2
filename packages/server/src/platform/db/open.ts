import { dirname } from 'node:path'
import { type Clock, rfc3339 } from '../clock.ts'
import { makeFolder } from '../make-folder.ts'
import { type Database, DatabaseUnavailable } from './database.ts'
import { migratePostgres, migrateSqlite } from './migrate.ts'
import { SchemaRefused } from './migrations.ts'
import { openSqlite, openSqliteToRead } from './sqlite.ts'
import { isWritable } from './sqlite-file.ts'

/** `sqlite:<absolute file>`, or a postgres URL; `migrationUrl` is the owner's, when it is another. */
export interface DatabaseSettings {
  readonly url: string
  readonly migrationUrl?: string | undefined
  readonly poolSize?: number
}

/**
 * Migrates under a lock, then opens. Throws SchemaRefused or DatabaseUnavailable. `waiting` is told which servers of an older version
 * hold a migration up.
 */
export async function openDatabase(
  settings: DatabaseSettings,
  clock: Clock,
  waiting?: (servers: readonly string[]) => void,
): Promise<Database> {
  const now = rfc3339(clock.now())
  if (settings.url.startsWith('sqlite:')) {
    const file = settings.url.slice('sqlite:'.length)
    makeFolder(dirname(file), 0o700)
    migrateSqlite(file, now)
    return openSqlite(file)
  }
  try {
    await migratePostgres(settings.migrationUrl ?? settings.url, settings.url, now, waiting ? { waiting } : {})
  } catch (error) {
    if (error instanceof SchemaRefused) throw error
    throw new DatabaseUnavailable(error)
  }
  return openPostgres(settings.url, settings.poolSize)
}

/**
 * Opens a store that is migrated already: for threads and tools beside a running server. A SQLite file where nothing can be written is
 * opened to be read. Throws SqliteFileRefused.
 */
export async function attachDatabase(settings: DatabaseSettings): Promise<Database> {
  if (!settings.url.startsWith('sqlite:')) return openPostgres(settings.url, 2)
  const file = settings.url.slice('sqlite:'.length)
  return isWritable(file) ? openSqlite(file) : openSqliteToRead(file)
}

async function openPostgres(url: string, poolSize: number | undefined): Promise<Database> {
  // Loaded by those who use it: with the driver it is a twentieth of a start.
  const postgres = await import('./postgres.ts')
  return postgres.openPostgres(url, poolSize ? { poolSize } : {})
}
