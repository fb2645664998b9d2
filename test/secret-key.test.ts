import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import type { ClaimedTask, Delivery, Submitted, TaskDetail, Webhook } from '@writ/api'
import { doctor } from '../packages/server/src/ops/index.ts'
import { backends } from './backends.ts'
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
  const { secret, webhook, dispatch, endOf } = await sealSome(sys, hook.url)
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
  assert.deepEqual(sys.app.notes, [])

  await sys.restart({ env: { SECRET_KEY: SECOND } })
  // The one-time code, three of the webhook, one of the handler.
  assert.match(sys.app.notes.join(), /^5 secrets .* were sealed under another key than SECRET_KEY, and open no more/)
  assert.match(sys.log(), /5 secrets .* Give it in SECRET_KEY_PREVIOUS/)
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

for (const backend of backends())
  test(`a server that has lost its key says so, and so does the doctor; given back, all opens (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start({ fakeClock: true, env: { SECRET_KEY: FIRST } })
    const { secret } = await sealSome(sys, 'https://example.com/hook')
    const { url, migrationUrl } = sys.app.databaseSettings
    const there: Record<string, string> =
      migrationUrl === undefined ? {} : { DATABASE_URL: url, WRIT_MIGRATION_URL: migrationUrl }
    const found = async (env: Record<string, string>) => {
      const place = { dataDir: path.join(sys.folder, 'data'), cwd: sys.folder, env: { ...there, ...env } }
      const { code, level, detail } = (await doctor(place)).checks.find(({ name }) => name === 'sealed values')!
      return [code, level, detail]
    }
    const lost = '5 were sealed under another key than that of keys/secret.key'
    // Before the first start without SECRET_KEY there is no key of its own.
    assert.deepEqual(await found({}), ['SECRETS_UNREADABLE', 'warn', lost])
    await sys.restart({ env: { SECRET_KEY: '' } })
    assert.match(sys.app.notes.join(), /5 secrets .* than that of keys\/secret\.key, .* Set SECRET_KEY to it/)
    assert.deepEqual(await found({}), ['SECRETS_UNREADABLE', 'warn', lost])
    await sys.restart({ env: { SECRET_KEY: FIRST } })
    assert.doesNotMatch(sys.app.notes.join(), /sealed/)
    assert.deepEqual((await found({ SECRET_KEY: FIRST })).slice(0, 2), ['SECRETS_UNREADABLE', 'ok'])
    const code = createTotp(secret, sys.now())
    ok(await sys.anonymous.post('/auth/login', { username: sys.bob.username, password: sys.bob.password, totp: code }))
    await sys.check()
  })

for (const backend of backends())
  test(`what the key before sealed is sealed anew, and then that key can go (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using hook = await startReceiver()
    const seen: unknown[] = []
    let refusing = true
    const sys = await backend.start({
      fakeClock: true,
      env: { SECRET_KEY: FIRST },
      testHandlers: [
        handlerOf('test.see', async (input) => {
          seen.push(input)
          return input
        }),
        handlerOf('test.in_steps', async (_, ctx) => {
          const token = await ctx.step('fetch a token', async () => INPUT)
          if (refusing) throw new Error('not yet')
          return token
        }),
      ],
    })
    await using _ = sys
    const { admin, bob } = sys
    const { secret, webhook, dispatch, endOf } = await sealSome(sys, hook.url)
    const later = { run_at: new Date(sys.now() + AN_HOUR).toISOString() }
    // More of them than are looked at together.
    const waiting: string[] = []
    for (let i = 0; i < 60; i++) waiting.push(await dispatch('test.see', later))
    ok(await admin.post('/schedules', { name: 'hourly', handler: 'test.see', input: INPUT, every_seconds: 3_600 }), 201)
    const inSteps = await dispatch('test.in_steps', { max_attempts: 5 })
    await until(
      'the step is kept',
      async () => ok(await admin.get<TaskDetail>(`/tasks/${inSteps}`)).attempts.length === 1,
    )

    await sys.restart({ env: { SECRET_KEY: SECOND, SECRET_KEY_PREVIOUS: FIRST } })
    // The step of a task that has not ended is not changed any more: it is waited for.
    await until('all but the step is sealed anew', async () => (await leftOf(sys)) === 1)
    if (backend.name === 'sqlite')
      assert.deepEqual(await sealsOf(sys, [SECOND, FIRST]), [
        'SECRET_KEY_PREVIOUS',
        'warn',
        '1 are not sealed under SECRET_KEY yet',
      ])
    refusing = false
    sys.advance(AN_HOUR)
    for (const id of [inSteps, ...waiting]) assert.equal((await endOf(id)).state, 'completed')
    await sys.restart({ env: { SECRET_KEY: SECOND, SECRET_KEY_PREVIOUS: FIRST } })
    await until('nothing needs the key before', async () => (await leftOf(sys)) === 0)

    if (backend.name === 'sqlite') {
      const [code, level] = await sealsOf(sys, [SECOND, FIRST])
      assert.deepEqual([code, level], ['SECRET_KEY_PREVIOUS', 'ok'])
      const [lost, warned] = await sealsOf(sys, [FIRST])
      assert.deepEqual([lost, warned], ['SECRETS_UNREADABLE', 'warn'])
    }
    await sys.restart({ env: { SECRET_KEY: SECOND } })
    ok(
      await sys.anonymous.post('/auth/login', {
        username: bob.username,
        password: bob.password,
        totp: createTotp(secret, sys.now()),
      }),
    )
    ok(await admin.post('/tickets', { title: 'x' }))
    await sys.settle()
    await until('the webhook is told', async () => hook.received.some(({ headers }) => headers['x-key'] === 'abc'))
    assert.equal(
      ok(await admin.get<Delivery[]>(`/webhooks/${webhook.id}/deliveries`))[0]?.attempts[0]?.error ?? null,
      null,
    )
    assert.equal((await endOf(await dispatch('far.away'))).state, 'completed')
    const before = seen.length
    sys.advance(AN_HOUR)
    await until('the schedule started its task', async () => seen.length > before)
    assert.deepEqual(seen.at(-1), INPUT)
    await sys.check()
  })

