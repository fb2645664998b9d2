/** Records of tasks go when their time is over by the policy, with what stood beside them; the log tells of them still. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { AuditEvent, Batch, InsightCounts, Policy, Submitted, Task, Ticket } from '@writ/api'
import { appendOne, SYSTEM } from '../../packages/server/src/audit/index.ts'
import { createTaskRetention } from '../../packages/server/src/kinds/task/index.ts'
import { type Clock, createFakeClock } from '../../packages/server/src/platform/clock.ts'
import { INSTANCE, inProject, remember, type Tx } from '../../packages/server/src/platform/db/index.ts'
import { type Backend, backends } from '../backends.ts'
import { type Dispatcher, dispatcherOf, handlerOf } from '../tasks/dispatch.ts'
import { type TestSystem, until } from '../test-system.ts'
import { dumpTables } from './database.ts'

const DAY = 86_400_000
const LONG = 'a payload that is too long for a row. '.repeat(400)

const handlers = [
  handlerOf('test.fine', async () => 'done'),
  handlerOf('test.echo', async (input) => input),
  handlerOf('test.bad', async () => {
    throw new Error('it cannot be done')
  }),
  handlerOf(
    'test.rich',
    async (_, ctx) => {
      ctx.log('a line of the-secret-of-the-task')
      const one = await ctx.step('part', async () => 'the-secret-of-the-step')
      ctx.cost(0.25, 'the-model')
      if (ctx.attempt === 1) throw new Error('not yet, says the-error-of-the-task')
      return one
    },
    { maxAttempts: 2 },
  ),
  handlerOf('test.parent', async (_, ctx) => {
    await ctx.dispatch('later', { handler: 'test.fine', run_at: '2999-01-01T00:00:00Z' })
    return null
  }),
  handlerOf('test.waiting', async (_, ctx) => {
    await ctx.waitFor(await ctx.dispatch('first', { handler: 'test.fine' }))
    return ctx.waitFor(await ctx.dispatch('later', { handler: 'test.fine', run_at: '2999-01-01T00:00:00Z' }))
  }),
]

interface Place {
  readonly sys: TestSystem
  readonly by: Dispatcher
  /** A task that has ended. */
  ended(handler: string, input?: unknown, more?: object): Promise<Task>
  /** So many days later, everything counted: how many tasks went. */
  later(days: number): Promise<number>
  keep(policy: Pick<Policy, 'completed_task_days' | 'failed_task_days'>): Promise<void>
  code(path: string): Promise<[number, string | undefined]>
  dropped(): Promise<{ count: number; numbers: string; states: object }[]>
}

async function onPlace(backend: Backend, work: (place: Place) => Promise<void>) {
  await using sys = await backend.start({ testHandlers: handlers, fakeClock: true })
  const by = await dispatcherOf(sys.app, { ...sys.admin, role: 'admin' }, { now: sys.now })
  let policy: Policy = (await sys.admin.get<Policy>('/policy')).body
  await work({
    sys,
    by,
    async ended(handler, input = {}, more = {}) {
      return by.settled((await by.dispatch(handler, input, more)).id)
    },
    async later(days) {
      sys.advance(days * DAY)
      await sys.app.db.prepareMonths(sys.now())
      await sys.settle()
      await sys.app.counter.round()
      return sys.app.retention.round(by.project)
    },
    async keep(wanted) {
      const asked = await sys.admin.put<{ state: string; policy: Policy }>('/policy', { ...policy, ...wanted })
      assert.equal(asked.body.state, 'applied', JSON.stringify(asked.body))
      policy = asked.body.policy
    },
    async code(url) {
      const answer = await sys.admin.get<{ code?: string }>(url)
      return [answer.status, answer.body.code]
    },
    async dropped() {
      const { body } = await sys.admin.get<AuditEvent[]>('/audit/events?event_type=tasks.dropped&limit=100')
      return body.map((event) => event.details as { count: number; numbers: string; states: object }).reverse()
    },
  })
  await sys.check()
}

