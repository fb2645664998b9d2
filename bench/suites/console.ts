import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Browser, Page } from 'playwright-core'
import { buildConsole } from '../../packages/console/build.ts'
import { createClient, createWorker } from '../../packages/sdk/src/index.ts'
import { startChromium } from '../../test/servers/chromium.ts'
import { type Figure, median, round } from '../figure.ts'
import { startWrit, type WritProcess } from '../writ-process.ts'
import { scoresOfHome } from './lighthouse.ts'

const DAYS = 25
/** The log tells of every eleventh: to count a million ends takes two minutes, and says no more than to count ninety thousand. */
const TOLD = 11

/**
 * The console over a million tasks, in Chromium: how long the main thread is held while a list is scrolled, what it costs to
 * count them and to ask for the counts, and what Lighthouse says of the home page.
 */
export async function console(runs = 1_000_000): Promise<Figure[]> {
  await buildConsole()
  const found: Figure[] = []
  const writ = await startWrit()
  try {
    fill(writ, runs)
    const counted = await countingOf(writ, Math.ceil(runs / TOLD))
    passed(writ)
    found.push(...counted, ...(await scrolling(writ, runs)), ...(await following(writ)))
  } finally {
    await writ.stop()
  }
  const scores = await scoresOfHome()
  const scored = scores.map(({ device, category, score, rounds }) => ({
    ...figure(`Lighthouse, home, ${device}: ${category}`, score, 'of 100', { at_least: 95 }),
    runs: rounds,
  }))
  return [...found, ...scored]
}

/** Settled tasks of twenty handlers, with what the log says of some. Beside the server, which is idle meanwhile. */
function fill(writ: WritProcess, runs: number): void {
  const db = new DatabaseSync(join(writ.folder, 'data/writ.db'), { timeout: 30_000 })
  // What a crash would cost here is the measurement.
  db.exec('pragma synchronous = off; pragma cache_size = -200000')
  const project = (db.prepare("select id from projects where slug = 'default'").get() as { id: string }).id
  const admin = (db.prepare("select id from users where username = 'admin'").get() as { id: string }).id
  const from = Date.now() - DAYS * 86_400_000
  const step = (DAYS * 86_400_000) / runs
  const id = (prefix: string) =>
    `substr(printf('%012x', at), 1, 8) || '-' || substr(printf('%012x', at), 9, 4) || '-7' || printf('%03x', i & 4095) || '-${prefix}' || printf('%03x', i & 4095) || '-' || printf('%012x', i)`
  const BATCH = Math.min(50_000, runs)
  // Events that were appended together share an append.
  const APPENDED = 100
  // With room for what the server itself appends meanwhile.
  const appends = (db.prepare('select coalesce(max(seq), 0) + 1000 as n from audit_appends').get() as { n: number }).n
  for (let first = 0; first < runs; first += BATCH) {
    const all = `with recursive n(i) as (values (${first}) union all select i + 1 from n where i < ${first + BATCH - 1}),
      m as (select i, i / ${TOLD} as told, cast(${from} + i * ${step} as integer) as at from n)`
    db.exec('begin immediate')
    db.exec(`insert into runs (project_id, id, number, kind, handler, state, executed_by_id, root_run_id, trigger, trace_id,
        created_at, updated_at, started_at, completed_at, queue, priority, run_at, max_attempts, timeout_ms, attempt, input, input_sha256, error_code, worker)
      ${all} select '${project}', ${id('8')}, i + 1, 'task', 'team.handler-' || (i % 20),
        case when i % 50 = 0 then 'failed' else 'completed' end, '${admin}', ${id('8')}, '{}', printf('%032x', i),
        at, at, at + i % 40, at + i % 40 + i % 3000, 'queue-' || (i % 5), 0, at, 1, 60000, 1, '{"port":' || i || '}', printf('%064x', i),
        case when i % 50 = 0 then 'TASK_FAILED' end, 'w1' from m`)
    db.exec(`insert into audit_events (project_id, id, event_type, timestamp, actor_kind, resource_type, resource_id, success, event, salt, entry, append, place)
      ${all} select '${project}', ${id('9')}, case when i % 50 = 0 then 'run.failed' else 'run.completed' end, at, 'system', 'run', ${id('8')},
        1, '{}', x'00', x'00', ${appends} + told / ${APPENDED}, told % ${APPENDED} from m where i % ${TOLD} = 0`)
    db.exec('commit')
  }
  db.exec(`insert into audit_appends (seq, project_id, first_id, last_id, entries, shard, log_index)
    select append, project_id, min(id), max(id), count(*), 1, (append - ${appends}) * ${APPENDED} from audit_events
    where append >= ${appends} group by append, project_id`)
  db.exec(
    `insert into counters (project_id, name, value, total) values ('${project}', 'run', ${runs}, ${runs}), ('${project}', 'runs', ${runs}, ${runs}), ('${project}', 'tasks', ${runs}, ${runs})
     on conflict (project_id, name) do update set value = excluded.value, total = excluded.total`,
  )
  db.close()
}

