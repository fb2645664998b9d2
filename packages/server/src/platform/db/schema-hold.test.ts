import assert from 'node:assert/strict'
import { hostname } from 'node:os'
import { after, test } from 'node:test'
import { missingBackend } from '../../../../../test/servers/missing-backend.ts'
import { missingPostgres, type Postgres, startPostgres } from '../../../../../test/servers/postgres.ts'
import { withClient } from './driver.ts'
import { migratePostgres } from './migrate.ts'
import { loadMigrations, type Migration, SchemaRefused } from './migrations.ts'
import { holdSchema, SettingsDiffer, type Shared } from './schema-hold.ts'

const NOW = '2026-05-17T00:00:00.000Z'
const skip = missingBackend('PostgreSQL', missingPostgres())

let server: Promise<Postgres> | undefined
const made: string[] = []
after(async () => {
  if (!server) return
  const { url, stop } = await server
  for (const name of made) await ask(url, `drop database ${name} with (force)`)
  await stop()
})

const ask = (url: string, statement: string) =>
  withClient(url, 'test', async (client) => (await client.query<Record<string, unknown>>(statement)).rows)

/** A database of this version. */
async function freshDatabase(): Promise<string> {
  server ??= startPostgres()
  const { url } = await server
  const name = `hold_${made.length}`
  await ask(url, `create database ${name}`)
  made.push(name)
  const fresh = new URL(url)
  fresh.pathname = `/${name}`
  await migratePostgres(fresh.href, fresh.href, NOW)
  return fresh.href
}

/** What the next version ships. */
const next: readonly Migration[] = [
  ...loadMigrations('postgres'),
  { version: 9_999, name: 'next', sql: 'create table of_the_next (id integer)', checksum: 'next' },
]
const stored = async (url: string) =>
  (await ask(url, 'select max(version) as stored from schema_migrations'))[0]!.stored

test('a migration waits for the servers of the older version, and names them when it gives up', { skip }, async () => {
  const url = await freshDatabase()
  const before = await stored(url)
  const stopping = new AbortController()
  const hold = (await holdSchema({ url })).run(stopping.signal)

  await assert.rejects(migratePostgres(url, url, NOW, { migrations: next, patienceMs: 0 }), (error: Error) => {
    assert(error instanceof SchemaRefused)
    assert(error.message.includes(`process ${process.pid} on ${hostname().slice(0, 40)}`), error.message)
    return true
  })
  assert.equal(await stored(url), before)

  // The same version needs nobody to stop.
  await migratePostgres(url, url, NOW, { patienceMs: 0 })

  // Who is told that it waits stops the servers, and the migration goes on.
  const heard: (readonly string[])[] = []
  const waiting = (servers: readonly string[]) => {
    heard.push(servers)
    stopping.abort()
  }
  await migratePostgres(url, url, NOW, { migrations: next, waiting })
  assert.equal(await stored(url), 9_999)
  await hold
  assert.deepEqual(heard, [[`process ${process.pid} on ${hostname().slice(0, 40)}`]])
})

test('a server that was cut off while a newer version migrated does not go on', { skip }, async () => {
  const url = await freshDatabase()
  const stopping = new AbortController()
  const hold = (await holdSchema({ url })).run(stopping.signal)
  const gone = assert.rejects(hold, (error: Error) => {
    assert(error instanceof SchemaRefused)
    assert.match(error.message, /to schema 9999 while this server ran/)
    return true
  })
  // Once alone, and it comes back, for the schema is the same.
  const cut = `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'writ_serves %' and datname = current_database()`
  assert.equal((await ask(url, cut)).length, 1)
  while ((await ask(url, cut.replace('pg_terminate_backend(pid)', '1'))).length === 0);
  // And once with a migration meanwhile, which waits until its connection has been cut.
  await migratePostgres(url, url, NOW, { migrations: next, waiting: () => void ask(url, cut) })
  await gone
  stopping.abort()
})

test('a server does not begin with a schema that it does not know', { skip }, async () => {
  const url = await freshDatabase()
  await migratePostgres(url, url, NOW, { migrations: next })
  await assert.rejects(holdSchema({ url }), SchemaRefused)
  assert.deepEqual(
    await ask(
      url,
      `select 1 from pg_stat_activity where application_name like 'writ_serves %' and datname = current_database()`,
    ),
    [],
  )
})

test('servers that have not the same settings do not serve one database', { skip }, async () => {
  const url = await freshDatabase()
  const stopping = new AbortController()
  const store = (value: string): Shared => ({ name: 'store', value, differs: 'another store' })
  const key = (value: string, also: string[] = []): Shared => ({ name: 'key', value, also, differs: 'another key' })
  const running: Promise<void>[] = []
  const begin = async (...shared: Shared[]) => {
    running.push((await holdSchema({ url }, shared, 0)).run(stopping.signal))
  }
  const refused = (what: string, ...shared: Shared[]) =>
    assert.rejects(begin(...shared), (error: Error) => {
      assert(error instanceof SettingsDiffer)
      assert.equal(
        error.message,
        `Another server of this database (process ${process.pid} on ${hostname().slice(0, 40)}) has another ${what}. Give both the same, or stop that one and start this one again.`,
      )
      return true
    })

  await begin(store('here'), key('old'))
  await begin(store('here'), key('old'))
  await refused('store', store('there'), key('old'))
  await refused('key', store('here'), key('new'))
  // Whoever waits keeps out nobody.
  const waiting = new AbortController()
  const wrong = holdSchema({ url }, [store('there'), key('old')], 60_000)
  const waits = `select 1 from pg_stat_activity where application_name like 'writ_serves %' and datname = current_database()`
  while ((await ask(url, waits)).length < 3);
  await begin(store('here'), key('old'))

  // One key replaces another, server by server; who begins with the old one alone could not open what the new one sealed.
  await begin(store('here'), key('new', ['old']))
  await refused('key', store('here'), key('old'))
  // What a process has nothing to do with may be as it likes.
  await begin(key('new', ['old']))

  stopping.abort()
  await Promise.all(running)
  const other = (await wrong).run(waiting.signal)
  waiting.abort()
  await other
})
