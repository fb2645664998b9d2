import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import type { Dialect } from './database.ts'

const folder = new URL('../../../migrations/', import.meta.url)

export interface Migration {
  readonly version: number
  readonly name: string
  readonly sql: string
  readonly checksum: string
}

/** The migrations of a dialect in order: files named `NNNN_name.<dialect>.sql`. */
export function loadMigrations(dialect: Dialect): Migration[] {
  return readdirSync(folder)
    .filter((file) => /^\d{4}_/.test(file) && file.endsWith(`.${dialect}.sql`)) // beside them lies what they result in
    .sort()
    .map((file) => {
      const sql = readFileSync(new URL(file, folder), 'utf8')
      return {
        version: Number(file.slice(0, 4)),
        name: file.slice(5, file.indexOf('.')),
        sql,
        checksum: createHash('sha256').update(sql).digest('hex'),
      }
    })
}

/** A store that this version may not touch: newer than the code, or changed behind its back. */
export class SchemaRefused extends Error {
  override name = 'SchemaRefused'
}

/** The schema that this version of Writ knows. */
export const newestSchema = (dialect: Dialect): number => loadMigrations(dialect).at(-1)!.version
