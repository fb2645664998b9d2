/** Many tasks at once: counted, cancelled and replayed by what a filter takes; and found by what stands in them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEvent, Run, Task, Ticket } from '@writ/api'
import { backends } from '../backends.ts'
import { until } from '../test-system.ts'
import { dispatcherOf, handlerOf } from './dispatch.ts'

const patient = handlerOf('test.waits', (_, { signal }) => {
  signal.throwIfAborted()
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
})
const bad = handlerOf('test.bad', async (input) => {
  throw new Error(`no answer from ${(input as { host?: string }).host ?? 'nobody'}`)
})
const LATER = { run_at: '2999-01-01T00:00:00Z' }

for (const backend of backends()) {
  test(`tasks are counted, cancelled, replayed and found by a filter (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start({ testHandlers: [patient, bad] })
    const { admin } = system
    const by = await dispatcherOf(system.app, { ...admin, role: 'admin' })
    const post = async <T>(path: string, body: object) => {
      const answer = await admin.post<T>(path, body)
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
      return answer.body
    }
    const refused = async (path: string, body: object) => (await admin.post<{ code: string }>(path, body)).body.code
    const numbers = async (query: string) =>
      (await admin.get<Task[]>(`/tasks?${query}`)).body.map(({ number }) => number)

    // One that runs, two that wait, and one of another handler.
    const running = await by.dispatch('test.waits')
    await until('it runs', async () => (await by.find(running.id)).state === 'running')
    const waiting = [await by.dispatch('test.waits', {}, LATER), await by.dispatch('test.waits', {}, LATER)]
    const other = await by.dispatch('system.ping', {}, LATER)
    const filter = { handler: 'test.waits' }
    assert.deepEqual(await post('/tasks/preview', { ...filter, open: true }), {
      count: 3,
      more: false,
      not_replayed: [],
    })
    assert.deepEqual(await post('/tasks/preview', { ...filter, state: 'running', open: true }), {
      count: 1,
      more: false,
      not_replayed: [],
    })
    assert.deepEqual(await post('/tasks/cancel', { ...filter, state: 'pending', limit: 1, reason: 'a freeze' }), {
      cancelled: 1,
      stopping: 0,
      left: 1,
    })
    assert.deepEqual(await post('/tasks/cancel', { ...filter, reason: 'a freeze' }), {
      cancelled: 1,
      stopping: 1,
      left: 0,
    })
    for (const { id } of [running, ...waiting]) assert.equal((await by.settled(id)).state, 'cancelled')
    assert.match((await by.find(waiting[0]!.id)).error ?? '', /a freeze/)
    assert.equal((await by.find(other.id)).state, 'pending')

    const failed = [
      await by.dispatch('test.bad', { host: 'core-sw-1' }, { tags: ['nightly'] }),
      await by.dispatch('test.bad', { host: 'core-sw-2' }, { tags: ['nightly'] }),
      await by.dispatch('test.bad', { host: 'edge_1' }, { tags: ['weekly'] }),
    ]
    for (const { id } of failed) await by.settled(id)
    const choice = { state: 'failed', tag: 'nightly' }
    assert.deepEqual(await post('/tasks/preview', choice), { count: 2, more: false, not_replayed: [] })
    const { replayed } = await post<{ replayed: { id: string; replays_run_id: string }[] }>('/tasks/replay', choice)
    assert.deepEqual(
      replayed.map((one) => one.replays_run_id),
      failed.slice(0, 2).map(({ id }) => id),
    )
    for (const { id } of replayed) await by.settled(id)
    // Asked for again, they are not done again: it is their replays that ended so, and were not replayed.
    const before = { ...choice, created_before: new Date((await by.find(failed[2]!.id)).created_at).toISOString() }
    assert.deepEqual(await post('/tasks/preview', before), { count: 0, more: false, not_replayed: [] })
    assert.deepEqual(await post('/tasks/replay', before), { replayed: [], not_replayed: [] })
    assert.equal((await post<{ count: number }>('/tasks/preview', choice)).count, 2)
    // Those that were dead letters are none any more; their replays died in turn.
    const dead = (await admin.get<Task[]>('/dead-letters')).body.map(({ id }) => id)
    assert.deepEqual(new Set(dead), new Set([failed[2]!.id, ...replayed.map(({ id }) => id)]))

    // What is looked for may stand in the input, the error or a tag; signs of the database's patterns mean nothing.
    assert.deepEqual(
      await numbers('q=CORE-SW-2'),
      [failed[1]!.number + 3, failed[1]!.number].sort((a, b) => b - a),
    )
    assert.deepEqual(await numbers('q=no%20answer%20from%20edge'), [failed[2]!.number])
    assert.deepEqual(await numbers('q=weekly'), [failed[2]!.number])
    assert.deepEqual(await numbers('q=edge%251'), [])
    assert.deepEqual(await numbers('q=edge_1&state=failed'), [failed[2]!.number])
    assert.deepEqual(await numbers(`q=edge_1&created_before=${new Date(Date.now() - 3_600_000).toISOString()}`), [])

    for (const path of ['/tasks/preview', '/tasks/cancel']) assert.equal(await refused(path, {}), 'TASKS_UNFILTERED')
    assert.equal(await refused('/tasks/cancel', { state: 'pending' }), 'TASKS_UNFILTERED')
    assert.equal(await refused('/tasks/replay', { state: 'failed' }), 'TASKS_UNFILTERED')
    assert.equal((await admin.post('/tasks/replay', { state: 'running', tag: 'x' })).status, 422)

    // Runs on tickets are found by their ticket.
    await system.employee.post<Ticket>('/tickets', { title: 'Replace the core switch' })
    const opened = { run_type: 'proof', ticket_id: 1, finalize: 'manual' }
    const run = (await system.employee.post<Run>('/runs', opened)).body
    const runs = async (query: string) => (await admin.get<Run[]>(`/runs?${query}`)).body.map(({ id }) => id)
    assert.deepEqual(await runs('q=CORE%20switch'), [run.id])
    assert.deepEqual(await runs('q=printers'), [])
    assert.deepEqual(await runs(`created_after=${new Date(Date.parse(run.created_at)).toISOString()}`), [run.id])
    assert.deepEqual(await runs(`created_before=${new Date(Date.parse(run.created_at)).toISOString()}`), [])
    await system.settle()
    await system.check()
  })
}

for (const backend of backends()) {
  test(`dead letters of a filter are purged a thousand in a transaction, those of now and no more (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start({ testHandlers: [bad] })
    const { admin } = system
    const by = await dispatcherOf(system.app, { ...admin, role: 'admin' })
    for (let i = 0; i < 5; i++)
      await admin.post('/tasks/batch', {
        tasks: Array.from({ length: 250 }, () => ({ handler: 'test.bad', max_attempts: 1 })),
      })
    const count = async () => await by.read((tx) => system.app.tasks.countDead(tx, {}))
    await until('all are dead', async () => (await count()) === 1_250)
    const replayed = await admin.post<{ replayed: unknown[] }>('/dead-letters/replay', { queue: 'default', limit: 10 })
    assert.equal(replayed.status, 200)
    const before = await count()
    const purged = await admin.post<{ purged: number }>('/dead-letters/purge', { handler: 'test.bad' })
    assert.deepEqual(purged.body, { purged: before })
    assert.equal(await count(), 0)
    const events = await admin.get<AuditEvent[]>('/audit/events?event_type=dead_letters.purged')
    assert.deepEqual(
      events.body.map(({ details }) => Number(details?.purged)).sort((a, b) => a - b),
      [before - 1_000, 1_000],
    )
    await system.settle()
    await system.check()
  })

  test(`tasks are listed, counted and cancelled by who dispatched them (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start({ testHandlers: [patient, bad] })
    const { admin } = system
    const dora = await system.hire('dora', 'dev')
    const whoIs = async (who: typeof admin) => (await who.get<{ id: string; number: number }>('/auth/me')).body
    const [her, me] = [await whoIs(dora), await whoIs(admin)]
    const later = { handler: 'system.ping', input: {}, ...LATER }
    const dispatch = async (who: typeof admin) => (await who.post<{ number: number }>('/tasks', later)).body.number
    const [first, mine, second] = [await dispatch(dora), await dispatch(admin), await dispatch(dora)]
    const numbers = async (who: typeof admin, ref: string | number) =>
      (await who.get<Task[]>(`/tasks?executed_by_id=${ref}`)).body.map(({ number }) => number)
    assert.deepEqual(await numbers(admin, her.number), [second, first])
    assert.deepEqual(await numbers(admin, me.id), [mine])
    assert.deepEqual(await numbers(admin, 999_999), [])
    // What others dispatched a dev sees no more than before.
    assert.deepEqual(await numbers(dora, me.number), [])
    assert.deepEqual(await numbers(dora, her.id), [second, first])
    const choice = { executed_by_id: her.number }
    const counted = await admin.post<{ count: number }>('/tasks/preview', { ...choice, open: true })
    assert.equal(counted.body.count, 2, JSON.stringify(counted.body))
    assert.deepEqual((await admin.post('/tasks/cancel', choice)).body, { cancelled: 2, stopping: 0, left: 0 })
    assert.deepEqual((await admin.post('/tasks/cancel', { executed_by_id: 999_999 })).body, {
      cancelled: 0,
      stopping: 0,
      left: 0,
    })
    assert.equal((await admin.get<Task>(`/tasks/${mine}`)).body.state, 'pending')
    await system.check()
  })
}
