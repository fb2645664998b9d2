import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import path from 'node:path'
import { test } from 'node:test'
import { api, type Endpoint } from '@writ/api'
import { INSTANCE, inProject } from '../../packages/server/src/platform/db/index.ts'
import { attachDatabase } from '../../packages/server/src/platform/db/open.ts'
import { backends } from '../backends.ts'
import type { Answer, Client } from '../client.ts'
import { makeSshKey, proposeKey } from '../evidence/ssh-key.ts'
import { handlerOf } from '../tasks/dispatch.ts'
import type { TestSystem } from '../test-system.ts'

type Reply = Record<string, unknown> & { id: string }

/** What is there already; each of the requests below makes the rest itself. */
interface Stage {
  readonly system: TestSystem
  readonly admin: Client
  /** A second administrator, for what needs two. */
  readonly boss: Client & { readonly id: string }
}

interface Asked {
  readonly by?: Client
  readonly path: string
  readonly body?: object
  /** The file of an upload. */
  readonly file?: string
}

const made = async (answer: Promise<Answer<Reply>>): Promise<Reply> => {
  const { status, body } = await answer
  assert.ok(status < 300, `${status} ${JSON.stringify(body)}`)
  return body
}
let count = 0
const fresh = (word: string) => `${word}-${++count}`
const far = '2999-01-01T00:00:00Z'

const ticketOf = ({ system }: Stage) => made(system.employee.post('/tickets', { title: fresh('ticket') }))
const runOf = async (on: Stage, more: object = { finalize: 'manual' }) =>
  made(on.admin.post('/runs', { run_type: 'proof', ticket_id: (await ticketOf(on)).id, ...more }))
async function settledRun(on: Stage): Promise<string> {
  const { id } = await runOf(on)
  await on.admin.upload(id, 'a.json', '{}')
  await made(on.admin.post(`/runs/${id}/finalize`))
  await on.system.waitFor(id)
  return id
}
const taskOf = ({ admin }: Stage, more: object = {}) =>
  made(admin.post('/tasks', { handler: 'system.ping', run_at: far, ...more }))
async function deadOf(on: Stage): Promise<string> {
  const { id } = await taskOf(on, { handler: 'test.fails', run_at: undefined })
  assert.equal((await on.admin.get<Reply>(`/tasks/${id}/wait?timeout=30`)).body.state, 'failed')
  return id
}
const scheduleOf = ({ admin }: Stage) =>
  made(admin.post('/schedules', { name: fresh('schedule'), handler: 'system.ping', every_seconds: 3_600 }))
const webhookOf = ({ admin }: Stage) =>
  made(admin.post('/webhooks', { name: fresh('hook'), url: 'http://127.0.0.1:9/', events: ['asset.created'] }))
const handlerAt = async ({ admin }: Stage) =>
  (await made(admin.post('/handlers', { name: fresh('called'), url: 'http://127.0.0.1:9/' }))).name
const policyOf = async ({ admin }: Stage) =>
  (
    await made(
      admin.put('/policy', {
        four_eyes: true,
        approver_roles: ['admin'],
        approval_ttl_hours: ++count,
        evidence_ttl_hours: 24,
      }),
    )
  ).id
async function keyOf({ system, admin }: Stage): Promise<string> {
  return (await made(proposeKey(admin, await makeSshKey(system.folder, fresh('key'))) as Promise<Answer<Reply>>)).id
}
const settings = { limit: 10 }

