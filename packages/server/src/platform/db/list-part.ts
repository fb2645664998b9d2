import { type SelectQueryBuilder, sql } from 'kysely'

/** What of a list is asked for: so many from `after`, a key of its order, or else from the place `skip` on. */
export interface ListPart {
  readonly limit: number
  readonly skip: number
  readonly after: string | undefined
}

/** The part of a list in the order of its ids, for `$call`: newest first, or oldest first. */
export const byId =
  (order: 'newest' | 'oldest', part: ListPart) =>
  <DB, TB extends keyof DB, O>(query: SelectQueryBuilder<DB, TB, O>): SelectQueryBuilder<DB, TB, O> => {
    const id = sql.ref<string>('id')
    const from = part.after === undefined ? query : query.where(id, order === 'newest' ? '<' : '>', part.after)
    return from
      .orderBy(id, order === 'newest' ? 'desc' : 'asc')
      .limit(part.limit)
      .offset(part.skip)
  }

/** How many rows a query takes that has selected nothing yet: for lists without a counter, which are short or filtered. */
// biome-ignore lint/suspicious/noExplicitAny: of whatever tables, because only its rows are counted
export async function countOf(query: SelectQueryBuilder<any, any, object>): Promise<number> {
  const { n } = await query.select(sql<number>`count(*)`.as('n')).executeTakeFirstOrThrow()
  return Number(n)
}