for (const backend of backends())
  test(`a callback that a person stopped stays stopped under another key (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using hook = await startReceiver()
    await using sys = await backend.start({ env: { SECRET_KEY: FIRST } })
    const { admin } = sys
    const dispatch = async (name: string) => {
      // Access tokens of another key are none.
      sys.advance(0)
      const callback = { url: `${hook.url}/${name}` }
      const { status, body } = await admin.post<{ code?: string }>('/tasks', { handler: 'system.ping', callback })
      return body.code ?? status
    }
    const stopped = async (name: string) => {
      assert.equal(await dispatch(name), 201)
      await sys.settle()
      const [added] = ok(await admin.get<{ resource_id: string }[]>('/audit/events?event_type=webhook.created&limit=1'))
      ok(await admin.patch(`/webhooks/${added!.resource_id}`, { state: 'disabled', reason: 'theirs no more' }))
    }
    await stopped('one')
    await stopped('two')
    await sys.restart({ env: { SECRET_KEY: SECOND, SECRET_KEY_PREVIOUS: FIRST } })
    assert.equal(await dispatch('one'), 'TASK_CALLBACK_REFUSED')
    await until('all is sealed anew', async () => (await leftOf(sys)) === 0)
    await sys.restart({ env: { SECRET_KEY: SECOND, SECRET_KEY_PREVIOUS: '' } })
    assert.deepEqual([await dispatch('one'), await dispatch('two')], ['TASK_CALLBACK_REFUSED', 'TASK_CALLBACK_REFUSED'])

    // Named under two keys of which the server did not know the other, an address is there twice; that holds up nothing.
    await sys.restart({ env: { SECRET_KEY: FIRST } })
    assert.equal(await dispatch('two'), 201)
    await sys.restart({ env: { SECRET_KEY: SECOND, SECRET_KEY_PREVIOUS: FIRST } })
    await until('all is sealed anew', async () => (await leftOf(sys)) === 0)
    assert.equal(await dispatch('two'), 'TASK_CALLBACK_REFUSED')
  })

/** How many sealed values need another key than the live one, as the metrics tell. */
async function leftOf(sys: TestSystem): Promise<number | undefined> {
  const text = await (await fetch(`${sys.base}/metrics`)).text()
  const told = /^writ_sealed_under_other_keys (\d+)$/m.exec(text)?.[1]
  return told === undefined ? undefined : Number(told)
}

/** What the doctor finds of sealed values, with these keys. */
async function sealsOf(sys: TestSystem, [SECRET_KEY, SECRET_KEY_PREVIOUS]: string[]): Promise<string[]> {
  const place = { dataDir: path.join(sys.folder, 'data'), cwd: sys.folder, env: { SECRET_KEY, SECRET_KEY_PREVIOUS } }
  const { code, level, detail } = (await doctor(place)).checks.find(({ name }) => name === 'sealed values')!
  return [code, level, detail]
}

for (const backend of backends())
  test(`the handle of a Feishu application outlives the key it was made under (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start({ env: { SECRET_KEY: FIRST } })
    const register = async (app_secret: string) => {
      const input = { app_id: 'cli_a', app_secret }
      const { id } = ok(await sys.admin.post<Submitted>('/tasks', { handler: 'feishu_set_token', input }), 201)
      const { result } = ok(await sys.admin.get<TaskDetail>(`/tasks/${id}/wait?timeout=20`))
      return (result as { app_hash: string }).app_hash
    }
    const first = await register('its secret')
    await sys.restart({ env: { SECRET_KEY: SECOND, SECRET_KEY_PREVIOUS: FIRST } })
    // As workers do at each of their starts, while others go on with what they were told.
    assert.equal(await register('its secret'), first)
    assert.notEqual(await register('another secret'), first)
    await sys.restart({ env: { SECRET_KEY: FIRST, SECRET_KEY_PREVIOUS: '' } })
    assert.equal(await register('its secret'), first)
    await sys.check()
  })

/** What is sealed of a person, a webhook and a handler; their tasks seal more. */
async function sealSome(sys: TestSystem, url: string) {
  const { secret } = ok(await sys.bob.post<{ secret: string }>('/auth/totp', {}))
  ok(await sys.bob.post('/auth/totp/confirm', { code: createTotp(secret, sys.now()) }), 204)
  // The next code has to be another one.
  sys.advance(60_000)
  const webhook = ok(
    await sys.admin.post<Webhook>('/webhooks', {
      name: 'w',
      url,
      events: ['ticket.created'],
      headers: { 'x-key': 'abc' },
    }),
    201,
  )
  ok(await sys.admin.post('/handlers', { name: 'far.away', url, max_attempts: 1 }), 201)
  const dispatch = async (handler: string, more: object = {}) =>
    ok(await sys.admin.post<Submitted>('/tasks', { handler, input: INPUT, max_attempts: 1, ...more }), 201).id
  const endOf = async (id: string) => ok(await sys.admin.get<TaskDetail>(`/tasks/${id}/wait?timeout=20`))
  return { secret, webhook, dispatch, endOf }
}