/** A request for each POST that is done once under its key. An endpoint that is missing here fails the test. */
const requests: Readonly<Record<string, (on: Stage) => Promise<Asked> | Asked>> = {
  'auth.register': ({ system }) => {
    const username = fresh('person')
    const body = { username, email: `${username}@example.com`, password: 'has-a-long-password' }
    return { by: system.anonymous, path: '/auth/register', body }
  },
  'users.create': () => {
    const username = fresh('person')
    const body = { username, email: `${username}@example.com`, password: 'has-a-long-password', role: 'dev' }
    return { path: '/users', body }
  },
  'users.resetPassword': async ({ system }) => ({
    path: `/users/${(await system.hire(fresh('forgetful'), 'dev')).id}/reset-password`,
  }),
  'users.invite': () => ({ path: '/invites', body: { role: 'dev' } }),
  'tokens.create': () => ({ path: '/tokens', body: { name: fresh('token') } }),
  'tokens.rotate': async ({ admin }) => ({
    path: `/tokens/${(await made(admin.post('/tokens', { name: 't' }))).id}/rotate`,
  }),
  'projects.create': () => ({ path: '/projects', body: { slug: fresh('project'), name: 'P' } }),
  'projects.approvePolicy': async (on) => ({
    by: on.boss,
    path: `/policy/changes/${await policyOf(on)}/approve`,
  }),
  'projects.rejectPolicy': async (on) => ({
    by: on.boss,
    path: `/policy/changes/${await policyOf(on)}/reject`,
    body: { reason: 'no' },
  }),
  'assets.create': () => ({ path: '/assets', body: { name: fresh('asset'), asset_type: 'switch' } }),
  'tickets.create': () => ({ path: '/tickets', body: { title: 'T' } }),
  'tickets.submit': async ({ system }) => ({
    by: system.employee,
    path: `/tickets/${(await made(system.employee.post('/tickets', { title: 'T', status: 'draft' }))).id}/submit`,
  }),
  'tickets.approve': async (on) => ({ path: `/tickets/${(await ticketOf(on)).id}/approve`, body: {} }),
  'tickets.reject': async (on) => ({ path: `/tickets/${(await ticketOf(on)).id}/reject`, body: { reason: 'no' } }),
  'tickets.close': async (on) => ({ path: `/tickets/${(await ticketOf(on)).id}/close`, body: { reason: 'done' } }),
  'tickets.reopen': async (on) => {
    const { id } = await ticketOf(on)
    await made(on.admin.post(`/tickets/${id}/close`))
    return { path: `/tickets/${id}/reopen`, body: { reason: 'not done' } }
  },
  'tickets.comment': async (on) => ({ path: `/tickets/${(await ticketOf(on)).id}/comments`, body: { body: 'c' } }),
  'runs.start': async (on) => ({ path: '/runs', body: { run_type: 'proof', ticket_id: (await ticketOf(on)).id } }),
  'runs.finalize': async (on) => {
    const { id } = await runOf(on)
    await on.admin.upload(id, 'a.json', '{}')
    return { path: `/runs/${id}/finalize` }
  },
  'runs.cancel': async (on) => ({ path: `/runs/${(await runOf(on)).id}/cancel`, body: { reason: 'no' } }),
  'runs.verify': async (on) => ({ path: `/runs/${await settledRun(on)}/verify`, body: {} }),
  'runs.cancelMany': async (on) => ({
    path: '/runs/cancel',
    body: { ticket_id: (await runOf(on)).ticket_id, reason: 'no' },
  }),
  'runs.verifyMany': async (on) => {
    const run = await on.admin.get<Reply>(`/runs/${await settledRun(on)}`)
    return { path: '/runs/verify', body: { ticket_id: run.body.ticket_id } }
  },
  'rules.publish': () => ({
    path: '/rule-sets',
    body: { name: fresh('rules'), definition: { rules: [{ validator: 'size@1' }] } },
  }),
  'artifacts.upload': async (on) => ({ path: (await runOf(on)).id, file: 'contents' }),
  'artifacts.erase': async (on) => {
    const { id } = await runOf(on)
    const { artifact } = (await on.admin.upload(id, 'a.txt', 'x')).body
    await made(on.admin.post(`/runs/${id}/cancel`))
    return { path: `/artifacts/${artifact.id}/erase`, body: { ground: 'request 17' } }
  },
  'signingKeys.enrol': async ({ system, admin }) => {
    const key = await makeSshKey(system.folder, fresh('key'))
    const public_key = key.publicKey.trim()
    const issued = await made(admin.post('/signing-keys/statement', { type: 'ssh', public_key }))
    const ssh = await key.sign(String(issued.statement), String(issued.namespace))
    return { path: '/signing-keys', body: { type: 'ssh', public_key, name: 'desk', statement: issued.statement, ssh } }
  },
  'signingKeys.approve': async (on) => ({ by: on.boss, path: `/signing-keys/${await keyOf(on)}/approve` }),
  'signingKeys.reject': async (on) => ({
    by: on.boss,
    path: `/signing-keys/${await keyOf(on)}/reject`,
    body: { reason: 'no' },
  }),
  'signingKeys.revoke': async (on) => {
    const id = await keyOf(on)
    await made(on.boss.post(`/signing-keys/${id}/approve`))
    return { path: `/signing-keys/${id}/revoke`, body: { reason: 'lost' } }
  },
  'privacy.erasePayload': async ({ admin, system }) => {
    const { id } = await made(admin.post('/assets', { name: fresh('asset'), asset_type: 'switch' }))
    await system.settle()
    const [event] = (await admin.get<Reply[]>(`/audit/events?resource_id=${id}&event_type=asset.created`)).body
    return { path: `/payloads/${event!.id}/erase`, body: { ground: 'request 17' } }
  },
  'privacy.eraseUser': async ({ admin, system }) => {
    const { id } = await system.hire(fresh('gone'), 'dev')
    await made(admin.patch(`/users/${id}`, { is_active: false }) as Promise<Answer<Reply>>)
    return { path: `/users/${id}/erase`, body: { ground: 'request 17' } }
  },
  'privacy.setHold': async (on) => ({
    path: '/holds',
    body: { subject_type: 'ticket', subject_id: (await ticketOf(on)).id, reason: 'case 17' },
  }),
  'privacy.releaseHold': async ({ admin }) => {
    const hold = { subject_type: 'project', reason: 'case 17' }
    return { path: `/holds/${(await made(admin.post('/holds', hold))).id}/release`, body: { reason: 'closed' } }
  },
  'privacy.rotateLog': () => ({ path: '/audit/logs/rotate', body: { reason: 'a new year' } }),
  'privacy.dropLog': async ({ admin, system }) => {
    await system.settle()
    for (const { id, released_at } of (await admin.get<Reply[]>('/holds')).body)
      if (released_at === null) await made(admin.post(`/holds/${id}/release`, { reason: 'closed' }))
    const { closed } = await made(admin.post('/audit/logs/rotate', { reason: 'a new year' }))
    const all = (await admin.get<{ shard: number; dropped_at: unknown }[]>('/audit/logs')).body
    const oldest = all.filter((one) => one.dropped_at === null).toSorted((a, b) => a.shard - b.shard)[0]
    assert.ok(closed && oldest)
    return { path: `/audit/logs/${oldest.shard}/drop`, body: { reason: 'kept for ten years' } }
  },
  'keys.rotate': () => ({ path: '/keys/rotate', body: { purpose: 'attestation' } }),
  'webhooks.create': () => ({
    path: '/webhooks',
    body: { name: fresh('hook'), url: 'http://127.0.0.1:9/', events: ['asset.created'] },
  }),
  'webhooks.rotate': async (on) => ({ path: `/webhooks/${(await webhookOf(on)).id}/rotate` }),
  'webhooks.test': async (on) => ({ path: `/webhooks/${(await webhookOf(on)).id}/test` }),
  'webhooks.replay': async (on) => {
    const { id } = await webhookOf(on)
    await made(on.admin.post(`/webhooks/${id}/test`))
    return { path: `/webhooks/${id}/replay`, body: { event_type: 'webhook.tested' } }
  },
  'tasks.submit': () => ({ path: '/tasks', body: { handler: 'system.ping', run_at: far } }),
  'tasks.submitMany': () => ({ path: '/tasks/batch', body: { tasks: [{ handler: 'system.ping', run_at: far }] } }),
  'tasks.cancel': async (on) => ({ path: `/tasks/${(await taskOf(on)).id}/cancel`, body: { reason: 'no' } }),
  'tasks.cancelBatch': async ({ admin }) => {
    const { body } = await admin.post<Reply[]>('/tasks/batch', { tasks: [{ handler: 'system.ping', run_at: far }] })
    return { path: `/batches/${body[0]!.batch_id}/cancel`, body: settings }
  },
  'tasks.cancelMany': async (on) => {
    const tag = fresh('tag')
    await taskOf(on, { tags: [tag] })
    return { path: '/tasks/cancel', body: { tag, reason: 'no' } }
  },
  'tasks.replayMany': async (on) => {
    await deadOf(on)
    return { path: '/tasks/replay', body: { handler: 'test.fails', state: 'failed', limit: 1 } }
  },
  'queues.pause': () => ({ path: `/queues/${fresh('queue')}/pause`, body: { create: true } }),
  'queues.resume': async ({ admin }) => {
    const queue = fresh('queue')
    await made(admin.post(`/queues/${queue}/pause`, { create: true }))
    return { path: `/queues/${queue}/resume` }
  },
  'queues.drain': async (on) => {
    const queue = fresh('queue')
    await taskOf(on, { queue })
    return { path: `/queues/${queue}/drain`, body: settings }
  },
  'concurrencyKeys.pause': () => ({ path: '/concurrency-keys/pause', body: { key: fresh('key'), until: far } }),
  'concurrencyKeys.resume': async ({ admin }) => {
    const key = fresh('key')
    await made(admin.post('/concurrency-keys/pause', { key, until: far }))
    return { path: '/concurrency-keys/resume', body: { key } }
  },
  'concurrencyKeys.limit': () => ({
    path: '/concurrency-keys/limit',
    body: { key: fresh('key'), concurrency: 1, reason: 'slow' },
  }),
  'concurrencyKeys.liftLimit': async ({ admin }) => {
    const key = fresh('key')
    await made(admin.post('/concurrency-keys/limit', { key, concurrency: 1, reason: 'slow' }))
    return { path: '/concurrency-keys/lift-limit', body: { key } }
  },
  'deadLetters.replay': async (on) => ({ path: `/dead-letters/${await deadOf(on)}/replay` }),
  'deadLetters.replayMany': async (on) => ({ path: '/dead-letters/replay', body: { ids: [await deadOf(on)] } }),
  'deadLetters.purge': async (on) => ({ path: '/dead-letters/purge', body: { ids: [await deadOf(on)] } }),
  'schedules.create': () => ({
    path: '/schedules',
    body: { name: fresh('schedule'), handler: 'system.ping', every_seconds: 3_600 },
  }),
  'schedules.pause': async (on) => ({ path: `/schedules/${(await scheduleOf(on)).id}/pause`, body: { reason: 'x' } }),
  'schedules.resume': async (on) => {
    const { id } = await scheduleOf(on)
    await made(on.admin.post(`/schedules/${id}/pause`))
    return { path: `/schedules/${id}/resume` }
  },
  'schedules.trigger': async (on) => ({ path: `/schedules/${(await scheduleOf(on)).id}/trigger` }),
  'handlers.add': () => ({ path: '/handlers', body: { name: fresh('called'), url: 'http://127.0.0.1:9/' } }),
  'handlers.rotateSecret': async (on) => ({ path: `/handlers/${await handlerAt(on)}/rotate-secret` }),
  'handlers.enable': async (on) => {
    const name = await handlerAt(on)
    await made(on.admin.post(`/handlers/${name}/disable`))
    return { path: `/handlers/${name}/enable` }
  },
  'handlers.disable': async (on) => ({ path: `/handlers/${await handlerAt(on)}/disable` }),
}

