import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { AuditEvent, ClaimedTask, NewTask, Submitted, Task, TaskDetail } from '@writ/api'
import { createClient, createWorker } from '../../packages/sdk/src/index.ts'
import { type Backend, backends } from '../backends.ts'
import { type Person, type TestSystem, until } from '../test-system.ts'
import { ok, refused } from '../verifies.ts'
import { handlerOf } from './dispatch.ts'

let gate = Promise.withResolvers<void>()

const inServer = [
  handlerOf(
    'test.pays',
    async (_, { attempt, cost, step }) => {
      cost(0.1, 'gpt-5-mini')
      await step('ask', async () => cost(0.000_000_1, 'gpt-5-mini'))
      cost(attempt === 1 ? 0.2 : 0)
      if (attempt === 1) throw new Error('not yet')
      return null
    },
    { maxAttempts: 2 },
  ),
  handlerOf('test.waits', async (_, { cost, dispatch, waitFor }) => {
    cost(1, 'plan')
    await waitFor(await dispatch('child', { handler: 'test.child' }))
    return null
  }),
  handlerOf('test.child', async (_, { cost }) => {
    cost(5)
    await gate.promise
  }),
  handlerOf(
    'test.spends',
    async (input, { cost }) => {
      const { usd, what } = input as { usd: number; what?: string }
      cost(0.5)
      cost(usd, what)
      return null
    },
    { maxAttempts: 3 },
  ),
  handlerOf('test.hangs', async (_, { cost, signal }) => {
    cost(0.25)
    await new Promise((stopped) => signal.addEventListener('abort', stopped, { once: true }))
  }),
  handlerOf(
    'test.fails',
    async (_, { cost }) => {
      cost(0.75)
      throw new Error('as a test wants it')
    },
    { maxAttempts: 2 },
  ),
  handlerOf('test.many', async (_, { cost }) => {
    for (let i = 0; i < 51; i++) cost(0.01, `thing ${i}`)
  }),
]

const FOLDER = `
export const pays = { name: 'pays', maxAttempts: 2, async run(_, { attempt, cost, step }) {
  await step('ask', () => cost(0.5, 'search'))
  cost(0.25)
  if (attempt === 1) process.exit(3)
} }
export const overpays = { name: 'overpays', maxAttempts: 2, run(_, { cost }) {
  cost(6_000)
  try { cost(-1) } catch { cost(0) }
  cost(6_000)
} }
`

/** Answers by path with what it cost. */
async function startService() {
  let called = 0
  const server = createServer((request, response) => {
    request.resume()
    if (request.url === '/unclear') response.setHeader('writ-cost-usd', '1,5')
    else response.setHeader('writ-cost-usd', '0.0125')
    response.writeHead(request.url === '/second' && called++ === 0 ? 500 : 200).end('"done"')
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    },
  }
}

function sceneOf(system: TestSystem) {
  const { admin } = system
  const dispatch = async (handler: string, more: Partial<NewTask> = {}) =>
    ok(await admin.post<Submitted>('/tasks', { handler, ...more }), 201).id
  const get = async (id: string) => ok(await admin.get<TaskDetail>(`/tasks/${id}`))
  const ended = async (id: string) => {
    const task = ok(await admin.get<TaskDetail>(`/tasks/${id}/wait?timeout=30`))
    assert.notEqual(task.completed_at, null, `task ${id} is ${task.state}`)
    return task
  }
  const failedOnce = async (id: string) => {
    await until('it failed once', async () => (await get(id)).attempts[0]?.outcome === 'failed')
    return get(id)
  }
  return {
    dispatch,
    get,
    ended,
    failedOnce,
    run: async (handler: string, more?: Partial<NewTask>) => ended(await dispatch(handler, more)),
    /** One whose first attempt fails. */
    async runTwice(handler: string) {
      const id = await dispatch(handler)
      await failedOnce(id)
      system.advance(2_000)
      return ended(id)
    },
  }
}

const costOf = ({ state, cost_usd, attempts }: TaskDetail) => [state, cost_usd, attempts.map((one) => one.cost_usd)]
const stores = backends()

