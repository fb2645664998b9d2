import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { AuditEvent, Role } from '@writ/api'
import { type Handler, TaskError } from '../../packages/server/src/kinds/task/index.ts'
import { type Receiver, startReceiver } from '../channels/receiver.ts'
import { type Client, createClient } from '../client.ts'
import { freePort } from '../servers/free-port.ts'
import { endLeases } from '../servers/statement.ts'
import { type TestSystem, until } from '../test-system.ts'
import { holds, ok, verifies } from '../verifies.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** A client of the documented paths with a token of this role. */
async function withToken(sys: TestSystem, role: Role, more: object = {}): Promise<Client> {
  const { token } = ok(
    await sys.admin.post<{ token: string }>('/tokens', { name: `${role} of the door`, role, ...more }),
    201,
  )
  return at(sys, { 'x-api-token': token })
}
const at = (sys: TestSystem, headers: Record<string, string>): Client =>
  createClient({ base: () => sys.base, prefix: '', credentials: async () => headers })

type Accepted = { accepted: boolean; task_id: string }
const statusOf = async (client: Client, id: string) => (await client.get<{ status: string }>(`/task/${id}`)).body.status
const becomes = (client: Client, id: string, status: string) =>
  until(`the task is ${status}`, async () => (await statusOf(client, id)) === status)

const handlerOf = (name: string, run: Handler['run'], more: Partial<Handler> = {}): Handler => ({
  name,
  title: name,
  source: 'builtin',
  input: null,
  output: null,
  queue: 'api',
  timeoutMs: 60_000,
  maxAttempts: 1,
  concurrency: null,
  sideEffect: 'none',
  run,
  ...more,
})
const failing = handlerOf('test.fail', async () => {
  throw new TaskError('NO_SUCH_VLAN', 'VLAN 7 is not there')
})

verifies(['P01', 'P02', 'P03'], 'ping and metrics answer without a login', async (sys) => {
  const nobody = at(sys, {})
  assert.deepEqual(ok(await nobody.get('/ping')), { status: 'ok' })
  const metrics = await nobody.get<string>('/metrics')
  assert.match(metrics.headers.get('content-type') ?? '', /^text\/plain/)
  const text = ok(metrics)
  for (const name of [
    'procurator_task_enqueued_total',
    'procurator_task_queue_size',
    'procurator_task_started_total',
    'procurator_task_finished_total',
    'procurator_task_failed_total',
    'procurator_task_execution_seconds',
  ])
    assert.match(text, new RegExp(`^# TYPE ${name} `, 'm'), name)
})

verifies(
  ['P04', 'P05', 'P06', 'P14', 'P15', 'P18', 'P19'],
  'what is wrong is refused in the documented words',
  async (sys) => {
    const admin = await withToken(sys, 'admin')
    for (const client of [at(sys, {}), at(sys, { 'x-api-token': 'wrong-token' })]) {
      const refused = await client.post('/dispatch', { task: 'demo' })
      assert.deepEqual([refused.status, refused.body], [401, { detail: 'Unauthorized' }])
    }
    assert.equal((await at(sys, {}).get('/task/x')).status, 401)
    const missing = await admin.post<{ detail: { loc: string[]; type: string; msg: string }[] }>('/dispatch', {
      task: 'demo',
    })
    assert.deepEqual(
      [missing.status, missing.body.detail[0]?.loc, missing.body.detail[0]?.type, missing.body.detail[0]?.msg],
      [422, ['body', 'taskData'], 'missing', 'Field required'],
    )
    const { token } = ok(await sys.admin.post<{ token: string }>('/tokens', { name: 'broken', role: 'admin' }), 201)
    const broken = await fetch(`${sys.base}/dispatch`, {
      method: 'POST',
      headers: { 'x-api-token': token, 'content-type': 'application/json' },
      body: '{"task": ',
    })
    assert.deepEqual(
      [broken.status, await broken.json()],
      [
        422,
        {
          detail: [
            {
              type: 'json_invalid',
              loc: ['body', 9],
              msg: 'JSON decode error',
              input: {},
              ctx: { error: 'Expecting a value' },
            },
          ],
        },
      ],
    )
    const forbidden = await fetch(`${sys.base}/dispatch`, {
      method: 'POST',
      headers: { 'x-api-token': token, 'content-type': 'application/json' },
      body: '{"task": "system.ping", "taskData": {"__proto__": 1}}',
    })
    const said = 'must have no field called __proto__, nor constructor with prototype in it'
    assert.deepEqual(
      [forbidden.status, await forbidden.json()],
      [422, { detail: [{ type: 'value_error', loc: ['body'], msg: said }] }],
    )
    const params = await admin.post('/dispatch', { task: 'proxy_forward', taskData: {} })
    assert.deepEqual([params.status, params.body], [422, { detail: 'Invalid task params: urls required' }])
    const unknown = await admin.post('/dispatch', { task: 'nope', taskData: {} })
    assert.deepEqual([unknown.status, unknown.body], [422, { detail: 'Task not allowed or unknown' }])
    const example = await admin.post('/dispatch', { task: '_doc_example', taskData: { msg: 'hi' }, async: false })
    assert.deepEqual([example.status, example.body], [200, { code: 200, data: 'Hello World' }])
    assert.deepEqual(ok(await (await withToken(sys, 'dev')).get('/task/nosuch')), { status: 'unknown' })
    assert.equal(ok(await admin.get('/task/nosuch/detail')), null)
  },
)

