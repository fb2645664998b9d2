import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event, Ticket } from '@writ/api'
import WebSocket from 'ws'
import { backends } from '../backends.ts'
import { type Person, type TestSystem, until } from '../test-system.ts'

interface Message {
  readonly type: string
  readonly status?: string
  readonly action?: string
  readonly events?: string[]
  readonly except?: string[]
  readonly event?: Event
  readonly sequence?: string
  readonly code?: string
}

interface Listener extends AsyncDisposable {
  readonly socket: WebSocket
  readonly messages: Message[]
  readonly events: Event[]
  say(message: unknown): void
  closed: Promise<{ code: number; reason: string }>
}

async function listen(
  system: TestSystem,
  person: Person,
  query = '',
  options: WebSocket.ClientOptions = {},
): Promise<Listener> {
  const socket = new WebSocket(`${system.base.replace('http', 'ws')}/api/v1/ws${query}`, {
    headers: { authorization: `Bearer ${await person.token()}` },
    ...options,
  })
  const messages: Message[] = []
  socket.on('message', (data) => messages.push(JSON.parse(String(data)) as Message))
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })),
  )
  await new Promise((open, fail) => socket.once('open', open).once('error', fail))
  return {
    socket,
    messages,
    get events() {
      return messages.flatMap((message) => message.event ?? [])
    },
    say: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
    closed,
    async [Symbol.asyncDispose]() {
      socket.terminate()
      await closed
    },
  }
}

async function openTicket(person: Person, title: string): Promise<Ticket> {
  const answer = await person.post<Ticket>('/tickets', { title })
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return answer.body
}

const heard = (listener: Listener, type: string) => listener.messages.filter((message) => message.type === type)

for (const backend of backends()) {
  const on = { skip: backend.skip }

  test(`every socket gets the whole sequence, in order (${backend.name})`, on, async () => {
    await using system = await backend.start()
    const listeners = await Promise.all(
      Array.from({ length: 8 }, () => listen(system, system.admin, '?types=ticket.*')),
    )
    await until('all are greeted', async () => listeners.every((one) => one.messages.length > 0))
    for (const one of listeners) assert.equal(one.messages[0]!.status, 'connected')
    await Promise.all(Array.from({ length: 40 }, (_, i) => openTicket(i % 2 ? system.bob : system.employee, `T${i}`)))
    await until('all heard all', async () => listeners.every((one) => one.events.length === 40))
    const [first, ...others] = listeners.map((one) => one.events.map((event) => event.sequence!))
    assert.deepEqual(first, [...new Set(first)].sort())
    for (const other of others) assert.deepEqual(other, first)
    // What broke goes on behind what it heard last.
    listeners[0]!.socket.terminate()
    await openTicket(system.employee, 'while away')
    await using again = await listen(system, system.admin, `?types=ticket.*&after=${first!.at(-1)}`)
    await until('the rest came', async () => again.events.length === 1)
    assert.match(again.events[0]!.data.action, /while away/)
    for (const one of listeners) one.socket.terminate()
  })
}

const sqlite = backends()[0]!

test('subscriptions narrow and widen what comes; what is not understood is said', async () => {
  await using system = await sqlite.start()
  await using listener = await listen(system, system.admin)
  listener.say({ action: 'subscribe', events: ['ticket.closed'] })
  await until('it is confirmed', async () => heard(listener, 'subscription:confirmed').length === 1)
  const ticket = await openTicket(system.employee, 'unheard')
  assert.equal((await system.employee.post(`/tickets/${ticket.id}/close`)).status, 200)
  await until('the closing came', async () => listener.events.length > 0)
  assert.deepEqual(
    listener.events.map((event) => event.data.event_type),
    ['ticket.closed'],
  )
  listener.say({ action: 'subscribe', events: ['ticket.reopened'] })
  listener.say({ action: 'unsubscribe', events: ['ticket.closed'] })
  listener.say({ action: 'subscribe_all' })
  await until('all is confirmed', async () => heard(listener, 'subscription:confirmed').length === 4)
  assert.deepEqual(
    heard(listener, 'subscription:confirmed').map(({ action, events }) => [action, events]),
    [
      ['subscribe', ['ticket.closed']],
      ['subscribe', ['ticket.closed', 'ticket.reopened']],
      ['unsubscribe', ['ticket.reopened']],
      ['subscribe_all', ['*']],
    ],
  )
  // All but some.
  listener.say({ action: 'unsubscribe', events: ['ticket.created', 'ticket.submitted', 'run.*'] })
  listener.say({ action: 'unsubscribe', events: ['ticket.*'] })
  listener.say({ action: 'unsubscribe', events: ['*'] })
  listener.say({ action: 'subscribe', events: ['ticket.*'] })
  listener.say({ action: 'unsubscribe', events: ['ticket.created', 'ticket.submitted'] })
  listener.say({ action: 'subscribe', events: ['ticket.submitted'] })
  await until('each is confirmed', async () => heard(listener, 'subscription:confirmed').length === 10)
  assert.deepEqual(
    heard(listener, 'subscription:confirmed')
      .slice(4)
      .map(({ events, except }) => [events, except]),
    [
      [['*'], ['ticket.created', 'ticket.submitted', 'run.*']],
      [['*'], ['run.*', 'ticket.*']],
      [[], undefined],
      [['ticket.*'], undefined],
      [['ticket.*'], ['ticket.created', 'ticket.submitted']],
      [['ticket.*', 'ticket.submitted'], ['ticket.created']],
    ],
  )
  const before = listener.events.length
  const other = await openTicket(system.employee, 'half heard')
  assert.equal((await system.employee.post(`/tickets/${other.id}/close`)).status, 200)
  await until(
    'the closing came',
    async () => listener.events.at(-1)?.data.event_type === 'ticket.closed' && listener.events.length > before,
  )
  assert.ok(listener.events.slice(before).every((event) => event.data.event_type !== 'ticket.created'))
  const unknown = { action: 'subscribe', events: ['ticket.close'] }
  for (const nonsense of [
    'no json',
    '[]',
    { action: 'dance' },
    { action: 'subscribe', events: ['DROP TABLE'] },
    unknown,
  ])
    listener.say(nonsense)
  await until('each is refused', async () => heard(listener, 'error').length === 5)
  assert.match(JSON.stringify(heard(listener, 'error')[4]), /did you mean ticket\.closed\?/)
  listener.say({ type: 'ping' })
  await until('it lives', async () => heard(listener, 'pong').length === 1)
})