for (const backend of stores) {
  test(`what handlers say that they cost is added up, over attempts, steps and waits (${backend.name})`, {
    skip: backend.skip,
  }, async (t) => {
    const dir = await mkdtemp(path.join(tmpdir(), 'writ-costs-'))
    t.after(() => rm(dir, { recursive: true, force: true }))
    await writeFile(path.join(dir, 'pays.mjs'), FOLDER)
    await using service = await startService()
    await using system = await backend.start({
      testHandlers: inServer,
      fakeClock: true,
      env: { WRIT_HANDLERS_DIR: dir, WRIT_HANDLERS_PROCESSES: '1' },
    })
    const { admin } = system
    const on = sceneOf(system)

    await t.test('of an attempt that failed too, and of a step once', async () => {
      const id = await on.dispatch('test.pays')
      assert.deepEqual(costOf(await on.failedOnce(id)), ['pending', 0.3000001, [0.3000001]])
      system.advance(2_000)
      const done = await on.ended(id)
      assert.deepEqual(costOf(done), ['completed', 0.4000001, [0.3000001, 0.1]])
      assert.deepEqual(done.costs, [
        { attempt: 1, what: null, cost_usd: 0.2 },
        { attempt: 1, what: 'gpt-5-mini', cost_usd: 0.1000001 },
        { attempt: 2, what: null, cost_usd: 0 },
        { attempt: 2, what: 'gpt-5-mini', cost_usd: 0.1 },
      ])
      const listed = ok(await admin.get<Task[]>('/tasks?handler=test.pays'))
      assert.deepEqual(
        listed.map((one) => one.cost_usd),
        [0.4000001],
      )
      const events = ok(await admin.get<AuditEvent[]>('/audit/events?event_type=run.completed'))
      const mine = events.find((event) => event.resource_id === id)
      assert.equal(mine?.details?.cost_usd, 0.4000001)
    })

    await t.test('a task that says nothing cost nothing that is known', async () => {
      const ping = await on.run('system.ping')
      assert.deepEqual([...costOf(ping), ping.costs], ['completed', null, [null], []])
    })

    await t.test('one that waits pays each time it is called, and not for its child', async () => {
      gate = Promise.withResolvers()
      const id = await on.dispatch('test.waits')
      await until('it waits', async () => (await on.get(id)).waiting_for === 'dependencies')
      gate.resolve()
      assert.deepEqual(costOf(await on.ended(id)), ['completed', 2, [2]])
    })

    await t.test('a timeout, and a cancel between two attempts, keep what was paid', async () => {
      assert.deepEqual(costOf(await on.run('test.hangs', { timeout_ms: 200 })), ['timeout', 0.25, [0.25]])
      const id = await on.dispatch('test.fails')
      await on.failedOnce(id)
      ok(await admin.post(`/tasks/${id}/cancel`), 200)
      assert.deepEqual(costOf(await on.ended(id)), ['cancelled', 0.75, [0.75]])
    })

    await t.test('what is no cost fails the attempt for good, and what was said before counts', async () => {
      for (const input of [
        { usd: -1 },
        { usd: 10_000.1 },
        { usd: '1' },
        { usd: 9_999.6 },
        { usd: 1, what: 'a\u0000b' },
      ]) {
        const task = await on.run('test.spends', { input })
        assert.deepEqual(
          [...costOf(task), task.error_code],
          ['failed', 0.5, [0.5], 'COST_INVALID'],
          JSON.stringify(input),
        )
      }
      const many = await on.run('test.many')
      assert.deepEqual([many.error_code, many.cost_usd, many.costs.length], ['COST_INVALID', 0.5, 50])
      const most = await on.run('test.spends', { input: { usd: 9_999.5, what: '模型 4' } })
      assert.deepEqual(costOf(most), ['completed', 10_000, [10_000]])
    })

    await t.test('from a process of the folder, also when it is gone', async () => {
      assert.deepEqual(costOf(await on.runTwice('pays')), ['completed', 1, [0.75, 0.25]])
      const over = await on.run('overpays')
      assert.deepEqual([over.error_code, over.cost_usd, over.attempts.length], ['COST_INVALID', 6_000, 1])
    })

    await t.test('from an address, in a header of its answer', async () => {
      for (const name of ['first', 'second', 'unclear'])
        ok(await admin.post('/handlers', { name, url: `${service.url}/${name}`, max_attempts: 3 }), 201)
      assert.deepEqual(costOf(await on.run('first')), ['completed', 0.0125, [0.0125]])
      assert.deepEqual(costOf(await on.runTwice('second')), ['completed', 0.025, [0.0125, 0.0125]])
      const unclear = await on.run('unclear')
      assert.deepEqual([unclear.error_code, unclear.cost_usd, unclear.attempts.length], ['COST_INVALID', null, 1])
    })

    await t.test('from a worker of the SDK', async () => {
      const { token } = ok(
        await admin.post<{ token: string }>('/tokens', { name: 'w', role: 'ops', scopes: ['worker:*'] }),
        201,
      )
      const errors: unknown[] = []
      const worker = createWorker(createClient({ url: system.base, token }), { onError: (error) => errors.push(error) })
      worker.handle('remote', { maxAttempts: 2 }, async (_, { attempt, cost, step }) => {
        cost(0.1)
        await step('ask', () => cost(0.2, 'gpt-5-mini'))
        if (attempt === 1) throw new Error('not yet')
      })
      worker.handle('astray', { maxAttempts: 2 }, (_, { cost }) => {
        cost(0.5)
        cost(Number.NaN)
      })
      const stop = new AbortController()
      const running = worker.run(stop.signal)
      running.catch(() => {})
      using _ = { [Symbol.dispose]: () => stop.abort() }
      await until('its handlers are registered', async () => (await admin.get('/handlers/astray')).status === 200)
      assert.deepEqual(costOf(await on.runTwice('remote')), ['completed', 0.4, [0.3, 0.1]])
      const astray = await on.run('astray')
      assert.deepEqual([...costOf(astray), astray.error_code], ['failed', 0.5, [0.5], 'COST_INVALID'])
      stop.abort()
      await running
      assert.deepEqual(errors, [])
    })

    await t.test('tasks are found, counted and replayed by what they cost', async () => {
      const costs = async (query: string) =>
        ok(await admin.get<Task[]>(`/tasks?limit=200&${query}`)).map((one) => one.cost_usd)
      const all = await costs('created_before=2100-01-01T00:00:00Z')
      for (const least of [0, 0.4, 0.4000001, 0.5, 6_000, 10_001])
        assert.deepEqual(
          await costs(`cost_min=${least}`),
          all.filter((usd) => usd !== null && usd >= least),
          `at least ${least}`,
        )
      assert.ok(all.includes(null))
      assert.deepEqual(await costs('cost_min=0.4&handler=test.pays'), [0.4000001])
      const { count } = ok(await admin.post<{ count: number }>('/tasks/preview', { cost_min: 6_000 }))
      assert.equal(count, 2)
      const choice = { state: 'failed', cost_min: 6_000 }
      const { replayed } = ok(await admin.post<{ replayed: Submitted[] }>('/tasks/replay', choice))
      assert.equal(replayed.length, 1)
      assert.equal((await on.ended(replayed[0]!.id)).handler, 'overpays')
      for (const wrong of ['-1', 'much', 'NaN', '1e999'])
        refused(await admin.get(`/tasks?cost_min=${wrong}`), 422, 'VALIDATION_FAILED')
      refused(await admin.post('/tasks/cancel', { cost_min: '6000' }), 422, 'VALIDATION_FAILED')
    })

    await t.test('whoever dispatched tasks sees what their own came to, and operators what all did', async () => {
      const dev = await system.hire('dev', 'dev')
      const totals = async (who: Person, query = '') => ok(await who.get<Totals>(`/tasks/totals?${query}`))
      const { id } = ok(await dev.post<Submitted>('/tasks', { handler: 'test.pays', max_attempts: 1 }), 201)
      const own = await on.ended(id)
      assert.deepEqual(await totals(dev), {
        states: [{ state: own.state, tasks: 1, cost_usd: own.cost_usd }],
        tasks: 1,
        cost_usd: own.cost_usd,
      })
      assert.equal((await totals(dev, 'handler=test.spends')).tasks, 0)
      refused(await dev.get('/tasks/totals?limit=1'), 422, 'VALIDATION_FAILED')
      const all = ok(await admin.get<Task[]>('/tasks?limit=1000'))
      const sums = await totals(admin)
      assert.equal(sums.tasks, all.length)
      const nanos = all.reduce((sum, one) => sum + Math.round((one.cost_usd ?? 0) * 1e9), 0)
      assert.equal(Math.round(sums.cost_usd * 1e9), nanos)
      for (const { state, tasks } of sums.states)
        assert.equal(tasks, all.filter((one) => one.state === state).length, state)
      assert.deepEqual(
        (await totals(admin, 'state=failed&cost_min=6000')).states.map(({ tasks }) => tasks),
        [all.filter((one) => one.state === 'failed' && (one.cost_usd ?? 0) >= 6_000).length],
      )
    })

    await system.check()
  })
}

