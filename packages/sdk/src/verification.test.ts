import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createClient } from './client.ts'
import { ConnectionLost, WritError } from './errors.ts'

async function clientOf(
  t: TestContext,
  answer: (reply: ServerResponse, body: string) => void,
  path = '/api/v1/audit/verify',
) {
  const server = createServer(async (request, reply) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    assert.deepEqual([request.method, request.url], ['POST', path])
    assert.match(request.headers.accept ?? '', /^text\/event-stream/)
    answer(reply, body)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.after(() => {
    server.closeAllConnections()
    return new Promise((done) => server.close(done))
  })
  const { port } = server.address() as AddressInfo
  return createClient({ url: `http://127.0.0.1:${port}`, token: 'writ_t' })
}

const begin = (reply: ServerResponse) => reply.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
const say = (said: object) => `event: verification\ndata: ${JSON.stringify(said)}\n\n`
const running = { state: 'running', entries: 256, rows: 0, size: 900 }

test('the report comes at the end, and how far it is before', async (t) => {
  const client = await clientOf(t, (reply, body) => {
    assert.deepEqual(JSON.parse(body), { kept_checkpoint: 'kept' })
    begin(reply).end(`retry: 2000\n\n${say(running)}${say({ state: 'done', report: { ok: true, size: 900 } })}`)
  })
  const heard: unknown[] = []
  const report = await client.verifyLog({ kept_checkpoint: 'kept', onProgress: (done) => heard.push(done) })
  assert.deepEqual([report, heard], [{ ok: true, size: 900 }, [running]])
})

test('a server that knows no progress answers once', async (t) => {
  const client = await clientOf(t, (reply) =>
    reply.writeHead(200, { 'content-type': 'application/json' }).end('{"ok":false,"code":"ROW_CHANGED"}'),
  )
  assert.deepEqual(await client.verifyLog(), { ok: false, code: 'ROW_CHANGED' })
})

test('what ends without a report is an error: a code, or that it broke off', async (t) => {
  const failed = await clientOf(t, (reply) =>
    begin(reply).end(say(running) + say({ state: 'failed', code: 'DATABASE_UNAVAILABLE' })),
  )
  const isUnavailable = (error: unknown) =>
    error instanceof WritError && error.code === 'DATABASE_UNAVAILABLE' && error.status === 503 && error.retryable
  await assert.rejects(failed.verifyLog(), isUnavailable)
  const broken = await clientOf(t, (reply) => begin(reply).end(say(running)))
  await assert.rejects(broken.verifyLog(), ConnectionLost)
  const cut = await clientOf(t, (reply) => begin(reply).write(say(running), () => reply.destroy()))
  await assert.rejects(cut.verifyLog(), ConnectionLost)
  const refused = await clientOf(t, (reply) =>
    reply
      .writeHead(403, { 'content-type': 'application/problem+json' })
      .end('{"code":"ROLE_NOT_ALLOWED","status":403,"detail":"No.","request_id":"r","retryable":false}'),
  )
  await assert.rejects(refused.verifyLog(), (error) => error instanceof WritError && error.status === 403)
})

test('whoever lets go is not answered', async (t) => {
  const client = await clientOf(t, (reply) => begin(reply).write(say(running)))
  const stop = new AbortController()
  const reason = new Error('enough')
  await assert.rejects(client.verifyLog({ signal: stop.signal, onProgress: () => stop.abort(reason) }), reason)
})

test('a self-check is watched the same way', async (t) => {
  const answers = [
    { state: 'done', report: { ok: true, entries: 900 } },
    { state: 'failed', code: 'INTERNAL' },
  ]
  const client = await clientOf(
    t,
    (reply, body) => {
      assert.deepEqual(JSON.parse(body), { full: true })
      begin(reply).end(say(running) + say(answers.shift()!))
    },
    '/api/v1/audit/self-check',
  )
  const heard: unknown[] = []
  const report = await client.selfCheck({ full: true, onProgress: (done) => heard.push(done) })
  assert.deepEqual([report, heard], [{ ok: true, entries: 900 }, [running]])
  const isInternal = (error: unknown) => error instanceof WritError && error.code === 'INTERNAL'
  await assert.rejects(client.selfCheck({ full: true }), isInternal)
})
