import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { ConcurrencyKey } from '@writ/api'
import type { Handler } from '../../packages/server/src/kinds/task/index.ts'
import { type Backend, backends } from '../backends.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingRedis, startRedis } from '../servers/redis.ts'
import { type TestSystem, until } from '../test-system.ts'
import { type Dispatcher, dispatcherOf, handlerOf } from './dispatch.ts'

/** Handlers that run until they are let go, under limits of their keys; what runs and ran is written down. */
function handlers() {
  const running = new Set<string>()
  const started: string[] = []
  const open = new Map<string, () => void>()
  const gate = (name: string, more: Partial<Handler>) =>
    handlerOf(
      name,
      async (input, ctx) => {
        const label = String(input)
        started.push(label)
        running.add(label)
        await new Promise<void>((resolve, reject) => {
          open.set(label, resolve)
          ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason), { once: true })
        })
        running.delete(label)
        return label
      },
      more,
    )
  const note: Handler['run'] = async (input) => {
    started.push(String(input))
    return input
  }
  return {
    running,
    started,
    letGo: (label: string) => open.get(label)?.(),
    list: [
      gate('test.two', { perKey: { concurrency: 2, rate: null } }),
      gate('test.single', { perKey: { concurrency: 1, rate: null } }),
      handlerOf('test.rated', note, { perKey: { concurrency: null, rate: { limit: 2, periodMs: 60_000 } } }),
      gate('test.narrow', { concurrency: 1 }),
      handlerOf('test.echo', note),
      handlerOf(
        'test.flaky',
        async (input, ctx) => {
          started.push(`${input} ${ctx.attempt}`)
          if (ctx.attempt === 1) throw new Error('not yet')
          return 'done'
        },
        { maxAttempts: 2, perKey: { concurrency: 1, rate: null } },
      ),
      handlerOf('test.pauses', async (input, ctx) => {
        const { until: end, key = ctx.concurrencyKey! } = input as { until: number; key?: string }
        await ctx.pauseKey(key, end)
        return key
      }),
    ],
  }
}

type KeyState = ConcurrencyKey | undefined
const OPEN = { paused_until: null, paused_at: null, paused_by_id: null, paused_by_run_id: null, paused_reason: null }
type Scenario = (on: {
  system: TestSystem
  by: Dispatcher
  work: ReturnType<typeof handlers>
  keyOf(name: string): Promise<KeyState>
}) => Promise<void>
const scenarios: { title: string; run: Scenario }[] = []
const scenario = (title: string, run: Scenario) => scenarios.push({ title, run })

/** One server for all: no scenario names a key that another one has. */
async function runAll(t: TestContext, start: Backend['start'], env: Record<string, string>): Promise<void> {
  const work = handlers()
  await using system = await start({ testHandlers: work.list, fakeClock: true, env })
  const by = await dispatcherOf(system.app, { ...system.admin, role: 'ops' }, { now: system.now })
  const keyOf = async (name: string) =>
    (
      await by.read((tx) => system.app.tasks.listKeys(tx, system.now(), { limit: 100, skip: 0, after: undefined }))
    ).find(({ key }) => key === name)
  for (const { title, run } of scenarios)
    await t.test(title, async () => {
      work.started.length = 0
      await run({ system, by, work, keyOf })
    })
  await system.check()
}

const noRedis = missingBackend('Redis', missingRedis())

const stores = backends()
for (const { name, skip, start } of stores) test(`concurrency keys (${name})`, { skip }, (t) => runAll(t, start, {}))

// What holds tasks back is none of the queue's business.
test('concurrency keys (redis on sqlite)', { skip: noRedis }, async (t) => {
  const redis = await startRedis()
  try {
    await runAll(t, stores[0]!.start, { QUEUE_BACKEND: 'redis', REDIS_URL: redis.url })
  } finally {
    await redis.stop()
  }
})

