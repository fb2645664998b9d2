import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import type { Kysely } from 'kysely'
import { type Aftermath, createAftermath } from './aftermath.ts'
import { type Behind, createBehind } from './behind.ts'
import { createCheckpoints } from './checkpoints.ts'
import { kyselyOn } from './connection.ts'
import { type Database, DatabaseUnavailable, type Param, type Tx, UniqueViolation } from './database.ts'
import { ProjectFence } from './fence.ts'
import { createGroupCommit, FailedBehind, type GroupTx, unit } from './group-commit.ts'
import { INSTANCE, projectInContext } from './project.ts'
import { type FileToRead, fileToRead, openToWrite, SqliteFileRefused } from './sqlite-file.ts'
import { insertTogether } from './sqlite-rows.ts'
import type { Tables } from './tables.ts'
import { createTurns, type Turns } from './turns.ts'
import { openWal, type Wal } from './wal.ts'

const READERS = 3

/** How long a connection waits for another that writes. */
const TIMEOUT_MS = 5_000

/** Pages of the log at which the writer checkpoints itself, because nobody else did: 32 MiB. */
const LAST_RESORT_PAGES = 8_000

/**
 * SQLite in one file: WAL, one writer connection behind a mutex and a few readers. Calls are synchronous underneath; each takes
 * microseconds, and of many the loop gets its turns in between, so it stays free as long as no single one asks for everything at
 * once: what waits for the disk, a commit's sync and checkpoints, waits in other threads. Nothing is answered before it is on the disk, neither a change nor what a reader
 * saw of one. Long reads come in pages, because a reader that stays open keeps the WAL from being checkpointed.
 */
export function openSqlite(file: string): Database {
  const writer = connectToWrite(file)
  const wal = openWal(file)
  const checkpoints = createCheckpoints(file)
  const source = fileToRead(file, TIMEOUT_MS)
  // What a power cut could still undo is not told to anybody.
  const readers = openReaders(source, async () => {
    if (wal.behind) await wal.onDisk()
  })
  let writerFree: Promise<void> = Promise.resolve()

  async function lockWriter(): Promise<() => void> {
    const before = writerFree
    const { promise, resolve } = Promise.withResolvers<void>()
    writerFree = promise
    await before
    return resolve
  }

  /** A transaction of the writer was committed, and is not on the disk yet. */
  function committed(): void {
    wal.wrote()
    checkpoints.changed(writer.changes())
  }

  const group = createGroupCommit({
    concurrent: 1,
    max: 128,
    // Some tens of milliseconds, in which nobody else is answered.
    maxWeight: 1_000,
    open: async (project) => {
      const unlock = await lockWriter()
      try {
        return writeTransaction(writer, project, { wal, committed, unlock })
      } catch (error) {
        unlock()
        throw translate(error)
      }
    },
  })

  return {
    dialect: 'sqlite',
    notes: [],
    read: readers.read,
    lookup: readers.lookup,
    write: (work) => group.submit(unit, work) as ReturnType<typeof work>,
    submit: (command, input) => group.submit(command, input),
    async sequence(work) {
      const unlock = await lockWriter()
      const after = createAftermath()
      const behind = createBehind()
      let result: Awaited<ReturnType<typeof work>>
      try {
        writer.turns.begin()
        writer.exec('begin immediate')
        result = await work({ ...txOn(writer, INSTANCE, after, behind), db: writer.db })
        await behind.caughtUp()
        wal.refuseLost()
        writer.exec('commit')
        committed()
      } catch (error) {
        await writer.turns.quiet()
        if (writer.database.isTransaction) {
          writer.exec('rollback')
          after.undone()
        }
        throw translate(error)
      } finally {
        unlock()
      }
      // Others go on meanwhile: one sync serves all of them.
      await wal.onDisk()
      after.committed()
      return result
    },
    lead: async () => ({ lost: new AbortController().signal, held: async () => true, release: async () => {} }),
    hints: () => ({ say: () => {}, close: async () => {} }),
    lost: wal.broken,
    async ping() {
      wal.refuseLost()
      await readers.lookup('select count(*) from schema_migrations', [])
    },
    prepareMonths: async () => {},
    async close() {
      await group.drain()
      const unlock = await lockWriter()
      await wal.close()
      await checkpoints.close()
      readers.close()
      writer.database.close()
      unlock()
    },
  }
}

/**
 * SQLite where nothing can be written, as openSqlite gives it and for as long as nobody else writes there: what is asked for on the way
 * to a change is refused.
 */