/** As the server's, but for what a test wants otherwise. */
const retentionOf = (
  { app, now }: TestSystem,
  other: { remove?: () => Promise<boolean>; countedUntil?: () => Promise<number>; clock?: Clock },
) =>
  createTaskRetention({
    db: app.db,
    blobs: { remove: other.remove ?? (async () => assert.fail('nothing is to be removed')) },
    clock: other.clock ?? { now, steady: now },
    countedUntil: other.countedUntil ?? (async () => Number.POSITIVE_INFINITY),
  })

const MARKS = 'select what, sha256 from blob_marks where project_id = ?1'
const ANNOUNCED = `select 1 as one from task_payloads where project_id = ?1 and run_id = '' and gone_at = ?2`
const keysOf = (tx: Tx) => tx.sql('select key from idempotency where project_id = ?1', [tx.project])

const total = async (sys: TestSystem) =>
  Number((await sys.admin.get<Task[]>('/tasks?limit=1')).headers.get('x-total-count'))
const blobOf = (sys: TestSystem, project: string, payload: unknown) => {
  const sha256 = createHash('sha256').update(JSON.stringify(payload)).digest('hex')
  const file = `data/blobs/${project}/sha256/${sha256.slice(0, 2)}/${sha256.slice(2, 4)}/${sha256}`
  return { sha256, isThere: () => existsSync(path.join(sys.folder, file)) }
}

const [sqlite, postgres] = backends() as [Backend, Backend]

