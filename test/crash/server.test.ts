import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { missingBackend } from '../servers/missing-backend.ts'
import { isBorrowed, missingPostgres, startPostgres } from '../servers/postgres.ts'
import { stateOnPostgres } from '../servers/statement.ts'
import { prepareWrit, type Writ } from '../servers/writ.ts'
import { settleAccounts } from './account.ts'
import { type Load, startLoad } from './load.ts'

const PEOPLE = 6

/** A server and a load on it, in a folder of their own; whatever happens, all three are gone afterwards. */
async function withServer(databaseUrl: string | undefined, work: (writ: Writ, load: () => Load) => Promise<void>) {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-crash-'))
  const writ = await prepareWrit({ folder, ...(databaseUrl === undefined ? {} : { databaseUrl }) })
  const loads: Load[] = []
  try {
    await work(writ, () => {
      const load = startLoad(writ, PEOPLE)
      loads.push(load)
      return load
    })
  } finally {
    for (const load of loads) load.abandon()
    await writ.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Kills and restarts; how much was answered before each kill differs, and now and then it is nothing. */
async function killMany(writ: Writ, begin: () => Load, times: number): Promise<Load> {
  await writ.start()
  await writ.login()
  const load = begin()
  for (let i = 0; i < times; i++) {
    if (i % 5 !== 4) await load.answered(5 + ((i * 37) % 60))
    await writ.kill9()
    await writ.start()
  }
  await load.answered(20)
  await load.end()
  return load
}

/** A run whose worker was killed waits for the end of its lease, and for an upload that died for a minute; the test does not. */
const EXPIRE = ['update queue set lease_until = 0 where lease_until is not null', 'update uploads set touched_at = 0']

test('SQLite: a server killed 15 times under load loses and doubles nothing', () =>
  withServer(undefined, async (writ, begin) => {
    const load = await killMany(writ, begin, 15)
    await writ.stop()
    const database = new DatabaseSync(path.join(writ.dataDir, 'writ.db'))
    for (const statement of EXPIRE) database.exec(statement)
    database.close()
    await writ.start()
    await settleAccounts(writ, load)
    assert.ok(load.acknowledged.tickets.length > 100)
  }))

const skip = missingBackend('PostgreSQL', missingPostgres())

test('PostgreSQL: a server killed 8 times under load loses and doubles nothing', { skip }, async () => {
  const postgres = await startPostgres()
  try {
    await withServer(postgres.url, async (writ, begin) => {
      const load = await killMany(writ, begin, 8)
      await stateOnPostgres(postgres.url, EXPIRE)
      await settleAccounts(writ, load)
      assert.ok(load.acknowledged.tickets.length > 50)
    })
  } finally {
    await postgres.stop()
  }
})

const skipKill = skip || (isBorrowed() ? 'PostgreSQL: the server is not ours to kill' : false)

test('PostgreSQL killed 4 times: 503 meanwhile, then all goes on and nothing is lost', { skip: skipKill }, async () => {
  const postgres = await startPostgres({ fsync: true })
  try {
    await withServer(postgres.url, async (writ, begin) => {
      await writ.start()
      await writ.login()
      const load = begin()
      for (let i = 0; i < 4; i++) {
        await load.answered(30)
        await postgres.kill9()
        const down = await writ.call('POST', '/tickets', { title: 'while the database is away' })
        assert.equal(down.status, 503)
        assert.equal(down.type.split(';')[0], 'application/problem+json')
        assert.deepEqual([down.body.code, down.body.retryable], ['DATABASE_UNAVAILABLE', true])
        await postgres.restart()
      }
      await load.answered(30)
      await load.end()
      assert.ok((load.unavailable.get('DATABASE_UNAVAILABLE') ?? 0) > 0)
      await stateOnPostgres(postgres.url, EXPIRE)
      await settleAccounts(writ, load)
    })
  } finally {
    await postgres.stop()
  }
})
