import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ClaimedTask, Delivery, Submitted, TaskDetail, Webhook } from '@writ/api'
import { startReceiver } from './channels/receiver.ts'
import { createTotp } from './console/totp.ts'
import { handlerOf } from './tasks/dispatch.ts'
import { TestSystem, until } from './test-system.ts'
import { ok } from './verifies.ts'

const FIRST = 'the first key of this installation'
const SECOND = 'the second key of this installation'
/** Something of it is secret, so it is kept sealed; and it may be done twice. */
const INPUT = { password: 'correct-horse-battery', n: 1 }
const AN_HOUR = 3_600_000

/** A system under the first key with something of each kind that is sealed, and what becomes of each. */
async function scene() {
  const hook = await startReceiver()
  const seen: unknown[] = []
  const sys = await TestSystem.start({
    fakeClock: true,
    env: { SECRET_KEY: FIRST },
    testHandlers: [
      handlerOf('test.see', async (input) => {
        seen.push(input)
        return input
      }),
    ],
  })
  const { admin, bob } = sys
  const { secret } = ok(await bob.post<{ secret: string }>('/auth/totp', {}))
  ok(await bob.post('/auth/totp/confirm', { code: createTotp(secret, sys.now()) }), 204)
  // The next code has to be another one.
  sys.advance(60_000)
  const webhook = ok(
    await admin.post<Webhook>('/webhooks', {
      name: 'w',
      url: hook.url,
      events: ['ticket.created'],
      headers: { 'x-key': 'abc' },
    }),
    201,
  )
  ok(await admin.post('/handlers', { name: 'far.away', url: hook.url, max_attempts: 1 }), 201)
  const dispatch = async (handler: string, more: object = {}) =>
    ok(await admin.post<Submitted>('/tasks', { handler, input: INPUT, max_attempts: 1, ...more }), 201).id
  const endOf = async (id: string) => ok(await admin.get<TaskDetail>(`/tasks/${id}/wait?timeout=20`))
  const login = () =>
    sys.anonymous.post<{ code?: string }>('/auth/login', {
      username: bob.username,
      password: bob.password,
      totp: createTotp(secret, sys.now()),
    })
  /** How the delivery of a new event ended, or goes on. */
  const delivered = async () => {
    ok(await admin.post('/tickets', { title: 'x' }))
    await sys.settle()
    let newest: Delivery | undefined
    await until('the delivery was tried', async () => {
      ;[newest] = ok(await admin.get<Delivery[]>(`/webhooks/${webhook.id}/deliveries`))
      return newest?.attempts.length === 1
    })
    return newest!.attempts[0]!.error
  }
  return { sys, seen, hook, dispatch, endOf, login, delivered }
}

test('with the key before beside the new one everything opens that was sealed under it', async () => {
  const { sys, seen, hook, dispatch, endOf, login, delivered } = await scene()
  await using _ = sys
  await using __ = hook
  const token = await sys.admin.token()
  const waiting = await dispatch('test.see', { run_at: new Date(sys.now() + AN_HOUR).toISOString() })
  await sys.restart({ env: { SECRET_KEY: SECOND, SECRET_KEY_PREVIOUS: FIRST } })
  const me = await fetch(`${sys.base}/api/v1/auth/me`, { headers: { authorization: `Bearer ${token}` } })
  assert.equal(me.status, 200)
  ok(await login())
  assert.equal(await delivered(), null)
  assert.equal(hook.received.at(-1)?.headers['x-key'], 'abc')
  assert.equal((await endOf(await dispatch('far.away'))).state, 'completed')
  sys.advance(AN_HOUR)
  assert.equal((await endOf(waiting)).state, 'completed')
  assert.deepEqual(seen, [INPUT])
  await sys.check()
})

test('what was sealed under a key that is gone is refused by name, and holds up nothing else', async () => {
  const { sys, seen, hook, dispatch, endOf, login, delivered } = await scene()
  await using _ = sys
  await using __ = hook
  const { token } = ok(
    await sys.admin.post<{ token: string }>('/tokens', { name: 'w', role: 'ops', scopes: ['*'] }),
    201,
  )
  const door = { headers: { 'x-api-token': token } }
  const claim = async () => {
    const body = { worker: 'w', queues: ['api'], handlers: [{ name: 'by.hand', max_attempts: 2 }], limit: 10 }
    return ok(await sys.anonymous.post<{ tasks: ClaimedTask[] }>('/workers/claim', body, door)).tasks
  }
  assert.deepEqual(await claim(), [])
  const waiting = await dispatch('test.see', { run_at: new Date(sys.now() + AN_HOUR).toISOString() })
  const sealed = await dispatch('by.hand')
  const before = await sys.admin.token()

  await sys.restart({ env: { SECRET_KEY: SECOND } })
  sys.advance(AN_HOUR)
  const me = await fetch(`${sys.base}/api/v1/auth/me`, { headers: { authorization: `Bearer ${before}` } })
  assert.equal(me.status, 401)
  const refused = await login()
  assert.deepEqual([refused.status, refused.body.code], [503, 'SECRETS_UNREADABLE'])
  assert.equal(await delivered(), 'SECRETS_UNREADABLE')
  for (const id of [waiting, await dispatch('far.away')]) {
    const { state, error_code } = await endOf(id)
    assert.deepEqual([state, error_code], ['failed', 'SECRETS_UNREADABLE'])
  }
  // A worker gets what is beside it, and it is an attempt that failed.
  const beside = await dispatch('by.hand')
  assert.deepEqual(
    (await claim()).map(({ run_id, input }) => [run_id, input]),
    [[beside, INPUT]],
  )
  const tried = ok(await sys.admin.get<TaskDetail>(`/tasks/${sealed}`))
  assert.deepEqual([tried.state, tried.error_code], ['failed', 'SECRETS_UNREADABLE'])
  assert.deepEqual(seen, [])
})
