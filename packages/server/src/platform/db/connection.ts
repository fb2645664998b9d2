import {
  type CompiledQuery,
  type DatabaseConnection,
  Kysely,
  type Dialect as KyselyDialect,
  PostgresAdapter,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteQueryCompiler,
} from 'kysely'
import type { Dialect } from './database.ts'
import type { Tables } from './tables.ts'

/** What Kysely needs of a connection that somebody else opened and will end: run one statement. */
export interface Statements {
  run(sql: string, params: readonly unknown[]): Promise<{ rows: unknown[]; changes: bigint }>
}

/**
 * Kysely over one connection whose transactions are not Kysely's business: the store begins and commits, because a
 * transaction here is a group of many callers' changes.
 */
export function kyselyOn(statements: Statements, dialect: Dialect): Kysely<Tables> {
  const connection: DatabaseConnection = {
    async executeQuery<R>(query: CompiledQuery) {
      const { rows, changes } = await statements.run(query.sql, query.parameters)
      return { rows: rows as R[], numAffectedRows: changes }
    },
    // biome-ignore lint/correctness/useYield: nothing streams through Kysely here
    async *streamQuery() {
      throw new Error('streaming goes through Tx.sql in pages')
    },
  }
  const refuse = async () => {
    throw new Error('the store owns transactions: use Database.write')
  }
  const nothing = async () => {}
  const kyselyDialect: KyselyDialect = {
    createAdapter: () => (dialect === 'postgres' ? new PostgresAdapter() : new SqliteAdapter()),
    createQueryCompiler: () => (dialect === 'postgres' ? new PostgresQueryCompiler() : new SqliteQueryCompiler()),
    createIntrospector: () => {
      throw new Error('no introspection')
    },
    createDriver: () => ({
      init: nothing,
      acquireConnection: async () => connection,
      beginTransaction: refuse,
      commitTransaction: refuse,
      rollbackTransaction: refuse,
      releaseConnection: nothing,
      destroy: nothing,
    }),
  }
  return new Kysely<Tables>({ dialect: kyselyDialect })
}
