import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import type { VerifyReport } from '@writ/api'
import autocannon from 'autocannon'
import { missingPostgres, startPostgres } from '../../test/servers/postgres.ts'
import { type Figure, median, round } from '../figure.ts'
import { startWrit, type WritProcess } from '../writ-process.ts'
import { freshDatabase } from './backlog.ts'

const RUNS = 3
const SECONDS = 5
/** Before the first round, for all: what is measured is a server that has run for a while, not its compilers. */
const WARM_SECONDS = 10
const CONNECTIONS = 64
const body = JSON.stringify({ task: 'system.ping', taskData: { msg: 'hello' }, async: true })

/**
 * `POST /dispatch`, one task a request, 64 connections, against a bare Fastify route with the same validation that answers at
 * once and stores nothing. Ours does the tasks too. It counts only if every task that was answered ended, and the log verifies.
 */
export async function dispatch(): Promise<Figure[]> {
  const bare = await startBare()
  const postgres = missingPostgres() ? null : await startPostgres({ fsync: true })
  const env = { RATE_LIMIT_MAX: '0', LOG_TO_FILE: 'false', WRIT_SELF_CHECK_MINUTES: '0' }
  const servers = new Map<string, { writ: WritProcess; token: string; rates: number[]; answered: number }>()
  const echo: number[] = []
  try {
    for (const [mode, more] of [
      ['sqlite', {}],
      ...(postgres ? [['postgres', { DATABASE_URL: await freshDatabase(postgres.url) }] as const] : []),
    ] as const) {
      const writ = await startWrit({ ...env, ...more })
      servers.set(mode, { writ, token: await dispatcherToken(writ), rates: [], answered: 0 })
    }
    await shoot(bare.url, WARM_SECONDS)
    for (const server of servers.values())
      server.answered += (await shoot(server.writ.url, WARM_SECONDS, server.token)).good
    for (let run = 0; run < RUNS; run++)
      for (const server of servers.values()) {
        echo.push((await shoot(bare.url, SECONDS)).rate)
        const { rate, good } = await shoot(server.writ.url, SECONDS, server.token)
        server.rates.push(rate)
        server.answered += good
      }
    for (const { writ, answered } of servers.values()) await nothingLost(writ, answered)
  } finally {
    await bare.stop()
    for (const { writ } of servers.values()) await writ.stop()
    await postgres?.stop()
  }
  return [...servers].map(([mode, { rates }]) => ({
    suite: 'dispatch',
    figure: `POST /dispatch one by one, ${CONNECTIONS} connections`,
    mode,
    ours: round(median(rates)),
    peer: 'bare Fastify',
    peer_value: round(median(echo)),
    ratio: round(median(rates) / median(echo)),
    unit: 'requests/s',
    runs: RUNS,
    goal: { at_least: 0.6 },
  }))
}

async function shoot(url: string, seconds: number, token?: string): Promise<{ rate: number; good: number }> {
  const result = await autocannon({
    url: `${url}/dispatch`,
    method: 'POST',
    connections: CONNECTIONS,
    duration: seconds,
    headers: { 'content-type': 'application/json', ...(token ? { 'x-api-token': token } : {}) },
    body,
  })
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${result.non2xx} refusals and ${result.errors} errors from ${url}`)
  return { rate: result.requests.average, good: result['2xx'] }
}

export async function dispatcherToken(writ: WritProcess): Promise<string> {
  const answer = await fetch(`${writ.url}/api/v1/tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await writ.token()}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'bench', role: 'ops' }),
  })
  if (answer.status !== 201) throw new Error(`no token: ${answer.status} ${await answer.text()}`)
  return ((await answer.json()) as { token: string }).token
}

/** Waits until nothing waits, and compares. */
export async function nothingLost(writ: WritProcess, answered: number): Promise<void> {
  const headers = { authorization: `Bearer ${await writ.token()}`, 'content-type': 'application/json' }
  const count = async (query: string) => {
    const list = await fetch(`${writ.url}/api/v1/tasks?limit=1${query}`, { headers })
    if (!list.ok) throw new Error(`GET /tasks answered ${list.status} ${await list.text()}`)
    return Number(list.headers.get('x-total-count'))
  }
  for (;;) {
    const queues = (await (await fetch(`${writ.url}/api/v1/queues`, { headers })).json()) as {
      waiting: number
      in_flight: number
    }[]
    if (queues.every((one) => one.waiting === 0 && one.in_flight === 0)) break
    await new Promise((later) => setTimeout(later, 100))
  }
  const [all, completed] = [await count(''), await count('&state=completed')]
  if (all !== completed) throw new Error(`${all} tasks, ${completed} completed`)
  if (all < answered) throw new Error(`${answered} were answered, ${all} are there`)
  const report = await verified(`${writ.url}/api/v1/audit/verify`, headers)
  if (!report.ok) throw new Error(`the log does not verify: ${report.reason}`)
}

/** Not by `fetch`, which gives an answer five minutes to begin: a log of ten million entries takes longer. */
async function verified(url: string, headers: Record<string, string>): Promise<VerifyReport> {
  const asked = request(url, { method: 'POST', headers })
  asked.end('{}')
  const [answer] = (await once(asked, 'response')) as [IncomingMessage]
  return (await json(answer)) as VerifyReport
}

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
