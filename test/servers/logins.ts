/** The two logins of PostgreSQL that docs/operate.md advises: an owner who migrates, and one that is neither owner nor superuser. */
import { Client } from 'pg'

const OWNER = 'writ_owner'
const LOGIN = 'writ_server'

/** Makes both in a fresh cluster of the test's own, which asks for no passwords. `url` is its superuser's. */
export async function addLogins(url: string): Promise<void> {
  await asSuperuser(url, `create role ${OWNER} login createrole bypassrls`)
  await asSuperuser(url, `create role ${LOGIN} login`)
}

/** Makes a database of the owner, and answers the settings of a server on it. */
export async function addDatabase(
  url: string,
  name: string,
  template?: string,
): Promise<{ DATABASE_URL: string; WRIT_MIGRATION_URL: string }> {
  await asSuperuser(
    url,
    // By its files: through the log of the server, page by page, a copy takes twice as long.
    `create database ${name} owner ${OWNER}${template === undefined ? '' : ` template ${template} strategy file_copy`}`,
  )
  return { DATABASE_URL: databaseAt(url, name, LOGIN), WRIT_MIGRATION_URL: databaseAt(url, name, OWNER) }
}

/** The URL of another database of the same server, for the same or another login. */
export function databaseAt(url: string, name: string, login?: string): string {
  const own = new URL(url)
  own.pathname = `/${name}`
  if (login) own.username = login
  return own.href
}

/** One statement; its rows. */
export async function asSuperuser(url: string, statement: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  return (await client.query(statement).finally(() => client.end())).rows
}
