/**
 * What docs/schedules.md promises of schedules, kept as a person would who looks at a clock and a calendar: every due time is decided
 * once, as the schedule says.
 */
import { dueTimes, type Times } from './due.ts'
import type { Change, Order, Way } from './program.ts'

const DAY = 86_400_000
/** What is further back was missed. */
const LATE_MS = 60_000
/** More than any program's times lie apart. */
const HORIZON = 45 * DAY
const MOST_REFUSALS = 10

export type Outcome = 'started' | 'skipped' | 'refused'

export interface Fire {
  readonly due: number
  readonly outcome: Outcome
  readonly code: string | null
}

export interface Entry {
  readonly name: string
  readonly handler: 'test.stays' | 'test.goes'
  readonly ttl: number | null
  times: Times
  catchUp: 'none' | 'last' | 'all'
  limit: number
  whenRunning: 'allow' | 'skip'
  state: 'active' | 'paused' | 'ended' | 'deleted'
  cause: 'owner_denied' | 'refused' | null
  next: number | null
  owner: number
  version: number
  refusals: number
  lastDue: number | null
  /** By due time. */
  readonly fires: Map<number, Fire>
  /** The task that it started last is open. */
  lastIsOpen: boolean
  /** A task of it is open that was started, by its times or by hand, to be the only one. */
  keyHeld: boolean
  /** So many tasks were started, by its times and by hand. */
  tasks: number
}

/** The code of the refusal, `done`, or `skip` where there is nobody or nothing that it could be asked of. */
export type Answer = string

export type Asked = Extract<Order, { do: 'add' | 'change' | 'pause' | 'resume' | 'remove' | 'trigger' }>

/** The first due time after `after`. */
export const nextAfter = (times: Times, after: number): number | null =>
  dueTimes(times, after + 1, after + HORIZON, 1)[0] ?? null

export function withWay(
  old: Pick<Times, 'zone' | 'gap' | 'overlap'>,
  way: Way,
  now: number,
): Omit<Times, 'startsAt' | 'endsAt'> {
  const { zone, gap, overlap } = old
  if ('cron' in way) return way
  return 'every' in way
    ? { zone, gap, overlap, everyMs: way.every * 1_000 }
    : { zone, gap, overlap, at: now + way.atIn }
}

export const PLAIN = { zone: 'UTC', gap: 'after', overlap: 'first' } as const