scenario('under one key as many run as its handler allows, and nobody else waits for them', async (on) => {
  const { by, work, keyOf } = on
  const labels = ['a', 'b', 'c', 'd', 'e']
  const all = await by.submit(
    ...labels.map((input) => ({ handler: 'test.two', input, concurrency_key: 'customer 17' })),
  )
  await until('two run', async () => work.running.size === 2)
  const other = await by.dispatch('test.two', 'other', { concurrency_key: 'customer 18' })
  const plain = await by.dispatch('test.echo', 'plain')
  assert.equal((await by.settled(plain.id)).state, 'completed')
  await until('the other key has its own place', async () => work.running.has('other'))
  assert.deepEqual([...work.running].sort(), ['a', 'b', 'other'])
  assert.deepEqual(await keyOf('customer 17'), {
    key: 'customer 17',
    active: 2,
    waiting: 3,
    ...OPEN,
    limits: [],
  })
  const held = await by.find(all[4]!.id)
  assert.deepEqual([held.state, held.waiting_for, held.concurrency_key], ['pending', 'concurrency_key', 'customer 17'])
  for (const [i, label] of labels.entries()) {
    await until(`${label} runs`, async () => work.running.has(label))
    assert.ok([...work.running].filter((one) => one !== 'other').length <= 2)
    work.letGo(label)
    await by.settled(all[i]!.id)
  }
  work.letGo('other')
  await by.settled(other.id)
  assert.equal(await keyOf('customer 17'), undefined)
})

scenario('the urgent of a key is next, and one that is cancelled makes no room that it had not', async (on) => {
  const { system, by, work, keyOf } = on
  const key = { concurrency_key: 'k' }
  const first = await by.dispatch('test.single', 'first', key)
  await until('the first runs', async () => work.running.has('first'))
  const [usual, gone, urgent] = await by.submit(
    { handler: 'test.single', input: 'usual', ...key },
    { handler: 'test.single', input: 'gone', ...key },
    { handler: 'test.single', input: 'urgent', priority: 5, ...key },
  )
  const cancelled = await by.write((tx) => system.app.tasks.cancel(tx, by.caller, gone!.id, null))
  assert.equal(cancelled.state, 'cancelled')
  assert.deepEqual(await keyOf('k'), { key: 'k', active: 1, waiting: 2, ...OPEN, limits: [] })
  for (const [label, { id }] of [
    ['first', first],
    ['urgent', urgent!],
    ['usual', usual!],
  ] as const) {
    await until(`${label} runs`, async () => work.running.has(label))
    work.letGo(label)
    await by.settled(id)
  }
  assert.deepEqual(work.started, ['first', 'urgent', 'usual'])
})

scenario('under one key so many start in a while, and the next when there is a token again', async (on) => {
  const { system, by, work, keyOf } = on
  const all = await by.submit(
    ...['1', '2', '3', '4'].map((input) => ({ handler: 'test.rated', input, concurrency_key: 'r' })),
  )
  for (const { id } of all.slice(0, 2)) await by.settled(id)
  assert.deepEqual(await keyOf('r'), { key: 'r', active: 0, waiting: 2, ...OPEN, limits: [] })
  system.advance(29_999)
  await system.app.tasks.admitDue()
  assert.equal((await keyOf('r'))?.waiting, 2)
  system.advance(1)
  await by.settled(all[2]!.id)
  assert.equal((await keyOf('r'))?.waiting, 1)
  system.advance(30_000)
  await by.settled(all[3]!.id)
  assert.deepEqual(work.started, ['1', '2', '3', '4'])
})

