/** Carries out a program against a real server, and holds what came to everybody who watches against the log. */
import assert from 'node:assert/strict'
import type { EventPage, RunDetail, Ticket } from '@writ/api'
import type { Answer } from '../../client.ts'
import { carryOut } from '../../play-programs.ts'
import { startProxy } from '../../servers/proxy.ts'
import { type Person, type TestSystem, until } from '../../test-system.ts'
import { createBook } from './book.ts'
import type { Act, Order, Place } from './program.ts'
import { startWatcher, type Watcher } from './watchers.ts'

export const SLUGS = ['default', 'elsewhere'] as const
const MOST_WATCHERS = 6
const HALF_AN_HOUR = 1_860_000

/** @param ann a second admin of both projects */
export async function play(
  system: TestSystem,
  ann: Person,
  orders: readonly Order[],
  tell?: (text: string) => void,
): Promise<void> {
  // At an address that stays: it leads to another server after each start.
  const way = await startProxy(() => Number(new URL(system.base).port))
  const player = createPlayer(system, ann, way)
  try {
    await player.begin()
    await carryOut(orders, player, tell)
    await player.finish()
  } finally {
    await player.leave().finally(way.stop)
  }
}

function createPlayer(system: TestSystem, ann: Person, way: Awaited<ReturnType<typeof startProxy>>) {
  const { admin, employee } = system
  const books = [createBook(), createBook()] as const
  const watchers: Watcher[] = []
  const open: (string | undefined)[] = [undefined, undefined]
  /** What was done, by what it was done to: all of it gets into the log. */
  const done = [new Set<string>(), new Set<string>()] as const
  let count = 0
  /** The clock can be moved in this process alone. */
  let isProcess = false

  const inside = (project: Place) => ({ headers: { 'x-project': SLUGS[project] } })
  const pick = (back: number): Watcher | undefined => watchers.at(-1 - (back % Math.max(1, watchers.length)))

  async function carryOut(order: Order): Promise<void> {
    if ((await obey(order)) !== true) await quiet()
  }

  /** True if the next order comes at once. */
  async function obey(order: Order): Promise<unknown> {
    switch (order.do) {
      case 'watch':
        return watch(order)
      case 'act':
        // Side by side, so that commits overtake each other.
        await Promise.all(order.what.map((what) => act(what, order.project)))
        return order.hurry
      case 'say': {
        const sockets = watchers.filter(({ kind, isAsleep }) => kind === 'socket' && !isAsleep)
        return sockets.at(-1 - (order.watcher % Math.max(1, sockets.length)))?.say(order) && order.hurry
      }
      case 'sleep':
        return void pick(order.watcher)?.sleep()
      case 'wake':
        return void pick(order.watcher)?.wake()
      case 'leave': {
        const watcher = pick(order.watcher)
        if (watcher) watchers.splice(watchers.indexOf(watcher), 1)
        return void (await watcher?.leave())
      }
      case 'cut':
        await way.refuse()
        return way.mend()
      case 'expire':
        if (!isProcess) system.advance(HALF_AN_HOUR)
        return
      case 'rotate':
        return void good(await admin.post('/audit/logs/rotate', { reason: 'end of the year' }, inside(order.project)))
      case 'drop':
        return drop(order.project)
      case 'wait':
        return wait(order.end)
      case 'restart':
        return system.restart()
      case 'kill':
        return kill()
    }
  }

  /** In a process of its own, from the first time on. Not where the clock is ahead of that of a process, which would go back with it. */
  async function kill(): Promise<void> {
    if (system.now() > Date.now() + 1_000) return system.restart()
    if (!isProcess) await system.restart({ process: true, fakeClock: false })
    isProcess = true
    await system.kill9()
    await system.restart()
  }

  async function watch({ kind, who, project, from, types }: Extract<Order, { do: 'watch' }>): Promise<void> {
    if (watchers.length === MOST_WATCHERS) return
    const { log } = books[project]
    const behind =
      typeof from === 'number' ? (log.at(-1 - (from % Math.max(1, log.length)))?.sequence ?? '0') : undefined
    const person = who === 'admin' ? admin : employee
    // These are told no place before the first event.
    const now = kind === 'client' || kind === 'pages' ? books[project].end : undefined
    const on = { url: `http://127.0.0.1:${way.port}`, slug: SLUGS[project], token: person.token }
    watchers.push(startWatcher(on, { kind, who, project, types, from: from === 'start' ? '0' : (behind ?? now) }))
  }

  async function act(what: Act, project: Place): Promise<void> {
    const who = project === 0 ? (count++ % 3 === 0 ? system.bob : employee) : admin
    const note = (id: string) => void done[project].add(id)
    const ticket = open[project]
    if (what === 'asset')
      note(
        good(await admin.post<Ticket>('/assets', { name: `Switch ${++count}`, asset_type: 'switch' }, inside(project)))
          .id,
      )
    else if (what === 'tasks') {
      const tasks = Array.from({ length: 20 }, () => ({ handler: 'system.ping', input: {} }))
      good(await admin.post('/tasks/batch', { tasks }, inside(project)))
    } else if (what === 'open' || ticket === undefined) {
      const { id } = good(await who.post<Ticket>('/tickets', { title: `Replace switch ${++count}` }, inside(project)))
      open[project] = id
      note(id)
    } else if (what === 'comment') {
      const said = await admin.post(`/tickets/${ticket}/comments`, { body: '机柜 4 已断电' }, inside(project))
      assert.ok(said.status < 500, JSON.stringify(said.body))
    } else {
      open[project] = undefined
      const said = await admin.post(`/tickets/${ticket}/close`, undefined, inside(project))
      assert.ok(said.status < 500, JSON.stringify(said.body))
    }
  }

  async function drop(project: Place): Promise<void> {
    type Log = { shard: number; closed_at: string | null; dropped_at: string | null }
    const logs = good(await admin.get<Log[]>('/audit/logs?limit=1000', inside(project)))
    const shard = logs
      .filter(({ closed_at, dropped_at }) => closed_at !== null && dropped_at === null)
      .map((log) => log.shard)
      .sort((a, b) => a - b)[0]
    if (shard === undefined) return
    await quiet()
    for (const who of [admin, ann])
      good(await who.post(`/audit/logs/${shard}/drop`, { reason: 'kept long enough' }, inside(project)))
    const { log, gone } = books[project]
    for (const { sequence } of log) if (Number(sequence.split('-')[0]) === shard) gone.add(sequence)
  }

  async function wait(end: Extract<Order, { do: 'wait' }>['end']): Promise<void> {
    const ticket = good(await employee.post<Ticket>('/tickets', { title: `Replace switch ${++count}` }))
    const run = good(await employee.post<RunDetail>('/runs', { run_type: 'proof', ticket_id: ticket.id }))
    const cancel = async () => good(await employee.post(`/runs/${run.id}/cancel`))
    if (end === 'before') await cancel()
    const waiting = employee.get<RunDetail>(`/runs/${run.id}/wait?timeout=${end === 'never' ? 0 : 60}`)
    if (end === 'stop') {
      // The connection may have been closed before the question was on it.
      const [answer] = await Promise.all([waiting.catch(() => undefined), system.restart()])
      if (answer?.status === 200) assert.equal(answer.body.state, 'pending')
      return
    }
    if (end === 'meanwhile') await cancel()
    const { state } = good(await waiting)
    assert.equal(state, end === 'never' ? 'pending' : 'cancelled', `who waited for a run that ended: ${end}`)
  }

  /** Until everybody who is awake has heard of all that happened. */
  async function quiet(): Promise<void> {
    await system.settle()
    for (const project of [0, 1] as const)
      await until('what was done is in the log', async () => {
        await hear(project)
        const subjects = new Set(books[project].log.map(({ subject }) => subject))
        return [...done[project]].every((id) => subjects.has(id))
      })
    for (const watcher of watchers.filter(({ isAsleep }) => !isAsleep)) {
      const fault = () => {
        if (watcher.broken) throw watcher.broken
        const found = books[watcher.project as Place].faultOf(watcher)
        if (found && !found.missing) throw new Error(`${nameOf(watcher)}: ${found.fault}`)
        return found
      }
      await until(nameOf(watcher), async () => {
        // What came may be newer than what was read of the log.
        if (fault()) await hear(watcher.project as Place)
        return fault() === undefined
      }).catch((error: Error) => {
        const found = fault()
        throw found ? new Error(`${nameOf(watcher)}: ${found.fault}`) : error
      })
    }
  }

  const nameOf = ({ kind, who, types, project, from }: Watcher): string =>
    `the ${kind} of ${who} for ${types.join()} in ${SLUGS[project]} from ${from ?? 'then on'}`

  /** The log, as those get it who ask page by page. */
  async function hear(project: Place): Promise<void> {
    const book = books[project]
    for (;;) {
      const { items } = good(await admin.get<EventPage>(`/events?after=${book.end}&limit=1000`, inside(project)))
      if (items.length === 0) return
      for (const { id, sequence, subject = null, data } of items)
        book.add({ id, sequence: sequence!, subject, type: data.event_type, by: data.actor_username })
    }
  }

  return {
    carryOut,
    async begin(): Promise<void> {
      await system.settle()
      for (const project of [0, 1] as const) await hear(project)
    },
    /** Those who sleep as well. */
    async finish(): Promise<void> {
      for (const watcher of watchers) watcher.wake()
      await act('asset', 0)
      await act('asset', 1)
      await quiet()
    },
    async leave(): Promise<void> {
      await Promise.all(watchers.map((watcher) => watcher.leave()))
    },
  }
}

function good<T>(answer: Answer<T>): T {
  assert.ok(answer.status < 300, JSON.stringify(answer.body))
  return answer.body
}