/** What was made here stands behind the end of the real log, where it would be told to every page that opens: from now on it is history. */
function passed(writ: WritProcess): void {
  const db = new DatabaseSync(join(writ.folder, 'data/writ.db'), { timeout: 30_000 })
  db.exec('update audit_appends set shard = -2 where shard = 1')
  db.close()
}

async function countingOf(writ: WritProcess, runs: number): Promise<Figure[]> {
  const started = performance.now()
  const headers = { authorization: `Bearer ${await writ.token()}` }
  const url = `${writ.url}/api/v1/insight?from=${new Date(Date.now() - 30 * 86_400_000).toISOString()}`
  const total = async () => ((await (await fetch(url, { headers })).json()) as { total: { ended: number } }).total.ended
  for (;;) {
    if ((await total()) >= runs) break
    await new Promise((later) => setTimeout(later, 500))
  }
  const seconds = (performance.now() - started) / 1_000
  const times: number[] = []
  for (let i = 0; i < 20; i++) {
    const before = performance.now()
    await (await fetch(url, { headers })).arrayBuffer()
    times.push(performance.now() - before)
  }
  return [
    figure('ends counted in the background', round(runs / seconds), '/s', null),
    figure(`GET /insight, 30 days by hour, of ${runs} runs`, round(median(times)), 'ms', null),
  ]
}

/** A page of the console with somebody signed in. */
async function openPage(browser: Browser, writ: WritProcess, place: string): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } })
  await page.goto(`${writ.url.replace('127.0.0.1', 'localhost')}/app/default/${place}`)
  await page.locator('input[name=username]').fill('admin')
  await page.locator('input[name=password]').fill('bench-has-a-password')
  await page.locator('form button[type=submit]').click()
  return page
}

const figuresOf = (of: string, { longest, p95, frames }: Measured): Figure[] => [
  figure(`longest task of the main thread, ${of} (${frames} frames)`, round(longest), 'ms', { at_most: 50 }),
  figure(`script of a frame, p95, ${of}`, round(p95), 'ms', { at_most: 8 }),
]

/** Long tasks and the script of each frame while a list of a million is scrolled to and fro. */
async function scrolling(writ: WritProcess, runs: number): Promise<Figure[]> {
  const browser = await startChromium()
  try {
    const page = await openPage(browser, writ, 'tasks')
    await page.locator('.list-row').first().waitFor()
    await page.waitForTimeout(3_000)
    const found = await measured(browser, page, async () => {
      // Forty wheel turns a second for three seconds, as a hand would: further down than any screen.
      await page.mouse.move(700, 500)
      for (let i = 0; i < 120; i++) {
        await page.mouse.wheel(0, i < 90 ? 400 : -900)
        await page.waitForTimeout(25)
      }
    })
    return figuresOf(`a list of ${runs}`, found)
  } finally {
    await browser.close()
  }
}

const LINES_A_SECOND = 1_000