scenario('a paused key starts nothing until its time, or until somebody resumes it', async (on) => {
  const { system, by, work, keyOf } = on
  const { tasks } = system.app
  const at = (ms: number) => system.now() + ms
  await assert.rejects(
    by.write((tx) => tasks.pauseKey(tx, by.caller, { key: 'p', until: at(0) })),
    { code: 'KEY_PAUSE_INVALID' },
  )
  const pauses = await by.dispatch('test.pauses', { until: at(60_000) }, { concurrency_key: 'p' })
  assert.equal((await by.settled(pauses.id)).result, 'p')
  const held = await by.dispatch('test.echo', 'held', { concurrency_key: 'p' })
  await by.settled((await by.dispatch('test.echo', 'free')).id)
  assert.equal((await by.find(held.id)).waiting_for, 'concurrency_key')
  const told = await keyOf('p')
  assert.deepEqual([told?.waiting, told?.paused_by_run_id, told?.paused_by_id], [1, pauses.id, null])
  // What it waits for first is told: a key is no matter before its time, and none of one that has no key.
  const soon = { run_at: new Date(at(30_000)).toISOString() }
  const late = await by.dispatch('test.echo', 'late', { concurrency_key: 'p', ...soon })
  const alone = await by.dispatch('test.echo', 'alone', soon)
  const waits = async () => Promise.all([late, alone].map(async ({ id }) => (await by.find(id)).waiting_for))
  assert.deepEqual(await waits(), ['time', 'time'])
  system.advance(40_000)
  await by.settled(alone.id)
  assert.deepEqual(await waits(), ['concurrency_key', null])
  await by.write((tx) => tasks.cancel(tx, by.caller, late.id, null))
  system.advance(20_000)
  await by.settled(held.id)
  await by.write((tx) => tasks.pauseKey(tx, by.caller, { key: 'p', until: at(3_600_000) }))
  // A task that is told to wait longer takes it over, and that is on record; another one says no more than that it is a moment longer.
  for (const [input, until] of [
    ['first', at(7_200_000)],
    ['second', at(7_200_001)],
  ] as const) {
    const longer = await by.dispatch('test.pauses', { until, key: 'p' }, { tags: [input] })
    await by.settled(longer.id)
    assert.equal((await keyOf('p'))?.paused_by_run_id, longer.id)
  }
  const again = await by.dispatch('test.echo', 'again', { concurrency_key: 'p' })
  assert.equal((await by.find(again.id)).waiting_for, 'concurrency_key')
  await by.write((tx) => tasks.resumeKey(tx, by.caller, 'p'))
  await by.settled(again.id)
  assert.deepEqual(work.started, ['free', 'alone', 'held', 'again'])
  await system.settle()
  const events =
    await system.admin.get<{ event_type: string; actor_username: string; details: { key: string } }[]>(
      '/audit/events?limit=50',
    )
  assert.deepEqual(
    events.body
      .filter(({ event_type }) => event_type.startsWith('concurrency_key.'))
      .map(({ event_type, details }) => [event_type, details.key])
      .toReversed(),
    [
      ['concurrency_key.paused', 'p'],
      ['concurrency_key.paused', 'p'],
      ['concurrency_key.paused', 'p'],
      ['concurrency_key.resumed', 'p'],
    ],
  )
})

scenario('what was admitted and did not begin when its key was paused goes back, uncounted', async (on) => {
  const { system, by, work, keyOf } = on
  const { tasks } = system.app
  await by.settled((await by.dispatch('test.echo', 'first', { queue: 'night' })).id)
  await by.write((tx) => tasks.pauseQueue(tx, by.caller, 'night', {}))
  const admitted = await by.dispatch('test.echo', 'late', { queue: 'night', concurrency_key: 'q' })
  assert.equal((await keyOf('q'))?.active, 1)
  await by.write((tx) => tasks.pauseKey(tx, by.caller, { key: 'q', until: system.now() + 60_000 }))
  await by.write((tx) => tasks.resumeQueue(tx, by.caller, 'night', undefined))
  await until('it went back', async () => (await keyOf('q'))?.waiting === 1)
  system.advance(60_000)
  const done = await by.settled(admitted.id)
  assert.deepEqual([done.attempt, done.attempts.length], [1, 1])
  assert.deepEqual(work.started, ['first', 'late'])
})

scenario('tasks are listed, counted and cancelled by the key that they are under', async ({ system, by }) => {
  const { admin } = system
  const later = { run_at: '2999-01-01T00:00:00Z' }
  const under = async (key: string | null) =>
    (await by.dispatch('test.echo', key, { ...later, ...(key === null ? {} : { concurrency_key: key }) })).id
  const [one, , two] = [await under('客户 1'), await under('客户 10'), await under('客户 1'), await under(null)]
  const filter = { concurrency_key: '客户 1' }
  const query = new URLSearchParams(filter)
  const list = await admin.get<{ id: string }[]>(`/tasks?${query}`)
  assert.deepEqual(
    list.body.map(({ id }) => id),
    [two, one],
  )
  assert.equal(list.headers.get('x-total-count'), '2')
  assert.equal((await admin.get('/tasks?concurrency_key=')).status, 422)
  const counted = await admin.post<{ count: number }>('/tasks/preview', { ...filter, open: true })
  assert.equal(counted.body.count, 2)
  const cancelled = await admin.post<{ cancelled: number }>('/tasks/cancel', filter)
  assert.equal(cancelled.body.cancelled, 2)
  assert.equal((await admin.get<unknown[]>(`/tasks?${query}&state=cancelled`)).body.length, 2)
})

