import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { systemClock } from '../../packages/server/src/platform/clock.ts'
import { type Database, inProject, openDatabase } from '../../packages/server/src/platform/db/index.ts'
import { createLog } from '../../packages/server/src/platform/log.ts'
import { Secret } from '../../packages/server/src/platform/secret.ts'
import { type Ask, openQueue, type Queue } from '../../packages/server/src/queue/index.ts'
import { missingPostgres, startPostgres } from '../../test/servers/postgres.ts'
import { missingRedis, startRedis } from '../../test/servers/redis.ts'
import { type Figure, median, round } from '../figure.ts'

const PROJECT = '0190a000-0000-7000-8000-00000000000a'
const SIZES = [1_000, 10_000, 100_000, 1_000_000]
const BATCH = 100
const ROUNDS = 40
const AT_ONCE = 50_000
/** Building the copy in Redis reads the whole table, which takes longer than what is measured. */
const REDIS_AT_MOST = Number(process.env.BENCH_REDIS_BACKLOG ?? 100_000)

interface Store {
  readonly mode: string
  readonly db: Database
  readonly queue: Queue
  close(): Promise<void>
}

/**
 * What a claim and the settling of what it took cost while 10^3 to 10^6 entries wait: milliseconds for a hundred, and for the
 * sweep that looks where there is something. Every round takes away what it claimed and nothing else, which is counted.
 */
export async function backlog(): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const [mode, open] of [
    ['sqlite', openSqlite],
    ['postgres', openPostgresStore],
    ['redis', openRedisStore],
  ] as const) {
    if (process.env.BENCH_MODE && process.env.BENCH_MODE !== mode) continue
    const store = await open()
    if (!store) continue
    const first = new Map<string, number>()
    try {
      for (const size of SIZES) {
        if (store.mode === 'redis' && size > REDIS_AT_MOST) continue
        await fill(store, size)
        if (store.mode === 'redis') await copied(store)
        const { claim, sweep } = await measure(store, size)
        if (process.env.BENCH_VERBOSE)
          process.stderr.write(`${mode} ${size}: ${round(claim)} ms, sweep ${round(sweep)} ms\n`)
        for (const [figure, ms] of [
          [`claim and settle ${BATCH}`, claim],
          ['sweep', sweep],
        ] as const) {
          if (!first.has(figure)) first.set(figure, ms)
          figures.push({
            suite: 'backlog',
            figure: `${figure} of ${size} waiting`,
            mode: store.mode,
            ours: round(ms),
            peer: `the same of ${SIZES[0]} waiting`,
            peer_value: round(first.get(figure)!),
            ratio: round(ms / first.get(figure)!),
            unit: 'ms',
            runs: ROUNDS,
            goal: { at_most: 2 },
          })
        }
      }
    } finally {
      await store.close()
    }
  }
  return figures
}

async function measure({ db, queue }: Store, size: number): Promise<{ claim: number; sweep: number }> {
  const claims: number[] = []
  const sweeps: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    let began = performance.now()
    const { runnable } = await queue.sweep(systemClock.now())
    sweeps.push(performance.now() - began)
    if (runnable.length !== 1) throw new Error(`${runnable.length} places have something`)
    began = performance.now()
    const now = systemClock.now()
    const ask: Ask = { queue: 'api', limit: BATCH, worker: 'bench', now, leaseUntil: now + 30_000, except: [] }
    await queue.reserve(PROJECT, ask)
    const leases = await inProject(PROJECT, () => db.write((tx) => queue.claim(tx, ask)))
    const done = await inProject(PROJECT, () =>
      db.write((tx) =>
        queue.settle(
          tx,
          leases.map(({ runId, fence }) => ({ runId, fence, next: 'done' })),
        ),
      ),
    )
    claims.push(performance.now() - began)
    if (leases.length !== BATCH || done.includes(false)) throw new Error(`${leases.length} of ${BATCH} were claimed`)
  }
  const left = await count(db)
  if (left !== size - ROUNDS * BATCH && size > ROUNDS * BATCH) throw new Error(`${left} of ${size} are left`)
  return { claim: median(claims), sweep: median(sweeps) }
}