export function openBook() {
  const entries: Entry[] = []
  const people = [{ active: true }, { active: true }]
  let isThere = true
  /** The newest time that each scheduler has seen. */
  const seen = new Map<string, number>()

  /** Those that a person can name, the newest last. */
  const living = () => entries.filter(({ state }) => state !== 'deleted')
  const pick = (back: number): Entry | undefined => living().at(-1 - (back % Math.max(1, living().length)))
  const isGone = ({ handler }: Pick<Entry, 'handler'>) => handler === 'test.goes' && !isThere

  function timesAfter(before: Times, { way, startsIn, endsIn }: Change, now: number): Times {
    const bound = (asked: number | null | undefined, old: number | null) =>
      asked === undefined ? old : asked === null ? null : now + asked
    const { startsAt, endsAt, ...rest } = before
    return {
      ...(way === undefined ? rest : withWay(before, way, now)),
      startsAt: bound(startsIn, startsAt),
      endsAt: bound(endsIn, endsAt),
    }
  }

  function carryOut(order: Asked, now: number): Answer {
    if (!people[order.who]!.active) return 'skip'
    if (order.do === 'add') return add(order, now)
    const entry = pick(order.schedule)
    if (!entry) return 'skip'
    switch (order.do) {
      case 'change':
        return change(entry, order, now)
      case 'pause':
        if (entry.state === 'ended') return 'SCHEDULE_ENDED'
        if (entry.state === 'active') Object.assign(entry, { state: 'paused', next: null, version: entry.version + 1 })
        return 'done'
      case 'resume': {
        if (entry.state === 'ended') return 'SCHEDULE_ENDED'
        if (isGone(entry)) return 'TASK_UNKNOWN_HANDLER'
        if (entry.state === 'active') return 'done'
        const next = nextAfter(entry.times, now)
        if (next === null) return 'SCHEDULE_ENDED'
        Object.assign(entry, { state: 'active', cause: null, next, owner: order.who, refusals: 0 })
        entry.version++
        return 'done'
      }
      case 'remove':
        entry.state = 'deleted'
        return 'done'
      case 'trigger':
        if (isGone(entry)) return 'TASK_UNKNOWN_HANDLER'
        start(entry)
        return 'done'
    }
  }

  function add({ who, handler, ttl, change }: Extract<Order, { do: 'add' }>, now: number): Answer {
    if (living().length >= 7) return 'skip'
    const times = timesAfter({ ...PLAIN, startsAt: null, endsAt: null }, change, now)
    const next = nextAfter(times, now)
    if (next === null) return 'SCHEDULE_TIMES_INVALID'
    if (isGone({ handler })) return 'TASK_UNKNOWN_HANDLER'
    entries.push({
      name: `s${entries.length}`,
      handler,
      ttl,
      times,
      catchUp: change.catchUp ?? 'last',
      limit: change.limit ?? 10,
      // A task that runs out of time ends when the server finds it.
      whenRunning: ttl === null ? (change.whenRunning ?? 'allow') : 'allow',
      state: 'active',
      cause: null,
      next,
      owner: who,
      version: 1,
      refusals: 0,
      lastDue: null,
      fires: new Map(),
      lastIsOpen: false,
      keyHeld: false,
      tasks: 0,
    })
    return 'done'
  }

  function change(entry: Entry, { who, change }: Extract<Order, { do: 'change' }>, now: number): Answer {
    const times = timesAfter(entry.times, change, now)
    const isSame = JSON.stringify(ordered(times)) === JSON.stringify(ordered(entry.times))
    const fresh = nextAfter(times, now)
    let next: number | null = null
    if (entry.state !== 'paused') {
      // What is due and waits for a scheduler is not lost with a change of something else.
      const due = isSame && entry.next !== null && entry.next <= now ? entry.next : null
      next = due ?? fresh
      // What has ended may be changed in something else, and is over still.
      if (next === null && !(isSame && entry.state === 'ended')) return 'SCHEDULE_TIMES_INVALID'
    }
    Object.assign(entry, { times, next, owner: who, refusals: 0, version: entry.version + 1 })
    if (entry.state === 'ended' && next !== null) entry.state = 'active'
    if (change.catchUp !== undefined) entry.catchUp = change.catchUp
    if (change.limit !== undefined) entry.limit = change.limit
    if (change.whenRunning !== undefined && entry.ttl === null) entry.whenRunning = change.whenRunning
    return 'done'
  }

  /** False while the only one that may be open is. */
  function start(entry: Entry): boolean {
    if (entry.whenRunning === 'skip' && entry.keyHeld) return false
    if (entry.whenRunning === 'skip') entry.keyHeld = true
    entry.tasks++
    return true
  }

  /** A scheduler looks. */
  function look(by: string, now: number): void {
    // What a clock computed that was ahead is computed again.
    if (now < (seen.get(by) ?? Number.POSITIVE_INFINITY))
      for (const entry of entries)
        if (entry.state === 'active' && entry.next! > now)
          entry.next = Math.min(entry.next!, nextAfter(entry.times, now) ?? Number.POSITIVE_INFINITY)
    seen.set(by, now)
    for (const entry of entries) if (entry.state === 'active' && entry.next! <= now) decide(entry, now)
  }

  function decide(entry: Entry, now: number): void {
    if (!people[entry.owner]!.active) {
      Object.assign(entry, { state: 'paused', cause: 'owner_denied', next: null, version: entry.version + 1 })
      return
    }
    const due = dueTimes(entry.times, entry.next!, now)
    const missed = due.filter((at) => at <= now - LATE_MS)
    const caughtUp = entry.catchUp === 'none' ? [] : missed.slice(entry.catchUp === 'last' ? -1 : -entry.limit)
    for (const at of [...caughtUp, ...due.filter((one) => one > now - LATE_MS)]) {
      if (entry.fires.has(at)) continue
      entry.fires.set(at, { due: at, ...outcomeOf(entry, at, now) })
    }
    entry.next = nextAfter(entry.times, now)
    if (entry.next === null) entry.state = 'ended'
    else if (entry.refusals >= MOST_REFUSALS)
      Object.assign(entry, { state: 'paused', cause: 'refused', next: null, version: entry.version + 1 })
  }

  function outcomeOf(entry: Entry, at: number, now: number): Omit<Fire, 'due'> {
    if (entry.ttl !== null && at + entry.ttl <= now) return { outcome: 'skipped', code: 'DEADLINE_EXCEEDED' }
    if (isGone(entry)) {
      entry.refusals++
      return { outcome: 'refused', code: 'TASK_UNKNOWN_HANDLER' }
    }
    entry.refusals = 0
    entry.lastDue = at
    if ((entry.whenRunning === 'skip' && entry.lastIsOpen) || !start(entry)) return { outcome: 'skipped', code: null }
    entry.lastIsOpen = true
    return { outcome: 'started', code: null }
  }

  return {
    entries,
    people,
    living,
    pick,
    carryOut,
    look,
    release() {
      for (const entry of entries) Object.assign(entry, { keyHeld: false, lastIsOpen: false })
    },
    handler(there: boolean) {
      isThere = there
    },
    /** Every scheduler begins anew, and so does the server, with all that it has. */
    restart() {
      seen.clear()
      isThere = true
    },
  }
}

export type Book = ReturnType<typeof openBook>

/** So that equal ones are written alike. */
const ordered = ({ cron, everyMs, at, zone, gap, overlap, startsAt, endsAt }: Times) => [
  [cron, everyMs, at].map((way) => way ?? null),
  [zone, gap, overlap, startsAt, endsAt],
]
