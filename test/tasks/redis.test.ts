import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { backends } from '../backends.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingRedis, startRedis } from '../servers/redis.ts'
import { until } from '../test-system.ts'
import { dispatcherOf } from './dispatch.ts'
import { loadHandlers } from './load-handlers.ts'

const noRedis = missingBackend('Redis', missingRedis())

for (const backend of backends()) {
  test(`a server whose Redis dies and comes back empty settles every task once (${backend.name})`, {
    skip: noRedis || backend.skip,
  }, async () => {
    const redis = await startRedis({ password: 'tasks-canary-0815' })
    try {
      await using system = await backend.start({
        testHandlers: loadHandlers,
        env: { QUEUE_BACKEND: 'redis', REDIS_URL: redis.url },
      })
      const { id, number, username } = system.admin
      const by = await dispatcherOf(system.app, { id, number, username, role: 'ops' })
      const give = (count: number) =>
        by.submit(...Array.from({ length: count }, (_, n) => ({ handler: 'test.noop', input: { n }, priority: n % 3 })))
      const degraded = async () => {
        const seen = (await (await fetch(`${system.base}/readyz`)).json()) as { degraded?: Record<string, string> }
        return seen.degraded?.queue
      }
      const before = await give(100)
      await by.settled(before.at(-1)!.id)
      await redis.kill9()
      await until('the outage is seen', async () => (await degraded()) !== undefined)
      const meanwhile = await give(100)
      // What this server begins at once does not ask Redis; the rest waits for it.
      assert.notEqual((await by.find(meanwhile[0]!.id)).state, 'failed')
      await redis.restart({ empty: true })
      const afterwards = await give(100)
      for (const one of [...before, ...meanwhile, ...afterwards])
        assert.equal((await by.settled(one.id)).state, 'completed')
      await until('the end of the outage is seen', async () => (await degraded()) === undefined)
      await system.check()
      assert.doesNotMatch(system.log(), /canary-0815/)
    } finally {
      await redis.stop()
    }
  })

  test(`a server whose Redis is full counts what it refuses, and loses nothing (${backend.name})`, {
    skip: noRedis || backend.skip,
  }, async () => {
    const redis = await startRedis()
    const operator = new Redis(redis.url)
    try {
      await using system = await backend.start({
        testHandlers: loadHandlers,
        env: { QUEUE_BACKEND: 'redis', REDIS_URL: redis.url, WRIT_TASK_CONCURRENCY: '1' },
      })
      const { id, number, username } = system.admin
      const by = await dispatcherOf(system.app, { id, number, username, role: 'ops' })
      const give = (count: number) =>
        by.submit(...Array.from({ length: count }, (_, n) => ({ handler: 'test.noop', input: { n } })))
      const refusals = async () =>
        /^writ_queue_redis_refusals_total\{code="OOM"\} (\d+)$/m.exec(
          await (await fetch(`${system.base}/metrics`)).text(),
        )?.[1]
      assert.equal(await refusals(), '0')
      const before = await give(200)
      await operator.config('SET', 'maxmemory', 1)
      const meanwhile = await give(50)
      await until('it is counted', async () => Number(await refusals()) > 0)
      await operator.config('SET', 'maxmemory', 0)
      for (const one of [...before, ...meanwhile]) assert.equal((await by.settled(one.id)).state, 'completed')
      await system.check()
    } finally {
      operator.disconnect()
      await redis.stop()
    }
  })
}
