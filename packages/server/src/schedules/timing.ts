import { Cron } from 'croner'

/** When a schedule is due. Exactly one of `cron`, `everyMs` and `at` is set; times are milliseconds. */
export interface Timing {
  /** Five fields, or six with seconds first. */
  readonly cron: string | null
  /** Counted from `startsAt`, or from 1970. */
  readonly everyMs: number | null
  readonly at: number | null
  /** IANA name; of `cron` only. */
  readonly zone: string
  /** Of a local time that does not exist because clocks went forward: not at all, or when the gap ends. */
  readonly dstGap: 'skip' | 'after'
  /** Of a local time that comes twice because clocks went back. */
  readonly dstOverlap: 'first' | 'both'
  readonly startsAt: number | null
  /** The last time may be this one. */
  readonly endsAt: number | null
}

const DAY = 86_400_000
/** The last that RFC 3339 can write. */
const LAST_TIME = Date.UTC(9999, 11, 31, 23, 59, 59, 999)
/** More than clocks go back anywhere. */
const LONGEST_OVERLAP = 3 * 3_600_000

/** The first due time after `after`, or null if there is none any more. */
export function nextAfter(timing: Timing, after: number): number | null {
  const from = timing.startsAt === null ? after : Math.max(after, timing.startsAt - 1)
  const next = nextOf(timing, from)
  return next === null || next > (timing.endsAt ?? LAST_TIME) || next > LAST_TIME ? null : next
}

/** Up to `count` due times after `after`, of those up to `until`. */
export function nextTimes(timing: Timing, after: number, count: number, until = Number.POSITIVE_INFINITY): number[] {
  const times: number[] = []
  for (let at: number | null = after; times.length < count; times.push(at)) {
    at = nextAfter(timing, at)
    if (at === null || at > until) break
  }
  return times
}

/** The last `count` due times from `from` to `to`, both included, oldest first. Costs by `count`, not by the time between. */
export function lastTimes(timing: Timing, from: number, to: number, count: number): number[] {
  for (let span = 60_000; ; span *= 4) {
    const begin = Math.max(from, to - span)
    const times: number[] = []
    for (let at = nextAfter(timing, begin - 1); at !== null && at <= to; at = nextAfter(timing, at)) times.push(at)
    if (times.length >= count || begin === from) return times.slice(-count)
  }
}

/**
 * The names of three letters that IANA has. The runtime knows others, and not as everybody means them: CST is Chicago to it, BST is
 * Dhaka.
 */
const SHORT_ZONES = new Set(['CET', 'EET', 'EST', 'GMT', 'HST', 'MET', 'MST', 'PRC', 'ROC', 'ROK', 'UCT', 'UTC', 'WET'])

/** What is wrong with it: the field and a sentence; null when nothing is. */
export function faultOf(timing: Timing): { field: 'cron' | 'zone'; reason: string } | null {
  try {
    offsetAt(timing.zone, 0)
  } catch {
    return { field: 'zone', reason: `"${timing.zone}" is no IANA time zone` }
  }
  if (timing.zone.length === 3 && !SHORT_ZONES.has(timing.zone.toUpperCase()))
    return { field: 'zone', reason: `"${timing.zone}" is no IANA time zone; name a place, such as Asia/Shanghai` }
  if (timing.cron === null) return null
  const fields = timing.cron.trim().split(/\s+/).length
  if (!timing.cron.trim().startsWith('@') && fields !== 5 && fields !== 6)
    return { field: 'cron', reason: `cron has five fields, or six with seconds first; this has ${fields}` }
  try {
    cronOf(timing.cron)
  } catch (error) {
    return { field: 'cron', reason: error instanceof Error ? saidOfCron(error.message) : 'no cron' }
  }
  return null
}

/** What the library says of an expression. It counts days and months from none: of day 32 it says that 31 is invalid. */
const saidOfCron = (message: string): string =>
  message
    .replace(/^CronPattern: /, '')
    .replace(
      /^(Invalid value for (?:day|month): )(\d+)$/,
      (_, said: string, value: string) => said + (Number(value) + 1),
    )