scenario('between its attempts a task leaves its place under its key to others', async (on) => {
  const { system, by, work } = on
  const flaky = await by.dispatch('test.flaky', 'flaky', { concurrency_key: 'f' })
  await until('it failed once', async () => (await by.find(flaky.id)).attempts[0]?.outcome === 'failed')
  const other = await by.dispatch('test.single', 'other', { concurrency_key: 'f' })
  await until('the other runs', async () => work.running.has('other'))
  // Longer than it waits, and not as long as a lease.
  system.advance(5_000)
  await system.app.tasks.admitDue()
  assert.equal((await by.find(flaky.id)).waiting_for, 'concurrency_key')
  work.letGo('other')
  await by.settled(other.id)
  const done = await by.settled(flaky.id)
  assert.deepEqual([done.state, done.attempt], ['completed', 2])
  assert.deepEqual(work.started, ['flaky 1', 'other', 'flaky 2'])
})

scenario('a task that waits for its key ends at its deadline, or with its queue', async (on) => {
  const { system, by, work, keyOf } = on
  const first = await by.dispatch('test.single', 'first', { concurrency_key: 'd' })
  await until('the first runs', async () => work.running.has('first'))
  const late = await by.dispatch('test.single', 'late', {
    concurrency_key: 'd',
    deadline_at: new Date(system.now() + 1_000).toISOString(),
  })
  const drained = await by.dispatch('test.single', 'drained', { concurrency_key: 'd' })
  system.advance(1_000)
  assert.equal((await by.settled(late.id)).error_code, 'DEADLINE_EXCEEDED')
  await by.write((tx) => system.app.tasks.drainQueue(tx, by.caller, 'api', 10))
  assert.equal((await by.settled(drained.id)).state, 'cancelled')
  work.letGo('first')
  await by.settled(first.id)
  assert.equal(await keyOf('d'), undefined)
})

