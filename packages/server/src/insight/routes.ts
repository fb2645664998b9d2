import type { InsightCounts, insightApi } from '@writ/api'
import { NANOS } from '@writ/api/costs'
import { comparePositions, endOfLog } from '../audit/index.ts'
import type { Caller } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339 } from '../platform/clock.ts'
import type { Handlers } from '../platform/http/mount.ts'
import { KEPT_MS } from './count.ts'
import { addTo, quantiles } from './histogram.ts'
import * as store from './store.ts'
import { STEPS, type StatsRow, type Step } from './store.ts'

const HOUR = STEPS.hour
const DAY = STEPS.day
/** Rows of one answer: each is read and added up, so this bounds what a question costs. */
const MOST_ROWS = 50_000
const MOST_MS = 400 * DAY

export const insightHandlers = (): Handlers<typeof insightApi, Caller> => ({
  async get(ask) {
    const { query, caller } = ask
    const asked = { from: Date.parse(query.from), to: query.to === undefined ? caller.at : Date.parse(query.to) }
    if (!(asked.from < asked.to) || asked.to - asked.from > MOST_MS) throw new AppError('INSIGHT_PERIOD_INVALID')
    const step = stepOf(asked.from, asked.to, caller.at)
    const size = STEPS[step]
    // Whole steps: half of one is not known.
    const from = Math.floor(asked.from / size) * size
    const to = Math.ceil(asked.to / size) * size
    const want = { step, from, to, handler: query.handler, queue: query.queue }
    const { found, behind } = await ask.read(async (tx) => {
      const [cursor, end] = [await store.findCursor(tx), await endOfLog(tx)]
      return {
        found: await store.listStats(tx, want, MOST_ROWS + 1),
        behind: end.index >= 0 && comparePositions(cursor, end) < 0,
      }
    })
    if (found.length > MOST_ROWS) throw new AppError('INSIGHT_TOO_LARGE')
    // Once for all four sums.
    const rows = found.map(parsed)
    return {
      from: rfc3339(from),
      to: rfc3339(to),
      step,
      behind,
      total: countsOf(rows),
      buckets: [...grouped(rows, ({ at }) => at)].map(([at, of]) => ({ at: rfc3339(at), ...countsOf(of) })),
      handlers: [...grouped(rows, ({ handler }) => handler)].map(([handler, of]) => ({ handler, ...countsOf(of) })),
      queues: [...grouped(rows, ({ queue }) => queue)].map(([queue, of]) => ({ queue, ...countsOf(of) })),
    }
  },
})

/** The finest step of which all is kept and an answer has at most some hundred. */
function stepOf(from: number, to: number, now: number): Step {
  const kept = (step: 'minute' | 'hour') => from >= now - KEPT_MS[step]!
  if (to - from <= 6 * HOUR && kept('minute')) return 'minute'
  return to - from <= 31 * DAY && kept('hour') ? 'hour' : 'day'
}

type Classes = Record<string, number>
type Row = Omit<StatsRow, 'ran' | 'waited' | 'codes'> & { ran: Classes; waited: Classes; codes: Classes }

// What `count.ts` wrote.
const parsed = (row: StatsRow): Row => ({
  ...row,
  ran: JSON.parse(row.ran) as Classes,
  waited: JSON.parse(row.waited) as Classes,
  codes: JSON.parse(row.codes) as Classes,
})

function grouped<K>(rows: readonly Row[], by: (row: Row) => K): Map<K, Row[]> {
  const groups = new Map<K, Row[]>()
  for (const row of rows) {
    const key = by(row)
    const group = groups.get(key)
    if (group) group.push(row)
    else groups.set(key, [row])
  }
  return groups
}

function countsOf(rows: readonly Row[]): InsightCounts {
  const sum = { ended: 0, failed: 0, cancelled: 0 }
  let nanos = 0
  const [ran, waited, codes]: [Classes, Classes, Classes] = [{}, {}, {}]
  for (const row of rows) {
    sum.ended += row.ended
    sum.failed += row.failed
    sum.cancelled += row.cancelled
    nanos += row.cost_nanos
    addTo(ran, row.ran)
    addTo(waited, row.waited)
    addTo(codes, row.codes)
  }
  return {
    ...sum,
    cost_usd: nanos / NANOS,
    ran_ms: percentiles(ran),
    waited_ms: percentiles(waited),
    error_codes: Object.entries(codes)
      .map(([code, count]) => ({ code, count }))
      .sort((a, b) => b.count - a.count || (a.code < b.code ? -1 : 1))
      .slice(0, 10),
  }
}

function percentiles(histogram: Classes) {
  const [p50, p95, p99] = quantiles(histogram, [0.5, 0.95, 0.99]) ?? []
  return p50 === undefined ? null : { p50, p95: p95!, p99: p99! }
}
