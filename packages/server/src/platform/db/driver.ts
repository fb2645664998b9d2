import type pg from 'pg'

/** The driver of PostgreSQL, for those who have one: loading it is a twentieth of a start on SQLite. */
export const loadDriver = async (): Promise<typeof pg> => (await import('pg')).default

/** A connection for one piece of work, outside any pool. Rejects with what the driver says. */
export async function withClient<T>(url: string, name: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const { Client } = await loadDriver()
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000, application_name: name })
  // What breaks while nobody asks is told to whoever asks next.
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Who a connection is, quoted for SQL as well, and whether row-level security holds nothing back from it. */
export async function loginOf(client: pg.Client): Promise<{ name: string; quoted: string; mighty: boolean }> {
  const { rows } = await client.query<{ name: string; quoted: string; mighty: boolean }>(
    `select rolname as name, quote_ident(rolname) as quoted, rolsuper or rolbypassrls as mighty
     from pg_roles where rolname = current_user`,
  )
  return rows[0]!
}
