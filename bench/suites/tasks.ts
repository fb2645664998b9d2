import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type App, openApp } from '../../packages/server/src/app.ts'
import { loadConfig } from '../../packages/server/src/config.ts'
import { firstIdAt } from '../../packages/server/src/platform/ids.ts'
import { createLog } from '../../packages/server/src/platform/log.ts'
import { startPostgres } from '../../test/servers/postgres.ts'
import { startRedis } from '../../test/servers/redis.ts'
import { checkTasks } from '../../test/tasks/check.ts'
import { type Dispatcher, dispatcherOf, handlerOf } from '../../test/tasks/dispatch.ts'
import { type Figure, median, round } from '../figure.ts'
import {
  drive,
  openBullmq,
  openDbos,
  openGraphile,
  openPgBoss,
  openPlainjob,
  openRestate,
  type Peer,
  pace,
} from '../peers.ts'
import { freshDatabase } from './backlog.ts'

const RUNS = 3
/** Before the first round, for all: what is measured has run for a while. */
const WARM = 20_000
const TASKS = Number(process.env.BENCH_TASKS ?? 10_000)
const BATCHES = [100, 500]
const PACE = { perSecond: 500, seconds: 4 }

/** BENCH_MODE and BENCH_PEERS (names with commas between) leave out what nobody asks about just now. */
const wanted = (name: string): boolean => {
  const asked = process.env.BENCH_PEERS?.toLowerCase().split(',')
  return asked === undefined || asked.includes(name.toLowerCase())
}

interface Mode {
  readonly mode: string
  open(): Promise<{
    env: Record<string, string>
    peers: readonly { readonly name: string; open(): Promise<Peer> }[]
    close(): Promise<void>
  }>
}

const modes: readonly Mode[] = [
  {
    mode: 'sqlite',
    open: async () => ({
      env: {},
      peers: [
        { name: 'plainjob', open: openPlainjob },
        { name: 'restate', open: openRestate },
      ],
      close: async () => {},
    }),
  },
  {
    mode: 'postgres',
    async open() {
      const postgres = await startPostgres({ fsync: true })
      const url = await freshDatabase(postgres.url)
      return {
        env: { DATABASE_URL: url },
        peers: [
          // Rows of its own schema beside ours, on the same server; the others in databases of their own.
          { name: 'graphile-worker', open: () => openGraphile(url) },
          { name: 'pg-boss', open: async () => openPgBoss(await freshDatabase(postgres.url)) },
          { name: 'bullmq', open: async () => openBullmq({ postgres: await freshDatabase(postgres.url) }) },
          { name: 'dbos', open: async () => openDbos(await freshDatabase(postgres.url)) },
        ],
        close: () => postgres.stop(),
      }
    },
  },
  {
    mode: 'redis',
    async open() {
      const [postgres, redis] = [await startPostgres({ fsync: true }), await startRedis()]
      return {
        env: { DATABASE_URL: await freshDatabase(postgres.url), QUEUE_BACKEND: 'redis', REDIS_URL: redis.url },
        peers: [{ name: 'bullmq', open: () => openBullmq({ redisPort: redis.port }) }],
        async close() {
          await redis.stop()
          await postgres.stop()
        },
      }
    },
  },
]

/**
 * No-op tasks a second, dispatched in batches and done at the same time, by one process: each with its row, its result, its
 * journal and its leaf; and how long a task that comes alone waits for its start. A run counts only if every task was settled
 * once, the journal of each is the one that its leaf commits to, and the log is whole. Beside others, by turns.
 */
