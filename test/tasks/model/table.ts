/** A server on which one program after the other is played and judged. */
import assert from 'node:assert/strict'
import { Redis } from 'ioredis'
import { backends } from '../../backends.ts'
import type { Table } from '../../play-programs.ts'
import { type RedisServer, startRedis } from '../../servers/redis.ts'
import type { StartOptions, TestSystem } from '../../test-system.ts'
import { judge, judgeViews } from './judge.ts'
import { play } from './play.ts'
import type { Order } from './program.ts'
import { createWorld } from './world.ts'

export type Store = 'sqlite' | 'memory' | 'postgres' | 'redis' | 'redis-postgres'

const stores = backends()
let tables = 0

export async function openTable(store: Store): Promise<Table<Order>> {
  const redis = store.startsWith('redis') ? await startRedis() : undefined
  const database = stores.find(({ name }) => name === (store.endsWith('postgres') ? 'postgres' : 'sqlite'))!
  let system: TestSystem | undefined
  const world = createWorld(() => system!.now())
  const options: StartOptions = {
    testHandlers: world.handlers,
    fakeClock: true,
    env: {
      WRIT_SHUTDOWN_GRACE_SECONDS: '0',
      ...(store === 'memory' ? { QUEUE_BACKEND: 'memory' } : {}),
      ...(redis ? { QUEUE_BACKEND: 'redis', REDIS_URL: redis.url } : {}),
    },
  }
  system = await database.start(options)
  const [found] = await system.app.db.lookup<{ id: string }>("select id from projects where slug = 'default'", [])
  const run = `m${tables++}`
  let programs = 0
  return {
    async play(orders, tell) {
      world.clear()
      const prefix = `${run}-${programs++}`
      const before = await settledSoFar(system!)
      const played = await play(
        {
          system: system!,
          world,
          project: found!.id,
          prefix,
          ...(tell ? { tell } : {}),
          ...(redis ? { loseLine: () => emptied(redis) } : {}),
        },
        orders,
      )
      judge(played, { apart: store.endsWith('postgres') })
      await judgeViews(system!.admin, played)
      await leftOver(system!)
      // Counted since the process began.
      if (!world.history.some(({ type }) => type === 'restarted'))
        assert.deepEqual(
          await settledSoFar(system!),
          played.rows.reduce((all, { state }) => all.set(state, (all.get(state) ?? 0) + 1), before),
          'each end is counted once',
        )
      await system!.check()
    },
    async [Symbol.asyncDispose]() {
      await system?.[Symbol.asyncDispose]()
      await redis?.stop()
    },
  }
}

let losses = 0

/** Somebody empties it, or it dies and comes back with nothing. */
async function emptied(redis: RedisServer): Promise<void> {
  if (losses++ % 2 === 1) {
    await redis.kill9()
    return redis.restart({ empty: true })
  }
  const operator = new Redis(redis.url)
  await operator.flushall()
  await operator.quit()
}

/** How many tasks the metrics say have ended so. */
async function settledSoFar({ admin }: TestSystem): Promise<Map<string, number>> {
  const { body } = await admin.get<string>('//metrics')
  const lines = body.matchAll(/^writ_runs_settled_total\{kind="task",outcome="(\w+)"\} ([0-9]+)$/gm)
  return new Map([...lines].map(([, state, count]) => [state!, Number(count)]))
}

/** Of tasks that have all ended nothing is left but their rows. */
async function leftOver({ app, admin }: TestSystem): Promise<void> {
  for (const name of ['queue', 'held', 'dependencies', 'unique_keys', 'timers'])
    assert.deepEqual(await app.db.lookup(`select * from ${name}`, []), [], `${name} is empty`)
  const { body } = await admin.get<{ waiting: number; delayed: number; in_flight: number }[]>('/queues')
  for (const queue of body) assert.deepEqual([queue.waiting, queue.delayed, queue.in_flight], [0, 0, 0])
}
