/** Watchers who read nothing, who come and leave in crowds, and who come back with a place that is none. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import WebSocket from 'ws'
import { TestSystem, until } from '../test-system.ts'

/** More than the system keeps on the way to a reader. */
const EVENTS = 12_000

const sequences = (text: string): number[] =>
  [...text.matchAll(/^id: [0-9]+-([0-9]+)\nevent: /gm)].map(([, index]) => Number(index))

async function pass(system: TestSystem, count: number): Promise<void> {
  const tasks = Array.from({ length: 500 }, () => ({ handler: 'system.ping', input: {} }))
  for (let done = 0; done < count; done += tasks.length)
    assert.equal((await system.admin.post('/tasks/batch', { tasks })).status, 201)
  await until('all are in the log', async () => {
    const { body } = await system.admin.get<{ size: number }>('/audit/log')
    return body.size >= count
  })
}

test('who reads nothing is cut off, is told so in the log of the server, and goes on without a gap', async () => {
  await using system = await TestSystem.start({ env: { WRIT_STREAM_HEARTBEAT_SECONDS: '1' } })
  const authorization = `Bearer ${await system.admin.token()}`
  const { hostname, port } = new URL(system.base)
  const stream = net.connect(Number(port), hostname)
  const request = ['GET /api/v1/events?after=0 HTTP/1.1', 'host: writ', 'accept: text/event-stream']
  stream.pause()
  stream.write(`${[...request, `authorization: ${authorization}`].join('\r\n')}\r\n\r\n`)
  const socket = new WebSocket(`${system.base.replace('http', 'ws')}/api/v1/ws?after=0`, { headers: { authorization } })
  await new Promise((open, fail) => socket.once('open', open).once('error', fail))
  socket.pause()
  await pass(system, EVENTS)
  await until('both are closed', async () =>
    ['a stream was closed that nobody reads', 'a socket was closed that takes nothing'].every((line) =>
      system.log().includes(line),
    ),
  )
  // What was on the way is all that is still to come.
  let text = ''
  const ended = new Promise((resolve) => stream.once('close', resolve))
  stream.on('data', (bytes) => {
    text += bytes.toString('latin1')
  })
  stream.on('error', () => {})
  stream.resume()
  await ended
  const heard = sequences(text)
  const messages: string[] = []
  const gone = new Promise((resolve) => socket.once('close', resolve))
  socket.on('message', (data) => messages.push(String(data)))
  socket.on('error', () => {})
  socket.resume()
  await gone
  for (const got of [heard.length, messages.length])
    assert.ok(got > 0 && got < EVENTS, `${got} of ${EVENTS} were on the way`)
  const last = `00000-${String(heard.at(-1)).padStart(12, '0')}`
  const leave = new AbortController()
  const again = await fetch(`${system.base}/api/v1/events`, {
    headers: { authorization, accept: 'text/event-stream', 'last-event-id': last },
    signal: leave.signal,
  })
  let rest = ''
  let next = 0
  for await (const piece of again.body!.pipeThrough(new TextDecoderStream())) {
    rest += piece
    const whole = rest.lastIndexOf('\n\n') + 2
    heard.push(...sequences(rest.slice(0, whole)))
    rest = rest.slice(whole)
    next = heard.at(-1)!
    if (next >= EVENTS - 1) break
  }
  leave.abort()
  assert.deepEqual(
    heard.slice(0, EVENTS),
    Array.from({ length: EVENTS }, (_, index) => index),
  )
})

test('a thousand who come and leave at once leave nothing behind', async () => {
  await using system = await TestSystem.start()
  const authorization = `Bearer ${await system.admin.token()}`
  const openFiles = async () => {
    const { body } = await system.admin.get<string>('//metrics')
    return Number(/^writ_process_open_fds ([0-9]+)/m.exec(body)![1])
  }
  const before = await openFiles()
  const sockets = await Promise.all(
    Array.from({ length: 1_000 }, async () => {
      const socket = new WebSocket(`${system.base.replace('http', 'ws')}/api/v1/ws`, { headers: { authorization } })
      await new Promise((open, fail) => socket.once('open', open).once('error', fail))
      return socket
    }),
  )
  assert.ok((await openFiles()) >= before + 1_000)
  for (const socket of sockets) socket.terminate()
  await until('their connections are closed', async () => (await openFiles()) < before + 50)
  const streams = await Promise.all(
    Array.from({ length: 1_000 }, async () => {
      const leave = new AbortController()
      const headers = { authorization, accept: 'text/event-stream' }
      const { status } = await fetch(`${system.base}/api/v1/events`, { headers, signal: leave.signal })
      assert.equal(status, 200)
      return leave
    }),
  )
  for (const leave of streams) leave.abort()
  await until('theirs too', async () => (await openFiles()) < before + 50)
  // Who comes afterwards is served.
  await pass(system, 500)
  const { body } = await system.admin.get<{ items: unknown[] }>('/events?after=0&limit=200')
  assert.equal(body.items.length, 200)
})

test('a place that no event has had is refused wherever it is said', async () => {
  await using system = await TestSystem.start()
  const { admin } = system
  const authorization = `Bearer ${await admin.token()}`
  await pass(system, 500)
  const inside = { headers: { 'x-project': 'elsewhere' } }
  assert.equal((await admin.post('/projects', { slug: 'elsewhere', name: 'Elsewhere' })).status, 201)
  const [last] = (await admin.get<{ items: { sequence: string }[] }>('/events?after=0&limit=1000')).body.items.slice(-1)
  for (const place of ['00000-000099999999', '99999-000000000001', '00000--0000000001', 'no place']) {
    const poll = await admin.get<{ code: string }>(`/events?after=${encodeURIComponent(place)}`)
    assert.deepEqual([poll.status, poll.body.code], [422, 'SEQUENCE_INVALID'], place)
    const stream = await fetch(`${system.base}/api/v1/events`, {
      headers: { authorization, accept: 'text/event-stream', 'last-event-id': place },
    })
    // Its body was read as JSON of a problem.
    assert.deepEqual(
      [stream.status, ((await stream.json()) as { code: string }).code],
      [422, 'SEQUENCE_INVALID'],
      place,
    )
    const socket = new WebSocket(`${system.base.replace('http', 'ws')}/api/v1/ws?after=${encodeURIComponent(place)}`, {
      headers: { authorization },
    })
    const [code, reason] = await new Promise<[number, string]>((resolve) =>
      socket.once('close', (number, text) => resolve([number, String(text)])),
    )
    assert.deepEqual([code, reason], [1008, 'after is no sequence of an event'], place)
  }
  // A place is one in the log of a project: that of another which has more is beyond the end of this one.
  const foreign = await admin.get<{ code: string }>(`/events?after=${last!.sequence}`, inside)
  assert.deepEqual([foreign.status, foreign.body.code], [422, 'SEQUENCE_INVALID'])
})
