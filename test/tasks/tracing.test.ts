import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { Submitted, Task } from '@writ/api'
import { TaskError } from '../../packages/server/src/kinds/task/index.ts'
import { backends } from '../backends.ts'
import { startReceiver } from '../channels/receiver.ts'
import { TestSystem, until } from '../test-system.ts'
import { ok } from '../verifies.ts'
import { handlerOf } from './dispatch.ts'

interface Span {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  status?: { code?: number; message?: string }
}

interface ResourceSpans {
  resource: { attributes: { key: string; value: { stringValue: string } }[] }
  scopeSpans: { spans: Span[] }[]
}

/** A collector that takes OTLP over HTTP as JSON. */
async function startCollector() {
  const spans: Span[] = []
  const services = new Set<string>()
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    assert.deepEqual([request.url, request.headers['x-tenant']], ['/v1/traces', 'plant A'])
    const { resourceSpans } = JSON.parse(body) as { resourceSpans: ResourceSpans[] }
    for (const { resource } of resourceSpans)
      for (const { key, value } of resource.attributes) if (key === 'service.name') services.add(value.stringValue)
    spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)))
    response.setHeader('content-type', 'application/json').end('{}')
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    spans,
    services,
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
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=plant%20A',
        OTEL_SERVICE_NAME: 'writ of plant A',
      },
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
    assert.deepEqual([...collector.services], ['writ of plant A'])
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

for (const backend of backends())
  test(`a trace has one root, whatever came of the request (${backend.name})`, { skip: backend.skip }, async () => {
    const collector = await startCollector()
    try {
      await using sys = await backend.start({
        env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=plant%20A' },
        testHandlers: [
          handlerOf('test.parent', async (_, ctx) => {
            const { state } = await ctx.waitFor(await ctx.dispatch('child', { handler: 'test.flaky' }))
            return state
          }),
          handlerOf(
            'test.flaky',
            async (_, ctx) => {
              if (ctx.attempt === 1) throw new TaskError('NOT_YET', 'not yet', { retryable: true })
            },
            { maxAttempts: 3 },
          ),
        ],
      })
      const ended = async (id: string) => {
        const task = ok(await sys.admin.get<Task>(`/tasks/${id}/wait`))
        assert.equal(task.state, 'completed')
        return task.trace_id
      }
      const spansOf = async (trace: string, count: number) => {
        const mine = () => collector.spans.filter((span) => span.traceId === trace)
        await until(`${count} spans came`, async () => mine().length >= count)
        return mine().toSorted((a, b) => a.name.localeCompare(b.name))
      }
      /** Each span by its name and the name of its parent. */
      const tree = (spans: readonly Span[]) =>
        spans.map(({ name, parentSpanId }) => {
          const parent = spans.find((span) => span.spanId === parentSpanId)
          return `${name} <- ${parent?.name ?? (parentSpanId || 'nothing')}`
        })
      const family = [
        'attempt test.flaky <- task test.flaky',
        'attempt test.flaky <- task test.flaky',
        'attempt test.parent <- task test.parent',
        'task test.flaky <- attempt test.parent',
        'task test.parent <- POST /api/v1/tasks',
      ]
      // The parent is called again when its child has ended: one attempt more or less is nothing to a tree.
      const once = (lines: readonly string[]) => [...new Set(lines)].toSorted()

      const own = ok(await sys.admin.post<Submitted>('/tasks', { handler: 'test.parent' }), 201)
      const ours = await spansOf(await ended(own.id), 6)
      assert.deepEqual(once(tree(ours)), once([...family, 'POST /api/v1/tasks <- nothing']))

      // Two requests of one trace, under one id of the caller's.
      const [trace, caller] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7']
      const headers = { traceparent: `00-${trace}-${caller}-01`, 'x-request-id': 'from-the-gateway' }
      const two = []
      for (const _ of [1, 2])
        two.push(ok(await sys.admin.post<Submitted>('/tasks', { handler: 'system.ping' }, { headers }), 201))
      for (const { id } of two) assert.equal(await ended(id), trace)
      const theirs = await spansOf(trace, 6)
      assert.deepEqual(once(tree(theirs)), [
        `POST /api/v1/tasks <- ${caller}`,
        'attempt system.ping <- task system.ping',
        'task system.ping <- POST /api/v1/tasks',
      ])
      assert.equal(new Set(theirs.map((span) => span.spanId)).size, 6)
      const parents = theirs.filter(({ name }) => name.startsWith('task')).map((span) => span.parentSpanId)
      assert.equal(new Set(parents).size, 2)

      // By the clock nobody asked; by hand somebody did.
      const schedule = { name: 'often', handler: 'system.ping', every_seconds: 3_600 }
      const { id } = ok(await sys.admin.post<{ id: string }>('/schedules', schedule), 201)
      const byHand = ok(await sys.admin.post<Submitted>(`/schedules/${id}/trigger`), 201)
      assert.deepEqual(
        tree(await spansOf(await ended(byHand.id), 3)).filter((line) => line.startsWith('task')),
        ['task system.ping <- POST /api/v1/schedules/:id/trigger'],
      )
      await sys.check()
    } finally {
      collector.close()
    }
  })

