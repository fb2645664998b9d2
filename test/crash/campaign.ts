/**
 * Kills at random under a load of tasks, everything that can be killed: servers, workers, the processes of handlers, workers
 * over HTTP, Redis with its data and without, PostgreSQL. Afterwards every accepted task has ended once, no task is there that
 * nobody was promised, and the log says so, whole.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { verifyOffline } from '@writ/server/ops'
import { inProject } from '../../packages/server/src/platform/db/index.ts'
import { attachDatabase } from '../../packages/server/src/platform/db/open.ts'
import { createClient } from '../client.ts'
import { randomOf } from '../random.ts'
import { type Guarded, removeFolder, startGuarded } from '../servers/guard.ts'
import { startPostgres } from '../servers/postgres.ts'
import { startRedis } from '../servers/redis.ts'
import { prepareWrit, type Writ } from '../servers/writ.ts'
import { checkEverything } from '../test-system.ts'
import { startTaskLoad } from './task-load.ts'

export type CampaignOptions = {
  readonly store: 'sqlite' | 'postgres'
  readonly kills: number
  /** What is killed when, and what is dispatched, follows from it; how far everything is at that moment does not. */
  readonly seed: number
  /** Hears of each kill. */
  readonly say?: (text: string) => void
}

export type CampaignReport = {
  readonly accepted: number
  /** Attempts whose worker was lost, and tasks that were given up because that happened ten times. */
  readonly lost: number
  readonly exhausted: number
  /** How often what was killed. */
  readonly kills: Readonly<Record<string, number>>
}

/** What is killed once in every round, in a random order. */
const DECKS = {
  sqlite: [
    ...['server', 'server', 'server', 'server', 'child', 'child', 'child', 'remote', 'remote'],
    ...['redis', 'redis without its data', 'redis and server'],
  ],
  postgres: [
    ...['worker', 'worker', 'worker', 'child', 'child', 'remote', 'server', 'redis', 'redis without its data'],
    ...['postgres', 'postgres and redis', 'worker and server'],
  ],
} as const

const DISPATCHERS = 8
const LEASE_MS = '3000'
/** Without any progress for so long, nothing comes any more. */
const STUCK_MS = 60_000
const run = promisify(execFile)
const program = (file: string) => ['--disable-warning=ExperimentalWarning', path.join(import.meta.dirname, file)]

const HANDLER = `export const folder = { name: 'folder.work', maxAttempts: 20, async run(input) {
  await new Promise((later) => setTimeout(later, input.ms))
  return process.pid
} }`

/** Runs one; resolves when everything was compared. @throws AssertionError with what is wrong, and the seed */
export async function runCampaign({ store, kills, seed, say = () => {} }: CampaignOptions): Promise<CampaignReport> {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-campaign-'))
  const undo: (() => unknown)[] = [() => removeFolder(folder)]
  try {
    return await runIn(folder, { store, kills, seed, say }, undo)
  } catch (error) {
    if (error instanceof Error) error.message += `\n(store ${store}, seed ${seed}, ${kills} kills)`
    throw error
  } finally {
    for (const step of undo.reverse()) await step()
  }
}