scenario('an operator allows less under a key, or more, and what waits is started by that at once', async (on) => {
  const { system, by, work, keyOf } = on
  const { tasks } = system.app
  const limit = (asked: Partial<Parameters<typeof tasks.limitKey>[2]>) =>
    by.write((tx) => tasks.limitKey(tx, by.caller, { key: 'l', reason: 'slow today', ...asked }))
  await assert.rejects(limit({}), { code: 'KEY_LIMIT_EMPTY' })
  await assert.rejects(limit({ concurrency: 1, until: system.now() }), { code: 'KEY_LIMIT_OVER' })
  await assert.rejects(limit({ concurrency: 1, handler: 'test.none' }), { code: 'HANDLER_UNKNOWN' })
  assert.equal(await keyOf('l'), undefined)

  await limit({ concurrency: 1 })
  const labels = ['a', 'b', 'c', 'd']
  const all = await by.submit(...labels.map((input) => ({ handler: 'test.two', input, concurrency_key: 'l' })))
  await until('one runs', async () => work.running.has('a'))
  assert.deepEqual([(await keyOf('l'))?.active, (await keyOf('l'))?.waiting], [1, 3])
  // For its handler more than for all.
  const shown = await limit({
    handler: 'test.two',
    concurrency: 3,
    until: system.now() + 20_000,
    reason: 'a new gateway',
  })
  assert.deepEqual([shown.active, shown.waiting], [3, 1])
  await until('three run', async () => work.running.size === 3)
  assert.deepEqual(
    shown.limits.map(({ handler, concurrency, rate, until: end, reason }) => [
      handler,
      concurrency,
      rate,
      end !== null,
      reason,
    ]),
    [
      [null, 1, undefined, false, 'slow today'],
      ['test.two', 3, undefined, true, 'a new gateway'],
    ],
  )
  // When its time is over the other counts, and what has its place keeps it. Sooner than the leases of what runs are over: a sweep that
  // came before they were extended would give them back.
  system.advance(20_000)
  await tasks.admitDue()
  assert.deepEqual(
    (await keyOf('l'))?.limits.map((one) => (one as { handler: string | null }).handler),
    [null],
  )
  for (const label of ['a', 'b']) work.letGo(label)
  for (const { id } of all.slice(0, 2)) await by.settled(id)
  assert.deepEqual([(await keyOf('l'))?.active, (await keyOf('l'))?.waiting], [1, 1])
  // Without any what the handler says holds: two at once.
  await by.write((tx) => tasks.liftKeyLimit(tx, by.caller, 'l', null))
  await until('the last runs beside the third', async () => work.running.has('d'))
  await by.write((tx) => tasks.liftKeyLimit(tx, by.caller, 'l', null))
  for (const label of ['c', 'd']) work.letGo(label)
  for (const { id } of all.slice(2)) await by.settled(id)
  assert.equal(await keyOf('l'), undefined)

  await system.settle()
  const events =
    await system.admin.get<{ event_type: string; details: { key: string; handler: string | null; reason?: string } }[]>(
      '/audit/events?limit=50',
    )
  assert.deepEqual(
    events.body
      .filter(({ event_type, details }) => event_type.includes('limit') && details.key === 'l')
      .map(({ event_type, details }) => [event_type, details.handler, details.reason])
      .toReversed(),
    [
      ['concurrency_key.limited', null, 'slow today'],
      ['concurrency_key.limited', 'test.two', 'a new gateway'],
      ['concurrency_key.limit_lifted', null, undefined],
    ],
  )
})

scenario('a rate that an operator sets counts what was started before, and is forgotten with its end', async (on) => {
  const { system, by, work, keyOf } = on
  const { tasks } = system.app
  const key = { concurrency_key: 'lr' }
  const send = (...labels: string[]) => by.submit(...labels.map((input) => ({ handler: 'test.rated', input, ...key })))
  const first = await send('1', '2', '3')
  for (const { id } of first.slice(0, 2)) await by.settled(id)
  // Its bucket is empty, by the new rate too: one in a second.
  await by.write((tx) =>
    tasks.limitKey(tx, by.caller, {
      key: 'lr',
      rate: { limit: 1, period_ms: 1_000 },
      until: system.now() + 10_000,
      reason: 'r',
    }),
  )
  assert.equal((await keyOf('lr'))?.waiting, 1)
  system.advance(1_000)
  await tasks.admitDue()
  await by.settled(first[2]!.id)
  const [fourth] = await send('4')
  assert.equal((await keyOf('lr'))?.waiting, 1)
  // At its end the bucket is full, as the handler has it: two.
  system.advance(9_000)
  await tasks.admitDue()
  await by.settled(fourth!.id)
  const more = await send('5', '6')
  await by.settled(more[0]!.id)
  assert.equal((await keyOf('lr'))?.waiting, 1)
  await by.write((tx) => tasks.limitKey(tx, by.caller, { key: 'lr', rate: null, reason: 'any' }))
  await by.settled(more[1]!.id)
  assert.deepEqual((await keyOf('lr'))?.limits.length, 1)
  await by.write((tx) => tasks.liftKeyLimit(tx, by.caller, 'lr', null))
  assert.equal(await keyOf('lr'), undefined)
  assert.deepEqual(work.started, ['1', '2', '3', '4', '5', '6'])
})

