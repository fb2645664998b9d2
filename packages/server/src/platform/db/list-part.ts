import { type SelectQueryBuilder, sql } from 'kysely'

/** What of a list is asked for: so many from `after`, a key of its order, or else from the place `skip` on. */
export interface ListPart {
  readonly limit: number
  readonly skip: number
  readonly after: string | undefined
}

/** How many rows a query takes that has selected nothing yet: for lists without a counter, which are short or filtered. */
// biome-ignore lint/suspicious/noExplicitAny: of whatever tables, because only its rows are counted
export async function countOf(query: SelectQueryBuilder<any, any, object>): Promise<number> {
  const { n } = await query.select(sql<number>`count(*)`.as('n')).executeTakeFirstOrThrow()
  return Number(n)
}
