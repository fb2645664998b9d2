import type { Kysely } from 'kysely'
import type { Tables } from './tables.ts'

export type Dialect = 'sqlite' | 'postgres'
export type Param = string | number | null | Uint8Array

/**
 * One transaction inside one project's fence. `db` is Kysely with the fence on; `sql` runs a hand-written statement
 * (places `?1`, `?2`, ...) that carries its own predicate; `insert` writes many rows as one statement.
 */
export interface Tx {
  readonly db: Kysely<Tables>
  readonly project: string
  readonly dialect: Dialect
  sql<Row>(text: string, params?: readonly (Param | readonly Param[])[]): Promise<Row[]>
  /** Rows must all have the same keys. On PostgreSQL one `unnest`, on SQLite one prepared statement per row. */
  insert<T extends keyof Tables & string>(table: T, rows: readonly Record<string, Param>[]): Promise<void>
  /**
   * Sets columns of many rows of this project, each found by `key`, a column of UUIDs, which every row has first; all rows
   * have the same keys. `when` is a further predicate over the table. Answers in their order what stands in `returning`, an
   * integer column, of each row that was there, and undefined for the others.
   * On PostgreSQL one `unnest`, on SQLite one prepared statement per row.
   */
  update<T extends keyof Tables & string>(
    table: T,
    key: string,
    rows: readonly Record<string, Param>[],
    when: string,
    returning: string,
  ): Promise<(number | undefined)[]>
  /**
   * Statements whose answers nobody needs and which were all asked for already: the commit may travel right behind them. If one
   * fails nothing is committed, and the command fails, as if it had been waited for.
   */
  behind(asked: Promise<unknown>): void
  /** What was asked for so far leaves now rather than with the rest of this turn: worth it before some computing. */
  flush(): void
  /** Runs after the commit, and only then; what it throws is logged, not answered. */
  afterCommit(tell: () => void): void
  /**
   * Runs when what was done here is undone, with its savepoint or with the transaction: for what was set aside in this process. Also
   * where a commit was not answered, and may have happened.
   */
  ifUndone(tell: () => void): void
}

/**
 * A change that many callers ask for at once: it gets all inputs of one group and answers each in order. When it
 * throws, the group is undone and every input is tried alone, so one bad input never fails its neighbours.
 * It must await nothing but the database, and must take the rows that it locks in id order.
 */
export interface Command<I, O> {
  readonly name: string
  /** It takes no counters, and only rows that are its own: a store that can may commit it beside other changes of the project. */
  readonly apart?: true
  /** What an input weighs: about how many things it writes; one, where it is not said. Heavy ones are committed by fewer at a time. */
  weight?(input: I): number
  run(tx: Tx, inputs: readonly I[]): Promise<readonly O[]>
}

export interface Database {
  readonly dialect: Dialect
  /** What an operator is told at start about how safely this store is set up; empty when there is nothing to say. */
  readonly notes: readonly string[]
  /** Reads in one snapshot, in the project of the context. */
  read<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** One statement over tables without a tenant policy (people, sessions, the queue index); outside any fence. */
  lookup<Row>(text: string, params: readonly (Param | readonly Param[])[]): Promise<Row[]>
  /** Changes in one transaction, in the project of the context; answers after COMMIT. Shares its fsync with others. */
  write<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** As `write`, but joins with equal commands into multi-row statements. */
  submit<I, O>(command: Command<I, O>, input: I): Promise<O>
  /** A transaction of the sequencer: sees every project's audit rows, may place them in the log, and nothing else. */
  sequence<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /**
   * Holds a lock that one process in the world can hold. Resolves when it is ours; `lost` aborts when it no longer is.
   * `beside` is called each time that another one was found to hold it. SQLite: the process already is the only one.
   */
  lead(name: string, signal: AbortSignal, beside?: () => void): Promise<Leadership>
  /**
   * Short texts from process to process over one store. Any may be lost, so they are hints; what is said is also heard here.
   * SQLite has one process, and so nothing to pass on.
   */
  hints(channel: string, heard: (text: string) => void): Hints
  /** Rejects when nothing can be written any more until the process starts anew. PostgreSQL: never, a new connection is enough. */
  readonly lost: Promise<never>
  /** Throws DatabaseUnavailable unless a row can be read now. */
  ping(): Promise<void>
  /** Makes the partitions of the coming months; nothing to do on SQLite. */
  prepareMonths(now: number): Promise<void>
  close(): Promise<void>
}

export interface Hints {
  /** Outside of any transaction: on PostgreSQL a NOTIFY takes a lock of the whole database until its commit. */
  say(text: string): void
  close(): Promise<void>
}

export interface Leadership {
  /** Aborts when the lock is known to be lost. A process that was paused learns it late: see `held`. */
  readonly lost: AbortSignal
  /** Asks the store whether the lock is still ours. True says nothing of the next moment: no fence, but a reason to stop. */
  held(): Promise<boolean>
  release(): Promise<void>
}

/** The store cannot be reached or written; nothing was changed. HTTP answers 503. */
export class DatabaseUnavailable extends Error {
  constructor(cause: unknown) {
    super('database unavailable', { cause })
    this.name = 'DatabaseUnavailable'
  }
}

/** Two transactions stood in each other's way and the database ended this one. Trying again is right. */
export class DatabaseConflict extends Error {
  constructor(cause: unknown) {
    super('transaction conflict', { cause })
    this.name = 'DatabaseConflict'
  }
}

/**
 * The store takes no text with a character 0 in it (PostgreSQL; SQLite takes every text). Nothing is called so: whoever asks for it has
 * made a mistake.
 */
export class TextRefused extends Error {
  constructor(cause: unknown) {
    super('text with a character 0', { cause })
    this.name = 'TextRefused'
  }
}

/** A unique index refused a row. `columns` are those of the index as far as the store tells, else its name. */
export class UniqueViolation extends Error {
  readonly index: string
  constructor(index: string, cause: unknown) {
    super(`duplicate in ${index}`, { cause })
    this.name = 'UniqueViolation'
    this.index = index
  }
}