scenario('a key is in whatever language its customer is, and one that cannot be seen is none', async (on) => {
  const { system, by, work, keyOf } = on
  const key = '客户 17 · Zürich 🏭'
  const all = await by.submit(
    ...['甲', '乙'].map((input) => ({
      handler: 'test.single',
      input,
      concurrency_key: key,
      unique_key: `${key} ${input}`,
    })),
  )
  await until('one runs', async () => work.running.size === 1)
  assert.deepEqual(await keyOf(key), { key, active: 1, waiting: 1, ...OPEN, limits: [] })
  const end = new Date(system.now() + 60_000).toISOString()
  const paused = await system.admin.post<{ paused_until: string }>('/concurrency-keys/pause', { key, until: end })
  assert.deepEqual([paused.status, paused.body.paused_until], [200, end])
  assert.equal((await system.admin.post('/concurrency-keys/resume', { key })).status, 200)
  for (const [i, { id }] of all.entries()) {
    await until('it runs', async () => work.running.size === 1)
    work.letGo(['甲', '乙'][i]!)
    assert.equal((await by.settled(id)).concurrency_key, key)
  }
  for (const bad of ['', 'a\nb', 'a\u200bb', 'a\u202eb', '\ud800']) {
    const refused = await system.admin.post('/tasks', { handler: 'test.echo', input: 1, concurrency_key: bad })
    assert.equal(refused.status, 422, JSON.stringify(bad))
  }
})

scenario(
  'what a server has taken and has no room for yet does not begin while it is paused or disabled',
  async (on) => {
    const { system, by, work } = on
    const { admin } = system
    const queue = 'roomy'
    const key = 'customer of a narrow handler'
    const ways = [
      {
        close: () => admin.post(`/queues/${queue}/pause`),
        open: () => admin.post(`/queues/${queue}/resume`),
        waits: 'queue',
      },
      {
        close: () => admin.post('/handlers/test.narrow/disable'),
        open: () => admin.post('/handlers/test.narrow/enable'),
        waits: 'handler',
      },
      {
        close: () => by.write((tx) => system.app.tasks.pauseKey(tx, by.caller, { key, until: system.now() + 60_000 })),
        open: () => by.write((tx) => system.app.tasks.resumeKey(tx, by.caller, key)),
        waits: 'concurrency_key',
      },
    ]
    for (const { close, open, waits } of ways) {
      const [first, second] = await by.submit(
        ...['first', 'second'].map((input) => ({
          handler: 'test.narrow',
          input: `${input} for ${waits}`,
          queue,
          concurrency_key: key,
        })),
      )
      await until('one runs, the other is taken', async () => (await by.find(second!.id)).state === 'running')
      await until('one runs', async () => work.running.has(`first for ${waits}`))
      await close()
      work.letGo(`first for ${waits}`)
      assert.equal((await by.settled(first!.id)).state, 'completed')
      await until('the other is back', async () => (await by.find(second!.id)).waiting_for === waits)
      assert.equal(work.running.size, 0)
      await open()
      await until('it runs', async () => work.running.has(`second for ${waits}`))
      work.letGo(`second for ${waits}`)
      const done = await by.settled(second!.id)
      assert.deepEqual([done.state, done.attempt, done.attempts.length], ['completed', 1, 1])
    }
  },
)

scenario('starts of a rate that nobody used are not saved up while a queue is paused', async (on) => {
  const { system, by, work } = on
  const queue = 'saved'
  await by.write((tx) => system.app.tasks.pauseQueue(tx, by.caller, queue, { create: true }))
  const labels = ['s1', 's2', 's3', 's4', 's5', 's6']
  const all = await by.submit(
    ...labels.map((input) => ({ handler: 'test.rated', input, queue, concurrency_key: 'saver' })),
  )
  // Two a minute: after five minutes each of them has had its turn.
  for (const left of [3, 2, 1, 0]) {
    system.advance(30_000)
    await until('one more has its place', async () => (await on.keyOf('saver'))?.waiting === left)
  }
  system.advance(180_000)
  await by.write((tx) => system.app.tasks.resumeQueue(tx, by.caller, queue, undefined))
  await until('two start', async () => work.started.length >= 2)
  await until('the others wait again', async () => (await on.keyOf('saver'))?.waiting === 4)
  assert.equal(work.started.length, 2)
  system.advance(30_000)
  await until('the third starts', async () => work.started.length >= 3)
  for (const count of [4, 5, 6]) {
    system.advance(30_000)
    await until('the next starts', async () => work.started.length >= count)
  }
  for (const { id } of all) {
    const done = await by.settled(id)
    assert.deepEqual([done.state, done.attempt], ['completed', 1])
  }
})
