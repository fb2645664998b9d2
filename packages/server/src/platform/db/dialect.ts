/**
 * All that is said differently to the two databases. Nothing else asks which database it is.
 *
 * - **Membership in a list.** PostgreSQL takes an array parameter; SQLite takes the list as JSON text, which `Tx.sql`
 *   makes of an array by itself.
 * - **Skipping locked rows.** SQLite has one writer, so nothing else can hold a row: there is nothing to skip.
 * - **Case-insensitive search.** Both lower both sides; SQLite's `lower` knows ASCII only, so "Ä" finds no "ä" there.
 */
import type { Tx } from './database.ts'

/** SQL that is true when `column` is in the list given as parameter `place` (`?1`). */
export const inList = (tx: Pick<Tx, 'dialect'>, column: string, place: string): string =>
  tx.dialect === 'postgres' ? `${column} = any(${place})` : `${column} in (select value from json_each(${place}))`

/**
 * SQL that selects the texts of the list given as parameter `place`: for `in (…)` where rows are found in another way, and the list is
 * what they are compared with. PostgreSQL looks through the whole array of `inList` for each of them; of this it makes a hash.
 */
export const textsOfList = (tx: Pick<Tx, 'dialect'>, place: string, as = 'text'): string =>
  tx.dialect === 'postgres'
    ? `select unnest(${place}::text[]) as ${as}`
    : `select value as ${as} from json_each(${place})`

/**
 * SQL that selects rows of a project by pairs of values: parameters are the project, the first ones, and the second ones, a text column
 * and one of the type that is said (`due_at bigint`). To PostgreSQL's planner ten and ten in two lists are a hundred, so that it would
 * rather read all that have one of the first: it is asked for one pair after the other. SQLite looks for each of both, and may answer
 * what is of no pair.
 */
export function selectPairs(tx: Pick<Tx, 'dialect'>, table: string, first: string, typed: string): string {
  const [second, type] = typed.split(' ')
  return tx.dialect === 'postgres'
    ? `select found.* from unnest(?2::text[], ?3::${type}[]) as asked (a, b) cross join lateral
         (select * from ${table} where project_id = ?1 and ${first} = asked.a and ${second} = asked.b limit 1) as found`
    : `select * from ${table} where project_id = ?1 and ${inList(tx, first, '?2')} and ${inList(tx, second!, '?3')}`
}

/** The clause at the end of a claiming select. */
export const skipLocked = (tx: Pick<Tx, 'dialect'>): string =>
  tx.dialect === 'postgres' ? 'for update skip locked' : ''

/**
 * The clause that takes the locks of a change, in the order of the select. Whoever writes rows that refer to these by a foreign key
 * does not wait for it, as they would for `forUpdate`.
 */
export const forChange = (tx: Pick<Tx, 'dialect'>): string => (tx.dialect === 'postgres' ? 'for no key update' : '')

/** The clause that takes the selected rows' locks, in the order of the select. */
export const forUpdate = (tx: Pick<Tx, 'dialect'>): string => (tx.dialect === 'postgres' ? 'for update' : '')
