import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import pg from 'pg'
import { type Aftermath, createAftermath } from './aftermath.ts'
import { binaryArray } from './binary-array.ts'
import { kyselyOn } from './connection.ts'
import {
  type Database,
  DatabaseConflict,
  DatabaseUnavailable,
  type Hints,
  type Leadership,
  type Param,
  type Tx,
  UniqueViolation,
} from './database.ts'
import { ProjectFence } from './fence.ts'
import { createGroupCommit, type GroupTx, unit } from './group-commit.ts'
import { INSTANCE, projectInContext } from './project.ts'
import type { Tables } from './tables.ts'

// bigint columns hold milliseconds, sizes and counts: all below 2^53.
const INT8 = 20
const types = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format),
}

/**
 * A statement that has no answer by then has failed, and its connection with it: behind a network that was cut nobody ever says
 * so. Large enough for the slowest statement of a busy store; `query_timeout` in the URL sets another.
 */
const ANSWER_MS = 30_000
/** Statements that begin so go through what grew for years, and have a day. */
const SLOW = '/* slow */'
const SLOW_ANSWER_MS = 86_400_000
/**
 * The server undoes a transaction of which it hears nothing for so long, or one that was cut off would hold its locks for hours:
 * the entries it was claiming, and every sweep that meets them. `idle_in_transaction_session_timeout` in the URL sets another.
 */
const SILENT_MS = 15_000
/** The connection of a leader is asked every two seconds, and is nobody's any more after so long without. */
const LEADER_ANSWER_MS = 5_000
const LEADER_SILENT_MS = 15_000
// The kernel finds out about a peer that is gone without a word.
const alive = { keepAlive: true, keepAliveInitialDelayMillis: 10_000 }

type ColumnTypes = ReadonlyMap<string, ReadonlyMap<string, string>>

/**
 * PostgreSQL. Every connection runs as `writ_app` (or `writ_sequencer`), never as the owner, and every transaction
 * begins by naming its project: row-level security shows no row otherwise.
 */
export async function openPostgres(url: string, options: { poolSize?: number } = {}): Promise<Database> {
  const poolFor = (role: string, max: number) => {
    const pool = new pg.Pool({
      ...alive,
      query_timeout: ANSWER_MS,
      idle_in_transaction_session_timeout: SILENT_MS,
      connectionString: url,
      max,
      types,
      pipeline: true,
      options: `-c role=${role} -c timezone=UTC`,
      application_name: role,
      idleTimeoutMillis: 60_000,
      connectionTimeoutMillis: 5_000,
    })
    // A broken idle connection is replaced at the next use; without a listener it would end the process.
    pool.on('error', () => {})
    // The same for one that is in use: its query rejects with the reason, and whoever asked answers for it.
    pool.on('connect', (client) => client.on('error', () => {}))
    return pool
  }
  const pool = poolFor('writ_app', options.poolSize ?? 10)
  const sequencers = poolFor('writ_sequencer', 2)
  const columns = await loadColumnTypes(pool)
  const notes = await inspectRole(pool)

  async function inTransaction<T>(
    from: pg.Pool,
    begin: string,
    project: string,
    work: (tx: Tx) => Promise<T>,
    fenced: boolean,
  ): Promise<T> {
    const client = await connect(from)
    const after = createAftermath()
    let broken: Error | undefined
    try {
      await client.query(`${begin}; ${enter(project)}`)
      const result = await work(txOn(client, project, after, columns, fenced))
      await client.query('commit')
      after.committed()
      return result
    } catch (error) {
      const translated = translate(error)
      after.undone()
      await client.query('rollback').catch((failed) => {
        broken = failed
      })
      throw translated
    } finally {
      client.release(broken)
    }
  }

  const group = createGroupCommit({
    concurrent: 4,
    apart: true,
    open: async (project) => groupTransaction(await connect(pool), project, columns),
  })

  return {
    dialect: 'postgres',
    notes,
    read: async (work) =>
      inTransaction(pool, 'begin isolation level repeatable read read only', projectInContext(), work, true),
    async lookup<Row>(text: string, params: readonly (Param | readonly Param[])[]) {
      try {
        return (await pool.query({ ...statementOf(text), values: [...params] })).rows as Row[]
      } catch (error) {
        throw translate(error)
      }
    },
    write: (work) => group.submit(unit, work) as ReturnType<typeof work>,
    submit: (command, input) => group.submit(command, input),
    sequence: (work) => inTransaction(sequencers, 'begin', INSTANCE, work, false),
    lead: (name, signal, beside) => lead(url, name, signal, beside),
    hints: (channel, heard) => hear(url, pool, channel, heard),
    async ping() {
      const client = await connect(pool)
      try {
        await client.query('select 1')
        client.release()
      } catch (error) {
        client.release(true)
        throw translate(error)
      }
    },
    async prepareMonths(now) {
      const client = await connect(pool)
      try {
        await client.query('select writ_make_partitions(to_timestamp($1 / 1000.0), 3)', [now])
      } finally {
        client.release()
      }
    },
    async close() {
      await group.drain()
      await Promise.all([pool.end(), sequencers.end()])
    },
  }
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect()
  } catch (error) {
    throw new DatabaseUnavailable(error)
  }
}

