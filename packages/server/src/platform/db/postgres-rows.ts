import { binaryArray } from './binary-array.ts'
import type { Param } from './database.ts'
import { type Statement, statementOf } from './postgres-batch.ts'

/** The types of the columns of each table, as PostgreSQL names them. */
export type ColumnTypes = ReadonlyMap<string, ReadonlyMap<string, string>>
type Row = Readonly<Record<string, Param>>

/** A statement about many rows, and what it is about. */
export interface Asked {
  readonly statement: Statement
  readonly values: readonly unknown[]
}

/** How the columns of a statement travel: which hold one value for all rows. */
interface Split {
  readonly alike: readonly boolean[]
  readonly count: number
  readonly statement: Statement
}

/** Of a statement about rows that have these columns. */
interface ForRows {
  readonly keys: readonly string[]
  readonly types: readonly string[]
  /** By which columns are alike, written as 0 and 1. */
  readonly splits: Map<string, Split>
}

/** Where fewer rows than this come together, chance makes columns alike. */
const WORTH_A_STATEMENT = 16
/** Statements for one table and set of columns: each is planned by each connection. */
const MOST_SPLITS = 8

const forRows = new WeakMap<ColumnTypes, Map<string, readonly ForRows[]>>()

/**
 * Inserts rows, which all have the same columns. Those that hold one value in all of them, most of them in a batch, are parameters of
 * their own; the others are arrays, which PostgreSQL takes apart again. A single row is a plain `values`.
 */
export function insertOf(columns: ColumnTypes, table: string, rows: readonly Row[]): Asked {
  return asked(columns, table, { table, rows, apart: 0 }, ({ keys, types }, alike) => {
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
  const { statement, values } = asked(
    columns,
    `${table} by ${key} ${when} ${returning}`,
    { table, rows, apart: 1 },
    ({ keys, types }, alike) => {
      const n = keys.length
      const sets = keys
        .slice(1)
        .map((one, i) => `${one} = ${alike[i + 1] ? `$${i + 2}::${types[i + 1]}` : `u.c${i + 1}`}`)
      return `update ${table} set ${sets.join(', ')} from ${unnest(types, alike)}
       where project_id = $${n + 1} and ${key} = u.c0 and ${key} = any($1) and ${key} >= $${n + 2} and ${key} <= $${n + 3} and ${when}
       returning ${key} as updated, ${returning} as told`
    },
  )
  return { statement, values: [...values, project, sorted[0], sorted.at(-1)] }
}

function unnest(types: readonly string[], alike: readonly boolean[]): string {
  const apart = types.flatMap((type, i) => (alike[i] ? [] : [{ type, i }]))
  return `unnest(${apart.map(({ type, i }) => `$${i + 1}::${type}[]`).join(', ')}) as u(${apart.map(({ i }) => `c${i}`).join(', ')})`
}

function asked(
  columns: ColumnTypes,
  name: string,
  on: {
    readonly table: string
    readonly rows: readonly Row[]
    /** So many columns are arrays, whatever they hold. */
    readonly apart: number
  },
  textOf: (made: ForRows, alike: readonly boolean[]) => string,
): Asked {
  const { rows, apart } = on
  const made = columnsOf(columns, name, on.table, rows[0]!)
  const { keys, types } = made
  const alike = keys.map((key, i) => i >= apart && rows.every((row) => row[key] === rows[0]![key]))
  // Rows that are alike in everything are still so many.
  if (rows.length > 1 && !alike.includes(false)) alike[0] = false
  const split = splitFor(made, alike, rows.length, textOf)
  const values = keys.map((key, i) => (split.alike[i] ? rows[0]![key] : arrayOf(types[i]!, rows, key)))
  return { statement: split.statement, values }
}

/** Of rows such as this one: there are few kinds of them for each statement. */
function columnsOf(columns: ColumnTypes, name: string, table: string, row: Row): ForRows {
  const keys = Object.keys(row)
  const all = forRows.get(columns) ?? new Map<string, readonly ForRows[]>()
  const known = all.get(name) ?? []
  const found = known.find((one) => one.keys.length === keys.length && one.keys.every((key, i) => key === keys[i]))
  if (found) return found
  const types = keys.map((key) => {
    const type = columns.get(table)?.get(key)
    if (type === undefined) throw new Error(`${table} has no column ${key}`)
    return type
  })
  const made = { keys, types, splits: new Map<string, Split>() }
  forRows.set(columns, all.set(name, [...known, made]))
  return made
}

/** The statement that is known, or is worth one, for rows of which these columns are alike. */
function splitFor(
  made: ForRows,
  alike: readonly boolean[],
  rows: number,
  textOf: (made: ForRows, alike: readonly boolean[]) => string,
): Split {
  const { splits } = made
  const add = (columns: readonly boolean[]): Split => {
    const split = {
      alike: columns,
      count: columns.filter(Boolean).length,
      statement: statementOf(textOf(made, columns)),
    }
    splits.set(nameOf(columns), split)
    return split
  }
  const exact = splits.get(nameOf(alike))
  if (exact) return exact
  if (rows === 1 || (rows >= WORTH_A_STATEMENT && splits.size < MOST_SPLITS)) return add(alike)
  let best: Split | undefined
  for (const split of splits.values())
    if (split.count > (best?.count ?? -1) && split.alike.every((one, i) => !one || alike[i])) best = split
  return best ?? add(alike.map(() => false))
}

const nameOf = (alike: readonly boolean[]): string => alike.map(Number).join('')

/** One column of many rows as a parameter. */
function arrayOf(type: string, rows: readonly Row[], key: string): unknown {
  const values = rows.map((row) => row[key])
  return binaryArray(type, values) ?? values
}
