import type { Tx } from './database.ts'

/** The next `count` numbers of a thing, the last of which is answered; totals grow alike. One row is locked until commit. */
export async function takeNumbers(tx: Tx, name: string, count: number): Promise<number> {
  return (await takeNumbersOf(tx, [name], count)).get(name)!
}

/** As `takeNumbers`, of several things at once. Their rows are locked in the order of the names: everybody names them alike. */
export async function takeNumbersOf(
  tx: Tx,
  names: readonly string[],
  count: number,
): Promise<ReadonlyMap<string, number>> {
  const rows = await tx.sql<{ name: string; value: number }>(
    `insert into counters (project_id, name, value, total) values ${names.map((_, i) => `(?1, ?${i + 3}, ?2, ?2)`).join(', ')}
     on conflict (project_id, name) do update set value = counters.value + excluded.value, total = counters.total + excluded.total
     returning name, value`,
    [tx.project, count, ...names],
  )
  return new Map(rows.map(({ name, value }) => [name, value]))
}

export async function totalOf(tx: Tx, name: string): Promise<number> {
  const row = await tx.db.selectFrom('counters').select('total').where('name', '=', name).executeTakeFirst()
  return row?.total ?? 0
}
