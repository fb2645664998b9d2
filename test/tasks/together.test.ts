import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Submitted } from '@writ/api'
import type { Handler } from '../../packages/server/src/kinds/task/index.ts'
import { backends } from '../backends.ts'
import { type TestSystem, until } from '../test-system.ts'
import { type Dispatcher, dispatcherOf, handlerOf } from './dispatch.ts'

/** Handlers that wait to be let go, fail, or dispatch others; what ran is written down in its order. */
function handlers() {
  const ran: string[] = []
  const open = new Map<string, () => void>()
  const broken = new Set<string>()
  const note = (label: unknown) => void ran.push(String(label))
  const waits: Handler['run'] = async (input, ctx) => {
    note(input)
    await new Promise<void>((resolve, reject) => {
      open.set(String(input), resolve)
      ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason), { once: true })
    })
    return input
  }
  return {
    ran,
    letGo: (label: string) => open.get(label)?.(),
    list: [
      handlerOf('test.echo', async (input) => {
        note(input)
        return input
      }),
      handlerOf('test.fails', async (input) => {
        note(input)
        throw new Error('it cannot be done')
      }),
      handlerOf('test.waits', waits),
      handlerOf('test.breaks', async (input) => {
        if (broken.has(String(input))) return input
        broken.add(String(input))
        throw new Error('it cannot be done yet')
      }),
      handlerOf(
        'test.parent',
        async (input, ctx) => {
          note(`parent ${input}`)
          const first = await ctx.step('add', async () => {
            note('step')
            return 40
          })
          const child = await ctx.dispatch('child', { handler: 'test.waits', input: `child of ${input}` })
          const { state, result } = await ctx.waitFor(child)
          const plain = await ctx.waitFor(await ctx.dispatch('second', { handler: 'test.fails', input: 'second' }))
          return { first, state, result, second: plain.state, code: plain.error_code }
        },
        { concurrency: 1, perKey: { concurrency: 1, rate: null } },
      ),
      handlerOf('test.starts', async (_, ctx) => {
        await ctx.dispatch('one', { handler: 'test.waits', input: 'one' })
        await ctx.dispatch('later', { handler: 'test.echo', input: 'later', run_at: '2999-01-01T00:00:00Z' })
        await ctx.waitFor((await ctx.dispatch('one', { handler: 'test.waits', input: 'one' })).id)
      }),
      handlerOf('test.twice', async (_, ctx) => {
        const { id } = await ctx.dispatch('child', { handler: 'test.echo', input: `child of ${ctx.attempt}` })
        if (ctx.attempt === 1) throw new Error('after the dispatch')
        return id
      }),
      handlerOf(
        'test.begins',
        async (input, ctx) => {
          const first = await ctx.step('第一步（🧧，“a@b” → c）', async () => input)
          if (ctx.attempt === 1) throw new Error('not yet')
          return { first, input }
        },
        { maxAttempts: 2 },
      ),
      handlerOf('test.names', async (input, ctx) => ctx.step(String(input), async () => 1)),
      handlerOf('test.stranger', async (input, ctx) => ctx.waitFor(String(input))),
      handlerOf(
        'test.meets',
        async (input, ctx) => {
          const other = { handler: 'test.echo', unique_key: String(input), run_at: '2999-01-01T00:00:00Z' }
          const met = await ctx.dispatch('other', other)
          const mine = await ctx.dispatch('mine', { ...other, unique_key: `${input} of mine` })
          const again = await ctx.dispatch('again', { ...other, unique_key: `${input} of mine` })
          if (ctx.attempt === 1) throw new Error('after the dispatches')
          return [met, mine, again]
        },
        { maxAttempts: 2 },
      ),
      handlerOf('test.late', async (input, ctx) => {
        const dispatch = (name: string) =>
          ctx.dispatch(name, { handler: 'test.echo', input: name }).then(
            () => note(`${name} dispatched`),
            (error: unknown) => note(`${name} ${(error as { code?: string }).code}`),
          )
        await dispatch('before')
        open.set('after the end', () => void dispatch('after the end'))
        // It does not listen to the signal, and catches what it is told.
        await new Promise<void>((resolve) => open.set(String(input), resolve))
        await dispatch('late')
        return 'nevertheless'
      }),
      handlerOf('test.together', async (input, ctx) => {
        const later = { handler: 'test.echo', run_at: '2999-01-01T00:00:00Z' }
        const asked = (input as { name: string; more?: object }[]).map(({ name, more }) =>
          ctx.dispatch(name, { ...later, input: name, ...more }).then(
            ({ id, duplicate }) => ({ name, id, duplicate }),
            (error: { code: string }) => ({ name, refused: error.code }),
          ),
        )
        return Promise.all(asked)
      }),
      handlerOf('test.steps', async (_, ctx) => {
        let did = 0
        const step = (name: string, value: number) =>
          ctx.step(name, async () => {
            did++
            ctx.cost(0.01, 'model')
            return value
          })
        const all = Array.from({ length: 100 }, (_, n) => step(`step ${n}`, n))
        return { answers: await Promise.all([...all, step('step 7', 700), step('step 8', 800)]), did }
      }),
      handlerOf('test.circle', async (input, ctx) => {
        const after = (on: string) => ({ handler: 'test.echo', input, depends_on: [on] })
        const child = await ctx.dispatch('after this one', after(ctx.runId))
        return ctx.waitFor(input === 'far' ? await ctx.dispatch('after that', after(child.id)) : child)
      }),
      handlerOf('test.takes-my-place', async (input, ctx) =>
        ctx.waitFor(
          await ctx.dispatch('next', { handler: 'test.echo', input, unique_key: 'mine', unique_policy: 'replace' }),
        ),
      ),
      handlerOf('test.wrong', async (_, ctx) => ctx.dispatch('x', { handler: 'no.such.handler' })),
    ],
  }
}

