import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createClient } from './client.ts'
import { WritError } from './errors.ts'

type Answering = (
  reply: ServerResponse,
  asked: { after: string | null; accept: string | undefined },
  count: number,
) => void

async function clientOf(t: TestContext, answer: Answering) {
  let count = 0
  const server = createServer((request, reply) => {
    const { searchParams } = new URL(request.url ?? '', 'http://localhost')
    answer(reply, { after: searchParams.get('after'), accept: request.headers.accept }, ++count)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.after(() => {
    server.closeAllConnections()
    return new Promise((done) => server.close(done))
  })
  const { port } = server.address() as AddressInfo
  return createClient({ url: `http://127.0.0.1:${port}`, token: 'writ_t', retry: { base_ms: 1, cap_ms: 5 } })
}

const begin = (reply: ServerResponse) => reply.writeHead(200, { 'content-type': 'text/event-stream' })
const block = (sequence: string) => `id: ${sequence}\nevent: run.created\ndata: {"sequence":"${sequence}"}\n\n`

test('a stream that breaks is opened again behind the last event that was taken, cut blocks included', async (t) => {
  const asked: (string | null)[] = []
  const client = await clientOf(t, (reply, { after, accept }, count) => {
    asked.push(after)
    assert.equal(accept, 'text/event-stream')
    begin(reply)
    if (count === 1) {
      reply.end(`retry: 2000\nid: 0\n\n${block('a')}: beat\nid: b\n\nid: c\nevent: run.created\ndata: {"seq`)
    } else if (count === 2) reply.end(block('c'))
    else reply.write(block('d'))
  })
  const heard: (string | undefined)[] = []
  for await (const event of client.watch()) {
    heard.push(event.sequence)
    if (event.sequence === 'd') break
  }
  assert.deepEqual(heard, ['a', 'c', 'd'])
  assert.deepEqual(asked, [null, 'b', 'c'])
})

test('a refusal ends the watch, a server that is away does not', async (t) => {
  const client = await clientOf(t, (reply, _asked, count) => {
    if (count < 3) {
      reply.writeHead(503, { 'content-type': 'application/problem+json' })
      reply.end(
        '{"code":"SHUTTING_DOWN","status":503,"detail":"The server is stopping.","request_id":"r","retryable":true}',
      )
    } else {
      reply.writeHead(403, { 'content-type': 'application/problem+json' })
      reply.end('{"code":"NOT_A_MEMBER","status":403,"detail":"Not a member","request_id":"r","retryable":false}')
    }
  })
  await assert.rejects(
    async () => {
      for await (const event of client.watch()) assert.fail(`heard ${event.id}`)
    },
    (error) => error instanceof WritError && error.code === 'NOT_A_MEMBER',
  )
})

test('a signal ends a watch that hears nothing', async (t) => {
  const client = await clientOf(t, (reply) => begin(reply).write('id: 0\n\n'))
  const stop = new AbortController()
  const reason = new Error('enough')
  const watching = (async () => {
    for await (const event of client.watch({ signal: stop.signal })) assert.fail(`heard ${event.id}`)
  })()
  setImmediate(() => stop.abort(reason))
  await assert.rejects(watching, reason)
})

test('a caller that has heard enough leaves no connection behind', async (t) => {
  const closed = Promise.withResolvers<void>()
  const client = await clientOf(t, (reply) => {
    reply.once('close', () => closed.resolve())
    begin(reply).write(block('a'))
  })
  for await (const event of client.watch()) {
    assert.equal(event.sequence, 'a')
    break
  }
  await closed.promise
})