// Project ids are UUIDs that we made; the check keeps this literal safe whatever calls it.
function enter(project: string): string {
  if (!/^[0-9a-f-]{36}$/.test(project)) throw new Error('a project id is a UUID')
  return `set local writ.project = '${project}'`
}

// Statements are written with ?1, ?2; each is rewritten and named once, however often it runs.
const statements = new Map<string, Statement>()
interface Statement {
  readonly name: string
  readonly text: string
  readonly query_timeout?: number
}
function statementOf(sql: string): Statement {
  let statement = statements.get(sql)
  if (!statement) {
    statement = {
      name: `w${statements.size}`,
      text: sql.replace(/\?(\d+)/g, '$$$1'),
      ...(sql.startsWith(SLOW) ? { query_timeout: SLOW_ANSWER_MS } : {}),
    }
    statements.set(sql, statement)
  }
  return statement
}

function txOn(client: pg.PoolClient, project: string, after: Aftermath, columns: ColumnTypes, fenced = true): Tx {
  const openKysely = (): Kysely<Tables> => {
    const plain = kyselyOn(
      {
        async run(sql, params) {
          try {
            gatherWrites(client)
            const result = await client.query(sql, params as unknown[])
            return { rows: result.rows, changes: BigInt(result.rowCount ?? 0) }
          } catch (error) {
            throw translate(error)
          }
        },
      },
      'postgres',
    )
    return fenced ? plain.withPlugin(new ProjectFence(project)) : plain
  }
  // Made when it is first asked for: a transaction of hand-written statements needs none.
  let db: Kysely<Tables> | undefined
  const prepared = async (sql: string, values: unknown[]) => {
    try {
      gatherWrites(client)
      return await client.query({ ...statementOf(sql), values })
    } catch (error) {
      throw translate(error)
    }
  }
  return {
    get db() {
      db ??= openKysely()
      return db
    },
    project,
    dialect: 'postgres',
    async sql<Row>(text: string, params: readonly (Param | readonly Param[])[] = []) {
      return (await prepared(text, params.map(textsOf))).rows as Row[]
    },
    async insert(table, rows) {
      if (rows.length === 0) return
      const kinds = columns.get(table)
      const keys = Object.keys(rows[0]!)
      const arrays = keys.map((key) => arrayOf(kinds?.get(key), rows, key))
      const places = keys.map((key, i) => `$${i + 1}::${kinds?.get(key)}[]`)
      await prepared(`insert into ${table} (${keys.join(', ')}) select * from unnest(${places.join(', ')})`, arrays)
    },
    async update(table, key, rows, when, returning) {
      if (rows.length === 0) return []
      const kinds = columns.get(table)
      const keys = Object.keys(rows[0]!)
      const ids = rows.map((row) => String(row[key]))
      // The bounds let partitions be left out; UUIDs sort alike under every collation. The list is for batches whose ids
      // lie far apart: between the bounds there may be millions of rows.
      const sorted = ids.toSorted()
      const n = keys.length
      const result = await prepared(
        `update ${table} set ${keys
          .filter((one) => one !== key)
          .map((one) => `${one} = u.new_${one}`)
          .join(', ')}
         from unnest(${keys.map((one, i) => `$${i + 1}::${kinds?.get(one)}[]`).join(', ')}) as u(${keys.map((one) => `new_${one}`).join(', ')})
         where project_id = $${n + 1} and ${key} = u.new_${key} and ${key} = any($1) and ${key} >= $${n + 2} and ${key} <= $${n + 3} and ${when}
         returning ${key} as updated, ${returning} as told`,
        [...keys.map((one) => arrayOf(kinds?.get(one), rows, one)), project, sorted[0], sorted.at(-1)],
      )
      const updated = new Map(result.rows.map((row: { updated: string; told: number }) => [row.updated, row.told]))
      return ids.map((id) => updated.get(id))
    },
    flush: () => sendGathered(streamOf(client)),
    afterCommit: after.afterCommit,
    ifUndone: after.ifUndone,
  }
}

