/** Carries out a program against a real server, waits between its orders until all is said, and hands what it saw to the judge. */
import assert from 'node:assert/strict'
import type { ClaimedTask, Submitted } from '@writ/api'
import * as store from '../../../packages/server/src/kinds/task/store.ts'
import { inProject } from '../../../packages/server/src/platform/db/index.ts'
import type { Answer } from '../../client.ts'
import { type TestSystem, until } from '../../test-system.ts'
import { whyItWaits } from './judge.ts'
import { KEYS, NARROW, type Order, OUTSIDE, PLAIN, QUEUES, RATED, SINGLE, type Wish } from './program.ts'
import { type Input, LEASE_MS, taskOf, type World } from './world.ts'

/** What is known of a task from its dispatch; of those that others dispatch, nothing. */
export interface Asked {
  readonly task: Readonly<Record<string, unknown>>
  readonly at: number
}

/** What the program did to the server and has not undone. */
export interface Standing {
  readonly paused: Set<string>
  readonly limits: Map<string, number>
  readonly off: Set<string>
  /** What operators allow under keys; null is any number. */
  readonly keyLimits: Map<string, number | null>
}

export interface Played {
  readonly world: World
  readonly standing: Standing
  readonly asked: ReadonlyMap<string, Asked>
  /** Of tasks that it was asked to cancel, itself or with others. */
  readonly cancels: ReadonlySet<string>
  readonly rows: readonly store.TaskRow[]
  readonly claims: readonly Claim[]
  readonly now: number
}

export interface Claim {
  readonly run: string
  readonly lease: string
  readonly attempt: number
  readonly at: number
  readonly input: Input
}

export interface PlayOn {
  readonly system: TestSystem
  readonly world: World
  readonly project: string
  /** Before the names of what this program uses. */
  readonly prefix: string
  /** Loses what Redis holds. */
  loseLine?(): Promise<void>
  readonly tell?: (text: string) => void
}

/** Plays all orders, then lets everything end, and answers what there is to judge. */
export async function play(on: PlayOn, orders: readonly Order[]): Promise<Played> {
  const player = await createPlayer(on)
  for (const [i, order] of orders.entries()) {
    on.tell?.(`${i} ${JSON.stringify(order)}`)
    await player.carryOut(order)
  }
  await player.finish()
  return player.played()
}

