/** Queues that people use today, each set up as its own documents advise for throughput, behind one face. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http2'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Logger, makeWorkerUtils, run as runGraphile } from 'graphile-worker'
import pg from 'pg'
import { freePorts } from '../test/servers/free-port.ts'

export interface Peer {
  readonly name: string
  /** What part of our number of tasks it is given in a round, so that slow ones take no longer than fast ones. */
  readonly share: number
  /** Ratio to ours that we owe. */
  readonly owed: number
  /** Takes that many no-op jobs in batches and does them at the same time; jobs a second. @throws Error when not all were done */
  sustained(count: number, batch: number): Promise<number>
  /** Jobs one by one at an even pace; milliseconds from the call that enqueues to the start of each. */
  starts?(perSecond: number, seconds: number): Promise<number[]>
  close(): Promise<void>
}

/** Jobs that were given and are not done: a producer that is further ahead waits. */
const AHEAD = 2_000
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Gives batches, waits while too many are under way, and then for the last, and for what `settled` waits for. */
export async function drive(
  count: number,
  batch: number,
  give: (size: number) => Promise<unknown>,
  done: () => number,
  settled: () => Promise<void> = async () => {},
): Promise<number> {
  const before = done()
  const began = performance.now()
  for (let sent = 0; sent < count; sent += batch) {
    await give(batch)
    while (sent + batch - (done() - before) > AHEAD) await later(1)
  }
  while (done() - before < count) await later(1)
  await settled()
  const rate = (count / (performance.now() - began)) * 1_000
  await later(20)
  if (done() - before !== count) throw new Error(`${count} jobs, ${done() - before} done`)
  return rate
}

/** Calls `give` at an even pace, whatever a call takes. */
export async function pace(perSecond: number, seconds: number, give: () => Promise<unknown>): Promise<void> {
  const began = performance.now()
  const given: Promise<unknown>[] = []
  for (let n = 0; n < perSecond * seconds; n++) {
    const wait = began + (n * 1_000) / perSecond - performance.now()
    if (wait > 0) await later(wait)
    given.push(give())
  }
  await Promise.all(given)
}

