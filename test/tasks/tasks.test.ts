import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEvent } from '@writ/api'
import { type Handler, TaskError } from '../../packages/server/src/kinds/task/index.ts'
import { DatabaseUnavailable } from '../../packages/server/src/platform/db/index.ts'
import { backends } from '../backends.ts'
import { type TestSystem, until } from '../test-system.ts'
import { type Dispatcher, dispatcherOf, handlerOf } from './dispatch.ts'

/** Handlers whose ways a test decides: what they were called with, and what they wait for. */
function handlers() {
  const calls: { name: string; runId: string; attempt: number; input: unknown }[] = []
  let open = Promise.withResolvers<void>()
  const note = (name: string, run: Handler['run'], more: Partial<Handler> = {}) =>
    handlerOf(
      name,
      async (input, ctx) => {
        calls.push({ name, runId: ctx.runId, attempt: ctx.attempt, input })
        return run(input, ctx)
      },
      more,
    )
  const wait: Handler['run'] = (_, ctx) => {
    const gone = new Promise<never>((_, reject) => {
      ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason), { once: true })
    })
    return Promise.race([open.promise, gone])
  }
  return {
    calls,
    callsOf: (name: string) => calls.filter((one) => one.name === name),
    /** Lets everything go on that waits in `test.wait` and `test.one`. */
    release: () => {
      open.resolve()
      open = Promise.withResolvers<void>()
    },
    list: [
      note('test.echo', async (input) => input),
      note('test.fails', async (input, ctx) => {
        const { times } = input as { times: number }
        ctx.log(`try ${ctx.attempt}`)
        if (ctx.attempt <= times) throw new TaskError('NOT_YET', `failed the ${ctx.attempt}. time`)
        return 'at last'
      }),
      note('test.refuses', async () => {
        throw new TaskError('NEVER', 'there is no use in trying', { retryable: false })
      }),
      note('test.wait', wait),
      note('test.deaf', () => new Promise(() => {})),
      note('test.one', wait, { concurrency: 1 }),
      note('test.away', async (input) => {
        if (calls.filter((one) => one.name === 'test.away').length === 1)
          throw new DatabaseUnavailable(new Error('gone'))
        return input
      }),
      note('test.pay', async () => 'paid', { sideEffect: 'irreversible' }),
      note('test.circle', async () => {
        const circle: Record<string, unknown> = {}
        circle.self = circle
        return circle
      }),
      note('test.leaks', async () => ({ password: 'correct-horse-battery' })),
    ],
  }
}

const person = (from: { id: string; number: number; username: string }, role: 'admin' | 'ops' | 'dev' = 'ops') => ({
  id: from.id,
  number: from.number,
  username: from.username,
  role,
})

/** Types and details of the events of a run, oldest first, once they are in the log. */
async function eventsOf(system: TestSystem, id: string) {
  await system.settle()
  const page = await system.admin.get<{ event_type: string; details: Record<string, unknown> }[]>(
    `/audit/events?resource_type=run&resource_id=${id}`,
  )
  return page.body.toReversed()
}

