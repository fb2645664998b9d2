import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import path from 'node:path'
import { test } from 'node:test'
import type { CreatedWebhook, Delivery, Replayed, Ticket, Webhook } from '@writ/api'
import type { Static } from 'typebox'
import { INSTANCE, inProject } from '../../packages/server/src/platform/db/index.ts'
import { attachDatabase } from '../../packages/server/src/platform/db/open.ts'
import { uuidv7 } from '../../packages/server/src/platform/ids.ts'
import { backends } from '../backends.ts'
import { endLeases } from '../servers/statement.ts'
import { dispatcherOf } from '../tasks/dispatch.ts'
import { type TestSystem, until } from '../test-system.ts'
import { ok } from '../verifies.ts'
import { type Received, startReceiver } from './receiver.ts'
import { startSmtpServer } from './smtp-server.ts'

const HOUR = 3_600_000

type Made = Static<typeof CreatedWebhook>

async function addWebhook(system: TestSystem, fields: Record<string, unknown>): Promise<Made> {
  const answer = await system.admin.post<Made>('/webhooks', { name: 'hook', events: ['ticket.*'], ...fields })
  assert.equal(answer.status, 201, JSON.stringify(answer.body))
  return answer.body
}

async function openTicket(system: TestSystem, title: string): Promise<Ticket> {
  const answer = await system.employee.post<Ticket>('/tickets', { title })
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return answer.body
}

const deliveriesOf = async (system: TestSystem, id: string) =>
  (await system.admin.get<Delivery[]>(`/webhooks/${id}/deliveries`)).body
const webhookOf = async (system: TestSystem, id: string) => (await system.admin.get<Webhook>(`/webhooks/${id}`)).body

/** Moves the clock to the next attempt each time that one failed, until something holds. */
async function patiently(
  system: TestSystem,
  webhook: string,
  claim: string,
  holds: () => Promise<boolean>,
): Promise<void> {
  let seen = 0
  await until(claim, async () => {
    if (await holds()) return true
    const [delivery] = await deliveriesOf(system, webhook)
    const last = delivery?.attempts.at(-1)
    if (delivery?.next_attempt_at && last && last.attempt > seen) {
      seen = last.attempt
      system.advance(Date.parse(delivery.next_attempt_at) - Date.parse(last.at))
    }
    return false
  })
}

