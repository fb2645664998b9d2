import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import type { VerifyReport } from '@writ/api'
import autocannon from 'autocannon'
import pg from 'pg'
import { missingPostgres, startPostgres } from '../../test/servers/postgres.ts'
import { type Figure, median, round } from '../figure.ts'
import { startWrit, type WritProcess } from '../writ-process.ts'

const RUNS = 3
const SECONDS = 5
/** Before the first round, for all: what is measured is a server that has run for a while, not its compilers. */
const WARM_SECONDS = 10
const body = JSON.stringify({
  title: 'Replace the core switch',
  description: 'Window agreed with operations; configuration attached.',
})

/**
 * Opening a ticket with its audit event, 64 connections, against a bare Fastify route with the same validation, in
 * interleaved runs. A run of ours counts only if every answered ticket is there and the whole log verifies.
 */
export async function tickets(): Promise<Figure[]> {
  const bare = await startBare()
  const sqlite = await startWrit()
  const postgres = missingPostgres() ? null : await startPostgres()
  const onPostgres = postgres ? await startWrit({ DATABASE_URL: await freshDatabase(postgres.url) }) : null
  const rates: Record<string, number[]> = { bare: [], sqlite: [], postgres: [] }
  const opened: Record<string, number> = { sqlite: 0, postgres: 0 }
  try {
    for (let run = 0; run <= RUNS; run++) {
      // The first one warms.
      const seconds = run === 0 ? WARM_SECONDS : SECONDS
      const { rate } = await shoot(`${bare.url}/tickets`, seconds, {})
      if (run > 0) rates.bare!.push(rate)
      for (const [mode, writ] of [
        ['sqlite', sqlite],
        ['postgres', onPostgres],
      ] as const) {
        if (!writ) continue
        const { rate, good } = await shoot(`${writ.url}/api/v1/tickets`, seconds, {
          authorization: `Bearer ${await writ.token()}`,
        })
        if (run > 0) rates[mode]!.push(rate)
        opened[mode]! += good
      }
    }
    await nothingLost(sqlite, opened.sqlite!)
    if (onPostgres) await nothingLost(onPostgres, opened.postgres!)
  } finally {
    await bare.stop()
    await sqlite.stop()
    await onPostgres?.stop()
    await postgres?.stop()
  }
  const peer = median(rates.bare!)
  return (['sqlite', 'postgres'] as const)
    .filter((mode) => rates[mode]!.length > 0)
    .map((mode) => {
      const ours = median(rates[mode]!)
      return {
        suite: 'tickets',
        figure: 'tickets opened',
        mode,
        ours: round(ours),
        peer: 'bare Fastify',
        peer_value: round(peer),
        ratio: round(ours / peer),
        unit: 'requests/s',
        runs: RUNS,
        goal: { at_least: 0.5 },
      }
    })
}

async function shoot(
  url: string,
  seconds: number,
  headers: Record<string, string>,
): Promise<{ rate: number; good: number }> {
  const result = await autocannon({
    url,
    method: 'POST',
    connections: 64,
    duration: seconds,
    headers: { 'content-type': 'application/json', ...headers },
    body,
  })
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${result.non2xx} refusals and ${result.errors} errors from ${url}`)
  return { rate: result.requests.average, good: result['2xx'] }
}

/** In a process of its own, as ours is: the load generator must not share a thread with either. */
async function startBare() {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../bare-server.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return {
    url: line.toString().trim(),
    async stop() {
      child.kill('SIGTERM')
      await once(child, 'exit')
    },
  }
}

/** Every ticket that was answered is stored, and the log explains every row. */
async function nothingLost(writ: WritProcess, answered: number): Promise<void> {
  const headers = { authorization: `Bearer ${await writ.token()}`, 'content-type': 'application/json' }
  const list = await fetch(`${writ.url}/api/v1/tickets?limit=1`, { headers })
  const stored = Number(list.headers.get('x-total-count'))
  // The last request of each connection may have been answered after the generator stopped counting.
  if (stored < answered || stored > answered + 64 * (RUNS + 1))
    throw new Error(`${answered} tickets were answered, ${stored} are stored`)
  const report = (await (
    await fetch(`${writ.url}/api/v1/audit/verify`, { method: 'POST', headers, body: '{}' })
  ).json()) as VerifyReport
  if (!report.ok) throw new Error(`the log does not verify: ${report.reason}`)
  if (report.size < stored) throw new Error(`${stored} tickets, but only ${report.size} entries in the log`)
}

async function freshDatabase(url: string): Promise<string> {
  const name = `writ_bench_${randomBytes(6).toString('hex')}`
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`create database ${name}`).finally(() => client.end())
  const own = new URL(url)
  own.pathname = `/${name}`
  return own.toString()
}