interface Totals {
  readonly states: readonly { readonly state: string; readonly tasks: number; readonly cost_usd: number }[]
  readonly tasks: number
  readonly cost_usd: number
}

/** The same where the order of the queue is kept beside the database. */
const withMemory: Backend = {
  name: 'sqlite',
  skip: false,
  start: (options = {}) => stores[0]!.start({ ...options, env: { ...options.env, QUEUE_BACKEND: 'memory' } }),
}

for (const [name, backend] of [...stores.map((one) => [one.name, one] as const), ['memory', withMemory] as const]) {
  test(`what is said under a lease that is lost does not count, and what was kept before stays (${name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start({ fakeClock: true })
    const { admin } = system
    const on = sceneOf(system)
    const claim = async (worker: string) =>
      ok(
        await admin.post<{ tasks: ClaimedTask[] }>('/workers/claim', {
          worker,
          queues: ['api'],
          handlers: [{ name: 'x' }],
        }),
      ).tasks[0]
    const claimed = async (worker: string) => {
      let task: ClaimedTask | undefined
      await until(`${worker} has it`, async () => {
        task = await claim(worker)
        return task !== undefined
      })
      return task!
    }
    const settle = (lease: string, more: object) => admin.post('/workers/settle', { results: [{ lease, ...more }] })
    assert.equal(await claim('w1'), undefined)
    const id = await on.dispatch('x')
    const first = await claimed('w1')
    const asked = { lease: first.lease, name: 'ask', result: 1, costs: [{ usd: 0.25, what: 'search' }] }
    ok(await admin.post('/workers/step', asked))
    // The same once more, as after an answer that was lost.
    ok(await admin.post('/workers/step', asked))
    assert.deepEqual(costOf(await on.get(id)), ['running', 0.25, [0.25]])
    system.advance(31_000)
    const second = await claimed('w2')
    refused(await admin.post('/workers/step', { ...asked, name: 'more' }), 409, 'LEASE_LOST')
    const costs = [{ usd: 7 }]
    assert.deepEqual(ok(await settle(first.lease, { outcome: 'failed', costs })), {
      results: [{ run_id: id, settled: false }],
    })
    refused(await settle(second.lease, { outcome: 'completed', costs: [{ usd: -1 }] }), 422, 'VALIDATION_FAILED')
    refused(
      await settle(second.lease, { outcome: 'completed', costs: [{ usd: 1, what: '?' }] }),
      422,
      'COST_INVALID',
      'This is no cost: What a cost is for has up to 100 letters, digits, spaces and _.:/@+#-, and begins with a letter or a digit.',
    )
    // Put back, it comes again as the same attempt.
    ok(await settle(second.lease, { outcome: 'back', costs: [{ usd: 0.1 }] }))
    const third = await claimed('w3')
    assert.equal(third.attempt, 2)
    ok(await settle(third.lease, { outcome: 'completed', result: null, costs: [{ usd: 0.2 }, { usd: 0.4 }] }))
    const done = await on.ended(id)
    assert.deepEqual(costOf(done), ['completed', 0.95, [0.25, 0.7]])
    assert.deepEqual(
      done.attempts.map(({ outcome }) => outcome),
      ['lost', 'completed'],
    )
    assert.deepEqual(ok(await settle(third.lease, { outcome: 'completed', costs })), {
      results: [{ run_id: id, settled: false }],
    })
    assert.equal((await on.get(id)).cost_usd, 0.95)
    await system.check()
  })
}
