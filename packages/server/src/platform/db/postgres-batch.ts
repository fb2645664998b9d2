import type { Socket } from 'node:net'
import pg from 'pg'
import utils from 'pg/lib/utils.js'
import { types } from './postgres-wire.ts'

/** A statement that every connection prepares once, under its name. */
export interface Statement {
  readonly name: string
  /** With places `$1`, `$2`. */
  readonly text: string
  /** Milliseconds until it has failed, if others than the connection's. */
  readonly query_timeout?: number
  /** What its rows are made of: known after its first answer, and the same on every connection. */
  columns?: readonly Column[]
}

interface Column {
  readonly name: string
  readonly parse: (text: string) => unknown
}

export interface Answer {
  readonly rows: Record<string, unknown>[]
  /** Rows that were found or changed. */
  readonly count: number
}

interface Asked {
  readonly statement: Statement
  /** As they go over the wire. */
  readonly values: (string | Buffer | null)[]
  resolve(answer: Answer): void
  reject(error: unknown): void
}

/**
 * Asks a statement of a connection. What is asked for within one turn of the event loop leaves in one write, and is answered in one:
 * each write is a system call of ours and a wake-up of the backend, and so is each answer the other way, which together cost more than
 * most statements. When one fails the backend does none of those behind it, and all of them reject with its error.
 */
export function ask(client: pg.PoolClient, statement: Statement, values: readonly unknown[] = []): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let asked = waiting.get(client)
    if (!asked) {
      asked = []
      waiting.set(client, asked)
    }
    if (asked.length === 0) process.nextTick(sendAsked, client)
    asked.push({ statement, values: values.map(utils.prepareValue), resolve, reject })
  })
}
const waiting = new WeakMap<pg.PoolClient, Asked[]>()

/** Asks a statement that is not worth preparing, behind what waits and in one write with it. */
export function askOnce(client: pg.PoolClient, text: string, values: readonly unknown[]): Promise<pg.QueryResult> {
  const { stream } = connectionOf(client)
  stream.cork()
  try {
    sendAsked(client)
    return client.query(text, values as unknown[])
  } finally {
    stream.uncork()
  }
}

/** Sends what waits for the end of the turn. */
export function sendAsked(client: pg.PoolClient): void {
  const asked = waiting.get(client)?.splice(0)
  if (!asked?.length) return
  const { parsedStatements, stream } = connectionOf(client)
  if (asked.every(({ statement }) => statement.columns && parsedStatements[statement.name])) {
    client.query(new Batch(asked) as unknown as pg.Query)
    return
  }
  // Each by itself, so that the driver sees which of them the backend has prepared.
  stream.cork()
  for (const { statement, values, resolve, reject } of asked) {
    const { name, text, query_timeout } = statement
    client
      .query({ name, text, values, ...(query_timeout ? { query_timeout } : {}) })
      .then(({ fields, rows, rowCount }) => {
        statement.columns ??= fields.map((one) => ({
          name: one.name,
          parse: types.getTypeParser(one.dataTypeID, 'text'),
        }))
        resolve({ rows, count: rowCount ?? 0 })
      }, reject)
  }
  stream.uncork()
}

/** Public by use (the driver's own pool and cursors reach for it), absent from its types. */
interface Connection {
  readonly stream: Socket
  readonly parsedStatements: Readonly<Record<string, string>>
  bind(to: { statement: string; values: readonly unknown[] }): void
  execute(portal: null): void
  sync(): void
}
const connectionOf = (client: pg.PoolClient) => (client as unknown as { readonly connection: Connection }).connection

// The driver takes only queries of its own class into a pipeline. It calls their `handle…` as the messages arrive.
const Query = pg.Query as unknown as new (text: string) => { callback: (error: unknown) => void }

/**
 * Many prepared statements and one Sync, after which the backend sends all answers at once
 * (https://www.postgresql.org/docs/15/protocol-flow.html#PROTOCOL-FLOW-PIPELINING). Nobody asks it for descriptions: rows of a prepared
 * statement look the same every time, or it fails.
 */
class Batch extends Query {
  private readonly asked: readonly Asked[]
  private readonly answers: Answer[] = []
  private found: Record<string, unknown>[] = []
  readonly query_timeout: number | undefined
  private isOver = false

  constructor(asked: readonly Asked[]) {
    super('')
    this.asked = asked
    this.query_timeout = asked.find(({ statement }) => statement.query_timeout)?.statement.query_timeout
    this.callback = (error) => this.end(error)
  }

  submit(connection: Connection): null {
    connection.stream.cork()
    for (const { statement, values } of this.asked) {
      connection.bind({ statement: statement.name, values })
      connection.execute(null)
    }
    connection.sync()
    connection.stream.uncork()
    return null
  }

  handleDataRow({ fields }: { fields: readonly (string | null)[] }): void {
    const row: Record<string, unknown> = {}
    const columns = this.asked[this.answers.length]!.statement.columns!
    for (const [i, { name, parse }] of columns.entries()) {
      const text = fields[i]!
      row[name] = text === null ? null : parse(text)
    }
    this.found.push(row)
  }

  handleCommandComplete({ text }: { text: string }): void {
    // "INSERT 0 5", "UPDATE 5", "SELECT 5", "BEGIN"
    this.answers.push({ rows: this.found, count: Number(text.slice(text.lastIndexOf(' ') + 1)) || 0 })
    this.found = []
  }

  handleReadyForQuery(): void {
    this.callback(null)
  }

  handleError(error: unknown): void {
    this.callback(error)
  }

  /** The driver wraps the callback where there is a timeout, and may call it again when the connection goes. */
  private end(error: unknown): void {
    if (this.isOver) return
    this.isOver = true
    for (const [i, { resolve, reject }] of this.asked.entries()) {
      const answer = this.answers[i]
      if (answer) resolve(answer)
      else reject(error)
    }
  }
}
