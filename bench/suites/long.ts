import { readFileSync } from 'node:fs'
import { missingPostgres, startPostgres } from '../../test/servers/postgres.ts'
import { type Figure, median, round } from '../figure.ts'
import { startWrit, type WritProcess } from '../writ-process.ts'
import { freshDatabase } from './backlog.ts'
import { dispatcherToken, nothingLost } from './dispatch.ts'

const BATCH = 500
const WINDOW = 5_000
const ROUNDS = 3
/** Tasks that were given and are not done: further ahead, it waits. */
const AHEAD = 4_000
/** What the server that others are compared with has stored at first. */
const FEW = 10_000
/** Linux counts the time of a process in hundredths of a second (USER_HZ), on every architecture. */
const TICK_MS = 10

/** Microseconds for each task: of the server's CPU, and of the clock. */
interface Cost {
  readonly cpu: number
  readonly wall: number
}

interface Compared {
  readonly stored: number
  readonly many: readonly Cost[]
  readonly few: readonly Cost[]
}

/**
 * A million tasks (`--longest`: ten) through one server, over HTTP in batches: whether its memory grows, and what a task costs with
 * 10^5, 10^6 … stored before it, beside a server with some 10^4, by turns. The stored ones are real, each with its row, its leaf and its
 * files. Counts only if every task completed and the log verifies. BENCH_LONG_TASKS makes it shorter.
 */
export async function long(longest: boolean): Promise<Figure[]> {
  const count = Number(process.env.BENCH_LONG_TASKS ?? (longest ? 1e7 : 1e6))
  const figures: Figure[] = []
  for (const mode of ['sqlite', 'postgres']) {
    if (process.env.BENCH_MODE && process.env.BENCH_MODE !== mode) continue
    if (mode === 'postgres' && missingPostgres()) continue
    const postgres = mode === 'postgres' ? await startPostgres({ fsync: true }) : null
    const servers: Loaded[] = []
    try {
      for (let i = 0; i < 2; i++)
        servers.push(await openLoaded(postgres ? await freshDatabase(postgres.url) : undefined))
      const [many, few] = servers as [Loaded, Loaded]
      const { memory, compared } = await run(many, few, count)
      for (const server of servers) await server.check()
      figures.push(...figuresOf(mode, memory, compared))
    } finally {
      for (const server of servers) await server.writ.stop()
      await postgres?.stop()
    }
  }
  return figures
}

interface Loaded {
  readonly writ: WritProcess
  given(): number
  give(tasks: number): Promise<void>
  /** What the next tasks cost, from the first to the last settled. */
  cost(tasks: number): Promise<Cost>
  /** Throws unless all that was given is done, and in the log. */
  check(): Promise<void>
}

async function openLoaded(database: string | undefined): Promise<Loaded> {
  const writ = await startWrit({
    RATE_LIMIT_MAX: '0',
    LOG_TO_FILE: 'false',
    WRIT_SELF_CHECK_MINUTES: '0',
    ...(database === undefined ? {} : { DATABASE_URL: database }),
  })
  const headers = { authorization: `Bearer ${await dispatcherToken(writ)}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ tasks: Array.from({ length: BATCH }, () => ({ handler: 'system.ping' })) })
  let done = 0

  async function open(): Promise<number> {
    const answer = await fetch(`${writ.url}/api/v1/queues`, { headers })
    const queues = (await answer.json()) as { waiting: number; in_flight: number }[]
    return queues.reduce((sum, one) => sum + one.waiting + one.in_flight, 0)
  }
  async function below(most: number): Promise<void> {
    while ((await open()) > most) await new Promise((later) => setTimeout(later, 20))
  }
  async function give(tasks: number): Promise<void> {
    for (const end = done + tasks; done < end; done += BATCH) {
      const answer = await fetch(`${writ.url}/api/v1/tasks/batch`, { method: 'POST', headers, body })
      if (answer.status !== 201) throw new Error(`a batch was answered ${answer.status} ${await answer.text()}`)
      await answer.arrayBuffer()
      if (done % AHEAD === 0) await below(AHEAD)
    }
  }
  return {
    writ,
    given: () => done,
    give,
    async cost(tasks) {
      await below(0)
      const [cpu, began] = [cpuMs(writ.pid), performance.now()]
      await give(tasks)
      await below(0)
      const [used, took] = [cpuMs(writ.pid) - cpu, performance.now() - began]
      return { cpu: (used * 1_000) / tasks, wall: (took * 1_000) / tasks }
    },
    async check() {
      await below(0)
      await nothingLost(writ, done)
    },
  }
}

async function run(many: Loaded, few: Loaded, count: number) {
  const memory: number[] = []
  const compared: Compared[] = []
  const sampleEvery = Math.max(BATCH, Math.floor(count / 100 / BATCH) * BATCH)
  const marks = [1e5, 1e6, 1e7].filter((mark) => mark <= count)
  await few.give(FEW)
  while (many.given() < count) {
    await many.give(Math.min(sampleEvery, Math.max(BATCH, (marks[0] ?? count) - many.given())))
    memory.push(many.writ.memory().now / 1e6)
    if (process.env.BENCH_VERBOSE) process.stderr.write(`${many.given()} tasks, ${round(memory.at(-1)!)} MB\n`)
    if (marks[0] === undefined || many.given() < marks[0]) continue
    const costs: { many: Cost[]; few: Cost[] } = { many: [], few: [] }
    for (let round = 0; round < ROUNDS; round++) {
      costs.few.push(await few.cost(WINDOW))
      costs.many.push(await many.cost(WINDOW))
    }
    compared.push({ stored: marks.shift()!, ...costs })
  }
  return { memory, compared }
}

/** What a process has used so far, user and system. Source: proc(5), fields 14 and 15 of stat. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

function figuresOf(mode: string, memory: readonly number[], compared: readonly Compared[]): Figure[] {
  const quarter = Math.floor(memory.length / 4)
  const second = median(memory.slice(quarter, 2 * quarter))
  const last = median(memory.slice(-quarter))
  const common = { suite: 'tasks --long', mode }
  const beside = (what: string, of: (cost: Cost) => number, goal: Figure['goal']) =>
    compared.map(({ stored, many, few }): Figure => {
      const [ours, peer] = [median(many.map(of)), median(few.map(of))]
      return {
        ...common,
        figure: `${what} for a task with ${stored} stored`,
        ours: round(ours),
        peer: 'with few',
        peer_value: round(peer),
        ratio: round(ours / peer),
        unit: 'us',
        runs: ROUNDS,
        goal,
      }
    })
  return [
    {
      ...common,
      figure: 'memory, last quarter of the tasks',
      ours: round(last),
      peer: 'second quarter',
      peer_value: round(second),
      ratio: round(last / second),
      unit: 'MB',
      runs: 1,
      goal: { at_most: 1.05 },
    },
    ...beside('CPU of the server', ({ cpu }) => cpu, { at_most: 1.1 }),
    ...beside('time', ({ wall }) => wall, null),
  ]
}
