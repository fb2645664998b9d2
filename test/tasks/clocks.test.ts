import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ScheduleDetail } from '@writ/api'
import type { Handler } from '../../packages/server/src/kinds/task/index.ts'
import { backends } from '../backends.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingRedis, startRedis } from '../servers/redis.ts'
import { until } from '../test-system.ts'
import { dispatcherOf, handlerOf } from './dispatch.ts'

const HOUR = 3_600_000
const text = (at: number) => new Date(at).toISOString()

for (const backend of backends())
  for (const queue of ['database', backend.name === 'sqlite' ? 'memory' : 'redis'] as const)
    test(`a clock that is set by hours, forward and back, starts no task early, twice or never (${queue} on ${backend.name})`, {
      skip: backend.skip || (queue === 'redis' && missingBackend('Redis', missingRedis())),
    }, async () => {
      const redis = queue === 'redis' ? await startRedis() : undefined
      const begun: unknown[] = []
      const open = Promise.withResolvers<null>()
      try {
        await using system = await backend.start({
          fakeClock: true,
          env: { QUEUE_BACKEND: queue, ...(redis ? { REDIS_URL: redis.url } : {}) },
          testHandlers: [
            handlerOf('test.noop', async (input) => {
              begun.push(input)
              return null
            }),
            handlerOf('test.wait', (input) => {
              begun.push(input)
              return open.promise
            }),
          ],
        })
        const { id, number, username } = system.admin
        const by = await dispatcherOf(system.app, { id, number, username, role: 'ops' }, { now: system.now })
        const begunOf = (name: string) => begun.filter((one) => one === name).length
        const schedule = await system.admin.post<ScheduleDetail>('/schedules', {
          name: 'hourly',
          handler: 'test.noop',
          input: 'hourly',
          every_seconds: HOUR / 1_000,
          starts_at: text(system.now() + HOUR),
        })
        assert.equal(schedule.status, 201, JSON.stringify(schedule.body))
        /** Sets the clock, and waits until the worker has seen it and swept by it. */
        const setClock = async (ms: number) => {
          const seen = system.log().split('the clock was set').length
          system.setClock(ms)
          await until(
            'the worker saw that the clock was set',
            async () => system.log().split('the clock was set').length > seen,
          )
          await by.settled((await by.dispatch('test.noop', 'now')).id)
          await system.app.scheduler.tick()
        }
        const start = system.now()
        const running = await by.dispatch('test.wait', 'running')
        await until('it runs', async () => begunOf('running') === 1)
        const delayed = await by.dispatch('test.noop', 'delayed', { run_at: text(start + 2 * HOUR) })
        const far = await by.dispatch('test.noop', 'far', { run_at: text(start + 30 * HOUR) })
        await system.admin.post('/queues/night/pause')
        const waiting = await by.dispatch('test.noop', 'waiting', { queue: 'night' })

        await setClock(5 * HOUR)
        assert.equal((await by.settled(delayed.id)).attempt, 1)
        await setClock(-10 * HOUR)
        assert.equal((await by.find(running.id)).state, 'running')
        // What waits since before the clock went back does not wait until it comes there again.
        assert.equal((await system.admin.post('/queues/night/resume')).status, 200)
        assert.equal((await by.settled(waiting.id)).attempt, 1)
        await setClock(10 * HOUR)
        assert.equal((await by.find(far.id)).state, 'pending')
        open.resolve(null)
        const done = await by.settled(running.id)
        assert.deepEqual([done.state, done.attempt], ['completed', 1])
        await setClock(40 * HOUR)
        assert.equal((await by.settled(far.id)).attempt, 1)
        await until('nothing waits', async () => {
          const rows = await by.read((tx) => tx.db.selectFrom('queue').select('run_id').execute())
          return rows.length === 0
        })
        for (const name of ['running', 'delayed', 'far', 'waiting']) assert.equal(begunOf(name), 1, name)
        const fires = await by.read((tx) =>
          tx.db.selectFrom('schedule_fires').select(['due_at', 'outcome']).orderBy('due_at').execute(),
        )
        const started = fires.filter((fire) => fire.outcome === 'started')
        assert.equal(begunOf('hourly'), started.length)
        assert.equal(new Set(fires.map((fire) => fire.due_at)).size, fires.length)
        assert.ok(started.length > 0 && started.every((fire) => fire.due_at <= system.now()))
        await system.check()
      } finally {
        await redis?.stop()
      }
    })

