import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Schedule, ScheduleDetail, Submitted, TaskDetail } from '@writ/api'
import type { Handler } from '../../packages/server/src/kinds/task/index.ts'
import { openDatabase } from '../../packages/server/src/platform/db/index.ts'
import { createLog } from '../../packages/server/src/platform/log.ts'
import { noTracing } from '../../packages/server/src/platform/tracing.ts'
import { createScheduler, forgetOldFires } from '../../packages/server/src/schedules/index.ts'
import { backends } from '../backends.ts'
import { startReceiver } from '../channels/receiver.ts'
import type { Answer } from '../client.ts'
import { type Dispatcher, dispatcherOf, handlerOf } from '../tasks/dispatch.ts'
import { type Person, type TestSystem, until } from '../test-system.ts'

const HOUR = 3_600_000

function handlers() {
  const open = Promise.withResolvers<void>()
  const given: unknown[] = []
  const list: Handler[] = [
    handlerOf('test.noop', async (input) => input),
    handlerOf('test.wait', (_, ctx) => {
      const gone = new Promise<never>((_, reject) => {
        ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason), { once: true })
      })
      return Promise.race([open.promise, gone])
    }),
    handlerOf('test.keep', async (input) => {
      given.push(input)
      return null
    }),
    handlerOf('test.strict', async () => null, {
      input: { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } } as Handler['input'],
    }),
  ]
  return { list, given, release: open.resolve }
}

const good = <T>(answer: Answer<T>): T => {
  assert.ok(answer.status < 300, JSON.stringify(answer.body))
  return answer.body
}
const text = (at: number) => new Date(at).toISOString()

interface On {
  readonly system: TestSystem
  readonly by: Dispatcher
  /** What the handler `test.keep` was called with. */
  readonly given: unknown[]
  /** Adds a schedule; every hour, from an hour from now on, unless said otherwise. */
  add(more: Record<string, unknown>, who?: Person): Promise<ScheduleDetail>
  get(id: string): Promise<ScheduleDetail>
  /** Moves the clock, and waits until everything that is due then was decided. */
  pass(ms: number): Promise<void>
  events(): Promise<{ event_type: string; success: boolean; details: Record<string, unknown> }[]>
}

