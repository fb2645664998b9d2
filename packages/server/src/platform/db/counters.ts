import type { Tx } from './database.ts'

/** How many there are of a thing stands in a row of its own. */
export const totalName = (name: string): string => `${name}.total`

/**
 * The next `count` numbers of a thing, the last of which is answered; totals grow alike. Both rows are locked until commit, so
 * whoever takes numbers next waits for it, and what is undone leaves no gap.
 */
export async function takeNumbers(tx: Tx, name: string, count: number): Promise<number> {
  const rows = await tx.sql<{ value: number }>(
    `insert into counters (project_id, name, value, total) values (?1, ?2, ?4, 0), (?1, ?3, 0, ?4)
     on conflict (project_id, name) do update set value = counters.value + excluded.value, total = counters.total + excluded.total
     returning value`,
    [tx.project, name, totalName(name), count],
  )
  return rows[0]!.value
}

/** Statement of `Tx.reserve`: ?1 project, ?2 name, ?3 count. */
export const RESERVE = `insert into counters (project_id, name, value, total) values (?1, ?2, ?3, 0)
  on conflict (project_id, name) do update set value = counters.value + excluded.value returning value`

/** What was reserved is there: to be said last, because others who say it wait from then until the commit. */
export async function addToTotal(tx: Tx, name: string, count: number): Promise<void> {
  await tx.sql(
    `insert into counters (project_id, name, value, total) values (?1, ?2, 0, ?3)
     on conflict (project_id, name) do update set total = counters.total + excluded.total`,
    [tx.project, totalName(name), count],
  )
}

export async function totalOf(tx: Tx, name: string): Promise<number> {
  const row = await tx.db.selectFrom('counters').select('total').where('name', '=', totalName(name)).executeTakeFirst()
  return row?.total ?? 0
}