type Scenario = (on: { system: TestSystem; by: Dispatcher; work: ReturnType<typeof handlers> }) => Promise<void>
const scenarios: { title: string; run: Scenario }[] = []
const scenario = (title: string, run: Scenario) => scenarios.push({ title, run })

for (const backend of backends())
  test(`tasks that belong together (${backend.name})`, { skip: backend.skip }, async (t) => {
    const work = handlers()
    // One server for all: no scenario names what another one has.
    await using system = await backend.start({ testHandlers: work.list, fakeClock: true })
    const by = await dispatcherOf(system.app, { ...system.admin, role: 'ops' }, { now: system.now })
    for (const { title, run } of scenarios)
      await t.test(title, async () => {
        work.ran.length = 0
        await run({ system, by, work })
      })
    await system.check()
  })

scenario('many are dispatched together or not at all, and the batch tells how far they are', async (on) => {
  const { system, by, work } = on
  type Batched = { id: string; number: number; batch_id: string }[]
  const refused = await system.admin.post<{ code: string }>('/tasks/batch', {
    tasks: [{ handler: 'test.echo' }, { handler: 'no.such.handler' }],
  })
  assert.deepEqual([refused.status, refused.body.code], [422, 'TASK_UNKNOWN_HANDLER'])
  const made = await system.admin.post<Batched>('/tasks/batch', {
    tasks: [
      { handler: 'test.waits', input: 'a' },
      { handler: 'test.echo', input: 'b', depends_on: ['batch:0'] },
      { handler: 'test.fails', input: 'c' },
      { handler: 'test.echo', input: 'd', run_at: '2999-01-01T00:00:00Z' },
    ],
  })
  assert.equal(made.status, 201, JSON.stringify(made.body))
  const [a, b, c, d] = made.body
  const id = a!.batch_id
  assert.ok(made.body.every((one) => one.batch_id === id))
  await by.settled(c!.id)
  await until('a runs', async () => work.ran.includes('a'))
  const progress = async () => {
    const { total, pending, running, completed, failed, cancelled, done } = (
      await system.admin.get<Record<string, number>>(`/batches/${id}`)
    ).body
    return { total, pending, running, completed, failed, cancelled, done }
  }
  assert.deepEqual(await progress(), {
    total: 4,
    pending: 2,
    running: 1,
    completed: 0,
    failed: 1,
    cancelled: 0,
    done: false,
  })
  work.letGo('a')
  await by.settled(b!.id)
  assert.equal((await system.employee.get(`/batches/${id}`)).status, 404)
  // Lists know of it too, for whoever may see it.
  const second = (await system.admin.post<Batched>('/tasks/batch', { tasks: [{ handler: 'test.echo', input: 'e' }] }))
    .body
  await by.settled(second[0]!.id)
  const listed = await system.admin.get<{ id: string; total: number; done: boolean }[]>('/batches')
  assert.deepEqual(
    listed.body.map((one) => [one.id, one.total]),
    [
      [second[0]!.batch_id, 1],
      [id, 4],
    ],
  )
  const page = await system.admin.get<{ items: { id: string }[]; next_cursor: string }>('/batches?limit=1&cursor=')
  const next = await system.admin.get<{ items: { id: string }[]; next_cursor: null }>(
    `/batches?limit=1&cursor=${encodeURIComponent(page.body.next_cursor)}`,
  )
  assert.deepEqual(
    [...page.body.items, ...next.body.items].map((one) => one.id),
    [second[0]!.batch_id, id],
  )
  assert.equal(next.body.next_cursor, null)
  assert.deepEqual((await system.employee.get('/batches')).body, [])
  const numbers = async (batch: string) =>
    (await system.admin.get<{ number: number }[]>(`/tasks?batch=${batch}`)).body.map((one) => one.number)
  assert.deepEqual(await numbers(id), made.body.map((one) => one.number).toReversed())
  assert.deepEqual(await numbers(a!.id), [])
  assert.equal((await system.admin.post(`/batches/${id}/cancel`)).status, 200)
  assert.equal((await by.settled(d!.id)).state, 'cancelled')
  assert.deepEqual(await progress(), {
    total: 4,
    pending: 0,
    running: 0,
    completed: 2,
    failed: 1,
    cancelled: 1,
    done: true,
  })
})

scenario('a task waits until those that it depends on have completed', async ({ by, work }) => {
  const first = await by.dispatch('test.waits', 'first')
  const done = await by.settled((await by.dispatch('test.echo', 'done')).id)
  const after = await by.dispatch('test.echo', 'after', { depends_on: [first.id, done.number] })
  const last = await by.dispatch('test.echo', 'last', { depends_on: [after.number] })
  const held = await by.find(after.id)
  assert.deepEqual(
    [held.state, held.waiting_for, held.depends_on, held.depends_on_policy],
    ['pending', 'dependencies', [first.id, done.id], 'cancel'],
  )
  assert.deepEqual(held.depends_on_numbers, [first.number, done.number])
  await until('the first runs', async () => work.ran.includes('first'))
  work.letGo('first')
  assert.equal((await by.settled(last.id)).state, 'completed')
  assert.deepEqual(work.ran.slice(-2), ['after', 'last'])
  assert.deepEqual(work.ran.toSorted(), ['after', 'done', 'first', 'last'])
  await assert.rejects(by.dispatch('test.echo', {}, { depends_on_policy: 'run' }), { code: 'TASK_DEPENDENCY_INVALID' })
  await assert.rejects(by.dispatch('test.echo', {}, { depends_on: [999_999] }), { code: 'TASK_DEPENDENCY_UNKNOWN' })
  await assert.rejects(by.submit({ handler: 'test.echo', depends_on: ['batch:0'] }), {
    code: 'TASK_DEPENDENCY_UNKNOWN',
  })
})

