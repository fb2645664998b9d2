import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import type { ConcurrencyKey, HandlerInfo, Queue, Submitted, Task, TaskDetail } from '@writ/api'
import { startReceiver } from '../channels/receiver.ts'
import { type TestSystem, until } from '../test-system.ts'
import { holds, ok, refused } from '../verifies.ts'
import { handlerOf } from './dispatch.ts'

const failing = handlerOf('test.fails', async () => {
  throw new Error('as a test wants it')
})
const patient = handlerOf('test.waits', (_, { signal }) => {
  signal.throwIfAborted()
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
})

const settled = async (sys: TestSystem, id: string): Promise<TaskDetail> => {
  const task = ok(await sys.admin.get<TaskDetail>(`/tasks/${id}/wait?timeout=30`))
  assert.notEqual(task.completed_at, null, `task ${id} is ${task.state}`)
  return task
}

holds('tasks are dispatched, listed, waited for and shown over HTTP', async (sys) => {
  const { admin } = sys
  const dev = await sys.hire('devi', 'dev')
  const handlers = ok(await dev.get<HandlerInfo[]>('/handlers'))
  assert.ok(handlers.some(({ name, timeout_ms }) => name === 'system.ping' && timeout_ms > 0))
  const one = ok(await dev.post<Submitted>('/tasks', { handler: 'system.ping', tags: ['first'] }), 201)
  const done = await settled(sys, one.id)
  assert.deepEqual([done.state, done.result, done.executed_by_username, done.attempt], ['completed', 'pong', 'devi', 1])
  const asRun = ok(await admin.post<Submitted>('/runs', { kind: 'task', handler: 'system.ping', input: { a: 1 } }))
  await settled(sys, asRun.id)
  const moved = await admin.get(`/runs/${asRun.id}`)
  assert.deepEqual([moved.status, moved.headers.get('location')], [307, `/api/v1/tasks/${asRun.id}`])
  assert.equal((await admin.get(`/runs/${asRun.number}`)).status, 307)
  const both = ok(
    await dev.post<Submitted[]>('/tasks/batch', { tasks: [{ handler: 'system.ping' }, { handler: 'demo_script' }] }),
    201,
  )
  assert.equal(both.length, 2)
  for (const { id } of both) await settled(sys, id)
  const mine = await dev.get<Task[]>('/tasks')
  assert.equal(mine.headers.get('x-total-count'), '3')
  assert.deepEqual(
    ok(mine).map(({ handler }) => handler),
    ['demo_script', 'system.ping', 'system.ping'],
  )
  assert.equal(ok(await admin.get<Task[]>('/tasks?handler=system.ping')).length, 3)
  assert.deepEqual(
    ok(await admin.get<Task[]>('/tasks?tag=first')).map(({ id }) => id),
    [one.id],
  )
  const page = ok(await admin.get<{ items: Task[]; next_cursor: string }>('/tasks?cursor=&limit=3'))
  const rest = ok(await admin.get<{ items: Task[] }>(`/tasks?limit=3&cursor=${encodeURIComponent(page.next_cursor)}`))
  assert.equal(new Set([...page.items, ...rest.items].map(({ id }) => id)).size, 4)
  refused(await dev.get(`/tasks/${asRun.id}`), 403, 'TASK_VIEW_DENIED')
  refused(await admin.get('/tasks/99'), 404, 'TASK_NOT_FOUND')
})

