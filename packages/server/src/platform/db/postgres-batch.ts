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

/** Statements that begin so go through what grew for years, and have a day. */
const SLOW = '/* slow */'
const SLOW_ANSWER_MS = 86_400_000

// Statements are written with ?1, ?2; each is rewritten and named once, however often it runs.
const statements = new Map<string, Statement>()
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
export function askOnce<Row extends pg.QueryResultRow>(
  client: pg.PoolClient,
  text: string,
  values: readonly unknown[] = [],
): Promise<pg.QueryResult<Row>> {
  const { stream } = connectionOf(client)
  stream.cork()
  try {
    sendAsked(client)
    return askDriver(client, { text, values: values as unknown[] })
  } finally {
    stream.uncork()
  }
}

/**
 * From now on `ask` and `askOnce` see to it that this connection answers in the time that it was configured with, and the driver does
 * not: it would write a function into each query. The engine keeps such a function, and so all of the query, in the old generation
 * at once (docs/decisions/0085-what-grows-old.md).
 */
export function mindPatience(client: pg.PoolClient): void {
  const { connectionParameters } = client as unknown as { connectionParameters: { query_timeout: unknown } }
  patience.set(client, Number(connectionParameters.query_timeout))
  connectionParameters.query_timeout = 0
}
const patience = new WeakMap<pg.PoolClient, number>()

/** Closes a connection that did not answer in time: what it says later would be taken for another answer. */
function inTime(
  client: pg.PoolClient,
  own: number | undefined,
  fail: (error: Error) => void,
): NodeJS.Timeout | undefined {
  const ms = own ?? patience.get(client)
  if (!ms) return undefined
  return setTimeout(() => {
    fail(new Error('Query read timeout'))
    connectionOf(client).stream.destroy()
  }, ms)
}

/** With a callback: the driver's promise is made by a function in the query, too. */
function askDriver<Row extends pg.QueryResultRow>(
  client: pg.PoolClient,
  query: pg.QueryConfig,
  own?: number,
): Promise<pg.QueryResult<Row>> {
  return new Promise((resolve, reject) => {
    const timer = inTime(client, own, reject)
    client.query<Row>(query, (error: Error | undefined, result) => {
      clearTimeout(timer)
      if (error) reject(error)
      else resolve(result)
    })
  })
}

/** Sends what waits for the end of the turn. */
export function sendAsked(client: pg.PoolClient): void {
  const asked = waiting.get(client)?.splice(0)
  if (!asked?.length) return
  const { parsedStatements, stream } = connectionOf(client)
  if (asked.every(({ statement }) => statement.columns && parsedStatements[statement.name])) {
    const batch = new Batch(asked)
    batch.endInTime(client)
    client.query(batch as unknown as pg.Query)
    return
  }
  // Each by itself, so that the driver sees which of them the backend has prepared.
  stream.cork()
  for (const { statement, values, resolve, reject } of asked) {
    const { name, text, query_timeout } = statement
    askDriver(client, { name, text, values }, query_timeout).then(({ fields, rows, rowCount }) => {
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
const Query = pg.Query as unknown as new (text: string) => object

/**
 * Many prepared statements and one Sync, after which the backend sends all answers at once
 * (https://www.postgresql.org/docs/15/protocol-flow.html#PROTOCOL-FLOW-PIPELINING). Nobody asks it for descriptions: rows of a prepared
 * statement look the same every time, or it fails.
 */
class Batch extends Query {
  private readonly asked: readonly Asked[]
  private readonly answers: Answer[] = []
  private found: Record<string, unknown>[] = []
  private timer: NodeJS.Timeout | undefined
  private isOver = false

  constructor(asked: readonly Asked[]) {
    super('')
    this.asked = asked
  }

  endInTime(client: pg.PoolClient): void {
    const own = this.asked.find(({ statement }) => statement.query_timeout)?.statement.query_timeout
    this.timer = inTime(client, own, (error) => this.end(error))
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
    this.end(null)
  }

  handleError(error: unknown): void {
    this.end(error)
  }

  /** The driver says so again when the connection goes. */
  private end(error: unknown): void {
    if (this.isOver) return
    this.isOver = true
    clearTimeout(this.timer)
    for (const [i, { resolve, reject }] of this.asked.entries()) {
      const answer = this.answers[i]
      if (answer) resolve(answer)
      else reject(error)
    }
  }
}
