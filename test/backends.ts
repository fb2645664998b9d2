/** The stores on which every scenario has to hold. */
import { randomBytes } from 'node:crypto'
import path from 'node:path'
import { after } from 'node:test'
import { createFakeClock } from '../packages/server/src/platform/clock.ts'
import { openDatabase } from '../packages/server/src/platform/db/index.ts'
import { addDatabase, addLogins, asSuperuser, databaseAt } from './servers/logins.ts'
import { missingBackend } from './servers/missing-backend.ts'
import { isBorrowed, missingPostgres, type Postgres, startPostgres } from './servers/postgres.ts'
import { type StartOptions, TestSystem } from './test-system.ts'

export interface Backend {
  readonly name: 'sqlite' | 'postgres'
  /** Why it cannot be had here, or false. */
  readonly skip: string | false
  /** A whole system on an empty database of its own. */
  start(options?: StartOptions): Promise<TestSystem>
}

/**
 * SQLite always, PostgreSQL when it can be started. One PostgreSQL serves all tests of a file, each in a database of its own; it is
 * started by the first test that asks and ends with the file.
 */
export function backends(): readonly Backend[] {
  let server: Promise<Postgres> | undefined
  after(async () => (await server)?.stop())
  return [
    { name: 'sqlite', skip: false, start: (options) => TestSystem.start(options) },
    {
      name: 'postgres',
      skip: missingBackend('PostgreSQL', missingPostgres()),
      async start(options = {}) {
        server ??= startPostgres()
        const { url } = await server
        const name = `writ_system_${randomBytes(6).toString('hex')}`
        const env = await addMigratedDatabase(url, name)
        return TestSystem.start({
          ...options,
          databaseUrl: databaseAt(url, name),
          env: { ...options.env, ...env },
          async afterwards() {
            await asSuperuser(url, `drop database ${name} with (force)`)
          },
        })
      },
    },
  ]
}

const MIGRATED = 'writ_migrated'
const migrated = new Map<string, Promise<void>>()

/** A database of its own in this server, without rows; settings of who opens it. */
export async function addMigratedDatabase(
  url: string,
  name: string,
): Promise<{ DATABASE_URL: string; WRIT_MIGRATION_URL?: string }> {
  if (isBorrowed()) {
    // In a server of somebody else's no logins are made.
    await asSuperuser(url, `create database ${name}`)
    return { DATABASE_URL: databaseAt(url, name) }
  }
  if (!migrated.has(url)) migrated.set(url, addMigrated(url))
  await migrated.get(url)
  return addDatabase(url, name, MIGRATED)
}

/** Makes a migrated file of SQLite in this folder; its path. */
export async function migratedFile(folder: string): Promise<string> {
  const file = path.join(folder, 'writ.db')
  await (await openDatabase({ url: `sqlite:${file}` }, createFakeClock())).close()
  return file
}

/**
 * A database without rows, migrated as a server does it at its start: those of the tests are copies, because a start that migrates
 * takes twice as long. Nothing to do where there is one.
 */
export async function addMigrated(url: string): Promise<void> {
  const [found] = await asSuperuser(url, `select from pg_database where datname = '${MIGRATED}'`)
  if (found) return
  await addLogins(url)
  const { DATABASE_URL, WRIT_MIGRATION_URL } = await addDatabase(url, MIGRATED)
  const settings = { url: DATABASE_URL, migrationUrl: WRIT_MIGRATION_URL }
  await (await openDatabase(settings, createFakeClock())).close()
}