holds('a dispatch that is wrong is refused with what is wrong', async (sys) => {
  const { admin, employee } = sys
  refused(await admin.post('/tasks', { handler: 'no.such' }), 422, 'TASK_UNKNOWN_HANDLER')
  const input = refused(
    await admin.post('/tasks', { handler: 'proxy_forward', input: { urls: ['ftp://x'] } }),
    422,
    'TASK_INPUT_INVALID',
  )
  assert.match(input.errors?.[0]?.path ?? '', /^body\.input/)
  const faultsOf = async (path: string, body: object) =>
    refused(await admin.post(path, body), 422, 'TASK_INPUT_INVALID').errors?.map(({ path, message }) => [path, message])
  assert.deepEqual(await faultsOf('/tasks', { handler: 'proxy_forward', input: { timeout: -1 } }), [
    ['body.input.urls', 'required'],
    ['body.input.timeout', 'must be more than 0, or null'],
  ])
  // Of many it says which.
  const many = { tasks: [{ handler: 'system.ping' }, { handler: 'demo_script', input: { name: 5 } }] }
  assert.deepEqual(await faultsOf('/tasks/batch', many), [['body.tasks.1.input.name', 'must be string']])
  const unknown = refused(
    await admin.post('/tasks/batch', { tasks: [{ handler: 'system.ping' }, { handler: 'no.such' }] }),
    422,
    'TASK_UNKNOWN_HANDLER',
  )
  assert.equal(unknown.errors?.[0]?.path, 'body.tasks.1')
  refused(await admin.post('/tasks', { handler: 'system.ping', colour: 'red' }), 422, 'VALIDATION_FAILED')
  refused(await admin.post('/runs', { kind: 'task', handler: 'system.ping', colour: 'red' }), 422, 'VALIDATION_FAILED')
  refused(await admin.post('/runs', { kind: 'dance', handler: 'system.ping' }), 422, 'VALIDATION_FAILED')
  refused(await employee.post('/tasks', { handler: 'system.ping' }), 403, 'ROLE_NOT_ALLOWED')
  refused(await employee.post('/runs', { kind: 'task', handler: 'system.ping' }), 403, 'ROLE_NOT_ALLOWED')
  refused(
    await admin.post('/tasks', { handler: 'system.ping', callback: { url: 'http://10.0.0.1/hook' } }),
    422,
    'TASK_CALLBACK_REFUSED',
  )
  refused(await admin.post('/queues/none/pause'), 404, 'QUEUE_UNKNOWN')
  refused(await admin.post('/dead-letters/replay', {}), 422, 'DEAD_LETTERS_UNFILTERED')
  refused(await admin.post('/dead-letters/preview', {}), 422, 'DEAD_LETTERS_UNFILTERED')
  assert.deepEqual(ok(await admin.get('/tasks')), [])
})

holds('the same Idempotency-Key is the same task', async (sys) => {
  const sent = { headers: { 'idempotency-key': 'once' } }
  const first = ok(await sys.admin.post<Submitted>('/tasks', { handler: 'system.ping' }, sent), 201)
  const again = await sys.admin.post<Submitted>('/tasks', { handler: 'system.ping' }, sent)
  assert.deepEqual([again.status, again.body, again.headers.get('idempotency-replayed')], [201, first, 'true'])
  refused(await sys.admin.post('/tasks', { handler: 'demo_script' }, sent), 422, 'IDEMPOTENCY_MISMATCH')
  await settled(sys, first.id)
  assert.equal(ok(await sys.admin.get<Task[]>('/tasks')).length, 1)
})

holds('a queue is paused and limited before its first task, if one says that it is none yet', async (sys) => {
  const { admin } = sys
  refused(await admin.post('/queues/window/pause'), 404, 'QUEUE_UNKNOWN')
  refused(await admin.post('/queues/window/pause', { create: false }), 404, 'QUEUE_UNKNOWN')
  refused(await admin.post('/queues/A%20window/pause', { create: true }), 422, 'VALIDATION_FAILED')
  assert.deepEqual(ok(await admin.get('/queues')), [])

  assert.notEqual(ok(await admin.post<Queue>('/queues/window/pause', { create: true })).paused_at, null)
  const held = ok(await admin.post<Submitted>('/tasks', { handler: 'system.ping', queue: 'window' }), 201)
  const free = ok(await admin.post<Submitted>('/tasks', { handler: 'system.ping' }), 201)
  await settled(sys, free.id)
  assert.equal(ok(await admin.get<Task>(`/tasks/${held.id}`)).state, 'pending')
  ok(await admin.post('/queues/window/resume'))
  await settled(sys, held.id)

  refused(await admin.put('/queues/narrow/limit', { concurrency: 2 }), 404, 'QUEUE_UNKNOWN')
  refused(await admin.put('/queues/narrow/limit', { concurrency: null, create: true }), 404, 'QUEUE_UNKNOWN')
  assert.equal(ok(await admin.put<Queue>('/queues/narrow/limit', { concurrency: 2, create: true })).concurrency, 2)
  await sys.check()
})