for (const backend of backends())
  for (const queue of ['database', backend.name === 'sqlite' ? 'memory' : 'redis'] as const)
    test(`when the clock goes back, what waits for a try, a place, a start, a task or calm waits no longer than it would have (${queue} on ${backend.name})`, {
      skip: backend.skip || (queue === 'redis' && missingBackend('Redis', missingRedis())),
    }, async () => {
      const redis = queue === 'redis' ? await startRedis() : undefined
      const begun: unknown[] = []
      const open = Promise.withResolvers<null>()
      const failOnce: Handler['run'] = async (input, ctx) => {
        begun.push(`${input} ${ctx.attempt}`)
        if (ctx.attempt === 1) throw new Error('not yet')
        return null
      }
      try {
        await using system = await backend.start({
          fakeClock: true,
          env: { QUEUE_BACKEND: queue, ...(redis ? { REDIS_URL: redis.url } : {}) },
          testHandlers: [
            handlerOf('test.wait', () => open.promise, { perKey: { concurrency: 1, rate: null } }),
            handlerOf('test.rated', async () => null, {
              perKey: { concurrency: null, rate: { limit: 1, periodMs: 60_000 } },
            }),
            handlerOf('test.flaky', failOnce, { maxAttempts: 2 }),
            handlerOf('test.keyed', failOnce, { maxAttempts: 2, perKey: { concurrency: 1, rate: null } }),
            handlerOf('test.noop', async () => null),
          ],
        })
        const { id, number, username } = system.admin
        const by = await dispatcherOf(system.app, { id, number, username, role: 'ops' }, { now: system.now })
        const waiting = async (ref: string, what: string) =>
          await until(`${ref} waits for ${what}`, async () => (await by.find(ref)).waiting_for === what)
        const first = await by.dispatch('test.wait', 'first', { concurrency_key: 'one' })
        await until('it runs', async () => (await by.find(first.id)).state === 'running')
        const second = await by.dispatch('test.wait', 'second', { concurrency_key: 'one' })
        const after = await by.dispatch('test.noop', 'after', { depends_on: [first.id] })
        await by.settled((await by.dispatch('test.rated', 1, { concurrency_key: 'rate' })).id)
        const rated = await by.dispatch('test.rated', 2, { concurrency_key: 'rate' })
        const flaky = await by.dispatch('test.flaky', 'flaky')
        const keyed = await by.dispatch('test.keyed', 'keyed', { concurrency_key: 'other' })
        const later = await by.dispatch('test.noop', 'later', {
          concurrency_key: 'named',
          run_at: text(system.now() + HOUR),
        })
        const debounce = { wait_ms: 30_000 }
        const debounced = await by.dispatch('test.noop', 'debounced', { unique_key: 'calm', debounce })
        await by.dispatch('test.noop', 'debounced again', { unique_key: 'calm', debounce: { wait_ms: 20_000 } })
        const both = await by.dispatch('test.noop', 'both', {
          unique_key: 'both',
          debounce,
          depends_on: [first.id],
        })
        await waiting(second.id, 'concurrency_key')
        await waiting(after.id, 'dependencies')
        await waiting(rated.id, 'concurrency_key')
        await waiting(flaky.id, 'time')
        await waiting(keyed.id, 'time')

        const seen = system.log().split('the clock was set').length
        system.setClock(-10 * HOUR)
        await until('the worker saw it', async () => system.log().split('the clock was set').length > seen)
        open.resolve(null)
        assert.equal((await by.settled(second.id)).attempt, 1)
        assert.equal((await by.settled(after.id)).attempt, 1)
        // Not at once: the span is as long as it was.
        assert.deepEqual(
          [(await by.find(flaky.id)).attempt, (await by.find(keyed.id)).attempt, (await by.find(rated.id)).state],
          [1, 1, 'pending'],
        )
        system.advance(2_000)
        assert.equal((await by.settled(flaky.id)).attempt, 2)
        assert.equal((await by.settled(keyed.id)).attempt, 2)
        assert.deepEqual(
          [(await by.find(rated.id)).state, (await by.find(debounced.id)).state, (await by.find(both.id)).state],
          ['pending', 'pending', 'pending'],
        )
        system.advance(18_000)
        assert.equal((await by.settled(debounced.id)).attempt, 1)
        assert.equal((await by.find(both.id)).state, 'pending')
        system.advance(10_000)
        assert.equal((await by.settled(both.id)).attempt, 1)
        assert.equal((await by.find(rated.id)).state, 'pending')
        system.advance(32_000)
        assert.equal((await by.settled(rated.id)).attempt, 1)
        // A time that somebody named is that time.
        assert.equal((await by.find(later.id)).state, 'pending')
        system.setClock(11 * HOUR)
        assert.equal((await by.settled(later.id)).attempt, 1)
        await system.check()
      } finally {
        await redis?.stop()
      }
    })
