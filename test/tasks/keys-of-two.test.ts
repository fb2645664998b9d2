/** Two servers on one PostgreSQL: what operators allow under a concurrency key holds over both together. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { App } from '../../packages/server/src/app.ts'
import { backends } from '../backends.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingRedis, startRedis } from '../servers/redis.ts'
import { type TestSystem, until } from '../test-system.ts'
import { dispatcherOf, handlerOf } from './dispatch.ts'
import { openSecond } from './second.ts'

/** Of one queue each server does two at once: three that run are on both. */
const EACH = 2
const KEY = 'customer 17'
const env = { WRIT_TASK_CONCURRENCY: String(EACH) }

const [, postgres] = backends()
const noRedis = missingBackend('Redis', missingRedis())

test('two servers on one PostgreSQL start no more under a key than operators allow', {
  skip: postgres!.skip,
}, async (t) => {
  const work = handlers()
  await using system = await postgres!.start({ testHandlers: work.of('first'), env })
  await t.test('queue in the database', () => runBoth(system, work, env))
  await t.test('queue in Redis', { skip: noRedis }, async () => {
    const redis = await startRedis()
    try {
      const inRedis = { ...env, QUEUE_BACKEND: 'redis', REDIS_URL: redis.url }
      await system.restart({ env: inRedis })
      await runBoth(system, work, inRedis)
    } finally {
      await system.stop()
      await redis.stop()
    }
  })
})

/** Of both servers: what runs, with what lets it go, and how many did at most. */
function handlers() {
  const running = new Map<string, () => void>()
  let most = 0
  const note = (label: string, letGo: () => void) => {
    running.set(label, letGo)
    most = Math.max(most, running.size)
  }
  return {
    running,
    most: () => most,
    /** From now on. */
    countAnew: () => {
      most = running.size
    },
    of: (server: string) => [
      handlerOf('test.held', async (input) => {
        const label = `${server} ${input}`
        await new Promise<void>((resolve) => note(label, resolve))
        running.delete(label)
        return server
      }),
      handlerOf('test.quick', async (input) => {
        const label = `${server} ${input}`
        note(label, () => {})
        await nextTurn()
        running.delete(label)
        return server
      }),
    ],
  }
}

async function runBoth(
  system: TestSystem,
  work: ReturnType<typeof handlers>,
  env: Record<string, string>,
): Promise<void> {
  const { running } = work
  await using both = await openSecond(system, work.of('second'), env)
  const second = both.app
  const person = { ...system.admin, role: 'ops' as const }
  const [one, other] = [await dispatcherOf(system.app, person), await dispatcherOf(second, person)]
  const limit = (by: typeof one, app: App, concurrency: number) =>
    by.write((tx) => app.tasks.limitKey(tx, by.caller, { key: KEY, concurrency, reason: 'slow today' }))
  const send = (by: typeof one, handler: string, labels: readonly string[]) =>
    by.submit(...labels.map((input) => ({ handler, input, concurrency_key: KEY })))
  const labels = (from: string, n: number) => Array.from({ length: n }, (_, i) => `${from}${i}`)

  work.countAnew()
  // Many that end at once, accepted and settled by both at the same time: every end is a race for the next place.
  await limit(one, system.app, 2)
  const quick = await Promise.all(
    [one, other, one, other].map((by, i) => send(by, 'test.quick', labels(`quick ${i} `, 15))),
  )
  for (const { id } of quick.flat()) assert.equal((await one.settled(id)).state, 'completed')
  assert.ok(work.most() <= 2, `${work.most()} ran at once`)

  await limit(other, second, 3)
  work.countAnew()
  const held = (
    await Promise.all([send(one, 'test.held', labels('a', 6)), send(other, 'test.held', labels('b', 6))])
  ).flat()
  const servers = () => new Set([...running.keys()].map((label) => label.split(' ')[0]))
  await until('three run', async () => running.size === 3)
  assert.equal(servers().size, 2, 'on both')
  const keyOf = async () =>
    (await one.read((tx) => system.app.tasks.listKeys(tx, Date.now(), { limit: 100, skip: 0, after: undefined }))).find(
      ({ key }) => key === KEY,
    )!
  assert.deepEqual([(await keyOf()).active, (await keyOf()).waiting], [3, 9])

  // Fewer from now on, said on the other server: what has its place keeps it, and one follows one.
  await limit(one, system.app, 1)
  for (const letGo of running.values()) letGo()
  await until('one runs', async () => running.size === 1 && (await keyOf()).waiting === 8)
  assert.equal(work.most(), 3)
  work.countAnew()
  for (let left = 8; left > 4; left--) {
    const [last] = running.entries()
    last![1]()
    await until('the next one runs', async () => running.size === 1 && !running.has(last![0]))
  }
  assert.equal(work.most(), 1)

  // Any number again: as many as both can do.
  await other.write((tx) => second.tasks.liftKeyLimit(tx, other.caller, KEY, null))
  await until('both are full', async () => running.size === 2 * EACH)
  for (const { id } of held) {
    for (const letGo of running.values()) letGo()
    await until('it has ended', async () => {
      for (const letGo of running.values()) letGo()
      return (await one.find(id)).completed_at !== null
    })
  }
  await system.settle()
  await system.check()
}