test('an employee’s socket tells of their own tickets alone', async () => {
  await using system = await sqlite.start()
  await using listener = await listen(system, system.employee, '?types=ticket.created')
  await until('it is greeted', async () => listener.messages.length > 0)
  await openTicket(system.bob, 'not mine')
  const mine = await openTicket(system.employee, 'mine')
  await until('it came', async () => listener.events.length > 0)
  assert.deepEqual(
    listener.events.map((event) => event.subject),
    [mine.id],
  )
})

test('who may not is refused before the upgrade; a plain request is told what this is', async () => {
  await using system = await sqlite.start()
  const refused = await new Promise<number>((resolve, reject) => {
    const socket = new WebSocket(`${system.base.replace('http', 'ws')}/api/v1/ws`)
    socket.once('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0))
    socket.once('open', () => reject(new Error('it opened')))
    socket.once('error', reject)
  })
  assert.equal(refused, 401)
  const plain = await system.admin.get<{ code: string }>('/ws')
  assert.deepEqual([plain.status, plain.body.code], [426, 'UPGRADE_REQUIRED'])
  // The second is a place that no event has had yet.
  for (const after of ['yesterday', '00000-000000099999']) {
    await using lost = await listen(system, system.admin, `?after=${after}`)
    assert.deepEqual(await lost.closed, { code: 1008, reason: 'after is no sequence of an event' })
  }
})

test('a peer that answers no ping is closed, and so is who left the project', async () => {
  await using system = await sqlite.start({ env: { WRIT_STREAM_HEARTBEAT_SECONDS: '1' } })
  await using dead = await listen(system, system.admin, '', { autoPong: false })
  await using leaver = await listen(system, system.bob)
  assert.equal((await system.admin.delete(`/members/${system.bob.number}`)).status, 204)
  assert.equal((await leaver.closed).code, 1008)
  assert.equal(heard(leaver, 'connection:status').at(-1)!.status, 'disconnected')
  // It reads, though it does not answer: it is told why.
  assert.deepEqual(await dead.closed, { code: 1008, reason: 'a ping was not answered' })
  assert.equal(heard(dead, 'connection:status').at(-1)!.status, 'disconnected')
  await until('the log says so', async () => /a socket was closed that takes nothing/.test(system.log()))
  assert.ok(heard(dead, 'ping').length >= 1)
})

test('a server that stops says so', async () => {
  await using system = await sqlite.start()
  await using listener = await listen(system, system.admin)
  await until('it is greeted', async () => listener.messages.length > 0)
  await system.stop()
  assert.equal((await listener.closed).code, 1001)
  assert.equal(heard(listener, 'connection:status').at(-1)!.status, 'disconnected')
})

test('a server that stops waits for no socket whose client has gone to sleep', async () => {
  await using system = await sqlite.start({ env: { WRIT_SHUTDOWN_GRACE_SECONDS: '5' } })
  await using asleep = await listen(system, system.admin)
  await using listener = await listen(system, system.admin)
  await until('both are greeted', async () => [asleep, listener].every(({ messages }) => messages.length > 0))
  asleep.socket.pause()
  await system.stop()
  assert.equal((await listener.closed).code, 1001)
  assert.doesNotMatch(system.log(), /within the grace are cut off/)
})