export async function tasks(): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const { mode, open } of modes) {
    if (process.env.BENCH_MODE && process.env.BENCH_MODE !== mode) continue
    const store = await open()
    const peers: Peer[] = []
    const folder = mkdtempSync(join(tmpdir(), 'writ-bench-'))
    const ours = await startApp(folder, store.env)
    try {
      for (const peer of store.peers) if (wanted(peer.name)) peers.push(await peer.open())
      const before = performance.now()
      const found = await measure(ours, peers)
      await check(ours.app, ours.by, found.done)
      if (process.env.BENCH_VERBOSE) process.stderr.write(`${mode}: ${Math.round(performance.now() - before)} ms\n`)
      figures.push(...figuresOf(mode, peers, found))
    } finally {
      for (const peer of peers) await peer.close()
      await ours.app.stop()
      await store.close()
      rmSync(folder, { recursive: true, force: true })
    }
  }
  return figures
}

type Rounds = Map<number, { ours: number[]; peers: Map<Peer, number[]> }>

interface Found {
  readonly rounds: Rounds
  readonly ours99: number[]
  readonly peer99: Map<Peer, number[]>
  readonly done: number
}

async function measure(on: Ours, peers: readonly Peer[]): Promise<Found> {
  const { by, waits } = on
  const sizeFor = (peer: Peer, batch: number) => Math.max(batch, Math.ceil((TASKS * peer.share) / batch) * batch)
  let done = WARM
  await sustained(on, WARM, 100)
  for (const peer of peers) await peer.sustained(Math.max(100, Math.ceil((WARM * peer.share) / 100) * 100), 100)
  // The waits first: afterwards the database clears away what a few hundred thousand tasks of all of them have left.
  const ours99: number[] = []
  const peer99 = new Map(peers.filter((one) => one.starts).map((peer) => [peer, [] as number[]]))
  for (let run = 0; run < RUNS; run++) {
    waits.length = 0
    const began = Date.now()
    await pace(PACE.perSecond, PACE.seconds, () => by.dispatch('test.noop', { at: performance.now() }))
    done += PACE.perSecond * PACE.seconds
    await empty(by, began)
    ours99.push(p99(waits))
    for (const [peer, all] of peer99) all.push(p99(await peer.starts!(PACE.perSecond, PACE.seconds)))
  }
  const rounds: Rounds = new Map(
    BATCHES.map((batch) => [batch, { ours: [], peers: new Map(peers.map((peer) => [peer, []])) }]),
  )
  // By turns: ours, theirs, ours, theirs, so that a quiet and a busy minute meet both.
  for (let run = 0; run < RUNS; run++)
    for (const [batch, { ours, peers: theirs }] of rounds) {
      ours.push(await sustained(on, TASKS, batch))
      done += TASKS
      for (const [peer, rates] of theirs) {
        rates.push(await peer.sustained(sizeFor(peer, batch), batch))
        if (process.env.BENCH_VERBOSE)
          process.stderr.write(`${batch}: ours ${round(ours.at(-1)!)}, ${peer.name} ${round(rates.at(-1)!)}\n`)
      }
    }
  return { rounds, ours99, peer99, done }
}

function figuresOf(mode: string, peers: readonly Peer[], found: Found): Figure[] {
  const figures: Figure[] = []
  const common = { suite: 'tasks', mode, runs: RUNS }
  for (const [batch, { ours, peers: theirs }] of found.rounds) {
    const figure = `no-op tasks, batches of ${batch}`
    const value = median(ours)
    if (peers.length === 0)
      figures.push({
        ...common,
        figure,
        ours: round(value),
        peer: null,
        peer_value: null,
        ratio: null,
        unit: 'tasks/s',
        goal: null,
      })
    for (const [peer, rates] of theirs)
      figures.push({
        ...common,
        figure,
        ours: round(value),
        peer: peer.name,
        peer_value: round(median(rates)),
        ratio: round(value / median(rates)),
        unit: 'tasks/s',
        goal: { at_least: peer.owed },
      })
  }
  const figure = `p99 from dispatch to start, ${PACE.perSecond}/s one by one`
  const value = median(found.ours99)
  figures.push({
    ...common,
    figure,
    ours: round(value),
    peer: null,
    peer_value: null,
    ratio: null,
    unit: 'ms',
    goal: { at_most: 10 },
  })
  for (const [peer, all] of found.peer99)
    figures.push({
      ...common,
      figure,
      ours: round(value),
      peer: peer.name,
      peer_value: round(median(all)),
      ratio: round(value / median(all)),
      unit: 'ms',
      goal: null,
    })
  return figures
}

