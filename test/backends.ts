/** The stores on which every scenario has to hold. */
import { randomBytes } from 'node:crypto'
import { after } from 'node:test'
import { Client } from 'pg'
import { missingBackend } from './servers/missing-backend.ts'
import { missingPostgres, type Postgres, startPostgres } from './servers/postgres.ts'
import { type StartOptions, TestSystem } from './test-system.ts'

export interface Backend {
  readonly name: 'sqlite' | 'postgres'
  /** Why it cannot be had here, or false. */
  readonly skip: string | false
  /** A whole system on an empty database of its own. */
  start(options?: StartOptions): Promise<TestSystem>
}

/**
 * SQLite always, PostgreSQL when it can be started. One PostgreSQL serves all tests of a file, each in a database of its own; it is
 * started by the first test that asks and ends with the file.
 */
export function backends(): readonly Backend[] {
  let server: Promise<Postgres> | undefined
  after(async () => (await server)?.stop())
  return [
    { name: 'sqlite', skip: false, start: (options) => TestSystem.start(options) },
    {
      name: 'postgres',
      skip: missingBackend('PostgreSQL', missingPostgres()),
      async start(options = {}) {
        server ??= startPostgres()
        const { url } = await server
        const name = `writ_system_${randomBytes(6).toString('hex')}`
        await execute(url, `create database ${name}`)
        const own = new URL(url)
        own.pathname = `/${name}`
        return TestSystem.start({
          ...options,
          env: { ...options.env, DATABASE_URL: own.href },
          afterwards: () => execute(url, `drop database ${name} with (force)`),
        })
      },
    },
  ]
}

async function execute(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url })
  await client.connect()
  await client.query(statement).finally(() => client.end())
}
