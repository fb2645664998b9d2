import type { InsightCounts } from '@writ/api'

/** What is made of the counts of a period. Pure. */

export type Bucket = InsightCounts & { readonly at: string }
export const STEP_MS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const

/** Lengths that are asked for, in minutes. */
export const PERIODS = { '1h': 60, '6h': 360, '24h': 1_440, '7d': 10_080, '30d': 43_200, '90d': 129_600 } as const
export type Period = keyof typeof PERIODS

const NOTHING: InsightCounts = {
  ended: 0,
  failed: 0,
  cancelled: 0,
  cost_usd: 0,
  ran_ms: null,
  waited_ms: null,
  error_codes: [],
}

/** Every step of the period, with nothing where nothing ended: a gap is told from a line that goes on. */
export function filled(of: {
  from: string
  to: string
  step: keyof typeof STEP_MS
  buckets: readonly Bucket[]
}): (InsightCounts & { readonly time: number })[] {
  const known = new Map(of.buckets.map((one) => [Date.parse(one.at), one]))
  const steps: (InsightCounts & { time: number })[] = []
  for (let at = Date.parse(of.from); at < Date.parse(of.to); at += STEP_MS[of.step])
    steps.push({ ...(known.get(at) ?? NOTHING), time: at })
  return steps
}

/** How many failed of those that ended, from 0 to 1; null of none. */
export const failing = ({ ended, failed }: Pick<InsightCounts, 'ended' | 'failed'>): number | null =>
  ended === 0 ? null : failed / ended

export interface Hour {
  readonly ended: number
  readonly failed: number
  /** 0 for nothing, then five shades up to the busiest hour. */
  readonly shade: number
}

/** Ends by weekday, Monday first, and hour of the day, in the zone of whoever looks. */
export function heatOf(buckets: readonly Bucket[]): Hour[][] {
  const cells = Array.from({ length: 7 }, () => Array.from({ length: 24 }, () => ({ ended: 0, failed: 0 })))
  for (const { at, ended, failed } of buckets) {
    const time = new Date(at)
    const cell = cells[(time.getDay() + 6) % 7]![time.getHours()]!
    cell.ended += ended
    cell.failed += failed
  }
  const most = Math.max(1, ...cells.flat().map(({ ended }) => ended))
  return cells.map((day) => day.map((one) => ({ ...one, shade: Math.ceil((one.ended / most) * 5) })))
}

export interface Change {
  readonly handler: string
  readonly now: InsightCounts
  readonly before: InsightCounts
}

/** Handlers of either period, those first of which most changed: how many failed, then how many ended. */
export function changes(
  now: readonly (InsightCounts & { handler: string })[],
  before: readonly (InsightCounts & { handler: string })[],
): Change[] {
  const then = new Map(before.map((one) => [one.handler, one]))
  const names = new Set([...now, ...before].map(({ handler }) => handler))
  const today = new Map(now.map((one) => [one.handler, one]))
  return [...names]
    .map((handler) => ({ handler, now: today.get(handler) ?? NOTHING, before: then.get(handler) ?? NOTHING }))
    .sort(
      (a, b) =>
        Math.abs((failing(b.now) ?? 0) - (failing(b.before) ?? 0)) -
          Math.abs((failing(a.now) ?? 0) - (failing(a.before) ?? 0)) ||
        Math.abs(b.now.ended - b.before.ended) - Math.abs(a.now.ended - a.before.ended) ||
        a.handler.localeCompare(b.handler),
    )
}