async function runIn(
  folder: string,
  { store, kills, seed, say }: Required<CampaignOptions>,
  undo: (() => unknown)[],
): Promise<CampaignReport> {
  const random = randomOf(seed)
  const handlers = path.join(folder, 'handlers')
  mkdirSync(handlers)
  writeFileSync(path.join(handlers, 'work.js'), HANDLER)
  // Commits outlive the process, which is what is killed here; the machine is not.
  const postgres = store === 'postgres' ? await startPostgres({ settings: { synchronous_commit: 'on' } }) : undefined
  if (postgres) undo.push(() => postgres.stop())
  const redis = await startRedis({ keep: 'all' })
  undo.push(() => redis.stop())
  const compiled = path.join(folder, 'compiled')

  const prepare = async (roles: string) => {
    const writ = await prepareWrit({
      folder,
      wrap: ([node]) => [node!, ...program('../tasks/server-process.ts')],
      ...(postgres ? { databaseUrl: postgres.url } : {}),
      env: {
        ...(postgres ? { WRIT_ROLES: roles } : {}),
        QUEUE_BACKEND: 'redis',
        REDIS_URL: redis.url,
        RATE_LIMIT_MAX: '0',
        LOG_TO_FILE: 'false',
        LEASE_MS,
        WRIT_HANDLERS_DIR: handlers,
        WRIT_HANDLERS_PROCESSES: '2',
        WRIT_SELF_CHECK_MINUTES: '0',
        NODE_COMPILE_CACHE: compiled,
      },
    })
    undo.push(() => writ.stop())
    await writ.start()
    return writ
  }
  const server = await prepare('api,scheduler,sequencer')
  await server.login()
  const workers = postgres ? await Promise.all([prepare('worker'), prepare('worker')]) : [server]
  const token = await server.call('POST', '/tokens', { name: 'remote', role: 'ops', scopes: ['worker:*'] })
  assert.equal(token.status, 201, JSON.stringify(token.body))
  let remote: Guarded | undefined
  const startRemote = async () => {
    const env = {
      PATH: process.env.PATH,
      WRIT_URL: server.url,
      WRIT_TOKEN: String(token.body.token),
      QUICK: '1',
      NODE_COMPILE_CACHE: compiled,
    }
    remote = await startGuarded({
      command: process.execPath,
      args: program('../tasks/worker-process.ts'),
      folder,
      env,
    })
    await remote.saying('working')
  }
  undo.push(() => remote?.stop())
  await startRemote()
  await knowing(server, ['slow', 'folder.work'])

  const load = startTaskLoad(server, DISPATCHERS, (n) => taskOf(n, randomOf(seed + n)))
  undo.push(() => load.abandon())

  /** Those that are on their way back, by what was killed: nothing is killed a second time before it is there again. */
  const returning = new Map<unknown, Promise<unknown>>()
  const again = (what: unknown, start: () => Promise<unknown>) => {
    // A process that comes up while its database is away ends, as it should, and is started again, as by a supervisor.
    const coming = (async () => {
      for (let tries = 1; ; tries++) {
        try {
          return await start()
        } catch (error) {
          if (tries === 10) throw error
        }
      }
    })()
    // Awaited before the next kill of the same, and at the end.
    coming.catch(() => {})
    returning.set(what, coming)
  }
  const killed: Record<string, number> = {}
  const victims = {
    async worker() {
      const one = workers[Math.floor(random() * workers.length)]!
      await returning.get(one)
      await one.kill9()
      again(one, () => one.start())
    },
    async server() {
      await returning.get(server)
      await server.kill9()
      again(server, () => server.start())
    },
    async child() {
      const all = await childrenOf(workers)
      const one = all[Math.floor(random() * all.length)]
      // There may be none just now; then this round has one kill less.
      if (one === undefined) return false
      try {
        process.kill(one, 'SIGKILL')
      } catch {
        return false
      }
    },
    async remote() {
      await returning.get('remote')
      await remote?.kill9()
      again('remote', startRemote)
    },
    async redis(empty = false) {
      await redis.kill9()
      // Accepted meanwhile, if the server is there.
      if (random() < 0.7) await load.more(10)
      await redis.restart({ empty })
    },
    async postgres() {
      await postgres!.kill9()
      await pause(random() * 300)
      await postgres!.restart()
    },
  }
  async function kill(what: string): Promise<void> {
    let done = true
    for (const part of what.split(' and ')) {
      if (part === 'redis without its data') await victims.redis(true)
      else done = (await victims[part as keyof typeof victims]()) !== false && done
    }
    if (done) killed[what] = (killed[what] ?? 0) + 1
  }

  let deck: string[] = []
  for (let n = 0; n < kills; n++) {
    if (deck.length === 0) deck = shuffled(DECKS[store], random)
    await load.more(5 + Math.floor(random() * 60))
    await pause(random() * 40)
    const what = deck.pop()!
    say(`${n + 1}/${kills} ${what}, ${load.accepted.size} accepted`)
    await kill(what)
  }
  for (const coming of returning.values()) await coming
  await load.more(50)
  await load.end()
  assert.deepEqual(load.refused, [])
  const url = postgres?.url ?? `sqlite:${path.join(server.dataDir, 'writ.db')}`
  await allDone(server).catch(async (error: Error) => {
    const db = await attachDatabase({ url })
    const rows = await db.lookup(
      `select queue, handler, ready, count(*) as n, min(run_at) as earliest, max(lease_until) as until, max(fence) as fence
       from queue group by queue, handler, ready`,
      [],
    )
    await db.close()
    say(JSON.stringify(rows, null, 1))
    throw error
  })

  await settled(server)
  await checkEverything({
    admin: createClient({
      base: () => server.url,
      prefix: '/api/v1',
      credentials: async () => server.authorised(),
    }),
    folder,
    kept: new Map(),
    databaseUrl: postgres?.url,
  })
  const db = await attachDatabase({ url })
  const [project] = await db.lookup<{ id: string }>("select id from projects where slug = 'default'", [])
  const { runs, tried } = await inProject(project!.id, () =>
    db.read(async (tx) => ({
      runs: await tx.db
        .selectFrom('runs')
        .select(['id', 'state', 'error_code', 'attempt'])
        .where('kind', '=', 'task')
        .execute(),
      tried: await tx.db.selectFrom('attempts').select(['run_id', 'attempt']).execute(),
    })),
  )
  await db.close()
  // A run has as many attempts as it was begun; of those that are not on record nobody heard again.
  const known = Map.groupBy(tried, (one) => one.run_id)
  const lost = runs.reduce((sum, one) => sum + one.attempt - Math.max(1, known.get(one.id)?.length ?? 0), 0)
  const exhausted = runs.filter((one) => one.error_code === 'DELIVERIES_EXHAUSTED')
  assert.deepEqual(
    runs.filter((one) => one.state !== 'completed' && !exhausted.includes(one)),
    [],
    'every task completed, or was given up because its workers were killed ten times',
  )
  const ids = new Set(runs.map((one) => one.id))
  assert.deepEqual(
    [...load.accepted].filter((id) => !ids.has(id)),
    [],
    'accepted and gone',
  )
  assert.equal(runs.length, load.accepted.size, 'no task is there that nobody was told of')
  for (const one of workers) if (one !== server) await one.stop()
  await server.stop()
  const offline = await verifyOffline({ dataDir: server.dataDir, env: server.env, cwd: server.dataDir })
  assert.deepEqual([offline.ok, offline.code, offline.reason], [true, null, null])
  return { accepted: load.accepted.size, lost, exhausted: exhausted.length, kills: killed }
}