const count = async (db: Database): Promise<number> =>
  Number((await db.lookup<{ n: number }>('select count(*) as n from queue', []))[0]!.n)

/** So many wait: of three priorities and times that lie in no order, as they come. */
async function fill({ db, mode }: Store, size: number): Promise<void> {
  const missing = size + (size <= ROUNDS * BATCH ? ROUNDS * BATCH : 0) - (await count(db))
  for (let left = missing; left > 0; left -= AT_ONCE) await add(db, Math.min(left, AT_ONCE), mode === 'redis' ? 0 : 1)
}

/** `ready`: the database's own queue sees 1 as claimable; where the order is kept in Redis, 0 is what is not there yet. */
async function add(db: Database, more: number, ready: 0 | 1): Promise<void> {
  const now = systemClock.now()
  const columns = 'run_id, project_id, queue, handler, priority, run_at, ready'
  const row = (n: string, hex: string) =>
    `${hex}, '${PROJECT}', 'api', 'noop', ${n} % 3, ${now} - (${n} * 7919) % 1000000, ${ready}`
  const text =
    db.dialect === 'postgres'
      ? `insert into queue (${columns}) select ${row('n', `gen_random_uuid()::text`)} from generate_series(1::bigint, ${more}) n`
      : `with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < ${more})
         insert into queue (${columns}) select ${row('n', 'lower(hex(randomblob(16)))')} from numbers`
  await inProject(PROJECT, () => db.write((tx) => tx.sql(text.replaceAll('lower(hex(randomblob(16)))', UUID))))
}

/** Of random bits, in the form of a UUID, as ranks expect it. */
const UUID = `substr(hex(randomblob(16)), 1, 8) || '-' || substr(hex(randomblob(16)), 1, 4) || '-7' || substr(hex(randomblob(16)), 1, 3)
  || '-8' || substr(hex(randomblob(16)), 1, 3) || '-' || substr(hex(randomblob(16)), 1, 12)`

/** Sweeps until what was put into the table behind its back is in the line. */
async function copied({ db, queue }: Store): Promise<void> {
  for (;;) {
    await queue.sweep(systemClock.now() + 10_000)
    const [left] = await db.lookup<{ n: number }>('select count(*) as n from queue where ready <> 2', [])
    if (Number(left!.n) === 0) return
  }
}

async function openStore(mode: string, url: string, redisUrl: string, undo: () => Promise<void>): Promise<Store> {
  const db = await openDatabase({ url }, systemClock)
  await inProject(PROJECT, () =>
    db.write((tx) =>
      tx.insert('projects', [{ id: PROJECT, slug: 'bench', name: 'Bench', policy: '{}', created_at: 0 }]),
    ),
  )
  const queue = await openQueue(db, {
    backend: redisUrl === '' ? 'database' : 'redis',
    redisUrl: new Secret(redisUrl),
    clock: systemClock,
    log: createLog({ level: 'error', format: 'text' }),
    health() {},
    refused() {},
  })
  return {
    mode,
    db,
    queue,
    async close() {
      await queue.close()
      await db.close()
      await undo()
    },
  }
}

async function openSqlite(): Promise<Store> {
  const folder = mkdtempSync(join(tmpdir(), 'writ-bench-'))
  return openStore('sqlite', `sqlite:${join(folder, 'writ.db')}`, '', async () =>
    rmSync(folder, { recursive: true, force: true }),
  )
}

async function openPostgresStore(): Promise<Store | undefined> {
  if (missingPostgres()) return undefined
  const postgres = await startPostgres({ fsync: true })
  return openStore('postgres', await freshDatabase(postgres.url), '', () => postgres.stop())
}

async function openRedisStore(): Promise<Store | undefined> {
  if (missingPostgres() || missingRedis()) return undefined
  const [postgres, redis] = [await startPostgres({ fsync: true }), await startRedis()]
  return openStore('redis', await freshDatabase(postgres.url), redis.url, async () => {
    await redis.stop()
    await postgres.stop()
  })
}

export async function freshDatabase(url: string): Promise<string> {
  const name = `writ_bench_${randomBytes(6).toString('hex')}`
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`create database ${name}`).finally(() => client.end())
  return Object.assign(new URL(url), { pathname: `/${name}` }).href
}
