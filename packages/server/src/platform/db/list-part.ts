import { type SelectQueryBuilder, sql } from 'kysely'

/** What of a list is asked for: so many from `after`, a key of its order, or else from the place `skip` on. */
export interface ListPart {
  readonly limit: number
  readonly skip: number
  readonly after: string | undefined
}

/** The same where the key need not be a text, and a place may not be given. */
interface Part {
  readonly limit: number
  readonly skip?: number
  readonly after?: string | number | undefined
}

/** A list in the order of a column, for `$call`: the lowest first or the highest, a part of it or all. */
export const inOrderOf =
  (column: string, order: 'asc' | 'desc', part?: Part) =>
  <DB, TB extends keyof DB, O>(query: SelectQueryBuilder<DB, TB, O>): SelectQueryBuilder<DB, TB, O> => {
    const key = sql.ref<string | number>(column)
    const { after, limit, skip } = part ?? {}
    const from = after === undefined ? query : query.where(key, order === 'desc' ? '<' : '>', after)
    const ordered = from.orderBy(key, order)
    const bounded = limit === undefined ? ordered : ordered.limit(limit)
    return skip === undefined ? bounded : bounded.offset(skip)
  }

/** The part of a list in the order of its ids: newest first, or oldest first. */
export const byId = (order: 'newest' | 'oldest', part: ListPart) =>
  inOrderOf('id', order === 'newest' ? 'desc' : 'asc', part)

/** How many rows a query takes that has selected nothing yet: for lists without a counter, which are short or filtered. */
// biome-ignore lint/suspicious/noExplicitAny: of whatever tables, because only its rows are counted
export async function countOf(query: SelectQueryBuilder<any, any, object>): Promise<number> {
  const { n } = await query.select(sql<number>`count(*)`.as('n')).executeTakeFirstOrThrow()
  return Number(n)
}
