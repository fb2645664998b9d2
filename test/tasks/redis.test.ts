import assert from 'node:assert/strict'
import { test } from 'node:test'
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
}
