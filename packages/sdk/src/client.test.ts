import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createClient } from './client.ts'
import { ConnectionLost, WritError } from './errors.ts'
import { DigestMismatch, openFileSource, saveDownload } from './node.ts'
import type { ClientOptions } from './options.ts'

type Seen = { method: string; url: string; headers: IncomingMessage['headers']; body: string }
type Answering = (seen: Seen, reply: ServerResponse, count: number) => void

// A server at the edge of the network, for behaviour that a good server does not show.
async function clientOf(t: TestContext, answer: Answering, options: Partial<ClientOptions> = {}) {
  const seen: Seen[] = []
  const server = createServer(async (request, reply) => {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk)
    } catch {
      return // the client broke off
    }
    const { method = '', url = '', headers } = request
    const one = { method, url, headers, body: Buffer.concat(chunks).toString('latin1') }
    seen.push(one)
    answer(one, reply, seen.length)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.after(() => {
    server.closeAllConnections()
    return new Promise((done) => server.close(done))
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const url = `http://127.0.0.1:${address.port}`
  const retry = { base_ms: 1, cap_ms: 2_000, ...options.retry }
  return { client: createClient({ url, token: 'writ_t', project: 'default', ...options, retry }), seen, url }
}

const json = (reply: ServerResponse, status: number, value: unknown, headers: Record<string, string> = {}) => {
  reply.writeHead(status, { 'content-type': 'application/json', ...headers })
  reply.end(JSON.stringify(value))
}
const problem = (code: string, status: number, retryable = false) => ({
  code,
  status,
  detail: `sentence of ${code}`,
  request_id: 'req-1',
  retryable,
})
async function folder(t: TestContext) {
  const path = await mkdtemp(join(tmpdir(), 'writ-sdk-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

test('a call sends path, query, body, token, project and a key of its own', async (t) => {
  const { client, seen } = await clientOf(t, (_, reply) => json(reply, 200, { number: 7 }))
  const ticket = await client.tickets.create({ body: { title: '换交换机', asset_id: 3 } })
  await client.runs.wait({ params: { id: 12 }, query: { timeout: 5 } })
  assert.equal(ticket.number, 7)
  assert.equal(seen[0]?.url, '/api/v1/tickets')
  assert.equal(Buffer.from(seen[0]?.body ?? '', 'latin1').toString(), '{"title":"换交换机","asset_id":3}')
  assert.equal(seen[0]?.headers.authorization, 'Bearer writ_t')
  assert.equal(seen[0]?.headers['x-project'], 'default')
  assert.match(String(seen[0]?.headers['idempotency-key']), /^[0-9a-f-]{36}$/)
  assert.equal(seen[1]?.url, '/api/v1/runs/12/wait?timeout=5')
  assert.equal(seen[1]?.headers['idempotency-key'], undefined)
})

test('a path parameter cannot leave its segment', async (t) => {
  const { client, seen } = await clientOf(t, (_, reply) => json(reply, 200, {}))
  await client.projects.get({ params: { slug: '../users?x=#' } })
  assert.equal(seen[0]?.url, '/api/v1/projects/..%2Fusers%3Fx%3D%23')
})

test('a refusal becomes a WritError with its code, fields and request id, and is not repeated', async (t) => {
  const errors = [{ path: 'body.title', message: 'required' }]
  const { client, seen } = await clientOf(t, (_, reply) =>
    json(reply, 422, { ...problem('VALIDATION_FAILED', 422), errors }),
  )
  await assert.rejects(client.tickets.create({ body: { title: '' } }), (error) => {
    assert.ok(error instanceof WritError)
    assert.equal(error.code, 'VALIDATION_FAILED')
    assert.equal(error.status, 422)
    assert.equal(error.detail, 'sentence of VALIDATION_FAILED')
    assert.equal(error.request_id, 'req-1')
    assert.equal(error.retryable, false)
    assert.deepEqual(error.fields, errors)
    return true
  })
  assert.equal(seen.length, 1)
})

test('an answer that is no problem document becomes HTTP_<status>', async (t) => {
  const { client } = await clientOf(t, (_, reply) => reply.writeHead(502).end('<html>bad gateway</html>'))
  await assert.rejects(client.auth.me(), { name: 'WritError', code: 'HTTP_502', status: 502 })
})

test('a page that is not Writ is named as such', async (t) => {
  const { client } = await clientOf(t, (_, reply) => reply.end('<html>hello</html>'))
  await assert.rejects(client.auth.me(), /does not answer like a Writ server/)
})

test('a redirect is not followed, because the token would go with it', async (t) => {
  const { client, seen } = await clientOf(t, (_, reply) => reply.writeHead(301, { location: 'http://x.test/' }).end())
  await assert.rejects(client.auth.me(), { code: 'HTTP_301', detail: /redirects to http:\/\/x\.test\// })
  assert.equal(seen.length, 1)
})

test('a POST whose answer was lost is sent again under the same key', async (t) => {
  const { client, seen } = await clientOf(t, (_, reply, count) =>
    count === 1 ? reply.destroy() : json(reply, 200, { number: 1 }),
  )
  assert.equal((await client.tickets.create({ body: { title: 'x' } })).number, 1)
  assert.equal(seen.length, 2)
  assert.equal(seen[0]?.headers['idempotency-key'], seen[1]?.headers['idempotency-key'])
})

test('while the first sending is still in flight the second waits for its answer', async (t) => {
  const { client, seen } = await clientOf(t, (_, reply, count) => {
    if (count === 1) reply.destroy()
    else if (count === 2) json(reply, 409, problem('IDEMPOTENCY_IN_FLIGHT', 409, true), { 'retry-after': '0' })
    else json(reply, 200, { number: 1 })
  })
  await client.tickets.create({ body: { title: 'x' } })
  assert.equal(seen.length, 3)
})

test('who gives up while the first sending is still in flight says why nobody heard its answer', async (t) => {
  const { client } = await clientOf(t, (_, reply, count) => {
    if (count === 1) reply.destroy()
    else json(reply, 409, problem('IDEMPOTENCY_IN_FLIGHT', 409, true), { 'retry-after': '0' })
  })
  await assert.rejects(client.tickets.create({ body: { title: 'x' } }), (error) => {
    assert.ok(error instanceof WritError)
    assert.equal(error.code, 'IDEMPOTENCY_IN_FLIGHT')
    assert.ok(error.cause instanceof ConnectionLost)
    return true
  })
})

test('PATCH and unrecorded POSTs are not repeated when the answer was lost', async (t) => {
  const { client, seen } = await clientOf(t, (_, reply) => reply.destroy())
  await assert.rejects(client.tickets.update({ params: { id: 1 }, body: { title: 'x' } }), ConnectionLost)
  await assert.rejects(client.auth.login({ body: { username: 'a', password: 'b' } }), ConnectionLost)
  assert.equal(seen.length, 2)
})

test('503 with Retry-After is repeated, without it is not', async (t) => {
  const { client, seen } = await clientOf(t, ({ url }, reply, count) =>
    url.endsWith('/assets')
      ? json(reply, 503, problem('NOT_READY', 503, true))
      : count === 1
        ? json(reply, 503, problem('SHUTTING_DOWN', 503, true), { 'retry-after': '0' })
        : json(reply, 200, {}),
  )
  await client.tickets.update({ params: { id: 1 }, body: { title: 'x' } })
  assert.equal(seen.length, 2)
  await assert.rejects(client.assets.list(), { code: 'NOT_READY' })
  assert.equal(seen.length, 3)
})

test('a Retry-After beyond the cap is given back at once', async (t) => {
  const { client, seen } = await clientOf(t, (_, reply) =>
    json(reply, 429, problem('RATE_LIMITED', 429, true), { 'retry-after': '3600' }),
  )
  await assert.rejects(client.auth.me(), { code: 'RATE_LIMITED' })
  assert.equal(seen.length, 1)
})

test('sendings are bounded', async (t) => {
  const { client, seen } = await clientOf(t, (_, reply) => reply.destroy(), { retry: { attempts: 3 } })
  await assert.rejects(client.auth.me(), ConnectionLost)
  assert.equal(seen.length, 3)
})

test('an abort ends a call that waits, with the reason of the signal', async (t) => {
  const { client } = await clientOf(t, () => ending.abort(new Error('enough')))
  const ending = new AbortController()
  await assert.rejects(client.auth.me({ signal: ending.signal }), /enough/)
})

test('an abort ends the pause before a repetition', async (t) => {
  const ending = new AbortController()
  const { client, seen } = await clientOf(t, (_, reply) => {
    json(reply, 503, problem('NOT_READY', 503, true), { 'retry-after': '2' })
    reply.on('finish', () => setImmediate(() => ending.abort(new Error('enough'))))
  })
  await assert.rejects(client.auth.me({ signal: ending.signal }), /enough/)
  assert.equal(seen.length, 1)
})

test('pages follow the cursor to its end and keep the filters', async (t) => {
  const { client, seen } = await clientOf(t, ({ url }, reply) =>
    json(
      reply,
      200,
      url.includes('cursor=c2')
        ? { items: [{ number: 1 }], next_cursor: null }
        : { items: [{ number: 3 }, { number: 2 }], next_cursor: 'c2' },
    ),
  )
  const numbers: number[] = []
  for await (const ticket of client.items('tickets.list', { query: { status: 'draft' } })) numbers.push(ticket.number)
  assert.deepEqual(numbers, [3, 2, 1])
  assert.deepEqual(
    seen.map(({ url }) => url),
    ['/api/v1/tickets?status=draft&cursor=', '/api/v1/tickets?status=draft&cursor=c2'],
  )
})

test('a whole list is one call where that answers all of it, and is walked where it does not', async (t) => {
  let count: string | undefined
  const { client, seen } = await clientOf(t, ({ url }, reply) => {
    if (!url.includes('cursor')) {
      if (count !== undefined) reply.setHeader('x-total-count', count)
      return json(reply, 200, [{ id: 'a' }, { id: 'b' }])
    }
    return json(
      reply,
      200,
      url.includes('cursor=c2')
        ? { items: [{ id: 'c' }], next_cursor: null }
        : { items: [{ id: 'a' }, { id: 'b' }], next_cursor: 'c2' },
    )
  })
  for (const [said, ids] of [
    [undefined, ['a', 'b']],
    ['2', ['a', 'b']],
    ['3', ['a', 'b', 'c']],
  ] as const) {
    count = said
    const found = await client.all('tickets.comments', { params: { id: 7 } })
    assert.deepEqual(
      found.map(({ id }) => id),
      ids,
    )
  }
  assert.deepEqual(
    seen.map(({ url }) => url.replace('/api/v1/tickets/7/comments', '')),
    ['', '', '', '?cursor=', '?cursor=c2'],
  )
})

test('an upload streams the file with its length and reports progress', async (t) => {
  const { client, seen } = await clientOf(t, (_, reply) => json(reply, 200, { artifact: {}, message: 'ok' }))
  const path = join(await folder(t), '配置 "1".cfg')
  const bytes = Buffer.alloc(600_000, 'hostname sw1\n')
  await writeFile(path, bytes)
  const told: number[] = []
  const file = await openFileSource(path)
  await client.artifacts.upload({ query: { run_id: 4, role: 'after' }, file, onProgress: (at) => told.push(at.bytes) })
  assert.equal(seen[0]?.url, '/api/v1/artifacts?run_id=4&role=after')
  assert.equal(seen[0]?.headers['content-length'], String(Buffer.byteLength(seen[0]?.body ?? '', 'latin1')))
  const body = Buffer.from(seen[0]?.body ?? '', 'latin1')
  assert.ok(body.includes(Buffer.from('filename="配置 %221%22.cfg"')))
  assert.ok(body.includes(bytes))
  assert.equal(told.at(-1), 600_000)
  assert.ok(told.length > 1)
  assert.equal(file.digest(), createHash('sha256').update(bytes).digest('hex'))
})

test('an upload reads no further ahead than the connection takes, and keeps nothing of what was sent', async (t) => {
  const size = 200_000_000
  const path = join(await folder(t), 'large.bin')
  await writeFile(path, '')
  await truncate(path, size)
  let taken = 0
  let furthestAhead = 0
  let held = 0
  const before = process.memoryUsage().arrayBuffers
  const server = createServer((request, reply) => {
    request.on('data', (chunk: Buffer) => {
      taken += chunk.length
    })
    request.on('end', () => json(reply, 200, { artifact: {}, message: 'ok' }))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.after(() => server.close())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  await createClient({ url: `http://127.0.0.1:${address.port}` }).artifacts.upload({
    query: { run_id: 1 },
    file: await openFileSource(path),
    onProgress: ({ bytes }) => {
      furthestAhead = Math.max(furthestAhead, bytes - taken)
      held = Math.max(held, process.memoryUsage().arrayBuffers - before)
    },
  })
  assert.ok(taken > size)
  assert.ok(furthestAhead < 20_000_000, `${furthestAhead} bytes were read ahead`)
  assert.ok(held < size * 0.75, `${held} bytes were held`)
})

test('an upload whose answer was lost is read and sent again from the start', async (t) => {
  const { client, seen } = await clientOf(t, (_, reply, count) =>
    count === 1 ? reply.destroy() : json(reply, 200, { artifact: {}, message: 'ok' }),
  )
  const path = join(await folder(t), 'a.cfg')
  await writeFile(path, 'hostname a\n')
  await client.artifacts.upload({ query: { run_id: 4 }, file: await openFileSource(path) })
  assert.equal(seen.length, 2)
  assert.ok(seen[1]?.body.includes('hostname a\n'))
  assert.equal(seen[0]?.headers['content-length'], seen[1]?.headers['content-length'])
})

test('a file that changed since it was measured is not uploaded and not retried', async (t) => {
  const { client } = await clientOf(t, (_, reply) => json(reply, 200, {}))
  const path = join(await folder(t), 'a.cfg')
  await writeFile(path, 'hostname a\n')
  const file = await openFileSource(path)
  await writeFile(path, 'hostname abcdef\n')
  await assert.rejects(client.artifacts.upload({ query: { run_id: 4 }, file }), /changed while it was read/)
})

test('a Blob is uploaded as a form', async (t) => {
  const { client, seen } = await clientOf(t, (_, reply) => json(reply, 200, { artifact: {}, message: 'ok' }))
  await client.artifacts.upload({ query: { run_id: 4 }, file: new File(['hostname b\n'], 'b.cfg') })
  assert.match(seen[0]?.body ?? '', /name="file"; filename="b\.cfg"/)
})

const sha256OfHello = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'

test('a download is saved only when its digest is the announced one', async (t) => {
  const { client } = await clientOf(t, ({ url }, reply) =>
    reply.writeHead(200, { etag: `"${sha256OfHello}"` }).end(url.includes('/1/') ? 'hello' : 'hullo'),
  )
  const dir = await folder(t)
  const good = await client.artifacts.download({ params: { id: 1 } })
  assert.deepEqual(await saveDownload(good, join(dir, 'good')), { bytes: 5, sha256: sha256OfHello, checked: true })
  const bad = await client.artifacts.download({ params: { id: 2 } })
  await assert.rejects(saveDownload(bad, join(dir, 'bad')), DigestMismatch)
  assert.deepEqual(await readdir(dir), ['good'])
  assert.equal(await readFile(join(dir, 'good'), 'utf8'), 'hello')
})

test('a download does not overwrite a file unless asked', async (t) => {
  const { client } = await clientOf(t, (_, reply) => reply.end('hello'))
  const path = join(await folder(t), 'kept')
  await writeFile(path, 'mine')
  await assert.rejects(saveDownload(await client.artifacts.download({ params: { id: 1 } }), path), { code: 'EEXIST' })
  assert.equal(await readFile(path, 'utf8'), 'mine')
  await saveDownload(await client.artifacts.download({ params: { id: 1 } }), path, { overwrite: true })
  assert.equal(await readFile(path, 'utf8'), 'hello')
})

test('the files of the log are asked for by their path', async (t) => {
  const { client, seen } = await clientOf(t, (_, reply) => reply.end('x'))
  const { stream } = await client.audit.file({ params: { path: 'tile/entries/x001/234.p/5' } })
  await stream.cancel()
  assert.equal(seen[0]?.url, '/api/v1/audit/log/files/tile/entries/x001/234.p/5')
})

test('the type of an operation is known before it is run', () => {
  const client = createClient({ url: 'http://127.0.0.1:1' })
  // @ts-expect-error a ticket needs a title
  const create = () => client.tickets.create({ body: {} })
  // @ts-expect-error there is no such operation
  const unknown = () => client.call('tickets.burn')
  assert.throws(unknown, /no operation tickets\.burn/)
  assert.equal(typeof create, 'function')
})
