import assert from 'node:assert/strict'
import { type IncomingHttpHeaders, request } from 'node:http'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { api, type Endpoint, type Problem } from '@writ/api'
import { TestSystem } from '../test-system.ts'

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}
interface Shape {
  readonly type?: string
  readonly anyOf?: readonly Shape[]
  readonly else?: Shape
  readonly properties?: Readonly<Record<string, Shape>>
  readonly items?: Shape
  readonly format?: string
}
type Ask = (
  method: string,
  path: string,
  body?: string | Buffer,
  headers?: Readonly<Record<string, string>>,
) => Promise<Answer>

const endpoints = Object.entries(api).flatMap(([group, members]) =>
  Object.entries(members as Record<string, Endpoint>).map(
    ([name, endpoint]) => [`${group}.${name}`, endpoint] as const,
  ),
)

const nothing = '01900000-0000-7000-8000-000000000000'
const pathOf = ({ path, root }: Endpoint): string =>
  (root ? '' : '/api/v1') +
  path
    .replace(':id', nothing)
    .replace(':slug', 'no-such-project')
    .replace(':name', 'no-such-name')
    .replace(':shard', '0')
    .replace('*', 'checkpoint')

const JSON_TYPE = { 'content-type': 'application/json' }
const takesBody = ({ method, upload }: Endpoint) => method !== 'GET' && !upload

/** Asks byte by byte as it is told to: no client in between that mends paths, headers and bodies. */
function askingAs(base: string, credentials: Readonly<Record<string, string>>): Ask {
  const { hostname, port } = new URL(base)
  return (method, path, body, headers = {}) =>
    new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
      const sent = request(
        { hostname, port, method, path, headers: { ...credentials, ...length, ...headers } },
        (got) => {
          const chunks: Buffer[] = []
          got.on('data', (chunk: Buffer) => chunks.push(chunk))
          got.on('error', reject)
          got.on('end', () =>
            resolve({ status: got.statusCode!, headers: got.headers, text: Buffer.concat(chunks).toString() }),
          )
        },
      )
      sent.on('error', reject)
      sent.end(body)
    })
}

/** What every answer has, and what every refusal says. */
function check(answer: Answer, path: string): void {
  const { headers, status, text } = answer
  assert.match(String(headers['x-request-id']), /^[0-9a-f-]{36}$/)
  assert.equal(headers['x-content-type-options'], 'nosniff')
  assert.equal(headers['x-frame-options'], 'DENY')
  assert.equal(headers['referrer-policy'], 'no-referrer')
  assert.match(String(headers['content-security-policy']), /default-src 'none'/)
  assert.match(headers['cache-control'] ?? '', /^(no-store|no-cache|private, no-cache)$/)
  assert.ok(status < 500, `${status} ${text}`)
  if (status < 400) return
  assert.equal(headers['content-type'], 'application/problem+json; charset=utf-8')
  if (text === '') return
  const problem = JSON.parse(text) as Problem
  assert.equal(problem.status, status)
  assert.equal(problem.instance, path.split('?')[0])
  assert.equal(problem.request_id, headers['x-request-id'])
  assert.equal(problem.type, `/docs/errors#${problem.code}`)
  assert.equal(typeof problem.detail, 'string')
  assert.equal(typeof problem.retryable, 'boolean')
}

function refusedFor(answer: Answer, status: number, code: string, path?: string, message?: string): void {
  const problem = JSON.parse(answer.text) as Problem
  assert.deepEqual([answer.status, problem.code], [status, code], answer.text)
  if (path === undefined) return
  const field = problem.errors?.find((one) => one.path === path)
  assert.ok(field, answer.text)
  if (message !== undefined) assert.equal(field.message, message)
}

