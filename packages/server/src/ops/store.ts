import pg from 'pg'
import type { Param, Tx } from '../platform/db/index.ts'
import { redactor } from '../platform/redact/index.ts'
import { OperationRefused } from './place.ts'

// SQL of the import: what is read from the other system's database, and rows that come with their own id and number.

/** In the order of their references. */
export const sourceTables = ['users', 'assets', 'tickets', 'runs', 'artifacts'] as const
export type SourceTable = (typeof sourceTables)[number]
/** Columns without which rows mean nothing; others may be missing in an older version of the source. */
const columns: Record<SourceTable, readonly string[]> = {
  users: ['id', 'username', 'is_active', 'is_admin'],
  assets: ['id', 'name', 'asset_type', 'created_by_id', 'created_at', 'updated_at'],
  tickets: ['id', 'title', 'status', 'created_by_id', 'created_at', 'updated_at'],
  runs: ['id', 'run_type', 'status', 'ticket_id', 'executed_by_id', 'created_at', 'updated_at'],
  artifacts: ['id', 'filename', 'sha256_hash', 'run_id', 'created_at'],
}

/** A row as the source keeps it: ids are integers, times dates, enumerations upper-case names. */
export type SourceRow = Readonly<Record<string, unknown>> & { readonly id: number }

export interface Source {
  /** Rows of a table in the order of their ids, page by page. */
  rows(table: SourceTable): AsyncIterable<SourceRow>
  count(table: SourceTable): Promise<number>
  close(): Promise<void>
}

const PAGE = 500

/** Opens the source in one read-only snapshot. Throws OperationRefused if it cannot be read or is not what it should be. */
export async function openSource(url: string): Promise<Source> {
  const client = await readSource(() => {
    const opened = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: 5_000,
      application_name: 'writ_import',
    })
    opened.on('error', () => {})
    return opened.connect().then(() => opened)
  })
  const read = <Row extends pg.QueryResultRow>(sql: string, values?: unknown[]) =>
    readSource(() => client.query<Row>(sql, values))
  try {
    await read('begin isolation level repeatable read read only')
    const { rows } = await read<{ name: string }>(
      'select t.name from unnest($1::text[]) as t (name) where to_regclass(t.name) is null order by 1',
      [sourceTables],
    )
    refuseForeign('table', rows)
    const wanted = sourceTables.flatMap((table) => columns[table].map((column) => [table, column]))
    const lacking = await read<{ name: string }>(
      `select t.name || '.' || t.col as name from unnest($1::text[], $2::text[]) as t (name, col)
       where not exists (select from pg_attribute a where a.attrelid = to_regclass(t.name) and a.attname = t.col and not a.attisdropped)
       order by 1`,
      [wanted.map(([table]) => table), wanted.map(([, column]) => column)],
    )
    refuseForeign('column', lacking.rows)
  } catch (error) {
    await client.end()
    throw error
  }
  return {
    async *rows(table) {
      for (let after = 0; ; ) {
        // The name is one of ours, never a caller's text.
        const { rows } = await read<SourceRow>(`select * from ${table} where id > $1 order by id limit ${PAGE}`, [
          after,
        ])
        // Rows from elsewhere are ours to write now. A file is still found by its own name, and a person known by theirs.
        yield* table === 'users' || table === 'artifacts' ? rows : rows.map((row) => redactor.value(row))
        if (rows.length < PAGE) return
        after = rows.at(-1)!.id
      }
    },
    async count(table) {
      const { rows } = await read<{ n: number }>(`select count(*)::int as n from ${table}`)
      return rows[0]!.n
    },
    close: () => client.end(),
  }
}

/** Whatever the other database refuses, or its loss, is a sentence of one code. */
const readSource = <T>(ask: () => Promise<T>): Promise<T> =>
  ask().catch((cause: Error) => {
    const message = `The source cannot be read: ${cause.message}`
    throw new OperationRefused(message, { cause, code: 'IMPORT_SOURCE_UNREADABLE' })
  })

function refuseForeign(what: string, missing: readonly { name: string }[]): void {
  if (missing.length === 0) return
  const names = missing.map(({ name }) => name).join(', ')
  throw new OperationRefused(`The source is no database of the platform: it has no ${what} ${names}.`, {
    code: 'IMPORT_SOURCE_FOREIGN',
  })
}

export type Numbered = 'assets' | 'tickets' | 'runs' | 'artifacts'
const things = { runs: 'run', artifacts: 'artifact' } as const

/** The wanted number if nobody has it, else the next one. The counter never falls behind a number that was given. */
export async function takeNumber(tx: Tx, table: Numbered, wanted: number): Promise<number> {
  const taken =
    table === 'runs' || table === 'artifacts'
      ? await tx.sql('select 1 as one from numbers where project_id = ?1 and thing = ?2 and number = ?3', [
          tx.project,
          things[table],
          wanted,
        ])
      : await tx.sql(`select 1 as one from ${table} where project_id = ?1 and number = ?2`, [tx.project, wanted])
  const rows = await tx.sql<{ value: number }>(
    `insert into counters (project_id, name, value, total) values (?1, ?2, ?3, 1)
     on conflict (project_id, name) do update set total = counters.total + 1,
       value = case when ?4 = 1 then counters.value + 1 when counters.value > excluded.value then counters.value else excluded.value end
     returning value`,
    [tx.project, table, wanted, taken.length],
  )
  return taken.length === 0 ? wanted : Number(rows[0]!.value)
}

/** The number under which a row was imported before; undefined if it was not. */
export async function findImported(tx: Tx, table: Numbered, id: string): Promise<number | undefined> {
  const rows = await tx.sql<{ number: number }>(`select number from ${table} where project_id = ?1 and id = ?2`, [
    tx.project,
    id,
  ])
  return rows[0] === undefined ? undefined : Number(rows[0].number)
}

/** Inserts a row with the id and number that it was given. */
export async function insertImported(
  tx: Tx,
  table: Numbered,
  row: Readonly<Record<string, Param>> & { readonly id: string; readonly number: number },
): Promise<void> {
  if (table === 'runs' || table === 'artifacts')
    await tx.insert('numbers', [{ project_id: tx.project, thing: things[table], number: row.number, id: row.id }])
  await tx.insert(table, [{ project_id: tx.project, ...row }])
}

export async function insertEvidence(tx: Tx, run: string, artifact: string): Promise<void> {
  await tx.insert('run_evidence', [{ project_id: tx.project, run_id: run, artifact_id: artifact }])
}

/** Whether another asset of the project has this serial number. */
export async function hasSerial(tx: Tx, serial: string): Promise<boolean> {
  return (
    (await tx.sql('select 1 as one from assets where project_id = ?1 and serial_number = ?2', [tx.project, serial]))
      .length > 0
  )
}

export async function hasEmail(tx: Tx, email: string): Promise<boolean> {
  return (await tx.sql('select 1 as one from users where lower(email) = lower(?1)', [email])).length > 0
}

export async function deactivate(tx: Tx, user: string, now: number): Promise<void> {
  await tx.sql('update users set is_active = 0, updated_at = ?2 where id = ?1', [user, now])
}