scenario('when one fails, what depends on it is cancelled with the reason, or runs as it was told to', async (on) => {
  const { by, work } = on
  const gate = await by.dispatch('test.waits', 'gate')
  const fails = await by.dispatch('test.fails', 'fails', { depends_on: [gate.id] })
  const cancelled = await by.dispatch('test.echo', 'never', { depends_on: [fails.id] })
  const chained = await by.dispatch('test.echo', 'nor this', { depends_on: [cancelled.id, gate.id] })
  const anyway = await by.dispatch('test.echo', 'anyway', { depends_on: [fails.id], depends_on_policy: 'run' })
  await until('the gate is held', async () => work.ran.includes('gate'))
  work.letGo('gate')
  assert.equal((await by.settled(anyway.id)).state, 'completed')
  for (const { id } of [cancelled, chained]) {
    const ended = await by.settled(id)
    assert.deepEqual([ended.state, ended.error_code, ended.attempts], ['cancelled', 'DEPENDENCY_FAILED', []])
  }
  assert.match((await by.find(cancelled.id)).error!, new RegExp(fails.id))
  const late = await by.dispatch('test.echo', 'late', { depends_on: [fails.id] })
  assert.equal((await by.settled(late.id)).error_code, 'DEPENDENCY_FAILED')
  assert.deepEqual(work.ran, ['gate', 'fails', 'anyway'])
})

scenario('whoever cancels what others wait for, cancels those', async ({ system, by }) => {
  const later = await by.dispatch('test.echo', 'later', { run_at: '2999-01-01T00:00:00Z' })
  const after = await by.dispatch('test.echo', 'after', { depends_on: [later.id] })
  await by.write((tx) => system.app.tasks.cancel(tx, by.caller, later.id, null))
  assert.equal((await by.settled(after.id)).error_code, 'DEPENDENCY_FAILED')
})

scenario('a parent that waits for its child frees its room, and goes on with its steps done', async (on) => {
  const { system, by, work } = on
  const parent = await by.dispatch('test.parent', 'one', { concurrency_key: 'p' })
  await until('the child runs', async () => work.ran.includes('child of one'))
  await until('the parent waits', async () => (await by.find(parent.id)).waiting_for === 'dependencies')
  const waits = await by.find(parent.id)
  assert.deepEqual([waits.state, waits.attempt], ['pending', 0])
  const [child] = await by.read((tx) =>
    system.app.tasks.list(tx, by.caller, { parent: parent.id }, { limit: 9, skip: 0 }),
  )
  assert.equal(child!.root_run_id, parent.id)
  // Its handler allows one at a time, and its key too: neither is taken.
  const other = await by.dispatch('test.parent', 'other', { concurrency_key: 'p' })
  await until('the other began', async () => work.ran.includes('child of other'))
  await by.write((tx) => system.app.tasks.cancel(tx, by.caller, other.id, null))
  await by.settled(other.id)
  work.letGo('child of one')
  const done = await by.settled(parent.id)
  assert.deepEqual(done.result, {
    first: 40,
    state: 'completed',
    result: 'child of one',
    second: 'failed',
    code: 'TASK_FAILED',
  })
  assert.deepEqual([done.attempt, done.attempts.length], [1, 1])
  assert.deepEqual(done.steps.map(({ name }) => name).sort(), ['add', 'child', 'second'])
  assert.equal(work.ran.filter((one) => one === 'step').length, 2)
  assert.equal(
    (await by.read((tx) => system.app.tasks.list(tx, by.caller, { parent: parent.id }, { limit: 9, skip: 0 }))).length,
    2,
  )
})

scenario('an attempt that failed after a dispatch finds the same child', async ({ system, by, work }) => {
  const parent = await by.dispatch('test.twice', {}, { max_attempts: 2 })
  await until('it failed once', async () => (await by.find(parent.id)).attempts[0]?.outcome === 'failed')
  system.advance(10_000)
  const done = await by.settled(parent.id)
  const child = await by.settled(String(done.result))
  assert.deepEqual(
    [child.parent_run_id, child.parent_run_number, child.result, child.executed_by_id],
    [parent.id, parent.number, 'child of 1', by.caller.userId],
  )
  assert.deepEqual(work.ran, ['child of 1'])
})

scenario('whoever cancels a parent cancels what it dispatched', async ({ system, by, work }) => {
  const parent = await by.dispatch('test.starts')
  await until('a child runs', async () => work.ran.includes('one'))
  await until('the parent waits', async () => (await by.find(parent.id)).waiting_for === 'dependencies')
  const children = await by.read((tx) =>
    system.app.tasks.list(tx, by.caller, { parent: parent.id }, { limit: 9, skip: 0 }),
  )
  assert.equal(children.length, 2)
  // By the number as well as by the id.
  const byNumber = await system.admin.get<{ id: string }[]>(`/tasks?parent=${parent.number}`)
  assert.deepEqual([byNumber.status, byNumber.body.map(({ id }) => id)], [200, children.map(({ id }) => id)])
  assert.equal(byNumber.headers.get('x-total-count'), '2')
  assert.deepEqual((await system.admin.get('/tasks?parent=987654')).body, [])
  await by.write((tx) => system.app.tasks.cancel(tx, by.caller, parent.id, null))
  for (const { id } of [parent, ...children]) assert.equal((await by.settled(id)).state, 'cancelled')
})

