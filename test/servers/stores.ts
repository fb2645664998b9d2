/** A database of its own, as the server opens it, for what is asked of its planner. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pg from 'pg'
import { createFakeClock } from '../../packages/server/src/platform/clock.ts'
import { type Database, openDatabase } from '../../packages/server/src/platform/db/index.ts'
import { startPostgres } from './postgres.ts'

/** `now` is the time at which it is migrated. */
export async function onSqlite(now: number, work: (db: Database) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'writ-plans-'))
  const db = await openDatabase({ url: `sqlite:${path.join(folder, 'writ.db')}` }, createFakeClock(now))
  try {
    await work(db)
  } finally {
    await db.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** With a connection beside the server's, of a superuser, whose URL is told too. */
export async function onPostgres(
  now: number,
  work: (db: Database, client: pg.Client, url: string) => Promise<void>,
): Promise<void> {
  const postgres = await startPostgres()
  const client = new pg.Client({ connectionString: postgres.url })
  const db = await openDatabase({ url: postgres.url }, createFakeClock(now))
  try {
    await client.connect()
    await work(db, client, postgres.url)
  } finally {
    await client.end()
    await db.close()
    await postgres.stop()
  }
}