const p99 = (all: readonly number[]): number =>
  all.toSorted((a, b) => a - b)[Math.ceil(all.length * 0.99) - 1] ?? Number.NaN

interface Ours {
  readonly app: App
  readonly by: Dispatcher
  /** Milliseconds from dispatch to start of those that came one by one. */
  readonly waits: number[]
  /** How many were done so far. */
  done(): number
}

export async function startApp(folder: string, env: Record<string, string>): Promise<Ours> {
  const { config, problems } = loadConfig({
    argv: [],
    env: {
      HOST: '127.0.0.1',
      PORT: '0',
      WRIT_DATA_DIR: join(folder, 'data'),
      WRIT_ADMIN_PASSWORD: 'admin123',
      WRIT_SELF_CHECK_MINUTES: '0',
      WRIT_TASK_CONCURRENCY: '500',
      ...env,
    },
    cwd: folder,
  })
  if (!config) throw new Error(problems?.join('\n'))
  const waits: number[] = []
  let done = 0
  const app = await openApp({
    config,
    log: createLog({ level: 'error', format: 'text' }),
    testHandlers: [
      handlerOf('test.noop', async (input) => {
        const { at } = input as { at?: number }
        if (at !== undefined) waits.push(performance.now() - at)
        done++
        return null
      }),
    ],
  })
  await app.listen()
  const [admin] = await app.db.lookup<{ id: string; number: number }>(
    "select id, number from users where username = 'admin'",
    [],
  )
  return { app, by: await dispatcherOf(app, { ...admin!, username: 'admin', role: 'admin' }), waits, done: () => done }
}

/** Waits until nothing stands in the queue that was dispatched since. Of all that it ever held, the looking would be a part of the figure. */
async function empty(by: Dispatcher, since: number): Promise<void> {
  const first = firstIdAt(since)
  while ((await by.read((tx) => tx.sql('select run_id from queue where run_id >= ?1 limit 1', [first]))).length > 0)
    await new Promise((later) => setTimeout(later, 2))
}

/** Dispatches `count` tasks in batches and waits for the last to settle; answers tasks a second. */
export function sustained({ by, done }: Ours, count: number, batch: number): Promise<number> {
  const all = Array.from({ length: batch }, () => ({ handler: 'test.noop', input: { n: 1 } }))
  const began = Date.now()
  // Done is, as for the others, when its handler was called; but here the last row has to be gone from the queue, too.
  return drive(
    count,
    batch,
    () => by.submit(...all),
    done,
    () => empty(by, began),
  )
}

export async function check(app: App, by: Dispatcher, expected: number): Promise<void> {
  await app.audit.settle()
  const rows = await by.read((tx) =>
    tx.sql<{ run_id: string; event_type: string; event: string }>(
      "select run_id, event_type, event from audit_events where project_id = ?1 and event_type like 'run.%'",
      [by.project],
    ),
  )
  const events = Map.groupBy(
    rows.map(({ run_id, event_type, event }) => ({
      run_id,
      event_type,
      details: (JSON.parse(event) as { details: Record<string, unknown> }).details,
    })),
    (one) => one.run_id,
  )
  const settled = await checkTasks(app.db, by.project, events)
  if (settled.length !== expected || rows.length !== expected)
    throw new Error(`${expected} tasks, ${settled.length} settled, ${rows.length} leaves`)
  const [pending] = await by.read((tx) =>
    tx.sql<{ n: number }>('select count(*) as n from audit_places where project_id = ?1 and log_index is null', [
      by.project,
    ]),
  )
  if (Number(pending!.n) !== 0) throw new Error(`${pending!.n} leaves without a place in the log`)
}