const recorded = Object.entries(api).flatMap(([group, members]) =>
  Object.entries(members as Record<string, Endpoint>)
    .filter(([, endpoint]) => endpoint.method === 'POST' && !endpoint.unrecorded)
    .map(([name, endpoint]) => [`${group}.${name}`, endpoint] as const),
)

test('there is a request for each POST that keeps a key', () => {
  assert.deepEqual(recorded.map(([id]) => id).sort(), Object.keys(requests).sort())
})

const failing = handlerOf('test.fails', async () => {
  throw new Error('as a test wants it')
})

for (const backend of backends())
  test(`each POST is done once under its key (${backend.name})`, { skip: backend.skip }, async (t) => {
    await using system = await backend.start({ testHandlers: [failing], env: { WRIT_REGISTRATION: 'open' } })
    const on: Stage = { system, admin: system.admin, boss: await system.hire('boss', 'admin') }
    // What people did: the server goes on by itself meanwhile. That events were read is one as well, so by the headers alone.
    const events = async (): Promise<number[]> => {
      await system.settle()
      const ask = { headers: { authorization: `Bearer ${await system.admin.token()}` }, method: 'HEAD' }
      const count = async ({ id }: { id: string }) => {
        const { headers } = await fetch(`${system.base}/api/v1/audit/events?actor_id=${id}`, ask)
        return Number(headers.get('x-total-count'))
      }
      return Promise.all([system.admin, on.boss, system.employee].map(count))
    }
    for (const [id, endpoint] of recorded)
      await t.test(id, async () => {
        const { by = system.admin, path, body, file } = await requests[id]!(on)
        const sent = { headers: { 'idempotency-key': id } }
        const ask = (other = {}) =>
          file === undefined
            ? by.post<Reply>(path, body && { ...body, ...other }, sent)
            : by.upload(path, 'a.txt', file + Object.keys(other).join(), {}, sent)
        const first = await ask()
        assert.equal(first.status, endpoint.status, JSON.stringify(first.body))
        assert.equal(first.headers.get('idempotency-replayed'), null)
        const before = await events()
        const again = await ask()
        if (endpoint.secret) {
          assert.deepEqual([again.status, (again.body as Reply).code], [409, 'SECRET_SHOWN_ONCE'])
          // Nothing is made: whose password it is stands in the path.
          if (id !== 'users.resetPassword') assert.ok(again.headers.get('x-resource-id'))
        } else {
          assert.equal(again.headers.get('idempotency-replayed'), 'true', JSON.stringify(again.body))
          assert.deepEqual([again.status, again.body], [first.status, first.body])
        }
        assert.deepEqual(await events(), before, 'nothing is done again')
      })
    await system.check()
  })