scenario('a task that was asked to stop dispatches nothing more, nor does one that has ended', async (on) => {
  const { system, by, work } = on
  const children = (parent: string) =>
    by.read((tx) => system.app.tasks.list(tx, by.caller, { parent }, { limit: 9, skip: 0 }))
  const stopped = await by.dispatch('test.late', 'go on')
  await until('it runs', async () => work.ran.includes('before dispatched'))
  await by.write((tx) => system.app.tasks.cancel(tx, by.caller, stopped.id, 'no more'))
  work.letGo('go on')
  const ended = await by.settled(stopped.id)
  assert.deepEqual([ended.state, ended.error_code, ended.error], ['cancelled', 'CANCELLED', 'Cancelled: no more'])
  assert.deepEqual(
    work.ran.filter((line) => line.includes('late')),
    ['late TASK_STOPPING'],
  )
  assert.equal((await children(stopped.id)).length, 1)

  const done = await by.dispatch('test.late', 'to its end')
  await until('it runs', async () => work.ran.filter((line) => line === 'before dispatched').length === 2)
  work.letGo('to its end')
  assert.equal((await by.settled(done.id)).state, 'completed')
  work.letGo('after the end')
  await until('it was told', async () => work.ran.includes('after the end LEASE_LOST'))
  assert.equal((await children(done.id)).length, 2)
  assert.deepEqual(
    (await by.find(done.id)).steps.map(({ name }) => name),
    ['before', 'late'],
  )
})

scenario('of children that are asked for together each is dispatched once, or refused by itself', async (on) => {
  const { system, by } = on
  const taken = { unique_key: 'taken', run_at: '2999-01-01T00:00:00Z' }
  const other = await by.dispatch('test.echo', 0, taken)
  const many = Array.from({ length: 150 }, (_, i) => ({ name: `child ${i}` }))
  const asked = [
    ...many,
    { name: 'child 7' },
    { name: 'rejected', more: { ...taken, unique_policy: 'reject' } },
    { name: 'met', more: taken },
    { name: 'unknown', more: { handler: 'no.such.handler' } },
    { name: 'after nobody', more: { depends_on: [987_654] } },
    { name: 'first', more: { unique_key: 'of one' } },
    { name: 'same', more: { unique_key: 'of one' } },
    { name: 'under a key', more: { concurrency_key: 'some' } },
  ]
  const done = await by.settled((await by.dispatch('test.together', asked)).id)
  type Answer = { name: string; id?: string; duplicate?: boolean; refused?: string }
  const answers = done.result as Answer[]
  const of = (name: string) => answers.filter((one) => one.name === name)
  assert.equal(of('child 7').length, 2)
  assert.deepEqual(of('child 7')[0], of('child 7')[1])
  assert.deepEqual(of('rejected'), [{ name: 'rejected', refused: 'TASK_DUPLICATE' }])
  assert.deepEqual(of('met'), [{ name: 'met', id: other.id, duplicate: true }])
  assert.deepEqual(of('unknown'), [{ name: 'unknown', refused: 'TASK_UNKNOWN_HANDLER' }])
  assert.deepEqual(of('after nobody'), [{ name: 'after nobody', refused: 'TASK_DEPENDENCY_UNKNOWN' }])
  assert.deepEqual([of('first')[0]!.id, of('same')[0]!.duplicate], [of('same')[0]!.id, true])
  // Each that was not refused is a step, and a child unless somebody else had its key.
  const children = await by.read((tx) =>
    system.app.tasks.list(tx, by.caller, { parent: done.id }, { limit: 999, skip: 0 }),
  )
  assert.deepEqual(
    children.map(({ id }) => id).sort(),
    [...new Set(answers.flatMap(({ id }) => (id === undefined || id === other.id ? [] : [id])))].sort(),
  )
  assert.equal(children.length, 152)
  assert.deepEqual(
    (await by.find(done.id)).steps.map(({ name }) => name).sort(),
    [...new Set(answers.filter(({ id }) => id !== undefined).map(({ name }) => name))].sort(),
  )
})

scenario('steps that end at once are each kept once, with what they cost', async ({ by }) => {
  const several = await by.submit({ handler: 'test.steps' }, { handler: 'test.steps' })
  for (const { id } of several) {
    const done = await by.settled(id)
    const numbers = Array.from({ length: 100 }, (_, n) => n)
    const { answers, did } = done.result as { answers: number[]; did: number }
    assert.deepEqual(answers.slice(9, 100), numbers.slice(9))
    // Of two of one name both are answered what was kept first.
    assert.deepEqual([answers[7], answers[8]], [answers[100], answers[101]])
    assert.equal(done.steps.length, 100)
    // Second ones are done too, unless the first was kept before they were asked for; what is done costs.
    assert.ok(did >= 100 && did <= 102, String(did))
    assert.equal(done.cost_usd, did / 100)
  }
})

scenario('a parent that is to stop is refused its child, and others dispatch theirs beside it', async (on) => {
  const { system, by, work } = on
  const parents = [await by.dispatch('test.late', 'stops'), await by.dispatch('test.late', 'goes on')]
  await until('they run', async () => work.ran.filter((line) => line === 'before dispatched').length === 2)
  await by.write((tx) => system.app.tasks.cancel(tx, by.caller, parents[0]!.id, null))
  for (const label of ['stops', 'goes on']) work.letGo(label)
  const ended = [await by.settled(parents[0]!.id), await by.settled(parents[1]!.id)]
  assert.deepEqual(
    ended.map(({ state, steps }) => [state, steps.map(({ name }) => name)]),
    [
      ['cancelled', ['before']],
      ['completed', ['before', 'late']],
    ],
  )
  assert.deepEqual(work.ran.filter((line) => line.startsWith('late')).sort(), [
    'late',
    'late TASK_STOPPING',
    'late dispatched',
  ])
})

