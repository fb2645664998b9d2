import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TestSystem, until } from '../test-system.ts'
import { holds, ok, refused } from '../verifies.ts'

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
})

test('a client over its limit is told when to come back; health never is', async () => {
  await using system = await TestSystem.start({ env: { WRIT_API_RATE_LIMIT: '20' } })
  const answers = []
  for (let i = 0; i < 25; i++) answers.push(await system.anonymous.get<{ code?: string }>('/health'))
  const last = answers.at(-1)!
  assert.deepEqual([last.status, last.body.code], [429, 'RATE_LIMITED'])
  assert.ok(Number(last.headers.get('retry-after')) > 0)
  assert.equal((await system.anonymous.get('//healthz')).status, 200)
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