for (const backend of backends())
  test(`a request repeated after its token was rotated is done once, and another token has keys of its own (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const { admin } = system
    type Token = { id: string; token: string }
    const rotate = async ({ id }: Token) => (await admin.post<Token>(`/tokens/${id}/rotate`)).body
    const ask = async ({ token }: Token, title: string) => {
      const response = await fetch(`${system.base}/api/v1/tickets`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          'idempotency-key': 'one-key',
        },
        body: JSON.stringify({ title }),
      })
      // A ticket or a problem.
      const { id, code } = (await response.json()) as { id?: string; code?: string }
      return { status: response.status, id, code, again: response.headers.get('idempotency-replayed') === 'true' }
    }
    const first = (await admin.post<Token>('/tokens', { name: 'deploys' })).body
    const other = (await admin.post<Token>('/tokens', { name: 'reports' })).body
    const made = await ask(first, 'Deploy')
    assert.deepEqual([made.status, made.again], [200, false])
    const second = await rotate(first)
    const third = await rotate(second)
    assert.deepEqual(await ask(second, 'Deploy'), { ...made, again: true })
    assert.deepEqual(await ask(third, 'Deploy'), { ...made, again: true })
    assert.equal((await ask(third, 'Another')).code, 'IDEMPOTENCY_MISMATCH')
    const own = await ask(other, 'Report')
    assert.deepEqual([own.status, own.again], [200, false])
    assert.notEqual(own.id, made.id)
  })

for (const backend of backends())
  test(`a key of one project is another one in the next, also where accounts are concerned (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const { admin } = system
    await admin.post('/projects', { slug: 'site-2', name: 'Site 2' })
    const invite = (project: string) =>
      admin.post<Reply>('/invites', { role: 'ops' }, { headers: { 'idempotency-key': 'k', 'x-project': project } })
    const [here, there] = [await invite('default'), await invite('site-2')]
    assert.deepEqual([here.status, there.status], [201, 201], JSON.stringify(there.body))
    const again = [await invite('default'), await invite('site-2')]
    assert.deepEqual(
      again.map(({ body, headers }) => [body.code, headers.get('x-resource-id')]),
      [
        ['SECRET_SHOWN_ONCE', here.body.id],
        ['SECRET_SHOWN_ONCE', there.body.id],
      ],
    )
  })

