import type { Socket } from 'node:net'
import type { Kysely } from 'kysely'
import type pg from 'pg'
import { type Aftermath, createAftermath } from './aftermath.ts'
import { type Behind, createBehind } from './behind.ts'
import { binaryArray } from './binary-array.ts'
import { kyselyOn } from './connection.ts'
import { DatabaseConflict, DatabaseUnavailable, type Param, type Tx } from './database.ts'
import { ProjectFence } from './fence.ts'
import { FailedBehind, type GroupTx } from './group-commit.ts'
import { translate } from './postgres-wire.ts'
import type { Tables } from './tables.ts'

export type ColumnTypes = ReadonlyMap<string, ReadonlyMap<string, string>>
/** Statements that begin so go through what grew for years, and have a day. */
const SLOW = '/* slow */'
const SLOW_ANSWER_MS = 86_400_000

// Project ids are UUIDs that we made; the check keeps this literal safe whatever calls it.
export function enter(project: string): string {
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
export function statementOf(sql: string): Statement {
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

export function txOn(
  client: pg.PoolClient,
  project: string,
  after: Aftermath,
  behind: Behind,
  columns: ColumnTypes,
  fenced = true,
): Tx {
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
    behind: behind.leave,
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
export function groupTransaction(client: pg.PoolClient, project: string, columns: ColumnTypes): GroupTx {
  let ahead = ''
  const after = createAftermath()
  const behind = createBehind()
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
    tx: txOn(client, project, after, behind, columns),
    async savepoint() {
      after.savepoint()
      whole = empty
      empty = false
      if (!whole) sendAlong('savepoint batch')
    },
    async rollbackToSavepoint() {
      after.undoneToSavepoint()
      behind.forget()
      await send(whole ? `rollback; ${begin}` : 'rollback to savepoint batch; release savepoint batch')
      empty = whole
    },
    async releaseSavepoint() {
      if (!whole) ahead = 'release savepoint batch; '
    },
    caughtUp: behind.caughtUp,
    async commit() {
      let committed: Promise<void>
      try {
        behind.refuseFailed()
        committed = send('commit')
        committed.catch(() => {})
        // Asked first: a commit behind a statement that failed is a rollback, and does not say why.
        await behind.caughtUp()
      } catch (error) {
        if (error instanceof DatabaseConflict || error instanceof DatabaseUnavailable) throw error
        throw new FailedBehind(error)
      }
      await committed
      client.release()
    },
    onDisk: null,
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
    undone: after.undone,
  }
}
