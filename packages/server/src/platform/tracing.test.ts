import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { createLog } from './log.ts'
import { openTracing, parentOf } from './tracing.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'

for (const [header, parent] of [
  [`00-${traceId}-${spanId}-01`, { traceId, spanId }],
  [`00-${traceId}-${spanId}-00`, { traceId, spanId }],
  [`cc-${traceId}-${spanId}-01-what-comes-later`, { traceId, spanId }],
  [`ff-${traceId}-${spanId}-01`, null],
  [`00-${'0'.repeat(32)}-${spanId}-01`, null],
  [`00-${traceId}-${'0'.repeat(16)}-01`, null],
  [`00-${traceId.toUpperCase()}-${spanId}-01`, null],
  [`00-${traceId}-${spanId}`, null],
  ['garbage', null],
] as const)
  test(`a traceparent names a trace and its span, or neither: ${header}`, () =>
    assert.deepEqual(parentOf(header), parent))

test('a collector that takes nothing is told of once, and when it takes spans again', async () => {
  let status = 400
  let taken = 0
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      taken++
      response.writeHead(status, { 'content-type': 'application/json' }).end('{}')
    })
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const lines: string[] = []
  const destination = { write: (line: string) => lines.push(line) } as unknown as NodeJS.WritableStream
  const tracing = await openTracing({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    headers: {},
    serviceName: 'writ',
    version: '0',
    log: createLog({ level: 'info', format: 'json', destination }),
  })
  /** Records spans until one more batch was answered. */
  const sendBatch = async () => {
    for (const before = taken; taken === before; await new Promise((later) => setTimeout(later, 50)))
      tracing.record(() => ({
        name: 'n',
        kind: 'internal',
        traceId,
        spanId,
        parentSpanId: null,
        start: 0,
        end: 1,
        attributes: {},
        error: null,
      }))
  }
  try {
    await sendBatch()
    await sendBatch()
    status = 200
    await sendBatch()
    await tracing.stop()
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).msg),
      ['the collector takes no traces, spans are lost', 'the collector takes traces again'],
    )
    assert.match(JSON.parse(lines[0]!).reason, /Bad Request/)
  } finally {
    server.close()
  }
})