scenario('a task does not wait for what waits for its own end', async ({ system, by, work }) => {
  for (const how of ['near', 'far']) {
    const circle = await by.settled((await by.dispatch('test.circle', how, { max_attempts: 3 })).id)
    assert.deepEqual([circle.state, circle.error_code, circle.attempt], ['failed', 'WAIT_CIRCLE', 1])
    const children = await by.read((tx) =>
      system.app.tasks.list(tx, by.caller, { parent: circle.id }, { limit: 9, skip: 0 }),
    )
    for (const { id } of children) assert.equal((await by.settled(id)).error_code, 'DEPENDENCY_FAILED')
  }
  // One whose place its child takes was asked to stop: it ends as that.
  const replaced = await by.settled((await by.dispatch('test.takes-my-place', 'next', { unique_key: 'mine' })).id)
  assert.deepEqual([replaced.state, replaced.error_code], ['cancelled', 'REPLACED'])
  await until('the child ran', async () => work.ran.includes('next'))
})

scenario('a task waits for its own children only, and a dispatch that is refused says why', async ({ by }) => {
  const stranger = await by.dispatch('test.echo', 'stranger', { run_at: '2999-01-01T00:00:00Z' })
  const curious = await by.settled((await by.dispatch('test.stranger', stranger.id, { max_attempts: 3 })).id)
  assert.deepEqual([curious.state, curious.error_code, curious.attempt], ['failed', 'NOT_A_CHILD', 1])
  const wrong = await by.settled((await by.dispatch('test.wrong', {}, { max_attempts: 3 })).id)
  assert.deepEqual([wrong.state, wrong.error_code, wrong.attempt], ['failed', 'TASK_UNKNOWN_HANDLER', 1])
})

scenario('a dispatch of a handler says of what was there that it was, in later attempts too', async (on) => {
  const { system, by } = on
  const other = await by.dispatch('test.echo', 0, { unique_key: 'met', run_at: '2999-01-01T00:00:00Z' })
  const parent = await by.dispatch('test.meets', 'met')
  await until('it failed once', async () => (await by.find(parent.id)).attempts[0]?.outcome === 'failed')
  system.advance(10_000)
  const done = await by.settled(parent.id)
  const [met, mine, again] = done.result as Submitted[]
  assert.deepEqual(met, { id: other.id, number: other.number, duplicate: true })
  assert.equal(mine!.duplicate, false)
  assert.deepEqual(again, { ...mine, duplicate: true })
})

scenario('a task with the key of a live one is refused, or takes its place', async ({ by, work }) => {
  const key = { unique_key: 'one' }
  const at = { ...key, run_at: '2999-01-01T00:00:00Z' }
  await assert.rejects(by.dispatch('test.echo', {}, { unique_policy: 'reject' }), { code: 'TASK_UNIQUE_INVALID' })
  const first = await by.dispatch('test.echo', 'first', at)
  await assert.rejects(by.dispatch('test.echo', 'no', { ...key, unique_policy: 'reject' }), { code: 'TASK_DUPLICATE' })
  const second = await by.dispatch('test.waits', 'second', { ...key, unique_policy: 'replace' })
  assert.equal(second.duplicate, false)
  const replaced = await by.settled(first.id)
  assert.deepEqual([replaced.state, replaced.error_code], ['cancelled', 'REPLACED'])
  await until('the second runs', async () => work.ran.includes('second'))
  const third = await by.dispatch('test.echo', 'third', { ...key, unique_policy: 'replace' })
  const stopped = await by.settled(second.id)
  assert.deepEqual(
    [stopped.state, stopped.error_code, stopped.error],
    ['cancelled', 'REPLACED', `Task ${third.id} with the same unique key took its place`],
  )
  assert.equal((await by.settled(third.id)).result, 'third')
  const free = await by.dispatch('test.echo', 'free', { ...key, unique_policy: 'reject' })
  assert.equal((await by.settled(free.id)).state, 'completed')
  assert.deepEqual(work.ran, ['second', 'third', 'free'])
})

scenario('what takes a place that is taken again waits for what still runs', async ({ system, by, work }) => {
  const key = { unique_key: 'one' }
  const replaces = { ...key, unique_policy: 'replace' } as const
  const first = await by.dispatch('test.late', 'first', key)
  await until('it runs', async () => work.ran.includes('before dispatched'))
  const second = await by.dispatch('test.echo', 'second', replaces)
  const third = await by.dispatch('test.echo', 'third', replaces)
  assert.equal((await by.settled(second.id)).error_code, 'REPLACED')
  const waits = async (id: string) => {
    const { state, waiting_for } = await by.find(id)
    assert.deepEqual([state, waiting_for], ['pending', 'dependencies'])
  }
  await waits(third.id)
  // Nor does what comes when an operator has cancelled the one that waited.
  await by.write((tx) => system.app.tasks.cancel(tx, by.caller, third.id, null))
  const met = await by.dispatch('test.echo', 'met', key)
  assert.deepEqual([met.id, met.duplicate], [first.id, true])
  await assert.rejects(by.dispatch('test.echo', 'no', { ...key, unique_policy: 'reject' }), { code: 'TASK_DUPLICATE' })
  const fourth = await by.dispatch('test.echo', 'fourth', { ...key, debounce: { wait_ms: 1_000 } })
  const fifth = await by.dispatch('test.echo', 'fifth', replaces)
  assert.equal((await by.settled(fourth.id)).error_code, 'REPLACED')
  await waits(fifth.id)
  work.letGo('first')
  assert.equal((await by.settled(first.id)).error_code, 'REPLACED')
  assert.equal((await by.settled(fifth.id)).result, 'fifth')
  const free = await by.dispatch('test.echo', 'free', { ...key, unique_policy: 'reject' })
  assert.equal((await by.settled(free.id)).result, 'free')
})

