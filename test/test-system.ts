/** A whole Writ of a test's own: temporary folder, free port, real server; and the invariants that must hold whatever was done. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Writable } from 'node:stream'
import type { Artifact, Project, Role, Run, RunDetail, VerifyReport } from '@writ/api'
import { type App, openApp } from '../packages/server/src/app.ts'
import { loadConfig } from '../packages/server/src/config.ts'
import type { Handler } from '../packages/server/src/kinds/task/index.ts'
import { createFakeClock } from '../packages/server/src/platform/clock.ts'
import { attachDatabase } from '../packages/server/src/platform/db/open.ts'
import { createLog } from '../packages/server/src/platform/log.ts'
import { type Answer, type Client, createClient } from './client.ts'
import { freePort } from './servers/free-port.ts'
import { type Guarded, removeFolder, startGuarded } from './servers/guard.ts'
import { checkTasks } from './tasks/check.ts'

export interface StartOptions {
  /** Settings as environment variables, above the test's own. */
  readonly env?: Readonly<Record<string, string>>
  /** The database as its superuser sees it, for what is done behind the server's back; DATABASE_URL when left out. */
  readonly databaseUrl?: string
  /** A server process of its own (`node packages/server/src/main.js`), which can be killed; otherwise in this process, which is quicker. */
  readonly process?: boolean
  /** Handlers of tasks, whose names begin with `test.`; only in this process. */
  readonly testHandlers?: readonly Handler[]
  /** A clock that stands until `advance`; only in this process. It starts now, so that files of both clocks fit together. */
  readonly fakeClock?: boolean
  /** When the fake clock starts; now when left out. Ids of one process only grow: no earlier than another system of it was. */
  readonly clockAt?: number
  /** After the server has gone. */
  readonly afterwards?: () => Promise<void>
}

/** A user of the system: a client that carries the user's bearer token. */
export interface Person extends Client {
  readonly username: string
  readonly password: string
  /** The API's id and number. */
  readonly id: string
  readonly number: number
  /** A token that works now; logs in when there is none. */
  token(): Promise<string>
}

export interface TestSystem extends AsyncDisposable {
  readonly folder: string
  /** The server of this process, for what has no endpoint. */
  readonly app: App
  /** The PostgreSQL database as its superuser sees it, or undefined for SQLite. */
  readonly databaseUrl: string | undefined
  /** http://127.0.0.1:port */
  readonly base: string
  readonly anonymous: Client
  /** The first administrator, admin/admin123. */
  readonly admin: Person
  /** employee/employee123. */
  readonly employee: Person
  /** A second employee. */
  readonly bob: Person
  /** Somebody else, new, with a role in the project `default`. */
  hire(username: string, role: Role): Promise<Person>
  /** Resolves when the run is final; fails after 30 s. */
  waitFor(run: string | number): Promise<RunDetail>
  /** Resolves when every audit event so far is in the log. */
  settle(): Promise<void>
  /** By the clock of the server. */
  now(): number
  /** Moves the fake clock; whoever logged in before is logged in again at the next request. */
  advance(ms: number): void
  /** As somebody who sets the fake clock: by so much, while no time passes. */
  setClock(ms: number): void
  /** Checks every invariant, in every project. See the steps inside. */
  check(): Promise<void>
  /** What the server said on its log, all levels. */
  log(): string
  /** Kills the server process with SIGKILL. */
  kill9(): Promise<void>
  /** SIGTERM to the server process, or stop in this one; resolves when it is gone. */
  stop(): Promise<void>
  /** Starts the stopped or killed server again on the same data, in the same or the other way. */
  restart(options?: Pick<StartOptions, 'process' | 'fakeClock' | 'env'>): Promise<void>
}

const PREFIX = '/api/v1'
/** Of argon2id, per hash: enough to run the real code, too little to protect anybody. */
const CHEAP = { memory: 64, passes: 1, parallelism: 1 }
/** Connections of a pool: what a server of this process does at its start would open ten, each of which is a process of PostgreSQL. */
const FEW = 5
const main = path.join(import.meta.dirname, '../packages/server/src/main.js')