for (const backend of [sqlite, postgres]) {
  const { name, skip } = backend

  test(
    `${name}: what has ended goes after the days of the policy, by how it ended, and the log says which`,
    { skip },
    () =>
      onPlace(backend, async ({ sys, by, ended, later, keep, code, dropped }) => {
        const one = await ended('test.fine')
        const bad = await ended('test.bad')
        const rich = await by.dispatch('test.rich')
        await until('its first attempt failed', async () => (await by.find(rich.id)).attempts[0]?.outcome === 'failed')
        sys.advance(3_600_000)
        await by.settled(rich.id)
        const batch = await sys.admin.post<Submitted[]>('/tasks/batch', {
          tasks: ['test.fine', 'test.fine', 'test.bad'].map((handler) => ({ handler })),
        })
        for (const { id } of batch.body) await by.settled(id)
        const keyed = { headers: { 'idempotency-key': 'nightly' } }
        const asked = await sys.admin.post<Task>('/tasks', { handler: 'test.fine' }, keyed)
        await by.settled(asked.body.id)
        const insight = `/insight?from=${new Date(sys.now() - DAY).toISOString()}&to=${new Date(sys.now() + DAY).toISOString()}`
        const counted = async () => (await sys.admin.get<{ total: InsightCounts }>(insight)).body.total
        assert.equal(await later(3), 0, 'without a policy everything is kept')
        const { body: policy } = await sys.admin.get<Policy>('/policy')
        const none = await sys.admin.put<{ code: string }>('/policy', { ...policy, completed_task_days: 0 })
        assert.deepEqual([none.status, none.body.code], [422, 'VALIDATION_FAILED'])
        const before = await counted()
        assert.equal(await total(sys), 7)

        await keep({ completed_task_days: 3, failed_task_days: 9 })
        const open = await by.dispatch('test.fine', {}, { run_at: '2999-01-01T00:00:00Z' })
        const young = await ended('test.fine')
        assert.equal(await later(1), 5)
        assert.deepEqual(
          (await dropped()).map(({ count, numbers, states }) => ({ count, numbers, states })),
          [
            {
              count: 5,
              numbers: `${one.number}, ${rich.number}-${rich.number + 2}, ${asked.body.number}`,
              states: { completed: 5 },
            },
          ],
        )
        for (const ref of [one.id, one.number, rich.number])
          assert.deepEqual(await code(`/tasks/${ref}`), [410, 'TASK_DROPPED'])
        const exported = await sys.admin.post<{ code: string }>('/evidence/export', { subject: 'run', id: one.number })
        assert.deepEqual([exported.status, exported.body.code], [410, 'TASK_DROPPED'])
        assert.deepEqual(await code(`/evidence/trail?subject=run&id=${one.id}`), [410, 'TASK_DROPPED'])
        for (const ref of ['0190a000-0000-7000-8000-00000000000a', 999])
          assert.deepEqual(await code(`/tasks/${ref}`), [404, 'TASK_NOT_FOUND'])
        for (const { number } of [bad, open, young]) assert.deepEqual((await code(`/tasks/${number}`))[0], 200)
        assert.equal(await total(sys), 4)
        // Its entry is there, and what was said of it beside that is not.
        const { body: tells } = await sys.admin.get<AuditEvent[]>(`/audit/events?resource_id=${rich.id}`)
        assert.ok(tells.some((event) => event.event_type === 'run.completed'))
        for (const [table, text] of await dumpTables(sys))
          if (!['audit_events'].includes(table)) assert.doesNotMatch(text, /the-(secret|error)-of/, table)
        assert.deepEqual(await counted(), before)
        // What was said under its key is still the answer, and nothing runs anew; numbers are not given again.
        const replay = () => sys.admin.post<Task>('/tasks', { handler: 'test.fine' }, keyed)
        assert.equal((await replay()).body.id, asked.body.id)
        assert.equal((await ended('test.fine')).number, young.number + 1)
        const { body: batches } = await sys.admin.get<Batch[]>('/batches')
        assert.deepEqual(
          batches.map(({ total, failed, completed, done }) => [total, failed, completed, done]),
          [[3, 1, 0, true]],
        )

        assert.equal(await later(9), 4)
        assert.deepEqual((await sys.admin.get<Batch[]>('/batches')).body, [])
        assert.equal(await total(sys), 1)
        assert.equal(await later(1), 0)
        // The key was kept a day longer than the task at least; then the same is another task.
        const anew = await replay()
        assert.equal(anew.status, 201)
        assert.notEqual(anew.body.id, asked.body.id)
        assert.equal((await replay()).body.id, anew.body.id)
        assert.equal((await dropped()).length, 2)
      }),
  )

  test(
    `${name}: what was answered under a key is kept for thirty days, and of a dispatch as long as its task`,
    {
      skip,
    },
    () =>
      onPlace(backend, async ({ sys, later }) => {
        const keyed = { headers: { 'idempotency-key': 'nightly' } }
        const open = () => sys.admin.post<Ticket>('/tickets', { title: 'x' }, keyed)
        const dispatch = () => sys.admin.post<Task>('/tasks', { handler: 'test.fine' }, keyed)
        const [ticket, task] = [(await open()).body, (await dispatch()).body]
        await later(29)
        assert.deepEqual([(await open()).body.id, (await dispatch()).body.id], [ticket.id, task.id])
        await later(2)
        const anew = await open()
        assert.deepEqual([anew.status, anew.body.number], [200, ticket.number + 1])
        assert.equal((await open()).body.id, anew.body.id)
        assert.equal((await dispatch()).body.id, task.id)
      }),
  )

  test(`${name}: what was answered to somebody of no project goes as well`, { skip }, () =>
    onPlace(backend, async ({ sys }) => {
      const { db } = sys.app
      const count = async () => (await inProject(INSTANCE, () => db.read(keysOf))).length
      const answer = { principal: 'p', route: 'users.create', key: 'k', bodySha256: '', status: 200, resourceId: null }
      await inProject(INSTANCE, () => db.write((tx) => remember(tx, sys.now(), [{ ...answer, response: '{}' }])))
      sys.advance(29 * DAY)
      await sys.app.retention.run()
      assert.equal(await count(), 1)
      sys.advance(2 * DAY)
      await sys.app.retention.run()
      assert.equal(await count(), 0)
    }),
  )

  test(`${name}: what is held, what open work needs and what was not counted yet is kept`, { skip }, () =>
    onPlace(backend, async ({ sys, by, ended, later, keep, code }) => {
      await keep({ completed_task_days: 1 })
      const held = await ended('test.fine')
      const parent = await ended('test.parent')
      const waiting = await by.dispatch('test.waiting')
      const children = async (of: number) =>
        (await sys.admin.get<Task[]>(`/tasks?parent=${of}`)).body.sort((a, b) => a.number - b.number)
      while ((await children(waiting.number)).length < 2)
        await by.settled((await children(waiting.number))[0]?.id ?? parent.id)
      const hold = await sys.admin.post<{ id: string }>('/holds', {
        subject_type: 'run',
        subject_id: held.number,
        reason: 'a case',
      })
      assert.equal(hold.status, 201)
      // What insight has not counted stays until it has.
      const uncounted = await ended('test.fine')
      const { db } = sys.app
      const counted = sys.now()
      sys.advance(2 * DAY)
      await db.prepareMonths(sys.now())
      const behind = retentionOf(sys, { countedUntil: async () => counted })
      assert.equal(await behind.round(by.project), 0)
      assert.equal(await later(0), 1)
      assert.deepEqual(await code(`/tasks/${uncounted.number}`), [410, 'TASK_DROPPED'])
      const [first, second] = await children(waiting.number)
      for (const number of [held.number, parent.number, first!.number])
        assert.deepEqual(await code(`/tasks/${number}`), [200, undefined])
      // Each goes when nothing needs it any more.
      assert.equal((await sys.admin.post(`/holds/${hold.body.id}/release`, { reason: 'closed' })).status, 200)
      assert.equal(await later(0), 1)
      const [child] = await children(parent.number)
      for (const { id } of [child!, second!])
        assert.equal((await sys.admin.post(`/tasks/${id}/cancel`, {})).status, 200)
      await by.settled(waiting.id)
      assert.equal(await later(2), 3)
      for (const { number } of [parent, waiting, first!])
        assert.deepEqual(await code(`/tasks/${number}`), [410, 'TASK_DROPPED'])
      // Of a project under hold nothing goes.
      await ended('test.fine')
      const all = await sys.admin.post<{ id: string }>('/holds', { subject_type: 'project', reason: 'another case' })
      assert.equal(await later(2), 0)
      assert.equal((await sys.admin.post(`/holds/${all.body.id}/release`, { reason: 'closed' })).status, 200)
      assert.equal(await later(0), 1)
    }),
  )

  test(`${name}: a payload beside the row goes an hour after the last task that names it`, { skip }, () =>
    onPlace(backend, async ({ sys, by, ended, later, keep }) => {
      await keep({ completed_task_days: 10 })
      const input = { text: LONG }
      const blob = blobOf(sys, by.project, input)
      const round = (hours: number) => {
        sys.advance(hours * 3_600_000)
        return sys.app.retention.round(by.project)
      }
      await ended('test.echo', input)
      assert.ok(blob.isThere())
      await later(5)
      await ended('test.fine', input)
      assert.equal(await later(6), 1)
      await round(2)
      assert.ok(blob.isThere(), 'another names it')
      assert.equal(await later(5), 1)
      await round(0.5)
      assert.ok(blob.isThere(), 'somebody may be about to name it')
      // Who stores it again finds it there, and has an hour from then on.
      await ended('test.bad', input)
      await round(2)
      assert.ok(blob.isThere())
      await keep({ failed_task_days: 1 })
      assert.equal(await later(2), 1)
      await round(2)
      assert.ok(!blob.isThere())
      assert.equal((await dumpTables(sys)).get('task_payloads'), '')
      // An input that was replaced before its task began goes like that of a task that is gone.
      const wait = { unique_key: 'one', debounce: { wait_ms: 60_000 } }
      await by.dispatch('test.fine', input, wait)
      const folded = await by.dispatch('test.fine', { text: `${LONG}!` }, wait)
      await round(2)
      assert.ok(!blob.isThere())
      assert.ok(blobOf(sys, by.project, { text: `${LONG}!` }).isThere())
      assert.deepEqual((await by.settled(folded.id)).input, { text: `${LONG}!` })
      // One that was stored for a task that nobody accepted goes, too.
      const refused = await sys.admin.post('/tasks', { handler: 'test.fine', input, depends_on: [999] })
      assert.equal(refused.status, 422)
      assert.ok(blob.isThere())
      await round(2)
      assert.ok(!blob.isThere())
    }),
  )

  test(`${name}: a removal that was cut off is ended, and whoever stores the same bytes waits for it`, { skip }, () =>
    onPlace(backend, async ({ sys, by, ended, later, keep }) => {
      await keep({ completed_task_days: 1 })
      const input = { text: LONG }
      const blob = blobOf(sys, by.project, input)
      await ended('test.fine', input)
      assert.equal(await later(2), 1)
      sys.advance(2 * 3_600_000)
      const { db } = sys.app
      const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
      const marks = async () =>
        (
          await inProject(by.project, () =>
            db.read((tx) => tx.sql<{ what: string; sha256: string }>(MARKS, [by.project])),
          )
        ).map(({ what, sha256 }) => [what, sha256])
      const broken = retentionOf(sys, { remove: async () => Promise.reject(new Error('the store is away')) })
      await assert.rejects(broken.round(by.project), /the store is away/)
      assert.deepEqual(await marks(), [], 'the next round tries again')
      // One that never ends, as when its process is gone.
      const stopped = retentionOf(sys, {
        remove: () => {
          begin()
          return new Promise(() => {})
        },
      })
      void stopped.round(by.project)
      await begun
      assert.deepEqual(await marks(), [['going', blob.sha256]])
      const task = ended('test.echo', input)
      await until('it is announced', async () => {
        const rows = await inProject(by.project, () => db.read((tx) => tx.sql(ANNOUNCED, [by.project, sys.now()])))
        return rows.length > 0
      })
      await sys.app.retention.round(by.project)
      assert.deepEqual(await marks(), [['going', blob.sha256]], 'its bytes may be gone')
      // Ten minutes later nobody takes it for alive; who waited goes on, and its bytes are there.
      sys.advance(11 * 60_000)
      await sys.app.retention.round(by.project)
      assert.equal((await task).state, 'completed')
      assert.ok(blob.isThere())
      const stored = await sys.admin.get<Task & { input: unknown }>(`/tasks/${(await task).id}`)
      assert.deepEqual(stored.body.input, input)
    }),
  )
}

