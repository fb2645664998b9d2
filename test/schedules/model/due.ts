/**
 * When something is due, counted minute by minute as a person with a calendar would: what docs/schedules.md promises, and nothing of
 * the library and the walk from change to change that the product uses.
 */

export interface Times {
  /** Five fields, or six with seconds first, of numbers: `*`, lists, ranges and steps. */
  readonly cron?: string
  readonly everyMs?: number
  readonly at?: number
  readonly zone: string
  readonly gap: 'skip' | 'after'
  readonly overlap: 'first' | 'both'
  readonly startsAt: number | null
  readonly endsAt: number | null
}

const MINUTE = 60_000
const QUARTER = 15 * MINUTE
/** More than clocks go back anywhere. */
const LONGEST_OVERLAP = 3 * 60 * MINUTE

/** Every due time from `from` to `to`, both included, oldest first; no more than `most`. */
export function dueTimes(times: Times, from: number, to: number, most = Number.POSITIVE_INFINITY): number[] {
  const begin = Math.max(from, times.startsAt ?? from)
  const end = Math.min(to, times.endsAt ?? to)
  if (times.at !== undefined) return times.at >= begin && times.at <= end ? [times.at] : []
  const found: number[] = []
  if (times.everyMs !== undefined) {
    const anchor = times.startsAt ?? 0
    const first = anchor + Math.max(0, Math.ceil((begin - anchor) / times.everyMs)) * times.everyMs
    for (let at = first; at <= end && found.length < most; at += times.everyMs) found.push(at)
    return found
  }
  const cron = fieldsOf(times.cron!)
  for (let quarter = quarterOf(begin); quarter <= end; quarter += QUARTER) {
    if (isFar(cron, times.zone, quarter)) continue
    for (let minute = quarter; minute < quarter + QUARTER; minute += MINUTE)
      for (const at of withinMinute(cron, times, minute)) {
        if (at < begin || at > end) continue
        found.push(at)
        if (found.length === most) return found
      }
  }
  return found
}

/** Nothing of a quarter of an hour before which clocks went on as ever can be due, because it is another hour or day. */
function isFar(cron: Fields, zone: string, quarter: number): boolean {
  const local = localOf(zone, quarter)
  return localOf(zone, quarter - MINUTE) === local - MINUTE && !matches({ ...cron, minutes: ANY_MINUTE }, local)
}

/** The instants within a minute that begins at `minute`. */
function withinMinute(cron: Fields, { zone, gap, overlap }: Times, minute: number): number[] {
  const local = localOf(zone, minute)
  const isAgain = overlap === 'first' && wasShown(zone, minute, local)
  const seconds = isAgain || !matches(cron, local) ? [] : cron.seconds
  const before = localOf(zone, minute - MINUTE)
  let lost = false
  if (gap === 'after')
    for (let missing = before + MINUTE; missing < local && !lost; missing += MINUTE) lost = matches(cron, missing)
  return [...new Set([...(lost ? [0] : []), ...seconds])].map((second) => minute + second * 1_000)
}

/** Whether clocks showed this before. */
function wasShown(zone: string, at: number, local: number): boolean {
  for (let ago = QUARTER; ago <= LONGEST_OVERLAP; ago += QUARTER) if (localOf(zone, at - ago) === local) return true
  return false
}

interface Fields {
  readonly seconds: readonly number[]
  readonly minutes: ReadonlySet<number>
  readonly hours: ReadonlySet<number>
  readonly days: ReadonlySet<number>
  readonly months: ReadonlySet<number>
  readonly weekdays: ReadonlySet<number>
  readonly anyDay: boolean
  readonly anyWeekday: boolean
}

const ANY_MINUTE = new Set(Array.from({ length: 60 }, (_, minute) => minute))
const known = new Map<string, Fields>()

function fieldsOf(cron: string): Fields {
  const found = known.get(cron)
  if (found) return found
  const parts = cron.split(' ')
  const [seconds, minutes, hours, days, months, weekdays] = parts.length === 6 ? parts : ['0', ...parts]
  const fields: Fields = {
    seconds: [...valuesOf(seconds!, 0, 59)].sort((a, b) => a - b),
    minutes: valuesOf(minutes!, 0, 59),
    hours: valuesOf(hours!, 0, 23),
    days: valuesOf(days!, 1, 31),
    months: valuesOf(months!, 1, 12),
    // Sunday is 0 and 7.
    weekdays: new Set([...valuesOf(weekdays!, 0, 7)].map((day) => day % 7)),
    anyDay: days === '*',
    anyWeekday: weekdays === '*',
  }
  known.set(cron, fields)
  return fields
}

function valuesOf(field: string, least: number, most: number): Set<number> {
  const values = new Set<number>()
  for (const part of field.split(',')) {
    const [range, step = '1'] = part.split('/')
    const [from, to = from] = range === '*' ? [least, most] : range!.split('-').map(Number)
    for (let value = from!; value <= to!; value += Number(step)) values.add(value)
  }
  return values
}

/** A local time, written as if it were UTC. */
function matches(fields: Fields, local: number): boolean {
  const date = new Date(local)
  const day = fields.days.has(date.getUTCDate())
  const weekday = fields.weekdays.has(date.getUTCDay())
  const isDay = fields.anyDay || fields.anyWeekday ? day && weekday : day || weekday
  return (
    isDay &&
    fields.minutes.has(date.getUTCMinutes()) &&
    fields.hours.has(date.getUTCHours()) &&
    fields.months.has(date.getUTCMonth() + 1)
  )
}

const quarterOf = (at: number) => Math.floor(at / QUARTER) * QUARTER

interface Zone {
  readonly format: Intl.DateTimeFormat
  /** By the quarter of an hour: at others no clock is changed. */
  readonly offsets: Map<number, number>
}
const zones = new Map<string, Zone>()

/** What clocks of a zone show, written as if it were UTC. */
function localOf(name: string, at: number): number {
  let zone = zones.get(name)
  if (!zone) {
    const format = new Intl.DateTimeFormat('sv-SE', { timeZone: name, dateStyle: 'short', timeStyle: 'medium' })
    zone = { format, offsets: new Map() }
    zones.set(name, zone)
  }
  const quarter = quarterOf(at)
  let offset = zone.offsets.get(quarter)
  if (offset === undefined) {
    offset = Date.parse(`${zone.format.format(quarter).replace(' ', 'T')}Z`) - quarter
    zone.offsets.set(quarter, offset)
  }
  return at + offset
}
