import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import autocannon from 'autocannon'
import pg from 'pg'
import { startPostgres } from '../../test/servers/postgres.ts'
import { type Figure, median, round } from '../figure.ts'
import { startWrit, type WritProcess } from '../writ-process.ts'

const RUNS = 3
const SECONDS = 5
/** Before the first round, for both: what is measured is a server that has run for a while, not its compilers. */
const WARM_SECONDS = 15
const CLIENTS = 16
const body = JSON.stringify({ title: 'Replace the core switch', description: 'Window agreed with operations.' })

/**
 * What the audit costs: changes a second on PostgreSQL (fsync on) from 16 clients, beside the same server with an append that
 * writes nothing; and how long after its answer a change is under a signed checkpoint.
 */
export async function commits(): Promise<Figure[]> {
  const postgres = await startPostgres({ fsync: true })
  const own = async () => {
    const name = `writ_bench_${randomBytes(6).toString('hex')}`
    const client = new pg.Client({ connectionString: postgres.url })
    await client.connect()
    await client.query(`create database ${name}`).finally(() => client.end())
    const url = new URL(postgres.url)
    url.pathname = name
    return { DATABASE_URL: url.href, WRIT_CHECKPOINT_INTERVAL_MS: '250' }
  }
  const audited = await startWrit(await own())
  const bare = await startWrit({
    ...(await own()),
    NODE_OPTIONS: `--import ${join(import.meta.dirname, '../without-audit.ts')}`,
  })
  try {
    const rates: { audited: number[]; bare: number[] } = { audited: [], bare: [] }
    await shoot(bare, WARM_SECONDS)
    let answered = (await shoot(audited, WARM_SECONDS)).good
    for (let run = 0; run < RUNS; run++) {
      rates.bare.push((await shoot(bare)).rate)
      const { rate, good } = await shoot(audited)
      rates.audited.push(rate)
      answered += good
    }
    const delays = await publishedAfter(audited)
    answered += delays.length
    await everyChangeIsInTheLog(audited, answered)
    if ((await logSize(bare)) > 50) throw new Error('the server without audit appended events')
    const ours = median(rates.audited)
    const peer = median(rates.bare)
    const figure = { suite: 'commits', mode: 'postgres', runs: RUNS }
    return [
      {
        ...figure,
        figure: 'audited changes, 16 clients',
        ours: round(ours),
        peer: null,
        peer_value: null,
        ratio: null,
        unit: 'changes/s',
        goal: { at_least: 2_500 },
      },
      {
        ...figure,
        figure: 'audited changes against none',
        ours: round(ours),
        peer: 'the same without audit',
        peer_value: round(peer),
        ratio: round(ours / peer),
        unit: 'changes/s',
        goal: { at_least: 0.8 },
      },
      {
        ...figure,
        figure: 'answer to signed checkpoint, p99',
        ours: round(delays.toSorted((a, b) => a - b)[Math.floor(delays.length * 0.99)]!),
        peer: null,
        peer_value: null,
        ratio: null,
        unit: 'ms',
        goal: { at_most: 500 },
      },
    ]
  } finally {
    await audited.stop()
    await bare.stop()
    await postgres.stop()
  }
}

async function shoot(writ: WritProcess, seconds = SECONDS): Promise<{ rate: number; good: number }> {
  const result = await autocannon({
    url: `${writ.url}/api/v1/tickets`,
    method: 'POST',
    connections: CLIENTS,
    duration: seconds,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${await writ.token()}` },
    body,
  })
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${result.non2xx} refusals, ${result.errors} errors`)
  return { rate: result.requests.average, good: result['2xx'] }
}

const logFolder = (writ: WritProcess) => {
  const logs = join(writ.folder, 'data/log')
  return join(logs, readdirSync(logs).find((name) => name !== '_instance')!, '0')
}
const publishedSize = (writ: WritProcess) =>
  Number(readFileSync(join(logFolder(writ), 'checkpoint'), 'utf8').split('\n')[1])

/** For each change of five seconds' load: milliseconds from its answer until the published checkpoint counts it. */
async function publishedAfter(writ: WritProcess): Promise<number[]> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${await writ.token()}` }
  const file = join(logFolder(writ), 'checkpoint')
  const published: { at: number; size: number }[] = []
  const look = setInterval(() => {
    const size = Number(readFileSync(file, 'utf8').split('\n')[1])
    if (size !== published.at(-1)?.size) published.push({ at: performance.now(), size })
  }, 2)
  const answers = new Map<string, number>()
  const end = performance.now() + SECONDS * 1_000
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      while (performance.now() < end) {
        const answer = await fetch(`${writ.url}/api/v1/tickets`, { method: 'POST', headers, body })
        const { id } = (await answer.json()) as { id: string }
        answers.set(id, performance.now())
      }
    }),
  )
  await everyChangeIsInTheLog(writ, 0)
  clearInterval(look)
  const delays: number[] = []
  for (let cursor = ''; delays.length < answers.size; ) {
    const page = (await (
      await fetch(`${writ.url}/api/v1/audit/events?event_type=ticket.created&limit=200&cursor=${cursor}`, { headers })
    ).json()) as { items: { resource_id: string; log_index: number }[]; next_cursor: string | null }
    for (const event of page.items) {
      const answered = answers.get(event.resource_id)
      if (answered === undefined) continue
      const seen = published.find(({ size }) => size > event.log_index)
      if (!seen) throw new Error(`entry ${event.log_index} was never published`)
      delays.push(Math.max(0, seen.at - answered))
    }
    if (page.next_cursor === null) break
    cursor = encodeURIComponent(page.next_cursor)
  }
  if (delays.length !== answers.size) throw new Error(`${answers.size} answers, ${delays.length} events`)
  return delays
}

async function logSize(writ: WritProcess): Promise<number> {
  const headers = { authorization: `Bearer ${await writ.token()}` }
  return ((await (await fetch(`${writ.url}/api/v1/audit/log`, { headers })).json()) as { size: number }).size
}

/** A run counts only if nothing was left out: every answered change has its entry, and the log verifies. */
async function everyChangeIsInTheLog(writ: WritProcess, answered: number): Promise<void> {
  const headers = { authorization: `Bearer ${await writ.token()}`, 'content-type': 'application/json' }
  const report = (await (
    await fetch(`${writ.url}/api/v1/audit/verify`, { method: 'POST', headers, body: '{}' })
  ).json()) as { ok: boolean; reason: string | null; size: number }
  if (!report.ok) throw new Error(`the log does not verify: ${report.reason}`)
  if (report.size < answered) throw new Error(`${answered} changes were answered, the log has ${report.size} entries`)
  while (publishedSize(writ) < report.size) await new Promise((later) => setTimeout(later, 20))
}