test('rounds go on when the clock is set back', () =>
  onPlace(sqlite, async ({ sys, keep }) => {
    await keep({ completed_task_days: 3 })
    const clock = createFakeClock(sys.now())
    let rounds = 0
    const retention = retentionOf(sys, {
      clock,
      countedUntil: async () => {
        rounds++
        return 0
      },
    })
    await retention.run()
    clock.set(-5 * 3_600_000)
    await retention.run()
    assert.equal(rounds, 1, 'ten minutes are not over')
    clock.advance(600_000)
    await retention.run()
    assert.equal(rounds, 2)
  }))

test(
  'postgres: who has the login of the server deletes no task that no event tells of',
  {
    skip: postgres.skip,
  },
  () =>
    onPlace(postgres, async ({ sys, by, ended, later }) => {
      const one = await ended('test.fine')
      const open = await by.dispatch('test.fine', {}, { run_at: '2999-01-01T00:00:00Z' })
      await later(0)
      const refused = (ids: readonly string[], count: number | undefined, why: RegExp) =>
        assert.rejects(
          by.write(async (tx) => {
            const event = count === undefined ? 'nothing' : await tell(tx, count)
            await tx.sql('select writ_drop_tasks(?1, ?2)', [ids, event])
          }),
          why,
        )
      const tell = (tx: Tx, count: number) =>
        appendOne(tx, sys.now(), SYSTEM, {
          type: 'tasks.dropped',
          resource: { type: 'project', id: by.project },
          action: 'Dropped',
          details: { count },
        })
      await refused([one.id], undefined, /says that so many tasks are dropped/)
      await refused([one.id], 2, /says that so many tasks are dropped/)
      await refused([one.id, open.id], 2, /of 2 tasks 1 can be dropped/)
      await assert.rejects(
        by.write((tx) => tx.sql('delete from runs where project_id = ?1', [by.project])),
        /permission denied/,
      )
      // An event that is in the log already speaks for nothing that happens later.
      const old = await by.write((tx) => tell(tx, 1))
      await sys.settle()
      await assert.rejects(
        by.write((tx) => tx.sql('select writ_drop_tasks(?1, ?2)', [[one.id], old])),
        /says that so many tasks are dropped/,
      )
      const hold = await sys.admin.post<{ id: string }>('/holds', {
        subject_type: 'run',
        subject_id: one.id,
        reason: 'a case',
      })
      assert.equal(hold.status, 201)
      await refused([one.id], 1, /a legal hold lasts/)
      assert.equal((await sys.admin.get(`/tasks/${one.id}`)).status, 200)
    }),
)