/** One column of many rows as a parameter. */
function arrayOf(type: string | undefined, rows: readonly Record<string, Param>[], key: string): unknown {
  const values = rows.map((row) => row[key])
  return binaryArray(type, values) ?? values
}

/** A list of texts, whose type is plain, goes in binary; lists of numbers may be of any width and are left to the driver. */
const textsOf = (param: Param | readonly Param[]): unknown =>
  Array.isArray(param) && param.length > 0 && param.every((one) => typeof one === 'string')
    ? binaryArray('text', param)
    : param

/**
 * What is sent to a connection within one turn of the event loop leaves in one write: each write is a system call of ours
 * and a wake-up of the backend, which together cost more than most statements.
 */
function gatherWrites(client: pg.PoolClient): void {
  const stream = streamOf(client)
  if (gathering.has(stream)) return
  gathering.add(stream)
  stream.cork()
  process.nextTick(sendGathered, stream)
}
const gathering = new Set<Socket>()

function sendGathered(stream: Socket): void {
  if (gathering.delete(stream)) stream.uncork()
}

// Public by use (pg's own pool and cursors reach for it), absent from its types.
const streamOf = (client: pg.PoolClient): Socket =>
  (client as unknown as { readonly connection: { readonly stream: Socket } }).connection.stream

/**
 * Statements that need no answer of their own travel with their neighbours: begin and project with the first statements,
 * the last release with the commit. The first batch needs no savepoint, for there is nothing before it that a rollback of
 * the whole would lose.
 */
function groupTransaction(client: pg.PoolClient, project: string, columns: ColumnTypes): GroupTx {
  let ahead = ''
  const after = createAftermath()
  // Whether this transaction holds nothing yet, and whether it is itself the savepoint of the batch under way.
  let empty = true
  let whole = false
  const send = async (sql: string) => {
    const text = ahead + sql
    ahead = ''
    try {
      gatherWrites(client)
      await client.query(text)
    } catch (error) {
      throw translate(error)
    }
  }
  // Not waited for: what travels behind it fails if it did.
  const sendAlong = (sql: string) => void send(sql).catch(() => {})
  const begin = `begin; ${enter(project)}`
  sendAlong(begin)
  return {
    tx: txOn(client, project, after, columns),
    async savepoint() {
      after.savepoint()
      whole = empty
      empty = false
      if (!whole) sendAlong('savepoint batch')
    },
    async rollbackToSavepoint() {
      after.undoneToSavepoint()
      await send(whole ? `rollback; ${begin}` : 'rollback to savepoint batch; release savepoint batch')
      empty = whole
    },
    async releaseSavepoint() {
      if (!whole) ahead = 'release savepoint batch; '
    },
    async commit() {
      await send('commit')
      client.release()
    },
    async rollback() {
      after.undone()
      try {
        await client.query('rollback')
        client.release()
      } catch (error) {
        client.release(true)
        throw translate(error)
      }
    },
    tell: after.committed,
  }
}

async function loadColumnTypes(pool: pg.Pool): Promise<ColumnTypes> {
  const client = await connect(pool)
  try {
    const { rows } = await client.query<{ table_name: string; column_name: string; udt_name: string }>(
      `select c.relname as table_name, a.attname as column_name, t.typname as udt_name
       from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_type t on t.oid = a.atttypid
       where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped`,
    )
    const result = new Map<string, Map<string, string>>()
    for (const row of rows) {
      const table = result.get(row.table_name) ?? new Map<string, string>()
      result.set(row.table_name, table.set(row.column_name, row.udt_name))
    }
    return result
  } catch (error) {
    throw translate(error)
  } finally {
    client.release()
  }
}

async function inspectRole(pool: pg.Pool): Promise<string[]> {
  const client = await connect(pool)
  try {
    const { rows } = await client.query<{ login: string; strong: boolean; owner: boolean }>(
      `select session_user::text as login,
              (select rolsuper or rolbypassrls from pg_roles where rolname = session_user) as strong,
              exists (select from pg_class where relname = 'runs' and relowner = (select oid from pg_roles where rolname = session_user)) as owner`,
    )
    const { login, strong, owner } = rows[0]!
    if (!strong && !owner) return []
    return [
      `The database user "${login}" ${strong ? 'is a superuser' : 'owns the tables'}; Writ runs as role writ_app on every connection, which is weaker than a login that is neither: give the owner in WRIT_MIGRATION_URL and a plain login in DATABASE_URL.`,
    ]
  } finally {
    client.release()
  }
}