scenario('of a batch the first task with a key says what becomes of the live one', async ({ system, by, work }) => {
  type Batched = { id: string; duplicate: boolean }[]
  const key = { handler: 'test.echo', unique_key: 'one' }
  const replaces = { ...key, input: 'replaces', unique_policy: 'replace' }
  const debounced = { ...key, input: 'debounced', debounce: { wait_ms: 5_000 } }
  const first = await by.dispatch('test.waits', 'first', { unique_key: 'one' })
  await until('it runs', async () => work.ran.includes('first'))
  const batch = async (...tasks: object[]) => {
    const { status, body } = await system.admin.post<Batched>('/tasks/batch', { tasks })
    assert.equal(status, 201, JSON.stringify(body))
    return body.map(({ id, duplicate }) => [id, duplicate])
  }
  const answered = [first.id, true]
  assert.deepEqual(await batch({ ...key, input: 'no' }, replaces, debounced), [answered, answered, answered])
  const rejects = { ...key, unique_policy: 'reject' }
  const refused = await system.admin.post<{ code: string }>('/tasks/batch', { tasks: [rejects, replaces] })
  assert.equal(refused.body.code, 'TASK_DUPLICATE')
  assert.equal((await by.find(first.id)).state, 'running')
  const [one, other] = await batch(replaces, { ...key, input: 'no' })
  assert.deepEqual(other, [one![0], true])
  assert.equal((await by.settled(first.id)).error_code, 'REPLACED')
  assert.equal((await by.settled(String(one![0]))).result, 'replaces')
  assert.deepEqual(work.ran, ['first', 'replaces'])
})

scenario('what is debounced runs once, after the last dispatch, with its input', async ({ system, by, work }) => {
  const soon = { unique_key: 'sync', debounce: { wait_ms: 5_000, max_wait_ms: 12_000 } }
  await assert.rejects(by.dispatch('test.echo', 0, { ...soon, run_at: '2999-01-01T00:00:00Z' }), {
    code: 'TASK_UNIQUE_INVALID',
  })
  const sooner = { unique_key: 'sooner', debounce: { wait_ms: 5_000, max_wait_ms: 4_999 } }
  await assert.rejects(by.dispatch('test.echo', 0, sooner), { code: 'TASK_UNIQUE_INVALID' })
  const first = await by.dispatch('test.echo', 'a', soon)
  system.advance(4_000)
  const again = await by.dispatch('test.echo', 'b', { ...soon, concurrency_key: 'ignored' })
  assert.deepEqual([again.id, again.duplicate], [first.id, true])
  system.advance(4_000)
  assert.equal((await by.find(first.id)).state, 'pending')
  await by.dispatch('test.echo', 'c', soon)
  // Nine seconds after the first, twelve are the most: not five more.
  assert.equal(Date.parse((await by.find(first.id)).run_at) - Date.parse((await by.find(first.id)).created_at), 12_000)
  system.advance(4_000)
  const done = await by.settled(first.id)
  assert.deepEqual([done.result, done.input], ['c', 'c'])
  assert.deepEqual(work.ran, ['c'])
  await system.settle()
  const events = await system.admin.get<{ event_type: string }[]>(`/audit/events?resource_id=${first.id}`)
  assert.deepEqual(
    events.body.map(({ event_type }) => event_type),
    ['run.completed', 'run.input_replaced', 'run.input_replaced'],
  )
  const running = await by.dispatch('test.waits', 'running', { unique_key: 'sync' })
  await until('it runs', async () => work.ran.includes('running'))
  const next = await by.dispatch('test.echo', 'next', soon)
  assert.notEqual(next.id, running.id)
  work.letGo('running')
  await by.settled(running.id)
  system.advance(5_000)
  assert.equal((await by.settled(next.id)).result, 'next')
})

scenario(
  'those that are accepted in one transaction are all due in it, whoever of them was first',
  async ({ system, by }) => {
    const task = await system.app.tasks.prepare(by.caller, { handler: 'test.echo', input: 'due' })
    const at = system.now()
    const submitted = await by.write(async (tx) => {
      const all = await system.app.tasks.submit.run(
        tx,
        [0, 5].map((after) => ({ caller: { ...by.caller, at: at + after }, tasks: [task], remember: null })),
      )
      const [one, other] = all.flat()
      const rows = await tx.sql(
        'select run_id from queue where run_id in (?1, ?2) and (ready = 1 or lease_until is not null)',
        [one!.id, other!.id],
      )
      assert.equal(rows.length, 2)
      return all.flat()
    })
    for (const { id } of submitted) await by.settled(id)
  },
)

scenario('what a task of a batch waits for is its own, whatever another with its unique key names', async ({ by }) => {
  const never = await by.dispatch('test.echo', 'never', { run_at: '2999-01-01T00:00:00Z' })
  const keyed = { handler: 'test.echo', unique_key: 'twice in a batch' }
  const [first, again, last] = await by.submit(
    { ...keyed, input: 'first' },
    { ...keyed, input: 'again', depends_on: ['batch:0', never.id] },
    { handler: 'test.echo', input: 'last', depends_on: ['batch:1'] },
  )
  assert.deepEqual([again!.id, again!.duplicate], [first!.id, true])
  assert.equal((await by.settled(last!.id)).state, 'completed')
  const done = await by.settled(first!.id)
  assert.deepEqual([done.result, done.depends_on], ['first', []])
})