for (const backend of backends()) {
  const scenario = (
    title: string,
    run: (on: {
      system: TestSystem
      by: Dispatcher
      work: ReturnType<typeof handlers>
      advance(ms: number): void
    }) => Promise<void>,
    env: Record<string, string> = {},
  ) =>
    test(`${title} (${backend.name})`, { skip: backend.skip }, async () => {
      const work = handlers()
      await using system = await backend.start({ testHandlers: work.list, fakeClock: true, env })
      const by = await dispatcherOf(system.app, person(system.admin), { now: system.now })
      await run({ system, by, work, advance: system.advance })
      work.release()
    })

  scenario('a task is accepted, done and settled with one leaf that commits to its journal', async ({ system, by }) => {
    const { id, number, duplicate } = await by.dispatch(
      'test.echo',
      { hello: 'world' },
      { tags: ['a'], metadata: { n: 1 } },
    )
    assert.equal(duplicate, false)
    const done = await by.settled(id)
    assert.equal(done.state, 'completed')
    assert.deepEqual([done.number, done.input, done.result], [number, { hello: 'world' }, { hello: 'world' }])
    assert.equal(done.output_sha256, '93a23971a914e5eacbf0a8d25154cda309c3c1c72fbb9914d47c60f3cb681588')
    assert.deepEqual([done.tags, done.metadata, done.executed_by_username], [['a'], { n: 1 }, 'admin'])
    assert.deepEqual(
      done.attempts.map(({ attempt, outcome }) => [attempt, outcome]),
      [[1, 'completed']],
    )
    const events = await eventsOf(system, id)
    assert.deepEqual(
      events.map((event) => [event.event_type, event.details.journal_sha256]),
      [['run.completed', done.journal_sha256]],
    )
    await system.check()
  })

  scenario(
    'a failing task is tried again with growing waits, and its history stays',
    async ({ system, by, work, advance }) => {
      const { id } = await by.dispatch('test.fails', { times: 2 }, { max_attempts: 4 })
      await until('it failed once', async () => (await by.find(id)).attempts[0]?.outcome === 'failed')
      const waits = await by.find(id)
      assert.equal(waits.state, 'pending')
      const first = Date.parse(waits.run_at) - Date.parse(waits.attempts[0]!.ended_at!)
      assert.ok(first >= 750 && first <= 1_250, `waits ${first} ms`)
      advance(1_250)
      await until('it failed twice', async () => (await by.find(id)).attempts[1]?.outcome === 'failed')
      const again = await by.find(id)
      const second = Date.parse(again.run_at) - Date.parse(again.attempts[1]!.ended_at!)
      assert.ok(second >= 1_500 && second <= 2_500, `waits ${second} ms`)
      advance(2_500)
      const done = await by.settled(id)
      assert.deepEqual([done.state, done.result, done.attempt], ['completed', 'at last', 3])
      assert.deepEqual(
        done.attempts.map(({ outcome, error_code, error }) => [outcome, error_code, error]),
        [
          ['failed', 'NOT_YET', 'failed the 1. time'],
          ['failed', 'NOT_YET', 'failed the 2. time'],
          ['completed', null, null],
        ],
      )
      assert.equal(done.log, 'try 3')
      assert.equal(work.callsOf('test.fails').length, 3)
      assert.equal((await eventsOf(system, id)).length, 1)
      await system.check()
    },
  )

  scenario(
    'what fails for good is a dead letter; its replay is a new run, and it leaves the list',
    async ({ system, by, advance }) => {
      const { tasks } = system.app
      const exhausted = await by.dispatch('test.fails', { times: 9 }, { max_attempts: 2 })
      const refused = await by.dispatch('test.refuses', {}, { max_attempts: 5 })
      const never = await by.settled(refused.id)
      assert.deepEqual([never.state, never.status, never.attempt, never.error_code], ['failed', 'dead', 1, 'NEVER'])
      const lines = system
        .log()
        .split('\n')
        .filter((line) => line.includes('task is a dead letter'))
      const [said] = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
      assert.deepEqual(
        [said?.run, said?.number, said?.handler, said?.code, said?.trace],
        [refused.id, refused.number, 'test.refuses', 'NEVER', never.trace_id],
      )
      await until('it failed once', async () => (await by.find(exhausted.id)).attempts[0]?.outcome === 'failed')
      advance(1_250)
      const dead = await by.settled(exhausted.id)
      assert.deepEqual([dead.state, dead.status, dead.attempts.length], ['failed', 'dead', 2])
      assert.deepEqual(
        (await by.read((tx) => tasks.listDead(tx, {}, { limit: 9, skip: 0 }))).map((row) => row.id),
        [refused.id, exhausted.id],
      )
      await assert.rejects(
        by.write((tx) => tasks.replayMany(tx, by.caller, {}, 9)),
        { code: 'DEAD_LETTERS_UNFILTERED' },
      )
      const asked = { caller: by.caller, read: by.read, change: by.write }
      await assert.rejects(tasks.purge(asked, {}), { code: 'DEAD_LETTERS_UNFILTERED' })
      const many = await by.write((tx) => tasks.replayMany(tx, by.caller, { error_code: 'NEVER' }, 9))
      assert.deepEqual(
        many.replayed.map((one) => one.replays_run_id),
        [refused.id],
      )
      assert.equal(many.left, 0)
      const again = await by.settled(many.replayed[0]!.id)
      assert.deepEqual(
        [again.state, again.replays_run_id, again.replays_run_number],
        ['failed', refused.id, refused.number],
      )
      await assert.rejects(
        by.write((tx) => tasks.replay(tx, by.caller, refused.id)),
        { code: 'TASK_NOT_DEAD' },
      )
      assert.equal(await by.read((tx) => tasks.countDead(tx, {})), 2)
      assert.deepEqual(await tasks.purge(asked, { queue: 'api' }), { purged: 2 })
      assert.equal(await by.read((tx) => tasks.countDead(tx, {})), 0)
      assert.equal((await by.find(exhausted.id)).state, 'failed')
      assert.deepEqual(
        (await eventsOf(system, refused.id)).map((event) => event.event_type),
        ['run.failed', 'run.replayed'],
      )
      await system.check()
    },
  )

  scenario('an attempt that takes too long is ended, whether its handler listens or not', async ({ system, by }) => {
    const listens = await by.dispatch('test.wait', {}, { timeout_ms: 30 })
    const deaf = await by.dispatch('test.deaf', {}, { timeout_ms: 30 })
    for (const { id } of [listens, deaf]) {
      const done = await by.settled(id)
      assert.deepEqual([done.state, done.error_code, done.status], ['timeout', 'TASK_TIMEOUT', 'dead'])
    }
    assert.match(system.log(), /handler did not stop and is not waited for/)
    await system.check()
  })

  scenario('waiting work is cancelled at once, running work is told to stop', async ({ system, by, work }) => {
    const { tasks } = system.app
    const waits = await by.dispatch('test.echo', {}, { run_at: '2999-01-01T00:00:00Z' })
    const cancelled = await by.write((tx) => tasks.cancel(tx, by.caller, waits.id, 'not needed'))
    assert.deepEqual([cancelled.state, cancelled.error], ['cancelled', 'Cancelled: not needed'])
    const runs = await by.dispatch('test.wait')
    await until('it runs', async () => work.callsOf('test.wait').length === 1)
    assert.equal((await by.find(runs.id)).state, 'running')
    assert.equal((await by.find(runs.id)).status, 'processing')
    const asked = await by.write((tx) => tasks.cancel(tx, by.caller, runs.id, 'wrong switch'))
    assert.notEqual(asked.cancel_requested_at, null)
    const ended = await by.settled(runs.id)
    assert.deepEqual(
      [ended.state, ended.error_code, ended.error, ended.cancel_reason],
      ['cancelled', 'CANCELLED', 'Cancelled: wrong switch', 'wrong switch'],
    )
    assert.equal(ended.attempts[0]?.error, 'Cancelled: wrong switch')
    // Its worker ended it; who asked for that is on record too, once.
    const said = await system.admin.get<AuditEvent[]>('/audit/events?event_type=run.cancel_requested')
    assert.deepEqual(
      said.body.map(({ actor_username, resource_id, action }) => [actor_username, resource_id, action]),
      [['admin', runs.id, `Asked task ${runs.number} to stop: wrong switch`]],
    )
    await assert.rejects(
      by.write((tx) => tasks.cancel(tx, by.caller, runs.id, null)),
      { code: 'TASK_NOT_CANCELLABLE' },
    )
    assert.equal(work.callsOf('test.echo').length, 0)
    await system.check()
  })

  scenario(
    'a task waits for its time, and one whose deadline passes before is settled as timed out',
    async ({ system, by, work, advance }) => {
      const at = (ms: number) => new Date(by.caller.at + ms).toISOString()
      const later = await by.dispatch('test.echo', 'later', { run_at: at(60_000) })
      const expires = await by.dispatch('test.echo', 'late', {
        run_at: at(120_000),
        deadline_at: at(130_000),
        queue: 'shut',
      })
      const short = await by.dispatch('test.echo', 'short', { run_at: at(120_000), ttl_ms: 10_000, queue: 'shut' })
      const both = await by.dispatch('test.echo', 'both', {
        run_at: at(120_000),
        deadline_at: at(130_000),
        ttl_ms: 900_000,
        queue: 'shut',
      })
      for (const { id } of [expires, short, both]) assert.equal((await by.find(id)).deadline_at, at(130_000))
      await by.write((tx) => system.app.tasks.pauseQueue(tx, by.caller, 'shut', {}))
      await assert.rejects(by.dispatch('test.echo', {}, { deadline_at: at(-1) }), { code: 'TASK_TIMES_INVALID' })
      advance(59_999)
      assert.equal((await by.find(later.id)).state, 'pending')
      advance(1)
      assert.equal((await by.settled(later.id)).result, 'later')
      advance(70_000)
      for (const { id } of [expires, short, both]) {
        const late = await by.settled(id)
        assert.deepEqual([late.state, late.error_code, late.attempts], ['timeout', 'DEADLINE_EXCEEDED', []])
      }
      assert.deepEqual(
        work.callsOf('test.echo').map((call) => call.input),
        ['later'],
      )
      await system.check()
    },
  )

  scenario('a paused queue keeps what it has, a drained one cancels what waits', async ({ system, by, work }) => {
    const { tasks } = system.app
    await by.settled((await by.dispatch('test.echo', 0, { queue: 'night' })).id)
    await assert.rejects(
      by.write((tx) => tasks.pauseQueue(tx, by.caller, 'nosuch', {})),
      { code: 'QUEUE_UNKNOWN' },
    )
    await by.write((tx) => tasks.pauseQueue(tx, by.caller, 'night', {}))
    const held = await by.submit(...[1, 2, 3].map((input) => ({ handler: 'test.echo', input, queue: 'night' })))
    assert.equal((await by.read((tx) => tasks.depthOf(tx, 'night')))?.waiting, 3)
    assert.equal(await by.read((tx) => tasks.depthOf(tx, 'nigh')), undefined)
    await by.settled((await by.dispatch('test.echo', 'other')).id)
    assert.deepEqual(
      (await by.read((tx) => tasks.listQueues(tx, { limit: 100, skip: 0, after: undefined }))).map(
        ({ name, waiting, in_flight, paused_at }) => [name, waiting, in_flight, paused_at !== null],
      ),
      [
        ['api', 0, 0, false],
        ['night', 3, 0, true],
      ],
    )
    await by.write((tx) => tasks.cancel(tx, by.caller, held[0]!.id, null))
    await by.write((tx) => tasks.resumeQueue(tx, by.caller, 'night', undefined))
    assert.equal((await by.settled(held[2]!.id)).result, 3)
    await by.write((tx) => tasks.pauseQueue(tx, by.caller, 'night', {}))
    const waits = await by.dispatch('test.echo', 9, { queue: 'night' })
    assert.deepEqual(await by.write((tx) => tasks.drainQueue(tx, by.caller, 'night', 10)), { cancelled: 1, left: 0 })
    assert.equal((await by.settled(waits.id)).state, 'cancelled')
    assert.deepEqual(
      work.callsOf('test.echo').map((call) => call.input),
      [0, 'other', 2, 3],
    )
    await system.check()
  })

  scenario('of one unique key one task lives at a time', async ({ system, by }) => {
    const [first, twin] = await by.submit(
      { handler: 'test.wait', unique_key: 'nightly' },
      { handler: 'test.wait', unique_key: 'nightly' },
    )
    const rival = await by.dispatch('test.wait', {}, { unique_key: 'nightly' })
    assert.deepEqual([first!.duplicate, twin!.duplicate, rival.duplicate], [false, true, true])
    assert.deepEqual([twin!.id, rival.id, rival.number], [first!.id, first!.id, first!.number])
    await by.write((tx) => system.app.tasks.cancel(tx, by.caller, first!.id, null))
    await by.settled(first!.id)
    const next = await by.dispatch('test.echo', {}, { unique_key: 'nightly' })
    assert.equal(next.duplicate, false)
    assert.equal((await by.settled(next.id)).state, 'completed')
    await system.check()
  })

  scenario('a handler that allows one at a time gets one, and others pass it', async ({ by, work }) => {
    const slow = await by.submit(...[1, 2, 3].map(() => ({ handler: 'test.one' })))
    const quick = await by.dispatch('test.echo', 'past')
    await by.settled(quick.id)
    assert.equal(work.callsOf('test.one').length, 1)
    for (const [i, { id }] of slow.entries()) {
      await until('the next one runs', async () => work.callsOf('test.one').length === i + 1)
      work.release()
      await by.settled(id)
    }
  })

  scenario(
    'the urgent goes first',
    async ({ system, by, work }) => {
      const { tasks } = system.app
      await by.settled((await by.dispatch('test.echo', 'first')).id)
      await by.write((tx) => tasks.pauseQueue(tx, by.caller, 'api', {}))
      const all = await by.submit(
        { handler: 'test.echo', input: 'usual' },
        { handler: 'test.echo', input: 'unimportant', priority: -5 },
        { handler: 'test.echo', input: 'urgent', priority: 5 },
      )
      await by.write((tx) => tasks.resumeQueue(tx, by.caller, 'api', undefined))
      for (const { id } of all) await by.settled(id)
      assert.deepEqual(
        work.calls.map((call) => call.input),
        ['first', 'urgent', 'usual', 'unimportant'],
      )
    },
    { WRIT_TASK_CONCURRENCY: '1' },
  )

  scenario('the log says what an irreversible handler is about to do before it does it', async ({ system, by }) => {
    const { id } = await by.dispatch('test.pay')
    await by.settled(id)
    assert.deepEqual(
      (await eventsOf(system, id)).map((event) => event.event_type),
      ['run.started', 'run.completed'],
    )
    await system.check()
  })

  scenario('what is no JSON, too large or secret in a result is dealt with', async ({ system, by }) => {
    assert.equal((await by.settled((await by.dispatch('test.circle')).id)).state, 'failed')
    const large = { text: 'x'.repeat(100_000) }
    const kept = await by.settled((await by.dispatch('test.echo', large)).id)
    assert.deepEqual([kept.input, kept.result], [large, large])
    await assert.rejects(by.dispatch('test.echo', 'x'.repeat(600_000)), { code: 'TASK_INPUT_TOO_LARGE' })
    const leaked = (await by.settled((await by.dispatch('test.leaks')).id)).result as { password: string }
    assert.match(leaked.password, /^\[REDACTED:assigned-secret:[0-9a-f]{8}\]$/)
    await system.check()
  })

  scenario('who dispatched a task sees it, and so do those who see everything', async ({ system, by }) => {
    const { id } = await by.dispatch('test.echo')
    await by.settled(id)
    const own = await dispatcherOf(system.app, person(system.bob, 'dev'), { now: system.now })
    await assert.rejects(own.find(id), { code: 'TASK_VIEW_DENIED' })
    await assert.rejects(own.find('0190a000-0000-7000-8000-00000000000a'), { code: 'TASK_NOT_FOUND' })
    await assert.rejects(own.dispatch('test.nosuch'), { code: 'TASK_UNKNOWN_HANDLER' })
    const mine = await own.dispatch('test.echo')
    assert.equal((await own.settled(mine.id)).executed_by_id, system.bob.id)
    const list = (as: Dispatcher) => as.read((tx) => system.app.tasks.list(tx, as.caller, {}, { limit: 9, skip: 0 }))
    assert.deepEqual(
      (await list(own)).map((row) => row.id),
      [mine.id],
    )
    assert.deepEqual(
      (await list(by)).map((row) => row.id),
      [mine.id, id],
    )
    assert.deepEqual((await system.admin.get('/runs')).body, [])
    await system.settle()
    const events = await system.bob.get<{ items: { type: string; subject: string }[] }>('/events?limit=100&after=0')
    assert.deepEqual(
      events.body.items.map((event) => [event.type, event.subject]),
      [['dev.writ.run.completed.v1', mine.id]],
    )
  })

  scenario(
    'a lease that ran out settles nothing: the work is done again, and settled once',
    async ({ system, by, work, advance }) => {
      const { id } = await by.dispatch('test.wait')
      await until('it runs', async () => work.callsOf('test.wait').length === 1)
      advance(30_001)
      await until('it runs again', async () => work.callsOf('test.wait').length === 2)
      work.release()
      const done = await by.settled(id)
      assert.deepEqual([done.state, done.attempt], ['completed', 2])
      assert.deepEqual(
        done.attempts.map((one) => one.outcome),
        ['lost', 'completed'],
      )
      await until('the first one is refused', async () => system.log().includes('lease lost, nothing settled'))
      await system.check()
    },
  )

  scenario(
    'a store that is away while a task runs is no failure of the task: it is put back, uncounted',
    async ({ system, by, work }) => {
      const { id } = await by.dispatch('test.away', 'again', { max_attempts: 1 })
      const done = await by.settled(id)
      assert.deepEqual([done.state, done.attempt, done.result], ['completed', 1, 'again'])
      assert.deepEqual(
        done.attempts.map((one) => one.outcome),
        ['completed'],
      )
      assert.equal(work.callsOf('test.away').length, 2)
      await system.check()
    },
  )

  scenario(
    'of two projects in one queue the one with less in hand is served next',
    async ({ system, by, work }) => {
      assert.equal((await system.admin.post('/projects', { slug: 'other', name: 'Other' })).status, 201)
      const other = await dispatcherOf(system.app, person(system.admin), { now: system.now, slug: 'other' })
      const many = await by.submit(...Array.from({ length: 20 }, () => ({ handler: 'test.wait' })))
      await until('two run', async () => work.callsOf('test.wait').length === 2)
      const few = await other.dispatch('test.echo', 'mine')
      // Heard of by the worker, which has no room for it yet.
      assert.equal((await other.find(few.id)).state, 'pending')
      work.release()
      await other.settled(few.id)
      assert.ok(work.callsOf('test.wait').length < 6, 'twenty others were not done first')
      for (const [i, { id }] of many.entries()) {
        await until('it runs', async () => work.callsOf('test.wait').length > i)
        work.release()
        await by.settled(id)
      }
    },
    { WRIT_TASK_CONCURRENCY: '2' },
  )

  scenario('a task whose workers are lost again and again is failed', async ({ system, by, work }) => {
    const at = new Date(by.caller.at + 3_600_000).toISOString()
    const [dead, alive] = await by.submit(
      { handler: 'test.echo', input: 'never', run_at: at, max_attempts: 99 },
      { handler: 'test.echo', input: 'once more', run_at: at },
    )
    // Eleven claims of the one and ten of the other that nobody settled.
    for (const [n, id] of [
      [11, dead!.id],
      [10, alive!.id],
    ] as const)
      await by.write((tx) => tx.sql('update queue set attempt = ?1 where run_id = ?2', [n, id]))
    system.advance(3_600_000)
    const done = await by.settled(dead!.id)
    assert.deepEqual([done.state, done.error_code, done.attempt], ['failed', 'DELIVERIES_EXHAUSTED', 12])
    assert.deepEqual(done.attempts.map((one) => one.outcome).slice(-2), ['lost', 'failed'])
    assert.equal((await by.settled(alive!.id)).state, 'completed')
    assert.deepEqual(
      work.callsOf('test.echo').map((call) => call.input),
      ['once more'],
    )
    await system.check()
  })

  scenario(
    'a stopping server hands back what it has not done, uncounted, and the next one does it',
    async ({ system, by, work }) => {
      const all = await by.submit(...[1, 2, 3].map(() => ({ handler: 'test.one' })))
      await until('one runs', async () => work.callsOf('test.one').length === 1)
      await system.stop()
      assert.equal(work.callsOf('test.one').length, 1)
      await system.restart()
      const next = await dispatcherOf(system.app, person(system.admin), { now: system.now })
      for (const [i, { id }] of all.entries()) {
        await until('the next one runs', async () => work.callsOf('test.one').length === i + 2)
        work.release()
        const done = await next.settled(id)
        assert.deepEqual([done.state, done.attempt], ['completed', 1])
      }
      await system.check()
    },
    { WRIT_SHUTDOWN_GRACE_SECONDS: '0' },
  )
}