async function createPlayer(on: PlayOn) {
  const { system, world, project } = on
  const { admin } = system
  const name = (what: string) => `${on.prefix}-${what}`
  const standing: Standing = {
    paused: new Set(),
    limits: new Map(),
    off: new Set(),
    keyLimits: new Map(),
  }
  const asked = new Map<string, Asked>()
  const order: string[] = []
  const cancels = new Set<string>()
  const claims: Claim[] = []
  const stale: Claim[] = []
  const schedules: string[] = []
  let batch: string | undefined
  let labels = 0
  const read = <T>(work: Parameters<typeof system.app.db.read<T>>[0]) =>
    inProject(project, () => system.app.db.read(work))
  const [newest] = await read((tx) => store.listTasks(tx, {}, { limit: 1, skip: 0 }))
  const base = newest?.number ?? 0
  const rowsNow = async () =>
    (await read((tx) => store.listTasks(tx, {}, { limit: 2_000, skip: 0 }))).filter(({ number }) => number > base)
  const played = (rows: readonly store.TaskRow[]): Played => ({
    world,
    standing,
    asked,
    cancels,
    rows,
    claims,
    now: system.now(),
  })

  function expect<T>(answer: Answer<T>, good: number, refusals: readonly string[] = []): T | undefined {
    if (answer.status === good) return answer.body
    const { code } = answer.body as { code?: string }
    assert.ok(code !== undefined && refusals.includes(code), `${answer.status} ${JSON.stringify(answer.body)}`)
    return undefined
  }

  /** Nothing moves any more that could: every task runs and hangs, or waits for something that holds. */
  async function quiet(): Promise<void> {
    let left: string[] = []
    await until(`everything that may start does (${on.prefix})`, async () => {
      const all = played(await rowsNow())
      left = all.rows.flatMap((row) => (whyItWaits(row, all) === undefined ? [describe(row)] : []))
      return left.length === 0
    }).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}\n${left.join('\n')}`)
    })
    world.note({ type: 'quiet' })
  }

  const describe = ({ id, number, handler, queue, state, attempt, run_at, lease_until, ...row }: store.TaskRow) =>
    JSON.stringify({
      ...{ id, number, handler, queue, state, attempt, run_at, lease_until, now: system.now() },
      ...{ waits_for: row.waits_for, admitted: row.admitted, key: row.concurrency_key, parent: row.parent_run_id },
    })

  /** Time passes, for whoever extends leases too; then somebody has looked what fell due. */
  async function advance(ms: number): Promise<void> {
    await quiet()
    await inProject(project, () =>
      system.app.db.write((tx) =>
        tx.sql(
          `update queue set lease_until = lease_until + ?1 where lease_until is not null and substr(queue, 1, 1) <> '@'`,
          [ms],
        ),
      ),
    )
    system.advance(ms)
    for (const claim of claims.splice(0))
      if (claim.at + LEASE_MS > system.now()) claims.push(claim)
      else {
        stale.push(claim)
        world.end(claim.run, claim.attempt, 'lost')
      }
    await swept()
    await quiet()
  }

  /** A task whose time comes is only found by a sweep, so one whose time came and that was done says that there was one. */
  async function swept(): Promise<void> {
    const at = new Date(system.now() + 1).toISOString()
    const made = expect(
      await admin.post<Submitted>('/tasks', {
        handler: 'system.ping',
        queue: name('sweep'),
        run_at: at,
        input: {},
      }),
      201,
    )!
    system.advance(1)
    const done = await admin.get<{ completed_at: string | null }>(`/tasks/${made.id}/wait?timeout=30`)
    assert.notEqual(done.body.completed_at, null, 'nothing is swept')
  }

  const pick = <T>(all: readonly T[], back: number): T | undefined =>
    all.length === 0 ? undefined : all[all.length - 1 - (back % all.length)]

  function wished(wish: Wish, inBatch: boolean): Record<string, unknown> {
    const label = name(`t${labels++}`)
    const after = wish.after?.flatMap((back) =>
      inBatch ? [`batch:${back}`] : order.length === 0 ? [] : [pick(order, back)!],
    )
    return taskOf(wish, { label, name, now: system.now(), after: after && [...new Set(after)] })
  }

  function note(done: Submitted, task: Record<string, unknown>): void {
    if (done.duplicate) return
    asked.set(done.id, { task, at: system.now() })
    order.push(done.id)
  }

  const dispatchRefusals = ['TASK_DUPLICATE', 'HANDLER_DISABLED', 'TASK_UNKNOWN_HANDLER']

  async function dispatch(wish: Wish): Promise<void> {
    const task = wished(wish, false)
    const done = expect(await admin.post<Submitted>('/tasks', task), 201, dispatchRefusals)
    if (done) note(done, task)
  }

  async function dispatchMany(wishes: readonly Wish[]): Promise<void> {
    const tasks = wishes.map((wish) => wished(wish, true))
    const done = expect(await admin.post<(Submitted & { batch_id: string })[]>('/tasks/batch', { tasks }), 201, [
      ...dispatchRefusals,
    ])
    for (const [i, one] of done?.entries() ?? []) note(one, tasks[i]!)
    batch = done?.[0]?.batch_id ?? batch
  }

  /** Whom a cancel may reach: those that the filter takes, and what they dispatched. */
  async function cancelling<T>(takes: (row: store.TaskRow) => boolean, ask: () => Promise<T>): Promise<T> {
    const before = await rowsNow()
    reach(
      before,
      before.filter((row) => open(row) && takes(row)),
    )
    const newest = before[0]?.number ?? base
    const answer = await ask()
    // Others may have dispatched something meanwhile.
    const after = await rowsNow()
    reach(
      after,
      after.filter((row) => row.number > newest && takes(row)),
    )
    return answer
  }

  function reach(rows: readonly store.TaskRow[], first: readonly store.TaskRow[]): void {
    let reached = first.map(({ id }) => id)
    while (reached.length > 0) {
      for (const id of reached) cancels.add(id)
      const above = new Set(reached)
      reached = rows
        .filter((row) => row.parent_run_id !== null && above.has(row.parent_run_id) && !cancels.has(row.id))
        .map(({ id }) => id)
    }
  }

  const open = ({ state }: store.TaskRow) => state === 'pending'

  async function claim(count: number): Promise<void> {
    const queues = Array.from({ length: QUEUES }, (_, n) => name(`q${n}`))
    const body = { worker: 'the program', queues, handlers: [{ name: OUTSIDE }], limit: count }
    const { tasks } = expect(await admin.post<{ tasks: ClaimedTask[] }>('/workers/claim', body), 200)!
    for (const { run_id: run, lease, attempt, input } of tasks) {
      claims.push({ run, lease, attempt, at: system.now(), input: input as Input })
      world.begin(run, attempt, input as Input)
    }
  }

  async function settle(back: number, outcome: 'completed' | 'failed' | 'back'): Promise<void> {
    const old = stale.pop()
    if (old) assert.equal(await says(old, outcome), false, `a lost lease of ${old.run} settles nothing`)
    const claim = pick(claims, back)
    if (!claim) return
    claims.splice(claims.indexOf(claim), 1)
    const how = outcome === 'completed' ? 'ok' : outcome === 'failed' ? 'fail' : 'back'
    // Before the server hears of it: what waited for it begins before we are answered.
    world.end(claim.run, claim.attempt, how)
    assert.equal(await says(claim, outcome), true, `the lease of ${claim.run} settles`)
  }

  async function says({ lease, input }: Claim, outcome: string): Promise<boolean> {
    const more =
      outcome === 'completed' ? { result: input.label } : outcome === 'failed' ? { error: 'not this time' } : {}
    const answer = await admin.post<{ results: { settled: boolean }[] }>('/workers/settle', {
      results: [{ lease, outcome, ...more }],
    })
    return expect(answer, 200)!.results[0]!.settled
  }

  const handlerRefusals = ['HANDLER_UNKNOWN']

  const acts: { [One in Order as One['do']]: (order: One) => Promise<unknown> } = {
    dispatch: ({ wish }) => dispatch(wish),
    batch: ({ wishes }) => dispatchMany(wishes),
    async cancel({ task }) {
      const id = pick(order, task)
      if (id === undefined) return
      const asked = await cancelling(
        (row) => row.id === id,
        () => admin.post(`/tasks/${id}/cancel`, {}),
      )
      if (expect(asked, 200, ['TASK_NOT_CANCELLABLE'])) world.note({ type: 'cancelled', run: id })
    },
    async letGo({ task }) {
      const go = pick([...world.hanging.values()], task)
      go?.()
    },
    async replay({ task }) {
      const dead = (await rowsNow()).filter((row) => row.dead_at !== null && row.purged_at === null)
      const row = pick(dead, task)
      if (!row) return
      expect(await admin.post(`/dead-letters/${row.id}/replay`), 201, dispatchRefusals)
    },
    async advance({ ms }) {
      await advance(ms)
    },
    async pauseQueue({ queue }) {
      expect(await admin.post(`/queues/${name(`q${queue}`)}/pause`, { create: true }), 200)
      standing.paused.add(name(`q${queue}`))
      world.note({ type: 'queue paused', queue: name(`q${queue}`) })
    },
    async resumeQueue({ queue }) {
      world.note({ type: 'queue resuming', queue: name(`q${queue}`) })
      expect(await admin.post(`/queues/${name(`q${queue}`)}/resume`), 200, ['QUEUE_UNKNOWN'])
      standing.paused.delete(name(`q${queue}`))
    },
    async drainQueue({ queue }) {
      const of = name(`q${queue}`)
      const asked = await cancelling(
        (row) => row.queue === of,
        () => admin.post(`/queues/${of}/drain`),
      )
      expect(asked, 200, ['QUEUE_UNKNOWN'])
    },
    async limitQueue({ queue, to }) {
      const of = name(`q${queue}`)
      const create = to !== null
      // Between this and the next sweep either may hold.
      world.note({ type: 'queue limited', queue: of, to: null })
      expect(await admin.put(`/queues/${of}/limit`, { concurrency: to, create }), 200, ['QUEUE_UNKNOWN'])
      if (to === null) standing.limits.delete(of)
      else standing.limits.set(of, to)
      await swept()
      world.note({ type: 'queue limited', queue: of, to })
    },
    async pauseKey({ key, ms }) {
      const of = name(`k${key}`)
      const until = system.now() + ms
      expect(await admin.post('/concurrency-keys/pause', { key: of, until: new Date(until).toISOString() }), 200)
      world.note({ type: 'key paused', key: of, until })
    },
    async resumeKey({ key }) {
      world.note({ type: 'key resuming', key: name(`k${key}`) })
      expect(await admin.post('/concurrency-keys/resume', { key: name(`k${key}`) }), 200)
    },
    async limitKey({ key, to }) {
      const of = name(`k${key}`)
      const idle = !(await rowsNow()).some((row) => row.concurrency_key === of && open(row))
      world.note({ type: 'key limited', key: of, to, idle })
      standing.keyLimits.set(of, to)
      expect(await admin.post('/concurrency-keys/limit', { key: of, concurrency: to, reason: 'a program' }), 200)
    },
    async liftKey({ key }) {
      const of = name(`k${key}`)
      world.note({ type: 'key limited', key: of, to: undefined, idle: false })
      standing.keyLimits.delete(of)
      expect(await admin.post('/concurrency-keys/lift-limit', { key: of }), 200)
    },
    async cancelQueue({ queue }) {
      const of = name(`q${queue}`)
      const asked = await cancelling(
        (row) => row.queue === of,
        () => admin.post('/tasks/cancel', { queue: of, limit: 1_000 }),
      )
      expect(asked, 200)
    },
    async cancelKey({ key }) {
      const of = name(`k${key}`)
      const asked = await cancelling(
        (row) => row.concurrency_key === of,
        () => admin.post('/tasks/cancel', { concurrency_key: of, limit: 1_000 }),
      )
      expect(asked, 200)
    },
    async cancelBatch() {
      if (batch === undefined) return
      const found = await read((tx) => store.findBatch(tx, batch!))
      const asked = await cancelling(
        (row) => row.number >= found!.first_number && row.number <= found!.last_number,
        () => admin.post(`/batches/${batch}/cancel`),
      )
      expect(asked, 200)
    },
    replayDead: async ({ queue }) =>
      expect(await admin.post('/dead-letters/replay', { queue: name(`q${queue}`), limit: 1_000 }), 200),
    replayEnded: async ({ queue }) =>
      expect(await admin.post('/tasks/replay', { queue: name(`q${queue}`), state: 'cancelled', limit: 3 }), 200),
    purge: async ({ queue }) => expect(await admin.post('/dead-letters/purge', { queue: name(`q${queue}`) }), 200),
    async disable({ handler }) {
      if (!expect(await admin.post(`/handlers/${handler}/disable`), 200, handlerRefusals)) return
      standing.off.add(handler)
      world.note({ type: 'disabled', handler })
    },
    async enable({ handler }) {
      world.note({ type: 'enabling', handler })
      expect(await admin.post(`/handlers/${handler}/enable`), 200, handlerRefusals)
      standing.off.delete(handler)
    },
    claim: ({ count }) => claim(count),
    settle: ({ lease, outcome }) => settle(lease, outcome),
    async schedule({ seconds, handler }) {
      const input = { label: name(`s${schedules.length}`), plan: ['ok'] }
      const body = {
        name: name(`s${schedules.length}`),
        handler,
        input,
        options: { queue: name('q0') },
        every_seconds: seconds,
      }
      const made = expect(await admin.post<{ id: string }>('/schedules', body), 201, dispatchRefusals)
      if (made) schedules.push(made.id)
    },
    async changeSchedule({ to }) {
      const id = schedules.at(-1)
      if (id === undefined) return
      if (to === 'delete') {
        expect(await admin.delete(`/schedules/${id}`), 204)
        schedules.pop()
      } else if (to === 'slower')
        expect(await admin.patch(`/schedules/${id}`, { every_seconds: 60 }), 200, ['HANDLER_DISABLED'])
      else expect(await admin.post(`/schedules/${id}/${to}`), 200, ['HANDLER_DISABLED'])
    },
    async restart() {
      await system.restart()
      world.note({ type: 'restarted' })
    },
    async loseLine() {
      await on.loseLine?.()
    },
  }

  /** Nothing holds anything any more, and everything ends. */
  async function finish(): Promise<void> {
    while (schedules.length > 0) await acts.changeSchedule({ do: 'changeSchedule', to: 'delete' })
    for (let queue = 0; queue < QUEUES; queue++) {
      await acts.resumeQueue({ do: 'resumeQueue', queue })
      if (standing.limits.has(name(`q${queue}`))) await acts.limitQueue({ do: 'limitQueue', queue, to: null })
    }
    for (let key = 0; key < KEYS; key++) {
      await acts.resumeKey({ do: 'resumeKey', key })
      await acts.liftKey({ do: 'liftKey', key })
    }
    for (const handler of [PLAIN, SINGLE, RATED, NARROW, OUTSIDE]) await acts.enable({ do: 'enable', handler })
    for (let rounds = 0; (await rowsNow()).some(open); rounds++) {
      assert.ok(rounds < 100, `tasks never end:\n${(await rowsNow()).filter(open).map(describe).join('\n')}`)
      for (const go of [...world.hanging.values()]) go()
      await claim(20)
      while (claims.length > 0) await settle(0, 'completed')
      await advance(29_000)
    }
  }

  let last: Played | undefined
  return {
    carryOut: (one: Order) => acts[one.do](one as never),
    async finish() {
      await finish()
      last = played(await rowsNow())
    },
    played: () => last!,
  }
}