for (const backend of backends()) {
  const scenario = (title: string, run: (on: On) => Promise<void>) =>
    test(`${title} (${backend.name})`, { skip: backend.skip }, async () => {
      const { list, given, release } = handlers()
      await using system = await backend.start({ testHandlers: list, fakeClock: true })
      const { id, number, username } = system.admin
      const by = await dispatcherOf(system.app, { id, number, username, role: 'admin' }, { now: system.now })
      let names = 0
      await run({
        system,
        by,
        given,
        add: async (more, who = system.admin) =>
          good(
            await who.post<ScheduleDetail>('/schedules', {
              name: `s${++names}`,
              handler: 'test.noop',
              ...('cron' in more || 'at' in more || 'every_seconds' in more
                ? {}
                : { every_seconds: 3_600, starts_at: text(system.now() + HOUR) }),
              ...more,
            }),
          ),
        get: async (schedule) => good(await system.admin.get<ScheduleDetail>(`/schedules/${schedule}`)),
        async pass(ms) {
          system.advance(ms)
          await system.app.scheduler.tick()
          await until('nothing is due', async () => {
            const due = await system.app.db.lookup('select 1 from schedule_due where next_at <= ?1', [system.now()])
            return due.length === 0
          })
        },
        async events() {
          await system.settle()
          const page = await system.admin.get<Awaited<ReturnType<On['events']>>>('/audit/events?resource_type=schedule')
          return page.body.toReversed()
        },
      })
      release()
    })

  scenario(
    'at its time a schedule starts a task in its owner’s name, and says so',
    async ({ system, by, add, get, pass }) => {
      const due = system.now() + HOUR
      const made = await add({
        input: { n: 7 },
        options: { priority: 3, tags: ['nightly'], concurrency_key: '客户 17 🏭' },
      })
      assert.equal(made.next_at, text(due))
      assert.deepEqual(
        made.next,
        Array.from({ length: 10 }, (_, i) => text(due + i * HOUR)),
      )
      await pass(HOUR - 1)
      assert.deepEqual((await get(made.id)).fires, [])
      await pass(1)
      const fired = await get(made.id)
      assert.deepEqual(
        fired.fires.map(({ due_at, outcome, error_code }) => [due_at, outcome, error_code]),
        [[text(due), 'started', null]],
      )
      assert.equal(fired.next_at, text(due + HOUR))
      const task: TaskDetail = await by.settled(fired.last_run_id!)
      assert.deepEqual(
        [task.state, task.input, task.priority, task.tags, task.concurrency_key, task.executed_by_username],
        ['completed', { n: 7 }, 3, ['nightly'], '客户 17 🏭', 'admin'],
      )
      assert.deepEqual(task.metadata.schedule, { id: made.id, name: made.name, due_at: text(due) })
      const [run] = await by.read((tx) =>
        tx.db.selectFrom('runs').select('trigger').where('id', '=', fired.last_run_id!).execute(),
      )
      assert.deepEqual(JSON.parse(run!.trigger), {
        trigger_type: 'schedule',
        schedule_id: made.id,
        triggered_by: system.admin.id,
      })
      await system.check()
    },
  )

  scenario(
    'what is secret in the input reaches the handler, and nobody else',
    async ({ system, by, given, add, get, pass }) => {
      const input = { host: 'sw-1', password: 'correct-horse-battery' }
      const made = await add({ handler: 'test.keep', input })
      await pass(HOUR)
      const { last_run_id, input: shown } = await get(made.id)
      await by.settled(last_run_id!)
      assert.deepEqual(given, [input])
      assert.doesNotMatch(JSON.stringify([made, shown]), /battery/)
      const kept = await by.read((tx) => tx.db.selectFrom('schedules').selectAll().execute())
      assert.doesNotMatch(JSON.stringify(kept), /battery/)
      // Changed in something else, it is still the same input.
      good(await system.admin.patch(`/schedules/${made.id}`, { every_seconds: 7_200 }))
      const now = good(await system.admin.post<Submitted>(`/schedules/${made.id}/trigger`))
      await by.settled(now.id)
      assert.deepEqual(given, [input, input])
    },
  )

  scenario('a schedule of a single time ends with it', async ({ system, add, get, pass }) => {
    const made = await add({ at: text(system.now() + 500) })
    await pass(500)
    const ended = await get(made.id)
    assert.deepEqual([ended.state, ended.next_at, ended.next, ended.fires.length], ['ended', null, [], 1])
    assert.equal((await system.admin.post(`/schedules/${made.id}/resume`)).status, 409)
    // It can still be triggered, with another input too.
    const renamed = good(await system.admin.patch<ScheduleDetail>(`/schedules/${made.id}`, { name: 'once', input: 7 }))
    assert.deepEqual([renamed.name, renamed.state, renamed.next_at, renamed.input], ['once', 'ended', null, 7])
    const past = await system.admin.patch(`/schedules/${made.id}`, { at: text(system.now() - 1) })
    assert.deepEqual(past.status, 422)
    const again = good(
      await system.admin.patch<ScheduleDetail>(`/schedules/${made.id}`, { at: text(system.now() + HOUR) }),
    )
    assert.deepEqual([again.state, again.next_at], ['active', text(system.now() + HOUR)])
  })

  scenario(
    'missed times are dropped, the last is caught up with, or all up to a number',
    async ({ add, get, pass }) => {
      const none = await add({ catch_up: 'none' })
      const last = await add({ catch_up: 'last' })
      const three = await add({ catch_up: 'all', catch_up_limit: 3 })
      const start = Date.parse(none.next_at!)
      // Due at 0, 1, 2, 3 and 4 hours from there; the server looks again half an hour after the last.
      await pass(5.5 * HOUR)
      const times = async (id: string) => (await get(id)).fires.map((fire) => (Date.parse(fire.due_at) - start) / HOUR)
      assert.deepEqual(await times(none.id), [])
      assert.deepEqual(await times(last.id), [4])
      assert.deepEqual(await times(three.id), [4, 3, 2])
      for (const one of [none, last, three]) assert.equal((await get(one.id)).next_at, text(start + 5 * HOUR))
    },
  )

  scenario('while its last run is open a schedule skips, if it is told to', async ({ system, by, add, get, pass }) => {
    const skips = await add({ handler: 'test.wait', when_running: 'skip' })
    const allows = await add({ handler: 'test.wait' })
    await pass(HOUR)
    await pass(HOUR)
    const outcomes = async (id: string) => (await get(id)).fires.map((fire) => fire.outcome)
    assert.deepEqual(await outcomes(skips.id), ['skipped', 'started'])
    assert.deepEqual(await outcomes(allows.id), ['started', 'started'])
    const { last_run_id, fires } = await get(skips.id)
    assert.equal(fires[0]!.run_id, last_run_id)
    await by.write((tx) => system.app.tasks.cancel(tx, by.caller, last_run_id!, null))
    await by.settled(last_run_id!)
    await pass(HOUR)
    assert.equal((await outcomes(skips.id))[0], 'started')
  })

  scenario('what became of a time is kept for 90 days, also of one that is not due again', async (on) => {
    const { system, by, add, pass } = on
    const [paused, deleted, active] = [await add({}), await add({}), await add({})]
    await pass(HOUR)
    good(await system.admin.post(`/schedules/${paused.id}/pause`))
    good(await system.admin.delete(`/schedules/${deleted.id}`))
    const kept = async () => {
      const rows = await by.read((tx) => tx.db.selectFrom('schedule_fires').select('schedule_id').execute())
      return [paused, deleted, active].map(({ id }) => rows.filter((row) => row.schedule_id === id).length)
    }
    const days = (count: number) => system.now() - count * 24 * HOUR
    await by.write((tx) =>
      tx.insert(
        'schedule_fires',
        [paused, deleted, active].flatMap(({ id }) =>
          [days(91), days(89)].map((due_at) => ({
            ...{ project_id: tx.project, schedule_id: id, due_at, fired_at: due_at },
            ...{ outcome: 'skipped', run_id: null, error_code: null },
          })),
        ),
      ),
    )
    await forgetOldFires(system.app.db, [{ id: by.project }], system.now())
    assert.deepEqual(await kept(), [2, 2, 3])
    await pass(HOUR)
    assert.deepEqual(await kept(), [2, 2, 3], 'one that is due forgets its own')
  })

  scenario('one that is told to skip does so for what it started before', async ({ system, by, add, get, pass }) => {
    const made = await add({ handler: 'test.wait' })
    await pass(HOUR)
    const { last_run_id } = await get(made.id)
    good(await system.admin.patch(`/schedules/${made.id}`, { when_running: 'skip' }))
    await pass(HOUR)
    const fires = async () => (await get(made.id)).fires.map(({ outcome, run_id }) => [outcome, run_id === last_run_id])
    assert.deepEqual(await fires(), [
      ['skipped', true],
      ['started', true],
    ])
    await by.write((tx) => system.app.tasks.cancel(tx, by.caller, last_run_id!, null))
    await by.settled(last_run_id!)
    await pass(HOUR)
    assert.deepEqual((await fires())[0], ['started', false])
  })

  scenario(
    'two schedulers fire each due time once, whatever the clock does',
    async ({ system, by, add, get, pass }) => {
      const made = await add({ every_seconds: 10, starts_at: text(system.now() + 10_000) })
      const start = Date.parse(made.next_at!)
      const other = system.databaseUrl
        ? await openDatabase({ url: system.databaseUrl }, { now: system.now, steady: () => 0 })
        : system.app.db
      const log = createLog({ level: 'error', format: 'json' })
      const second = createScheduler({
        db: other,
        clock: { now: system.now, steady: () => 0 },
        log,
        tasks: system.app.tasks,
        payloads: { open: () => assert.fail('nothing is sealed') },
        tracing: noTracing,
        pollMs: 1_000,
      })
      try {
        for (let i = 0; i < 12; i++) {
          system.advance(i % 4 === 3 ? 30_000 : 10_000)
          await Promise.all([second.tick(), system.app.scheduler.tick(), second.tick()])
        }
        await pass(0)
        const seconds = async () =>
          (
            await by.read((tx) =>
              tx.db.selectFrom('schedule_fires').select(['due_at', 'run_id']).orderBy('due_at').execute(),
            )
          ).map((fire) => (fire.due_at - start) / 1_000)
        const count = 18
        assert.deepEqual(
          await seconds(),
          Array.from({ length: count }, (_, i) => i * 10),
        )
        // Back by a minute: what was decided stays so, and the next time is not an hour away.
        await pass(-60_000)
        await second.tick()
        assert.deepEqual(Date.parse((await get(made.id)).next_at!) - system.now(), 10_000)
        await pass(60_000)
        assert.equal((await seconds()).length, count)
        await pass(10_000)
        assert.equal((await seconds()).length, count + 1)
        const runs = await by.read((tx) => tx.db.selectFrom('runs').select('id').where('kind', '=', 'task').execute())
        assert.equal(runs.length, count + 1)
      } finally {
        if (other !== system.app.db) await other.close()
      }
    },
  )

  scenario(
    'who may not dispatch any more starts nothing: the schedule is paused, with an alarm',
    async ({ system, add, get, pass, events }) => {
      const olga = await system.hire('olga', 'ops')
      const made = await add({}, olga)
      assert.equal(made.owner_id, olga.id)
      good(await system.admin.patch(`/users/${olga.id}`, { is_active: false }))
      await pass(HOUR)
      const paused = await get(made.id)
      assert.deepEqual([paused.state, paused.next_at, paused.fires], ['paused', null, []])
      const denied = { code: 'owner_denied', refusals: null, error_code: null }
      assert.deepEqual(paused.paused_cause, denied)
      assert.deepEqual([paused.paused_by_id, paused.paused_at !== null], [null, true])
      const alarm = (await events()).at(-1)!
      assert.deepEqual([alarm.event_type, alarm.success, alarm.details.owner_id], ['schedule.paused', false, olga.id])
      assert.deepEqual(alarm.details.cause, denied)
      const resumed = good(await system.admin.post<ScheduleDetail>(`/schedules/${made.id}/resume`))
      assert.deepEqual([resumed.state, resumed.owner_id, resumed.paused_cause], ['active', system.admin.id, null])
      await pass(HOUR)
      assert.equal((await get(made.id)).fires[0]!.outcome, 'started')
    },
  )

  scenario(
    'a schedule whose handler is gone says so ten times, and is paused',
    async ({ system, add, get, pass, events }) => {
      const made = await add({ every_seconds: 60 })
      system.app.tasks.handlers.remove('test.noop')
      for (let i = 0; i < 10; i++) await pass(60_000)
      const paused = await get(made.id)
      assert.deepEqual(
        [paused.state, paused.paused_reason],
        ['paused', 'it started nothing 10 times in a row, the last time TASK_UNKNOWN_HANDLER'],
      )
      assert.deepEqual(paused.paused_cause, { code: 'refused', refusals: 10, error_code: 'TASK_UNKNOWN_HANDLER' })
      assert.deepEqual(
        paused.fires.map((fire) => [fire.outcome, fire.error_code]),
        Array.from({ length: 10 }, () => ['refused', 'TASK_UNKNOWN_HANDLER']),
      )
      assert.deepEqual(
        (await events()).map((event) => [event.event_type, event.success]),
        [
          ['schedule.created', true],
          ['schedule.paused', false],
        ],
      )
    },
  )

  scenario(
    'schedules are changed, paused, resumed, triggered and deleted, each with its event',
    async ({ system, by, add, get, pass, events }) => {
      const { admin } = system
      const made = await add({ cron: '30 2 * * *', zone: 'Europe/Berlin' })
      const changed = good(
        await admin.patch<ScheduleDetail>(`/schedules/${made.id}`, { every_seconds: 3_600, input: { n: 1 } }),
      )
      assert.deepEqual(
        [changed.cron, changed.every_seconds, changed.zone, changed.version],
        [null, 3_600, 'Europe/Berlin', 2],
      )
      const paused = good(await admin.post<ScheduleDetail>(`/schedules/${made.id}/pause`, { reason: 'holidays' }))
      assert.deepEqual([paused.state, paused.paused_reason, paused.next], ['paused', 'holidays', []])
      assert.equal(paused.paused_cause, null)
      assert.deepEqual([paused.paused_by_id, paused.paused_at !== null], [admin.id, true])
      await pass(3 * HOUR)
      assert.deepEqual((await get(made.id)).fires, [])
      const now = good(await admin.post<Submitted>(`/schedules/${made.id}/trigger`))
      assert.deepEqual((await by.settled(now.id)).input, { n: 1 })
      const resumed = good(await admin.post<ScheduleDetail>(`/schedules/${made.id}/resume`))
      assert.deepEqual([resumed.paused_at, resumed.paused_by_id], [null, null])
      assert.deepEqual((await get(made.id)).fires, [])
      assert.equal((await admin.delete(`/schedules/${made.id}`)).status, 204)
      assert.equal((await admin.get(`/schedules/${made.id}`)).status, 404)
      assert.deepEqual(good(await admin.get<Schedule[]>('/schedules')), [])
      await pass(3 * HOUR)
      const said = await events()
      assert.deepEqual(
        said.map((event) => event.event_type),
        ['schedule.created', 'schedule.updated', 'schedule.paused', 'schedule.resumed', 'schedule.deleted'],
      )
      assert.deepEqual(said[1]!.details.changes, {
        cron: { old: '30 2 * * *', new: null },
        every_seconds: { old: null, new: 3_600 },
        input_sha256: {
          old: '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
          new: '2bfd14f43d17fc7cea24e0917a8879b4b2f880b8baeec1b9d90fbaad655e71bd',
        },
      })
      await system.check()
    },
  )

  scenario(
    'whom a schedule names is told how each of its tasks ended, until it names nobody',
    async ({ system, by, add, get, pass, events }) => {
      await using receiver = await startReceiver()
      const { admin } = system
      const url = `${receiver.url}?token=correct-horse-battery`
      const made = await add({ callback: { url } })
      assert.deepEqual(made.callback, { url: `${receiver.url}?…` })
      await pass(HOUR)
      await until('it was told', async () => receiver.received.length === 1)
      const [first] = receiver.received
      assert.equal(first!.path, '/hook?token=correct-horse-battery')
      assert.equal(first!.event.data.resource_id, (await get(made.id)).last_run_id)
      // What is changed beside it leaves it.
      good(await admin.patch(`/schedules/${made.id}`, { input: { n: 1 }, options: { priority: 1 } }))
      const triggered = good(await admin.post<Submitted>(`/schedules/${made.id}/trigger`))
      await until('it was told again', async () => receiver.received.length === 2)
      assert.equal(receiver.received[1]!.event.data.resource_id, triggered.id)
      assert.equal(good(await admin.patch<ScheduleDetail>(`/schedules/${made.id}`, { callback: null })).callback, null)
      await pass(HOUR)
      const silent = await by.settled((await get(made.id)).last_run_id!)
      assert.deepEqual([silent.state, silent.callback], ['completed', null])
      assert.deepEqual(good(await admin.get('/webhooks')), [])
      const said = (await events()).filter(({ event_type }) => event_type === 'schedule.updated')
      assert.deepEqual((said[1]!.details.changes as Record<string, unknown>).callback, {
        old: `${receiver.url}?…`,
        new: null,
      })
      assert.ok(!JSON.stringify(await events()).includes('correct-horse-battery'))
      const { status, body } = await admin.post<{ code: string }>('/schedules', {
        name: 'inwards',
        handler: 'test.noop',
        every_seconds: 60,
        callback: { url: 'http://10.0.0.1/hook' },
      })
      assert.deepEqual([status, body.code], [422, 'TASK_CALLBACK_REFUSED'])
      assert.equal(receiver.received.length, 2)
      await system.check()
    },
  )

  scenario(
    'a task of a schedule has to end so long after it was due, and what was missed for longer is skipped',
    async ({ system, by, add, get, pass }) => {
      const made = await add({ catch_up: 'all', catch_up_limit: 100, options: { ttl_ms: 2 * HOUR } })
      const due = Date.parse(made.next_at!)
      await pass(HOUR + 30_000)
      const task = await by.find((await get(made.id)).last_run_id!)
      assert.equal(task.deadline_at, text(due + 2 * HOUR))
      // Away for half a day: twelve times were missed, of which the newest two may still be done in time.
      await pass(12 * HOUR)
      const { fires, state } = await get(made.id)
      assert.deepEqual(
        fires.map(({ outcome, error_code }) => `${outcome} ${error_code}`),
        [
          ...['started null', 'started null'],
          ...Array.from({ length: 10 }, () => 'skipped DEADLINE_EXCEEDED'),
          'started null',
        ],
      )
      assert.equal(state, 'active')
      const [newest] = fires
      assert.equal((await by.find(newest!.run_id!)).deadline_at, text(Date.parse(newest!.due_at) + 2 * HOUR))
      // By hand it is counted from now.
      const triggered = good(await system.admin.post<Submitted>(`/schedules/${made.id}/trigger`))
      assert.equal((await by.find(triggered.id)).deadline_at, text(system.now() + 2 * HOUR))
      const short = { name: 'short', handler: 'test.noop', every_seconds: 60, options: { ttl_ms: 999 } }
      assert.equal((await system.admin.post('/schedules', short)).status, 422)
    },
  )

  scenario(
    'of the options of a schedule those change that are said, and null drops one, or all',
    async ({ system, by, add, get, pass, events }) => {
      const { admin } = system
      const change = (body: object) =>
        admin.patch<ScheduleDetail & { errors?: { field: string }[] }>('/schedules/s1', body)
      const starts = system.now() + HOUR
      await add({
        ends_at: text(starts + 5 * HOUR),
        options: {
          ...{ queue: 'night', priority: 3, max_attempts: 2, timeout_ms: 9_000, concurrency_key: 'k', ttl_ms: HOUR },
          ...{ tags: ['a', 'b'], metadata: { room: 1, rack: { unit: 7, side: 'left' }, path: ['x'] } },
        },
      })
      const said = good(
        await change({
          options: {
            ...{ priority: 5, concurrency_key: null, ttl_ms: null, tags: ['c'] },
            ...{ metadata: { rack: { unit: null, row: 2 }, room: null, path: ['y'] } },
          },
        }),
      )
      const kept = { queue: 'night', priority: 5, max_attempts: 2, timeout_ms: 9_000, tags: ['c'] }
      assert.deepEqual(said.options, { ...kept, metadata: { rack: { side: 'left', row: 2 }, path: ['y'] } })
      assert.deepEqual(
        (await events())
          .filter(({ event_type }) => event_type === 'schedule.updated')
          .map(({ details }) => Object.keys(details.changes as object)),
        [['options']],
      )
      await pass(HOUR)
      const task = await by.settled((await get('s1')).last_run_id!)
      assert.deepEqual(
        [task.queue, task.priority, task.concurrency_key, task.deadline_at, task.tags, task.metadata.path],
        ['night', 5, null, null, ['c'], ['y']],
      )
      // What is no option, or no value of one, changes nothing.
      for (const options of [{ priority: 101 }, { queue: '' }, { tags: null, colour: null }, { metadata: [] }, []])
        assert.equal((await change({ options })).status, 422, JSON.stringify(options))
      assert.equal((await get('s1')).version, 2)
      assert.deepEqual(good(await change({ options: { metadata: null } })).options, kept)
      assert.deepEqual(good(await change({ options: {} })).options, kept)
      assert.deepEqual(good(await change({ options: null, ends_at: null })).options, {})
      const unbound = good(await change({ starts_at: null }))
      assert.deepEqual([unbound.starts_at, unbound.ends_at, unbound.options], [null, null, {}])
      const made = { handler: 'test.noop', every_seconds: 60, options: { queue: null } }
      assert.equal((await admin.post('/schedules', { name: 'new', ...made })).status, 422)
      await system.check()
    },
  )

  scenario('what is secret in tags and metadata is in no task of a schedule', async ({ by, add, get, pass }) => {
    const made = await add({ options: { metadata: { note: 'password=correct-horse-battery' } } })
    await pass(HOUR)
    const task = await by.settled((await get(made.id)).last_run_id!)
    assert.match(String(task.metadata.note), /^password=\[REDACTED:assigned-secret/)
    const [row] = await by.read((tx) => tx.db.selectFrom('schedules').select('options').execute())
    assert.ok(!row!.options.includes('correct-horse-battery'))
  })

  scenario('a schedule goes by its name as well as by its id', async ({ system, add, events }) => {
    const { admin } = system
    const made = await add({ name: 'nightly' })
    // A name that looks like the id of another one does not stand in its way.
    const decoy = await add({ name: made.id })
    for (const ref of ['nightly', made.id])
      assert.equal(good(await admin.get<ScheduleDetail>(`/schedules/${ref}`)).id, made.id)
    assert.equal(good(await admin.post<ScheduleDetail>('/schedules/nightly/pause')).state, 'paused')
    assert.equal(good(await admin.post<ScheduleDetail>('/schedules/nightly/resume')).state, 'active')
    good(await admin.post<Submitted>('/schedules/nightly/trigger'))
    assert.equal(good(await admin.patch<ScheduleDetail>('/schedules/nightly', { name: 'daily' })).name, 'daily')
    assert.equal((await admin.get('/schedules/nightly')).status, 404)
    assert.equal((await admin.delete('/schedules/daily')).status, 204)
    assert.equal((await admin.get(`/schedules/${made.id}`)).status, 200, 'its name is that of the other, which is left')
    assert.equal(good(await admin.get<ScheduleDetail>(`/schedules/${made.id}`)).id, decoy.id)
    const said = await events()
    assert.deepEqual(
      said.map(({ event_type }) => event_type.replace('schedule.', '')),
      ['created', 'created', 'paused', 'resumed', 'updated', 'deleted'],
    )
  })

  scenario('while its handler is disabled a schedule gets other times, and no other work', async ({ system, add }) => {
    const { admin } = system
    const { id } = await add({ cron: '30 2 * * *' })
    good(await admin.post('/handlers/test.noop/disable'))
    const change = (body: object) => admin.patch<ScheduleDetail & { code: string }>(`/schedules/${id}`, body)
    const changed = good(await change({ every_seconds: 3_600, name: 'hourly', when_running: 'skip' }))
    assert.deepEqual([changed.cron, changed.every_seconds, changed.name], [null, 3_600, 'hourly'])
    for (const body of [{ handler: 'test.noop' }, { input: { n: 1 } }, { options: { priority: 1 } }]) {
      const answer = await change(body)
      assert.deepEqual([answer.status, answer.body.code], [409, 'HANDLER_DISABLED'], JSON.stringify(body))
    }
    good(await admin.post('/handlers/test.noop/enable'))
    assert.equal(good(await change({ input: { n: 1 } })).version, 3)
  })

  scenario('a cron may begin with its zone, which takes the place of the one before', async ({ system, add }) => {
    const { admin } = system
    const preview = good(
      await admin.post<{ zone: string; next: string[] }>('/schedules/preview', {
        cron: 'CRON_TZ=Asia/Shanghai 0 9 * * *',
        zone: 'Asia/Shanghai',
        after: '2027-03-27T00:00:00Z',
        count: 1,
      }),
    )
    assert.deepEqual(preview, { zone: 'Asia/Shanghai', next: ['2027-03-27T01:00:00.000Z'] })
    const { id, cron, zone } = await add({ cron: ' TZ=Europe/Berlin  @daily ' })
    assert.deepEqual([cron, zone], ['@daily', 'Europe/Berlin'])
    const change = async (body: object) => good(await admin.patch<ScheduleDetail>(`/schedules/${id}`, body))
    const moved = await change({ cron: 'CRON_TZ=America/New_York 30 2 * * *' })
    assert.deepEqual([moved.cron, moved.zone], ['30 2 * * *', 'America/New_York'])
    assert.equal((await change({ cron: '0 3 * * *' })).zone, 'America/New_York')
  })

  scenario('what cannot be is refused, with the reason', async ({ system, add }) => {
    const { admin } = system
    await add({ name: 'taken' })
    const refused = async (body: Record<string, unknown>) => {
      const answer = await admin.post<{ code: string; detail: string }>('/schedules', {
        name: 'x',
        handler: 'test.noop',
        ...body,
      })
      return [answer.status, answer.body.code]
    }
    assert.deepEqual(await refused({ name: 'taken', cron: '* * * * *' }), [409, 'SCHEDULE_NAME_TAKEN'])
    for (const times of [
      {},
      { cron: '* * * * *', every_seconds: 5 },
      { cron: '61 * * * *' },
      { cron: '0 0 30 2 *' },
      { cron: '* * * * *', zone: 'Mars/Olympus' },
      { cron: 'CRON_TZ=Mars/Olympus * * * * *' },
      { cron: 'CRON_TZ=Asia/Shanghai * * * * *', zone: 'Europe/Berlin' },
      { cron: 'CRON_TZ=Asia/Shanghai' },
      { at: text(system.now() - 1) },
      { every_seconds: 60, ends_at: text(system.now() - 1) },
    ])
      assert.deepEqual(await refused(times), [422, 'SCHEDULE_TIMES_INVALID'], JSON.stringify(times))
    assert.deepEqual(await refused({ cron: '* * * * *', handler: 'no.such' }), [422, 'TASK_UNKNOWN_HANDLER'])
    assert.deepEqual(await refused({ cron: '* * * * *', handler: 'test.strict' }), [422, 'TASK_INPUT_INVALID'])
    const preview = good(
      await admin.post<{ zone: string; next: string[] }>('/schedules/preview', {
        cron: '30 2 * * *',
        zone: 'Europe/Berlin',
        dst_gap: 'skip',
        after: '2027-03-27T00:00:00Z',
        count: 2,
      }),
    )
    assert.deepEqual(preview, {
      zone: 'Europe/Berlin',
      next: ['2027-03-27T01:30:00.000Z', '2027-03-29T00:30:00.000Z'],
    })
  })
}

// Where no server has the role, what looks at schedules is begun by hand; on SQLite the one server looks all the time.
const apart = backends().find(({ name }) => name === 'postgres')!

/** A server whose schedules nobody looks at, and what looks at them by a clock that is ahead of its own by `aheadMs`. */
async function startApart() {
  const system = await apart.start({
    testHandlers: handlers().list,
    fakeClock: true,
    env: { WRIT_ROLES: 'api,worker,sequencer' },
  })
  const add = async (more: object) =>
    good(await system.admin.post<ScheduleDetail>('/schedules', { name: 'hourly', handler: 'test.noop', ...more }))
  const get = async ({ id }: { id: string }) => good(await system.admin.get<ScheduleDetail>(`/schedules/${id}`))
  const schedulerOf = (aheadMs: number) =>
    createScheduler({
      db: system.app.db,
      clock: { now: () => system.now() + aheadMs, steady: () => 0 },
      log: createLog({ level: 'error', format: 'json' }),
      tasks: system.app.tasks,
      payloads: { open: () => assert.fail('nothing is sealed') },
      tracing: noTracing,
      pollMs: 20,
    })
  return { system, add, get, schedulerOf }
}

test('what is due when a schedule is changed is done, unless its times are others', { skip: apart.skip }, async () => {
  const { system, add, get, schedulerOf } = await startApart()
  await using _ = system
  const hourly = { every_seconds: 3_600, starts_at: text(system.now() + HOUR) }
  const renamed = await add(hourly)
  const later = await add({ ...hourly, name: 'later' })
  const once = await add({ at: hourly.starts_at, name: 'once' })
  system.advance(2.5 * HOUR)
  for (const { id } of [renamed, once]) good(await system.admin.patch(`/schedules/${id}`, { options: { priority: 7 } }))
  good(await system.admin.patch(`/schedules/${later.id}`, { every_seconds: 1_800 }))
  await schedulerOf(0).tick()
  const fires = async (one: ScheduleDetail) => (await get(one)).fires.map(({ due_at }) => due_at)
  assert.deepEqual(await fires(renamed), [text(Date.parse(hourly.starts_at) + HOUR)])
  assert.deepEqual(await fires(once), [hourly.starts_at])
  assert.deepEqual(await fires(later), [])
})

test('whoever leads again computes anew what another led by a clock that was ahead', { skip: apart.skip }, async () => {
  const { system, add, get, schedulerOf } = await startApart()
  await using _ = system
  const made = await add({ every_seconds: 60, starts_at: text(system.now() + 60_000) })
  const nextAt = async () => Date.parse((await get(made)).next_at!) - Date.parse(made.next_at!)
  const [ours, ahead] = [schedulerOf(0), schedulerOf(5 * HOUR)]
  const leads = async (one: typeof ours, claim: string, holds: () => Promise<boolean>) => {
    const stop = new AbortController()
    const over = one.run(stop.signal)
    await until(claim, holds).finally(() => stop.abort())
    await over
  }
  system.advance(60_000)
  await leads(ours, 'the first time is done', async () => (await nextAt()) === 60_000)
  await leads(ahead, 'hours are caught up with', async () => (await nextAt()) > 4 * HOUR)
  await leads(ours, 'it is next in a minute', async () => (await nextAt()) === 60_000)
})