test('every route keeps to the conventions', async (t) => {
  await using system = await TestSystem.start()
  const { admin, base } = system
  await admin.post('/assets', { name: 'One', asset_type: 'switch' })
  await system.employee.post('/tickets', { title: 'T' })
  const token = await admin.token()
  const asked = askingAs(base, { authorization: `Bearer ${token}` })
  const ask: Ask = async (method, path, ...more) => {
    const answer = await asked(method, path, ...more)
    check(answer, path)
    return answer
  }
  const stranger = askingAs(base, {})
  for (const [id, endpoint] of endpoints) {
    // It ends the session that asks. A WebSocket has no answers.
    if (id === 'auth.logout' || endpoint.socket) continue
    const { method } = endpoint
    const path = pathOf(endpoint)
    const body = JSON.stringify(endpoint.example ?? {})
    const send = (sent: string | Buffer, headers: Readonly<Record<string, string>> = JSON_TYPE) =>
      ask(method, path, sent, headers)
    const plain = (query = '') =>
      takesBody(endpoint) ? ask(method, path + query, body, JSON_TYPE) : ask(method, path + query)
    await t.test(id, async () => {
      if (endpoint.access !== 'public') {
        const unknown = await stranger(method, path)
        refusedFor(unknown, 401, 'NOT_AUTHENTICATED')
        assert.equal(unknown.headers['www-authenticate'], 'Bearer')
      }

      const parameters = Object.keys(endpoint.query?.properties ?? {})
      // So that what is missing is not what is refused.
      const needed = (but = '') =>
        ((endpoint.query as { required?: string[] } | undefined)?.required ?? [])
          .filter((name) => name !== but)
          .map((name) => `&${name}=1`)
          .join('')
      // What comes back from elsewhere may have more parameters than we know of.
      if (id !== 'auth.oidcCallback')
        refusedFor(await plain(`?nonsense=1${needed()}`), 422, 'VALIDATION_FAILED', 'query.nonsense', 'unknown field')
      for (const name of parameters)
        refusedFor(
          await plain(`?${name}=1&${name}=2${needed(name)}`),
          422,
          'VALIDATION_FAILED',
          `query.${name}`,
          'must be given once',
        )
      if (parameters.includes('cursor')) {
        refusedFor(await plain('?cursor=&skip=1'), 422, 'VALIDATION_FAILED', 'query.skip')
        assert.equal((await plain('?cursor=&skip=0')).status, method === 'GET' && !path.includes(nothing) ? 200 : 404)
      }

      if (!endpoint.path.endsWith('*')) {
        refusedFor(await ask(method, `${path}/`), 404, 'ROUTE_NOT_FOUND')
        refusedFor(await ask(method, `${path}/${'x'.repeat(5_000)}/x/x`), 404, 'ROUTE_NOT_FOUND')
      }
      for (const other of ['OPTIONS', 'TRACE']) {
        const answer = await ask(other, path)
        refusedFor(answer, 405, 'METHOD_NOT_ALLOWED')
        assert.ok(answer.headers.allow?.split(', ').includes(method), answer.headers.allow)
      }

      if (method === 'POST' && !endpoint.unrecorded)
        refusedFor(
          endpoint.upload
            ? await ask(method, path, '', { 'idempotency-key': 'two words' })
            : await send(body, { ...JSON_TYPE, 'idempotency-key': 'two words' }),
          422,
          endpoint.upload ? 'VALIDATION_FAILED' : 'IDEMPOTENCY_KEY_INVALID',
        )

      if (takesBody(endpoint)) await bodies(endpoint, send, body)
    })
  }
})

async function bodies(
  endpoint: Endpoint,
  send: (sent: string | Buffer, headers?: Readonly<Record<string, string>>) => Promise<Answer>,
  body: string,
): Promise<void> {
  refusedFor(await send('<a/>', { 'content-type': 'application/xml' }), 415, 'MEDIA_TYPE_UNSUPPORTED')
  refusedFor(await send('a=1', { 'content-type': 'application/x-www-form-urlencoded' }), 415, 'MEDIA_TYPE_UNSUPPORTED')
  refusedFor(await send(body, {}), 415, 'MEDIA_TYPE_UNSUPPORTED')
  refusedFor(
    await send(body, { 'content-type': 'application/json; charset="GBK"' }),
    415,
    'MEDIA_TYPE_UNSUPPORTED',
    'headers.content-type',
  )
  refusedFor(await send('{', JSON_TYPE), 400, 'BODY_INVALID', 'body')
  // Packed, and what says that it is and is not.
  refusedFor(await send(gzipSync('{'), { ...JSON_TYPE, 'content-encoding': 'gzip' }), 400, 'BODY_INVALID', 'body')
  refusedFor(
    await send(body, { ...JSON_TYPE, 'content-encoding': 'gzip' }),
    400,
    'BODY_INVALID',
    'body',
    'must be packed as Content-Encoding says',
  )
  const unknown = await send(body, { ...JSON_TYPE, 'content-encoding': 'compress' })
  refusedFor(unknown, 415, 'MEDIA_TYPE_UNSUPPORTED', 'headers.content-encoding')
  assert.equal(unknown.headers['accept-encoding'], 'gzip, deflate, br, identity')

  refusedFor(await send('[]'), 422, 'VALIDATION_FAILED')
  refusedFor(await send('"text"'), 422, 'VALIDATION_FAILED')
  const example = JSON.parse(body) as Record<string, unknown>
  const but = (change: Readonly<Record<string, unknown>>) => send(JSON.stringify({ ...example, ...change }))
  refusedFor(await but({ nonsense: 1 }), 422, 'VALIDATION_FAILED', 'body.nonsense', 'unknown field')
  // Some bodies may be left out: then it is the branch with fields that is meant.
  const shape = endpoint.body as Shape | undefined
  const { properties = {} } = shape?.anyOf?.find((one) => one.properties) ?? shape?.else ?? shape ?? {}
  for (const [name, field] of Object.entries(properties)) {
    if (!takesNull(field)) refusedFor(await but({ [name]: null }), 422, 'VALIDATION_FAILED', `body.${name}`)
    if (field.type === 'integer') refusedFor(await but({ [name]: '1' }), 422, 'VALIDATION_FAILED', `body.${name}`)
    if (field.type === 'boolean') refusedFor(await but({ [name]: 'true' }), 422, 'VALIDATION_FAILED', `body.${name}`)
  }
}

