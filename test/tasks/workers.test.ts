import assert from 'node:assert/strict'
import { renameSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type {
  ClaimedTask,
  HandlerInfo,
  KeptLines,
  NewTask,
  Queue,
  Submitted,
  TaskDetail,
  WorkerAnswers,
} from '@writ/api'
import { createClient, createWorker, TaskError, type WorkerOptions } from '../../packages/sdk/src/index.ts'
import { type Backend, backends } from '../backends.ts'
import { createClient as createHttpClient } from '../client.ts'
import { startGuarded } from '../servers/guard.ts'
import { type TestSystem, until } from '../test-system.ts'

/** Of a parent: asked about at the same time. */
const MANY = Array.from({ length: 150 }, (_, n) => n)

/** What a scene of workers needs of a system. */
async function sceneOf(system: TestSystem) {
  const { admin } = system
  const tokenFor = async (scopes: string[]) => {
    const made = await admin.post<{ token: string }>('/tokens', { name: scopes.join(), role: 'ops', scopes })
    assert.equal(made.status, 201, JSON.stringify(made.body))
    return made.body.token
  }
  const token = await tokenFor(['worker:*'])
  const dispatch = async (handler: string, input: unknown = {}, more: Partial<NewTask> = {}) => {
    const answer = await admin.post<Submitted>('/tasks', { handler, input, ...more })
    assert.equal(answer.status, 201, JSON.stringify(answer.body))
    return answer.body.id
  }
  const get = async (id: string) => {
    const answer = await admin.get<TaskDetail>(`/tasks/${id}`)
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    return answer.body
  }
  const ended = async (id: string) => {
    await until(`task ${id} is settled`, async () => (await get(id)).completed_at !== null)
    return get(id)
  }
  const handlers = async () => (await admin.get<HandlerInfo[]>('/handlers')).body
  const http = (text: string) =>
    createHttpClient({
      base: () => system.base,
      prefix: '/api/v1',
      credentials: async () => ({ authorization: `Bearer ${text}` }),
    })
  const by = http(token)
  const claim = async (worker: string, names: string[], more: object = {}) => {
    const body = { worker, queues: ['api'], handlers: names.map((name) => ({ name })), limit: 10, ...more }
    const answer = await by.post<{ tasks: ClaimedTask[] }>('/workers/claim', body)
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    return answer.body.tasks
  }
  const settle = async (lease: string, more: object = { outcome: 'completed', result: 1 }) => {
    const answer = await by.post<{ results: { settled: boolean }[] }>('/workers/settle', {
      results: [{ lease, ...more }],
    })
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    return answer.body.results[0]!.settled
  }
  const workerOf = (options: WorkerOptions = {}) =>
    createWorker(createClient({ url: system.base, token }), { name: 'w', ...options })
  return { tokenFor, token, dispatch, get, ended, handlers, http, by, claim, settle, workerOf }
}

const stores = backends()
const [sqlite] = stores
/** The same where the order of the queue is kept beside the database. */
const withMemory: Backend = {
  name: 'sqlite',
  skip: false,
  start: (options = {}) => sqlite!.start({ ...options, env: { ...options.env, QUEUE_BACKEND: 'memory' } }),
}

for (const backend of stores) {
  test(`a worker does what is dispatched, with retries, cancels and timeouts like any other task (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const on = await sceneOf(system)
    const errors: unknown[] = []
    const worker = on.workerOf({ concurrency: 20, graceMs: 100, onError: (error) => errors.push(error) })
    const secrets: unknown[] = []
    worker.handle(
      'greet',
      {
        title: 'Greets',
        input: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
        output: { type: 'object', required: ['text'] },
      },
      async (input, ctx) => {
        const { name, password } = input as { name: string; password?: string }
        if (password) secrets.push(password)
        ctx.log(`greeting ${name}`)
        return name === 'nobody' ? 'no object' : { text: `Hello, ${name}` }
      },
    )
    worker.handle('second', { maxAttempts: 3 }, (_, ctx) => {
      if (ctx.attempt === 1) throw new Error('not yet')
      return ctx.attempt
    })
    worker.handle('never', { maxAttempts: 3 }, () => {
      throw new TaskError('NOT_TODAY', 'come back', { retryable: false })
    })
    let opened = 0
    worker.handle('stepped', { maxAttempts: 3 }, async (_, ctx) => {
      const change = await ctx.step('open change', () => ({
        number: ++opened,
        token: 'password=correct-horse-battery',
      }))
      const failed = await ctx
        .step('ask', () => {
          throw new Error('nobody answers')
        })
        .catch((error: Error) => error.message)
      if (ctx.attempt === 1) throw new Error('not yet')
      return { number: change.number, whole: change.token.endsWith('battery'), failed }
    })
    worker.handle('again', { maxAttempts: 2 }, async (_, ctx) => {
      const child = await ctx.dispatch('child', { handler: 'greet', input: { name: `child of ${ctx.attempt}` } })
      if (ctx.attempt === 1) throw new Error('after the dispatch')
      // Caught, it counts as thrown all the same.
      const outcome = await ctx.waitFor(child).catch(() => null)
      return [child.id, outcome?.result]
    })
    worker.handle('denied', { maxAttempts: 3 }, async (_, ctx) => ctx.dispatch('x', { handler: 'no.such.handler' }))
    worker.handle('stranger', { maxAttempts: 3 }, async (input, ctx) => ctx.waitFor(String(input)))
    const cycle: { self?: unknown } = {}
    cycle.self = cycle
    const odd: Record<string, unknown> = {
      bigint: 1n,
      cycle,
      function: () => 1,
      symbol: Symbol('x'),
      long: 'x'.repeat(1024 * 1024),
    }
    worker.handle('odd', { maxAttempts: 3 }, (input) => odd[String(input)])
    worker.handle('odd-step', { maxAttempts: 3 }, (input, ctx) => ctx.step('odd', () => odd[String(input)]))
    worker.handle('odd-child', { maxAttempts: 1 }, (_, ctx) => ctx.dispatch('odd', { handler: 'greet', input: 1n }))
    worker.handle('forever', { sideEffect: 'irreversible' }, async (_, { signal }) => {
      await new Promise((stopped) => signal.addEventListener('abort', stopped))
    })
    const stop = new AbortController()
    const running = worker.run(stop.signal)
    running.catch(() => {})
    // A test that fails must not leave it working.
    using _ = { [Symbol.dispose]: () => stop.abort() }
    await until('its handlers are registered', async () => (await on.handlers()).some(({ name }) => name === 'forever'))
    const info = (await on.handlers()).find(({ name }) => name === 'greet')
    assert.deepEqual([info?.source, info?.title, info?.enabled], ['worker', 'Greets', true])
    assert.ok(info?.last_seen_at)

    const refused = await system.admin.post('/tasks', { handler: 'greet', input: {} })
    assert.equal(refused.status, 422)
    const greeted = await on.ended(await on.dispatch('greet', { name: 'Ada', password: 'correct-horse-battery' }))
    assert.deepEqual(
      [greeted.state, greeted.result, greeted.log],
      ['completed', { text: 'Hello, Ada' }, 'greeting Ada'],
    )
    assert.deepEqual(secrets, ['correct-horse-battery'])
    assert.ok(!JSON.stringify(greeted).includes('correct-horse'))
    assert.equal(greeted.attempts[0]?.worker, 'w')
    const unfit = await on.ended(await on.dispatch('greet', { name: 'nobody' }))
    assert.deepEqual([unfit.state, unfit.error_code], ['failed', 'RESULT_INVALID'])
    const second = await on.ended(await on.dispatch('second'))
    assert.deepEqual([second.state, second.result, second.attempts.length], ['completed', 2, 2])
    const stepped = await on.ended(await on.dispatch('stepped'))
    assert.deepEqual([stepped.result, stepped.attempt], [{ number: 1, whole: true, failed: 'nobody answers' }, 2])
    assert.deepEqual(
      stepped.steps.map(({ name, attempt }) => [name, attempt]),
      [['open change', 1]],
    )
    assert.ok(!JSON.stringify(stepped).includes('correct-horse'))
    const never = await on.ended(await on.dispatch('never'))
    assert.deepEqual([never.error_code, never.attempts.length], ['NOT_TODAY', 1])
    // What is no JSON, or too long, no other try mends, and it is the server for nobody.
    for (const [what, code] of [
      ['bigint', 'RESULT_INVALID'],
      ['cycle', 'RESULT_INVALID'],
      ['function', 'RESULT_INVALID'],
      ['symbol', 'RESULT_INVALID'],
      ['long', 'RESULT_TOO_LARGE'],
    ] as const) {
      const result = await on.ended(await on.dispatch('odd', what))
      const step = await on.ended(await on.dispatch('odd-step', what))
      assert.deepEqual(
        [result.error_code, result.attempts.length, step.error_code, step.attempts.length, step.steps.length],
        [code, 1, 'STEP_RESULT_INVALID', 1, 0],
        what,
      )
    }
    const child = await on.ended(await on.dispatch('odd-child'))
    assert.deepEqual([child.error_code, child.error], ['TASK_FAILED', 'Do not know how to serialize a BigInt'])
    const late = await on.ended(await on.dispatch('forever', {}, { timeout_ms: 200 }))
    assert.deepEqual([late.state, late.error_code], ['timeout', 'TASK_TIMEOUT'])
    // A retry, and being called again, dispatch nothing anew.
    const again = await on.ended(await on.dispatch('again'))
    const children = (await system.admin.get<Submitted[]>(`/tasks?parent=${again.id}`)).body
    assert.deepEqual(again.result, [children[0]?.id, { text: 'Hello, child of 1' }])
    assert.deepEqual([children.length, again.attempts.length], [1, 2])
    const denied = await on.ended(await on.dispatch('denied'))
    assert.deepEqual([denied.error_code, denied.attempts.length], ['TASK_UNKNOWN_HANDLER', 1])
    const stranger = await on.ended(await on.dispatch('stranger', greeted.id))
    assert.deepEqual([stranger.error_code, stranger.attempts.length], ['NOT_A_CHILD', 1])
    const ids = await Promise.all(Array.from({ length: 60 }, (_, i) => on.dispatch('greet', { name: `n${i}` })))
    for (const id of ids) assert.equal((await on.ended(id)).state, 'completed')
    // Told to stop, it gives back what is not done; that counts as no attempt.
    const given = await on.dispatch('forever')
    await until('it runs', async () => (await on.get(given)).state === 'running')
    stop.abort()
    await running
    assert.deepEqual(errors, [])
    await system.settle()
    await system.check()
  })
}

for (const [name, backend] of [...stores.map((one) => [one.name, one] as const), ['memory', withMemory] as const]) {
  test(`a dispatch waits for a worker; leases are fenced, and only one settles (${name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start({ fakeClock: true })
    const on = await sceneOf(system)
    assert.deepEqual(await on.claim('w1', ['x', 'y']), [])
    const id = await on.dispatch('x', { n: 1 })
    // The server's own lane has had every chance: a task of its own, dispatched later, is done.
    await on.ended(await on.dispatch('system.ping'))
    assert.equal((await on.get(id)).state, 'pending')
    const queues = (await system.admin.get<Queue[]>('/queues')).body
    assert.deepEqual(
      queues.map(({ name, waiting }) => [name, waiting]),
      [['api', 1]],
    )

    const [first] = await on.claim('w1', ['x'])
    assert.equal(first?.run_id, id)
    assert.deepEqual(first?.input, { n: 1 })
    assert.deepEqual(await on.claim('w2', ['x']), [])
    system.advance(31_000)
    let second: ClaimedTask | undefined
    await until('the lease ran out', async () => {
      ;[second] = await on.claim('w2', ['x'])
      return second !== undefined
    })
    assert.equal(second?.attempt, 2)
    const extended = await on.by.post<{ leases: { state: string }[] }>('/workers/extend', {
      leases: [first!.lease, second!.lease],
    })
    assert.deepEqual(
      extended.body.leases.map(({ state }) => state),
      ['lost', 'held'],
    )
    // What was done under a lease that is lost is not kept; under the one that holds it is, and asked for again it is there.
    const step = async (lease: string, more: object = {}) => {
      const { status, body } = await on.by.post<{ code?: string; done?: boolean; result?: unknown }>('/workers/step', {
        lease,
        name: 'part',
        ...more,
      })
      return status === 200 ? [body.done, body.result] : [status, body.code]
    }
    assert.deepEqual(await step(first!.lease, { result: 'lost' }), [409, 'LEASE_LOST'])
    assert.deepEqual(await step(second!.lease), [false, null])
    assert.deepEqual(await step(second!.lease, { result: 'done' }), [true, 'done'])
    assert.deepEqual(await step(second!.lease, { result: 'again' }), [true, 'done'])
    assert.deepEqual(await step(second!.lease, { name: 'long', result: 'x'.repeat(2 ** 16) }), [422, 'STEP_INVALID'])
    // The same for children and pauses; and a child of somebody else's is none to wait for.
    const ask = async (verb: string, lease: string, more: object) => {
      const { status, body } = await on.by.post<{ code?: string } | undefined>(`/workers/${verb}`, { lease, ...more })
      return body?.code ?? status
    }
    const child = { name: 'child', task: { handler: 'z' } }
    const pause = { key: 'k', until: '2100-01-01T00:00:00Z' }
    for (const [verb, more] of [
      ['dispatch', child],
      ['wait', { child: id }],
      ['pause-key', pause],
    ] as const)
      assert.equal(await ask(verb, first!.lease, more), 'LEASE_LOST', verb)
    assert.equal(await ask('dispatch', second!.lease, child), 'TASK_UNKNOWN_HANDLER')
    assert.equal(await ask('dispatch', second!.lease, { ...child, name: 'part' }), 'STEP_INVALID')
    assert.equal(await ask('dispatch', `${second!.lease}x`, child), 'LEASE_INVALID')
    assert.equal(await ask('wait', second!.lease, { child: id }), 'NOT_A_CHILD')
    const settleAsWaiting = async (lease: string, children?: string[]) =>
      (await on.by.post<{ code: string }>('/workers/settle', { results: [{ lease, outcome: 'wait', children }] })).body
        .code
    assert.equal(await settleAsWaiting(second!.lease, [id]), 'NOT_A_CHILD')
    assert.equal(await settleAsWaiting(second!.lease), 'NOT_A_CHILD')
    // A token of workers is enough for its lines too.
    const said = await on.by.post<KeptLines>('/workers/log', {
      logs: [{ lease: second!.lease, lines: ['1 of 2 is done', ''] }],
    })
    assert.deepEqual([said.status, said.body.logs?.[0]?.run_id], [200, id])
    assert.equal((await system.admin.get<unknown[]>(`/tasks?parent=${id}`)).body.length, 0)
    assert.equal(await on.settle(first!.lease), false)
    assert.equal(await on.settle(second!.lease, { outcome: 'completed', result: 'second' }), true)
    assert.equal(await on.settle(second!.lease, { outcome: 'completed', result: 'again' }), false)
    const done = await on.get(id)
    assert.deepEqual([done.state, done.result], ['completed', 'second'])
    assert.deepEqual(
      done.attempts.map(({ outcome }) => outcome),
      ['lost', 'completed'],
    )

    // A program in another language has longer numbers than are kept here. One in a result fails its own task alone.
    const raw = async (path: string, body: string) => {
      const headers = { authorization: `Bearer ${on.token}`, 'content-type': 'application/json' }
      const answer = await fetch(`${system.base}/api/v1${path}`, { method: 'POST', headers, body })
      return { status: answer.status, body: (await answer.json()) as Record<string, never> }
    }
    const ids = [await on.dispatch('x'), await on.dispatch('x')]
    const [long, short] = (await on.claim('w1', ['x'])).sort((a, b) => ids.indexOf(a.run_id) - ids.indexOf(b.run_id))
    const message = 'must be a number that keeps all its digits; longer ones go into text, in quotes'
    for (const [path, body, place] of [
      ['/workers/step', `{"lease":"${long!.lease}","name":"ids","result":{"id":9007199254740993}}`, 'body.result.id'],
      [
        '/workers/ask',
        `{"asks":[{"step":{"lease":"${long!.lease}","name":"ids","result":[1e400]}}]}`,
        'body.asks.0.step.result.0',
      ],
      [
        '/workers/settle',
        `{"results":[{"lease":"${long!.lease}","outcome":"completed","costs":[{"usd":9007199254740993}]}]}`,
        'body.results.0.costs.0.usd',
      ],
    ] as const) {
      const { status, body: refused } = await raw(path, body)
      assert.deepEqual([status, refused.errors], [422, [{ path: place, message }]], path)
    }
    assert.deepEqual(await step(long!.lease, { name: 'ids' }), [false, null])
    const results = [
      `{"lease":"${long!.lease}","outcome":"completed","result":{"orders":[{"id":12345678901234567890}]}}`,
      `{"lease":"${short!.lease}","outcome":"completed","result":"12345678901234567890"}`,
    ]
    const both = await raw('/workers/settle', `{"results":[${results}]}`)
    assert.deepEqual([both.status, both.body.results], [200, ids.map((run_id) => ({ run_id, settled: true }))])
    const [rounded, exact] = [await on.get(ids[0]!), await on.get(ids[1]!)]
    assert.deepEqual(
      [rounded.state, rounded.error_code, rounded.error, rounded.attempts.length],
      [
        'failed',
        'RESULT_INVALID',
        'The number at result.orders.0.id would not keep all its digits: it goes into text, in quotes',
        1,
      ],
    )
    assert.deepEqual([exact.state, exact.result], ['completed', '12345678901234567890'])

    // What hangs is ended by the server when its worker comes to extend, and comes again as its contract says.
    const slow = await on.dispatch('y', {}, { timeout_ms: 5_000 })
    const [hanging] = await on.claim('w1', ['y'])
    system.advance(6_000)
    const over = await on.by.post<{ leases: { state: string; reason: string }[] }>('/workers/extend', {
      leases: [hanging!.lease],
    })
    assert.deepEqual(over.body.leases[0], { run_id: slow, state: 'stop', reason: 'timeout' })
    assert.deepEqual([(await on.get(slow)).state, (await on.get(slow)).error_code], ['timeout', 'TASK_TIMEOUT'])

    // A cancel is told in the answer to extend.
    const called = await on.dispatch('y')
    const [taken] = await on.claim('w1', ['y'])
    assert.equal((await system.admin.post(`/tasks/${called}/cancel`)).status, 200)
    const told = await on.by.post<{ leases: { state: string; reason: string }[] }>('/workers/extend', {
      leases: [taken!.lease],
    })
    assert.deepEqual(told.body.leases[0], { run_id: called, state: 'stop', reason: 'cancelled' })
    assert.equal(await on.settle(taken!.lease, { outcome: 'cancelled' }), true)
    assert.equal((await on.get(called)).state, 'cancelled')
    // One that fails before it hears of it has no next attempt to wait for.
    const failing = await on.dispatch('x', { n: 1 }, { max_attempts: 3 })
    const [held] = await on.claim('w2', ['x'])
    const why = { reason: '不需要了 🛑' }
    assert.equal((await system.admin.post(`/tasks/${failing}/cancel`, why)).status, 200)
    const failed = { outcome: 'failed', error_code: 'BUSY', error: 'busy', retryable: true } as const
    assert.equal(await on.settle(held!.lease, failed), true)
    const stopped = await on.get(failing)
    assert.deepEqual(
      [stopped.state, stopped.error_code, stopped.error, stopped.attempts.map(({ outcome }) => outcome)],
      ['cancelled', 'CANCELLED', 'Cancelled: 不需要了 🛑', ['failed']],
    )

    // One whose worker dies before it hears of it ends without another, for none may ever come; and so does one that is handed back.
    const [dying, handed] = [await on.dispatch('x', { n: 2 }), await on.dispatch('y')]
    await on.claim('w3', ['x'])
    const [mine] = await on.claim('w3', ['y'])
    const old = await on.dispatch('y', {}, { unique_key: 'place' })
    await on.claim('w3', ['y'])
    const later = await on.dispatch('y', {}, { unique_key: 'place', unique_policy: 'replace' })
    assert.equal((await on.get(later)).waiting_for, 'dependencies')
    for (const id of [dying, handed]) await system.admin.post(`/tasks/${id}/cancel`, { reason: 'enough' })
    assert.equal(await on.settle(mine!.lease, { outcome: 'back' }), true)
    assert.equal((await on.get(handed)).error, 'Cancelled: enough')
    const running = await on.get(dying)
    assert.equal(running.state, 'running')
    system.advance(60_000)
    const dead = await on.ended(dying)
    assert.deepEqual(
      [dead.state, dead.error_code, dead.error, dead.attempt, dead.attempts.map(({ outcome }) => outcome)],
      ['cancelled', 'CANCELLED', 'Cancelled: enough', 1, ['cancelled']],
    )
    // It had begun, as who saw it run was told.
    assert.deepEqual(
      [dead.started_at, dead.attempts[0]?.started_at, dead.attempts[0]?.worker],
      [running.started_at, running.started_at, 'w3'],
    )
    assert.ok(running.started_at)
    assert.deepEqual([(await on.ended(old)).state, (await on.get(old)).error_code], ['cancelled', 'REPLACED'])
    const [goesOn] = await on.claim('w4', ['y'], { wait_seconds: 20 })
    assert.equal(goesOn?.run_id, later)
    assert.equal(await on.settle(goesOn!.lease), true)

    // Pauses and drains are of the queue, whoever does its tasks.
    const waits = await on.dispatch('x')
    await system.admin.post('/queues/api/pause')
    assert.deepEqual(await on.claim('w1', ['x']), [])
    await system.admin.post('/queues/api/resume')
    const drained = await system.admin.post<{ cancelled: number }>('/queues/api/drain', {})
    assert.equal(drained.body.cancelled, 1)
    assert.equal((await on.get(waits)).state, 'cancelled')
    await system.settle()
    await system.check()
  })
}

for (const [name, backend] of [...stores.map((one) => [one.name, one] as const), ['memory', withMemory] as const]) {
  test(`what a worker has stays with it while the server is started anew (${name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const on = await sceneOf(system)
    await on.claim('parts', ['part'])
    const [kept, lost] = [await on.dispatch('part'), await on.dispatch('part')]
    const leases = new Map((await on.claim('parts', ['part'])).map((one) => [one.run_id, one.lease]))
    await system.restart()
    await until('the queue was swept', async () => (await system.anonymous.get('//readyz')).status === 200)
    // Nobody else gets it, and what it came to counts.
    const next = await on.dispatch('part')
    assert.deepEqual(
      (await on.claim('others', ['part'], { wait_seconds: 10 })).map(({ run_id }) => run_id),
      [next],
    )
    assert.equal(await on.settle(leases.get(kept)!), true)
    assert.deepEqual(
      (await on.ended(kept)).attempts.map(({ outcome }) => outcome),
      ['completed'],
    )
    const extended = await on.by.post<{ leases: { state: string }[] }>('/workers/extend', {
      leases: [leases.get(lost)!],
    })
    assert.equal(extended.body.leases[0]?.state, 'held')
    await system.settle()
    await system.check()
  })
}

for (const backend of stores) {
  test(`what a worker has that was asked to stop dispatches nothing more (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const on = await sceneOf(system)
    await on.claim('parts', ['parent', 'part'])
    // One that does not hear that it is to stop, and fails with what it was told.
    const id = await on.dispatch('parent', {}, { max_attempts: 3 })
    const [first] = await on.claim('parts', ['parent'])
    const child = (name: string) => ({ lease: first!.lease, name, task: { handler: 'part' } })
    const dispatch = (name: string) => on.by.post<{ code?: string; id?: string }>('/workers/dispatch', child(name))
    const early = await dispatch('early')
    assert.equal(early.status, 200)
    await system.admin.post(`/tasks/${id}/cancel`, { reason: 'no more' })
    assert.equal((await on.get(early.body.id!)).state, 'cancelled')
    const late = await dispatch('late')
    assert.deepEqual([late.status, late.body.code], [409, 'TASK_STOPPING'])
    // What was dispatched before is answered as ever.
    assert.deepEqual((await dispatch('early')).body, early.body)
    const failed = { outcome: 'failed', error_code: 'TASK_STOPPING', error: 'told so', retryable: false }
    assert.equal(await on.settle(first!.lease, failed), true)
    const ended = await on.get(id)
    assert.deepEqual([ended.state, ended.error_code, ended.error], ['cancelled', 'CANCELLED', 'Cancelled: no more'])
    assert.equal((await system.admin.get<Submitted[]>(`/tasks?parent=${id}`)).body.length, 1)
    await system.settle()
    await system.check()
  })

  test(`another worker finishes what a killed one began, once (${backend.name})`, { skip: backend.skip }, async () => {
    await using system = await backend.start({ fakeClock: true })
    const on = await sceneOf(system)
    const start = (env: Record<string, string>) =>
      startGuarded({
        command: process.execPath,
        args: ['--disable-warning=ExperimentalWarning', path.join(import.meta.dirname, 'worker-process.ts')],
        folder: system.folder,
        env: { PATH: process.env.PATH, WRIT_URL: system.base, WRIT_TOKEN: on.token, ...env },
      })
    await on.claim('before', ['slow'])
    const id = await on.dispatch('slow')
    const doomed = await start({})
    await doomed.saying(`began ${id}`)
    await doomed.kill9()
    system.advance(31_000)
    const next = await start({ QUICK: '1' })
    try {
      const task = await on.ended(id)
      assert.deepEqual([task.state, task.result], ['completed', { attempt: 2 }])
      assert.deepEqual(
        task.attempts.map(({ outcome }) => outcome),
        ['lost', 'completed'],
      )
    } finally {
      await next.stop()
    }
    await system.settle()
    await system.check()
  })

  test(`a worker elsewhere dispatches, waits without a lease, and pauses a key (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const on = await sceneOf(system)
    await on.claim('parts', ['part'])
    await on.claim('before', ['parent'])
    const id = await on.dispatch('parent', {}, { concurrency_key: 'customer-7' })
    const worker = await startGuarded({
      command: process.execPath,
      args: ['--disable-warning=ExperimentalWarning', path.join(import.meta.dirname, 'worker-process.ts')],
      folder: system.folder,
      env: { PATH: process.env.PATH, WRIT_URL: system.base, WRIT_TOKEN: on.token, QUICK: '1' },
    })
    try {
      let part: ClaimedTask | undefined
      await until('the child waits', async () => {
        ;[part] = await on.claim('parts', ['part'])
        return part !== undefined
      })
      assert.equal((await on.get(part!.run_id)).parent_run_id, id)
      await until('the parent gave its lease back', async () => (await on.get(id)).state === 'pending')
      assert.equal(await on.settle(part!.lease, { outcome: 'completed', result: 'done' }), true)
      const parent = await on.ended(id)
      const { trace, ...result } = parent.result as Record<string, unknown>
      assert.deepEqual(result, { state: 'completed', result: 'done', ping: 'pong' })
      assert.match(String(trace), /^[0-9a-f]{32}$/)
      assert.deepEqual(
        [parent.attempts.length, parent.attempt, parent.steps.map(({ name }) => name)],
        [1, 1, ['child', 'ping']],
      )
      const keys = (await system.admin.get<{ key: string; paused_until: string | null }[]>('/concurrency-keys')).body
      assert.deepEqual(
        keys.map(({ key, paused_until }) => [key, paused_until !== null]),
        [['customer-7', true]],
      )
    } finally {
      await worker.stop()
    }
    await system.settle()
    await system.check()
  })

  test(`work that waits for many is begun again when they have ended, not after each (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const on = await sceneOf(system)
    // What may be dispatched is known from the first claim on.
    await on.claim('before', ['parent', 'part'])
    let calls = 0
    const parents = on.workerOf()
    parents.handle('parent', {}, async (_, { dispatch, waitFor }) => {
      calls++
      const parts = await Promise.all(MANY.map((n) => dispatch(`part ${n}`, { handler: 'part' })))
      return (await Promise.all(parts.map(waitFor))).length
    })
    const parts = on.workerOf({ concurrency: 50 })
    parts.handle('part', {}, async () => null)
    const stop = new AbortController()
    const running = [parents.run(stop.signal)]
    const parent = await (async () => {
      const id = await on.dispatch('parent')
      await until('the parent waits', async () => (await on.get(id)).waiting_for === 'dependencies')
      running.push(parts.run(stop.signal))
      return on.ended(id)
    })().finally(() => stop.abort())
    await Promise.all(running)
    assert.deepEqual([parent.state, parent.result, parent.attempts.length], ['completed', MANY.length, 1])
    assert.equal(calls, 2)
  })

  test(`what is asked together is answered one by one (${backend.name})`, { skip: backend.skip }, async () => {
    await using system = await backend.start()
    const on = await sceneOf(system)
    const ask = async (asks: object[], by = on.by) => {
      const { status, body } = await by.post<Partial<WorkerAnswers> & { code?: string }>('/workers/ask', { asks })
      return status === 200 ? body.answers! : [status, body.code]
    }
    await on.claim('w', ['x', 'child'])
    const [first, second] = [await on.dispatch('x', { n: 1 }), await on.dispatch('x', { n: 2 })]
    const tasks = await on.claim('w', ['x'])
    const leaseOf = (id: string) => tasks.find(({ run_id }) => run_id === id)!.lease
    assert.deepEqual(
      tasks.map(({ claims }) => claims),
      [1, 1],
    )
    const [lease, other] = [leaseOf(first), leaseOf(second)]
    const child = { lease, name: 'child', task: { handler: 'child' } }
    const answers = await ask([
      { step: { lease, name: 'kept', result: { n: 1 } } },
      { step: { lease: other, name: 'kept' } },
      { dispatch: child },
      { dispatch: { ...child, name: 'nobody', task: { handler: 'nobody' } } },
      { wait: { lease, child: second } },
      { dispatch: { ...child, lease: other } },
    ])
    const [dispatched, others] = [2, 5].map((at) => (answers[at] as WorkerAnswers['answers'][number])?.dispatch?.id)
    assert.ok(dispatched !== undefined && others !== undefined && dispatched !== others)
    assert.deepEqual(answers, [
      { step: { done: true, result: { n: 1 } } },
      { step: { done: false, result: null } },
      { dispatch: { id: dispatched, number: (await on.get(dispatched)).number, duplicate: false } },
      // There is no such handler, and that is no child.
      null,
      null,
      { dispatch: { id: others, number: (await on.get(others)).number, duplicate: false } },
    ])
    // Asked again, each is what it was, also twice in one request.
    const [again, twice, step, waited] = (await ask([
      { dispatch: child },
      { dispatch: child },
      { step: { lease, name: 'kept', result: { n: 2 } } },
      { wait: { lease, child: dispatched } },
    ])) as WorkerAnswers['answers']
    assert.deepEqual([again?.dispatch?.id, twice?.dispatch?.id], [dispatched, dispatched])
    assert.deepEqual([step, waited], [{ step: { done: true, result: { n: 1 } } }, { wait: { outcome: null } }])
    assert.equal((await system.admin.get<unknown[]>(`/tasks?parent=${first}`)).body.length, 1)

    // Of those that are not the caller's, or are two things, none is answered.
    const mine = { step: { lease, name: 'late', result: 1 } }
    const elsewhere = on.http(await on.tokenFor(['worker:night']))
    assert.deepEqual(await ask([mine, { step: { lease: `${lease}x`, name: 'a' } }]), [422, 'LEASE_INVALID'])
    assert.deepEqual(await ask([mine], elsewhere), [403, 'SCOPE_NOT_ALLOWED'])
    assert.deepEqual(await ask([mine, { ...mine, wait: { lease, child: second } }]), [422, 'VALIDATION_FAILED'])
    assert.deepEqual(await ask([mine, {}]), [422, 'VALIDATION_FAILED'])
    assert.equal(await on.settle(lease), true)
    assert.deepEqual(await ask([mine, { step: { lease: other, name: 'kept', result: 2 } }]), [
      null,
      { step: { done: true, result: 2 } },
    ])
    assert.deepEqual(
      (await on.get(first)).steps.map(({ name }) => name),
      ['kept', 'child'],
    )
    // Given back it is claimed once more, and what was kept may be there.
    assert.equal(await on.settle(other, { outcome: 'back' }), true)
    let back: ClaimedTask | undefined
    await until('it is claimed again', async () => {
      ;[back] = await on.claim('w', ['x'])
      return back !== undefined
    })
    assert.deepEqual([back?.claims, back?.attempt], [2, 1])
    await system.check()
  })

  test(`who may claim, and what is handed out, is decided here (${backend.name})`, { skip: backend.skip }, async () => {
    await using system = await backend.start()
    const on = await sceneOf(system)
    const claim = { worker: 'w', queues: ['night'], handlers: [{ name: 'x', queue: 'night' }] }
    const other = on.http(await on.tokenFor(['worker:api']))
    const refused = await other.post<{ code: string }>('/workers/claim', claim)
    assert.deepEqual([refused.status, refused.body.code], [403, 'SCOPE_NOT_ALLOWED'])
    const stranger = on.http(await on.tokenFor(['tasks.list']))
    assert.equal((await stranger.post('/workers/claim', claim)).status, 403)
    const taken = await on.by.post<{ code: string }>('/workers/claim', {
      ...claim,
      handlers: [{ name: 'system.ping' }],
    })
    assert.deepEqual([taken.status, taken.body.code], [409, 'HANDLER_NAME_TAKEN'])

    assert.equal((await on.by.post('/workers/claim', claim)).status, 200)
    const id = await on.dispatch('x')
    const off = await system.admin.post<HandlerInfo>('/handlers/x/disable', { reason: 'its worker is being moved' })
    assert.deepEqual([off.status, off.body.disabled_reason], [200, 'its worker is being moved'])
    const told = (await on.handlers()).find(({ name }) => name === 'x')
    assert.deepEqual(
      [told?.disabled_at, told?.disabled_by_id, told?.disabled_reason],
      [off.body.disabled_at, off.body.disabled_by_id, 'its worker is being moved'],
    )
    assert.notEqual(told?.disabled_by_id, null)
    assert.deepEqual((await on.by.post<{ tasks: unknown[] }>('/workers/claim', claim)).body.tasks, [])
    const disabled = await system.admin.post<{ code: string }>('/tasks', { handler: 'x', input: {} })
    assert.deepEqual([disabled.status, disabled.body.code], [409, 'HANDLER_DISABLED'])
    const back = await system.admin.post<HandlerInfo>('/handlers/x/enable')
    assert.deepEqual([back.status, back.body.disabled_at, back.body.disabled_reason], [200, null, null])
    const [task] = (await on.by.post<{ tasks: ClaimedTask[] }>('/workers/claim', claim)).body.tasks
    assert.equal(task?.run_id, id)
    const results = [{ lease: task!.lease, outcome: 'completed' }]
    assert.equal((await other.post('/workers/settle', { results })).status, 403)
    const [text = '', signature] = task!.lease.split('.')
    const forged = Buffer.from(Buffer.from(text, 'base64url').toString().replace('"fence":1', '"fence":2'))
    const lease = `${forged.toString('base64url')}.${signature}`
    const invalid = await on.by.post<{ code: string }>('/workers/extend', { leases: [lease] })
    assert.deepEqual([invalid.status, invalid.body.code], [422, 'LEASE_INVALID'])
    assert.equal(await on.settle(task!.lease), true)
    assert.equal((await system.admin.post('/handlers/none/disable')).status, 404)
    await system.settle()
    const events = (await system.admin.get<{ event_type: string }[]>('/audit/events?limit=100')).body
    for (const type of ['handler.registered', 'handler.disabled', 'handler.enabled'])
      assert.equal(events.filter((one) => one.event_type === type).length, 1, type)
    await system.check()
  })
}

test('a server that stops does not wait for connections on which it answers a last time', async () => {
  await using system = await sqlite!.start()
  const on = await sceneOf(system)
  // Kept alive by the client, which asks nothing more.
  const asked = fetch(`${system.base}/api/v1/workers/claim`, {
    method: 'POST',
    headers: { authorization: `Bearer ${on.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ worker: 'w', queues: ['api'], handlers: [{ name: 'waits' }], wait_seconds: 20 }),
  }).then(async (answer) => [answer.status, ((await answer.json()) as { tasks: unknown[] }).tasks])
  await until('the worker waits', async () => (await on.handlers()).some((one) => one.name === 'waits'))
  const began = performance.now()
  await system.stop()
  assert.ok(performance.now() - began < 10_000, `${performance.now() - began} ms`)
  assert.deepEqual(await asked, [200, []])
})

test('of tasks that are claimed at once, one whose input is in a store that is away goes back, uncounted', async () => {
  await using system = await sqlite!.start()
  const on = await sceneOf(system)
  assert.deepEqual(await on.claim('w', ['by.hand']), [])
  const large = await on.dispatch('by.hand', 'x'.repeat(20_000))
  const small = await on.dispatch('by.hand', 'small')
  const blobs = path.join(system.folder, 'data/blobs')
  renameSync(blobs, `${blobs}.away`)
  assert.deepEqual(
    (await on.claim('w', ['by.hand'])).map((task) => task.run_id),
    [small],
  )
  const body = { worker: 'w', queues: ['api'], handlers: [{ name: 'by.hand' }], wait_seconds: 20 }
  const alone = await on.by.post<{ code: string }>('/workers/claim', body)
  assert.deepEqual([alone.status, alone.body.code], [503, 'STORAGE_UNAVAILABLE'])
  renameSync(`${blobs}.away`, blobs)
  const [task] = await on.claim('w', ['by.hand'], { wait_seconds: 20 })
  assert.deepEqual([task?.run_id, task?.attempt, String(task?.input).length], [large, 1, 20_000])
})
