import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { createEgress } from '../../../platform/egress.ts'
import type { Handler, TaskContext } from '../handler.ts'
import { proxyForward, proxyMultiForward } from './forward.ts'
import { demo, ping } from './ping.ts'
import { scriptExecute } from './script.ts'

const context: TaskContext = {
  runId: 'run',
  project: 'project',
  attempt: 1,
  handler: 'proxy_forward',
  endsAt: null,
  signal: new AbortController().signal,
  traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
  tracestate: null,
  step: (_, work) => work(),
  dispatch: async () => assert.fail('nothing is dispatched here'),
  waitFor: async () => assert.fail('nothing is waited for here'),
  concurrencyKey: null,
  pauseKey: async () => assert.fail('no key is paused here'),
  log: () => {},
  cost: () => {},
}
const local = createEgress({ allow: [], loopback: true })
const egressOf = async () => local
const LONG =
  '{"order":12345678901234567890,"ids":[1,-9007199254740993,"9007199254740993"],"at":1e400,"n":9007199254740991}'

describe('handlers that forward', () => {
  let server: Server
  let url: string
  const seen: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[] = []

  before(async () => {
    server = createServer(async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      seen.push({ method: request.method!, url: request.url!, headers: request.headers, body })
      if (request.url === '/silent') return
      if (request.url === '/text') return response.end('x'.repeat(600))
      if (request.url === '/long') return response.end(LONG)
      if (request.url === '/busy') return response.writeHead(429, { 'retry-after': '90' }).end()
      response.writeHead(request.url === '/missing' ? 404 : 200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ got: body === '' ? null : JSON.parse(body) }))
    })
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  after(() => {
    server.closeAllConnections()
    server.close()
  })

  type Summary = { count: number; success: number; failed: number; results: Record<string, unknown>[] }
  const run = async (handler: Handler, input: unknown) => (await handler.run(input, context)) as Summary

  test('proxy_forward posts the data to each url, and one that fails fails alone', async () => {
    const urls = [`${url}/a`, `${url}/missing`, `${url}/text`, 'http://127.0.0.1:1/']
    const answer = await run(proxyForward(egressOf), { urls, data: { a: 1 }, headers: { 'x-key': 'k' } })
    const shown = answer.results.map(({ duration_ms, ...one }) => {
      assert.ok(Number.isInteger(duration_ms))
      return one
    })
    assert.deepEqual([answer.count, answer.success, answer.failed], [4, 2, 2])
    assert.deepEqual(shown.slice(0, 3), [
      { url: urls[0], status: 200, ok: true, response: { got: { a: 1 } } },
      { url: urls[1], status: 404, ok: false, response: { got: { a: 1 } } },
      { url: urls[2], status: 200, ok: true, response: 'x'.repeat(500) },
    ])
    assert.match(String(shown[3]?.error), /ECONNREFUSED/)
    const silent = await run(proxyForward(egressOf), { urls: [`${url}/silent`], timeout: 0.05 })
    assert.deepEqual([silent.failed, silent.results[0]?.status, silent.results[0]?.error], [1, 0, 'timeout'])
    const first = seen.find((one) => one.url === '/a')
    assert.equal(first?.method, 'POST')
    assert.equal(first?.headers['x-key'], 'k')
    assert.equal(first?.headers.traceparent, context.traceparent)
    assert.equal(first?.headers['content-type'], 'application/json')
  })

  test('an answer of 429 pauses the key of the task for as long as it asks for', async () => {
    const paused: [string, number][] = []
    const keyed = {
      ...context,
      concurrencyKey: 'customer 17',
      pauseKey: async (key: string, until: Date | number) => void paused.push([key, Number(until)]),
    }
    const before = Date.now()
    const answer = (await proxyForward(egressOf).run({ urls: [`${url}/busy`] }, keyed)) as Summary
    assert.deepEqual([answer.failed, answer.results[0]?.status], [1, 429])
    assert.equal(paused.length, 1)
    assert.equal(paused[0]![0], 'customer 17')
    assert.ok(paused[0]![1] >= before + 90_000)
    assert.equal(((await proxyForward(egressOf).run({ urls: [`${url}/busy`] }, context)) as Summary).failed, 1)
  })

  test('proxy_forward of nothing is an empty answer', async () => {
    assert.deepEqual(await run(proxyForward(egressOf), { urls: [] }), { count: 0, success: 0, failed: 0, results: [] })
  })

  test('proxy_multi_forward calls each in its own way', async () => {
    const tasks = [
      { url: `${url}/get?a=1`, method: 'get', data: { b: [2, 3] } },
      { url: `${url}/put`, method: 'PUT', data: { c: 4 } },
      { url: `${url}/delete`, method: 'DELETE', data: { d: 5 } },
      { data: {} },
    ]
    const answer = await run(proxyMultiForward(egressOf), { tasks })
    assert.deepEqual([answer.count, answer.success, answer.failed], [4, 3, 1])
    assert.deepEqual(
      answer.results.map(({ method, status, error }) => [method, status, error]),
      [
        ['GET', 200, undefined],
        ['PUT', 200, undefined],
        ['DELETE', 200, undefined],
        [undefined, undefined, 'url_missing'],
      ],
    )
    assert.ok(seen.some((one) => one.method === 'GET' && one.url === '/get?a=1&b=2&b=3'))
    assert.ok(seen.some((one) => one.method === 'PUT' && one.body === '{"c":4}'))
    assert.ok(seen.some((one) => one.method === 'DELETE' && one.url === '/delete?d=5'))
  })

  test('a number that JavaScript would round is kept as the text of its digits, and where is told', async () => {
    const kept = {
      response: {
        order: '12345678901234567890',
        ids: [1, '-9007199254740993', '9007199254740993'],
        at: '1e400',
        n: 9007199254740991,
      },
      numbers_as_text: ['.order', '.ids.1', '.at'],
    }
    const tasks = [{ url: `${url}/long`, method: 'GET' }]
    for (const { results } of [
      await run(proxyForward(egressOf), { urls: [`${url}/long`] }),
      await run(proxyMultiForward(egressOf), { tasks }),
    ])
      assert.partialDeepStrictEqual(results[0], kept)
  })

  test('a private address is not called unless it is allowed, and the reason is told', async () => {
    const closed = async () => createEgress({ allow: [], loopback: false })
    const answer = await run(proxyForward(closed), { urls: [`${url}/a`] })
    assert.match(String(answer.results[0]?.error), /WRIT_EGRESS_ALLOW/)
  })

  test('a cancelled task ends, and does not call its failures an answer', async () => {
    const cancel = new AbortController()
    const running = proxyForward(egressOf).run({ urls: [`${url}/silent`] }, { ...context, signal: cancel.signal })
    cancel.abort(new Error('cancelled'))
    await assert.rejects(running, /cancelled/)
  })
})

test('system.ping answers pong', async () => {
  assert.equal(await ping.run({}, context), 'pong')
})

test('demo_script stops when it is cancelled', async () => {
  const running = demo.run({}, { ...context, signal: AbortSignal.abort() })
  await assert.rejects(running, { name: 'AbortError' })
})

test('P13: script.execute needs a name, and without a folder says which setting is missing', async () => {
  const off = scriptExecute(null, { timeoutSeconds: 1, concurrent: 1 })
  await assert.rejects(off.run({}, context), { code: 'SCRIPT_NAME_MISSING', message: 'script_name is required' })
  await assert.rejects(off.run({ script_name: 'x' }, context), { code: 'SCRIPTS_OFF', message: /WRIT_SCRIPTS_DIR/ })
})
