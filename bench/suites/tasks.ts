import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Logger, makeWorkerUtils, type Runner, run as runWorker } from 'graphile-worker'
import pg from 'pg'
import { type App, openApp } from '../../packages/server/src/app.ts'
import { loadConfig } from '../../packages/server/src/config.ts'
import { createLog } from '../../packages/server/src/platform/log.ts'
import { startPostgres } from '../../test/servers/postgres.ts'
import { checkTasks } from '../../test/tasks/check.ts'
import { type Dispatcher, dispatcherOf, handlerOf } from '../../test/tasks/dispatch.ts'
import { type Figure, median, round } from '../figure.ts'

const RUNS = 3
const WARM = 2_000
const TASKS = Number(process.env.BENCH_TASKS ?? 20_000)
/** Tasks that were dispatched and are not settled: a producer that is further ahead waits. */
const AHEAD = 2_000

interface Peer {
  readonly name: string
  sustained(count: number, batch: number): Promise<number>
  close(): Promise<void>
}

/**
 * No-op tasks a second, dispatched in batches and done at the same time, by one process: each with its row, its result, its
 * journal and its leaf. A run counts only if every task was settled once, the journal of each is the one that its leaf commits
 * to, and the log verifies. On PostgreSQL beside graphile-worker, which deletes a job when it is done: on the same server, by
 * turns, set up as its own documents advise for throughput.
 */
export async function tasks(): Promise<Figure[]> {
  const figures: Figure[] = []
  const modes: {
    mode: string
    open(): Promise<{ env: Record<string, string>; peer: Peer | null; close(): Promise<void> }>
  }[] = [
    { mode: 'sqlite', open: async () => ({ env: {}, peer: null, close: async () => {} }) },
    { mode: 'postgres', open: openPostgres },
  ]
  for (const { mode, open } of modes) {
    if (process.env.BENCH_MODE && process.env.BENCH_MODE !== mode) continue
    const store = await open()
    const folder = mkdtempSync(join(tmpdir(), 'writ-bench-'))
    const { app, by } = await start(folder, store.env)
    try {
      await sustained(by, WARM, 100)
      await store.peer?.sustained(WARM, 100)
      let done = WARM
      const peers = new Map<number, number[]>([
        [100, []],
        [500, []],
      ])
      const rates = new Map<number, number[]>([
        [100, []],
        [500, []],
      ])
      for (let run = 0; run < RUNS; run++)
        for (const [batch, all] of rates) {
          all.push(await sustained(by, TASKS, batch))
          done += TASKS
          if (store.peer) peers.get(batch)!.push(await store.peer.sustained(TASKS, batch))
        }
      await check(app, by, done)
      for (const [batch, all] of rates) {
        const ours = median(all)
        const theirs = store.peer ? median(peers.get(batch)!) : null
        figures.push({
          suite: 'tasks',
          figure: `no-op tasks, batches of ${batch}`,
          mode,
          ours: round(ours),
          peer: store.peer?.name ?? null,
          peer_value: theirs === null ? null : round(theirs),
          ratio: theirs === null ? null : round(ours / theirs),
          unit: 'tasks/s',
          runs: RUNS,
          goal: store.peer ? { at_least: 0.9 } : null,
        })
      }
    } finally {
      await app.stop()
      await store.close()
      rmSync(folder, { recursive: true, force: true })
    }
  }
  return figures
}

async function openPostgres() {
  const postgres = await startPostgres({ fsync: true })
  const name = `writ_bench_${randomBytes(6).toString('hex')}`
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  await client.query(`create database ${name}`).finally(() => client.end())
  const url = Object.assign(new URL(postgres.url), { pathname: name }).href
  const peer = await openGraphile(url)
  return {
    env: { DATABASE_URL: url },
    peer,
    async close() {
      await peer.close()
      await postgres.stop()
    },
  }
}

/** Rows of its own schema beside ours. https://worker.graphile.org/docs/performance */
async function openGraphile(url: string): Promise<Peer> {
  const logger = new Logger(() => () => {})
  const pgPool = new pg.Pool({ connectionString: url, max: 10 })
  pgPool.on('error', () => {})
  pgPool.on('connect', (client) => client.on('error', () => {}))
  const options = {
    logger,
    pgPool,
    preset: {
      worker: {
        concurrentJobs: 24,
        maxPoolSize: 10,
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
  }
  const utils = await makeWorkerUtils(options)
  await utils.migrate()
  let done = 0
  let runner: Runner | undefined = await runWorker({
    ...options,
    noHandleSignals: true,
    taskList: {
      noop: async () => {
        done++
      },
    },
  })
  return {
    name: 'graphile-worker',
    async sustained(count, batch) {
      const all = Array.from({ length: batch }, () => ({ identifier: 'noop', payload: { n: 1 } }))
      const before = done
      const began = performance.now()
      for (let sent = 0; sent < count; sent += batch) {
        await utils.addJobs(all)
        while (sent + batch - (done - before) > AHEAD) await new Promise((later) => setTimeout(later, 2))
      }
      while (done - before < count) await new Promise((later) => setTimeout(later, 2))
      const rate = (count / (performance.now() - began)) * 1_000
      // Done is when its handler was called; its row goes a moment later, which is not counted.
      if (done - before !== count) throw new Error(`${count} jobs, ${done - before} done`)
      return rate
    },
    async close() {
      await runner?.stop()
      runner = undefined
      await utils.release()
      await pgPool.end()
    },
  }
}

async function start(folder: string, env: Record<string, string>): Promise<{ app: App; by: Dispatcher }> {
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
  const app = await openApp({
    config,
    log: createLog({ level: 'error', format: 'text' }),
    testHandlers: [handlerOf('test.noop', async () => null)],
  })
  await app.listen()
  const [admin] = await app.db.lookup<{ id: string; number: number }>(
    "select id, number from users where username = 'admin'",
    [],
  )
  return { app, by: await dispatcherOf(app, { ...admin!, username: 'admin', role: 'admin' }) }
}

/** Dispatches `count` tasks in batches and waits for the last to settle; answers tasks a second. */
async function sustained(by: Dispatcher, count: number, batch: number): Promise<number> {
  const all = Array.from({ length: batch }, () => ({ handler: 'test.noop', input: { n: 1 } }))
  const queued = async () =>
    Number((await by.read((tx) => tx.sql<{ n: number }>('select count(*) as n from queue')))[0]!.n)
  const began = performance.now()
  for (let sent = 0; sent < count; sent += batch) {
    await by.submit(...all)
    if (sent % AHEAD < batch) while ((await queued()) > AHEAD) await new Promise((later) => setTimeout(later, 2))
  }
  while ((await queued()) > 0) await new Promise((later) => setTimeout(later, 2))
  return (count / (performance.now() - began)) * 1_000
}

async function check(app: App, by: Dispatcher, expected: number): Promise<void> {
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
