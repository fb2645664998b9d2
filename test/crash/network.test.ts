/** Workers that a cut network parts from one of their stores: they let go in time, others go on, and nothing is done twice. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { backends } from '../backends.ts'
import { type Guarded, startGuarded } from '../servers/guard.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { startProxy } from '../servers/proxy.ts'
import { missingRedis, type RedisServer, startRedis } from '../servers/redis.ts'
import { dispatcherOf } from '../tasks/dispatch.ts'
import { loadHandlers, slowHandler } from '../tasks/load-handlers.ts'
import type { TestSystem } from '../test-system.ts'

const postgres = backends().find((one) => one.name === 'postgres')!
const noRedis = missingBackend('Redis', missingRedis())
const LEASE_MS = '5000'
/** What the server forgets of those that are silent within a transaction, and how long they wait for an answer, in milliseconds. */
const IMPATIENT = { idle_in_transaction_session_timeout: '1000', query_timeout: '3000' }

async function sceneOf(system: TestSystem, redis?: RedisServer) {
  const started: Guarded[] = []
  const { id, number, username } = system.admin
  const by = await dispatcherOf(system.app, { id, number, username, role: 'ops' })
  const databaseAt = (port?: number) => {
    const url = new URL(system.databaseUrl!)
    if (port !== undefined) url.port = String(port)
    for (const [name, value] of Object.entries(IMPATIENT)) url.searchParams.set(name, value)
    return url.href
  }
  return {
    by,
    databasePort: Number(new URL(system.databaseUrl!).port),
    /** A process that only works; `database` and `redis` are ports in place of the real ones. */
    async worker(through: { database?: number; redis?: number } = {}): Promise<Guarded> {
      const worker = await startGuarded({
        command: process.execPath,
        args: ['--disable-warning=ExperimentalWarning', path.join(import.meta.dirname, '../tasks/server-process.ts')],
        folder: system.folder,
        env: {
          PATH: process.env.PATH,
          HOST: '127.0.0.1',
          PORT: '0',
          LOG_LEVEL: 'error',
          WRIT_ROLES: 'worker',
          WRIT_DATA_DIR: path.join(system.folder, 'data'),
          WRIT_SELF_CHECK_MINUTES: '0',
          WRIT_SHUTDOWN_GRACE_SECONDS: '1',
          LEASE_MS,
          DATABASE_URL: databaseAt(through.database),
          ...(redis ? { QUEUE_BACKEND: 'redis', REDIS_URL: `redis://127.0.0.1:${through.redis ?? redis.port}/0` } : {}),
        },
      })
      started.push(worker)
      await worker.saying('is ready at')
      return worker
    },
    /** A task that is done when `finish` was called. */
    async slow() {
      const file = path.join(system.folder, `done-${started.length}-${process.hrtime.bigint()}`)
      const { id } = await by.dispatch('test.slow', file, { max_attempts: 1 })
      return { id, finish: () => writeFileSync(file, '') }
    },
    async end() {
      for (const one of started) await one.kill9()
    },
  }
}

/** It knows the contracts, and does nothing itself. */
const testHandlers = [...loadHandlers, slowHandler(() => {})]
const withoutWorker = { WRIT_ROLES: 'api,scheduler,sequencer', WRIT_CHECKPOINT_INTERVAL_MS: '20' }

test('a worker that is cut off from PostgreSQL stops its work; another does it, once; both work on', {
  skip: postgres.skip,
}, async () => {
  await using system = await postgres.start({ env: withoutWorker, testHandlers })
  const on = await sceneOf(system)
  const proxy = await startProxy(on.databasePort)
  try {
    const first = await on.worker({ database: proxy.port })
    const task = await on.slow()
    await first.saying(`begun ${task.id}`)
    await proxy.cut()
    await first.saying(`stopped ${task.id}`)
    const second = await on.worker()
    await second.saying(`begun ${task.id}`)
    task.finish()
    const done = await on.by.settled(task.id)
    assert.equal(done.state, 'completed')
    assert.deepEqual([...new Set(done.attempts.slice(0, -1).map((one) => one.outcome))], ['lost'])
    await second.stop()
    await proxy.mend()
    const next = await on.slow()
    await first.saying(`begun ${next.id}`)
    next.finish()
    assert.equal((await on.by.settled(next.id)).state, 'completed')
    // Its old connections are silent for ever: it finds that out, and makes new ones.
    await proxy.cut()
    await proxy.mend({ forget: true })
    const last = await on.slow()
    await first.saying(`begun ${last.id}`)
    last.finish()
    assert.equal((await on.by.settled(last.id)).state, 'completed')
    await system.check()
  } finally {
    await on.end()
    await proxy.stop()
  }
})

test('what a worker was claiming when it was cut off from PostgreSQL is not locked for the others', {
  skip: postgres.skip,
}, async () => {
  await using system = await postgres.start({ env: withoutWorker, testHandlers })
  const on = await sceneOf(system)
  const proxy = await startProxy(on.databasePort)
  try {
    await on.worker({ database: proxy.port })
    const cut = proxy.cutAfter('the-queue-at-night')
    const [one, two] = await on.by.submit(
      { handler: 'test.noop', input: 1, queue: 'the-queue-at-night' },
      { handler: 'test.noop', input: 2, queue: 'the-queue-at-night' },
    )
    await cut
    await on.worker()
    for (const { id } of [one!, two!]) assert.equal((await on.by.settled(id)).state, 'completed')
    await proxy.mend()
    assert.equal((await on.by.settled((await on.by.dispatch('test.noop')).id)).state, 'completed')
    await system.check()
  } finally {
    await on.end()
    await proxy.stop()
  }
})

test('a worker that is cut off from Redis keeps and settles what it has; others do what comes; then it works on', {
  skip: postgres.skip || noRedis,
}, async () => {
  const redis = await startRedis()
  const proxy = await startProxy(redis.port)
  try {
    await using system = await postgres.start({
      env: { ...withoutWorker, QUEUE_BACKEND: 'redis', REDIS_URL: redis.url },
      testHandlers,
    })
    const on = await sceneOf(system, redis)
    try {
      const first = await on.worker({ redis: proxy.port })
      const kept = await on.slow()
      await first.saying(`begun ${kept.id}`)
      const cut = proxy.cutAfter('the-queue-at-night')
      const few = { handler: 'test.noop', input: 0, queue: 'the-queue-at-night' }
      const during = await on.by.submit(few, few, few)
      await cut
      kept.finish()
      assert.equal((await on.by.settled(kept.id)).state, 'completed')
      const second = await on.worker()
      for (const { id } of [...during, ...(await on.by.submit(few, few))])
        assert.equal((await on.by.settled(id)).state, 'completed')
      await second.stop()
      await proxy.mend({ forget: true })
      const next = await on.slow()
      await first.saying(`begun ${next.id}`)
      next.finish()
      assert.equal((await on.by.settled(next.id)).state, 'completed')
      await system.check()
    } finally {
      await on.end()
    }
  } finally {
    await proxy.stop()
    await redis.stop()
  }
})