test('a period that ends before it begins is refused, wherever one can be said', async () => {
  await using system = await TestSystem.start()
  const ask = askingAs(system.base, { authorization: `Bearer ${await system.admin.token()}` })
  const asked: string[] = []
  for (const [id, endpoint] of endpoints)
    for (const [part, shape] of [
      ['query', endpoint.query],
      ['body', endpoint.body],
    ] as const) {
      const names = Object.keys((shape as Shape | undefined)?.properties ?? {})
      for (const [from, to] of [
        ['created_after', 'created_before'],
        ['died_after', 'died_before'],
        ['start_date', 'end_date'],
        ['since', 'until'],
      ] as const) {
        if (!names.includes(from) || !names.includes(to)) continue
        asked.push(id)
        // As texts the other way round.
        const given = { [from]: '2026-05-17T09:30:00Z', [to]: '2026-05-17T10:00:00+02:00' }
        const path = pathOf(endpoint)
        const answer =
          part === 'query'
            ? await ask(endpoint.method, `${path}?${new URLSearchParams(given)}`)
            : await ask(endpoint.method, path, JSON.stringify(given), JSON_TYPE)
        refusedFor(answer, 422, 'VALIDATION_FAILED', `${part}.${to}`, `must not be earlier than ${from}`)
        if (part === 'body') continue
        const one = { ...given, [to]: given[from]! }
        const empty = await ask(endpoint.method, `${path}?${new URLSearchParams(one)}`)
        assert.notEqual(empty.status, 422, `${id}: ${empty.text}`)
      }
    }
  assert.ok(asked.includes('audit.events') && asked.includes('tasks.cancelMany') && asked.length > 10, asked.join())
})

const takesNull = (shape: Shape): boolean =>
  shape.type === 'null' || (shape.type === undefined && !shape.anyOf) || (shape.anyOf?.some(takesNull) ?? false)

test('HEAD answers what GET does, without the body, and reads nothing', async () => {
  await using system = await TestSystem.start()
  const { admin, employee, base } = system
  await admin.post('/assets', { name: 'One', asset_type: 'switch' })
  await employee.post('/tickets', { title: 'T' })
  await employee.post('/runs', { run_type: 'proof', ticket_id: 1, finalize: 'manual' })
  await employee.upload(1, 'a.txt', 'x')
  await system.settle()
  const ask = askingAs(base, { authorization: `Bearer ${await admin.token()}` })
  const size = async () => (await admin.get<{ size: number }>('/audit/log')).body.size
  // Those that wait for something to come, or send somebody elsewhere.
  const waits = ['runs.wait', 'tasks.wait', 'events.list', 'events.socket']
  for (const [id, endpoint] of endpoints) {
    if (endpoint.method !== 'GET' || waits.includes(id)) continue
    const path = pathOf(endpoint).replace(nothing, '1')
    const before = await size()
    const head = await ask('HEAD', path)
    await system.settle()
    // That it asked for what it may not see would be recorded: the administrator may see everything.
    assert.equal(await size(), before, `HEAD ${path} is in the log`)
    const got = await ask('GET', path)
    await system.settle()
    assert.equal(head.text, '', id)
    assert.equal(head.status, got.status, id)
    for (const name of ['content-type', 'cache-control', 'x-total-count', 'etag', 'content-disposition'])
      if (name !== 'x-total-count' || id !== 'audit.events')
        assert.equal(head.headers[name], got.headers[name], `${id} ${name}`)
  }
})

test('names are in snake_case, and what ends in _at is a time', () => {
  const walk = (shape: Shape, where: string): void => {
    for (const [name, field] of Object.entries(shape.properties ?? {})) {
      assert.match(name, /^[a-z][a-z0-9_]*$/, `${where}.${name}`)
      if (name.endsWith('_at')) assert.ok(isTime(field), `${where}.${name} is no time`)
      walk(field, `${where}.${name}`)
    }
    if (shape.items) walk(shape.items, `${where}[]`)
    for (const one of shape.anyOf ?? []) walk(one, where)
  }
  for (const [id, { body, query, reply }] of endpoints)
    for (const part of [body, query, reply]) if (part) walk(part as Shape, id)
})

const isTime = (shape: Shape): boolean => shape.format === 'date-time' || (shape.anyOf?.some(isTime) ?? false)
