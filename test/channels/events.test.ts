import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Event, EventPage, Run, Ticket } from '@writ/api'
import { createClient } from '@writ/sdk'
import { backends } from '../backends.ts'
import type { Client } from '../client.ts'
import { type Person, type TestSystem, until } from '../test-system.ts'

const watcherOf = async (system: TestSystem, person: Person) =>
  createClient({ url: system.base, token: await person.token(), retry: { base_ms: 20 } })

async function openTicket(person: Client, title: string): Promise<Ticket> {
  const answer = await person.post<Ticket>('/tickets', { title })
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return answer.body
}

const poll = async (client: Client, query: string) => {
  const answer = await client.get<EventPage>(`/events?${query}`)
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return answer.body
}

for (const backend of backends()) {
  const on = { skip: backend.skip }

  test(
    `everybody who watches gets the whole sequence in order, and the same from a poll (${backend.name})`,
    on,
    async () => {
      await using system = await backend.start()
      const stop = new AbortController()
      const watch = async () => {
        const heard: Event[] = []
        const client = await watcherOf(system, system.admin)
        for await (const event of client.watch({ types: ['ticket.*'], after: '0', signal: stop.signal })) {
          heard.push(event)
          if (heard.length === 30) break
        }
        return heard
      }
      const watching = Promise.all([watch(), watch(), watch()])
      // Side by side, so that commits overtake each other.
      await Promise.all(Array.from({ length: 30 }, (_, i) => openTicket(i % 2 ? system.bob : system.employee, `T${i}`)))
      const [first, ...others] = await watching
      const sequences = first!.map((event) => event.sequence!)
      assert.equal(new Set(sequences).size, 30)
      assert.deepEqual(sequences, [...sequences].sort())
      for (const other of others) assert.deepEqual(other, first)
      await system.settle()
      const polled: Event[] = []
      for (let after = '0'; polled.length < 30; ) {
        const page = await poll(system.admin, `after=${after}&types=ticket.*&limit=7`)
        polled.push(...page.items)
        assert.notEqual(page.last, after, 'a page that is not the end moves on')
        after = page.last
      }
      assert.deepEqual(polled, first)
    },
  )

  test(`a watcher goes on where it was when the server comes back (${backend.name})`, on, async () => {
    await using system = await backend.start({ env: { PORT: '0' } })
    await openTicket(system.employee, 'before')
    await system.settle()
    const heard: string[] = []
    let last: string | undefined
    for await (const event of (await watcherOf(system, system.admin)).watch({
      types: ['ticket.created'],
      after: '0',
    })) {
      heard.push(event.data.action)
      last = event.sequence
      break
    }
    await openTicket(system.employee, 'unheard')
    await system.restart()
    await openTicket(system.employee, 'after')
    for await (const event of (await watcherOf(system, system.admin)).watch({
      types: ['ticket.created'],
      ...(last ? { after: last } : {}),
    })) {
      heard.push(event.data.action)
      if (heard.length === 3) break
    }
    assert.deepEqual(
      heard.map((action) => action.replace(/^.*: /, '')),
      ['before', 'unheard', 'after'],
    )
  })

  test(`an employee hears of their own tickets and runs alone (${backend.name})`, on, async () => {
    await using system = await backend.start()
    const mine = await openTicket(system.employee, 'mine')
    await openTicket(system.bob, 'not mine')
    const assigned = await system.bob.post<Ticket>('/tickets', { title: 'for me', assignee_id: system.employee.number })
    assert.equal(assigned.status, 200, JSON.stringify(assigned.body))
    const run = (await system.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: mine.id })).body
    const uploaded = await system.employee.upload(run.id, 'a.json', '{}')
    assert.equal(uploaded.status, 200)
    await system.waitFor(run.id)
    await system.settle()
    const { items } = await poll(system.employee, 'after=0&limit=1000')
    const types = items.map((event) => event.data.event_type)
    assert.ok(types.includes('artifact.uploaded') && types.includes('run.created'))
    const tickets = items.filter((event) => event.data.event_type === 'ticket.created').map((event) => event.subject)
    assert.deepEqual(tickets, [mine.id, assigned.body.id])
    assert.ok(
      types.every((type) => /^(ticket|run|artifact)\./.test(type)),
      types.join(),
    )
    const all = await poll(system.admin, 'after=0&limit=1000')
    assert.ok(all.items.length > items.length)
    const ofRun = await poll(system.employee, `after=0&limit=1000&run_id=${run.number}`)
    assert.ok(ofRun.items.length >= 3)
    assert.ok(ofRun.items.every((event) => event.data.run_id === run.id))
    const foreign = await system.bob.get<{ code: string }>(`/events?run_id=${run.number}`)
    assert.equal(foreign.body.code, 'RUN_VIEW_DENIED')
  })

  test(`a poll waits for what comes, and for no longer than it was told (${backend.name})`, on, async () => {
    await using system = await backend.start()
    await system.settle()
    const { last } = await poll(system.admin, 'types=ticket.*')
    const waiting = poll(system.admin, `after=${last}&types=ticket.*&wait=30`)
    const ticket = await openTicket(system.employee, 'late')
    assert.deepEqual(
      (await waiting).items.map((event) => event.subject),
      [ticket.id],
    )
    const nothing = await poll(system.admin, 'types=ticket.closed')
    assert.deepEqual(nothing.items, [])
    // Whoever waited at a place that no event has had yet would miss all that comes before it.
    for (const after of ['yesterday', '00000-000000099999', '00009-000000000000']) {
      const wrong = await system.admin.get<{ code: string }>(`/events?after=${after}`)
      assert.equal(wrong.body.code, 'SEQUENCE_INVALID', after)
    }
  })
}

test('a stream resumes by Last-Event-ID and ends when the server stops', async () => {
  await using system = await backends()[0]!.start()
  await openTicket(system.employee, 'one')
  const two = await openTicket(system.employee, 'two')
  await system.settle()
  const { items } = await poll(system.admin, 'after=0&types=ticket.created')
  const response = await fetch(`${system.base}/api/v1/events?types=ticket.created`, {
    headers: {
      accept: 'text/event-stream',
      authorization: `Bearer ${await system.admin.token()}`,
      'last-event-id': items[0]!.sequence!,
    },
  })
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff')
  let text = ''
  const reading = (async () => {
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) text += chunk
  })()
  await until('the second came', async () => text.includes('event: ticket.created'))
  assert.match(text, new RegExp(`id: ${items[1]!.sequence}\nevent: ticket.created\ndata: .*${two.id}`))
  assert.doesNotMatch(text, new RegExp(`id: ${items[0]!.sequence}\nevent`))
  await system.stop()
  await reading
})

test('a stream ends when the person leaves the project, though the token lives', async () => {
  await using system = await backends()[0]!.start({ env: { WRIT_STREAM_HEARTBEAT_SECONDS: '1' } })
  const response = await fetch(`${system.base}/api/v1/events`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${await system.bob.token()}` },
  })
  assert.equal(response.status, 200)
  const reading = response.text()
  assert.equal((await system.admin.delete(`/members/${system.bob.number}`)).status, 204)
  await reading
})
