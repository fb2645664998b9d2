import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { createLog } from './log.ts'
import { openTracing, parentOf, traceStateOf } from './tracing.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'

const handedOn = (flags: string) => ({ traceId, spanId, header: `00-${traceId}-${spanId}-${flags}` })

for (const [header, parent] of [
  [`00-${traceId}-${spanId}-01`, { ...handedOn('01'), sampled: true }],
  [`00-${traceId}-${spanId}-00`, { ...handedOn('00'), sampled: false }],
  [`00-${traceId}-${spanId}-02`, { ...handedOn('02'), sampled: false }],
  [`00-${traceId}-${spanId}-ff`, { ...handedOn('03'), sampled: true }],
  [`00-${traceId}-${spanId}-01-more`, null],
  [`00-${traceId}-${spanId}-01-`, null],
  [`cc-${traceId}-${spanId}-01-what-comes-later`, { ...handedOn('01'), sampled: true }],
  [`cc-${traceId}-${spanId}-01`, { ...handedOn('01'), sampled: true }],
  [`cc-${traceId}-${spanId}-01what`, null],
  [`ff-${traceId}-${spanId}-01`, null],
  [`00-${'0'.repeat(32)}-${spanId}-01`, null],
  [`00-${traceId}-${'0'.repeat(16)}-01`, null],
  [`00-${traceId.toUpperCase()}-${spanId}-01`, null],
  [`00-${traceId}-${spanId}`, null],
  ['garbage', null],
] as const)
  test(`a traceparent names a trace and its span, or neither: ${header}`, () =>
    assert.deepEqual(parentOf(header), parent))

const member = (name: string, length: number) => `${name}=${'v'.repeat(length - name.length - 1)}`

for (const [what, said, kept] of [
  ['what one system says', 'congo=t61rcWkgMzE', 'congo=t61rcWkgMzE'],
  ['several, in their order', 'rojo=00f067aa0ba902b7 ,\tcongo=t61 ,, ', 'rojo=00f067aa0ba902b7,congo=t61'],
  ['those of tenants', 'fw529a3039@dt=FfffffeC8;a:1', 'fw529a3039@dt=FfffffeC8;a:1'],
  ['nothing without a value', 'congo=', null],
  ['nothing without a name', '=t61', null],
  ['nothing in capitals', 'Congo=t61', null],
  ['nothing with two signs', 'congo=t61=2', null],
  ['no letters that headers do not have', 'congo=t\u00e961', null],
  ['nothing of more than 32', Array.from({ length: 33 }, (_, i) => `s${i}=1`).join(), null],
  ['nothing where nothing is', ' , ', null],
  ['512 characters', [member('a', 256), member('b', 255)].join(), [member('a', 256), member('b', 255)].join()],
  ['the shorter ones of more', [member('a', 256), 'b=1', member('c', 256)].join(), 'b=1'],
  [
    'the first of more short ones',
    'abcde'.replaceAll(/./g, (name) => `${member(name, 128)},`),
    'abc'.replaceAll(/./g, (name) => `${member(name, 128)},`).slice(0, -1),
  ],
] as const)
  test(`a tracestate is handed on as far as it is one: ${what}`, () => assert.equal(traceStateOf(said), kept))

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
    share: 1,
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
