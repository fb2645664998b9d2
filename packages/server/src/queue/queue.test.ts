import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { addMigratedDatabase } from '../../../../test/backends.ts'
import { asSuperuser } from '../../../../test/servers/logins.ts'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { missingPostgres, type Postgres, startPostgres } from '../../../../test/servers/postgres.ts'
import {
  missingRedis,
  type RedisCluster,
  type RedisServer,
  startRedis,
  startRedisCluster,
} from '../../../../test/servers/redis.ts'
import { createFakeClock } from '../platform/clock.ts'
import { type Database, inProject, openDatabase } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { createLog } from '../platform/log.ts'
import { Secret } from '../platform/secret.ts'
import { A, B, type Exercise, exerciseQueue, T } from './conformance.ts'
import { openQueue, type QueueSettings } from './open.ts'
import type { Runnable } from './queue.ts'

const clock = createFakeClock(T)
const log = createLog({ level: 'error', format: 'json' })

type Backend = Pick<QueueSettings, 'backend'> & { redisUrl?: string }

async function exercise(db: Database, backend: Backend, afterwards: () => Promise<void>): Promise<Exercise> {
  for (const id of [A, B])
    await inProject(id, () =>
      db.write((tx) =>
        tx.insert('projects', [{ id, slug: `p-${id.slice(-1)}`, name: 'Test', policy: '{}', created_at: 0 }]),
      ),
    )
  const open = () =>
    openQueue(db, { ...backend, redisUrl: new Secret(backend.redisUrl ?? ''), clock, log, health() {}, refused() {} })
  const opened = [await open()]
  return {
    db,
    queue: opened[0]!,
    async reopen() {
      // Of a queue in memory there can be one.
      if (backend.backend === 'memory') await opened[0]!.close()
      opened.push(await open())
      return opened.at(-1)!
    },
    async end() {
      for (const queue of opened) await queue.close()
      await db.close()
      await afterwards()
    },
  }
}

const onSqlite = async (backend: Backend): Promise<Exercise> => {
  const folder = mkdtempSync(path.join(tmpdir(), 'writ-queue-'))
  const db = await openDatabase({ url: `sqlite:${path.join(folder, 'writ.db')}` }, clock)
  return exercise(db, backend, async () => rmSync(folder, { recursive: true, force: true }))
}

let server: Promise<Postgres> | undefined
let redis: Promise<RedisServer> | undefined
let cluster: Promise<RedisCluster> | undefined
after(async () => {
  for (const started of [server, redis, cluster]) await (await started)?.stop()
})
const redisBackend = async (): Promise<Backend> => {
  redis ??= startRedis({ limited: true })
  return { backend: 'redis', redisUrl: (await redis).url }
}
const clusterBackend = async (): Promise<Backend> => {
  cluster ??= startRedisCluster({ limited: true })
  return { backend: 'redis', redisUrl: (await cluster).url }
}

async function onPostgres(backend: Backend): Promise<Exercise> {
  server ??= startPostgres()
  const { url } = await server
  const name = `writ_queue_${randomBytes(6).toString('hex')}`
  const { DATABASE_URL, WRIT_MIGRATION_URL } = await addMigratedDatabase(url, name)
  const db = await openDatabase({ url: DATABASE_URL, migrationUrl: WRIT_MIGRATION_URL }, clock)
  return exercise(db, backend, async () => {
    await asSuperuser(url, `drop database ${name} with (force)`)
  })
}

const noPostgres = missingBackend('PostgreSQL', missingPostgres())
const noRedis = missingBackend('Redis', missingRedis())

exerciseQueue('sqlite', () => onSqlite({ backend: 'database' }))
exerciseQueue('postgres', () => onPostgres({ backend: 'database' }), noPostgres)
exerciseQueue('memory on sqlite', () => onSqlite({ backend: 'memory' }))
exerciseQueue('memory on postgres', () => onPostgres({ backend: 'memory' }), noPostgres)
exerciseQueue('redis on sqlite', async () => onSqlite(await redisBackend()), noRedis)
exerciseQueue('redis on postgres', async () => onPostgres(await redisBackend()), noRedis || noPostgres)
exerciseQueue('redis cluster on postgres', async () => onPostgres(await clusterBackend()), noRedis || noPostgres)

// Of the processes on one PostgreSQL each hears of the others; on SQLite there is one.
for (const [name, backend, skip] of [
  ['postgres', async () => ({ backend: 'database' }) as const, noPostgres],
  ['redis on postgres', redisBackend, noRedis || noPostgres],
] as const)
  test(`${name}: another process hears where there is something, and what is to stop`, { skip }, async () => {
    const { db, queue, reopen, end } = await onPostgres(await backend())
    try {
      // A copy is built by the first sweep, and nobody is told of what is not in it.
      await queue.sweep(0)
      const far = await reopen()
      const something = Promise.withResolvers<Runnable | null>()
      const stopped = Promise.withResolvers<string>()
      far.wake({ runnable: (where) => something.resolve(where), stop: (runId) => stopped.resolve(runId) })
      const runId = uuidv7(0)
      const say = () =>
        inProject(A, () =>
          db.write(async (tx) => {
            await queue.enqueue(tx, [{ runId, queue: 'api', handler: '', priority: 0, runAt: 0 }], 0)
            await queue.stop(tx, runId)
          }),
        )
      // Hints may be lost, and are until it listens.
      const saying = setInterval(() => void say(), 50)
      const where = await something.promise
      const heard = await stopped.promise
      clearInterval(saying)
      assert.equal(heard, runId)
      assert.deepEqual(where, { queue: 'api', project: A })
    } finally {
      await end()
    }
  })