/** https://github.com/justplainstuff/plainjob: its defaults (WAL, synchronous NORMAL), jobs added many at a time. */
export async function openPlainjob(): Promise<Peer> {
  const { default: Sqlite } = await import('better-sqlite3')
  const { better, defineQueue, defineWorker } = await import('plainjob')
  const folder = mkdtempSync(join(tmpdir(), 'writ-bench-plainjob-'))
  const quiet = { error() {}, warn() {}, info() {}, debug() {} }
  const queue = defineQueue({ connection: better(new Sqlite(join(folder, 'jobs.db'))), logger: quiet })
  let done = 0
  const worker = defineWorker(
    'noop',
    async () => {
      done++
    },
    { queue, logger: quiet, pollIntervall: 2 },
  )
  const working = worker.start()
  return {
    name: 'plainjob',
    share: 1,
    owed: 3,
    async sustained(count, batch) {
      const all = Array.from({ length: batch }, () => ({ n: 1 }))
      return drive(
        count,
        batch,
        async () => queue.addMany('noop', all),
        () => done,
      )
    },
    async close() {
      await worker.stop()
      await working
      queue.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** https://worker.graphile.org/docs/performance: a local queue, batched completion. It deletes a job when it is done. */
export async function openGraphile(url: string): Promise<Peer> {
  const pgPool = new pg.Pool({ connectionString: url, max: 10 })
  pgPool.on('error', () => {})
  pgPool.on('connect', (client) => client.on('error', () => {}))
  const options = {
    logger: new Logger(() => () => {}),
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
  const runner = await runGraphile({
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
    share: 1,
    owed: 0.9,
    async sustained(count, batch) {
      const all = Array.from({ length: batch }, () => ({ identifier: 'noop', payload: { n: 1 } }))
      // Done is when its handler was called; its row goes a moment later, which is not counted.
      return drive(
        count,
        batch,
        () => utils.addJobs(all),
        () => done,
      )
    },
    async close() {
      await runner.stop()
      await utils.release()
      await pgPool.end()
    },
  }
}

/** https://timgit.github.io/pg-boss: insert many, batches of 500, several workers, the shortest poll. Done is when its batch was completed. */
export async function openPgBoss(url: string): Promise<Peer> {
  const { PgBoss } = await import('pg-boss')
  const boss = new PgBoss({ connectionString: url, max: 10 })
  boss.on('error', () => {})
  await boss.start()
  await boss.createQueue('noop')
  const store = new pg.Pool({ connectionString: url, max: 1 })
  await boss.work('noop', { batchSize: 500, pollingIntervalSeconds: 0.5, localConcurrency: 4 }, async () => {})
  let base = 0
  const completed = async () =>
    Number(
      (await store.query("select count(*) as n from pgboss.job where name = 'noop' and state = 'completed'")).rows[0].n,
    )
  return {
    name: 'pg-boss',
    share: 1,
    owed: 1.1,
    async sustained(count, batch) {
      const all = Array.from({ length: batch }, () => ({ data: { n: 1 } }))
      const began = performance.now()
      // It polls twice a second at best, so it is given all that it can take.
      for (let sent = 0; sent < count; sent += batch) await boss.insert('noop', all)
      while ((await completed()) - base < count) await later(5)
      const rate = (count / (performance.now() - began)) * 1_000
      if ((await completed()) - base !== count) throw new Error(`${count} jobs, ${(await completed()) - base} done`)
      base += count
      return rate
    },
    async close() {
      await boss.stop({ graceful: false })
      await store.end()
    },
  }
}

/** https://docs.bullmq.io: addBulk, concurrency 100; completed jobs are removed on Redis, as in its own benchmarks. */
export async function openBullmq(store: { redisPort: number } | { postgres: string }): Promise<Peer> {
  const { createPostgresBackend, Queue, Worker } = await import('bullmq')
  const onRedis = 'redisPort' in store
  const connection = onRedis
    ? { host: '127.0.0.1', port: store.redisPort, maxRetriesPerRequest: null }
    : { connectionString: store.postgres, migrate: true }
  const backend = onRedis ? [] : [createPostgresBackend]
  const queue = new Queue('noop', { connection, defaultJobOptions: { removeOnComplete: onRedis } }, ...backend)
  let done = 0
  const waits: number[] = []
  const worker = new Worker(
    'noop',
    async (job) => {
      waits.push(performance.now() - job.data.at)
      return null
    },
    { connection, concurrency: 100 },
    ...backend,
  )
  worker.on('completed', () => {
    done++
  })
  worker.on('error', () => {})
  await worker.waitUntilReady()
  return {
    name: onRedis ? 'BullMQ' : 'BullMQ on PostgreSQL',
    share: onRedis ? 1 : 0.1,
    owed: onRedis ? 1.5 : 10,
    async sustained(count, batch) {
      const all = Array.from({ length: batch }, () => ({ name: 'noop', data: { at: 0 } }))
      return drive(
        count,
        batch,
        () => queue.addBulk(all),
        () => done,
      )
    },
    async starts(perSecond, seconds) {
      waits.length = 0
      await pace(perSecond, seconds, () => queue.add('noop', { at: performance.now() }))
      while (waits.length < perSecond * seconds) await later(5)
      return [...waits]
    },
    async close() {
      await worker.close(true)
      await queue.close()
    },
  }
}

/** https://docs.dbos.dev: no-op workflows, started directly, a hundred at once. */
export async function openDbos(url: string): Promise<Peer> {
  const { DBOS } = await import('@dbos-inc/dbos-sdk')
  DBOS.setConfig({ name: 'bench', systemDatabaseUrl: url, logLevel: 'error', systemDatabasePoolSize: 10 })
  let done = 0
  const flow = DBOS.registerWorkflow(
    async () => {
      done++
      return null
    },
    { name: 'noop' },
  )
  await DBOS.launch()
  return {
    name: 'DBOS',
    share: 0.05,
    owed: 25,
    sustained: (count) =>
      manyAtOnce(
        count,
        100,
        async () => (await DBOS.startWorkflow(flow)()).getResult(),
        () => done,
      ),
    close: () => DBOS.shutdown(),
  }
}

/** https://docs.restate.dev: a no-op handler, asked over its ingress by 64 at once. The server is a binary of its npm package. */
export async function openRestate(): Promise<Peer> {
  const { createEndpointHandler, service } = await import('@restatedev/restate-sdk')
  const folder = mkdtempSync(join(tmpdir(), 'writ-bench-restate-'))
  let done = 0
  const noop = service({
    name: 'bench',
    handlers: {
      noop: async () => {
        done++
        return null
      },
    },
  })
  const endpoint = createServer(createEndpointHandler({ services: [noop], logger: () => {} }))
  await new Promise<void>((resolve) => endpoint.listen(0, '127.0.0.1', resolve))
  const { port } = endpoint.address() as AddressInfo
  const [fabric, admin, ingress] = await freePorts(3)
  const binary = createRequire(import.meta.url).resolve(
    `@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`,
  )
  const server: ChildProcess = spawn(binary, ['--base-dir', folder, '--node-name', 'bench'], {
    stdio: 'ignore',
    env: {
      RESTATE_LISTEN_MODE: 'tcp',
      RESTATE_BIND_ADDRESS: `127.0.0.1:${fabric}`,
      RESTATE_ADVERTISED_ADDRESS: `http://127.0.0.1:${fabric}`,
      RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
      RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
      RESTATE_DISABLE_TELEMETRY: 'true',
      DO_NOT_TRACK: '1',
    },
  })
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${admin}/deployments`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ uri: `http://127.0.0.1:${port}` }),
    }).catch(() => undefined)
    if (answer?.ok) break
    if (server.exitCode !== null) throw new Error(`restate-server ended (${server.exitCode})`)
    await later(50)
  }
  const ask = async () => {
    const answer = await fetch(`http://127.0.0.1:${ingress}/bench/noop`, { method: 'POST' })
    if (!answer.ok) throw new Error(`restate answered ${answer.status} ${await answer.text()}`)
    await answer.arrayBuffer()
  }
  return {
    name: 'Restate',
    share: 0.05,
    owed: 10,
    sustained: (count) => manyAtOnce(count, 64, ask, () => done),
    async close() {
      server.kill('SIGTERM')
      if (server.exitCode === null) await once(server, 'exit')
      endpoint.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function manyAtOnce(
  count: number,
  atOnce: number,
  ask: () => Promise<unknown>,
  done: () => number,
): Promise<number> {
  const before = done()
  const began = performance.now()
  let left = count
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (left-- > 0) await ask()
    }),
  )
  const rate = (count / (performance.now() - began)) * 1_000
  if (done() - before !== count) throw new Error(`${count} asked for, ${done() - before} done`)
  return rate
}