for (const backend of backends())
  test(`what is kept of a request under a key tells nothing of its body without the key (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const key = (name: string) => createHash('sha256').update(name).digest('hex')
    const url = system.databaseUrl ?? `sqlite:${path.join(system.folder, 'data/writ.db')}`
    await using db = await attachDatabase({ url }).then((one) => ({ one, [Symbol.asyncDispose]: () => one.close() }))
    const kept = (name: string) =>
      inProject(INSTANCE, () =>
        db.one.read((tx) =>
          tx.sql<{ body_sha256: string }>('select body_sha256 from idempotency where route = ?1 and key = ?2', [
            'auth.register',
            key(name),
          ]),
        ),
      )
    const { invite } = (await system.admin.post<{ invite: string }>('/invites', {})).body
    const body = { username: 'eve', email: 'eve@example.com', password: 'a password of eve', invite }
    const register = () =>
      system.anonymous.post<Reply>('/auth/register', body, { headers: { 'idempotency-key': 'k-1' } })
    const made = await register()
    assert.equal(made.status, 200, JSON.stringify(made.body))
    const guessed = createHash('sha256')
      .update(JSON.stringify([{}, {}, body]))
      .digest('hex')
    const [row] = await kept('k-1')
    assert.ok(row)
    assert.notEqual(row.body_sha256, guessed)
    // Of a version that kept the digest of the body alone.
    await inProject(INSTANCE, () =>
      db.one.write((tx) => tx.sql('update idempotency set body_sha256 = ?1 where key = ?2', [guessed, key('k-1')])),
    )
    const again = await register()
    assert.deepEqual([again.headers.get('idempotency-replayed'), again.body.id], ['true', made.body.id])
  })
