/** Statements past the server and its fences: what somebody with the database in their hands could do. */
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import type { TestSystem } from '../test-system.ts'

export async function execute(sys: TestSystem, sql: string): Promise<void> {
  if (sys.databaseUrl === undefined) return withSqlite(sys, (database) => database.exec(sql))
  await withPostgres(sys, (client) => client.query(sql))
}

/** Every row of every table, as one text a table. */
export async function dumpTables(sys: TestSystem): Promise<Map<string, string>> {
  const texts = new Map<string, string>()
  const textOf = (rows: readonly object[]) =>
    rows
      .flatMap((row) => Object.values(row))
      .map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value)))
      .join('\n')
  if (sys.databaseUrl === undefined) {
    withSqlite(sys, (database) => {
      const tables = database.prepare(`select name from sqlite_schema where type = 'table'`).all() as { name: string }[]
      for (const { name } of tables) texts.set(name, textOf(database.prepare(`select * from "${name}"`).all()))
    })
  } else {
    await withPostgres(sys, async (client) => {
      const tables = await client.query<{ name: string }>(
        `select relname as name from pg_class where relkind in ('r', 'p') and not relispartition and relnamespace = current_schema()::regnamespace`,
      )
      for (const { name } of tables.rows) texts.set(name, textOf((await client.query(`select * from "${name}"`)).rows))
    })
  }
  return texts
}

function withSqlite(sys: TestSystem, work: (database: DatabaseSync) => void): void {
  const database = new DatabaseSync(path.join(sys.folder, 'data/writ.db'))
  try {
    work(database)
  } finally {
    database.close()
  }
}

async function withPostgres<T>(sys: TestSystem, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: sys.databaseUrl })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
