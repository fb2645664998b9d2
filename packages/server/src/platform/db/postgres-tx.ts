import type { Kysely } from 'kysely'
import type pg from 'pg'
import { type Aftermath, createAftermath } from './aftermath.ts'
import { type Behind, createBehind } from './behind.ts'
import { binaryArray } from './binary-array.ts'
import { kyselyOn } from './connection.ts'
import { DatabaseConflict, DatabaseUnavailable, type Param, type Tx } from './database.ts'
import { ProjectFence } from './fence.ts'
import { FailedBehind, type GroupTx } from './group-commit.ts'
import { type Answer, ask, askOnce, type Statement, sendAsked, statementOf } from './postgres-batch.ts'
import { type ColumnTypes, insertOf, updateOf } from './postgres-rows.ts'
import { translate } from './postgres-wire.ts'
import type { Tables } from './tables.ts'

const ENTER = statementOf("select set_config('writ.project', ?1, true)")
/**
 * Of what changes: by indexes only. Tables such as the queue are empty when nothing is to be done, so a plan that is made then reads them
 * from their beginning, and goes on to when they have grown by all that came and went since the last vacuum.
 */
const ENTER_TO_CHANGE = statementOf(
  "select set_config('writ.project', ?1, true), set_config('enable_seqscan', 'off', true)",
)
export const COMMIT = statementOf('commit')
export const ROLLBACK = statementOf('rollback')

/** Begins a transaction within a project's fence. Need not be waited for: what is asked for behind it fails if it did. */
export async function begin(client: pg.PoolClient, how: string, project: string, enter = ENTER): Promise<void> {
  try {
    await Promise.all([ask(client, statementOf(how)), ask(client, enter, [project])])
  } catch (error) {
    throw translate(error)
  }
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
            const result = await askOnce(client, sql, params)
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
  const prepared = async (statement: Statement, values: readonly unknown[]): Promise<Answer> => {
    try {
      return await ask(client, statement, values)
    } catch (error) {
      throw translate(error)
    }
  }
  return new PostgresTx(openKysely, {
    project,
    async sql<Row>(text: string, params: readonly (Param | readonly Param[])[] = []) {
      return (await prepared(statementOf(text), params.map(textsOf))).rows as Row[]
    },
    async insert(table, rows) {
      if (rows.length === 0) return
      const { statement, values } = insertOf(columns, table, rows)
      await prepared(statement, values)
    },
    async update(table, key, rows, when, returning) {
      if (rows.length === 0) return []
      const { statement, values } = updateOf(columns, { table, project, key, rows, when, returning })
      const { rows: changed } = await prepared(statement, values)
      const told = new Map((changed as { updated: string; told: number }[]).map((row) => [row.updated, row.told]))
      return rows.map((row) => told.get(String(row[key])))
    },
    behind: behind.leave,
    flush: () => sendAsked(client),
    afterCommit: after.afterCommit,
    ifUndone: after.ifUndone,
  })
}

/**
 * A class for its getter: that of an object of its own would be a function that the engine puts into the old generation, and with it
 * all that it sees (docs/decisions/0085-what-grows-old.md).
 */
class PostgresTx implements Tx {
  #db: Kysely<Tables> | undefined
  readonly #open: () => Kysely<Tables>
  readonly dialect = 'postgres'
  readonly project: string
  readonly sql: Tx['sql']
  readonly insert: Tx['insert']
  readonly update: Tx['update']
  readonly behind: Tx['behind']
  readonly flush: Tx['flush']
  readonly afterCommit: Tx['afterCommit']
  readonly ifUndone: Tx['ifUndone']

  constructor(open: () => Kysely<Tables>, on: Omit<Tx, 'db' | 'dialect'>) {
    this.#open = open
    this.project = on.project
    this.sql = on.sql
    this.insert = on.insert
    this.update = on.update
    this.behind = on.behind
    this.flush = on.flush
    this.afterCommit = on.afterCommit
    this.ifUndone = on.ifUndone
  }

  /** Made when it is first asked for: a transaction of hand-written statements needs none. */
  get db(): Kysely<Tables> {
    this.#db ??= this.#open()
    return this.#db
  }
}

/** A list of texts, whose type is plain, goes in binary; lists of numbers may be of any width and are left to the driver. */
const textsOf = (param: Param | readonly Param[]): unknown =>
  Array.isArray(param) && param.length > 0 && param.every((one) => typeof one === 'string')
    ? binaryArray('text', param)
    : param

/**
 * Statements that need no answer of their own travel with their neighbours: begin and project with the first statements,
 * the last release with the commit. The first batch needs no savepoint, for there is nothing before it that a rollback of
 * the whole would lose.
 */
export function groupTransaction(client: pg.PoolClient, project: string, columns: ColumnTypes): GroupTx {
  const after = createAftermath()
  const behind = createBehind()
  // Whether this transaction holds nothing yet, and whether it is itself the savepoint of the batch under way.
  let empty = true
  let whole = false
  const send = async (sql: string) => {
    try {
      await ask(client, statementOf(sql))
    } catch (error) {
      throw translate(error)
    }
  }
  // Not waited for: what travels behind it fails if it did.
  const sendAlong = (sql: string) => void send(sql).catch(() => {})
  begin(client, 'begin', project, ENTER_TO_CHANGE).catch(() => {})
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
      sendAlong(whole ? 'rollback' : 'rollback to savepoint batch')
      await (whole ? begin(client, 'begin', project, ENTER_TO_CHANGE) : send('release savepoint batch'))
      empty = whole
    },
    async releaseSavepoint() {
      if (!whole) sendAlong('release savepoint batch')
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
        await ask(client, ROLLBACK)
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
