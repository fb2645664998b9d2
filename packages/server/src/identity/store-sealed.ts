import { type Database, INSTANCE, inProject, type Tx } from '../platform/db/index.ts'
import { listProjects } from './store-projects.ts'

// All SQL over sealed values, of whatever table: what they are is told by the rooms that seal them.

/** A column of sealed values. The names in it are written into statements. */
export interface SealedColumn {
  readonly table: 'users' | 'webhooks' | 'http_handlers' | 'feishu_apps' | 'runs' | 'steps' | 'schedules'
  readonly column: string
  /** Finds a row, in its project where the table has projects. */
  readonly key: string
  /** A further column to which the value is bound. */
  readonly beside?: string
  /** The purpose of the seal, and what its values are bound to. */
  readonly purpose: string
  about(row: { readonly project: string; readonly key: string; readonly beside: string }): string
  /** A column by which rows that have it are found again: a digest of the value under a key of this purpose. It goes along. */
  readonly found?: {
    readonly column: string
    readonly purpose: string
    /** No two rows with the same of this column have the same digest. */
    readonly within: string
    by(key: Uint8Array, project: string, text: string): string
  }
  /** Which rows still need their value. Those are waited for: rows of this table are never changed. */
  readonly neededBy?: string
}

export interface SealedValue {
  readonly key: string
  readonly beside: string
  readonly sealed: string
}

// Every place of a statement has to be in it, also where there is nothing to ask of the project.
const within = ({ table, neededBy }: SealedColumn) =>
  `${table === 'users' ? 'cast(?1 as text) is not null' : `${table}.project_id = ?1`}${neededBy ? ` and ${neededBy}` : ''}`

/** Not under the key of the mark; those with null are not sealed at all. */
const foreign = ({ table, column }: SealedColumn, mark: number) =>
  `${table}.${column} is not null and substr(${table}.${column}, 1, length(?${mark})) <> ?${mark}`

/** Some of the values that are not sealed under the key of `mark`, behind `after`, in the order of their keys. */
export function listSealed(tx: Tx, of: SealedColumn, mark: string, after: string): Promise<SealedValue[]> {
  const { table, column, key, beside } = of
  return tx.sql<SealedValue>(
    `select ${key} as key, ${beside ?? "''"} as beside, ${column} as sealed from ${table}
     where ${within(of)} and ${key} > ?3 and ${foreign(of, 2)}
     order by ${key}
     limit 50`,
    [tx.project, mark, after],
  )
}

/**
 * Puts a value in the place of the one that was read, and a digest in that of its digest. One that was changed meanwhile, or erased, stays
 * as it is.
 */
export async function replaceSealed(
  tx: Tx,
  of: SealedColumn,
  value: SealedValue,
  { sealed, digest }: { readonly sealed: string; readonly digest: string | null },
): Promise<boolean> {
  const { column, key, table, found } = of
  const also = found ? `, ${found.column} = ${digestOf(table, found)}` : ''
  const rows = await tx.sql(
    `update ${table} set ${column} = ?4${also} where ${within(of)} and ${key} = ?2 and ${column} = ?3 returning ${key}`,
    [tx.project, value.key, value.sealed, sealed, ...(found ? [digest] : [])],
  )
  return rows.length === 1
}

/** Two may have got the same value while they had digests under two keys: the second stays as it is. */
const digestOf = (table: string, { column, within }: NonNullable<SealedColumn['found']>) =>
  `case when ${table}.${column} is null or exists (select 1 from ${table} o
     where o.project_id = ?1 and o.${within} = ${table}.${within} and o.${column} = cast(?5 as text)) then ${table}.${column} else cast(?5 as text) end`

/** How many values are sealed, but not under the key of `mark`; with `named` those only that name another key. */
export async function countSealed(
  db: Pick<Database, 'read' | 'lookup'>,
  columns: readonly SealedColumn[],
  mark: string,
  named = false,
): Promise<number> {
  let count = 0
  for (const project of [INSTANCE, ...(await listProjects(db)).map(({ id }) => id)])
    for (const of of columns) {
      if ((of.table === 'users') !== (project === INSTANCE)) continue
      const only = named ? ` and substr(${of.table}.${of.column}, 1, 3) = 'v2.'` : ''
      const text = `select count(*) as n from ${of.table} where ${within(of)} and ${foreign(of, 2)}${only}`
      const rows = await inProject(project, () => db.read((tx) => tx.sql<{ n: number }>(text, [project, mark])))
      count += Number(rows[0]!.n)
    }
  return count
}