/**
 * An advisory lock on a connection of its own, direct and not pooled by anything: transaction pooling breaks session
 * locks. It is no fence: a paused leader may wake after another took over, so what it writes must be refused by
 * compare-and-set (logs.size, the signer's memory).
 */
async function lead(url: string, name: string, signal: AbortSignal, beside?: () => void): Promise<Leadership> {
  for (;;) {
    signal.throwIfAborted()
    const client = new pg.Client({
      ...alive,
      connectionString: url,
      types,
      application_name: `writ_lead_${name}`,
      options: `-c idle_session_timeout=${LEADER_SILENT_MS}`,
      query_timeout: LEADER_ANSWER_MS,
      connectionTimeoutMillis: 5_000,
    })
    const lost = new AbortController()
    client.on('error', (error) => lost.abort(error))
    client.on('end', () => lost.abort(new Error('connection ended')))
    try {
      await client.connect()
      const { rows } = await client.query<{ ok: boolean }>(
        'select pg_try_advisory_lock(hashtext($1), hashtext(current_database())) as ok',
        [`writ.${name}`],
      )
      if (rows[0]!.ok) {
        const beat = setInterval(() => client.query('select 1').catch((error) => lost.abort(error)), 2_000)
        beat.unref()
        lost.signal.addEventListener('abort', () => clearInterval(beat))
        return {
          lost: lost.signal,
          held: () =>
            client.query('select 1').then(
              () => !lost.signal.aborted,
              () => false,
            ),
          release: async () => {
            clearInterval(beat)
            await client.end().catch(() => {})
          },
        }
      }
      beside?.()
    } catch {
      // The database is away; ask again.
    }
    await client.end().catch(() => {})
    await sleep(1_000, undefined, { signal }).catch(() => {})
  }
}

/** LISTEN on a connection of its own, opened again when it breaks. What is said meanwhile is lost, as hints may be. */
function hear(url: string, pool: pg.Pool, channel: string, heard: (text: string) => void): Hints {
  if (!/^[a-z_]+$/.test(channel)) throw new Error('a channel is a plain word')
  const ended = new AbortController()
  const listen = async () => {
    while (!ended.signal.aborted) {
      const client = new pg.Client({
        ...alive,
        connectionString: url,
        application_name: `writ_hear_${channel}`,
        connectionTimeoutMillis: 5_000,
      })
      const broken = Promise.withResolvers<void>()
      client.on('error', () => broken.resolve())
      client.on('end', () => broken.resolve())
      client.on('notification', (note) => heard(note.payload ?? ''))
      const end = () => broken.resolve()
      ended.signal.addEventListener('abort', end)
      try {
        await client.connect()
        await client.query(`listen ${channel}`)
        await broken.promise
      } catch {
        // The database is away; ask again.
      }
      ended.signal.removeEventListener('abort', end)
      await client.end().catch(() => {})
      await sleep(1_000, undefined, { signal: ended.signal }).catch(() => {})
    }
  }
  const listening = listen()
  return {
    say: (text) => {
      pool.query('select pg_notify($1, $2)', [channel, text]).catch(() => {})
    },
    async close() {
      ended.abort()
      await listening
    },
  }
}

// https://www.postgresql.org/docs/15/errcodes-appendix.html: class 08 connection, 53 resources, 57 operator, 58 system.
function translate(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof DatabaseUnavailable || error instanceof UniqueViolation)
    return error
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (code === '23505') return new UniqueViolation(String((error as pg.DatabaseError).constraint ?? ''), error)
  if (code === '40P01' || code === '40001' || code === '55P03') return new DatabaseConflict(error)
  if (/^(08|53|57P|58)/.test(code) || code === '25006' || code === '25P03') return new DatabaseUnavailable(error)
  if (/^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH|ENETUNREACH)/.test(code)) return new DatabaseUnavailable(error)
  return /connection terminated|query read timeout|client has encountered a connection error|not queryable|timeout exceeded when trying to connect/i.test(
    error.message,
  )
    ? new DatabaseUnavailable(error)
    : error
}