function taskOf(n: number, random: () => number): object {
  const dice = random()
  const later = random() < 0.1 ? { run_at: new Date(Date.now() + Math.floor(random() * 500)).toISOString() } : {}
  const more = { priority: Math.floor(random() * 3), queue: n % 3 === 0 ? 'api' : 'script', ...later }
  if (dice < 0.15)
    return { handler: 'folder.work', input: { ms: Math.floor(random() * 40) }, ...more, max_attempts: 20 }
  if (dice < 0.3) return { handler: 'slow', input: { n }, ...later }
  if (dice < 0.4) return { handler: 'test.second', input: { n }, ...more, max_attempts: 3 }
  if (dice < 0.5) return { handler: 'test.pay', input: { n }, ...more }
  if (dice < 0.7) return { handler: 'test.nap', input: Math.floor(random() * 400), ...more }
  return { handler: 'test.noop', input: { n }, ...more }
}

function shuffled(deck: readonly string[], random: () => number): string[] {
  const cards = [...deck]
  for (let i = cards.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[cards[i], cards[j]] = [cards[j]!, cards[i]!]
  }
  return cards
}

/** Processes that these started: those of the handlers. */
async function childrenOf(parents: readonly Writ[]): Promise<number[]> {
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,ppid='])
  const pids = new Set(parents.map((one) => one.pid()))
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, parent]) => pids.has(parent))
    .map(([pid]) => pid!)
}

/** Waits until the server knows these handlers. */
async function knowing(server: Writ, names: readonly string[]): Promise<void> {
  await progressing('the handlers are known', async () => {
    const { body } = await server.call('GET', '/handlers')
    return names.filter((name) => !String(body.text).includes(`"name":"${name}"`)).length
  })
}

async function allDone(server: Writ): Promise<void> {
  await progressing('every task is settled', async () => {
    const { body } = await server.call('GET', '/queues')
    const queues = JSON.parse(String(body.text)) as { waiting: number; delayed: number; in_flight: number }[]
    return queues.reduce((sum, one) => sum + one.waiting + one.delayed + one.in_flight, 0)
  })
}

const settled = (server: Writ) =>
  progressing('the log has every event', async () => Number((await server.call('GET', '/audit/log')).body.pending))

/** Polls until nothing is left; fails when for a minute it did not become less. */
async function progressing(claim: string, count: () => Promise<number>): Promise<void> {
  let least = Number.POSITIVE_INFINITY
  for (let since = performance.now(); ; ) {
    const left = await count()
    if (left === 0) return
    if (left < least) {
      least = left
      since = performance.now()
    }
    assert.ok(performance.now() - since < STUCK_MS, `${claim}: ${left} are left and do not become less`)
    await pause(50)
  }
}