export function openSqliteToRead(file: string): Database {
  const source = fileToRead(file, TIMEOUT_MS)
  const readers = openReaders(source, async () => source.requireUnchanged())
  const refuse = async () => {
    throw new SqliteFileRefused(`Nothing can be written to ${file} by the user that this runs as.`)
  }
  return {
    dialect: 'sqlite',
    notes: [],
    read: readers.read,
    lookup: readers.lookup,
    sequence: (work) => readers.borrow((reader) => work({ ...txOf(reader, INSTANCE), db: reader.db })),
    write: refuse,
    submit: refuse,
    lead: refuse,
    hints: () => ({ say: () => {}, close: async () => {} }),
    lost: new Promise(() => {}),
    async ping() {
      await readers.lookup('select count(*) from schema_migrations', [])
    },
    prepareMonths: refuse,
    close: async () => readers.close(),
  }
}

/** Connections that read, each one transaction at a time. Before what was read is handed on, `beforeTold` may still refuse it. */
function openReaders(source: FileToRead, beforeTold: () => Promise<void>) {
  const lookups = connect(source.open())
  const readers = Array.from({ length: READERS }, () => connect(source.open()))
  const free = [...readers]
  const waiting: ((reader: Connection) => void)[] = []

  async function borrow<T>(work: (reader: Connection) => Promise<T>): Promise<T> {
    const reader = free.pop() ?? (await new Promise<Connection>((resolve) => waiting.push(resolve)))
    try {
      reader.turns.begin()
      reader.exec('begin')
      const found = await work(reader)
      await beforeTold()
      return found
    } catch (error) {
      throw translate(error)
    } finally {
      await reader.turns.quiet()
      if (reader.database.isTransaction) reader.exec('rollback')
      const next = waiting.shift()
      if (next) next(reader)
      else free.push(reader)
    }
  }

  return {
    borrow,
    async read<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
      const project = projectInContext()
      return borrow((reader) => work(txOf(reader, project)))
    },
    async lookup<Row>(text: string, params: readonly (Param | readonly Param[])[]) {
      const values = params.map((p) => (Array.isArray(p) ? JSON.stringify(p) : p))
      return run(lookups.prepare(text), values).rows as Row[]
    },
    close() {
      for (const reader of [...readers, lookups]) reader.database.close()
    },
  }
}

const txOf = (reader: Connection, project: string) => txOn(reader, project, createAftermath(), createBehind())

interface Connection {
  readonly database: DatabaseSync
  readonly db: Kysely<Tables>
  readonly turns: Turns
  prepare(sql: string): StatementSync
  exec(sql: string): void
  /** Rows that were changed since the last call. */
  changes(): number
  fenced(project: string): Kysely<Tables>
}

function connectToWrite(file: string): Connection {
  const database = openToWrite(file, TIMEOUT_MS)
  const [mode] = database.prepare('pragma journal_mode = wal').all() as { journal_mode: string }[]
  if (mode?.journal_mode !== 'wal')
    throw new Error(`${file} is on a file system on which SQLite cannot keep a write-ahead log (${mode?.journal_mode})`)
  return connect(database)
}

function connect(database: DatabaseSync): Connection {
  // NORMAL: the log is synced by openWal, before a commit is answered.
  database.exec(
    `pragma synchronous = normal; pragma wal_autocheckpoint = ${LAST_RESORT_PAGES}; pragma foreign_keys = on; pragma temp_store = memory; pragma cache_size = -16000`,
  )
  let changed = 0
  const statements = new Map<string, StatementSync>()
  const prepare = (sql: string) => {
    let statement = statements.get(sql)
    if (!statement) {
      if (statements.size > 500) statements.clear()
      statement = database.prepare(sql)
      statements.set(sql, statement)
    }
    return statement
  }
  const turns = createTurns()
  const db = kyselyOn(
    {
      async run(sql, params) {
        const done = run(prepare(sql), params)
        await turns.due()
        return done
      },
    },
    'sqlite',
  )
  const total = database.prepare('select total_changes() as n')
  const fences = new Map<string, Kysely<Tables>>()
  return {
    database,
    db,
    turns,
    prepare,
    exec: (sql) => database.exec(sql),
    changes() {
      const { n } = total.get() as { n: number }
      const more = n - changed
      changed = n
      return more
    },
    fenced(project) {
      let fenced = fences.get(project)
      if (!fenced) {
        if (fences.size > 1000) fences.clear()
        fenced = db.withPlugin(new ProjectFence(project))
        fences.set(project, fenced)
      }
      return fenced
    },
  }
}

/** Which statements answer rows. Asking each time would cost as much as the statement. */
const answers = new WeakMap<StatementSync, boolean>()

function answersRows(statement: StatementSync): boolean {
  let known = answers.get(statement)
  if (known === undefined) {
    known = statement.columns().length > 0
    answers.set(statement, known)
  }
  return known
}

