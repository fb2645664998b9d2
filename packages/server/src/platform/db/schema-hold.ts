// Who serves a database while it has this schema. A migration waits for them: code of one schema over the tables of another would
// write rows that the newer one takes for complete.
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import { loadDriver } from './driver.ts'
import { newestSchema, SchemaRefused } from './migrations.ts'
import type { DatabaseSettings } from './open.ts'

/** The connection is asked so often, and given up by PostgreSQL after so long without: a server that vanished holds up nobody for longer. */
const BEAT_MS = 10_000
const SILENT_MS = 30_000
/** Behind a network that was cut nobody ever answers. */
const ANSWER_MS = 5_000

export interface SchemaHold {
  /** Keeps the schema until the signal. Rejects with SchemaRefused when a newer version has migrated while the connection was lost. */
  run(signal: AbortSignal): Promise<void>
}

interface Session {
  /** Resolves when the connection is gone. */
  readonly broken: Promise<void>
  close(): Promise<void>
}

/**
 * Says to all who would migrate that this process serves the database with the schema it knows, from now on. On SQLite nothing is to
 * be said: one process alone opens the data directory.
 * @throws SchemaRefused when it has another schema already
 */
export async function holdSchema(settings: DatabaseSettings): Promise<SchemaHold> {
  if (settings.url.startsWith('sqlite:')) return { run: async () => {} }
  // Read once: what lies on the disk may be replaced while this process runs.
  const known = newestSchema('postgres')
  let session: Session | undefined = await openSession(settings.url, known)
  return {
    async run(signal) {
      const { promise: stopped, resolve } = Promise.withResolvers<void>()
      signal.addEventListener('abort', () => resolve(), { once: true })
      while (!signal.aborted) {
        await Promise.race([session?.broken, stopped])
        await session?.close()
        session = undefined
        if (signal.aborted) return
        await sleep(1_000, undefined, { signal }).catch(() => {})
        session = await openSession(settings.url, known).catch((error: unknown) => {
          if (error instanceof SchemaRefused) throw error
          return undefined // The database is away; ask again.
        })
      }
      await session?.close()
    },
  }
}

async function openSession(url: string, known: number): Promise<Session> {
  const { Client } = await loadDriver()
  const client = new Client({
    keepAlive: true,
    connectionString: url,
    connectionTimeoutMillis: 5_000,
    application_name: `writ_serves ${hostname().slice(0, 40)} ${process.pid}`,
    options: `-c role=writ_app -c idle_session_timeout=${SILENT_MS}`,
  })
  const broken = Promise.withResolvers<void>()
  client.on('error', () => broken.resolve())
  client.on('end', () => broken.resolve())
  await client.connect()
  const close = () => client.end().catch(() => {})
  try {
    // Waits for a migration that is under way, and sees what it has made.
    await client.query(`select pg_advisory_lock_shared(${LOCK})`)
    const { rows } = await client.query<{ stored: number }>('select max(version) as stored from schema_migrations')
    const { stored } = rows[0]!
    if (stored !== known)
      throw new SchemaRefused(
        `A newer Writ has brought this database to schema ${stored} while this server ran, which knows ${known}. It must not write there any more; start the newer version in its place.`,
      )
  } catch (error) {
    await close()
    throw error
  }
  const ask = { text: 'select 1', query_timeout: ANSWER_MS }
  const beat = setInterval(() => client.query(ask).catch(() => broken.resolve()), BEAT_MS)
  beat.unref()
  return {
    broken: broken.promise,
    async close() {
      clearInterval(beat)
      await close()
    },
  }
}

/** Of a database and the schema in it, because two Writs may share a database. */
const LOCK = `hashtext('writ.schema'), hashtext(current_schema())`

/**
 * In the transaction of a migration: waits for `patienceMs` until no server holds the older schema, and keeps new ones out until the
 * transaction ends.
 * @throws SchemaRefused which names the servers that still run
 */
export async function waitForServers(
  client: Client,
  patienceMs: number,
  waiting: (servers: readonly string[]) => void,
): Promise<void> {
  const end = performance.now() + patienceMs
  for (let told = false; ; told = true) {
    const { rows } = await client.query<{ free: boolean }>(`select pg_try_advisory_xact_lock(${LOCK}) as free`)
    if (rows[0]!.free) return
    const servers = await serversOn(client)
    if (performance.now() > end)
      throw new SchemaRefused(
        `This version of Writ has to migrate the database, and servers of an older one still run on it: ${servers.join(', ') || 'unknown'}. Nothing was changed. Stop them, and start this one again.`,
      )
    if (!told) waiting(servers)
    await sleep(250)
  }
}

/** Host and process of each that holds the schema, from the name of its connection. */
async function serversOn(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select a.application_name as name from pg_locks l join pg_stat_activity a using (pid)
     where l.locktype = 'advisory' and l.granted and l.objsubid = 2
       and l.database = (select oid from pg_database where datname = current_database())
       and l.classid = (hashtext('writ.schema')::bigint & 4294967295)::oid
       and l.objid = (hashtext(current_schema())::bigint & 4294967295)::oid
     order by 1`,
  )
  return rows.map(({ name }) => name.replace(/^writ_serves (.*) (\d+)$/, 'process $2 on $1'))
}
