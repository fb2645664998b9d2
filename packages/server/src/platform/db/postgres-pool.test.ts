import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import pg from 'pg'
import { freePort } from '../../../../../test/servers/free-port.ts'
import { missingBackend } from '../../../../../test/servers/missing-backend.ts'
import { missingPostgres, type Postgres, startPostgres } from '../../../../../test/servers/postgres.ts'
import { DatabaseUnavailable } from './database.ts'
import { createPool } from './postgres-pool.ts'
import { lead } from './postgres-sessions.ts'

const skip = missingBackend('PostgreSQL', missingPostgres())
let server: Promise<Postgres> | undefined
after(async () => (await server)?.stop())

/** A pool, how many connections it opened, and how many at once. */
async function openCounted(max: number, more: pg.PoolConfig = {}) {
  server ??= startPostgres()
  const { url } = await server
  const seen = { opened: 0, atOnce: 0 }
  let opening = 0
  class Client extends pg.Client {
    override connect(): Promise<never>
    override connect(told: (error: Error) => void): void
    override connect(told?: (error: Error) => void): Promise<never> | undefined {
      seen.opened++
      seen.atOnce = Math.max(seen.atOnce, ++opening)
      super.connect((error: Error) => {
        opening--
        told?.(error)
      })
      return undefined
    }
  }
  const pool = createPool({ connectionString: url, max, Client: Client as unknown as typeof pg.Client, ...more })
  const ask = async () => {
    const client = await pool.connect()
    await client.query('select 1').finally(() => client.release())
  }
  return { pool, seen, ask }
}

test('what is asked for at one moment opens one connection after the other', { skip }, async () => {
  const { pool, seen, ask } = await openCounted(10)
  await Promise.all(Array.from({ length: 20 }, ask))
  assert.equal(seen.atOnce, 1)
  await pool.end()
})

test('what keeps its connections gets all there are, and the next one what is given back', { skip }, async () => {
  const { pool, seen, ask } = await openCounted(4)
  const held = await Promise.all(Array.from({ length: 4 }, () => pool.connect()))
  assert.deepEqual(seen, { opened: 4, atOnce: 1 })
  const asked = Promise.all([ask(), ask()])
  for (const client of held) client.release()
  await asked
  assert.equal(seen.opened, 4)
  await pool.end()
})

test('a connection that broke is replaced for those who wait', { skip }, async () => {
  const { pool, ask } = await openCounted(1)
  const client = await pool.connect()
  const asked = Promise.all([ask(), ask()])
  client.release(true)
  await asked
  await pool.end()
})

test('while PostgreSQL is away all who wait are told so at the first try', { skip }, async () => {
  const { pool, seen, ask } = await openCounted(10, {
    connectionString: `postgres://writ@127.0.0.1:${await freePort()}/none`,
  })
  for (const tries of [1, 2]) {
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, ask))
    for (const one of outcomes)
      assert.ok(
        one.status === 'rejected' && one.reason instanceof DatabaseUnavailable && one.reason.cause instanceof Error,
      )
    assert.equal(seen.opened, tries)
  }
  await pool.end()
})

test('whoever stands beside a leader asks again on the same connection', { skip }, async () => {
  server ??= startPostgres()
  const { url } = await server
  const stop = new AbortController()
  const leader = await lead(url, 'walk', stop.signal)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const besides: Promise<number[]>[] = []
  const beside = Promise.withResolvers<void>()
  const next = lead(url, 'walk', stop.signal, () => {
    besides.push(
      client
        .query<{ pid: number }>(
          `select pid from pg_stat_activity where application_name = 'writ_lead_walk'
           and pid not in (select pid from pg_locks where locktype = 'advisory' and granted)`,
        )
        .then(({ rows }) => rows.map(({ pid }) => pid)),
    )
    if (besides.length === 2) beside.resolve()
  })
  await beside.promise
  const [first, second] = await Promise.all(besides)
  assert.equal(first!.length, 1)
  assert.deepEqual(second, first)

  await leader.release()
  const follower = await next
  assert.equal(await follower.held(), true)
  await follower.release()
  await client.end()
})