function nextOf(timing: Timing, after: number): number | null {
  if (timing.at !== null) return timing.at > after ? timing.at : null
  if (timing.everyMs !== null) {
    const anchor = timing.startsAt ?? 0
    return anchor + Math.max(0, Math.floor((after - anchor) / timing.everyMs) + 1) * timing.everyMs
  }
  return nextOfCron(timing, timing.cron!, after)
}

/**
 * Walks the stretches of time in which the zone's offset stays the same. Within one, local times go forward and the library
 * finds the next that matches, in UTC where it has no clock changes to think of; what happens between two is decided here.
 */
function nextOfCron(timing: Timing, cron: string, after: number): number | null {
  const { zone } = timing
  let start = after + 1
  let offset = offsetAt(zone, after)
  for (;;) {
    const local = match(cron, start + offset)
    if (local === null) return null
    const change = firstChange(zone, start, local - offset, offset)
    if (change === null) {
      const repeated = timing.dstOverlap === 'first' ? endOfRepetition(zone, local, offset) : null
      if (repeated === null) return local - offset
      start = repeated
      continue
    }
    const next = offsetAt(zone, change)
    if (next > offset && timing.dstGap === 'after') {
      const lost = match(cron, change + offset)
      if (lost !== null && lost < change + next) return change
    }
    start = change
    offset = next
  }
}

/** If the local time was shown before, with an earlier offset: when the first comes that was not. */
function endOfRepetition(zone: string, local: number, offset: number): number | null {
  const at = local - offset
  const before = offsetAt(zone, at - LONGEST_OVERLAP)
  if (before <= offset || offsetAt(zone, local - before) !== before) return null
  return firstChange(zone, local - before, at, before)! + before - offset
}

/** The first instant from `start` to `end` with another offset, or null. No zone changes twice within a day. */
function firstChange(zone: string, start: number, end: number, offset: number): number | null {
  if (offsetAt(zone, start) !== offset) return start
  for (let same = start; same < end; ) {
    let other = Math.min(same + DAY, end)
    if (offsetAt(zone, other) !== offset) {
      while (other - same > 1) {
        const middle = Math.floor((same + other) / 2)
        if (offsetAt(zone, middle) === offset) same = middle
        else other = middle
      }
      return other
    }
    same = other
  }
  return null
}

const crons = new Map<string, Cron>()

function cronOf(pattern: string): Cron {
  let cron = crons.get(pattern)
  if (!cron) {
    cron = new Cron(pattern, { timezone: 'UTC', mode: '5-or-6-parts', paused: true })
    if (crons.size >= 1_000) crons.clear()
    crons.set(pattern, cron)
  }
  return cron
}

/** The first local time that matches, from `from` on; local times are written as if they were UTC. */
const match = (pattern: string, from: number): number | null =>
  cronOf(pattern)
    .nextRun(new Date(from - 1))
    ?.getTime() ?? null

const formats = new Map<string, Intl.DateTimeFormat>()
const QUARTER = 900_000
let known = { zone: '', quarter: Number.NaN, offset: 0 }

/** Milliseconds that local time is ahead of UTC. Offsets change at quarters of an hour. */
function offsetAt(zone: string, at: number): number {
  const quarter = Math.floor(at / QUARTER)
  if (known.zone === zone && known.quarter === quarter) return known.offset
  let format = formats.get(zone)
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    formats.set(zone, format)
  }
  const part: Record<string, number> = {}
  for (const { type, value } of format.formatToParts(at)) part[type] = Number(value)
  const local = Date.UTC(part.year!, part.month! - 1, part.day!, part.hour!, part.minute!, part.second!)
  const offset = local - Math.floor(at / 1_000) * 1_000
  known = { zone, quarter, offset }
  return offset
}