// As the receiver's own library would: Standard Webhooks 1.0, "verifying webhook authenticity".
function isSignedBy(secret: string, { headers, body }: Received): boolean {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
  const expected = createHmac('sha256', key)
    .update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`)
    .digest('base64')
  return String(headers['webhook-signature']).split(' ').includes(`v1,${expected}`)
}

for (const backend of backends()) {
  const on = { skip: backend.skip }

  test(`an event reaches every webhook that listens to it, as a signed CloudEvent (${backend.name})`, on, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start()
    const hook = await addWebhook(system, { url: receiver.url, headers: { authorization: 'Bearer inventory' } })
    await addWebhook(system, { url: `${receiver.url}/runs`, events: ['run.*'] })
    const ticket = await openTicket(system, 'Replace switch 7')
    await until('the message came', async () => receiver.received.length > 0)
    const [message] = receiver.received
    assert.equal(message!.path, '/hook')
    assert.equal(message!.headers['content-type'], 'application/cloudevents+json; charset=utf-8')
    assert.equal(message!.headers.authorization, 'Bearer inventory')
    assert.equal(message!.headers['webhook-id'], message!.event.id)
    assert.ok(isSignedBy(hook.secret!, message!))
    const { data, ...attributes } = message!.event
    assert.equal(attributes.specversion, '1.0')
    assert.equal(attributes.type, 'dev.writ.ticket.created.v1')
    assert.equal(attributes.source, '/projects/default')
    assert.equal(attributes.subject, ticket.id)
    assert.match(attributes.sequence!, /^\d{5}-\d{12}$/)
    assert.equal(data.actor_username, 'employee')
    assert.equal(data.resource_number, ticket.number)
    assert.ok(!/ip_address|user_agent|127\.0\.0\.1/.test(message!.body), 'where somebody sat is nobody else’s business')
    await until('it is recorded', async () => (await deliveriesOf(system, hook.id))[0]?.state === 'delivered')
    const [delivery] = await deliveriesOf(system, hook.id)
    assert.deepEqual(
      delivery!.attempts.map(({ attempt, status, error }) => ({ attempt, status, error })),
      [{ attempt: 1, status: 204, error: null }],
    )
    await system.check()
  })

  test(`a refused message is tried again until it is taken, with the same id (${backend.name})`, on, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start({ fakeClock: true })
    receiver.answer = () =>
      receiver.received.length < 4 ? { status: 500, body: 'not now\u001b[31m' } : { status: 200 }
    const hook = await addWebhook(system, { url: receiver.url })
    await openTicket(system, 'Again')
    await patiently(
      system,
      hook.id,
      'it was taken',
      async () => (await deliveriesOf(system, hook.id))[0]?.state === 'delivered',
    )
    assert.equal(receiver.received.length, 4)
    assert.equal(new Set(receiver.received.map((one) => one.headers['webhook-id'])).size, 1)
    const [delivery] = await deliveriesOf(system, hook.id)
    assert.deepEqual(
      delivery!.attempts.map(({ status, error, answer }) => [status, error, answer]),
      [
        [500, 'HTTP_500', 'not now[31m'],
        [500, 'HTTP_500', 'not now[31m'],
        [500, 'HTTP_500', 'not now[31m'],
        [200, null, ''],
      ],
    )
    assert.equal((await webhookOf(system, hook.id)).failing_since, null)
  })

  test(`a webhook of a handler is told how its tasks ended that name no callback (${backend.name})`, on, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start()
    const hook = await addWebhook(system, { url: receiver.url, events: undefined, handlers: ['system.ping'] })
    assert.deepEqual([hook.events, hook.handlers], [[], ['system.ping']])
    const none = await system.admin.post<{ code: string }>('/webhooks', { name: 'none', url: receiver.url })
    assert.deepEqual([none.status, none.body.code], [422, 'VALIDATION_FAILED'])
    const dispatch = async (more: object) => (await system.admin.post<{ id: string }>('/tasks', more)).body.id
    await dispatch({ handler: 'demo_script' })
    const named = await dispatch({ handler: 'system.ping', callback: { url: `${receiver.url}/named` } })
    await until('the callback came', async () => receiver.received.length === 1)
    const plain = await dispatch({ handler: 'system.ping' })
    await until('the webhook was told', async () => receiver.received.length === 2)
    assert.deepEqual(
      receiver.received.map(({ path, event }) => [path, event.data.resource_id]),
      [
        ['/hook/named', named],
        ['/hook', plain],
      ],
    )
    assert.ok(isSignedBy(hook.secret!, receiver.received[1]!))
    await system.admin.patch(`/webhooks/${hook.id}`, { handlers: ['demo_script'] })
    assert.deepEqual((await webhookOf(system, hook.id)).handlers, ['demo_script'])
    await system.check()
  })

  test(
    `an ordered webhook is told one thing after the other, and holds up itself alone (${backend.name})`,
    on,
    async () => {
      await using receiver = await startReceiver()
      await using system = await backend.start({ fakeClock: true })
      let well = false
      receiver.answer = ({ path }) => ({ status: well || path !== '/hook' ? 204 : 500 })
      const hook = await addWebhook(system, { url: receiver.url, ordered: true, events: ['ticket.created'] })
      const free = await addWebhook(system, { url: `${receiver.url}/free`, events: ['ticket.created'] })
      assert.deepEqual([hook.ordered, hook.held_up_by, free.ordered], [true, null, false])
      const tickets: Ticket[] = []
      for (const title of ['first', 'second', 'third']) tickets.push(await openTicket(system, title))
      const told = (path: string) => receiver.received.filter((one) => one.path === path)
      const ticketsOf = (path: string) => told(path).map(({ event }) => event.data.resource_id)
      await until('the other was told', async () => told('/hook/free').length === 3)
      await until('the first failed', async () => (await webhookOf(system, hook.id)).held_up_by !== null)
      await until('the others wait', async () => (await deliveriesOf(system, hook.id)).length === 3)
      const [third, second, first] = await deliveriesOf(system, hook.id)
      assert.equal((await webhookOf(system, hook.id)).held_up_by, first!.id)
      assert.deepEqual(
        [third, second].map((one) => [one!.state, one!.attempts, one!.next_attempt_at]),
        [
          ['waiting', [], null],
          ['waiting', [], null],
        ],
      )
      well = true
      await until('all were taken', async () => {
        const all = await deliveriesOf(system, hook.id)
        const next = Date.parse(
          all.find(({ attempts, state }) => state === 'waiting' && attempts.length > 0)?.next_attempt_at ?? '',
        )
        if (next > system.now()) system.advance(next - system.now())
        return all.every(({ state }) => state === 'delivered')
      })
      const ids = tickets.map(({ id }) => id)
      assert.deepEqual([...new Set(ticketsOf('/hook'))], ids)
      assert.deepEqual(ticketsOf('/hook').slice(-3), ids)
      assert.equal((await webhookOf(system, hook.id)).held_up_by, null)

      // What waits for its turn is sent at once when the order is given up.
      well = false
      for (const title of ['fourth', 'fifth']) await openTicket(system, title)
      await until('one failed', async () => (await webhookOf(system, hook.id)).held_up_by !== null)
      await until('the other waits', async () => (await deliveriesOf(system, hook.id)).length === 5)
      await system.admin.patch(`/webhooks/${hook.id}`, { ordered: false })
      await until('it was tried', async () => (await deliveriesOf(system, hook.id))[0]!.attempts.length === 1)
      assert.equal((await webhookOf(system, hook.id)).held_up_by, null)
      await system.check()
    },
  )

  test(
    `a receiver that takes nothing for a day is disabled, and what it missed can be replayed (${backend.name})`,
    on,
    async () => {
      await using receiver = await startReceiver()
      await using system = await backend.start({ fakeClock: true })
      receiver.answer = () => ({ status: 503 })
      const hook = await addWebhook(system, { url: receiver.url })
      await openTicket(system, 'Nobody is there')
      await patiently(
        system,
        hook.id,
        'it was disabled',
        async () => (await webhookOf(system, hook.id)).state === 'disabled',
      )
      assert.equal(receiver.received.length, 15)
      assert.match((await webhookOf(system, hook.id)).disabled_reason ?? '', /^nothing was taken since /)
      const events = await system.admin.get<{ resource_id: string }[]>('/audit/events?event_type=webhook.disabled')
      assert.deepEqual(
        events.body.map((event) => event.resource_id),
        [hook.id],
      )
      const closed = await system.admin.post<{ code: string }>(`/webhooks/${hook.id}/replay`, { state: 'failed' })
      assert.equal(closed.body.code, 'WEBHOOK_NOT_ACTIVE')
      receiver.answer = () => ({ status: 204 })
      await system.admin.patch(`/webhooks/${hook.id}`, { state: 'active' })
      const unfiltered = await system.admin.post<{ code: string }>(`/webhooks/${hook.id}/replay`, {})
      assert.equal(unfiltered.body.code, 'REPLAY_UNFILTERED')
      const preview = await system.admin.post<Static<typeof Replayed>>(`/webhooks/${hook.id}/replay`, {
        state: 'failed',
        preview: true,
      })
      assert.deepEqual(preview.body, { matched: 1, replayed: 0 })
      const replayed = await system.admin.post(`/webhooks/${hook.id}/replay`, { state: 'failed' })
      assert.deepEqual(replayed.body, { matched: 1, replayed: 1 })
      await until('it was taken', async () => (await deliveriesOf(system, hook.id))[0]?.state === 'delivered')
      // That it failed stays in the log; it is sent once more only if it is named.
      const nothing = await system.admin.post(`/webhooks/${hook.id}/replay`, { state: 'failed' })
      assert.deepEqual(nothing.body, { matched: 0, replayed: 0 })
      const [again, first] = await deliveriesOf(system, hook.id)
      assert.equal(again!.replay_of, first!.id)
      const named = { delivery_ids: [first!.id], state: 'failed', preview: true }
      const byName = await system.admin.post(`/webhooks/${hook.id}/replay`, named)
      assert.deepEqual(byName.body, { matched: 1, replayed: 0 })
      assert.equal(receiver.received.at(-1)!.headers['webhook-id'], receiver.received[0]!.headers['webhook-id'])
      await system.check()
    },
  )

  test(`of very many that failed each is sent again once, a thousand at a time (${backend.name})`, on, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start()
    const hook = await addWebhook(system, { url: receiver.url })
    await openTicket(system, 'One for all')
    await until('it was told', async () => (await deliveriesOf(system, hook.id))[0]?.state === 'delivered')
    const [told] = await deliveriesOf(system, hook.id)
    const failed = Array.from({ length: 1_001 }, (_, n) => ({
      id: uuidv7(Date.now() - 60_000 + n),
      webhook_id: hook.id,
      event_id: told!.event_id,
      event_type: told!.event_type,
      state: 'failed',
      replay_of: null,
      next_attempt_at: null,
      attempts: '[]',
      created_at: 0,
      settled_at: 0,
    }))
    const by = await dispatcherOf(system.app, { ...system.admin, role: 'admin' })
    await by.write((tx) =>
      tx.insert(
        'deliveries',
        failed.map((one) => ({ project_id: tx.project, ...one })),
      ),
    )
    const replay = async () =>
      (await system.admin.post<Static<typeof Replayed>>(`/webhooks/${hook.id}/replay`, { state: 'failed' })).body
    assert.deepEqual(await replay(), { matched: 1_001, replayed: 1_000 })
    assert.deepEqual(await replay(), { matched: 1, replayed: 1 })
    assert.deepEqual(await replay(), { matched: 0, replayed: 0 })
    await until('each arrived', async () => receiver.received.length === 1_002)
    await system.check()
  })

  test(`an event that there is not is refused where it would never be told of (${backend.name})`, on, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start()
    const hook = { name: 'hook', url: receiver.url }
    const { id } = await addWebhook(system, { url: receiver.url })
    for (const [answer, place] of [
      [await system.admin.post('/webhooks', { ...hook, events: ['ticket.*', 'run.complete'] }), 'body.events'],
      [await system.admin.patch(`/webhooks/${id}`, { events: ['run.complete'] }), 'body.events'],
      [await system.admin.post(`/webhooks/${id}/replay`, { event_type: 'run.complete' }), 'body.event_type'],
      [await system.admin.get(`/webhooks/${id}/deliveries?event_type=run.complete`), 'query.event_type'],
      [await system.admin.get('/events?types=ticket.*,run.complete'), 'query.types'],
    ] as const) {
      const { code, errors } = answer.body as { code?: string; errors?: { path: string; message: string }[] }
      assert.deepEqual([answer.status, code, errors?.[0]?.path], [422, 'VALIDATION_FAILED', place])
      assert.equal(errors?.[0]?.message, 'there is no event "run.complete"; did you mean run.completed?')
    }
  })

  test(`a receiver that says when to come again is left alone until then (${backend.name})`, on, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start()
    const date = new Date(Date.now() + 1_800_000).toUTCString()
    receiver.answer = ({ path }) => ({ status: 503, headers: { 'retry-after': path === '/date' ? date : '1800' } })
    for (const path of ['/date', '/seconds']) {
      const hook = await addWebhook(system, { name: path, url: new URL(path, receiver.url).href })
      await openTicket(system, 'Later')
      await until('it was tried', async () => (await deliveriesOf(system, hook.id))[0]?.attempts.length === 1)
      const [delivery] = await deliveriesOf(system, hook.id)
      const wait = Date.parse(delivery!.next_attempt_at!) - Date.parse(delivery!.attempts[0]!.at)
      assert.ok(wait > 1_700_000 && wait < 1_810_000, `${path}: ${wait} ms`)
    }
  })

  test(`410 Gone disables at once (${backend.name})`, on, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start()
    receiver.answer = () => ({ status: 410 })
    const hook = await addWebhook(system, { url: receiver.url })
    await openTicket(system, 'Gone')
    await until('it was disabled', async () => (await webhookOf(system, hook.id)).state === 'disabled')
    assert.equal((await webhookOf(system, hook.id)).disabled_reason, 'the receiver answered 410 Gone')
  })

  test(`a receiver that never answers costs its time limit and holds up no other (${backend.name})`, on, async () => {
    await using silent = await startReceiver()
    await using receiver = await startReceiver()
    await using system = await backend.start({ env: { WRIT_WEBHOOK_TIMEOUT_SECONDS: '3' } })
    silent.answer = () => null
    const slow = await addWebhook(system, { url: silent.url })
    const quick = await addWebhook(system, { url: receiver.url })
    for (let i = 0; i < 10; i++) await openTicket(system, `Ticket ${i}`)
    await until('the other got all', async () => receiver.received.length === 10)
    await until('it was given up', async () =>
      (await deliveriesOf(system, slow.id)).some((one) => one.attempts[0]?.error === 'TIMEOUT'),
    )
    assert.ok((await deliveriesOf(system, quick.id)).every((one) => one.attempts.length === 1))
  })

  test(
    `one that answers quickly is told more at once, one that does not, four things (${backend.name})`,
    on,
    async () => {
      await using silent = await startReceiver()
      await using receiver = await startReceiver()
      await using system = await backend.start()
      silent.answer = () => null
      await addWebhook(system, { url: silent.url })
      const quick = await addWebhook(system, { url: receiver.url })
      await openTicket(system, 'First')
      await until('it was taken', async () => (await deliveriesOf(system, quick.id))[0]?.state === 'delivered')
      receiver.answer = () => null
      for (let i = 0; i < 20; i++) await openTicket(system, `Ticket ${i}`)
      await until('as many as may are under way', async () => receiver.received.length >= 1 + 16)
      // Whoever comes before it is read hears of the last ticket as well.
      await until('all is read', async () => (await deliveriesOf(system, quick.id)).length === 1 + 20)
      await using third = await startReceiver()
      await addWebhook(system, { url: third.url })
      await openTicket(system, 'For the third too')
      await until('neither holds up a third', async () => third.received.length === 1)
      assert.deepEqual([receiver.received.length, silent.received.length], [1 + 16, 4])
    },
  )

  test(`killed between commit and delivery, the server delivers after its start (${backend.name})`, on, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start({ process: true })
    receiver.answer = () => null
    const hook = await addWebhook(system, { url: receiver.url })
    const tickets = [
      await openTicket(system, 'One'),
      await openTicket(system, 'Two'),
      await openTicket(system, 'Three'),
    ]
    await until('a message is under way', async () => receiver.received.length > 0)
    await system.kill9()
    receiver.received.length = 0
    receiver.answer = () => ({ status: 204 })
    // On PostgreSQL another process could hold the lease; it ends by the clock. Here we say that it has ended.
    if (backend.name === 'postgres') await endLeases(system.databaseUrl!, 'delivery_queue')
    await system.restart()
    await until('all are delivered', async () => {
      const all = await deliveriesOf(system, hook.id)
      return all.length === 3 && all.every((one) => one.state === 'delivered')
    })
    assert.deepEqual(
      new Set(receiver.received.map((one) => one.event.subject)),
      new Set(tickets.map((ticket) => ticket.id)),
    )
    await system.check()
  })

  test(
    `a clock that is set by hours sends nothing twice, and lets nothing wait for hours (${backend.name})`,
    on,
    async () => {
      await using silent = await startReceiver()
      await using refusing = await startReceiver()
      await using system = await backend.start({ fakeClock: true })
      silent.answer = () => null
      refusing.answer = () => ({ status: refusing.received.length === 1 ? 503 : 204 })
      await addWebhook(system, { url: silent.url, events: ['ticket.closed'] })
      const hook = await addWebhook(system, { url: refusing.url })
      const queued = () =>
        inProject(INSTANCE, () =>
          system.app.db.read((tx) =>
            tx.sql<{ lease_until: number }>('select lease_until from delivery_queue where lease_until is not null'),
          ),
        )
      const ticket = await openTicket(system, 'Replace switch 7')
      await until('it is refused', async () => (await deliveriesOf(system, hook.id))[0]?.attempts.length === 1)
      ok(await system.employee.post(`/tickets/${ticket.id}/close`))
      await until('one is under way', async () => silent.received.length === 1 && refusing.received.length === 2)

      const start = system.now()
      system.setClock(-10 * HOUR)
      await until('its lease is counted by the new time', async () => (await queued())[0]!.lease_until < start)
      const [, waiting] = await deliveriesOf(system, hook.id)
      const left = Date.parse(waiting!.next_attempt_at!) - system.now()
      assert.ok(left > 0 && left <= 6_250, `it is tried again after 5 s, with jitter of 25 %, not ${left}`)
      system.advance(6_250)
      await until('it was tried again', async () => refusing.received.length === 3)

      system.setClock(30 * HOUR)
      await openTicket(system, 'After the clock was set')
      await until('what is new is sent', async () => refusing.received.length === 4)
      assert.equal(silent.received.length, 1, 'what is under way is not sent beside itself')
      await system.check()
    },
  )

  test(
    `a test message goes to its webhook alone, and two secrets sign during a rotation (${backend.name})`,
    on,
    async () => {
      await using receiver = await startReceiver()
      await using system = await backend.start({ fakeClock: true })
      const hook = await addWebhook(system, { url: receiver.url, events: ['run.completed'] })
      await addWebhook(system, { url: `${receiver.url}/other`, events: ['ticket.*'] })
      const rotated = await system.admin.post<Made>(`/webhooks/${hook.id}/rotate`)
      assert.notEqual(rotated.body.secret, hook.secret)
      assert.equal((await system.admin.post(`/webhooks/${hook.id}/test`)).status, 202)
      await until('it came', async () => receiver.received.length === 1)
      assert.equal(receiver.received[0]!.event.type, 'dev.writ.webhook.tested.v1')
      assert.ok(isSignedBy(hook.secret!, receiver.received[0]!))
      assert.ok(isSignedBy(rotated.body.secret!, receiver.received[0]!))
      system.advance(25 * 3_600_000)
      assert.equal((await system.admin.post(`/webhooks/${hook.id}/test`)).status, 202)
      await until('it came', async () => receiver.received.length === 2)
      assert.ok(!isSignedBy(hook.secret!, receiver.received[1]!))
      assert.ok(isSignedBy(rotated.body.secret!, receiver.received[1]!))
    },
  )

  test(`chat programs get their own form, and a bot’s refusal is a failure (${backend.name})`, on, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start({ fakeClock: true })
    const slack = await addWebhook(system, { url: `${receiver.url}/slack/T0/B0/secret`, format: 'slack' })
    const closed = await addWebhook(system, { url: `${receiver.url}/closed/secret`, format: 'slack' })
    const bot = await addWebhook(system, {
      url: `${receiver.url}/feishu/secret`,
      format: 'feishu',
      bot_secret: 'of-the-bot',
    })
    receiver.answer = ({ path }) =>
      path.includes('feishu')
        ? { status: 200, body: '{"code":19021,"msg":"sign match fail"}' }
        : { status: 200, body: path.includes('closed') ? '{"ok":false,"error":"channel_not_found"}' : 'ok' }
    assert.equal(slack.secret, null)
    assert.match(slack.url, /^http:\/\/127\.0\.0\.1:\d+\/…$/)
    await openTicket(system, 'Check <!channel> & all')
    await until('all came', async () => receiver.received.length >= 3)
    const said = receiver.received.find((one) => one.path.includes('slack'))!
    assert.match((JSON.parse(said.body) as { text: string }).text, /^ticket\.created: .*&lt;!channel&gt; &amp; all/)
    const card = JSON.parse(receiver.received.find((one) => one.path.includes('feishu'))!.body)
    const expected = createHmac('sha256', `${card.timestamp}\nof-the-bot`).update('').digest('base64')
    assert.equal(card.sign, expected)
    assert.equal(card.msg_type, 'interactive')
    await until(
      'it is recorded',
      async () => (await deliveriesOf(system, bot.id))[0]?.attempts[0]?.error === 'FEISHU_19021',
    )
    await until('and that the other refused too', async () => {
      const [delivery] = await deliveriesOf(system, closed.id)
      return delivery?.state === 'waiting' && delivery.attempts[0]?.error === 'SLACK_CHANNEL_NOT_FOUND'
    })
    await until('ok is a success', async () => (await deliveriesOf(system, slack.id))[0]?.state === 'delivered')
  })

  test(
    `e-mail goes through the mail server, again after a refusal, under one message id (${backend.name})`,
    on,
    async () => {
      await using smtp = await startSmtpServer()
      await using system = await backend.start({
        fakeClock: true,
        env: { WRIT_SMTP_URL: smtp.url, WRIT_SMTP_FROM: 'Writ <writ@example.com>' },
      })
      const wrong = await system.admin.post<{ code: string }>('/webhooks', {
        name: 'w',
        url: 'mailto:a@example.com?bcc=b@example.com',
        events: ['*'],
        format: 'email',
      })
      assert.equal(wrong.body.code, 'VALIDATION_FAILED')
      const unsaid = await system.admin.post<{ code: string; detail: string }>('/webhooks', {
        name: 'w',
        url: 'mailto:a@example.com',
        events: ['*'],
      })
      assert.equal(unsaid.body.code, 'VALIDATION_FAILED')
      assert.match(unsaid.body.detail, /"format" must be "email"/)
      smtp.recipient = '450 mailbox busy'
      const hook = await addWebhook(system, { url: 'mailto:ops@example.com,boss@example.com', format: 'email' })
      await openTicket(system, 'Mail')
      await until('it was refused', async () => (await deliveriesOf(system, hook.id))[0]?.attempts.length === 1)
      assert.equal((await deliveriesOf(system, hook.id))[0]!.attempts[0]!.error, 'SMTP_450')
      smtp.recipient = '250 ok'
      await patiently(
        system,
        hook.id,
        'it was taken',
        async () => (await deliveriesOf(system, hook.id))[0]?.state === 'delivered',
      )
      const [letter] = smtp.letters
      const [delivery] = await deliveriesOf(system, hook.id)
      assert.deepEqual(letter!.to, ['ops@example.com', 'boss@example.com'])
      assert.match(letter!.content, /^From: Writ <writ@example\.com>$/m)
      assert.match(letter!.content, /^Subject: \[Writ\] ticket\.created: /m)
      assert.match(letter!.content, new RegExp(`^Message-ID: <${delivery!.event_id}@writ\\.invalid>$`, 'im'))
      assert.match(letter!.content, /^Auto-Submitted: auto-generated$/im)
    },
  )

  test(`of a letter it is said who did not get it, and why none could be sent (${backend.name})`, on, async () => {
    await using smtp = await startSmtpServer()
    await using system = await backend.start({
      env: { WRIT_SMTP_URL: smtp.url, WRIT_SMTP_FROM: 'Writ <writ@example.com>' },
    })
    smtp.recipient = (to) => (to.startsWith('boss') ? '550 5.1.1 no such user' : '250 ok')
    const hook = await addWebhook(system, { url: 'mailto:ops@example.com,boss@example.com', format: 'email' })
    await openTicket(system, 'Mail')
    await until('it was taken', async () => (await deliveriesOf(system, hook.id))[0]?.state === 'delivered')
    assert.deepEqual(smtp.letters[0]!.to, ['ops@example.com'])
    assert.equal(
      (await deliveriesOf(system, hook.id))[0]!.attempts[0]!.answer,
      '250 kept; not to recipient 2: 550 5.1.1 no such user',
    )

    await smtp[Symbol.asyncDispose]()
    await openTicket(system, 'Nobody is there')
    await until('it was tried', async () => (await deliveriesOf(system, hook.id))[0]?.attempts[0]?.error === 'ESOCKET')
    assert.match(
      (await deliveriesOf(system, hook.id))[0]!.attempts[0]!.answer,
      /^connect ECONNREFUSED 127\.0\.0\.1:\d+$/,
    )
  })

  test(`secrets are sealed at rest and never shown again (${backend.name})`, on, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start()
    receiver.answer = ({ headers }) => ({ status: 500, body: `you sent ${headers.authorization}` })
    const hook = await addWebhook(system, {
      url: `${receiver.url}?token=in-the-query`,
      headers: { authorization: 'Bearer canary-in-header' },
    })
    await openTicket(system, 'Canary')
    await until('it was tried', async () => (await deliveriesOf(system, hook.id))[0]?.attempts.length === 1)
    const shown = JSON.stringify([await webhookOf(system, hook.id), await deliveriesOf(system, hook.id)])
    const db = await attachDatabase({ url: system.databaseUrl ?? `sqlite:${path.join(system.folder, 'data/writ.db')}` })
    try {
      const { inProject } = await import('../../packages/server/src/platform/db/index.ts')
      const [project] = (await system.admin.get<{ id: string }[]>('/projects')).body
      const rows = await inProject(project!.id, () =>
        db.read(async (tx) => [
          await tx.db.selectFrom('webhooks').selectAll().execute(),
          await tx.db.selectFrom('deliveries').selectAll().execute(),
          (await tx.db.selectFrom('audit_events').select('event').execute()).map((row) => row.event),
        ]),
      )
      for (const canary of ['canary-in-header', 'in-the-query', hook.secret!])
        for (const [where, text] of Object.entries({ shown, rows: JSON.stringify(rows), log: system.log() }))
          assert.ok(!text.includes(canary), `${canary} stands in ${where}`)
    } finally {
      await db.close()
    }
  })

  test(`of an address what is secret is not shown when its receiver says it back (${backend.name})`, on, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start()
    receiver.answer = ({ path, headers }) => ({
      status: 404,
      body: `Cannot POST ${path} (${path.split(/[/=]/).at(-1)}, ${headers.authorization?.split(' ').at(-1)})`,
    })
    const chat = await addWebhook(system, {
      url: `${receiver.url}/T012/canary-in-the-path`,
      format: 'slack',
      headers: { authorization: 'Bearer canary-in-header' },
    })
    const other = await addWebhook(system, { url: `${receiver.url}?token=canary-in-the-query` })
    await openTicket(system, 'Canary')
    await until('both were tried', async () =>
      (await Promise.all([chat, other].map(({ id }) => deliveriesOf(system, id)))).every(
        ([delivery]) => delivery?.attempts.length === 1,
      ),
    )
    const answers = await Promise.all(
      [chat, other].map(async ({ id }) => (await deliveriesOf(system, id))[0]!.attempts[0]!.answer),
    )
    assert.deepEqual(answers, [
      'Cannot POST [redacted] ([redacted], [redacted])',
      'Cannot POST /hook[redacted] ([redacted], undefined)',
    ])
  })

  test(`what was erased is not sent again, not even by a replay (${backend.name})`, on, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start()
    const hook = await addWebhook(system, { url: receiver.url })
    const ticket = await openTicket(system, 'Names of people')
    await until('it came', async () => receiver.received.length === 1)
    const { id } = receiver.received[0]!.event
    assert.match(receiver.received[0]!.body, /Names of people/)
    assert.equal((await system.admin.post(`/payloads/${id}/erase`, { ground: 'request 17' })).status, 200)
    await system.admin.post(`/webhooks/${hook.id}/replay`, { event_type: 'ticket.created' })
    await until('it came again', async () => receiver.received.length === 2)
    const { event, body } = receiver.received[1]!
    assert.deepEqual(
      [event.id, event.subject, event.data.action, event.data.details],
      [id, ticket.id, '[erased]', null],
    )
    assert.doesNotMatch(body, /Names of people|employee/)
  })

  test(`a disabled webhook gets nothing, a deleted one is gone with its secrets (${backend.name})`, on, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start()
    const hook = await addWebhook(system, { url: receiver.url })
    const control = await addWebhook(system, { url: `${receiver.url}/control` })
    await system.admin.patch(`/webhooks/${hook.id}`, { state: 'disabled' })
    await openTicket(system, 'Unheard')
    await until('the other heard it', async () => receiver.received.length > 0)
    assert.deepEqual(
      receiver.received.map((one) => one.path),
      ['/hook/control'],
    )
    assert.equal((await system.admin.delete(`/webhooks/${control.id}`)).status, 204)
    assert.equal((await system.admin.get(`/webhooks/${control.id}`)).status, 404)
    await system.check()
  })

  test(
    `an address that was gone or deleted is told again by whoever names it, unless a person disabled it (${backend.name})`,
    on,
    async () => {
      await using receiver = await startReceiver()
      await using system = await backend.start()
      const { admin } = system
      const dispatch = () =>
        admin.post<{ code: string }>('/tasks', { handler: 'system.ping', callback: { url: receiver.url } })
      const told = (count: number) => until(`told ${count} times`, async () => receiver.received.length === count)
      ok(await dispatch(), 201)
      await told(1)
      const said = async () => {
        await system.settle()
        type Said = {
          event_type: string
          actor_username: string | null
          resource_id: string
          details: { reason?: string }
        }[]
        return (await admin.get<Said>('/audit/events?resource_type=webhook')).body.toReversed()
      }
      const id = (await said())[0]!.resource_id
      receiver.answer = () => ({ status: 410 })
      ok(await dispatch(), 201)
      await until('it was gone', async () => (await webhookOf(system, id)).state === 'disabled')
      assert.equal((await webhookOf(system, id)).disabled_by_id, null)
      receiver.answer = () => ({ status: 204 })
      ok(await dispatch(), 201)
      await told(3)
      // It is what tasks name: no other address can be put in its place.
      for (const change of [{ url: `${receiver.url}/other` }, { events: ['*'] }, { handlers: [] }, { ordered: true }]) {
        const other = await admin.patch<{ code: string; errors: { path: string }[] }>(`/webhooks/${id}`, change)
        assert.equal(other.body.code, 'VALIDATION_FAILED')
        assert.equal(other.body.errors[0]!.path, `body.${Object.keys(change)[0]}`)
      }
      // What a person stopped no dispatch starts again.
      const alone = await admin.patch<{ code: string }>(`/webhooks/${id}`, { reason: 'it is theirs no more' })
      assert.deepEqual([alone.status, alone.body.code], [422, 'VALIDATION_FAILED'])
      const change = { state: 'disabled', reason: 'it is theirs no more' }
      const disabled = ok(await admin.patch<Webhook>(`/webhooks/${id}`, change))
      const me = ok(await admin.get<{ id: string }>('/auth/me')).id
      assert.deepEqual([disabled.disabled_by_id, disabled.disabled_reason], [me, 'it is theirs no more'])
      const refused = await dispatch()
      assert.deepEqual([refused.status, refused.body.code], [422, 'TASK_CALLBACK_REFUSED'])
      const enabled = ok(await admin.patch<Webhook>(`/webhooks/${id}`, { state: 'active' }))
      assert.deepEqual([enabled.disabled_by_id, enabled.disabled_reason], [null, null])
      ok(await dispatch(), 201)
      await told(4)
      ok(await admin.delete(`/webhooks/${id}`), 204)
      // Two at once: one of them adds it.
      for (const answer of await Promise.all([dispatch(), dispatch()])) ok(answer, 201)
      await told(6)
      assert.equal((await webhookOf(system, id)).url, receiver.url)
      assert.deepEqual(
        (await said()).map(({ event_type, actor_username, details }) => [event_type, actor_username, details?.reason]),
        [
          ['webhook.created', 'admin', undefined],
          ['webhook.disabled', null, 'the receiver answered 410 Gone'],
          ['webhook.updated', 'admin', undefined],
          ['webhook.updated', 'admin', 'it is theirs no more'],
          ['webhook.updated', 'admin', undefined],
          ['webhook.deleted', 'admin', undefined],
          ['webhook.created', 'admin', undefined],
        ],
      )
      await system.check()
    },
  )
}
