import { type CompiledQuery, createQueryId, type RootOperationNode } from 'kysely'
import type pg from 'pg'
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

/** A statement that was written by hand, with its places `?1`, `?2`. */
export interface Asked {
  readonly text: string
  readonly params: readonly unknown[]
}

/** The same transaction, which notes its hand-written statements. */
export const notingIn = (tx: Tx, asked: Asked[]): Tx => ({
  ...tx,
  sql: (text, params = []) => {
    asked.push({ text, params })
    return tx.sql(text, params)
  },
})

/** How PostgreSQL would go about a statement that is prepared: for any values, and for these. */
export async function plansOnPostgres(client: pg.Client, { text, params }: Asked): Promise<string[]> {
  await client.query(`prepare asked as ${text.replace(/\?(\d+)/g, '$$$1')}`)
  const values = params.map((one) => (Array.isArray(one) ? `'{${one}}'` : typeof one === 'number' ? one : `'${one}'`))
  const plans: string[] = []
  for (const mode of ['force_generic_plan', 'force_custom_plan']) {
    await client.query(`set plan_cache_mode = ${mode}`)
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain execute asked(${values})`)
    plans.push(rows.map((row) => row['QUERY PLAN']).join('\n'))
  }
  await client.query('deallocate asked')
  return plans
}

/** How PostgreSQL went about a statement, which it carries out, and how many blocks it looked at for it. */
export async function doneOnPostgres(
  client: pg.Client,
  { sql, parameters }: Said,
): Promise<{ plan: string; blocks: number }> {
  const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: { 'Shared Hit Blocks': number } }] }>(
    `explain (analyze, buffers, format json) ${sql.replace(/\?(\d+)/g, '$$$1')}`,
    [...parameters],
  )
  const [told] = rows[0]!['QUERY PLAN']
  return { plan: JSON.stringify(told), blocks: told.Plan['Shared Hit Blocks'] }
}