holds('numbers and booleans are read as the gateway read them, and what it ignored is ignored', async (sys) => {
  const admin = await withToken(sys, 'admin')
  const ping = { task: 'system.ping', taskData: {} }
  type Answer = { task_id: string; status?: string; detail: { type: string; msg: string }[] }
  const done = ok(await admin.post<Answer>('/dispatch', { ...ping, async: 'False', maxRetries: ' 3 ' }))
  assert.equal(done.status, 'completed')
  const [task] = ok(await sys.admin.get<{ max_attempts: number }[]>('/tasks?limit=1'))
  assert.equal(task!.max_attempts, 4)
  assert.equal(ok(await admin.post<Answer>('/dispatch', { ...ping, async: 0 })).status, 'completed')
  // Of the one in the data only `false` itself says so.
  assert.equal(ok(await admin.post<Answer>('/dispatch', { ...ping, taskData: { async: 'false' } })).status, undefined)
  for (const [body, type] of [
    [{ ...ping, maxRetries: 'three' }, 'int_parsing'],
    [{ ...ping, maxRetries: 3.5 }, 'int_from_float'],
    [{ ...ping, async: 'maybe' }, 'bool_parsing'],
    [{ ...ping, async: 2 }, 'bool_type'],
  ] as const) {
    const refused = await admin.post<Answer>('/dispatch', body)
    assert.deepEqual([refused.status, refused.body.detail[0]?.type], [422, type])
  }
  assert.ok(Array.isArray(ok(await admin.get('/logs/list?backup=1'))))
  assert.ok(ok(await admin.get<{ tasks: string[] }>('/tasks?_=1795815900')).tasks.includes('system.ping'))
})

holds(
  'a body is read by the content types that the gateway knew, and of a repeated parameter the last counts',
  async (sys) => {
    const { token } = ok(await sys.admin.post<{ token: string }>('/tokens', { name: 'raw', role: 'admin' }), 201)
    const post = async (body: string | Blob, headers: Record<string, string> = {}) => {
      const answer = await fetch(`${sys.base}/dispatch`, {
        method: 'POST',
        headers: { 'x-api-token': token, ...headers },
        body,
      })
      return { status: answer.status, body: (await answer.json()) as { accepted?: boolean; detail?: unknown[] } }
    }
    const ping = '{"task": "system.ping", "taskData": {}, "async": false}'
    // Of a Blob without a type nothing says what it is.
    assert.equal((await post(new Blob([ping]))).body.accepted, true)
    for (const type of [
      'application/json; charset=utf-8',
      'application/vnd.api+json',
      'Application/CloudEvents+JSON; v=1',
    ])
      assert.equal((await post(ping, { 'content-type': type })).body.accepted, true, type)
    const noObject = 'Input should be a valid dictionary or object to extract fields from'
    for (const type of ['text/plain', 'application/x-www-form-urlencoded'])
      assert.deepEqual(await post('a=1', { 'content-type': type }), {
        status: 422,
        body: { detail: [{ type: 'model_attributes_type', loc: ['body'], msg: noObject, input: 'a=1' }] },
      })
    assert.deepEqual((await post('[]', { 'content-type': 'application/json' })).body.detail, [
      { type: 'model_attributes_type', loc: ['body'], msg: noObject, input: [] },
    ])
    for (const nothing of ['', 'null'])
      assert.deepEqual(await post(nothing, { 'content-type': 'application/json' }), {
        status: 422,
        body: { detail: [{ type: 'missing', loc: ['body'], msg: 'Field required', input: null }] },
      })
    assert.equal((await post(new Blob(['{"task": ']))).status, 422)
    assert.equal((await post(new Blob(['{"task": "system.ping", "taskData": {"__proto__": 1}}']))).status, 422)

    const admin = at(sys, { 'x-api-token': token })
    assert.deepEqual(ok(await admin.get('/dlq/api?count=0&count=5')), [])
    assert.equal((await admin.get('/dlq/api?count=5&count=0')).status, 422)
    assert.equal((await admin.get('/logs/read?filename=nope.log&filename=../x')).status, 400)
    assert.equal((await admin.get('/logs/read?filename=../x&filename=nope.log')).status, 404)
    assert.deepEqual((await admin.get('/logs/read')).body, {
      detail: [{ type: 'missing', loc: ['query', 'filename'], msg: 'Field required', input: null }],
    })
    assert.deepEqual((await admin.get('/logs/read?filename=a%00')).body, {
      detail: [{ type: 'value_error', loc: ['query', 'filename'], msg: 'must hold no character 0' }],
    })
  },
)

