/** Who listens to what people do: a program that watches, whose line breaks now and then, and a webhook whose receiver refuses some. */
import assert from 'node:assert/strict'
import type { AuditEvent, CreatedWebhook, Delivery, Event } from '@writ/api'
import { createClient } from '@writ/sdk'
import type { Static } from 'typebox'
import { startReceiver } from '../../channels/receiver.ts'
import { type TestSystem, until } from '../../test-system.ts'

export interface Listeners extends AsyncDisposable {
  /** The line breaks, and is there again. */
  again(): Promise<void>
  /** Throws unless both have been told of everything, the watcher in the order of the log. */
  compare(): Promise<void>
}

/** Of messages that are sent to the receiver, which it does not take. */
const REFUSES = [2, 3, 7]

export async function listen(system: TestSystem): Promise<Listeners> {
  const { admin } = system
  const receiver = await startReceiver()
  receiver.answer = () => ({ status: REFUSES.includes(receiver.received.length % 10) ? 503 : 204 })
  const hook = await admin.post<Static<typeof CreatedWebhook>>('/webhooks', {
    name: 'hears everything',
    url: receiver.url,
    events: ['*'],
  })
  assert.equal(hook.status, 201, JSON.stringify(hook.body))
  await system.settle()
  const [created] = await eventsSince(system, undefined, `&event_type=webhook.created&resource_id=${hook.body.id}`)
  const heard: Event[] = []
  let last = created!.sequence
  let stop = new AbortController()
  let watching: Promise<void> = Promise.resolve()

  async function watch(signal: AbortSignal): Promise<void> {
    const client = createClient({ url: system.base, token: await admin.token(), retry: { base_ms: 20 } })
    for await (const event of client.watch({ after: last, signal })) {
      heard.push(event)
      last = event.sequence!
    }
  }
  const begin = () => {
    stop = new AbortController()
    const { signal } = stop
    watching = watch(signal).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
    watching.catch(() => {})
  }
  const end = async () => {
    stop.abort()
    await watching
  }
  begin()
  return {
    async again() {
      await end()
      begin()
    },
    async compare() {
      await system.settle()
      const told = await eventsSince(system, created!.sequence, '')
      const newest = told.at(-1)!.sequence
      await until('the watcher has heard everything', async () => last >= newest)
      const some = heard.filter(({ sequence }) => sequence! <= newest)
      assert.deepEqual(
        some.map(({ id, sequence }) => [id, sequence]),
        told.map(({ id, sequence }) => [id, sequence]),
        'the watcher is told of all, once, in the order of the log',
      )
      const deliveries = async () =>
        (await admin.get<Delivery[]>(`/webhooks/${hook.body.id}/deliveries?state=waiting&limit=1000`)).body
      await until('every message is taken', async () => {
        const waiting = await deliveries()
        const delivered = new Set(receiver.received.map(({ event }) => event.id))
        if (waiting.length === 0 && told.every(({ id }) => delivered.has(id))) return true
        if (waiting.some(({ attempts }) => attempts.length > 0)) system.advance(60_000)
        return false
      })
    },
    async [Symbol.asyncDispose]() {
      await end()
      await admin.delete(`/webhooks/${hook.body.id}`)
      await receiver[Symbol.asyncDispose]()
    },
  }
}

/** All that is in the log behind a place, as its auditors read it, in its order; each with the place that watchers are told. */
async function eventsSince(system: TestSystem, after: string | undefined, filter: string) {
  const all: { id: string; sequence: string }[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: { body: { items: AuditEvent[]; next_cursor: string | null } } = await system.admin.get(
      `/audit/events?limit=1000${filter}&cursor=${encodeURIComponent(cursor)}`,
    )
    for (const { id, shard, log_index } of page.body.items)
      if (shard !== null && log_index !== null)
        all.push({ id, sequence: `${String(shard).padStart(5, '0')}-${String(log_index).padStart(12, '0')}` })
    cursor = page.body.next_cursor
    if (after !== undefined && all.some(({ sequence }) => sequence <= after)) break
  }
  return all
    .filter(({ sequence }) => after === undefined || sequence > after)
    .sort((a, b) => (a.sequence < b.sequence ? -1 : 1))
}