holds('whoever meets a paused queue or key, or a disabled handler, is told by whom and why', async (sys) => {
  const { admin } = sys
  const me = ok(await admin.get<{ id: string }>('/auth/me')).id
  const queue = async () => ok(await admin.get<Queue[]>('/queues')).find(({ name }) => name === 'window')!
  const whyQueue = ({ paused_by_id, paused_reason }: Queue) => [paused_by_id, paused_reason]
  ok(await admin.post('/queues/window/pause', { create: true, reason: 'the rack is moved' }))
  // Paused it is; whoever comes later pauses nothing, and does not speak for who did.
  ok(await admin.post('/queues/window/pause', { reason: 'another' }))
  assert.deepEqual(whyQueue(await queue()), [me, 'the rack is moved'])
  assert.deepEqual(whyQueue(ok(await admin.post<Queue>('/queues/window/resume'))), [null, null])
  ok(await admin.post('/queues/window/pause'))
  assert.deepEqual(whyQueue(await queue()), [me, null])

  const key = async () => ok(await admin.get<ConcurrencyKey[]>('/concurrency-keys')).find((one) => one.key === 'k')
  const whyKey = (one: ConcurrencyKey) => [one.paused_by_id, one.paused_by_run_id, one.paused_reason]
  const pause = async (until: string, reason?: string) =>
    whyKey(ok(await admin.post<ConcurrencyKey>('/concurrency-keys/pause', { key: 'k', until, reason })))
  assert.deepEqual(await pause('2999-01-02T00:00:00Z', 'their gateway is down'), [me, null, 'their gateway is down'])
  assert.deepEqual(await pause('2999-01-01T00:00:00Z', 'shorter'), [me, null, 'their gateway is down'])
  assert.deepEqual(await pause('2999-01-03T00:00:00Z', 'longer'), [me, null, 'longer'])
  const paused = (await key())!
  assert.deepEqual(
    [...whyKey(paused), paused.paused_until, paused.paused_at !== null],
    [me, null, 'longer', '2999-01-03T00:00:00.000Z', true],
  )
  // Its row is written again when something waits under it.
  ok(await admin.post('/tasks', { handler: 'system.ping', concurrency_key: 'k' }), 201)
  assert.deepEqual(whyKey((await key())!), [me, null, 'longer'])
  const resumed = ok(await admin.post<ConcurrencyKey>('/concurrency-keys/resume', { key: 'k' }))
  assert.deepEqual([...whyKey(resumed), resumed.paused_at], [null, null, null, null])

  const why = ({ enabled, disabled_by_id, disabled_reason }: HandlerInfo) => [enabled, disabled_by_id, disabled_reason]
  const disabled = ok(await admin.post<HandlerInfo>('/handlers/demo_script/disable', { reason: 'it greets nobody' }))
  assert.deepEqual(why(disabled), [false, me, 'it greets nobody'])
  ok(await admin.post('/handlers/demo_script/disable', { reason: 'another' }))
  const one = async () => ok(await admin.get<HandlerInfo>('/handlers/demo_script'))
  const listed = async () => ok(await admin.get<HandlerInfo[]>('/handlers')).find(({ name }) => name === 'demo_script')!
  for (const found of [await one(), await listed()]) {
    assert.deepEqual(why(found), [false, me, 'it greets nobody'])
    assert.equal(found.disabled_at, disabled.disabled_at)
  }
  assert.deepEqual(why(ok(await admin.post<HandlerInfo>('/handlers/demo_script/enable'))), [true, null, null])
  assert.deepEqual(why(await listed()), [true, null, null])

  await sys.settle()
  const events = ok(await admin.get<{ event_type: string; details: { reason?: string } }[]>('/audit/events?limit=100'))
  assert.deepEqual(
    events
      .filter(({ event_type }) => /paused|resumed|abled$/.test(event_type))
      .map(({ event_type, details }) => [event_type, details.reason])
      .toReversed(),
    [
      ['queue.paused', 'the rack is moved'],
      ['queue.resumed', undefined],
      ['queue.paused', undefined],
      ['concurrency_key.paused', 'their gateway is down'],
      ['concurrency_key.paused', 'longer'],
      ['concurrency_key.resumed', undefined],
      ['handler.disabled', 'it greets nobody'],
      ['handler.enabled', undefined],
    ],
  )
  await sys.check()
})

