/** Copies of a whole store, made and put back by the database's own means. */
import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { backup, DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { loginOf, withClient } from './driver.ts'
import { foreignInPostgres } from './migrate.ts'
import { fileToRead } from './sqlite-file.ts'

const run = promisify(execFile)

/** The database's own tools are missing or refused; the message is a sentence. */
class BackupToolFailed extends Error {
  override name = 'BackupToolFailed'
}

/**
 * Copies a SQLite file beside a running server, as of one moment: all pages in one step, under one read transaction, so a
 * writer neither waits nor makes the copy start again. The copy is fsynced and checked.
 */
export async function copySqlite(file: string, to: string): Promise<void> {
  const read = fileToRead(file, 30_000)
  const source = read.open()
  try {
    await backup(source, to, { rate: 0x7fffffff })
    read.requireUnchanged()
  } finally {
    source.close()
  }
  const copy = new DatabaseSync(to)
  try {
    // A single file: nothing beside it has to be kept or copied with it.
    copy.exec('pragma journal_mode = delete')
    const [result] = copy.prepare('pragma quick_check(1)').all() as { quick_check: string }[]
    if (result?.quick_check !== 'ok')
      throw new BackupToolFailed(`The copy of ${file} is damaged: ${result?.quick_check}`)
  } finally {
    copy.close()
  }
  const handle = await open(to, 'r+')
  await handle.sync().finally(() => handle.close())
}

/**
 * Dumps a PostgreSQL database in pg_dump's custom format, as of one moment, beside running servers. Throws BackupToolFailed, also
 * where the login cannot see the rows of every project: the fences hold for an owner too, and pg_dump refuses to dump a part.
 */
export async function dumpPostgres(url: string, to: string): Promise<void> {
  const { name, quoted, mighty } = await withClient(url, 'writ_backup', loginOf)
  if (!mighty)
    throw new BackupToolFailed(
      `The login "${name}" sees the rows of one project at a time, so it cannot dump the database. Let a superuser run this once: alter role ${quoted} bypassrls`,
    )
  await tool('pg_dump', url, ['--format=custom', '--no-owner', `--file=${to}`])
  const handle = await open(to, 'r+')
  await handle.sync().finally(() => handle.close())
}

/** Finds out whether a dump can be put back: pg_restore is here and can read it, and the roles that it grants to are made. */
export async function prepareRestorePostgres(url: string, from: string): Promise<void> {
  await tool('pg_restore', undefined, ['--list', from])
  await withClient(url, 'writ_backup', async (client) => {
    for (const role of ['writ_app', 'writ_sequencer']) {
      const { rowCount } = await client.query('select from pg_roles where rolname = $1', [role])
      if (rowCount === 0)
        await client.query(`create role ${role} nologin nosuperuser nobypassrls nocreatedb nocreaterole`)
    }
    const { rows } = await client.query<{ super: boolean; name: string }>(
      'select rolsuper as super, quote_ident(current_user) as name from pg_roles where rolname = current_user',
    )
    if (!rows[0]!.super) await client.query(`grant writ_app, writ_sequencer to ${rows[0]!.name}`)
  })
}

/** Puts a dump into an empty database, in one transaction, after `prepareRestorePostgres`. */
export async function restorePostgres(url: string, from: string): Promise<void> {
  await tool('pg_restore', url, ['--no-owner', '--exit-on-error', '--single-transaction', from])
}

/** Whether there is nothing of ours in a PostgreSQL database, and nothing in the place of it. */
export const isEmptyPostgres = (url: string): Promise<boolean> =>
  withClient(url, 'writ_backup', async (client) => {
    const { rows } = await client.query<{ there: boolean }>(
      `select to_regclass('schema_migrations') is not null or to_regclass('projects') is not null as there`,
    )
    return !rows[0]!.there && (await foreignInPostgres(client)).length === 0
  })

/**
 * What of a URL libpq knows as well (https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-PARAMKEYWORDS). It refuses a URL with
 * anything else, and time limits of the driver are none of its tools' business.
 */
const SHARED = new Set(['host', 'port', 'options', 'sslmode', 'sslcert', 'sslkey', 'sslrootcert', 'connect_timeout'])

/** A tool of PostgreSQL, on the database of `url` where it needs one. */
async function tool(name: string, url: string | undefined, args: readonly string[]): Promise<void> {
  const { database, env } = url === undefined ? { database: [], env: {} } : connection(url)
  try {
    await run(name, [...database, ...args], { env: { ...inherited(), ...env } })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      throw new BackupToolFailed(
        `${name} is not installed here. Install PostgreSQL's client programs (Debian: postgresql-client), in the version of the server or newer.`,
        { cause: error },
      )
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error)
    throw new BackupToolFailed(`${name} failed: ${said}`, { cause: error })
  }
}

/** The password goes through the environment: every user of a machine can read arguments. */
function connection(url: string): { database: string[]; env: Record<string, string> } {
  const address = new URL(url)
  const password = decodeURIComponent(address.password)
  address.password = ''
  for (const parameter of [...address.searchParams.keys()])
    if (!SHARED.has(parameter)) address.searchParams.delete(parameter)
  return { database: [`--dbname=${address.href}`], env: password ? { PGPASSWORD: password } : {} }
}

// PATH finds the program; the rest of the environment is none of its business.
const inherited = () => ({ PATH: ['/usr/local/bin', '/usr/bin', '/bin'].join(':'), LC_ALL: 'C.UTF-8' })
