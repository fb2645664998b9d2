import pg from 'pg'

/**
 * Statements on PostgreSQL past the server, each in a transaction of its own. The server's own statements lock the same rows in an order of
 * their own; a statement that PostgreSQL gave up for one of theirs is said again.
 */
export async function stateOnPostgres(url: string, statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    for (const statement of statements) await state(client, statement)
  } finally {
    await client.end()
  }
}

const DEADLOCK = '40P01'

async function state(client: pg.Client, statement: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await client.query(statement)
      return
    } catch (error) {
      if ((error as { code?: string }).code !== DEADLOCK || attempt === 10) throw error
    }
  }
}

/** Another process could hold the lease; it ends by the clock, for which a test does not wait. */
export const endLeases = (url: string, table: 'queue' | 'delivery_queue' = 'queue'): Promise<void> =>
  stateOnPostgres(url, [`update ${table} set lease_until = 0 where lease_until is not null`])
