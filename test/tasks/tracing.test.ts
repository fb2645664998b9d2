import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { Submitted, Task } from '@writ/api'
import { startReceiver } from '../channels/receiver.ts'
import { TestSystem, until } from '../test-system.ts'
import { ok } from '../verifies.ts'

interface Span {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  status?: { code?: number; message?: string }
}

/** A collector that takes OTLP over HTTP as JSON. */
async function startCollector() {
  const spans: Span[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    assert.deepEqual([request.url, request.headers['x-tenant']], ['/v1/traces', 'plant A'])
    const { resourceSpans } = JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] }
    spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)))
    response.setHeader('content-type', 'application/json').end('{}')
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    spans,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

test('one trace goes from the request over the attempt to what the task calls and who is told', async () => {
  const collector = await startCollector()
  await using receiver = await startReceiver()
  receiver.answer = ({ path }) => ({ status: path === '/fails' ? 500 : 200 })
  try {
    await using sys = await TestSystem.start({
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=plant%20A' },
    })
    await (await fetch(`${sys.base}/readyz`)).text()
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
    const { id } = ok(
      await sys.admin.post<Submitted>(
        '/tasks',
        {
          handler: 'proxy_forward',
          input: { urls: [`http://127.0.0.1:${receiver.port}/a`], data: {} },
          callback: { url: receiver.url },
        },
        { headers: { traceparent: `00-${trace}-00f067aa0ba902b7-01` } },
      ),
      201,
    )
    assert.equal(ok(await sys.admin.get<Task>(`/tasks/${id}/wait`)).trace_id, trace)
    await until('the callback came', async () => receiver.received.length === 2)
    // The address that was called and the one that was told are part of the caller's trace.
    for (const { headers } of receiver.received)
      assert.match(String(headers.traceparent), new RegExp(`^00-${trace}-[0-9a-f]{16}-01$`))
    const mine = () => collector.spans.filter((span) => span.traceId === trace)
    await until('the spans were sent', async () => mine().length >= 4)
    // A probe that came before all of it is no span.
    assert.deepEqual(
      collector.spans.filter(({ name }) => name.includes('readyz')),
      [],
    )
    const named = new Map(mine().map((span) => [span.name, span]))
    assert.equal(named.get('POST /api/v1/tasks')?.parentSpanId, '00f067aa0ba902b7')
    const task = named.get('task proxy_forward')!
    const attempt = named.get('attempt proxy_forward')!
    assert.deepEqual([attempt.parentSpanId, named.get('deliver')?.parentSpanId], [task.spanId, task.spanId])
    assert.equal(
      receiver.received.find(({ path }) => path === '/a')?.headers.traceparent?.slice(36, 52),
      attempt.spanId,
    )
  } finally {
    collector.close()
  }
})

test('a collector that is away costs nothing but spans', async () => {
  await using sys = await TestSystem.start({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' } })
  const { id } = ok(await sys.admin.post<Submitted>('/tasks', { handler: 'system.ping' }), 201)
  assert.equal(ok(await sys.admin.get<Task>(`/tasks/${id}/wait`)).state, 'completed')
  await sys.check()
})
