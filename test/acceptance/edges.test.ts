import assert from 'node:assert/strict'
import { get, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { api, type Endpoint } from '@writ/api'
import { TestSystem, until } from '../test-system.ts'
import { holds, ok, refused } from '../verifies.ts'

/** Asks for a path as it stands. */
async function raw(base: string, path: string, headers: Record<string, string> = {}) {
  const { hostname, port } = new URL(base)
  const answer = await new Promise<IncomingMessage>((resolve, reject) =>
    get({ hostname, port, path, headers, agent: false }, resolve).on('error', reject),
  )
  return { status: answer.statusCode, headers: answer.headers, body: await text(answer) }
}

test('every answer carries the security headers, literally', async () => {
  await using system = await TestSystem.start()
  for (const path of ['//healthz', '/health', '/tickets', '/no-such-route']) {
    const { headers } = await system.anonymous.get(path)
    assert.deepEqual(
      [
        'content-security-policy',
        'cross-origin-opener-policy',
        'cross-origin-resource-policy',
        'referrer-policy',
        'strict-transport-security',
        'x-content-type-options',
        'x-frame-options',
      ].map((name) => headers.get(name)),
      [
        "default-src 'none'; frame-ancestors 'none'",
        'same-origin',
        'same-origin',
        'no-referrer',
        'max-age=31536000',
        'nosniff',
        'DENY',
      ],
      path,
    )
    assert.equal(headers.get('server'), null)
    assert.equal(headers.get('x-powered-by'), null)
  }
})

test('problems name their code, their request and whether to try again', async () => {
  await using system = await TestSystem.start()
  const answer = await system.employee.get('/tickets/99', { headers: { 'x-request-id': 'my-own-id-1' } })
  assert.deepEqual(answer.body, {
    type: '/docs/errors#TICKET_NOT_FOUND',
    title: 'Ticket not found',
    status: 404,
    detail: 'Ticket not found',
    instance: '/api/v1/tickets/99',
    code: 'TICKET_NOT_FOUND',
    request_id: 'my-own-id-1',
    retryable: false,
  })
  assert.equal(answer.headers.get('content-type'), 'application/problem+json; charset=utf-8')
  assert.equal(answer.headers.get('x-request-id'), 'my-own-id-1')
  const wrong = await system.employee.delete<{ code: string }>('/tickets')
  assert.deepEqual(
    [wrong.status, wrong.body.code, wrong.headers.get('allow')],
    [405, 'METHOD_NOT_ALLOWED', 'POST, GET, HEAD'],
  )
})

test('an address that no route can be is a problem like any other', async () => {
  await using system = await TestSystem.start()
  // A %zz, and a name that is longer than any.
  for (const path of ['/api/v1/tasks/%zz', `/api/v1/tasks/${'x'.repeat(501)}`, '/task/%zz']) {
    const { status, headers, body } = await raw(system.base, path, { 'x-request-id': 'my-own-id-2' })
    assert.equal(headers['content-type'], 'application/problem+json; charset=utf-8')
    assert.deepEqual(JSON.parse(body), {
      type: '/docs/errors#ROUTE_NOT_FOUND',
      title: 'Not Found',
      status: 404,
      detail: 'Not Found',
      instance: path,
      code: 'ROUTE_NOT_FOUND',
      request_id: 'my-own-id-2',
      retryable: false,
    })
    assert.deepEqual(
      [status, headers['x-content-type-options'], headers['x-request-id']],
      [404, 'nosniff', 'my-own-id-2'],
    )
  }
  await system.restart({ env: { ALLOWED_IPS: '10.0.0.0/8' } })
  const { status, body } = await raw(system.base, '/api/v1/tasks/%zz')
  assert.deepEqual([status, (JSON.parse(body) as { code: string }).code], [403, 'IP_NOT_ALLOWED'])
})

test('long answers are compressed for who asks for it', async () => {
  await using system = await TestSystem.start()
  const answer = await fetch(`${system.base}/api/v1/openapi.json`, { headers: { 'accept-encoding': 'gzip' } })
  assert.equal(answer.headers.get('content-encoding'), 'gzip')
  assert.equal(((await answer.json()) as { openapi: string }).openapi, '3.1.0')
})

test('only listed origins may read answers in a browser', async () => {
  await using system = await TestSystem.start({ env: { WRIT_CORS_ORIGINS: 'https://console.example.com' } })
  const from = async (origin: string) => (await fetch(`${system.base}/api/v1/health`, { headers: { origin } })).headers
  assert.equal(
    (await from('https://console.example.com')).get('access-control-allow-origin'),
    'https://console.example.com',
  )
  assert.equal((await from('https://evil.example.com')).get('access-control-allow-origin'), null)
  assert.equal((await from('https://console.example.com')).get('access-control-allow-credentials'), null)
  const { headers } = await fetch(`${system.base}/api/v1/webhooks/1`, {
    method: 'OPTIONS',
    headers: { origin: 'https://console.example.com', 'access-control-request-method': 'PATCH' },
  })
  const methods = new Set(
    Object.values(api).flatMap((area) => Object.values<Endpoint>(area).map(({ method }) => method)),
  )
  const allowed = headers.get('access-control-allow-methods')!.split(/, ?/)
  assert.deepEqual(
    [...methods].filter((method) => !allowed.includes(method)),
    [],
  )
})

test('a client over its limit is told when to come back; health never is', async () => {
  await using system = await TestSystem.start({ env: { WRIT_API_RATE_LIMIT: '20' } })
  const answers = []
  for (let i = 0; i < 25; i++) answers.push(await system.anonymous.get<{ code?: string }>('/health'))
  const last = answers.at(-1)!
  assert.deepEqual([last.status, last.body.code], [429, 'RATE_LIMITED'])
  assert.ok(Number(last.headers.get('retry-after')) > 0)
  // In both ways of saying it.
  for (const { headers } of answers) {
    const [left, reset] = ['remaining', 'reset'].map((what) => headers.get(`x-ratelimit-${what}`))
    assert.equal(headers.get('ratelimit-policy'), '"client";q=20;w=60')
    assert.equal(headers.get('ratelimit'), `"client";r=${left};t=${reset}`)
  }
  assert.equal((await system.anonymous.get('//healthz')).status, 200)
})

test('what is asked where nothing is counts as well', async () => {
  await using system = await TestSystem.start({ env: { WRIT_API_RATE_LIMIT: '20' } })
  const asked = (i: number) => system.anonymous.get(i % 2 === 0 ? `/wp-login-${i}` : `//.git/${i}`)
  const statuses = []
  for (let i = 0; i < 21; i++) statuses.push((await asked(i)).status)
  assert.deepEqual([statuses[0], statuses.at(-1)], [404, 429])
  refused(await system.anonymous.get('/health'), 429, 'RATE_LIMITED')
})

test('addresses outside of ALLOWED_IPS meet 403 everywhere, and only a trusted proxy may speak for others', async () => {
  await using system = await TestSystem.start()
  await system.restart({ env: { ALLOWED_IPS: '10.0.0.0/8,192.168.1.7' } })
  for (const path of ['//', '//healthz', '//metrics', '/health', '/docs'])
    refused(await system.anonymous.get(path), 403, 'IP_NOT_ALLOWED', 'IP not allowed')
  const claimed = { headers: { 'x-forwarded-for': '10.1.2.3' } }
  refused(await system.anonymous.get('/health', claimed), 403, 'IP_NOT_ALLOWED')
  await system.restart({ env: { ALLOWED_IPS: '10.0.0.0/8', WRIT_TRUSTED_PROXIES: '127.0.0.1' } })
  assert.equal((await system.anonymous.get('/health', claimed)).status, 200)
  refused(
    await system.anonymous.get('/health', { headers: { 'x-forwarded-for': '10.1.2.3, 8.8.8.8' } }),
    403,
    'IP_NOT_ALLOWED',
  )
})

holds(
  'what no database can look for, and what is nested without end, is refused',
  async ({ base, admin, anonymous }) => {
    for (const path of [
      '/tasks?q=%00',
      '/tasks?unique_key=%00',
      '/assets?asset_type=a%00',
      '/queues/%00/depth',
      '/users/%00',
    ])
      assert.ok([404, 422].includes((await admin.get(path)).status), path)
    const [fault] = refused(await admin.get('/tasks?unique_key=a%00b'), 422, 'VALIDATION_FAILED').errors!
    assert.deepEqual([fault?.path, fault?.message], ['query.unique_key', 'must hold no character 0'])
    refused(await anonymous.get('/tasks?q=%00'), 401, 'NOT_AUTHENTICATED')
    // A body may hold it, as an input does; what nothing is called by is a mistake, to every database.
    const nul = 'a\0b'
    for (const [path, body] of [
      ['/auth/login', { username: nul, password: 'x' }],
      ['/tasks', { handler: 'system.ping', depends_on: [nul] }],
      ['/tasks/preview', { error_code: nul }],
      ['/dead-letters/preview', { error_code: nul }],
    ] as const) {
      const { status } = await admin.post(path, body)
      assert.ok(status < 500, `${path}: ${status}`)
    }
    const input = { handler: 'system.ping', input: nul }
    ok(await admin.post('/tasks', input), 201)
    const { token } = ok(await admin.post<{ token: string }>('/tokens', { name: 'deep', role: 'admin' }), 201)
    const named = await fetch(`${base}/dispatch`, {
      method: 'POST',
      headers: { 'x-api-token': token, 'content-type': 'application/json' },
      body: JSON.stringify({ task: nul, taskData: {} }),
    })
    assert.equal(named.status, 422)
    const post = async (path: string, depth: number, array = false) => {
      const [open, close] = array ? ['[', ']'] : ['{"a":', '}']
      const body = `{${path === '/dispatch' ? '"task":"system.ping","taskData":{},' : '"handler":"system.ping",'}"input":${open.repeat(depth - 1)}1${close.repeat(depth - 1)}}`
      const headers = { 'x-api-token': token, 'content-type': 'application/json' }
      const answer = await fetch(base + path, { method: 'POST', headers, body })
      return { status: answer.status, headers: answer.headers, body: await answer.json() }
    }
    for (const array of [true, false]) {
      ok(await post('/api/v1/tasks', 200, array), 201)
      for (const depth of [201, 50_000]) {
        const [deep] = refused(await post('/api/v1/tasks', depth, array), 422, 'VALIDATION_FAILED').errors!
        assert.deepEqual([deep?.path, deep?.message], ['body', 'must be nested at most 200 deep'])
      }
    }
    assert.deepEqual((await post('/dispatch', 201)).body, {
      detail: [{ type: 'value_error', loc: ['body'], msg: 'must be nested at most 200 deep' }],
    })
    // Many brackets are not deep.
    ok(
      await admin.post('/tasks', {
        handler: 'system.ping',
        input: ['['.repeat(5_000), Array.from({ length: 5_000 }, () => [])],
      }),
      201,
    )
  },
)

holds('health, readiness and metrics tell what they should', async ({ anonymous, employee }) => {
  assert.deepEqual(ok(await anonymous.get('//healthz')), { status: 'ok' })
  assert.deepEqual(ok(await anonymous.get('//readyz')), {
    status: 'ready',
    checks: { database: 'ok', artifacts: 'ok', log: 'ok' },
  })
  ok(await employee.post('/tickets', { title: 'x' }))
  await until('the metrics count the ticket', async () => {
    const metrics = (await anonymous.get<string>('//metrics')).body
    return metrics.includes('writ_http_requests_total{route="tickets.create",method="POST",status="200"} 1')
  })
})

holds(
  'text that UTF-8 cannot carry is refused with its place, and changes nothing',
  async ({ employee, admin, base }) => {
    const half = 'half \ud800'
    const surrogate = 'must have no half of a surrogate pair (\\ud800 to \\udfff)'
    const asset = ok(await employee.post<{ number: number }>('/assets', { name: 'a 😀', asset_type: 'x' }))
    const ticket = ok(await employee.post<{ number: number }>('/tickets', { title: '😀', asset_id: asset.number }))
    const proof = { run_type: 'proof', ticket_id: ticket.number }
    const bodies: [path: string, body: unknown, at: string][] = [
      ['/tickets', { title: half }, 'body.title'],
      ['/tickets', { title: 'x', description: half }, 'body.description'],
      ['/assets', { name: half, asset_type: 'x' }, 'body.name'],
      [`/tickets/${ticket.number}/comments`, { body: half }, 'body.body'],
      ['/runs', { ...proof, expect: [{ name: 'a.cfg' }, { name: half }] }, 'body.expect.1.name'],
      ['/runs', { ...proof, execution_context: { note: { [half]: 1 } } }, 'body.execution_context.note'],
      ['/auth/login', { username: half, password: 'x' }, 'body.username'],
    ]
    for (const [path, body, at] of bodies) {
      const answer = await employee.post(path, body)
      const { errors } = refused(answer, 422, 'VALIDATION_FAILED')
      assert.deepEqual(errors, [{ path: at, message: surrogate }], path)
    }
    // What a command line of another encoding sends, such as GBK.
    const gbk = await fetch(`${base}/api/v1/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Buffer.concat([
        Buffer.from('{"username":"'),
        Buffer.from('b0b2d7b0', 'hex'),
        Buffer.from('","password":"x"}'),
      ]),
    })
    const problem = (await gbk.json()) as { detail: string }
    assert.equal(gbk.status, 422)
    assert.match(problem.detail, /body: must be UTF-8$/)
    assert.equal((await employee.get('/tickets')).headers.get('x-total-count'), '1')
    assert.equal(ok(await admin.post<{ ok: boolean }>('/audit/verify')).ok, true)
  },
)

test('what is no HTTP request is answered as a problem, and the connection ends', async () => {
  await using system = await TestSystem.start()
  const { hostname, port } = new URL(system.base)
  const ask = async (text: string) => {
    const socket = connect(Number(port), hostname)
    socket.end(text)
    const answer = (await socket.toArray()).join('')
    const [head, body] = answer.split('\r\n\r\n')
    assert.match(head!, /\r\nContent-Type: application\/problem\+json/i)
    const { code, status, detail } = JSON.parse(body!) as { code: string; status: number; detail: string }
    assert.equal(typeof detail, 'string')
    return [head!.split(' ')[1], code, status]
  }
  const head = 'POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
  assert.deepEqual(await ask('hello\r\n\r\n'), ['400', 'REQUEST_MALFORMED', 400])
  assert.deepEqual(await ask(`${head}Content-Length: -5\r\n\r\n{}`), ['400', 'REQUEST_MALFORMED', 400])
  assert.deepEqual(await ask(`${head}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}`), [
    '400',
    'REQUEST_MALFORMED',
    400,
  ])
  assert.deepEqual(await ask(`${head}X-Long: ${'x'.repeat(20_000)}\r\n\r\n`), ['431', 'HEADERS_TOO_LARGE', 431])
})