/** One way of running the server. */
interface Running {
  readonly base: string
  readonly app: App | null
  stop(): Promise<void>
  kill9(): Promise<void>
}

export const TestSystem = {
  /** @throws Error with what the server said, when it does not start */
  async start(options: StartOptions = {}): Promise<TestSystem> {
    const folder = await mkdtemp(path.join(tmpdir(), 'writ-system-'))
    let clock = createFakeClock(options.clockAt ?? Date.now())
    let said = ''
    const hear = (text: string) => {
      said += text
    }
    let current = options
    const run = () => (current.process ? startProcess(folder, current) : startHere(folder, current, clock, hear))
    let running: Running | null = await run().catch(async (error: unknown) => {
      removeFolder(folder)
      await options.afterwards?.()
      throw error
    })
    const base = () => {
      assert.ok(running, 'the server is stopped')
      return running.base
    }
    const anonymous = createClient({ base, prefix: PREFIX, credentials: async () => ({}) })
    const people = new Set<{ forget(): void }>()
    const person = (username: string, password: string, who: { id: string; number: number }): Person => {
      let token: Promise<string> | null = null
      people.add({ forget: () => (token = null) })
      const login = () => {
        token ??= anonymous.post<{ access_token: string }>('/auth/login', { username, password }).then((answer) => {
          assert.equal(answer.status, 200, JSON.stringify(answer.body))
          return answer.body.access_token
        })
        return token
      }
      const client = createClient({
        base,
        prefix: PREFIX,
        credentials: async () => ({ authorization: `Bearer ${await login()}` }),
      })
      return { ...client, ...who, username, password, token: login }
    }
    const meet = async (username: string, password: string) => {
      const stranger = person(username, password, { id: '', number: 0 })
      const me = await stranger.get<{ id: string; number: number }>('/auth/me')
      return person(username, password, { id: me.body.id, number: me.body.number })
    }
    const admin = await meet('admin', 'admin123')
    const hire = async (username: string, role: Role, password = `${username}-has-a-password`) => {
      const made = await admin.post<{ id: string; number: number }>('/users', {
        username,
        email: `${username}@example.com`,
        full_name: username,
        password,
        role,
      })
      assert.equal(made.status, 201, JSON.stringify(made.body))
      return person(username, password, { id: made.body.id, number: made.body.number })
    }
    const employee = await hire('employee', 'employee', 'employee123')
    const bob = await hire('bob', 'employee')
    const kept = new Map<string, string>()
    const databaseUrl = options.databaseUrl ?? options.env?.DATABASE_URL

    const system: TestSystem = {
      folder,
      databaseUrl,
      get app() {
        assert.ok(running?.app, 'the server is none of this process')
        return running.app
      },
      get base() {
        return base()
      },
      anonymous,
      admin,
      employee,
      bob,
      hire,
      async waitFor(ref) {
        const answer = await admin.get<RunDetail>(`/runs/${ref}/wait?timeout=30`)
        assert.equal(answer.status, 200, JSON.stringify(answer.body))
        assert.ok(answer.body.completed_at !== null, `run ${ref} is still ${answer.body.state}`)
        return answer.body
      },
      async settle() {
        if (running?.app) await running.app.audit.settle()
        else await until('the log has no pending entries', async () => (await describeLog(admin)).pending === 0)
      },
      now: () => (current.fakeClock ? clock.now() : Date.now()),
      advance(ms) {
        clock.advance(ms)
        for (const one of people) one.forget()
      },
      setClock(ms) {
        clock.set(ms)
        for (const one of people) one.forget()
      },
      check: () => checkEverything({ admin, folder, kept, databaseUrl }),
      log: () => said,
      async kill9() {
        await running?.kill9()
        running = null
      },
      async stop() {
        await running?.stop()
        running = null
      },
      async restart(other = {}) {
        await running?.stop()
        current = { ...current, ...other, env: { ...current.env, ...other.env } }
        if (other.fakeClock) clock = createFakeClock(Date.now())
        running = await run()
      },
      async [Symbol.asyncDispose]() {
        await running?.stop()
        running = null
        removeFolder(folder)
        await options.afterwards?.()
      },
    }
    return system
  },
}

