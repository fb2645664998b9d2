/** Very many that one change concerns: it is carried out in transactions that are short, and to its end whoever stops in between. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NewTask, Submitted } from '@writ/api'
import { type Backend, backends } from '../backends.ts'
import { type TestSystem, until } from '../test-system.ts'

const LATER = '2999-01-01T00:00:00Z'
/** A server that changes what it is asked for, and looks after nothing. With SQLite there is none. */
const onlyAnswers = ({ name }: Backend): Record<string, string> => (name === 'postgres' ? { WRIT_ROLES: 'api' } : {})
const ALL = { WRIT_ROLES: 'api,worker,scheduler,sequencer' }

const submit = async ({ admin }: TestSystem, tasks: NewTask[]): Promise<Submitted[]> => {
  const { status, body } = await admin.post<Submitted[]>('/tasks/batch', { tasks })
  assert.equal(status, 201, JSON.stringify(body))
  return body
}

const countOf = async ({ admin }: TestSystem, query: string): Promise<number> => {
  const { status, headers } = await admin.get(`/tasks?limit=1&${query}`)
  assert.equal(status, 200)
  return Number(headers.get('x-total-count'))
}

/** Tasks of which each waits for the one before; answers the first. */
async function chainOf(system: TestSystem, length: number): Promise<string> {
  let first: string | undefined
  for (let last: string | undefined, made = 0; made < length; made += 400) {
    const tasks = Array.from({ length: Math.min(400, length - made) }, (_, i) => {
      const on = i === 0 ? last : `batch:${i - 1}`
      return {
        handler: 'system.ping',
        queue: 'chain',
        ...(on === undefined ? { run_at: LATER } : { depends_on: [on] }),
      }
    })
    const submitted = await submit(system, tasks)
    first ??= submitted[0]!.id
    last = submitted.at(-1)!.id
  }
  return first!
}

for (const backend of backends()) {
  test(`${backend.name}: a long chain is cancelled a part at a time`, { skip: backend.skip }, async () => {
    await using system = await backend.start({ env: onlyAnswers(backend) })
    const first = await chainOf(system, 450)
    assert.equal((await system.admin.post(`/tasks/${first}/cancel`, {})).status, 200)
    // The first, and a hundred along with it; the others are somebody's who looks at timers.
    if (backend.name === 'postgres') assert.equal(await countOf(system, 'queue=chain&state=cancelled'), 101)
    await system.restart({ env: ALL })
    await until('the rest is cancelled too', async () => (await countOf(system, 'queue=chain&state=cancelled')) === 450)
    assert.equal(await countOf(system, 'queue=chain&error_code=DEPENDENCY_FAILED'), 449)
    await system.check()
  })

  test(`${backend.name}: of very many that waited for one task a part ends with it at a time`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start({ env: onlyAnswers(backend) })
    const [root] = await submit(system, [{ handler: 'system.ping', run_at: LATER }])
    for (const depends_on_policy of ['cancel', 'run'] as const)
      for (const many of [500, 500, 200])
        await submit(
          system,
          Array.from({ length: many }, () => ({
            handler: 'system.ping',
            queue: depends_on_policy,
            depends_on: [root!.id],
            depends_on_policy,
          })),
        )
    assert.equal((await system.admin.post(`/tasks/${root!.id}/cancel`, {})).status, 200)
    // In the order in which they were dispatched; the others are somebody's who looks at timers.
    if (backend.name === 'postgres') assert.equal(await countOf(system, 'queue=cancel&state=cancelled'), 1_000)
    await system.restart({ env: ALL })
    await until(
      'the rest is cancelled too',
      async () => (await countOf(system, 'queue=cancel&state=cancelled')) === 1_200,
    )
    await until('who was to run anyway has', async () => (await countOf(system, 'queue=run&state=completed')) === 1_200)
    await system.check()
  })

  for (const state of ['waits', 'runs'])
    test(`${backend.name}: of very many children of a task that ${state} a part is cancelled at a time`, {
      skip: backend.skip,
    }, async () => {
      await using system = await backend.start({ env: onlyAnswers(backend) })
      const { admin } = system
      const ask = async <T>(path: string, body: unknown): Promise<T> => {
        const answer = await admin.post<T>(path, body)
        assert.ok(answer.status < 300, JSON.stringify(answer.body))
        return answer.body
      }
      const worker = { worker: 'w', queues: ['parents'], handlers: [{ name: 'parent', queue: 'parents' }], limit: 1 }
      await ask('/workers/claim', { ...worker, wait_seconds: 0 })
      const deadline_at = LATER
      const parent = await ask<Submitted>('/tasks', { handler: 'parent', deadline_at })
      const { tasks } = await ask<{ tasks: { lease: string }[] }>('/workers/claim', { ...worker, wait_seconds: 5 })
      const lease = tasks[0]!.lease
      const task = { handler: 'system.ping', queue: 'children', run_at: LATER }
      const child = (n: number) => ask<{ id: string }>('/workers/dispatch', { lease, name: `child ${n}`, task })
      const { id } = await child(0)
      for (let n = 1; n < 1_100; n += 50)
        await Promise.all(Array.from({ length: Math.min(50, 1_100 - n) }, (_, i) => child(n + i)))
      const settle = (outcome: object) => ask('/workers/settle', { results: [{ lease, ...outcome }] })
      if (state === 'waits') await settle({ outcome: 'wait', children: [id] })
      await ask(`/tasks/${parent.id}/cancel`, {})
      if (backend.name === 'postgres') assert.equal(await countOf(system, 'queue=children&state=cancelled'), 1_000)
      if (state === 'runs') await settle({ outcome: 'cancelled' })
      await system.restart({ env: ALL })
      await until(
        'the rest is cancelled too',
        async () => (await countOf(system, 'queue=children&state=cancelled')) === 1_100,
      )
      assert.equal(await countOf(system, 'queue=parents&state=cancelled'), 1)
      await system.check()
    })

  test(`${backend.name}: of very many under a key a part is let go at a time`, { skip: backend.skip }, async () => {
    await using system = await backend.start({ env: onlyAnswers(backend) })
    const { admin } = system
    const key = 'customer 17'
    await admin.post('/concurrency-keys/pause', { key, until: LATER })
    for (let n = 0; n < 3; n++)
      await submit(
        system,
        Array.from({ length: 500 }, () => ({ handler: 'system.ping', queue: 'keyed', concurrency_key: key })),
      )
    const { body } = await admin.post<{ active: number; waiting: number }>('/concurrency-keys/resume', { key })
    assert.deepEqual([body.active, body.waiting], [1_000, 500])
    await system.restart({ env: ALL })
    await until('all of them have run', async () => (await countOf(system, 'queue=keyed&state=completed')) === 1_500)
    await system.check()
  })
}
