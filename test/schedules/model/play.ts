/** Carries out a program against a real server and two schedulers, and holds every answer and all that is shown against the book. */
import assert from 'node:assert/strict'
import type { DueTimes, ScheduleDetail } from '@writ/api'
import { createLog } from '../../../packages/server/src/platform/log.ts'
import { noTracing } from '../../../packages/server/src/platform/tracing.ts'
import { createScheduler, type Scheduler } from '../../../packages/server/src/schedules/index.ts'
import type { Answer as HttpAnswer } from '../../client.ts'
import { carryOut } from '../../play-programs.ts'
import { dispatcherOf, handlerOf } from '../../tasks/dispatch.ts'
import { type Person, type TestSystem, until } from '../../test-system.ts'
import { type Asked, type Book, type Entry, openBook, PLAIN, withWay } from './book.ts'
import { dueTimes, type Times } from './due.ts'
import type { Change, Step, Way } from './program.ts'

/** Nothing of it is ever started: what a schedule dispatched is open until it is called off. */
export const QUEUE = 'held'
export const HANDLERS = ['test.stays', 'test.goes'] as const
const SHOWN_TIMES = 10
const SHOWN_FIRES = 20
const HORIZON = 200 * 86_400_000

const text = (at: number) => new Date(at).toISOString()
const textOrNull = (at: number | null) => (at === null ? null : text(at))

/** @throws Error that says at which order what was seen differs from what is promised */
export async function play(
  system: TestSystem,
  olga: Person,
  steps: readonly Step[],
  tell?: (text: string) => void,
): Promise<void> {
  const player = createPlayer(system, olga)
  await carryOut(steps, player, tell)
  await player.finish()
}

function createPlayer(system: TestSystem, olga: Person) {
  const { admin } = system
  const book: Book = openBook()
  const ids = new Map<Entry, string>()
  let schedulers = createTwo(system)

  async function carryOut(step: Step): Promise<void> {
    const now = system.now()
    switch (step.do) {
      case 'begin':
        await setClock(Date.parse(step.at) - now)
        await restart()
        good(await admin.patch(`/users/${olga.id}`, { is_active: true }))
        system.advance(0)
        return
      case 'restart':
        await restart()
        break
      case 'advance':
        system.advance(step.ms)
        await system.app.db.prepareMonths(system.now())
        await look([])
        break
      case 'set':
        await setClock(step.ms)
        await look([])
        break
      case 'look':
        await look(step.by === 'both' ? ['first', 'second'] : [step.by])
        break
      case 'pass':
        for (let n = 0; n < step.steps; n++) {
          system.advance(step.ms)
          await look(['first'])
        }
        break
      case 'release':
        await release()
        break
      case 'handler':
        book.handler(step.there)
        if (!step.there) system.app.tasks.handlers.remove('test.goes')
        else if (!system.app.tasks.handlers.find('test.goes'))
          system.app.tasks.handlers.add(handlerOf('test.goes', async () => null))
        break
      case 'owner':
        book.people[1]!.active = step.active
        good(await admin.patch(`/users/${olga.id}`, { is_active: step.active }))
        system.advance(0)
        break
      case 'preview':
        await preview(step.way)
        break
      default:
        await ask(step)
    }
    for (const entry of book.living()) await compare(entry)
  }

  async function setClock(ms: number): Promise<void> {
    system.setClock(ms)
    // As is done every minute.
    await system.app.db.prepareMonths(system.now())
  }

  async function restart(): Promise<void> {
    book.restart()
    await system.restart()
    schedulers = createTwo(system)
    await look([])
  }

  async function look(by: readonly ('first' | 'second')[]): Promise<void> {
    // That of the server itself looks all the time, where it cannot be left out: on SQLite.
    const all: readonly ('first' | 'second' | 'own')[] = system.databaseUrl === undefined ? [...by, 'own'] : by
    for (const one of all) book.look(one, system.now())
    await Promise.all(all.map((one) => (one === 'own' ? system.app.scheduler : schedulers[one]).tick()))
    if (all.includes('own'))
      await until('nothing is due', async () => {
        const due = await system.app.db.lookup('select 1 from schedule_due where next_at <= ?1', [system.now()])
        return due.length === 0
      })
  }

  async function release(): Promise<void> {
    book.release()
    for (let left = 1; left > 0; )
      left = good(await admin.post<{ left: number }>(`/queues/${QUEUE}/drain`, { limit: 1_000 })).left
  }

  async function preview(way: Way): Promise<void> {
    const now = system.now()
    const times = { ...withWay(PLAIN, way, now), startsAt: null, endsAt: null }
    const shown = good(await admin.post<DueTimes>('/schedules/preview', bodyOfWay(way, now)))
    assert.deepEqual(shown.next, tenAfter(times, now), 'the times that are shown before there is a schedule')
  }

  async function ask(order: Asked): Promise<void> {
    const now = system.now()
    const entry = order.do === 'add' ? undefined : book.pick(order.schedule)
    const expected = book.carryOut(order, now)
    if (expected === 'skip') return
    const answer = await request(order, entry && ids.get(entry), now)
    const code = answer.status < 300 ? 'done' : (answer.body as { code: string }).code
    assert.equal(code, expected, JSON.stringify(answer.body))
    // What an add answers.
    if (order.do === 'add' && code === 'done') ids.set(book.entries.at(-1)!, (answer.body as ScheduleDetail).id)
  }

  async function request(order: Asked, id: string | undefined, now: number): Promise<HttpAnswer<unknown>> {
    const client = order.who === 0 ? admin : olga
    switch (order.do) {
      case 'add':
        return client.post('/schedules', {
          name: `s${book.entries.length}-${now}`,
          handler: order.handler,
          ...bodyOf(order.change, now),
          ...(order.ttl === null ? {} : { when_running: 'allow' }),
          options: { queue: QUEUE, ...(order.ttl === null ? {} : { ttl_ms: order.ttl }) },
        })
      case 'change': {
        const { ttl } = book.pick(order.schedule)!
        const { priority } = order.change
        return client.patch(`/schedules/${id}`, {
          ...bodyOf(order.change, now),
          ...(ttl === null ? {} : { when_running: 'allow' }),
          ...(priority === undefined ? {} : { name: `renamed-${id}-${priority}` }),
        })
      }
      case 'remove':
        return client.delete(`/schedules/${id}`)
      default:
        return client.post(`/schedules/${id}/${order.do}`)
    }
  }

  async function compare(entry: Entry): Promise<void> {
    const shown = good(await admin.get<ScheduleDetail>(`/schedules/${ids.get(entry)}`))
    const fires = [...entry.fires.values()].sort((a, b) => b.due - a.due).slice(0, SHOWN_FIRES)
    assert.deepEqual(
      {
        state: shown.state,
        cause: shown.paused_cause?.code ?? null,
        next_at: shown.next_at,
        next: shown.next,
        last_due_at: shown.last_due_at,
        owner: shown.owner_id,
        version: shown.version,
        fires: shown.fires.map(({ due_at, outcome, error_code }) => [due_at, outcome, error_code]),
      },
      {
        state: entry.state,
        cause: entry.cause,
        next_at: textOrNull(entry.next),
        next: entry.state === 'active' ? tenAfter(entry.times, system.now()) : [],
        last_due_at: textOrNull(entry.lastDue),
        owner: [admin, olga][entry.owner]!.id,
        version: entry.version,
        fires: fires.map(({ due, outcome, code }) => [text(due), outcome, code]),
      },
      entry.name,
    )
  }

  return {
    carryOut,
    /** Every task that there is was started by a due time or by hand, and none twice; nothing of it is left for the next program. */
    async finish(): Promise<void> {
      const { id: adminId, number, username } = admin
      const by = await dispatcherOf(system.app, { id: adminId, number, username, role: 'admin' }, { now: system.now })
      for (const [entry, id] of ids) {
        const [runs] = await by.read((tx) =>
          tx.sql<{ n: number }>(
            `select count(*) as n from runs where project_id = ?1 and kind = 'task' and cast(trigger as text) like ?2`,
            [tx.project, `%${id}%`],
          ),
        )
        assert.equal(Number(runs!.n), entry.tasks, `tasks of ${entry.name}`)
        if (entry.state !== 'deleted') good(await admin.delete(`/schedules/${id}`))
      }
      await release()
    },
  }
}

