import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Run, Task, Ticket } from '@writ/api'
import { backends } from './backends.ts'
import type { TestSystem } from './test-system.ts'
import { ok } from './verifies.ts'

/** Values of `writ_runs_settled_total` by kind and outcome. */
async function settled(system: TestSystem): Promise<Record<string, number>> {
  const text = await (await fetch(`${system.base}/metrics`)).text()
  const found = text.matchAll(/^writ_runs_settled_total\{kind="(\w+)",outcome="(\w+)"\} (\d+)$/gm)
  return Object.fromEntries([...found].map(([, kind, outcome, n]) => [`${kind} ${outcome}`, Number(n)]))
}

for (const backend of backends()) {
  test(`runs of every kind are counted when they end, also those that nobody began (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const { admin } = system
    const none = { completed: 0, failed: 0, timeout: 0, cancelled: 0 }
    const of = (kind: string, counts: Record<string, number>) =>
      Object.fromEntries(Object.entries({ ...none, ...counts }).map(([outcome, n]) => [`${kind} ${outcome}`, n]))
    assert.deepEqual(await settled(system), { ...of('proof', {}), ...of('task', {}) })
    const ticket = ok(await admin.post<Ticket>('/tickets', { title: 'Renew' }))
    const start = async () =>
      ok(
        await admin.post<Run>('/runs', {
          run_type: 'proof',
          ticket_id: ticket.number,
          script_id: 'proof.file_hash',
          finalize: 'manual',
        }),
      )
    const [proven, given] = [await start(), await start()]
    ok(await admin.post(`/runs/${proven.number}/finalize`, {}))
    ok(await admin.get<Run>(`/runs/${proven.number}/wait`))
    ok(await admin.post(`/runs/${given.number}/cancel`, { reason: 'the window was moved' }))

    const done = ok(await admin.post<Task>('/tasks', { handler: 'system.ping' }), 201)
    ok(await admin.get<Task>(`/tasks/${done.number}/wait`))
    const later = ok(await admin.post<Task>('/tasks', { handler: 'system.ping', run_at: '2999-01-01T00:00:00Z' }), 201)
    ok(await admin.post(`/tasks/${later.number}/cancel`, {}))

    const { state } = (await admin.get<Run>(`/runs/${proven.number}`)).body
    assert.deepEqual(await settled(system), {
      ...of('proof', { [state]: 1, cancelled: 1 }),
      ...of('task', { completed: 1, cancelled: 1 }),
    })

    // One whose deadline passes while its queue is paused takes along what depends on it; what comes after that ends where it is accepted.
    const queue = 'held'
    ok(await admin.post(`/queues/${queue}/pause`, { create: true }))
    const dispatch = async (more: object) =>
      ok(await admin.post<Task>('/tasks', { handler: 'system.ping', queue, ...more }), 201)
    const late = await dispatch({ deadline_at: new Date(system.now() + 500).toISOString() })
    const along = await dispatch({ depends_on: [late.number] })
    for (const { number } of [late, along]) ok(await admin.get<Task>(`/tasks/${number}/wait`))
    await dispatch({ depends_on: [along.number] })
    assert.deepEqual(await settled(system), {
      ...of('proof', { [state]: 1, cancelled: 1 }),
      ...of('task', { completed: 1, timeout: 1, cancelled: 3 }),
    })
  })
}
