import { type CompiledQuery, createQueryId, type RootOperationNode } from 'kysely'
import type { Tx } from '../../packages/server/src/platform/db/index.ts'

/** What was asked of the database, as it is told: to be asked again of its planner. */
export type Said = Pick<CompiledQuery, 'sql' | 'parameters'>

/** The same transaction, whose query builder notes what it is asked; `said` answers that so far, in its order. */
export function listeningOn(tx: Tx): { tx: Tx; said(): Said[] } {
  const nodes: RootOperationNode[] = []
  const db = tx.db.withPlugin({
    transformQuery({ node }) {
      nodes.push(node)
      return node
    },
    transformResult: async ({ result }) => result,
  })
  return {
    tx: { ...tx, db },
    said: () => nodes.map((node) => tx.db.getExecutor().compileQuery(node, createQueryId())),
  }
}

/** How SQLite would go about a statement, step by step. */
export async function planOnSqlite(tx: Tx, { sql, parameters }: Said): Promise<string[]> {
  // Of the tests that ask: what a store asked with.
  const steps = await tx.sql<{ detail: string }>(`explain query plan ${sql}`, parameters as never)
  return steps.map(({ detail }) => detail)
}
