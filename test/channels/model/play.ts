/** Carries out a program against a real server and real receivers, and holds what these saw and the log of deliveries against the book. */
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import type { CreatedWebhook, Delivery, Event, EventPage, Replayed, Webhook } from '@writ/api'
import type { Static } from 'typebox'
import { endOfLog } from '../../../packages/server/src/audit/index.ts'
import { forgetOldDeliveries } from '../../../packages/server/src/channels/index.ts'
import type { Answer as HttpAnswer } from '../../client.ts'
import { carryOut } from '../../play-programs.ts'
import { dispatcherOf } from '../../tasks/dispatch.ts'
import { type TestSystem, until } from '../../test-system.ts'
import { type Book, type Hook, type Message, openBook } from './book.ts'
import type { Filter, Order } from './program.ts'
import { type Receivers, startReceivers } from './receivers.ts'

const MOST_SHOWN = 1_000

/** @throws Error that says at which order what was seen differs from what is promised */
export async function play(system: TestSystem, orders: readonly Order[], tell?: (text: string) => void): Promise<void> {
  await using receivers = await startReceivers(system.now)
  const player = createPlayer(system, receivers)
  await player.begin()
  await carryOut(orders, player, tell)
  await player.finish()
}

function createPlayer(system: TestSystem, receivers: Receivers) {
  const { admin, employee } = system
  const book: Book = openBook()
  /** Of each message, its delivery; filled in when it is shown. */
  const ids = new Map<Message, string>()
  /** The whole log of the project, as it is watched. */
  const log: Event[] = []
  /** Those whose receiver may see more than attempts tell: a line that was dropped is tried once more at once, a redirect is followed. */
  const loose = new Set<Hook>()
  let tickets = 0
  let open: string | undefined

  async function carryOut(order: Order): Promise<void> {
    for (const hook of book.hooks) hook.wasDisabled = false
    await ask(order)
    await quiet()
  }

  async function ask(order: Order): Promise<void> {
    switch (order.do) {
      case 'add':
        return add(order)
      case 'act':
        for (const what of order.what) await act(what)
        return
      case 'advance':
        return advance(order.ms)
      case 'restart':
        return system.restart()
      case 'resume':
        return resume(order)
      default: {
        const hook = book.pick(order.hook)
        if (hook) await askOf(hook, order)
      }
    }
  }

  async function add(order: Extract<Order, { do: 'add' }>): Promise<void> {
    if (book.living().length >= 4) return
    const path = `/hook/${book.hooks.length}`
    const made = good(
      await admin.post<Static<typeof CreatedWebhook>>('/webhooks', {
        name: path,
        url: receivers.url(path),
        events: order.events,
        ordered: order.ordered,
        format: order.format,
      }),
    )
    book.add(made.id, path, made.secret, order)
    receivers.answer(path, order.format, 'takes')
  }

  async function askOf(hook: Hook, order: Extract<Order, { readonly hook: number }>): Promise<void> {
    const now = system.now()
    const at = `/webhooks/${hook.id}`
    switch (order.do) {
      case 'change':
        good(await admin.patch(at, order.change))
        return book.change(hook, order.change)
      case 'remove':
        good(await admin.delete(at))
        return book.remove(hook)
      case 'rotate': {
        const answer = await admin.post<Static<typeof CreatedWebhook>>(`${at}/rotate`)
        if (hook.format !== 'cloudevents') return expect(answer, 'WEBHOOK_UNSIGNED')
        return book.rotate(hook, good(answer).secret!, now)
      }
      case 'test': {
        const answer = await admin.post<Delivery>(`${at}/test`)
        if (hook.state !== 'active') return expect(answer, 'WEBHOOK_NOT_ACTIVE')
        good(answer)
        return
      }
      case 'replay':
        return replay(hook, order.filter, order.preview)
      case 'answer':
        hook.answer = order.answer
        if (order.answer === 'drops' || order.answer === 'turns') loose.add(hook)
        return receivers.answer(hook.path, hook.format, order.answer)
      case 'tries':
        for (let n = 0; n < order.count; n++) {
          const next = hook.messages.flatMap(({ state, due }) =>
            state === 'waiting' && due !== 'as shown' ? [due] : [],
          )
          if (next.length === 0) return
          if (n > 0) for (const one of book.hooks) one.wasDisabled = false
          await advance(Math.max(0, Math.min(...next) - system.now()))
          if (n < order.count - 1) await quiet()
        }
    }
  }

  async function replay(hook: Hook, filter: Filter, preview: boolean): Promise<void> {
    const now = system.now()
    if (filter.newest !== undefined && hook.messages.length === 0) return
    const { sinceAgo, untilAgo, newest, ...rest } = filter
    const text = (ago: number) => new Date(now - ago).toISOString()
    const answer = await admin.post<Static<typeof Replayed>>(`/webhooks/${hook.id}/replay`, {
      ...rest,
      ...(sinceAgo === undefined ? {} : { since: text(sinceAgo) }),
      ...(untilAgo === undefined ? {} : { until: text(untilAgo) }),
      ...(newest === undefined ? {} : { delivery_ids: hook.messages.slice(-newest).map((one) => ids.get(one)) }),
      ...(preview ? { preview } : {}),
    })
    if (Object.keys(filter).length === 0) return expect(answer, 'REPLAY_UNFILTERED')
    const isReversed = sinceAgo !== undefined && untilAgo !== undefined && untilAgo > sinceAgo
    if (isReversed) return expect(answer, 'VALIDATION_FAILED')
    if (!preview && hook.state !== 'active') return expect(answer, 'WEBHOOK_NOT_ACTIVE')
    const taken = book.taken(hook, filter, now)
    assert.deepEqual(
      good(answer),
      { matched: taken.length, replayed: preview ? 0 : taken.length },
      'what a replay says',
    )
    if (!preview) book.replay(hook, taken, now)
  }

  async function act(what: 'open' | 'close' | 'asset' | 'comment'): Promise<void> {
    if (what === 'asset')
      return void good(await admin.post('/assets', { name: `Switch ${++tickets}`, asset_type: 'switch' }))
    if (what === 'open' || open === undefined) {
      open = good(await employee.post<{ id: string }>('/tickets', { title: `Replace switch ${++tickets}` })).id
      return
    }
    if (what === 'comment')
      return void good(await employee.post(`/tickets/${open}/comments`, { body: '机柜 4 已断电' }))
    good(await employee.post(`/tickets/${open}/close`))
    open = undefined
  }

  async function advance(ms: number): Promise<void> {
    system.advance(ms)
    // As is done every minute.
    await system.app.db.prepareMonths(system.now())
  }

  /** Until the whole log was read for webhooks, and nothing is due. */
  async function readAndSent(): Promise<void> {
    const { id, number, username } = admin
    const by = await dispatcherOf(system.app, { id, number, username, role: 'admin' }, { now: system.now })
    const { db } = system.app
    await until('the log is read, and nothing is due', async () => {
      const end = await by.read(endOfLog)
      const [read] = await db.lookup<{ shard: number; log_index: number }>(
        'select shard, log_index from webhook_cursors where project_id = ?1',
        [by.project],
      )
      if (read && (read.shard !== end.shard || read.log_index !== end.index)) return false
      return (await db.lookup('select 1 from delivery_queue where due_at <= ?1', [system.now()])).length === 0
    })
  }

  /** Until everything that there is to tell was told, or tried; then both are compared. */
  async function quiet(): Promise<void> {
    const { db } = system.app
    for (let before = -1; before !== log.length; ) {
      before = log.length
      await system.settle()
      await readAndSent()
      await hear()
      book.deliver(system.now())
    }
    for (const hook of book.living()) await compare(hook)
    for (const hook of book.hooks) compareReceived(hook)
    await forgetOldDeliveries(db, system.now())
    book.forget(system.now())
  }

  /** What the log has, as those get it who ask page by page. */
  async function hear(): Promise<void> {
    for (;;) {
      const after = log.at(-1)?.sequence ?? '0'
      const { items } = good(await admin.get<EventPage>(`/events?after=${after}&limit=200`))
      if (items.length === 0) return
      for (const event of items) {
        log.push(event)
        book.tell({ id: event.id, type: event.data.event_type, subject: event.subject ?? null }, system.now())
      }
    }
  }

  const shownOf = async (hook: Hook) =>
    good(await admin.get<Delivery[]>(`/webhooks/${hook.id}/deliveries?limit=${MOST_SHOWN}`)).toReversed()

  async function compare(hook: Hook): Promise<void> {
    const shown = await shownOf(hook)
    const webhook = good(await admin.get<Webhook>(`/webhooks/${hook.id}`))
    if (hook.wasDisabled) adopt(hook, shown)
    assert.deepEqual(
      shown.map(({ event_id, event_type, state }) => `${event_type} ${event_id} ${state}`),
      hook.messages.map(({ event, state }) => `${event.type} ${event.id} ${state}`),
      `deliveries of ${hook.path}`,
    )
    for (const [i, one] of hook.messages.entries()) {
      const delivery = shown[i]!
      ids.set(one, delivery.id)
      compareDelivery(one, delivery)
    }
    const head = book.headOf(hook)
    assert.deepEqual(
      [webhook.state, webhook.ordered, webhook.failing_since, webhook.held_up_by],
      [
        hook.state,
        hook.ordered,
        hook.failingSince && new Date(hook.failingSince).toISOString(),
        head ? ids.get(head) : null,
      ],
      `state, order, failures and head of ${hook.path}`,
    )
  }

  function compareDelivery(one: Message, { attempts, replay_of, next_attempt_at, id }: Delivery): void {
    assert.equal(replay_of, one.replayOf ? ids.get(one.replayOf) : null)
    assert.deepEqual(
      attempts.map(({ at, status, error }) => [Date.parse(at), status, error]),
      one.attempts.map(({ at, status, error }, i) => [at, status, error === undefined ? attempts[i]?.error : error]),
      `attempts of ${id}`,
    )
    for (const [i, { error }] of one.attempts.entries())
      assert.ok(error !== undefined || attempts[i]!.error, 'a dropped line is a failure')
    if (one.state === 'waiting' && one.due === 'as shown') {
      const wait = Date.parse(next_attempt_at!) - one.attempts.at(-1)!.at
      assert.ok(wait >= one.wait[0] - 1 && wait <= one.wait[1] + 1, `${wait} ms after attempt ${one.attempts.length}`)
      one.due = Date.parse(next_attempt_at!)
    }
    // What waits for its turn has no time.
    const isDue = one.state === 'waiting' && one.attempts.length > 0
    assert.equal(next_attempt_at, isDue && one.due !== 'as shown' ? new Date(one.due).toISOString() : null)
  }

  /** Nothing waits any more; what was under way when it was disabled was tried, or not. */
  function adopt(hook: Hook, shown: readonly Delivery[]): void {
    const now = system.now()
    const found = new Set(shown.map(({ event_id }) => event_id))
    for (const one of hook.messages.filter(({ event }) => !found.has(event.id))) {
      assert.equal(one.created, now, `the delivery of ${one.event.type} is gone`)
      hook.messages.splice(hook.messages.indexOf(one), 1)
    }
    for (const [i, one] of hook.messages.entries()) {
      const last = shown[i]?.attempts.at(-1)
      if (one.attempts.at(-1)?.at !== now || (last && Date.parse(last.at) === now)) continue
      one.attempts.pop()
      Object.assign(one, { state: 'failed', isGivenUp: true })
    }
    if (hook.failingSince === null) hook.failingSince = now
  }

  function compareReceived(hook: Hook): void {
    const all = receivers.received(hook.path)
    for (const one of all) {
      if (one.isChecked) continue
      one.isChecked = true
      if (hook.format !== 'cloudevents') continue
      const { 'webhook-id': id, 'webhook-timestamp': seconds, 'webhook-signature': signature } = one.headers
      const event = JSON.parse(one.body) as Event
      assert.equal(event.id, id)
      hook.seen.set(event.id, (hook.seen.get(event.id) ?? 0) + 1)
      // What was under way when it was disabled may come at any time.
      if (hook.state !== 'active') continue
      assert.equal(Number(seconds), Math.floor(one.at / 1_000))
      const signed = book.secretsAt(hook, one.at).map((secret) => {
        const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
        return `v1,${createHmac('sha256', key).update(`${id}.${seconds}.${one.body}`).digest('base64')}`
      })
      assert.equal(signature, signed.join(' '), `signatures of ${hook.path}`)
      const { sequence, ...rest } = log.find((known) => known.id === id)!
      // A test does not wait for its place in the log.
      const isTest = event.sequence === undefined && event.data.event_type === 'webhook.tested'
      assert.deepEqual(event, isTest ? rest : { ...rest, sequence }, 'the message is the event as others get it')
    }
    if (hook.format !== 'cloudevents') return
    const tried = new Map<string, number>()
    /** What was under way when nobody waited for it any more may have been sent once more. */
    const most = new Map<string, number>()
    for (const { event, attempts, isGivenUp } of [...hook.messages, ...hook.forgotten]) {
      tried.set(event.id, (tried.get(event.id) ?? 0) + attempts.length)
      most.set(event.id, (most.get(event.id) ?? 0) + attempts.length + (isGivenUp ? 1 : 0))
    }
    for (const [id, count] of tried)
      assert.ok((hook.seen.get(id) ?? 0) >= count, `${hook.path} never saw ${count} attempts of ${id}`)
    if (!loose.has(hook))
      for (const [id, count] of hook.seen)
        assert.ok(
          count <= (most.get(id) ?? 0),
          `${hook.path} was told ${count} times of ${id}, not ${most.get(id) ?? 0}`,
        )
  }

  /** Somebody who knew everything up to an event comes back. */
  async function resume({ from, types, limit }: Extract<Order, { do: 'resume' }>): Promise<void> {
    if (log.length === 0) return
    const at = log.length - 1 - (from % log.length)
    const place = log[at]!.sequence!
    const narrowed = types === null ? '' : `&types=${types}`
    const wanted = log
      .slice(at + 1)
      .filter(
        ({ data }) =>
          types === null || types.split(',').some((one) => data.event_type.startsWith(one.replace('*', ''))),
      )
      .map(({ sequence }) => sequence!)
    const paged: string[] = []
    for (let after = place; ; ) {
      const { items, last } = good(await admin.get<EventPage>(`/events?after=${after}&limit=${limit}${narrowed}`))
      paged.push(...items.map(({ sequence }) => sequence!))
      if (last === after) break
      after = last
    }
    assert.deepEqual(paged, wanted, 'page by page')
    const leave = new AbortController()
    const answer = await fetch(`${system.base}/api/v1/events?x=1${narrowed}`.replace('x=1&', '').replace('?x=1', ''), {
      headers: { authorization: `Bearer ${await admin.token()}`, accept: 'text/event-stream', 'last-event-id': place },
      signal: leave.signal,
    })
    const end = log.at(-1)!.sequence!
    let text = ''
    for await (const bytes of answer.body!) {
      text += Buffer.from(bytes).toString('utf8')
      // The last event, or a place behind it where there is nothing to see.
      if (text.includes(wanted.at(-1) ?? place) && (wanted.length > 0 || text.includes(end) || text !== '')) break
    }
    leave.abort()
    assert.deepEqual(
      [...text.matchAll(/^id: (\S+)\nevent: /gm)].map(([, id]) => id),
      wanted,
      'as a stream',
    )
  }

  return {
    carryOut,
    /** What others did before is known, and told to nobody. */
    async begin(): Promise<void> {
      await system.settle()
      await readAndSent()
      await hear()
    },
    async finish(): Promise<void> {
      for (const hook of book.living()) good(await admin.delete(`/webhooks/${hook.id}`))
      await system.check()
    },
  }
}

function expect(answer: HttpAnswer<unknown>, code: string): void {
  assert.equal((answer.body as { code?: string }).code, code, JSON.stringify(answer.body))
}

function good<T>(answer: HttpAnswer<T>): T {
  assert.ok(answer.status < 300, JSON.stringify(answer.body))
  return answer.body
}
