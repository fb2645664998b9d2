// Who serves a database while it has this schema, and with what they have to have in common. A migration waits for them: code of one schema
// over the tables of another would write rows that the newer one takes for complete.
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
/** A server that stops lets go within its grace; one that is started again beside it waits a little. */
const DIFFERENT_MS = 10_000

/** What every server of a database has to have as the others do, or what one of them writes is lost on another. */
export interface Shared {
  readonly name: string
  readonly value: string
  /** Values of others with which this process gets along too. */
  readonly also?: readonly string[]
  /** For people: what it is, and what comes of two. */
  readonly differs: string
}

/** Another server of the database runs with something else that all must have in common. */
export class SettingsDiffer extends Error {
  override name = 'SettingsDiffer'
}

export interface SchemaHold {
  /** Keeps the schema until the signal. Rejects with SchemaRefused when a newer version has migrated while the connection was lost. */
  run(signal: AbortSignal): Promise<void>
}

interface Session {
  readonly client: Client
  /** Resolves when the connection is gone. */
  readonly broken: Promise<void>
  close(): Promise<void>
}

/**
 * Says to all who would migrate that this process serves the database with the schema it knows, from now on, and to all who would
 * serve it beside this one, what they have to have in common with it. On SQLite nothing is to be said: one process alone opens the data directory.
 * @throws SchemaRefused when it has another schema already
 * @throws SettingsDiffer when another server has something else, and does not stop within a few seconds
 */
export async function holdSchema(
  settings: DatabaseSettings,
  shared: readonly Shared[] = [],
  patienceMs: number = DIFFERENT_MS,
): Promise<SchemaHold> {
  if (settings.url.startsWith('sqlite:')) return { run: async () => {} }
  // Read once: what lies on the disk may be replaced while this process runs.
  const known = newestSchema('postgres')
  let session: Session | undefined = await openSession(settings.url, known, [])
  try {
    await agreeWithOthers(session.client, shared, patienceMs)
  } catch (error) {
    await session.close()
    throw error
  }
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
        session = await openSession(settings.url, known, shared).catch((error: unknown) => {
          if (error instanceof SchemaRefused) throw error
          return undefined // The database is away; ask again.
        })
      }
      await session?.close()
    },
  }
}

async function openSession(url: string, known: number, shared: readonly Shared[]): Promise<Session> {
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
    await sayShared(client, 'lock', shared)
  } catch (error) {
    await close()
    throw error
  }
  const ask = { text: 'select 1', query_timeout: ANSWER_MS }
  const beat = setInterval(() => client.query(ask).catch(() => broken.resolve()), BEAT_MS)
  beat.unref()
  return {
    client,
    broken: broken.promise,
    async close() {
      clearInterval(beat)
      await close()
    },
  }
}

/**
 * Each server holds a lock for each of these, whose second number is the value. Whoever begins looks first, says its own and looks again: of
 * two that begin at once, one sees the other at least. Whoever has to wait says nothing meanwhile, or one server with a wrong setting that is
 * started again and again would keep out all others.
 */
async function agreeWithOthers(client: Client, shared: readonly Shared[], patienceMs: number): Promise<void> {
  const end = performance.now() + patienceMs
  for (;;) {
    let different = await firstDifference(client, shared)
    if (!different) {
      await sayShared(client, 'lock', shared)
      different = await firstDifference(client, shared)
      if (!different) return
      await sayShared(client, 'unlock', shared)
    }
    if (performance.now() > end)
      throw new SettingsDiffer(
        `Another server of this database (${different.servers.join(', ')}) has ${different.differs}. Give both the same, or stop that one and start this one again.`,
      )
    // Two that met do not meet again.
    await sleep(150 + Math.random() * 200)
  }
}

async function sayShared(client: Client, how: 'lock' | 'unlock', shared: readonly Shared[]): Promise<void> {
  for (const { name, value } of shared)
    await client.query(`select pg_advisory_${how}_shared(${SHARED}, hashtext($2))`, [name, value])
}

async function firstDifference(
  client: Client,
  shared: readonly Shared[],
): Promise<(Shared & { servers: string[] }) | undefined> {
  for (const one of shared) {
    const servers = await serversWithout(client, one)
    if (servers.length > 0) return { ...one, servers }
  }
  return undefined
}

/** Host and process of each server that has a value of its own. */
async function serversWithout(client: Client, { name, value, also = [] }: Shared): Promise<string[]> {
  const { rows } = await client.query<{ name: string | null }>(
    `select distinct a.application_name as name from pg_locks l join pg_stat_activity a using (pid)
     where l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.mode = 'ShareLock'
       and l.database = (select oid from pg_database where datname = current_database())
       and l.classid = (${SHARED}::bigint & 4294967295)::oid
       and l.objid not in (select (hashtext(known)::bigint & 4294967295)::oid from unnest($2::text[]) as known)
     order by 1`,
    [name, [value, ...also]],
  )
  return rows.map((row) => serverName(row.name))
}

const SHARED = `hashtext('writ.shared ' || $1 || ' ' || current_schema())`

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
  return rows.map(({ name }) => serverName(name))
}

/** From the name of its connection, which another login may not be shown. */
const serverName = (connection: string | null): string =>
  connection?.replace(/^writ_serves (.*) (\d+)$/, 'process $2 on $1') ?? 'unknown'
