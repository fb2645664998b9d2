import { alikeIn, createShapes, type Row, type Shapes } from './alike.ts'
import { binaryArray } from './binary-array.ts'
import { type Statement, statementOf } from './postgres-batch.ts'

/** The types of the columns of each table, as PostgreSQL names them. */
export type ColumnTypes = ReadonlyMap<string, ReadonlyMap<string, string>>

/** A statement about many rows, and what it is about. */
export interface Asked {
  readonly statement: Statement
  readonly values: readonly unknown[]
}

/** Of a statement about rows that have these columns. */
interface ForRows {
  readonly keys: readonly string[]
  readonly types: readonly string[]
  readonly shapes: Shapes<Statement>
}
type TextOf = (keys: readonly string[], types: readonly string[], alike: readonly boolean[]) => string

const forRows = new WeakMap<ColumnTypes, Map<string, readonly ForRows[]>>()

/**
 * Inserts rows, which all have the same columns. Those that hold one value in all of them, most of them in a batch, are parameters of
 * their own; the others are arrays, which PostgreSQL takes apart again. A single row is a plain `values`.
 */
export function insertOf(columns: ColumnTypes, table: string, rows: readonly Row[]): Asked {
  return asked(columns, table, { table, rows, apart: 0 }, (keys, types, alike) => {
    const values = keys.map((_, i) => (alike[i] ? `$${i + 1}::${types[i]}` : `u.c${i}`)).join(', ')
    const into = `insert into ${table} (${keys.join(', ')})`
    return alike.includes(false)
      ? `${into} select ${values} from ${unnest(types, alike)}`
      : `${into} values (${values})`
  })
}

/** See `Tx.update`: the columns of each row, the first of which finds it, and what stands in `returning` of those that were there. */
export function updateOf(
  columns: ColumnTypes,
  on: { table: string; project: string; key: string; rows: readonly Row[]; when: string; returning: string },
): Asked {
  const { table, project, key, rows, when, returning } = on
  // The bounds let partitions be left out; UUIDs sort alike under every collation. The list is for batches whose ids lie far apart:
  // between the bounds there may be millions of rows.
  const sorted = rows.map((row) => String(row[key])).toSorted()
  const name = `${table} by ${key} ${when} ${returning}`
  const { statement, values } = asked(columns, name, { table, rows, apart: 1 }, (keys, types, alike) => {
    const n = keys.length
    const sets = keys.map((one, i) => `${one} = ${alike[i] ? `$${i + 1}::${types[i]}` : `u.c${i}`}`).slice(1)
    return `update ${table} set ${sets.join(', ')} from ${unnest(types, alike)}
       where project_id = $${n + 1} and ${key} = u.c0 and ${key} = any($1) and ${key} >= $${n + 2} and ${key} <= $${n + 3} and ${when}
       returning ${key} as updated, ${returning} as told`
  })
  return { statement, values: [...values, project, sorted[0], sorted.at(-1)] }
}

function unnest(types: readonly string[], alike: readonly boolean[]): string {
  const apart = types.flatMap((type, i) => (alike[i] ? [] : [{ type, i }]))
  return `unnest(${apart.map(({ type, i }) => `$${i + 1}::${type}[]`).join(', ')}) as u(${apart.map(({ i }) => `c${i}`).join(', ')})`
}

/** `apart`: so many columns are arrays, whatever they hold. */
function asked(
  columns: ColumnTypes,
  name: string,
  on: { readonly table: string; readonly rows: readonly Row[]; readonly apart: number },
  textOf: TextOf,
): Asked {
  const { rows, apart } = on
  const { keys, types, shapes } = columnsOf(columns, name, { table: on.table, row: rows[0]! }, textOf)
  const { alike, made } = shapes.for(alikeIn(keys, rows, apart), rows.length)
  return {
    statement: made,
    values: keys.map((key, i) => (alike[i] ? rows[0]![key] : arrayOf(types[i]!, rows, key))),
  }
}

/** Of rows such as this one: there are few kinds of them for each statement. */
function columnsOf(columns: ColumnTypes, name: string, on: { table: string; row: Row }, textOf: TextOf): ForRows {
  const keys = Object.keys(on.row)
  const all = forRows.get(columns) ?? new Map<string, readonly ForRows[]>()
  const known = all.get(name) ?? []
  const found = known.find((one) => one.keys.length === keys.length && one.keys.every((key, i) => key === keys[i]))
  if (found) return found
  const types = keys.map((key) => {
    const type = columns.get(on.table)?.get(key)
    if (type === undefined) throw new Error(`${on.table} has no column ${key}`)
    return type
  })
  const made = { keys, types, shapes: createShapes((alike) => statementOf(textOf(keys, types, alike))) }
  forRows.set(columns, all.set(name, [...known, made]))
  return made
}

/** One column of many rows as a parameter. */
function arrayOf(type: string, rows: readonly Row[], key: string): unknown {
  const values = rows.map((row) => row[key])
  return binaryArray(type, values) ?? values
}