holds(
  'queues are paused, resumed and drained, and tasks cancelled, over HTTP',
  async (sys) => {
    const { admin } = sys
    const ping = (more: object = {}) =>
      admin.post<Submitted>('/tasks', { handler: 'system.ping', queue: 'night', ...more }).then((a) => ok(a, 201))
    await settled(sys, (await ping()).id)
    assert.notEqual(ok(await admin.post<Queue>('/queues/night/pause')).paused_at, null)
    const waiting = await ping()
    await ping({ run_at: '2999-01-01T00:00:00Z' })
    const [night] = ok(await admin.get<Queue[]>('/queues')).filter(({ name }) => name === 'night')
    assert.deepEqual([night!.waiting, night!.delayed, night!.in_flight], [1, 1, 0])
    const counted = ({ waiting, delayed }: Pick<Queue, 'waiting' | 'delayed'>) => [waiting, delayed]
    assert.deepEqual(counted(ok(await admin.put<Queue>('/queues/night/limit', { concurrency: 9 }))), [1, 1])
    assert.deepEqual(counted(ok(await admin.post<Queue>('/queues/night/resume'))), [1, 1])
    await sys.settle()
    const [resumed] = ok(
      await admin.get<{ details: Pick<Queue, 'waiting' | 'delayed'> }[]>('/audit/events?event_type=queue.resumed'),
    )
    assert.deepEqual(counted(resumed!.details), [1, 1])
    await settled(sys, waiting.id)
    assert.deepEqual(ok(await admin.post('/queues/night/drain', { limit: 10 })), { cancelled: 1, left: 0 })
    assert.deepEqual(ok(await admin.post('/queues/night/drain')), { cancelled: 0, left: 0 }, 'the limit has a default')

    const running = ok(await admin.post<Submitted>('/tasks', { handler: 'test.waits' }), 201)
    await until('it runs', async () => ok(await admin.get<Task>(`/tasks/${running.id}`)).state === 'running')
    ok(await admin.post(`/tasks/${running.id}/cancel`, { reason: 'enough' }))
    assert.equal((await settled(sys, running.id)).state, 'cancelled')
    refused(await admin.post(`/tasks/${running.id}/cancel`), 409, 'TASK_NOT_CANCELLABLE')
  },
  { testHandlers: [patient] },
)

holds(
  'dead letters are previewed, replayed by filter and purged over HTTP',
  async (sys) => {
    const { admin } = sys
    const died = await Promise.all(
      [1, 2, 3].map(async () =>
        settled(sys, ok(await admin.post<Submitted>('/tasks', { handler: 'test.fails' }), 201).id),
      ),
    )
    assert.ok(died.every((task) => task.dead_at !== null && task.error === 'as a test wants it'))
    const of = { handler: 'test.fails' }
    assert.deepEqual(ok(await admin.post('/dead-letters/preview', of)), { count: 3, not_replayed: [] })
    const done = ok(
      await admin.post<{ replayed: (Submitted & { replays_run_id: string })[]; left: number }>('/dead-letters/replay', {
        ...of,
        limit: 2,
      }),
    )
    assert.deepEqual(
      [done.replayed.map((one) => one.replays_run_id), done.left],
      [
        died
          .map(({ id }) => id)
          .sort()
          .slice(0, 2),
        1,
      ],
    )
    for (const { id } of done.replayed) await settled(sys, id)
    assert.equal(ok(await admin.get<Task[]>('/dead-letters')).length, 3)
    const oldest = died.map(({ id }) => id).sort()[0]!
    refused(await admin.get(`/dead-letters/${oldest}`), 409, 'TASK_NOT_DEAD')
    assert.deepEqual(ok(await admin.post('/dead-letters/purge', of)), { purged: 3 })
    assert.deepEqual(ok(await admin.get('/dead-letters')), [])
  },
  { testHandlers: [failing] },
)

