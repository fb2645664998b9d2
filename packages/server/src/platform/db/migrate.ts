import type { DatabaseSync } from 'node:sqlite'
import type { Client } from 'pg'
import { loadDriver, withClient } from './driver.ts'
import { loadMigrations, type Migration, SchemaRefused } from './migrations.ts'
import { waitForServers } from './schema-hold.ts'
import { openToWrite } from './sqlite-file.ts'

const bookkeeping =
  'create table if not exists schema_migrations (version integer primary key, name text not null, checksum text not null, applied_at text not null)'

/** The migrations still to run, given those that ran. Throws SchemaRefused for a newer or altered history. */
function pendingMigrations(
  all: readonly Migration[],
  applied: readonly { version: number; checksum: string }[],
): Migration[] {
  const newest = all.at(-1)?.version ?? 0
  const stored = Math.max(0, ...applied.map((row) => Number(row.version)))
  if (stored > newest)
    throw new SchemaRefused(
      `This database has schema ${stored}, but this version of Writ knows only ${newest}. Start the newer Writ that wrote it, or restore a backup made with this one.`,
    )
  for (const row of applied) {
    const ours = all.find((migration) => migration.version === Number(row.version))
    if (ours?.checksum !== row.checksum)
      throw new SchemaRefused(
        `Migration ${row.version} of this database is not the one that this version of Writ ships; it was made by another build.`,
      )
  }
  return all.filter((migration) => migration.version > stored)
}

/** Somebody moving over carries the old system's DATABASE_URL along: its database is evidence, and is left as it is. */
function refuseForeign(where: string, tables: readonly string[]): void {
  if (tables.length === 0) return
  const some = tables.slice(0, 5).join(', ') + (tables.length > 5 ? ', ...' : '')
  throw new SchemaRefused(
    `${where} holds tables that Writ did not make (${some}). Nothing was changed there. Give Writ a database of its own: DATABASE_URL names it; left out, it is a file in the data directory.`,
  )
}

/** Tables of a file that is not Writ's: any, where no migration of Writ ever ran. */
export function foreignInSqlite(database: DatabaseSync): string[] {
  const rows = database
    .prepare(
      `select name from sqlite_schema where type = 'table' and name not like 'sqlite~_%' escape '~' order by name`,
    )
    .all() as { name: string }[]
  const tables = rows.map(({ name }) => name)
  return tables.includes('schema_migrations') ? [] : tables
}

/** Tables that stand where Writ's would, and no migration of Writ ever ran. Beside others, such as an extension's, it can live. */
export async function foreignInPostgres(client: Client): Promise<string[]> {
  const ours = loadMigrations('postgres').flatMap(({ sql }) =>
    [...sql.matchAll(/^\s*create table (\w+)/gim)].map((match) => match[1]!),
  )
  const { rows } = await client.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = current_schema()::regnamespace and relname = any ($1)
     and to_regclass('schema_migrations') is null order by 1`,
    [ours],
  )
  return rows.map(({ name }) => name)
}

/** Brings a SQLite file to the newest schema in one transaction; a rival waits for the write lock. */
export function migrateSqlite(file: string, now: string): number {
  const database = openToWrite(file, 30_000)
  try {
    // Before the first statement that writes, which already is the one that sets the journal.
    refuseForeign(`The file ${file}`, foreignInSqlite(database))
    database.exec('pragma journal_mode = wal; pragma synchronous = full; begin immediate')
    database.exec(bookkeeping)
    const applied = database.prepare('select version, checksum from schema_migrations order by version').all() as {
      version: number
      checksum: string
    }[]
    const pending = pendingMigrations(loadMigrations('sqlite'), applied)
    for (const migration of pending) {
      database.exec(migration.sql)
      database
        .prepare('insert into schema_migrations values (?, ?, ?, ?)')
        .run(migration.version, migration.name, migration.checksum, now)
    }
    database.exec('commit')
    return pending.length
  } finally {
    // Stopped before the commit, the file is as it was; closing rolls back.
    database.close()
  }
}

/** How long a start waits for servers of an older version to stop: longer than their container is given. */
const PATIENCE_MS = 60_000

export interface MigrationOptions {
  /** Told once which servers of an older version have to stop first. */
  readonly waiting?: (servers: readonly string[]) => void
  readonly patienceMs?: number
  /** Those of this version unless a test brings one that is newer. */
  readonly migrations?: readonly Migration[]
}

/**
 * Brings a PostgreSQL database to the newest schema, as its owner, under an advisory lock, in one transaction, and lets in the login
 * of `server`, the URL under which it will be served. Throws SchemaRefused, also where the owner may not let it in, and where
 * servers of an older version go on.
 */
export async function migratePostgres(
  url: string,
  server: string,
  now: string,
  { waiting = () => {}, patienceMs = PATIENCE_MS, migrations = loadMigrations('postgres') }: MigrationOptions = {},
): Promise<number> {
  const { Client } = await loadDriver()
  return withClient(url, 'writ_migrate', async (client) => {
    await client.query('begin')
    await client.query(`select pg_advisory_xact_lock(hashtext('writ.migrate'))`)
    refuseForeign('The database', await foreignInPostgres(client))
    await client.query(bookkeeping)
    const { rows } = await client.query<{ version: number; checksum: string }>(
      'select version, checksum from schema_migrations order by version',
    )
    const pending = pendingMigrations(migrations, rows)
    if (pending.length > 0 && rows.length > 0) await waitForServers(client, patienceMs, waiting)
    for (const migration of pending) {
      await client.query(migration.sql)
      await client.query('insert into schema_migrations values ($1, $2, $3, $4)', [
        migration.version,
        migration.name,
        migration.checksum,
        now,
      ])
    }
    await client.query(`select writ_make_partitions($1::timestamptz, 3)`, [now])
    // The table is older than the roles. Who serves looks whether the schema is still its own.
    await client.query('grant select on schema_migrations to writ_app')
    await letIn(client, new Client({ connectionString: server }).user)
    await client.query('commit')
    return pending.length
  })
}

/** Makes a login a member of the roles that a server runs as, if it is none. */
async function letIn(client: Client, login: string | undefined): Promise<void> {
  const { rows } = await client.query<{ owner: string; quoted: string; needed: boolean }>(
    `select current_user as owner, quote_ident(rolname) as quoted,
            not (pg_has_role(oid, 'writ_app', 'member') and pg_has_role(oid, 'writ_sequencer', 'member')) as needed
     from pg_roles where rolname = $1 and rolname <> current_user`,
    [login],
  )
  // Whoever migrates is a member since the first migration; and a login that is not there will be told so.
  const found = rows[0]
  if (!found?.needed) return
  try {
    await client.query(`grant writ_app, writ_sequencer to ${found.quoted}`)
  } catch (cause) {
    throw new SchemaRefused(
      `The login "${login}" of DATABASE_URL is no member of the roles writ_app and writ_sequencer, and "${found.owner}" of WRIT_MIGRATION_URL may not make it one. Nothing was changed. Let a superuser do it once: grant writ_app, writ_sequencer to ${found.quoted}`,
      { cause },
    )
  }
}