scenario(
  'of dispatches that are committed together the last one is debounced, and the last one replaces',
  async (on) => {
    const { system, by, work } = on
    const soon = { unique_key: 'at once', debounce: { wait_ms: 5_000 } }
    const all = await Promise.all(['a', 'b', 'c'].map((input) => by.dispatch('test.echo', input, soon)))
    assert.equal(new Set(all.map(({ id }) => id)).size, 1)
    system.advance(5_000)
    assert.equal((await by.settled(all[0]!.id)).result, 'c')
    const place = { unique_key: 'the place', unique_policy: 'replace', run_at: '2999-01-01T00:00:00Z' } as const
    const rivals = await Promise.all(['x', 'y'].map((input) => by.dispatch('test.echo', input, place)))
    assert.deepEqual(
      rivals.map(({ duplicate }) => duplicate),
      [false, false],
    )
    assert.equal((await by.settled(rivals[0]!.id)).error_code, 'REPLACED')
    assert.equal((await by.find(rivals[1]!.id)).state, 'pending')
    assert.deepEqual(work.ran, ['c'])
  },
)

scenario('a task that has begun keeps its input: what is debounced comes after it', async ({ system, by }) => {
  const key = { unique_key: 'has begun' }
  const begun = await by.dispatch('test.begins', 'old', key)
  await until('it failed once', async () => (await by.find(begun.id)).attempts[0]?.outcome === 'failed')
  const next = await by.dispatch('test.echo', 'new', { ...key, debounce: { wait_ms: 1 } })
  assert.deepEqual([next.id === begun.id, next.duplicate], [false, false])
  assert.equal((await by.find(next.id)).waiting_for, 'dependencies')
  system.advance(10_000)
  assert.deepEqual((await by.settled(begun.id)).result, { first: 'old', input: 'old' })
  assert.equal((await by.settled(next.id)).result, 'new')
})

for (const [how, end] of [
  [
    'is replaced',
    ({ by }) => by.dispatch('test.echo', 'in its place', { unique_key: 'of a parent', unique_policy: 'replace' }),
  ],
  [
    'is drained with its queue',
    ({ system, by }) => by.write((tx) => system.app.tasks.drainQueue(tx, by.caller, 'parents', 9)),
  ],
] satisfies [string, (on: Parameters<Scenario>[0]) => Promise<unknown>][])
  scenario(`what a parent dispatched ends with it when it ${how}`, async (on) => {
    const { system, by, work } = on
    const parent = await by.dispatch('test.starts', {}, { queue: 'parents', unique_key: 'of a parent' })
    await until('a child runs', async () => work.ran.includes('one'))
    await until('the parent waits', async () => (await by.find(parent.id)).waiting_for === 'dependencies')
    await end(on)
    assert.equal((await by.settled(parent.id)).state, 'cancelled')
    const children = await by.read((tx) =>
      system.app.tasks.list(tx, by.caller, { parent: parent.id }, { limit: 9, skip: 0 }),
    )
    assert.equal(children.length, 2)
    for (const { id } of children) assert.equal((await by.settled(id)).state, 'cancelled')
  })

scenario('a step that has no name is refused in words', async ({ by }) => {
  for (const [name, shown] of [
    ['', '""'],
    ['a\nb', '"a\\nb"'],
    ['长'.repeat(101), `"${'长'.repeat(100)}"`],
  ] as const) {
    const task = await by.settled((await by.dispatch('test.names', name, { max_attempts: 3 })).id)
    assert.deepEqual(
      [task.error_code, task.error, task.attempt],
      ['STEP_NAME_INVALID', `${shown} is no name of a step: 1 to 100 characters, in one line`, 1],
    )
  }
  assert.equal((await by.settled((await by.dispatch('test.names', '🏭'.repeat(100))).id)).state, 'completed')
})

scenario('a deadline before the first start is refused, also where debouncing says when that is', async (on) => {
  const { system, by } = on
  const soon = { unique_key: 'too late', debounce: { wait_ms: 5_000 } }
  const at = (ms: number) => ({ ...soon, deadline_at: new Date(system.now() + ms).toISOString() })
  await assert.rejects(by.dispatch('test.echo', {}, at(5_000)), { code: 'TASK_TIMES_INVALID' })
  const kept = await by.dispatch('test.echo', {}, at(6_000))
  system.advance(5_000)
  assert.equal((await by.settled(kept.id)).state, 'completed')
})

scenario('a dead letter is not replayed while its unique key is another’s, or its handler is disabled', async (on) => {
  const { system, by } = on
  const key = { unique_key: 'replayed' }
  const dead = await by.settled((await by.dispatch('test.fails', 'dead', key)).id)
  const lives = await by.dispatch('test.echo', 'lives', { ...key, run_at: '2999-01-01T00:00:00Z' })
  const replay = () => system.admin.post<{ code: string; id: string }>(`/dead-letters/${dead.number}/replay`)
  const code = async () => {
    const { status, body } = await replay()
    return [status, body.code]
  }
  assert.deepEqual(await code(), [409, 'TASK_DUPLICATE'])
  const many = await system.admin.post<{ replayed: unknown[] }>('/dead-letters/replay', { ids: [dead.number] })
  assert.deepEqual(many.body.replayed, [])
  assert.notEqual((await by.find(dead.id)).dead_at, null)
  await by.write((tx) => system.app.tasks.cancel(tx, by.caller, lives.id, null))
  assert.equal((await system.admin.post('/handlers/test.fails/disable')).status, 200)
  assert.deepEqual(await code(), [409, 'HANDLER_DISABLED'])
  assert.equal((await system.admin.post('/handlers/test.fails/enable')).status, 200)
  const again = await replay()
  assert.equal(again.status, 201)
  assert.equal((await by.settled(again.body.id)).replays_run_id, dead.id)
})