holds('the door has a port of its own where one is set, with its documents and one limit for both', async (sys) => {
  const port = await freePort()
  await sys.restart({ env: { SERVER_PORT: String(port), RATE_LIMIT_MAX: '2', SERVER_ACCESS_LOG: '1' } })
  const { token } = ok(await sys.admin.post<{ token: string }>('/tokens', { name: 'door', role: 'admin' }), 201)
  const own = createClient({
    base: () => `http://127.0.0.1:${port}`,
    prefix: '',
    credentials: async () => ({ 'x-api-token': token }),
  })
  assert.deepEqual(ok(await own.get('/ping')), { status: 'ok' })
  assert.match(ok(await own.get<string>('/metrics')), /procurator_task_queue_size/)
  const document = ok(await own.get<{ paths: Record<string, unknown> }>('/openapi.json'))
  assert.ok('/dispatch' in document.paths && '/dlq/{queue_name}' in document.paths)
  assert.match(ok(await own.get<string>('/docs')), /swagger-ui/)
  assert.equal((await own.get('/api/v1/tasks')).status, 404)
  const body = { task: 'system.ping', taskData: {} }
  ok(await own.post('/dispatch', body))
  ok(await at(sys, { 'x-api-token': token }).post('/dispatch', body))
  assert.equal((await own.post('/dispatch', body)).status, 429)
  // Both ports count what they answer, and log it where that is asked for.
  const counted = /^writ_http_requests_total\{route="dispatch.dispatch",method="POST",status="(\d+)"\} (\d+)$/gm
  const counts = [...ok(await own.get<string>('/metrics')).matchAll(counted)].map(([, status, n]) => [status, n])
  assert.deepEqual(counts, [
    ['200', '2'],
    ['429', '1'],
  ])
  const lines = sys
    .log()
    .split('\n')
    .filter((line) => line.includes('"path":"/dispatch"'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.deepEqual(
    lines.map(({ msg, method, status, user }) => [msg, method, status, user]),
    [200, 200, 429].map((status) => ['request', 'POST', status, 'admin']),
  )
  assert.match(String(lines[0]?.trace), /^[0-9a-f]{32}$/)
})

holds(
  'what is listed is what can be dispatched: handlers of the project too, and none that is disabled',
  async (sys) => {
    const admin = await withToken(sys, 'admin')
    ok(await sys.admin.post('/handlers', { name: 'vlan.add', url: 'http://127.0.0.1:9/' }), 201)
    const listed = async () => ok(await admin.get<{ tasks: string[] }>('/tasks')).tasks
    assert.ok((await listed()).includes('vlan.add') && (await listed()).includes('demo_script'))
    for (const name of ['vlan.add', 'demo_script']) ok(await sys.admin.post(`/handlers/${name}/disable`))
    assert.deepEqual(
      (await listed()).filter((name) => ['vlan.add', 'demo_script', 'system.ping'].includes(name)),
      ['system.ping'],
    )
  },
)

holds('a dispatch that is asked again under its key waits like the first, and does nothing twice', async (sys) => {
  await using receiver = await startReceiver()
  receiver.answer = () => ({ status: 200, headers: { 'content-type': 'application/json' }, body: '{"ok":true}' })
  const admin = await withToken(sys, 'admin')
  for (const [path, body] of [
    ['/dispatch', { task: 'system.ping', taskData: {}, async: false }],
    ['/dispatch', { task: 'system.ping', taskData: {} }],
    ['/proxy/forward', { urls: [receiver.url], data: {} }],
    ['/proxy/forward', { urls: [], data: {}, mode: 'async' }],
  ] as const) {
    const sent = { headers: { 'idempotency-key': `key-${JSON.stringify(body)}`.replaceAll(/[^!-~]/g, '') } }
    const first = ok(await admin.post<Record<string, unknown>>(path, body, sent))
    const again = await admin.post<Record<string, unknown>>(path, body, sent)
    assert.equal(again.headers.get('idempotency-replayed'), 'true')
    assert.deepEqual(ok(again), first)
  }
  assert.equal(receiver.received.length, 1)
})

async function hears(receiver: Receiver, count: number): Promise<Record<string, unknown>[]> {
  await until(`${count} callbacks came`, async () => receiver.received.length >= count)
  return receiver.received.map(({ body }) => JSON.parse(body) as Record<string, unknown>)
}

verifies(
  ['P07', 'P08', 'P09', 'P10', 'P11', 'P17', 'P48'],
  'a task is dispatched, done, shown and told of',
  async (sys) => {
    await using receiver = await startReceiver()
    const admin = await withToken(sys, 'admin')
    const first = ok(
      await admin.post<Accepted>('/dispatch', {
        task: 'system.ping',
        taskData: { msg: 'hello' },
        async: true,
        ignored: 1,
      }),
    )
    assert.deepEqual([first.accepted, UUID.test(first.task_id)], [true, true])
    const { task_id } = ok(
      await admin.post<Accepted>('/dispatch', {
        task: 'system.ping',
        taskData: { target: '127.0.0.1' },
        queue: 'api',
        async: true,
        maxRetries: 3,
        webhook: receiver.url,
      }),
    )
    await becomes(admin, task_id, 'completed')
    assert.deepEqual(await hears(receiver, 1), [
      { task_id, task: 'system.ping', status: 'done', result: 'pong', error: null, meta: null },
    ])
    // Nobody agreed on a secret: it has an id to tell it by, and no signature that would be empty.
    assert.deepEqual(
      [typeof receiver.received[0]?.headers['webhook-id'], receiver.received[0]?.headers['webhook-signature']],
      ['string', undefined],
    )
    const detail = ok(await admin.get<Record<string, unknown>>(`/task/${task_id}/detail`))
    assert.deepEqual(
      [detail.id, detail.task, detail.status, detail.result, detail.queue, detail.payload],
      [
        task_id,
        'system.ping',
        'completed',
        'pong',
        'api',
        { task: 'system.ping', taskData: { target: '127.0.0.1' }, webhook: receiver.url, _max_retries: 3 },
      ],
    )
    assert.equal(typeof detail.created_at, 'number')

    const inside = ok(
      await admin.post<Accepted>('/dispatch', {
        task: 'system.ping',
        taskData: { webhook: receiver.url },
        queue: 'other',
      }),
    )
    await becomes(admin, inside.task_id, 'completed')
    // A name that no worker looks at, or that another kind of work has, is none.
    for (const queue of ['.proof', '@api/system.ping', 'a/b', 'x'.repeat(65)])
      for (const [path, body] of [
        ['/dispatch', { task: 'system.ping', taskData: {}, queue }],
        ['/proxy/forward', { urls: [], data: {}, queue }],
      ] as const) {
        const refused = await admin.post<{ detail: { type: string; loc: string[] }[] }>(path, body)
        assert.equal(refused.status, 422, `${path} ${queue}`)
        assert.deepEqual(
          [refused.body.detail[0]?.type, refused.body.detail[0]?.loc],
          ['string_pattern_mismatch', ['body', 'queue']],
        )
      }
    assert.deepEqual(
      (await hears(receiver, 2)).map((body) => body.task_id),
      [task_id, inside.task_id],
    )
  },
)

verifies('P03', 'what is measured of a queue falls again, to nothing', async (sys) => {
  const admin = await withToken(sys, 'admin')
  ok(await admin.post('/dispatch', { task: 'system.ping', taskData: {}, queue: 'night', async: false }))
  ok(await sys.admin.post('/queues/night/pause', {}))
  for (let n = 0; n < 3; n++) ok(await admin.post('/dispatch', { task: 'system.ping', taskData: {}, queue: 'night' }))
  const measured = async (name: string) =>
    new RegExp(`^${name}\\{queue="night"\\} (.+)$`, 'm').exec(ok(await at(sys, {}).get<string>('/metrics')))?.[1]
  const names = ['procurator_task_queue_size', 'writ_queue_waiting']
  for (const name of names) await until(`${name} is 3`, async () => (await measured(name)) === '3')
  ok(await sys.admin.post('/queues/night/resume', {}))
  for (const name of names) await until(`${name} is 0`, async () => (await measured(name)) === '0')
  assert.equal(await measured('writ_queue_oldest_age_seconds'), '0')
  const text = ok(await at(sys, {}).get<string>('/metrics'))
  for (const step of ['enqueue', 'claim', 'settle'])
    assert.match(text, new RegExp(`^writ_queue_batch_size_sum\\{step="${step}"\\} [1-9]`, 'm'))
})

verifies(['P12', 'P13'], 'a synchronous dispatch answers with what it came to', async (sys) => {
  const admin = await withToken(sys, 'admin')
  const { task_id, ...done } = ok(
    await admin.post<Record<string, unknown>>('/dispatch', { task: 'system.ping', taskData: {}, async: false }),
  )
  assert.deepEqual(done, { accepted: true, status: 'completed', result: 'pong' })
  assert.equal(await statusOf(admin, String(task_id)), 'completed')
  const { task_id: _, ...failed } = ok(
    await admin.post<Record<string, unknown>>('/dispatch', { task: 'script.execute', taskData: {}, async: false }),
  )
  assert.deepEqual(failed, { accepted: true, status: 'failed', error: 'script_name is required' })
  // What stands inside of taskData wins, as documented.
  const inside = ok(
    await admin.post<Record<string, unknown>>('/dispatch', {
      task: 'system.ping',
      taskData: { async: false },
      async: true,
    }),
  )
  assert.equal(inside.result, 'pong')
})

verifies(
  ['P20', 'P22', 'P23', 'P24', 'P26', 'P28', 'P29', 'P49'],
  'a failing task is tried again, dies, and is replayed and purged by those who may',
  async (sys) => {
    await using receiver = await startReceiver()
    const admin = await withToken(sys, 'admin')
    const dev = await withToken(sys, 'dev')
    const { task_id } = ok(
      await admin.post<Accepted>('/dispatch', {
        task: 'test.fail',
        taskData: { vlan: 7 },
        maxRetries: 3,
        webhook: receiver.url,
      }),
    )
    const attempts = async () =>
      ok(
        await sys.admin.get<{ attempts: { next_run_at: string | null; ended_at: string | null }[] }>(
          `/tasks/${task_id}`,
        ),
      ).attempts
    const waits: number[] = []
    for (let n = 1; n <= 3; n++) {
      // One that runs is listed, too.
      await until(`attempt ${n} failed`, async () => (await attempts())[n - 1]?.ended_at != null)
      const { ended_at, next_run_at } = (await attempts())[n - 1]!
      waits.push(Date.parse(next_run_at!) - Date.parse(ended_at!))
      sys.advance(waits.at(-1)! + 1)
    }
    const asked = await withToken(sys, 'admin')
    await becomes(asked, task_id, 'dead')
    assert.equal((await attempts()).length, 4)
    assert.ok(waits[0]! < waits[1]! && waits[1]! < waits[2]!, String(waits))
    assert.deepEqual(await hears(receiver, 1), [
      { task_id, task: 'test.fail', status: 'failed', result: null, error: 'VLAN 7 is not there', meta: null },
    ])

    type Dead = { msg_id: string; time: string; timestamp: number; task: string; error: string }
    const again = ok(await asked.post<Accepted>('/dispatch', { task: 'test.fail', taskData: {} }))
    await becomes(asked, again.task_id, 'failed')
    const dead = ok(await asked.get<Dead[]>('/dlq/api'))
    assert.deepEqual(
      dead.map(({ task, error }) => [task, error]),
      [
        ['test.fail', 'VLAN 7 is not there'],
        ['test.fail', 'VLAN 7 is not there'],
      ],
    )
    assert.deepEqual(Object.keys(dead[0]!), ['msg_id', 'time', 'timestamp', 'task', 'error'])
    assert.ok(dead[0]!.timestamp >= dead[1]!.timestamp)
    assert.deepEqual(ok(await asked.get('/dlq/nosuchq')), [])
    const letter = ok(
      await asked.get<{ meta: Record<string, string>; payload: unknown }>(`/dlq/api/${dead[1]!.msg_id}`),
    )
    assert.deepEqual([letter.meta.tid, JSON.parse(letter.meta.original_payload!)], [task_id, letter.payload])
    assert.deepEqual(letter.payload, {
      task: 'test.fail',
      taskData: { vlan: 7 },
      webhook: receiver.url,
      _max_retries: 3,
    })
    const gone = await asked.get('/dlq/api/1-1')
    assert.deepEqual([gone.status, gone.body], [404, { detail: 'Message 1-1 not found' }])

    const path = `/dlq/api/${dead[1]!.msg_id}/replay`
    assert.equal((await dev.post(path)).status, 403)
    const replayed = ok(await asked.post<{ status: string; new_tid: string }>(path))
    assert.deepEqual([replayed.status, UUID.test(replayed.new_tid)], ['replayed', true])
    assert.notEqual(replayed.new_tid, task_id)
    const refused = await (await withToken(sys, 'dev')).delete('/dlq/api')
    assert.deepEqual([refused.status, refused.body], [403, { detail: 'Only admin can purge DLQ' }])
    assert.deepEqual(ok(await asked.delete('/dlq/api')), { status: 'purged', queue: 'procurator:queue:api:dlq' })
    assert.deepEqual(ok(await asked.get('/dlq/api')), [])

    await sys.settle()
    const events = ok(await sys.admin.get<AuditEvent[]>('/audit/events?resource_type=run&limit=100'))
    const of = (id: string) => events.filter((one) => one.resource_id === id).map((one) => one.event_type)
    assert.deepEqual(of(task_id).includes('run.failed'), true)
    assert.ok(
      events.some((one) => JSON.stringify(one).includes(replayed.new_tid)),
      'the replay is on record',
    )
    ok(await sys.admin.post(`/tasks/${replayed.new_tid}/cancel`))
  },
  { testHandlers: [failing], fakeClock: true },
)

verifies('P21', 'a running task is processing', async (sys) => {
  const admin = await withToken(sys, 'admin')
  const { task_id } = ok(await admin.post<Accepted>('/dispatch', { task: 'demo_script', taskData: { name: '王力' } }))
  await becomes(admin, task_id, 'processing')
  await becomes(admin, task_id, 'completed')
  const detail = ok(await admin.get<{ result: unknown }>(`/task/${task_id}/detail`))
  assert.deepEqual(detail.result, {
    status: 'success',
    message: 'Hello, 王力! Your task is done.',
    processed_data: null,
  })
})

verifies(
  ['P30', 'P31', 'P32'],
  'log files are listed and read, and nothing else is',
  async (sys) => {
    const ops = await withToken(sys, 'ops')
    type Listed = { name: string; path: string; size: string; size_bytes: number; mtime: string; type: string }
    const listed = ok(await ops.get<Listed[]>('/logs/list'))
    const api = listed.find(({ name }) => name === 'api.log')
    assert.deepEqual(Object.keys(api ?? {}), ['name', 'path', 'size', 'size_bytes', 'mtime', 'type'])
    assert.equal((await at(sys, {}).get('/logs/list')).status, 401)
    const read = ok(
      await ops.get<{ filename: string; lines: number; content: string }>('/logs/read?filename=api.log&lines=100'),
    )
    assert.equal(read.filename, 'api.log')
    assert.ok(read.lines <= 100 && read.content.split('\n').length === read.lines + 1)
    const details = async (query: string) => {
      const { status, body } = await ops.get<{ detail: unknown }>(`/logs/read?${query}`)
      return [status, typeof body.detail === 'string' ? body.detail : 'list']
    }
    assert.deepEqual(await details('filename=../x'), [400, 'Invalid filename'])
    assert.deepEqual(await details('filename=/etc/passwd'), [400, 'Invalid filename'])
    assert.deepEqual(await details('filename=nope.log'), [404, 'Log file not found'])
    assert.deepEqual(await details('filename=api.log&lines=abc'), [422, 'list'])
    assert.deepEqual(await details('filename=api.log&lines=-1'), [422, 'list'])
  },
  { process: true, env: { LOG_LEVEL: 'info' } },
)

verifies(
  'P34',
  'the thirty-first dispatch of a task within a minute is refused, by another token it is not',
  async (sys) => {
    const [one, other] = [await withToken(sys, 'admin'), await withToken(sys, 'dev')]
    const body = { task: 'system.ping', taskData: {} }
    for (let n = 0; n < 30; n++) ok(await one.post('/dispatch', { ...body, queue: `q${n % 3}` }))
    const refused = await one.post('/dispatch', body)
    assert.deepEqual([refused.status, refused.body], [429, { detail: 'Too Many Requests' }])
    assert.match(refused.headers.get('retry-after') ?? '', /^\d+$/)
    ok(await other.post('/dispatch', body))
    // What is refused for another reason costs nothing.
    assert.equal((await one.post('/dispatch', { task: 'nope', taskData: {} })).status, 422)
  },
)

holds(
  'when the clock is set back, a limit of dispatches is over as soon as it would have been',
  async (sys) => {
    const client = await withToken(sys, 'admin')
    const body = { task: 'system.ping', taskData: {} }
    ok(await client.post('/dispatch', body))
    sys.setClock(-3_600_000)
    const refused = await client.post('/dispatch', body)
    assert.deepEqual([refused.status, refused.headers.get('retry-after')], [429, '60'])
    sys.advance(60_000)
    ok(await client.post('/dispatch', body))
  },
  { fakeClock: true, env: { RATE_LIMIT_MAX: '1' } },
)

holds('a path of the door is answered with a slash at its end, too', async (sys) => {
  const admin = await withToken(sys, 'admin')
  const sent = ok(await admin.post<Accepted>('/dispatch/', { task: 'system.ping', taskData: {}, async: false }))
  assert.equal(sent.accepted, true)
  assert.deepEqual(ok(await admin.get(`/task/${sent.task_id}/`)), { status: 'completed' })
  for (const path of ['/ping', '/tasks', `/task/${sent.task_id}/detail`, '/dlq/api', '/logs/list'])
    assert.deepEqual(
      ok(await admin.get(`${path}/?limit=5`)) as unknown,
      ok(await admin.get(`${path}?limit=5`)) as unknown,
      path,
    )
  assert.match(ok(await at(sys, {}).get<string>('/metrics/')), /^procurator_task_enqueued_total/m)
  const nobody = await at(sys, {}).post('/dispatch/', { task: 'system.ping' })
  assert.deepEqual([nobody.status, nobody.body], [401, { detail: 'Unauthorized' }])
  assert.equal((await at(sys, {}).get('/dispatch/')).status, 405)
  // Ours, and not the gateway's.
  assert.equal((await at(sys, {}).get('/healthz/')).status, 404)
})

verifies('P35', 'an address that is not allowed gets nowhere', async (sys) => {
  await sys.restart({ env: { ALLOWED_IPS: '10.0.0.1' } })
  for (const path of ['/ping', '/metrics', '/task/x', '/tasks']) {
    const refused = await at(sys, { 'x-forwarded-for': '10.0.0.1' }).get<{ detail: string }>(path)
    assert.equal(refused.status, 403, path)
    if (path !== '/metrics') assert.deepEqual(refused.body, { detail: 'IP not allowed' })
  }
  await sys.restart({ env: { ALLOWED_IPS: '*' } })
})

verifies(['P37', 'P39', 'P40'], 'urls are forwarded to, at once or later', async (sys) => {
  await using receiver = await startReceiver()
  receiver.answer = ({ path }) =>
    path === '/missing'
      ? { status: 404 }
      : { status: 200, headers: { 'content-type': 'application/json' }, body: '{"echo":true}' }
  const admin = await withToken(sys, 'admin')
  const base = `http://127.0.0.1:${receiver.port}`
  type Forwarded = { results: Record<string, unknown>[] } & Record<string, unknown>
  const answer = ok(
    await admin.post<Forwarded>('/proxy/forward', { urls: [`${base}/a`, `${base}/missing`], data: { a: 1 } }),
  )
  const { results, task_id: _, ...counts } = answer
  assert.deepEqual(counts, { accepted: true, mode: 'sync', count: 2, ok: 1, failed: 1 })
  assert.deepEqual(
    results.map(({ ms, ...one }) => ({ ...one, ms: typeof ms })),
    [
      { url: `${base}/a`, code: 200, ok: true, response: { echo: true }, ms: 'number' },
      { url: `${base}/missing`, code: null, ok: false, error: 'request_failed', ms: 'number' },
    ],
  )
  const scheme = await admin.post<{ detail: { type: string }[] }>('/proxy/forward', { urls: ['ftp://x/'], data: {} })
  assert.deepEqual([scheme.status, scheme.body.detail[0]?.type], [422, 'url_scheme'])

  const later = ok(
    await admin.post<Record<string, unknown>>('/proxy/forward', {
      urls: [`${base}/b`],
      data: {},
      mode: 'async',
      webhook: `${base}/hook`,
    }),
  )
  assert.deepEqual([later.accepted, later.mode, UUID.test(String(later.task_id))], [true, 'async', true])
  await until('the callback came', async () => receiver.received.some(({ path }) => path === '/hook'))
  const told = JSON.parse(receiver.received.find(({ path }) => path === '/hook')!.body) as Record<string, unknown>
  assert.deepEqual([told.task_id, told.status], [later.task_id, 'done'])
})

const scriptFolder = await mkdtemp(path.join(tmpdir(), 'writ-door-scripts-'))
process.once('exit', () => rmSync(scriptFolder, { recursive: true, force: true }))
await mkdir(path.join(scriptFolder, 'scripts'))
await chmod(scriptFolder, 0o755)
for (const [name, text] of Object.entries({
  'scripts/nothing.py': 'def run(context):\n    return None\n',
  'scripts/raises.py': 'def run(context):\n    raise ValueError("down")\n',
  'scripts/endless.py': 'import time\ndef run(context):\n    time.sleep(600)\n',
  'evil.py': 'import pathlib\ndef run(context):\n    pathlib.Path(__file__).with_name("ran").touch()\n',
}))
  await writeFile(path.join(scriptFolder, name), text)

verifies(
  ['P42', 'P43'],
  'scripts of the folder run, others do not',
  async (sys) => {
    const admin = await withToken(sys, 'admin')
    const run = async (script_name: string) =>
      ok(
        await admin.post<{ status: string; result?: unknown; error?: string }>('/dispatch', {
          task: 'script.execute',
          taskData: { script_name },
          async: false,
        }),
      )
    assert.deepEqual((await run('nothing')).result, { status: 'success' })
    assert.match((await run('raises')).error ?? '', /^Script execution failed:.*ValueError: down/s)
    assert.equal((await run('endless')).error, 'Script timed out after 1s')
    assert.equal((await run('../evil')).status, 'failed')
    const { existsSync } = await import('node:fs')
    assert.equal(existsSync(path.join(scriptFolder, 'ran')), false)
    assert.deepEqual(ok(await admin.get<{ scripts: string[] }>('/tasks')).scripts, ['endless', 'nothing', 'raises'])
    // What ran stands in the log before it ran, whatever became of it.
    await sys.settle()
    const started = ok(
      await sys.admin.get<{ details: Record<string, unknown> }[]>('/audit/events?event_type=run.started'),
    )
    assert.deepEqual(
      started.map(({ details }) => (details.intent as { script: string } | undefined)?.script).toReversed(),
      ['nothing.py', 'raises.py', 'endless.py', undefined],
    )
    const { sha256: digest, sandbox, network } = started.at(-1)!.details.intent as Record<string, unknown>
    assert.equal(digest, hash('sha256', readFileSync(path.join(scriptFolder, 'scripts/nothing.py')), 'hex'))
    assert.deepEqual([sandbox, network], ['bubblewrap', false])
    // Code of the operators is for them, whichever way one comes.
    const body = { task: 'script.execute', taskData: { script_name: 'nothing' } }
    const refused = await (await withToken(sys, 'dev')).post('/dispatch', body)
    assert.deepEqual([refused.status, refused.body], [403, { detail: 'Forbidden' }])
    ok(await (await withToken(sys, 'ops')).post('/dispatch', body))
    const dev = await sys.hire('dora', 'dev')
    const native = await dev.post<{ code: string }>('/tasks', { handler: 'script.execute', input: body.taskData })
    assert.deepEqual([native.status, native.body.code], [403, 'ROLE_NOT_ALLOWED'])
  },
  { env: { WRIT_SCRIPTS_DIR: path.join(scriptFolder, 'scripts'), SCRIPT_TIMEOUT_SECONDS: '1' } },
)

verifies(
  'P44',
  'an expired token is refused',
  async (sys) => {
    const client = await withToken(sys, 'admin', { expires_at: new Date(sys.now() + 60_000).toISOString() })
    ok(await client.get('/tasks'))
    sys.advance(61_000)
    assert.deepEqual((await client.get('/tasks')).body, { detail: 'Unauthorized' })
  },
  { fakeClock: true },
)

verifies('P44', 'a token of an account that is not active is none', async (sys) => {
  const dora = await sys.hire('dora', 'dev')
  const { token, user_id } = ok(await dora.post<{ token: string; user_id: string }>('/tokens', { name: 'door' }), 201)
  const door = at(sys, { 'x-api-token': token })
  ok(await door.get('/tasks'))
  ok(await sys.admin.patch(`/users/${user_id}`, { is_active: false }))
  const refused = await door.post('/dispatch', { task: 'system.ping', taskData: {} })
  assert.deepEqual([refused.status, refused.body], [401, { detail: 'Unauthorized' }])
  await sys.settle()
  const [denied] = ok(await sys.admin.get<AuditEvent[]>('/audit/events?event_type=access.denied'))
  assert.deepEqual([denied?.actor_username, denied?.error_message], ['dora', 'User is inactive'])
})

verifies(
  'P45',
  'a task whose server was killed is done when it is back',
  async (sys) => {
    const admin = await withToken(sys, 'admin')
    const { task_id } = ok(await admin.post<Accepted>('/dispatch', { task: 'demo_script', taskData: {} }))
    await becomes(admin, task_id, 'processing')
    await sys.kill9()
    if (sys.databaseUrl) await endLeases(sys.databaseUrl)
    await sys.restart()
    await becomes(admin, task_id, 'completed')
  },
  { process: true },
)

verifies(
  [],
  'tokens of the configuration speak on this door, and nowhere else, until they are revoked',
  async (sys) => {
    const trusted = at(sys, { 'x-api-token': 'trusted-one-8c41f07be9' })
    const ops = at(sys, { 'x-api-key': 'ops-one-17d0e4a63b5c' })
    const one = ok(await trusted.post<Accepted>('/dispatch', { task: 'system.ping', taskData: {} }))
    await becomes(trusted, one.task_id, 'completed')
    assert.equal(await statusOf(ops, one.task_id), 'completed')
    assert.deepEqual(ok(await ops.get('/dlq/api')), [])
    assert.equal((await trusted.delete('/dlq/api')).status, 403)
    // Without credentials of Feishu: but it was let in.
    assert.equal((await trusted.get('/feishu/token')).status, 503)
    assert.equal((await ops.get('/feishu/token')).status, 403)
    for (const [header, wrong] of [
      ['x-api-token', 'trusted-one-8c41f07be8'],
      ['authorization', 'Bearer trusted-one-8c41f07be9'],
    ] as const)
      assert.equal((await at(sys, { [header]: wrong }).get('/tasks')).status, 401)
    assert.equal((await trusted.get<{ code: string }>('/api/v1/tasks')).body.code, 'SCOPE_NOT_ALLOWED')

    type Token = { id: string; name: string; prefix: string; role: string; last_used_at: string | null }
    const listed = ok(await sys.admin.get<Token[]>('/tokens')).filter(({ prefix }) => prefix.startsWith('env-'))
    assert.deepEqual(listed.map(({ name, role }) => [name, role]).sort(), [
      ['configured: ops', 'ops'],
      ['configured: trusted', 'dev'],
    ])
    await sys.settle()
    const events = ok(await sys.admin.get<AuditEvent[]>('/audit/events?event_type=run.completed'))
    const { id } = listed.find(({ role }) => role === 'dev')!
    const made = ok(await sys.admin.get<AuditEvent[]>(`/audit/events?event_type=token.created`))
    assert.deepEqual(made.map((event) => event.resource_id).sort(), listed.map((token) => token.id).sort())
    assert.equal(events.length, 1)
    const denied = ok(await sys.admin.get<AuditEvent[]>('/audit/events?event_type=access.denied'))
    assert.ok(denied.some((event) => event.actor_id === id))

    assert.equal((await sys.admin.delete(`/tokens/${id}`)).status, 204)
    assert.equal((await trusted.get('/tasks')).status, 401)
    await sys.restart({})
    assert.equal((await trusted.get('/tasks')).status, 401)
    assert.equal((await ops.get('/tasks')).status, 200)
    // What leaves the configuration is over.
    await sys.restart({ env: { API_TOKENS: '' } })
    assert.equal((await ops.get('/tasks')).status, 401)
  },
  { env: { API_TOKENS: '{"trusted-one-8c41f07be9":"trusted","ops-one-17d0e4a63b5c":"ops"}' } },
)