test('what is due by the clock begins a trace of its own, also where several are due at once', async () => {
  const collector = await startCollector()
  try {
    await using sys = await TestSystem.start({
      fakeClock: true,
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=plant%20A' },
    })
    const schedule = { name: 'often', handler: 'system.ping', every_seconds: 20 }
    ok(await sys.admin.post('/schedules', schedule), 201)
    sys.advance(61_000)
    await sys.app.scheduler.tick()
    const tasks = () => collector.spans.filter(({ name }) => name === 'task system.ping')
    await until('their spans came', async () => tasks().length >= 3)
    for (const task of tasks())
      assert.deepEqual(
        [task.parentSpanId || null, collector.spans.filter((span) => span.traceId === task.traceId).length],
        [null, 2],
      )
  } finally {
    collector.close()
  }
})

for (const backend of backends())
  for (const collects of [false, true])
    test(`what is not recorded here is handed on as it came, ${collects ? 'as its caller records nothing' : 'as nobody collects'} (${backend.name})`, {
      skip: backend.skip,
    }, async () => {
      const collector = await startCollector()
      await using receiver = await startReceiver()
      try {
        await using sys = await backend.start({
          env: collects
            ? { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=plant%20A' }
            : {},
          testHandlers: [
            handlerOf('test.parent', async (_, ctx) => {
              const input = { urls: [`${receiver.url}/child`], data: {} }
              return (await ctx.waitFor(await ctx.dispatch('child', { handler: 'proxy_forward', input }))).state
            }),
          ],
        })
        const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
        const traceparent = `00-${trace}-00f067aa0ba902b7-0${collects ? 0 : 1}`
        const headers = { traceparent, tracestate: 'rojo=00f067aa0ba902b7, congo=t61rcWkgMzE' }
        const handler = { name: 'addressed', url: `${receiver.url}/handler` }
        ok(await sys.admin.post('/handlers', handler), 201)
        const callback = { url: `${receiver.url}/callback` }
        for (const task of [{ handler: 'test.parent', callback }, { handler: 'addressed' }]) {
          const { id } = ok(await sys.admin.post<Submitted>('/tasks', task, { headers }), 201)
          assert.equal(ok(await sys.admin.get<Task>(`/tasks/${id}/wait`)).state, 'completed')
        }
        await until('all were called', async () => receiver.received.length === 3)
        for (const { headers: told } of receiver.received)
          assert.deepEqual(
            [told.traceparent, told.tracestate],
            [traceparent, 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'],
          )

        // Nothing was said of these: they are a trace of their own, which is recorded where somebody collects.
        const own = ok(await sys.admin.post<Submitted>('/tasks', { handler: 'addressed' }), 201)
        const { trace_id } = ok(await sys.admin.get<Task>(`/tasks/${own.id}/wait`))
        const { headers: told } = receiver.received.at(-1)!
        assert.match(String(told.traceparent), new RegExp(`^00-${trace_id}-[0-9a-f]{16}-01$`))
        assert.equal(told.tracestate, undefined)
        if (collects) {
          const spansOf = (id: string) => collector.spans.filter(({ traceId }) => traceId === id).length
          await until('its spans came', async () => spansOf(trace_id) === 3)
          assert.equal(spansOf(trace), 0)
        }
        await sys.check()
      } finally {
        collector.close()
      }
    })

test('of what begins here a share is recorded, and all that a caller records', async () => {
  const collector = await startCollector()
  await using receiver = await startReceiver()
  try {
    await using sys = await TestSystem.start({
      fakeClock: true,
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=plant%20A',
        OTEL_TRACES_SAMPLER_ARG: '0',
      },
    })
    ok(await sys.admin.post('/handlers', { name: 'addressed', url: `${receiver.url}/handler` }), 201)
    ok(
      await sys.admin.post('/webhooks', { name: 'hook', url: `${receiver.url}/hook`, events: ['ticket.created'] }),
      201,
    )
    const toldAt = (path: string) =>
      receiver.received.filter((one) => one.path.endsWith(path)).map(({ headers }) => String(headers.traceparent))
    const traceOfTask = async (headers: Record<string, string>) => {
      const { id } = ok(await sys.admin.post<Submitted>('/tasks', { handler: 'addressed' }, { headers }), 201)
      return ok(await sys.admin.get<Task>(`/tasks/${id}/wait`)).trace_id
    }
    // Whoever is called is told that the trace is not recorded.
    const own = await traceOfTask({})
    assert.match(toldAt('/handler')[0]!, new RegExp(`^00-${own}-[0-9a-f]{16}-00$`))
    ok(await sys.employee.post('/tickets', { title: 'about no run' }))
    await until('the webhook was told', async () => toldAt('/hook').length === 1)
    assert.match(toldAt('/hook')[0]!, /-00$/)
    ok(await sys.admin.post('/schedules', { name: 'soon', handler: 'addressed', every_seconds: 20 }), 201)
    sys.advance(21_000)
    await sys.app.scheduler.tick()
    await until('the schedule called it', async () => toldAt('/handler').length === 2)
    assert.match(toldAt('/handler')[1]!, /-00$/)
    assert.equal((await sys.anonymous.get('/tickets')).status, 401)

    const theirs = '4bf92f3577b34da6a3ce929d0e0e4736'
    await traceOfTask({ traceparent: `00-${theirs}-00f067aa0ba902b7-01` })
    assert.match(toldAt('/handler')[2]!, new RegExp(`^00-${theirs}-[0-9a-f]{16}-01$`))
    await until('its spans came', async () => collector.spans.length >= 3)
    assert.deepEqual([...new Set(collector.spans.map(({ traceId }) => traceId))], [theirs])
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