/** The same while a task prints a thousand lines a second and its page follows, for eight seconds from the fifth on. */
async function following(writ: WritProcess): Promise<Figure[]> {
  const browser = await startChromium()
  const client = createClient({ url: writ.url, token: await writ.token() })
  const worker = createWorker(client)
  const stop = new AbortController()
  worker.handle('bench.prints', { timeoutMs: 120_000 }, async (_, { log, signal }) => {
    for (let i = 1; !signal.aborted; i++) {
      log(`${new Date().toISOString()} \u001b[32mok\u001b[0m port 1/0/${i % 48} of switch ${i} answers in ${i % 97} ms`)
      if (i % (LINES_A_SECOND / 20) === 0) await new Promise((later) => setTimeout(later, 50))
    }
  })
  const working = worker.run(stop.signal)
  try {
    while (!(await client.tasks.handlers()).some((one) => one.name === 'bench.prints'))
      await new Promise((later) => setTimeout(later, 100))
    const { number } = await client.tasks.submit({ body: { handler: 'bench.prints', input: {} } })
    const page = await openPage(browser, writ, `tasks/${number}`)
    await page.locator('.log-row').first().waitFor()
    await page.waitForTimeout(5_000)
    const found = await measured(browser, page, () => page.waitForTimeout(8_000))
    await client.tasks.cancel({ params: { id: number }, body: null })
    return figuresOf(`a log of ${LINES_A_SECOND} lines a second`, found)
  } finally {
    stop.abort()
    await browser.close()
    await working
  }
}

interface Measured {
  readonly longest: number
  readonly p95: number
  readonly frames: number
}

interface TraceEvent {
  readonly name: string
  readonly ph: string
  readonly ts: number
  readonly dur?: number
  /** Of the processor, without the time in which other programs had it. */
  readonly tdur?: number
  readonly pid: number
  readonly tid: number
  readonly args?: { readonly name?: string; readonly data?: { readonly type?: string } }
}

/** What the browser's trace says of the main thread of the page while something is done: milliseconds of the processor. */
async function measured(browser: Browser, page: Page, work: () => Promise<void>): Promise<Measured> {
  await browser.startTracing(page, { categories: ['devtools.timeline', 'disabled-by-default-devtools.timeline'] })
  await work()
  const trace = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] }
  const events = trace.traceEvents
  const mains = new Set(
    events
      .filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain')
      .map(({ pid, tid }) => `${pid}/${tid}`),
  )
  if (mains.size === 0) throw new Error('the trace names no main thread')
  const mine = events.filter(({ ph, pid, tid }) => ph === 'X' && mains.has(`${pid}/${tid}`))
  const tasks = mine.filter(({ name }) => name === 'RunTask' || name === 'ThreadControllerImpl::RunTask')
  const longest = Math.max(0, ...tasks.map(({ dur = 0, tdur = dur }) => tdur)) / 1_000
  // Script between two frames: function calls and timers, without those that stand in others.
  const scripts = mine
    .filter(({ name }) => ['FunctionCall', 'EvaluateScript', 'FireAnimationFrame', 'RunMicrotasks'].includes(name))
    .sort((a, b) => a.ts - b.ts)
  const outer: TraceEvent[] = []
  for (const one of scripts) {
    const last = outer.at(-1)
    if (last && one.ts < last.ts + (last.dur ?? 0)) continue
    outer.push(one)
  }
  const frame = 16_667
  const perFrame = new Map<number, number>()
  for (const { ts, dur = 0, tdur = dur } of outer) {
    const at = Math.floor(ts / frame)
    perFrame.set(at, (perFrame.get(at) ?? 0) + tdur)
  }
  const times = [...perFrame.values()].sort((a, b) => a - b)
  return { longest, p95: (times[Math.floor(times.length * 0.95)] ?? 0) / 1_000, frames: times.length }
}

const figure = (name: string, ours: number, unit: string, goal: Figure['goal']): Figure => ({
  suite: 'console',
  figure: name,
  mode: 'sqlite',
  ours,
  peer: null,
  peer_value: null,
  ratio: null,
  unit,
  runs: 1,
  goal,
})
