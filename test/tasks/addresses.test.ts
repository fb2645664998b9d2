import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { HandlerInfo, Submitted, TaskDetail } from '@writ/api'
import { backends } from '../backends.ts'
import { type TestSystem, until } from '../test-system.ts'

interface Call {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly text: string
  readonly body: { type: string; data: Record<string, unknown> }
}

/** A service of somebody's own: what it was called with, and answers by path. */
async function startService() {
  const calls: Call[] = []
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += String(chunk)
    const body = JSON.parse(text) as Call['body']
    const path = request.url!
    calls.push({ path, headers: request.headers, text, body })
    const first = calls.filter((one) => one.path === path).length === 1
    if (path === '/busy' && first) return response.writeHead(429, { 'retry-after': '120' }).end()
    if (path === '/broken' && first) return response.writeHead(500).end('out of order')
    if (path === '/refuses') return response.writeHead(404).end('no such switch')
    if (path === '/empty') return response.writeHead(204).end()
    if (path === '/text') return response.end('pong')
    if (path === '/long') return response.end(JSON.stringify('x'.repeat(2 ** 20)))
    if (path === '/ids') return response.end('{"orders":[{"id":1},{"id":12345678901234567890}]}')
    if (path === '/cut' && first) return response.destroy()
    response.end(JSON.stringify({ got: body.data.input, attempt: body.data.attempt }))
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    callsOf: (path: string) => calls.filter((one) => one.path === path),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    },
  }
}

