/** What is to be told and cannot be read is an attempt like any other, and says nothing against whoever was to hear it. */
import assert from 'node:assert/strict'
import { rename } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import type { Delivery, Webhook } from '@writ/api'
import { backends } from '../backends.ts'
import { createClient } from '../client.ts'
import { handlerOf } from '../tasks/dispatch.ts'
import { until } from '../test-system.ts'
import { ok } from '../verifies.ts'
import { startReceiver } from './receiver.ts'

/** More than stands in a row: it is a blob. */
const LONG = 'x'.repeat(20_000)
const long = handlerOf('test.long', async () => LONG)

for (const backend of backends())
  test(`a callback whose result cannot be read is a failed delivery after a day (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start({ fakeClock: true, testHandlers: [long] })
    const { admin } = system
    const { token } = ok(await admin.post<{ token: string }>('/tokens', { name: 'door', role: 'admin' }), 201)
    const door = createClient({
      base: () => system.base,
      prefix: '',
      credentials: async () => ({ 'x-api-token': token }),
    })
    // Not yet: it is read before each attempt.
    receiver.answer = () => ({ status: 500 })
    ok(await door.post('/dispatch', { task: 'test.long', taskData: {}, webhook: receiver.url }))
    const webhooks = async () =>
      ok(await admin.get<{ resource_id: string }[]>('/audit/events?event_type=webhook.created'))
    await until('it was tried', async () => receiver.received.length === 1)
    const [created] = await webhooks()
    const at = `/webhooks/${created!.resource_id}`
    const newest = async () => (await admin.get<Delivery[]>(`${at}/deliveries`)).body[0]!
    await until('it was refused', async () => (await newest()).attempts.length === 1)

    const blobs = path.join(system.folder, 'data/blobs')
    await rename(blobs, `${blobs}-away`)
    receiver.answer = () => ({ status: 204 })
    let seen = 0
    await until('it was given up', async () => {
      const { state, next_attempt_at, attempts } = await newest()
      if (next_attempt_at && attempts.length > seen) {
        seen = attempts.length
        system.advance(Math.max(0, Date.parse(next_attempt_at) - system.now()))
      }
      return state === 'failed'
    })
    const { attempts } = await newest()
    assert.deepEqual(
      attempts.map(({ status, error }) => [status, error]),
      [[500, 'HTTP_500'], ...Array.from({ length: 14 }, () => [null, 'RESULT_UNREADABLE'])],
    )
    assert.equal(attempts.at(-1)!.answer, 'The artifact store cannot be used now (the store is not there any more).')
    assert.equal(receiver.received.length, 1)
    const webhook = ok(await admin.get<Webhook>(at))
    assert.equal(webhook.state, 'active', 'its receiver was not asked')

    await rename(`${blobs}-away`, blobs)
    ok(await admin.post(`${at}/replay`, { state: 'failed' }))
    await until('it was told', async () => (await newest()).state === 'delivered')
    assert.deepEqual(JSON.parse(receiver.received[1]!.body) as object, {
      ...(JSON.parse(receiver.received[0]!.body) as object),
      status: 'done',
      result: LONG,
    })
    await system.check()
  })