/** Two, of which each has a database of its own. */
function createTwo(system: TestSystem): Record<'first' | 'second', Scheduler> {
  const { tasks, db } = system.app
  const on = {
    db,
    clock: { now: system.now, steady: () => 0 },
    log: createLog({ level: 'error', format: 'json' }),
    tasks,
    payloads: { open: () => assert.fail('nothing is sealed') },
    tracing: noTracing,
    pollMs: 1_000,
  }
  return { first: createScheduler(on), second: createScheduler(on) }
}

const tenAfter = (times: Times, now: number): string[] => dueTimes(times, now + 1, now + HORIZON, SHOWN_TIMES).map(text)

function bodyOfWay(way: Way, now: number): Record<string, unknown> {
  if ('cron' in way) return { cron: way.cron, zone: way.zone, dst_gap: way.gap, dst_overlap: way.overlap }
  return 'every' in way ? { every_seconds: way.every } : { at: text(now + way.atIn) }
}

function bodyOf({ way, startsIn, endsIn, catchUp, limit, whenRunning }: Change, now: number): Record<string, unknown> {
  const bound = (asked: number | null) => (asked === null ? null : text(now + asked))
  return {
    ...(way === undefined ? {} : bodyOfWay(way, now)),
    ...(startsIn === undefined ? {} : { starts_at: bound(startsIn) }),
    ...(endsIn === undefined ? {} : { ends_at: bound(endsIn) }),
    ...(catchUp === undefined ? {} : { catch_up: catchUp }),
    ...(limit === undefined ? {} : { catch_up_limit: limit }),
    ...(whenRunning === undefined ? {} : { when_running: whenRunning }),
  }
}

function good<T>(answer: HttpAnswer<T>): T {
  assert.ok(answer.status < 300, JSON.stringify(answer.body))
  return answer.body
}
