/** What an operator wants to know of a store that may be in any state; reads only, and never migrates. */
import { existsSync } from 'node:fs'
import { loginOf, withClient } from './driver.ts'
import { foreignInPostgres, foreignInSqlite } from './migrate.ts'
import { loadMigrations } from './migrations.ts'
import type { DatabaseSettings } from './open.ts'
import { fileToRead } from './sqlite-file.ts'
import { tenantTables } from './tables.ts'

export interface StoreState {
  /** Newest migration applied; 0 before the first start. */
  readonly schema: number
  /** Newest migration that this version of Writ ships. */
  readonly known: number
  /** Tables of something else, which keep the first start from making Writ's. */
  readonly foreign: readonly string[]
  /** PostgreSQL: the login is a superuser or may bypass row-level security, so the fence depends on Writ's `set role`. */
  readonly mightyLogin: boolean
  /** PostgreSQL: who migrates and backs up, if row-level security hides rows from that login. */
  readonly fencedOwner: string | null
  /** PostgreSQL: tables of projects without an enforced fence, and fenced tables that their role may bypass. */
  readonly unfenced: readonly string[]
  /** Name and version of the database. */
  readonly version: string
}

/** Throws whatever keeps the database from being read. */
export async function inspectStore(settings: DatabaseSettings): Promise<StoreState> {
  return settings.url.startsWith('sqlite:')
    ? inspectSqlite(settings.url.slice('sqlite:'.length))
    : inspectPostgres(settings)
}

function inspectSqlite(file: string): StoreState {
  const known = loadMigrations('sqlite').at(-1)?.version ?? 0
  const empty = {
    schema: 0,
    known,
    mightyLogin: false,
    fencedOwner: null,
    unfenced: [],
    foreign: [],
    version: `SQLite ${process.versions.sqlite ?? ''}`,
  }
  if (!existsSync(file)) return empty
  const database = fileToRead(file, 5_000).open()
  try {
    const tables = database.prepare(`select 1 from sqlite_master where name = 'schema_migrations'`).all()
    if (tables.length === 0) return { ...empty, foreign: foreignInSqlite(database) }
    const row = database.prepare('select max(version) as schema from schema_migrations').get()
    return { ...empty, schema: Number(row?.schema ?? 0) }
  } finally {
    database.close()
  }
}

async function inspectPostgres({ url, migrationUrl }: DatabaseSettings): Promise<StoreState> {
  const known = loadMigrations('postgres').at(-1)?.version ?? 0
  const server = await withClient(url, 'writ_doctor', loginOf)
  return withClient(migrationUrl ?? url, 'writ_doctor', async (client) => {
    const owner = await loginOf(client)
    const { rows } = await client.query<{ version: string; there: boolean }>(
      `select current_setting('server_version') as version, to_regclass('schema_migrations') is not null as there`,
    )
    const { version, there } = rows[0]!
    const state = {
      known,
      mightyLogin: server.mighty,
      fencedOwner: owner.mighty ? null : owner.name,
      foreign: [],
      version: `PostgreSQL ${version}`,
    }
    if (!there) return { ...state, schema: 0, unfenced: [], foreign: await foreignInPostgres(client) }
    const { rows: applied } = await client.query<{ schema: number }>(
      'select coalesce(max(version), 0)::int as schema from schema_migrations',
    )
    const { rows: open } = await client.query<{ name: string }>(
      `select t.name from unnest($1::text[]) as t (name)
       left join pg_class c on c.oid = to_regclass(quote_ident(t.name))
       where c.oid is null or not c.relrowsecurity or not c.relforcerowsecurity
       union
       select r.rolname from pg_roles r where r.rolname in ('writ_app', 'writ_sequencer') and (r.rolsuper or r.rolbypassrls)
       order by 1`,
      [[...tenantTables]],
    )
    return { ...state, schema: applied[0]!.schema, unfenced: open.map((row) => row.name) }
  })
}