async function scene(t: TestContext, system: TestSystem): Promise<void> {
  await using service = await startService()
  const { admin } = system
  const add = async (name: string, more: object = {}) => {
    const made = await admin.post<HandlerInfo & { secret: string }>('/handlers', {
      name,
      url: `${service.url}/${name}`,
      max_attempts: 3,
      ...more,
    })
    assert.equal(made.status, 201, JSON.stringify(made.body))
    return made.body
  }
  const dispatch = async (handler: string, input: unknown, more: object = {}) => {
    const made = await admin.post<Submitted>('/tasks', { handler, input, ...more })
    assert.equal(made.status, 201, JSON.stringify(made.body))
    return made.body.id
  }
  const find = async (id: string) => (await admin.get<TaskDetail>(`/tasks/${id}`)).body
  const ended = async (id: string) => {
    const { body } = await admin.get<TaskDetail>(`/tasks/${id}/wait?timeout=30`)
    assert.ok(body.completed_at !== null, `task ${id} is still ${body.state}`)
    return body
  }
  const failedOnce = (id: string) =>
    until('it failed once', async () => (await find(id)).attempts[0]?.outcome === 'failed')

  await t.test('its tasks have to end within what it says, unless their dispatch says otherwise', async () => {
    const { ttl_ms } = await add('soon', { ttl_ms: 3_600_000, url: `${service.url}/refuses` })
    assert.equal(ttl_ms, 3_600_000)
    assert.equal((await admin.get<HandlerInfo>('/handlers/soon')).body.ttl_ms, 3_600_000)
    const run_at = '2999-01-01T00:00:00.000Z'
    const deadlineOf = async (more: object) => (await find(await dispatch('soon', {}, { run_at, ...more }))).deadline_at
    assert.equal(await deadlineOf({}), '2999-01-01T01:00:00.000Z')
    assert.equal(await deadlineOf({ ttl_ms: 7_200_000 }), '2999-01-01T02:00:00.000Z')
    assert.equal(await deadlineOf({ deadline_at: '2999-01-02T00:00:00Z' }), '2999-01-02T00:00:00.000Z')
    const failed = await dispatch('soon', {}, { ttl_ms: 86_400_000 })
    assert.equal((await ended(failed)).error_code, 'HTTP_REFUSED')
    const again = await admin.post<Submitted>(`/dead-letters/${failed}/replay`)
    const { created_at, deadline_at } = await find(again.body.id)
    assert.equal(Date.parse(deadline_at!) - Date.parse(created_at), 3_600_000)
  })

  await t.test(
    'a handler is an address that is called with what it needs, signed, and answers the result',
    async () => {
      const added = await add('greet', {
        input: { type: 'object', required: ['name'] },
        output: { type: 'object', required: ['got'] },
      })
      assert.deepEqual([added.source, added.url, added.enabled], ['http', `${service.url}/greet`, true])
      const refused = await admin.post<{ code: string }>('/tasks', { handler: 'greet', input: {} })
      assert.equal(refused.body.code, 'TASK_INPUT_INVALID')
      const none = { name: 'none', url: `${service.url}/none`, input: { type: 'strng' } }
      const misspelt = await admin.post<{ code: string; detail: string }>('/handlers', none)
      assert.equal(misspelt.body.code, 'HANDLER_CONTRACT_INVALID')
      assert.match(misspelt.body.detail, /the schema of its input is none: \/type must be/)
      const older = {
        ...none,
        name: 'older',
        input: { $schema: 'http://json-schema.org/draft-07/schema#', items: [{}] },
      }
      assert.equal((await admin.post('/handlers', older)).status, 201)
      assert.equal((await admin.delete('/handlers/older')).status, 204)
      const id = await dispatch('greet', { name: 'switch 7' }, { timeout_ms: 20_000 })
      const done = await ended(id)
      assert.deepEqual([done.state, done.result], ['completed', { got: { name: 'switch 7' }, attempt: 1 }])
      const [call, ...more] = service.callsOf('/greet')
      assert.equal(more.length, 0)
      const { run_id, handler, attempt, input, ends_at } = call!.body.data
      assert.deepEqual(
        [call!.body.type, run_id, handler, attempt, input],
        ['task.attempt', id, 'greet', 1, { name: 'switch 7' }],
      )
      assert.equal(Date.parse(String(ends_at)) - Date.parse(done.started_at!), 20_000)
      assert.match(String(call!.headers.traceparent), new RegExp(`^00-${done.trace_id}-`))
      // As Standard Webhooks 1.0 writes it, computed here once more.
      const signed = `${id}.${call!.headers['webhook-timestamp']}.${call!.text}`
      const key = Buffer.from(added.secret.slice('whsec_'.length), 'base64')
      assert.equal(call!.headers['webhook-id'], id)
      assert.equal(
        call!.headers['webhook-signature'],
        `v1,${createHmac('sha256', key).update(signed).digest('base64')}`,
      )
      const shown = await admin.get<HandlerInfo>('/handlers/greet')
      assert.equal(JSON.stringify(shown.body).includes(added.secret), false)
    },
  )

  await t.test('another secret signs beside the one before it, and not the one before that', async () => {
    const secrets = [(await add('signed')).secret]
    for (let i = 0; i < 2; i++) {
      const made = await admin.post<HandlerInfo & { secret: string }>('/handlers/signed/rotate-secret')
      assert.equal(made.status, 200, JSON.stringify(made.body))
      secrets.push(made.body.secret)
      const id = await dispatch('signed', i)
      await ended(id)
      const { headers, text } = service.callsOf('/signed').at(-1)!
      const signed = `${id}.${headers['webhook-timestamp']}.${text}`
      const by = (secret: string) =>
        `v1,${createHmac('sha256', Buffer.from(secret.slice('whsec_'.length), 'base64'))
          .update(signed)
          .digest('base64')}`
      assert.equal(headers['webhook-signature'], [by(secrets[i + 1]!), by(secrets[i]!)].join(' '))
    }
    assert.equal(new Set(secrets).size, 3)
    const unsigned = await admin.post<{ code: string }>('/handlers/system.ping/rotate-secret')
    assert.deepEqual([unsigned.status, unsigned.body.code], [409, 'HANDLER_UNSIGNED'])
    assert.equal((await admin.post('/handlers/none/rotate-secret')).status, 404)
    const events = await admin.get<unknown[]>('/audit/events?event_type=handler.secret_rotated')
    assert.equal(events.body.length, 2)
    assert.ok(secrets.every((secret) => !JSON.stringify(events.body).includes(secret)))
  })

  await t.test('429 says when to come again, 5xx and a cut connection are tried again, other 4xx are not', async () => {
    for (const name of ['busy', 'broken', 'cut', 'refuses']) await add(name)
    const refused = await ended(await dispatch('refuses', {}))
    assert.deepEqual([refused.state, refused.error_code, refused.attempts.length], ['failed', 'HTTP_REFUSED', 1])
    assert.match(refused.error!, /answered 404: no such switch/)
    const [busy, broken, cut] = [await dispatch('busy', 1), await dispatch('broken', 2), await dispatch('cut', 3)]
    for (const id of [busy, broken, cut]) await failedOnce(id)
    const waits = await find(busy)
    const ms = Date.parse(waits.attempts[0]!.next_run_at!) - Date.parse(waits.attempts[0]!.ended_at!)
    assert.equal(ms, 120_000)
    assert.match((await find(broken)).attempts[0]!.error!, /answered 500: out of order/)
    system.advance(2_000)
    assert.deepEqual((await ended(broken)).result, { got: 2, attempt: 2 })
    assert.deepEqual((await ended(cut)).result, { got: 3, attempt: 2 })
    assert.equal(service.callsOf('/busy').length, 1)
    system.advance(118_000)
    assert.deepEqual((await ended(busy)).result, { got: 1, attempt: 2 })
    const [first, second] = service.callsOf('/broken')
    assert.equal(first!.headers['webhook-id'], second!.headers['webhook-id'])
  })

  await t.test('an answer has to be JSON that fits, and not too long; none at all is null', async () => {
    await add('empty')
    await add('text')
    await add('long')
    await add('wrong', { output: { type: 'string' } })
    assert.equal((await ended(await dispatch('empty', {}))).result, null)
    for (const [name, code] of [
      ['text', 'RESULT_INVALID'],
      ['wrong', 'RESULT_INVALID'],
      ['long', 'RESULT_TOO_LARGE'],
    ] as const) {
      const failed = await ended(await dispatch(name, {}))
      assert.deepEqual([failed.error_code, failed.attempts.length], [code, 1])
    }
    // Kept as 12345678901234567000 it would be the id of another order.
    await add('ids')
    const rounded = await ended(await dispatch('ids', {}))
    assert.deepEqual(
      [rounded.error_code, rounded.error, rounded.attempts.length],
      [
        'RESULT_INVALID',
        'The number at result.orders.1.id would not keep all its digits: it goes into text, in quotes',
        1,
      ],
    )
  })

  await t.test('names are taken once, and an address that may not be called is refused', async () => {
    const code = async (body: object) => (await admin.post<{ code: string }>('/handlers', body)).body.code
    assert.equal(await code({ name: 'greet', url: service.url }), 'HANDLER_NAME_TAKEN')
    assert.equal(await code({ name: 'system.ping', url: service.url }), 'HANDLER_NAME_TAKEN')
    assert.equal(await code({ name: 'inside', url: 'http://10.0.0.1/' }), 'DESTINATION_REFUSED')
    assert.equal(
      await code({ name: 'odd', url: service.url, input: { type: 'string', pattern: '(' } }),
      'HANDLER_CONTRACT_INVALID',
    )
    const worker = { worker: 'w', queues: ['api'], handlers: [{ name: 'greet' }] }
    assert.equal((await admin.post<{ code: string }>('/workers/claim', worker)).body.code, 'HANDLER_NAME_TAKEN')
  })

  await t.test('a disabled handler is named by no task, and what waits for it starts when it is enabled', async () => {
    for (const name of ['system.ping', 'greet']) {
      const later = await dispatch(name, { name: 'later' }, { run_at: new Date(system.now() + 1_000).toISOString() })
      const off = await admin.post<HandlerInfo>(`/handlers/${name}/disable`)
      assert.deepEqual([off.status, off.body.enabled], [200, false])
      assert.equal((await admin.post<HandlerInfo>(`/handlers/${name}/disable`)).status, 200)
      assert.equal((await admin.get<HandlerInfo>(`/handlers/${name}`)).body.enabled, false)
      const refused = await admin.post<{ code: string }>('/tasks', { handler: name, input: { name: 'no' } })
      assert.equal(refused.body.code, 'HANDLER_DISABLED')
      system.advance(1_000)
      // Another of the same queue passes it.
      await ended(await dispatch('empty', {}))
      assert.equal((await find(later)).state, 'pending')
      assert.equal((await admin.post(`/handlers/${name}/enable`)).status, 200)
      assert.equal((await ended(later)).state, 'completed')
    }
    await system.settle()
    const events = await admin.get<{ event_type: string; details: { handler: string } }[]>('/audit/events?limit=100')
    assert.deepEqual(
      events.body
        .filter(({ event_type }) => /^handler\.(en|dis)abled$/.test(event_type))
        .map(({ event_type, details }) => `${event_type} ${details.handler}`)
        .toReversed(),
      [
        'handler.disabled system.ping',
        'handler.enabled system.ping',
        'handler.disabled greet',
        'handler.enabled greet',
      ],
    )
  })

  await t.test('what waits for a handler that was removed fails', async () => {
    const later = await dispatch('greet', { name: 'late' }, { run_at: new Date(system.now() + 1_000).toISOString() })
    const own = await admin.delete<{ code: string }>('/handlers/system.ping')
    assert.deepEqual([own.status, own.body.code], [409, 'HANDLER_NOT_REMOVABLE'])
    assert.equal((await admin.delete('/handlers/greet')).status, 204)
    assert.equal((await admin.delete<{ code: string }>('/handlers/greet')).body.code, 'HANDLER_UNKNOWN')
    system.advance(1_000)
    assert.equal((await ended(later)).error_code, 'HANDLER_GONE')
  })
  await system.check()
}

for (const { name, skip, start } of backends())
  test(`handlers that are called over HTTP (${name})`, { skip }, async (t) => {
    await using system = await start({ fakeClock: true })
    await scene(t, system)
  })
