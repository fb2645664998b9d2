import { alikeIn, createShapes, MANY_ROWS, type Row, type Shapes } from './alike.ts'
import type { Param } from './database.ts'

/** By table and columns. */
const shapes = new Map<string, Shapes<string>>()

/**
 * Many rows in one statement: what is alike in all of them is bound once, and the rest is one JSON text, which SQLite reads faster than
 * a row's values are handed over one by one. Undefined where the rows are few, or where JSON would not give back exactly what a
 * binding does: bytes, fractions, and texts with a NUL or half a character.
 */
export function insertTogether(
  table: string,
  rows: readonly Row[],
): { readonly sql: string; readonly params: readonly Param[] } | undefined {
  // Whether the events of the log can be is asked for every batch: their bytes say no at once.
  if (rows.length < MANY_ROWS || Object.values(rows[0]!).some((value) => value instanceof Uint8Array)) return undefined
  const keys = Object.keys(rows[0]!)
  const name = `${table} ${keys.join()}`
  const known = shapes.get(name) ?? createShapes((alike) => textOf(table, keys, alike))
  shapes.set(name, known)
  const { alike, made } = known.for(alikeIn(keys, rows, 0), rows.length)
  const apart = keys.filter((_, i) => !alike[i])
  if (!rows.every((row) => apart.every((key) => isExact(row[key]!)))) return undefined
  const json = JSON.stringify(rows.map((row) => apart.map((key) => row[key])))
  if (LOST.test(json)) return undefined
  return { sql: made, params: [...keys.filter((_, i) => alike[i]).map((key) => rows[0]![key]!), json] }
}

const isExact = (value: Param): boolean =>
  value === null || typeof value === 'string' || (typeof value === 'number' && Number.isSafeInteger(value))

/** In JSON texts that are well formed: at a NUL SQLite ends a text, and a half of a pair is no UTF-8. */
const LOST = /\\u(0000|d[89a-f])/

function textOf(table: string, keys: readonly string[], alike: readonly boolean[]): string {
  let [bound, at] = [0, 0]
  const values = keys.map((_, i) => (alike[i] ? `?${++bound}` : `u.value->>${at++}`))
  return `insert into ${table} (${keys.join(', ')}) select ${values.join(', ')} from json_each(?${bound + 1}) u`
}