let stepped = 0
const inSteps = handlerOf(
  'test.steps',
  async (_, { attempt, step }) => {
    const token = await step('fetch token', async () => ({ password: `winter-copper-${++stepped}` }))
    if (attempt === 1) throw new Error('after the first step')
    await step('use it', async () => undefined)
    return { token, used: stepped }
  },
  { maxAttempts: 2 },
)

holds(
  'a step that was done is not done again by the next attempt, and is shown without its secrets',
  async (sys) => {
    stepped = 0
    const { id } = ok(await sys.admin.post<Submitted>('/tasks', { handler: 'test.steps' }), 201)
    const attempts = async () => ok(await sys.admin.get<TaskDetail>(`/tasks/${id}`)).attempts
    await until('the first attempt failed', async () => (await attempts())[0]?.outcome === 'failed')
    sys.advance(5_000)
    const task = await settled(sys, id)
    assert.deepEqual([task.state, stepped], ['completed', 1])
    assert.deepEqual(
      task.steps.map(({ name, attempt }) => [name, attempt]),
      [
        ['fetch token', 1],
        ['use it', 2],
      ],
    )
    assert.ok(!JSON.stringify(task).includes('winter-copper'), JSON.stringify(task))
  },
  { testHandlers: [inSteps], fakeClock: true },
)

holds('a native callback is the event of the end, as a CloudEvent', async (sys) => {
  await using receiver = await startReceiver()
  const { id } = ok(
    await sys.admin.post<Submitted>('/tasks', { handler: 'system.ping', callback: { url: receiver.url } }),
    201,
  )
  await until('the callback came', async () => receiver.received.length > 0)
  const [{ event, headers }] = receiver.received as [(typeof receiver.received)[number]]
  assert.deepEqual([event.data.event_type, event.data.resource_id, event.data.success], ['run.completed', id, true])
  assert.match(String(headers['content-type']), /cloudevents/)
  assert.deepEqual(ok(await sys.admin.get('/webhooks')), [], 'callbacks are no webhooks that somebody keeps')
})

const SECRET = 'AKIAQ3EGRIPDEADBEEF7'
const echo = handlerOf('test.echo', async (input) => ({ got: input, again: `key ${SECRET}` }))

holds(
  'what is secret in input and result reaches the work and whoever waits, and stands nowhere',
  async (sys) => {
    const { token } = ok(await sys.admin.post<{ token: string }>('/tokens', { name: 'door', role: 'admin' }), 201)
    const answer = await sys.anonymous.post<{ result: { got: object } }>(
      '//dispatch',
      { task: 'test.echo', taskData: { password: 'winter-copper-91', note: `use ${SECRET}` }, async: false },
      { headers: { 'x-api-token': token } },
    )
    assert.deepEqual(ok(answer).result, {
      got: { password: 'winter-copper-91', note: `use ${SECRET}` },
      again: `key ${SECRET}`,
    })
    const [task] = ok(await sys.admin.get<Task[]>('/tasks'))
    const shown = JSON.stringify(ok(await sys.admin.get(`/tasks/${task!.id}`)))
    for (const secret of ['winter-copper-91', SECRET]) assert.ok(!shown.includes(secret), shown)
    assert.match(shown, /REDACTED/)
    await sys.settle()
    for (const file of globSync('data/**', { cwd: sys.folder, withFileTypes: true }).filter((one) => one.isFile())) {
      const bytes = readFileSync(path.join(file.parentPath, file.name))
      for (const secret of ['winter-copper-91', SECRET]) assert.ok(!bytes.includes(secret), file.name)
    }
  },
  { testHandlers: [echo] },
)

