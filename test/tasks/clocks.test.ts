import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ScheduleDetail } from '@writ/api'
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
