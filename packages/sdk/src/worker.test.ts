import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { defineHandler } from './handlers.ts'
import { createClient, createWorker, type HandlerContext } from './index.ts'

const TASK = {
  run_id: '01900000-0000-7000-8000-000000000001',
  project_id: '01900000-0000-7000-8000-000000000002',
  number: 1,
  handler: 'slow',
  queue: 'api',
  input: {},
  attempt: 1,
  lease: 'a.b',
  ends_in_ms: 600_000,
}

test('work whose lease cannot be kept is stopped before the lease runs out, and is not settled', async () => {
  const asked: string[] = []
  // A server that gives one task and is then cut off.
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      const path = request.url!.split('/').at(-1)!
      asked.push(path)
      if (path !== 'claim') return response.writeHead(503).end()
      if (asked.filter((one) => one === 'claim').length > 1) return
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ tasks: [TASK], lease_ms: 3_000 }))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  try {
    const stop = new AbortController()
    const errors: unknown[] = []
    const worker = createWorker(createClient({ url: `http://127.0.0.1:${port}`, token: 't' }), {
      concurrency: 1,
      graceMs: 0,
      onError: (error) => errors.push(error),
    })
    const stopped = Promise.withResolvers<number>()
    worker.handle('slow', {}, (_, { signal }) => {
      const began = performance.now()
      signal.addEventListener('abort', () => stopped.resolve(performance.now() - began))
      return new Promise(() => {})
    })
    const running = worker.run(stop.signal)
    assert.ok((await stopped.promise) < 3_000)
    stop.abort()
    await running
    assert.ok(asked.includes('extend'))
    assert.ok(!asked.includes('settle'))
    assert.ok(errors.some((error) => /could not be kept/.test(String(error))))
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

for (const [what, ends_in_ms, errors] of [
  ['that is over its time has been ended by the server: that is no error', 20, 0],
  ['that was done under a lease that is lost is told as an error', 600_000, 1],
] as const)
  test(`work ${what}`, async () => {
    let claims = 0
    const settling = Promise.withResolvers<void>()
    // A server whose extension came before the result.
    const server = createServer((request, response) => {
      request.resume().on('end', () => {
        const path = request.url!.split('/').at(-1)!
        if (path === 'claim' && ++claims > 1) return
        response.writeHead(200, { 'content-type': 'application/json' })
        if (path === 'claim')
          return response.end(JSON.stringify({ tasks: [{ ...TASK, ends_in_ms }], lease_ms: 30_000 }))
        if (path === 'settle') {
          response.end(JSON.stringify({ results: [{ run_id: TASK.run_id, settled: false }] }))
          return settling.resolve()
        }
        response.end(
          JSON.stringify({ leases: [{ run_id: TASK.run_id, state: 'held', reason: null }], lease_ms: 30_000 }),
        )
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    try {
      const stop = new AbortController()
      const heard: unknown[] = []
      const worker = createWorker(createClient({ url: `http://127.0.0.1:${port}`, token: 't' }), {
        concurrency: 2,
        onError: (error) => heard.push(error),
      })
      worker.handle('slow', {}, () => (errors === 0 ? new Promise(() => {}) : 'done'))
      const running = worker.run(stop.signal)
      await settling.promise
      stop.abort()
      await running
      assert.equal(heard.length, errors, String(heard))
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })

for (const [what, claims, waited] of [
  ['of many children all are waited for together', 1, 1_500],
  ['of a server that takes a thousand no more are asked for', undefined, 1_000],
] as const)
  test(what, async () => {
    let claimed = 0
    const settled = Promise.withResolvers<{ results: { outcome: string; children: string[] }[] }>()
    const server = createServer((request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part) => parts.push(part))
      request.on('end', () => {
        const path = request.url!.split('/').at(-1)!
        const body = JSON.parse(Buffer.concat(parts).toString())
        if (path === 'claim' && ++claimed > 1) return
        response.writeHead(200, { 'content-type': 'application/json' })
        if (path === 'claim') return response.end(JSON.stringify({ tasks: [{ ...TASK, claims }], lease_ms: 30_000 }))
        if (path === 'ask')
          return response.end(JSON.stringify({ answers: body.asks.map(() => ({ wait: { outcome: null } })) }))
        settled.resolve(body)
        response.end(JSON.stringify({ results: [{ run_id: TASK.run_id, settled: true }] }))
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    try {
      const stop = new AbortController()
      const worker = createWorker(createClient({ url: `http://127.0.0.1:${port}`, token: 't' }), { graceMs: 0 })
      worker.handle('slow', {}, (_, { waitFor }) =>
        Promise.all(Array.from({ length: 1_500 }, (_, n) => waitFor(`${TASK.run_id.slice(0, -4)}${1_000 + n}`))),
      )
      const running = worker.run(stop.signal)
      const [result] = (await settled.promise).results
      stop.abort()
      await running
      assert.deepEqual([result!.outcome, result!.children.length], ['wait', waited])
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })

test('a worker without handlers, or with one twice, is refused', async () => {
  const worker = createWorker(createClient({ url: 'http://127.0.0.1:9' }))
  await assert.rejects(worker.run(AbortSignal.abort()), TypeError)
  worker.handle('a', {}, () => 1)
  assert.throws(() => worker.handle('a', {}, () => 2), TypeError)
})

test('a worker with a number that is none is refused, instead of claiming nothing for ever', () => {
  const client = createClient({ url: 'http://127.0.0.1:9' })
  // As somebody has it whose variable is not set.
  for (const concurrency of [Number(undefined), 0, -1])
    assert.throws(() => createWorker(client, { concurrency }), {
      name: 'TypeError',
      message: `concurrency is a number from 1 on, not ${concurrency}`,
    })
  assert.throws(
    () => createWorker(client, { graceMs: Number.NaN }),
    /^TypeError: graceMs is a number of milliseconds, not NaN$/,
  )
})

test('the input has the type that its schema says, written out as in JSON', () => {
  const worker = createWorker(createClient({ url: 'http://127.0.0.1:9' }))
  // What is claimed here is that it compiles.
  worker.handle(
    'vlan.add',
    {
      input: { type: 'object', required: ['vlan'], properties: { vlan: { type: 'integer' }, tag: { type: 'string' } } },
    },
    ({ vlan, tag }) => `${vlan.toFixed()} ${tag?.toUpperCase()}`,
  )
  const handler = defineHandler({
    name: 'vlan.remove',
    input: { type: 'object', required: ['vlan'], properties: { vlan: { type: 'integer' } } },
    run: ({ vlan }) => vlan.toFixed(),
  })
  assert.equal(handler.run({ vlan: 7 }, {} as HandlerContext), '7')
})

for (const [contract, says] of [
  [{ timout: 5_000 }, 'handler a: timout is no field of a handler; did you mean timeoutMs?'],
  [{ max_attempts: 5 }, 'handler a: max_attempts is no field of a handler; did you mean maxAttempts?'],
  [
    { retries: 5 },
    'handler a: retries is no field of a handler; there are title, input, output, queue, timeoutMs, maxAttempts, ttlMs, sideEffect, perKey',
  ],
  [
    { perKey: { concurency: 1 } },
    'handler a: perKey.concurency is no field of a handler; did you mean perKey.concurrency?',
  ],
  [
    { perKey: { rate: { limit: 1, period_ms: 5 } } },
    'handler a: perKey.rate.period_ms is no field of a handler; did you mean perKey.rate.periodMs?',
  ],
  [{ concurrency: 1 }, 'handler a: createWorker takes concurrency, for all handlers of the worker together'],
  [{ name: 'b' }, /^handler a: name is no field of a handler; /],
] as const)
  test(`a contract with a field that there is not is refused: ${JSON.stringify(contract)}`, () => {
    const worker = createWorker(createClient({ url: 'http://127.0.0.1:1', token: 't' }))
    // As JavaScript has it, where nobody checks types.
    assert.throws(() => worker.handle('a', contract as object, () => 1), { name: 'TypeError', message: says })
  })

test('a definition of a folder of handlers is a contract', () => {
  const worker = createWorker(createClient({ url: 'http://127.0.0.1:1', token: 't' }))
  const handler = { name: 'a', timeoutMs: 5_000, perKey: { rate: { limit: 1, periodMs: 5 } }, run: () => 1 }
  worker.handle(handler.name, handler, handler.run)
})