holds(
  'Feishu: an application is registered, its token fetched once, kept and replaced by hand',
  async (sys) => {
    const asked: unknown[] = []
    const feishu = createServer(async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      const { app_id, app_secret } = JSON.parse(body) as Record<string, string>
      asked.push(app_id)
      const good = request.url === '/open-apis/auth/v3/tenant_access_token/internal' && app_secret === 'its secret'
      response.end(
        JSON.stringify(
          good
            ? { code: 0, msg: 'ok', tenant_access_token: `t-${asked.length}-of-${app_id}`, expire: 7200 }
            : { code: 10014, msg: 'app secret invalid' },
        ),
      )
    })
    await new Promise<void>((listening) => feishu.listen(0, '127.0.0.1', listening))
    try {
      const { token } = ok(await sys.admin.post<{ token: string }>('/tokens', { name: 'door', role: 'admin' }), 201)
      const dispatch = async (task: string, taskData: object) =>
        ok(
          await sys.anonymous.post<{ status: string; result: Record<string, unknown>; error: string }>(
            '//dispatch',
            { task, taskData, async: false },
            { headers: { 'x-api-token': token } },
          ),
        )
      assert.match((await dispatch('feishu_get_token', {})).error, /FEISHU_APP_ID/)
      await sys.restart({ env: { FEISHU_URL: `http://127.0.0.1:${(feishu.address() as AddressInfo).port}` } })
      const registered = (await dispatch('feishu_set_token', { app_id: 'cli_a', app_secret: 'its secret' })).result
      assert.deepEqual(
        { ...registered, app_hash: typeof registered.app_hash },
        { status: 'registered', msg: 'Application registered successfully', app_hash: 'string', app_id: 'cli_a' },
      )
      const by = { app_hash: registered.app_hash }
      assert.equal((await dispatch('feishu_get_token', by)).result.tenant_access_token, 't-1-of-cli_a')
      assert.equal((await dispatch('feishu_get_token', by)).result.tenant_access_token, 't-1-of-cli_a')
      assert.equal(asked.length, 1)
      // It lasts for two hours, whatever time somebody says it is.
      sys.setClock(-3 * 3_600_000)
      sys.advance(7_150_000)
      assert.equal((await dispatch('feishu_get_token', by)).result.tenant_access_token, 't-2-of-cli_a')
      assert.match(
        (await dispatch('feishu_get_token', { app_hash: 'none' })).error,
        /^Invalid or expired app_hash: none$/,
      )
      assert.match(
        (await dispatch('feishu_get_token', { app_id: 'cli_a', app_secret: 'wrong' })).error,
        /secret invalid/,
      )
      assert.deepEqual((await dispatch('feishu_set_token', { app_id: 'cli_a', token: 'by-hand' })).result, {
        status: 'ok',
        msg: 'Token manually updated',
      })
      assert.equal((await dispatch('feishu_get_token', by)).result.tenant_access_token, 'by-hand')

      // The configured application's, for an API token whose scopes name it.
      const url = `http://127.0.0.1:${(feishu.address() as AddressInfo).port}`
      await sys.restart({ env: { FEISHU_URL: url, FEISHU_APP_ID: 'cli_b', FEISHU_APP_SECRET: 'its secret' } })
      const ask = (text: string) => sys.anonymous.get('//feishu/token', { headers: { 'x-api-token': text } })
      assert.deepEqual((await ask(token)).body, { detail: 'Forbidden' })
      const scoped = { name: 'feishu', role: 'dev', scopes: ['dispatch.feishuToken'] }
      const reader = ok(await sys.admin.post<{ token: string }>('/tokens', scoped), 201)
      assert.match(JSON.stringify(ok(await ask(reader.token))), /"t-\d+-of-cli_b","expires_in":7200/)
    } finally {
      feishu.closeAllConnections()
      feishu.close()
    }
  },
  { fakeClock: true },
)