/** Polls for what has no signal of its own; fails after 60 s, which a machine with much else to do may need. */
export async function until(claim: string, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000
  while (!(await holds())) {
    assert.ok(performance.now() < end, `never came true: ${claim}`)
    await new Promise((later) => setTimeout(later, 20))
  }
}

/** The settings of every system, each of which `env` of a test may replace. */
const settingsOf = (folder: string, options: StartOptions): Record<string, string> => ({
  HOST: '127.0.0.1',
  PORT: '0',
  WRIT_DATA_DIR: path.join(folder, 'data'),
  WRIT_ADMIN_PASSWORD: 'admin123',
  WRIT_CHECKPOINT_INTERVAL_MS: '20',
  WRIT_PROOF_SETTLE_SECONDS: '0',
  WRIT_SELF_CHECK_MINUTES: '0',
  ...options.env,
})

async function startHere(
  folder: string,
  options: StartOptions,
  clock: ReturnType<typeof createFakeClock>,
  hear: (text: string) => void,
): Promise<Running> {
  const loaded = loadConfig({ argv: [], env: settingsOf(folder, options), cwd: folder })
  assert.ok(loaded.config, loaded.problems?.join('\n'))
  const { database } = loaded.config
  if (database.kind === 'sqlite') copyMigrated(database.file)
  const destination = new Writable({
    write(chunk, _, done) {
      hear(String(chunk))
      done()
    },
  })
  const app = await openApp({
    config: loaded.config,
    log: createLog({ level: 'debug', format: 'json', destination }),
    passwordCost: CHEAP,
    poolSize: FEW,
    ...(options.testHandlers ? { testHandlers: options.testHandlers } : {}),
    ...(options.fakeClock ? { clock } : {}),
  })
  app.failed.catch((error: unknown) => hear(`the server failed: ${String(error)}\n`))
  const { port } = await app.listen()
  return {
    base: `http://127.0.0.1:${port}`,
    app,
    stop: () => app.stop(),
    kill9: async () => assert.fail('only a process of its own can be killed: start({ process: true })'),
  }
}

/** What every SQLite of these tests begins as, where `test/run.ts` has made it: to migrate takes as long as the rest of a start. */
function copyMigrated(file: string): void {
  const { WRIT_TEST_SQLITE: migrated } = process.env
  if (migrated === undefined || existsSync(file)) return
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
  copyFileSync(migrated, file)
}

async function startProcess(folder: string, options: StartOptions): Promise<Running> {
  const port = await freePort()
  const env = { PATH: process.env.PATH, ...settingsOf(folder, options), PORT: String(port) }
  const args = ['--disable-warning=ExperimentalWarning', main]
  const server: Guarded = await startGuarded({ command: process.execPath, args, folder, env })
  try {
    await server.saying('is ready at')
  } catch (error) {
    await server.stop()
    throw error
  }
  return { base: `http://127.0.0.1:${port}`, app: null, stop: () => server.stop(), kill9: () => server.kill9() }
}

const describeLog = async (client: Client, project = 'default') =>
  (await client.get<{ pending: number; root: string; size: number }>('/audit/log', inside(project))).body

const inside = (project: string) => ({ headers: { 'x-project': project } })

