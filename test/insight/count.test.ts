/** What is counted of runs: once each, from the log, by handler, queue and time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { InsightCounts } from '@writ/api'
import { backends } from '../backends.ts'
import { execute } from '../privacy/database.ts'
import { dispatcherOf, handlerOf } from '../tasks/dispatch.ts'

interface Insight {
  step: string
  behind: boolean
  total: InsightCounts
  buckets: ({ at: string } & InsightCounts)[]
  handlers: ({ handler: string } & InsightCounts)[]
  queues: ({ queue: string } & InsightCounts)[]
}

const fine = handlerOf('test.fine', async () => null)
const bad = handlerOf('test.bad', async () => {
  throw new Error('as a test wants it')
})
const paid = handlerOf('test.paid', async (_, { cost }) => {
  cost(0.1, 'model')
  cost(0.2)
})
const HOUR = 3_600_000
const text = (at: number) => new Date(at).toISOString()

for (const backend of backends()) {
  test(`each run is counted once, by handler, queue and time (${backend.name})`, { skip: backend.skip }, async () => {
    await using system = await backend.start({ testHandlers: [fine, bad, paid], fakeClock: true })
    const by = await dispatcherOf(system.app, { ...system.admin, role: 'admin' }, { now: system.now })
    const began = system.now()
    const ended = async (handler: string, more = {}) => by.settled((await by.dispatch(handler, {}, more)).id)
    for (let i = 0; i < 5; i++) await ended('test.fine')
    await ended('test.fine', { queue: 'night' })
    for (let i = 0; i < 2; i++) await ended('test.bad')
    for (let i = 0; i < 3; i++) await ended('test.paid')
    const later = await by.dispatch('test.fine', {}, { run_at: text(began + HOUR) })
    assert.equal((await system.admin.post(`/tasks/${later.id}/cancel`, {})).status, 200)
    system.advance(2 * HOUR)
    await ended('test.fine')
    await system.settle()
    const ask = async (more = '') => {
      const answer = await system.admin.get<Insight>(
        `/insight?from=${text(began - HOUR)}&to=${text(began + 4 * HOUR)}${more}`,
      )
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
      return answer.body
    }
    // Servers that count at the same time do not count twice.
    await Promise.all([system.app.counter.round(), system.app.counter.round(), system.app.counter.round()])
    await system.app.counter.round()
    const all = await ask()
    const { ended: n, failed, cancelled } = all.total
    assert.deepEqual([n, failed, cancelled], [13, 2, 1])
    assert.deepEqual([all.step, all.behind], ['minute', false])
    assert.deepEqual(all.handlers.map((one) => [one.handler, one.ended, one.failed, one.cost_usd]).sort(), [
      ['test.bad', 2, 2, 0],
      ['test.fine', 8, 0, 0],
      ['test.paid', 3, 0, 0.9],
    ])
    assert.deepEqual(all.queues.map((one) => [one.queue, one.ended]).sort(), [
      ['api', 12],
      ['night', 1],
    ])
    assert.deepEqual(
      all.total.error_codes.map(({ count }) => count).reduce((a, b) => a + b),
      3,
    )
    assert.ok(all.total.ran_ms !== null && all.total.ran_ms.p50 <= all.total.ran_ms.p99)
    // The last was two hours later.
    assert.equal(all.buckets.at(-1)?.ended, 1)
    assert.ok(Date.parse(all.buckets.at(-1)!.at) - Date.parse(all.buckets[0]!.at) >= 2 * HOUR - 60_000)
    assert.equal((await ask('&handler=test.bad')).total.ended, 2)
    assert.equal((await ask('&queue=night')).total.ended, 1)

    // The same by hour and by day: the sum does not depend on the step.
    for (const [days, step] of [
      [10, 'hour'],
      [200, 'day'],
    ] as const) {
      const from = text(system.now() - days * 24 * HOUR)
      const wide = (await system.admin.get<Insight>(`/insight?from=${from}`)).body
      const { ended, failed, cost_usd } = wide.total
      assert.deepEqual([wide.step, ended, failed, cost_usd], [step, 13, 2, 0.9])
    }

    // Appends of which nobody noted whether they tell of ends are read, from the middle of one as well as from its beginning.
    for (const sql of [
      'delete from run_stats',
      'update audit_appends set ends = null',
      'update run_stats_cursors set log_index = 0',
    ])
      await execute(system, sql)
    await system.app.counter.round()
    assert.deepEqual((await ask()).total, all.total)
    await system.check()
  })
}

const [sqlite] = backends()

test('a period that cannot be is refused, and so is whoever may not see everything', async () => {
  await using system = await sqlite!.start()
  const code = async (query: string) => (await system.admin.get<{ code: string }>(`/insight?${query}`)).body.code
  assert.equal(await code(`from=${text(2_000)}&to=${text(1_000)}`), 'INSIGHT_PERIOD_INVALID')
  assert.equal(await code(`from=${text(0)}&to=${text(401 * 24 * HOUR)}`), 'INSIGHT_PERIOD_INVALID')
  assert.equal((await system.employee.get(`/insight?from=${text(0)}`)).status, 403)
})
