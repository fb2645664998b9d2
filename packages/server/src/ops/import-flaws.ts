import { open, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { SourceRow, SourceTable } from './store.ts'

// What keeps a row of another system out, or comes over changed. Every reason has a code that stays, and names the column.

export type ImportCode =
  | 'IMPORT_FIELD_INVALID'
  | 'IMPORT_REFERENCE_MISSING'
  | 'IMPORT_EXISTS'
  | 'IMPORT_FILES_NOT_NAMED'
  | 'IMPORT_FILE_MISSING'
  | 'IMPORT_FILE_UNREADABLE'
  | 'IMPORT_HASH_DIFFERS'
  | 'IMPORT_RENAMED'
  | 'IMPORT_EMAIL_TAKEN'
  | 'IMPORT_REFERENCE_LOST'

export interface Flaw {
  readonly code: ImportCode
  /** The column of the row that says so. */
  readonly field: string
  readonly why: string
}

/** Milliseconds of a time column; NaN for what is none, `infinity` included. */
export const timeOf = (value: unknown): number =>
  value instanceof Date ? value.getTime() : typeof value === 'string' ? Date.parse(value) : Number.NaN

/** Rows without which one of a table means nothing; what the sentence calls them. */
const needs: Record<SourceTable, readonly (readonly [field: string, table: SourceTable, what: string])[]> = {
  users: [],
  assets: [['created_by_id', 'users', 'creator']],
  tickets: [['created_by_id', 'users', 'creator']],
  runs: [
    ['ticket_id', 'tickets', 'ticket'],
    ['executed_by_id', 'users', 'executor'],
  ],
  artifacts: [['run_id', 'runs', 'run']],
}

const names: Record<SourceTable, readonly string[]> = {
  users: [],
  assets: ['name', 'asset_type'],
  tickets: ['title'],
  runs: [],
  artifacts: ['filename'],
}

const words: Partial<Record<SourceTable, Readonly<Record<string, readonly string[]>>>> = {
  tickets: { status: ['draft', 'submitted', 'approved', 'running', 'done', 'failed', 'closed'] },
  runs: { run_type: ['proof', 'action'], status: ['pending', 'running', 'success', 'failed', 'timeout'] },
}

const invalid = (field: string, why: string): Flaw => ({ code: 'IMPORT_FIELD_INVALID', field, why })

/** Why a row cannot be taken over, judged by itself and by what came before it; undefined if it can. Users always can. */
export function flawOf(
  table: SourceTable,
  row: SourceRow,
  isThere: (table: SourceTable, id: number) => boolean,
): Flaw | undefined {
  for (const field of names[table])
    if (typeof row[field] !== 'string' || row[field].trim() === '') return invalid(field, `its ${field} is empty`)
  for (const [field, known] of Object.entries(words[table] ?? {})) {
    const word = String(row[field] ?? '')
    if (!known.includes(word.toLowerCase()))
      return invalid(field, `its ${field} "${word}" is none of ${known.join(', ')}`)
  }
  if (table !== 'users')
    // Ids begin with the time, which cannot be told before 1970.
    for (const field of table === 'artifacts' ? ['created_at'] : ['created_at', 'updated_at'])
      if (!(timeOf(row[field]) >= 0)) return invalid(field, `its ${field} is no time since 1970`)
  if (table === 'artifacts') {
    const name = String(row.filename)
    if (basename(name) !== name || name === '..' || name === '.')
      return invalid('filename', `its file name ${JSON.stringify(name)} is a path`)
    if (!/^[0-9a-fA-F]{64}$/.test(String(row.sha256_hash)))
      return invalid('sha256_hash', 'its sha256_hash is no SHA-256')
  }
  for (const [field, other, what] of needs[table])
    if (!isThere(other, Number(row[field] ?? Number.NaN)))
      return { code: 'IMPORT_REFERENCE_MISSING', field, why: `its ${what} is not there` }
  return undefined
}

/** What a ticket comes over without: an asset that was left out. */
export function lostAsset(row: SourceRow, isThere: (table: SourceTable, id: number) => boolean): Flaw | undefined {
  if (row.asset_id === null || row.asset_id === undefined || isThere('assets', Number(row.asset_id))) return undefined
  return { code: 'IMPORT_REFERENCE_LOST', field: 'asset_id', why: 'its asset is not taken over; it has none here' }
}

/** The file of an artifact, open to be read, or why it cannot be. Close it. */
export async function openFile(folder: string | undefined, row: SourceRow) {
  if (folder === undefined)
    return { code: 'IMPORT_FILES_NOT_NAMED', field: 'filename', why: 'no folder of artifacts was given' } as const
  const path = join(folder, 'runs', String(row.run_id), String(row.filename))
  try {
    // Looked at before it is opened: a named pipe would be waited for without end.
    if (!(await stat(path)).isFile())
      return { code: 'IMPORT_FILE_UNREADABLE', field: 'filename', why: 'what bears its name is no file' } as const
    return await open(path)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR')
      return { code: 'IMPORT_FILE_MISSING', field: 'filename', why: 'its file is not there' } as const
    return { code: 'IMPORT_FILE_UNREADABLE', field: 'filename', why: `its file cannot be read: ${code}` } as const
  }
}

/** The other system overwrote a file when another of the same name came: what is left is not what was recorded. */
export function hashFlaw(row: SourceRow, sha256: string): Flaw | undefined {
  const recorded = String(row.sha256_hash)
  if (sha256 === recorded.toLowerCase()) return undefined
  const why = `its bytes hash to ${sha256}, but ${recorded} was recorded`
  return { code: 'IMPORT_HASH_DIFFERS', field: 'sha256_hash', why }
}

/**
 * The name of somebody's account here, and why if it is another than there: names without a sign, and names that differ from an
 * earlier row's in upper and lower case alone, which would be one person here. `isTaken` knows the names of earlier rows.
 */
export function accountName(row: SourceRow, isTaken: (name: string) => boolean): { name: string; flaw?: Flaw } {
  const there = typeof row.username === 'string' ? row.username : ''
  const own = `tep-user-${row.id}`
  const renamed = (why: string) => ({
    name: own,
    flaw: { code: 'IMPORT_RENAMED', field: 'username', why: `${why}; called "${own}" here` } as const,
  })
  if (there.trim() === '') return renamed('its username is empty')
  if (/\p{Cc}/u.test(there)) return renamed('its username has control characters')
  if (isTaken(there)) return renamed(`its username "${there}" differs from that of another user in case alone`)
  return { name: there }
}