/** The invariants, of a server on which nothing is under way. `kept` has the checkpoints that were seen before, by project. */
export async function checkEverything(on: {
  admin: Client
  folder: string
  kept: Map<string, string>
  databaseUrl: string | undefined
}): Promise<void> {
  const { admin, kept } = on
  const projects = good(await admin.get<Project[]>('/projects'))
  const final = new Set<string>()
  for (const { slug } of projects) {
    // 1. Rows, day files and tiles agree, and the tree has grown out of every one that was seen before.
    const before = kept.get(slug)
    const report = good(
      await admin.post<VerifyReport>('/audit/verify', before ? { kept_checkpoint: before } : {}, inside(slug)),
    )
    assert.deepEqual({ ok: report.ok, reason: report.reason }, { ok: true, reason: null }, `log of ${slug}`)
    kept.set(slug, report.checkpoint)
    // 2. The log is as long as there are events, whose rows a filter counts.
    const total = async (query: string) =>
      Number((await admin.get(`/audit/events?limit=1${query}`, inside(slug))).headers.get('x-total-count'))
    const rows = () => total('&start_date=2000-01-01')
    const [least, all, most] = [await rows(), await total(''), await rows()]
    assert.ok(least > 0 && least <= all && all <= most, `${all} events of ${slug}, ${least} to ${most} rows`)
    // 3. The state of each run is what its last event says.
    const events = await eventsOfRuns(admin, slug)
    for (const run of await everyRun(admin, slug)) {
      const said = (events.get(run.id) ?? []).map((event) => event.event_type)
      assert.equal(said[0], 'run.created', `run ${run.number} of ${slug} begins with its creation`)
      const expected = eventsFor(run)
      assert.ok(
        expected.includes(said.at(-1) ?? ''),
        `run ${run.number} is ${run.state}, its last event ${said.at(-1)}`,
      )
      if (run.completed_at !== null) final.add(run.id)
      const settled = said.filter((type) => /^run\.(completed|failed|timeout|cancelled)$/.test(type))
      assert.equal(settled.length, run.completed_at === null ? 0 : 1, `run ${run.number} settles once`)
      // 4. The bytes of each artifact are those that its record names.
      for (const artifact of good(await admin.get<Artifact[]>(`/artifacts/run/${run.id}`, inside(slug)))) {
        const bytes = await admin.download(`/artifacts/${artifact.id}/download`, inside(slug))
        const digest = createHash('sha256').update(bytes.body).digest('hex')
        assert.equal(digest, artifact.sha256_hash, `bytes of artifact ${artifact.number} of ${slug}`)
        assert.equal(bytes.body.length, artifact.size_bytes)
      }
    }
  }
  // 5. A settled run has no place in the queue, so no lease, and nothing that falls due.
  const url = on.databaseUrl ?? `sqlite:${path.join(on.folder, 'data/writ.db')}`
  const db = await attachDatabase({ url })
  try {
    for (const { id, slug } of projects) {
      for (const run of await checkTasks(db, id, await eventsOfRuns(admin, slug))) final.add(run)
    }
    for (const table of ['queue', 'timers']) {
      const rows = await db.lookup<{ run_id: string }>(`select run_id from ${table}`, [])
      assert.deepEqual(
        rows.filter((row) => final.has(row.run_id)),
        [],
        `${table} of settled runs`,
      )
    }
  } finally {
    await db.close()
  }
}

/** What the last event of a run in this state may be. */
function eventsFor(run: Run): readonly string[] {
  switch (run.state) {
    case 'completed':
      return run.verdict === 'failed' ? ['run.failed'] : ['run.completed']
    case 'failed':
    case 'timeout':
    case 'cancelled':
      return [`run.${run.state}`]
    case 'running':
      return ['run.started']
    default:
      return ['run.created', 'run.requeued', 'run.reminded']
  }
}

async function everyRun(admin: Client, slug: string): Promise<Run[]> {
  const runs: Run[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: { items: Run[]; next_cursor: string | null } = good(
      await admin.get(`/runs?limit=1000&cursor=${encodeURIComponent(cursor)}`, inside(slug)),
    )
    runs.push(...page.items)
    cursor = page.next_cursor
  }
  return runs
}

/** The events of each run, oldest first. */
async function eventsOfRuns(admin: Client, slug: string): Promise<Map<string, RunEvent[]>> {
  const exported = good(await admin.get<string | null>('/audit/export?resource_type=run', inside(slug))) ?? ''
  const events = new Map<string, RunEvent[]>()
  for (const line of exported.split('\n').filter(Boolean)) {
    // One line of our own export: the twelve keys.
    const event = JSON.parse(line) as RunEvent
    // That its evidence was exported is about a run, and no step of it.
    if (event.event_type.startsWith('run.'))
      events.set(event.resource_id, [...(events.get(event.resource_id) ?? []), event])
  }
  return events
}

interface RunEvent {
  readonly event_type: string
  readonly resource_id: string
  readonly details: Record<string, unknown> | null
}

function good<T>(answer: Answer<T>): T {
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return answer.body
}
