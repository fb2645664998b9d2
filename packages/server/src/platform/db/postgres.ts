import pg from 'pg'
import { createAftermath } from './aftermath.ts'
import { createBehind } from './behind.ts'
import type { Database, Param, Tx } from './database.ts'
import { createGroupCommit, unit } from './group-commit.ts'
import { ask, askOnce, statementOf } from './postgres-batch.ts'
import { createPool, type Pool } from './postgres-pool.ts'
import type { ColumnTypes } from './postgres-rows.ts'
import { hear, lead } from './postgres-sessions.ts'
import { begin, COMMIT, groupTransaction, ROLLBACK, txOn } from './postgres-tx.ts'
import { alive, translate, types } from './postgres-wire.ts'
import { INSTANCE, projectInContext } from './project.ts'

/**
 * A statement that has no answer by then has failed, and its connection with it: behind a network that was cut nobody ever says
 * so. Large enough for the slowest statement of a busy store; `query_timeout` in the URL sets another.
 */
const ANSWER_MS = 30_000
/**
 * The server undoes a transaction of which it hears nothing for so long, or one that was cut off would hold its locks for hours:
 * the entries it was claiming, and every sweep that meets them. `idle_in_transaction_session_timeout` in the URL sets another.
 */
const SILENT_MS = 15_000

/**
 * PostgreSQL. Every connection runs as `writ_app` (or `writ_sequencer`), never as the owner, and every transaction
 * begins by naming its project: row-level security shows no row otherwise.
 */
export async function openPostgres(url: string, options: { poolSize?: number } = {}): Promise<Database> {
  const poolFor = (role: string, max: number) =>
    createPool({
      ...alive,
      query_timeout: ANSWER_MS,
      idle_in_transaction_session_timeout: SILENT_MS,
      connectionString: url,
      max,
      types,
      pipeline: true,
      // A plan that cannot but read a table costs so much where reading tables is off that it would be compiled first.
      options: `-c role=${role} -c timezone=UTC -c jit=off`,
      application_name: role,
      idleTimeoutMillis: 60_000,
      connectionTimeoutMillis: 5_000,
    })
  const pool = poolFor('writ_app', options.poolSize ?? 10)
  const sequencers = poolFor('writ_sequencer', 2)
  const columns = await loadColumnTypes(pool)
  const notes = await inspectRole(pool)

  async function inTransaction<T>(
    from: Pool,
    how: string,
    project: string,
    work: (tx: Tx) => Promise<T>,
    fenced: boolean,
  ): Promise<T> {
    const client = await from.connect()
    const after = createAftermath()
    const behind = createBehind()
    let broken: Error | undefined
    try {
      begin(client, how, project).catch(() => {})
      const result = await work(txOn(client, project, after, behind, columns, fenced))
      await behind.caughtUp()
      await ask(client, COMMIT)
      after.committed()
      return result
    } catch (error) {
      const translated = translate(error)
      after.undone()
      await ask(client, ROLLBACK).catch((failed) => {
        broken = failed
      })
      throw translated
    } finally {
      client.release(broken)
    }
  }

  const group = createGroupCommit({
    concurrent: 4,
    // As long as the counters of a project are locked, nothing else of it is accepted.
    maxWeight: 4_000,
    apart: true,
    open: async (project) => groupTransaction(await pool.connect(), project, columns),
  })

  return {
    dialect: 'postgres',
    notes,
    read: async (work) =>
      inTransaction(pool, 'begin isolation level repeatable read read only', projectInContext(), work, true),
    async lookup<Row>(text: string, params: readonly (Param | readonly Param[])[]) {
      const client = await pool.connect()
      let broken: Error | undefined
      try {
        return (await ask(client, statementOf(text), params)).rows as Row[]
      } catch (error) {
        if (!(error instanceof pg.DatabaseError)) broken = error as Error
        throw translate(error)
      } finally {
        client.release(broken)
      }
    },
    write: (work) => group.submit(unit, work) as ReturnType<typeof work>,
    submit: (command, input) => group.submit(command, input),
    sequence: (work) => inTransaction(sequencers, 'begin', INSTANCE, work, false),
    lead: (name, signal, beside) => lead(url, name, signal, beside),
    hints: (channel, heard) => hear(url, pool, channel, heard),
    lost: new Promise(() => {}),
    async ping() {
      const client = await pool.connect()
      try {
        await askOnce(client, 'select 1')
        client.release()
      } catch (error) {
        client.release(true)
        throw translate(error)
      }
    },
    async prepareMonths(now) {
      const client = await pool.connect()
      try {
        await askOnce(client, 'select writ_make_partitions(to_timestamp($1 / 1000.0), 3)', [now])
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

async function loadColumnTypes(pool: Pool): Promise<ColumnTypes> {
  const client = await pool.connect()
  try {
    const { rows } = await askOnce<{ table_name: string; column_name: string; udt_name: string }>(
      client,
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

async function inspectRole(pool: Pool): Promise<string[]> {
  const client = await pool.connect()
  try {
    const { rows } = await askOnce<{ login: string; strong: boolean; owner: boolean }>(
      client,
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