function run(statement: StatementSync, params: readonly unknown[]): { rows: unknown[]; changes: bigint } {
  try {
    const values = params as SQLInputValue[]
    if (answersRows(statement)) return { rows: statement.all(...values), changes: 0n }
    return { rows: [], changes: BigInt(statement.run(...values).changes) }
  } catch (error) {
    throw translate(error)
  }
}

function txOn(connection: Connection, project: string, after: Aftermath, behind: Behind): Tx {
  const { turns } = connection
  return {
    db: connection.fenced(project),
    project,
    dialect: 'sqlite',
    async sql<Row>(text: string, params: readonly (Param | readonly Param[])[] = []) {
      const values = params.map((p) => (Array.isArray(p) ? JSON.stringify(p) : p))
      const rows = run(connection.prepare(text), values).rows as Row[]
      const turn = turns.due()
      if (turn) await turn
      return rows
    },
    async insert(table, rows) {
      if (rows.length === 0) return
      const together = insertTogether(table, rows)
      if (together) {
        run(connection.prepare(together.sql), together.params)
        await turns.due()
        return
      }
      const columns = Object.keys(rows[0]!)
      const statement = connection.prepare(
        `insert into ${table} (${columns.join(', ')}) values (${columns.map(() => '?').join(', ')})`,
      )
      for (const row of rows)
        run(
          statement,
          columns.map((column) => row[column]),
        )
      await turns.due()
    },
    async update(table, key, rows, when, returning) {
      if (rows.length === 0) return []
      const columns = Object.keys(rows[0]!).filter((column) => column !== key)
      const text = `update ${table} set ${columns.map((column) => `${column} = ?`).join(', ')} where project_id = ? and ${key} = ? and ${when}`
      // Almost all of them tell 0. To answer a row SQLite makes a table for it, which costs more than the update.
      const plain = connection.prepare(`${text} and ${returning} = 0`)
      const telling = connection.prepare(`${text} returning ${returning} as told`)
      const told = rows.map((row) => {
        const values = [...columns.map((column) => row[column]), project, row[key]]
        if (run(plain, values).changes === 1n) return 0
        const [found] = run(telling, values).rows as { told: number }[]
        return found?.told
      })
      await turns.due()
      return told
    },
    behind: behind.leave,
    flush: () => {},
    afterCommit: after.afterCommit,
    ifUndone: after.ifUndone,
  }
}

function writeTransaction(
  writer: Connection,
  project: string,
  on: { readonly wal: Wal; committed(): void; unlock(): void },
): GroupTx {
  on.wal.refuseLost()
  writer.turns.begin()
  writer.exec('begin immediate')
  const after = createAftermath()
  const behind = createBehind()
  // Whether nothing was done yet in this transaction, and whether it is itself the savepoint of the batch under way. Within one of
  // its own SQLite copies every page before it changes it.
  let empty = true
  let whole = false
  let ended = false
  const end = () => {
    if (!ended) on.unlock()
    ended = true
  }
  return {
    tx: txOn(writer, project, after, behind),
    async savepoint() {
      after.savepoint()
      whole = empty
      empty = false
      if (!whole) writer.exec('savepoint batch')
    },
    async rollbackToSavepoint() {
      await writer.turns.quiet()
      try {
        writer.exec(whole ? 'rollback; begin immediate' : 'rollback to batch; release batch')
      } catch (error) {
        throw translate(error)
      }
      empty = whole
      after.undoneToSavepoint()
      behind.forget()
    },
    async releaseSavepoint() {
      if (!whole) writer.exec('release batch')
    },
    caughtUp: behind.caughtUp,
    async commit() {
      await behind.caughtUp().catch((error) => {
        throw new FailedBehind(error)
      })
      try {
        writer.exec('commit')
      } catch (error) {
        throw translate(error)
      }
      on.committed()
      end()
    },
    onDisk: on.wal.onDisk,
    async rollback() {
      await writer.turns.quiet()
      if (writer.database.isTransaction) writer.exec('rollback')
      after.undone()
      end()
    },
    tell: after.committed,
    undone: after.undone,
  }
}

// Result codes: https://sqlite.org/rescode.html. The low byte is the primary code.
const UNAVAILABLE = new Set([5, 7, 8, 10, 11, 13, 14, 23, 26])

function translate(error: unknown): unknown {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return error
  if (error.errcode === 2067 || error.errcode === 1555)
    return new UniqueViolation(error.message.replace(/^.*failed: /, ''), error)
  return UNAVAILABLE.has(error.errcode & 0xff) ? new DatabaseUnavailable(error) : error
}