scenario('of many what may be replayed is, and the answer says why the others were not', async ({ system, by }) => {
  type Passed = { error_code: string; handler: string | null; count: number; first: { number: number }[] }
  type Answer = { replayed: { replays_run_id: string }[]; not_replayed: Passed[]; left: number }
  const queue = 'many'
  const key = { unique_key: 'one of many' }
  const dead = async (handler: string, input: string, more: object = {}) =>
    by.settled((await by.dispatch(handler, input, { queue, ...more })).id)
  const off = [await dead('test.fails', 'a'), await dead('test.fails', 'b')]
  const busy = await dead('test.breaks', 'c', key)
  const rest = [await dead('test.breaks', 'd'), await dead('test.breaks', 'e')]
  await by.dispatch('test.echo', 'lives', { ...key, run_at: '2999-01-01T00:00:00Z' })
  assert.equal((await system.admin.post('/handlers/test.fails/disable')).status, 200)
  const shown = ({ body: { replayed, not_replayed, left } }: { body: Answer }) => ({
    replayed: replayed.map((one) => one.replays_run_id),
    passed: not_replayed.map((one) => [
      one.error_code,
      one.handler,
      one.count,
      ...one.first.map(({ number }) => number),
    ]),
    left,
  })
  const passed = [
    ['HANDLER_DISABLED', 'test.fails', 2, off[0]!.number, off[1]!.number],
    ['TASK_DUPLICATE', null, 1, busy.number],
  ]
  // A count says so before, and changes nothing.
  const counted = async (path: string, more: object = {}) => {
    const { body } = await system.admin.post<{ count: number; not_replayed: Passed[] }>(path, { queue, ...more })
    return [body.count, shown({ body: { replayed: [], left: 0, ...body } }).passed]
  }
  assert.deepEqual(await counted('/dead-letters/preview'), [5, passed])
  assert.deepEqual(await counted('/tasks/preview', { state: 'failed' }), [5, passed])
  assert.deepEqual(await counted('/tasks/preview', { open: true }), [0, []])
  assert.deepEqual(await counted('/tasks/preview'), [5, []])
  // The oldest of them cannot be, and take none of the room.
  const replay = (limit: number) => system.admin.post<Answer>('/dead-letters/replay', { queue, limit })
  assert.deepEqual(shown(await replay(1)), { replayed: [rest[0]!.id], passed, left: 4 })
  assert.deepEqual(shown(await replay(9)), { replayed: [rest[1]!.id], passed, left: 3 })
  // Nor are they replayed once more because of the state in which they ended.
  const again = await system.admin.post<Answer>('/tasks/replay', { queue, state: 'failed', limit: 9 })
  assert.equal(again.status, 200, JSON.stringify(again.body))
  assert.deepEqual([shown(again).passed, shown(again).replayed], [passed, []])
  assert.equal((await system.admin.post('/handlers/test.fails/enable')).status, 200)
  assert.deepEqual(shown(await replay(2)).replayed, [off[0]!.id, off[1]!.id])
})

scenario(
  'of dead letters that had one unique key a count says that only the first is replayed',
  async ({ system, by }) => {
    const queue = 'alike'
    const dead = async () => by.settled((await by.dispatch('test.fails', 'x', { queue, unique_key: 'alike' })).id)
    const [first, second] = [await dead(), await dead()]
    const { body } = await system.admin.post('/dead-letters/preview', { queue })
    const { id, number } = second
    const passed = [{ error_code: 'TASK_DUPLICATE', handler: null, count: 1, first: [{ id, number }] }]
    assert.deepEqual(body, { count: 2, not_replayed: passed })
    // Held, so that it has not ended before the other is looked at.
    assert.equal((await system.admin.post(`/queues/${queue}/pause`)).status, 200)
    const { body: done } = await system.admin.post<{ replayed: { replays_run_id: string }[]; not_replayed: unknown }>(
      '/dead-letters/replay',
      { queue, limit: 9 },
    )
    assert.deepEqual([done.replayed.map((one) => one.replays_run_id), done.not_replayed], [[first.id], passed])
  },
)

scenario('a task says that it waits for its paused queue, or for its disabled handler', async ({ system, by }) => {
  const queue = 'waited'
  const { admin } = system
  const pause = await admin.post(`/queues/${queue}/pause`, { create: true })
  assert.equal(pause.status, 200)
  const { id } = await by.dispatch('test.echo', 'held', { queue })
  const told = async () => {
    const listed = (await admin.get<{ waiting_for: string }[]>(`/tasks?queue=${queue}`)).body[0]!.waiting_for
    const { waiting_for } = await by.find(id)
    assert.equal(listed, waiting_for)
    return waiting_for
  }
  assert.equal(await told(), 'queue')
  assert.equal((await admin.post('/handlers/test.echo/disable')).status, 200)
  assert.equal(await told(), 'handler')
  assert.equal((await admin.post(`/queues/${queue}/resume`)).status, 200)
  assert.equal(await told(), 'handler')
  assert.equal((await admin.post('/handlers/test.echo/enable')).status, 200)
  assert.equal((await by.settled(id)).waiting_for, null)
})
