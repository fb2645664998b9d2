/** Random programs of people with schedules, schedulers that look at them, and clocks that are set: data, so that one is printed and shortened. */
import { choiceOf, repeated } from '../../random.ts'
import type { Times } from './due.ts'

/** Of what there is, how far back from the newest; wraps around. */
export type Back = number
/** 0 is an administrator, 1 somebody of operations who may be deactivated. */
export type Who = 0 | 1

/** Times from now, in milliseconds, where they are not those of a calendar. */
export type Way =
  | { readonly cron: string; readonly zone: string; readonly gap: 'skip' | 'after'; readonly overlap: 'first' | 'both' }
  | { readonly every: number }
  | { readonly atIn: number }

export interface Change {
  readonly way?: Way
  readonly startsIn?: number | null
  readonly endsIn?: number | null
  readonly catchUp?: 'none' | 'last' | 'all'
  readonly limit?: number
  readonly whenRunning?: 'allow' | 'skip'
  /** Says nothing of when. */
  readonly priority?: number
}

export type Order =
  | {
      readonly do: 'add'
      readonly who: Who
      readonly handler: 'test.stays' | 'test.goes'
      readonly ttl: number | null
      readonly change: Change & { readonly way: Way }
    }
  | { readonly do: 'change'; readonly who: Who; readonly schedule: Back; readonly change: Change }
  | { readonly do: 'pause' | 'resume' | 'remove' | 'trigger'; readonly who: Who; readonly schedule: Back }
  /** What is open is called off. */
  | { readonly do: 'release' }
  /** The handler `test.goes` is there, or gone. */
  | { readonly do: 'handler'; readonly there: boolean }
  | { readonly do: 'owner'; readonly active: boolean }
  /** Time passes, while no scheduler looks. */
  | { readonly do: 'advance'; readonly ms: number }
  /** Somebody sets the clock. */
  | { readonly do: 'set'; readonly ms: number }
  | { readonly do: 'look'; readonly by: 'first' | 'second' | 'both' }
  /** Time passes in steps, and a scheduler looks after each. */
  | { readonly do: 'pass'; readonly ms: number; readonly steps: number }
  | { readonly do: 'preview'; readonly way: Way }
  | { readonly do: 'restart' }

/** Where clocks change: the zone, and when by the tz database. */
export const CHANGES = [
  ['Europe/Berlin', '2031-03-30T01:00:00Z'],
  ['Europe/Berlin', '2031-10-26T01:00:00Z'],
  ['America/New_York', '2031-03-09T07:00:00Z'],
  ['America/New_York', '2031-11-02T06:00:00Z'],
  ['Australia/Lord_Howe', '2031-04-05T15:00:00Z'],
  ['Australia/Lord_Howe', '2031-10-04T15:30:00Z'],
  ['Antarctica/Troll', '2031-03-30T01:00:00Z'],
  ['Antarctica/Troll', '2031-10-26T01:00:00Z'],
] as const

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** A program begins with the time that it is: so one that is shortened still does. */
export type Step = Order | { readonly do: 'begin'; readonly at: string }

export function programOf(seed: number, options: { readonly length: number; readonly restarts?: boolean }): Step[] {
  const { below, pick, maybe } = choiceOf(seed)
  const [zone, changes] = pick(CHANGES)
  const at = new Date(
    Date.parse(changes) - pick([26 * HOUR, 2 * HOUR, 30 * MINUTE]) - pick([0, 0, 1, 30_000]),
  ).toISOString()

  const who = (): Who => (maybe(0.25) ? 1 : 0)
  const back = () => pick([0, 0, 1, 1, 2, 3, 4])
  const cron = () => ({
    cron: pick([
      '*/15 * * * *',
      '30 * * * *',
      '30 2 * * *',
      '15 1,2 * * *',
      '0 0-4 * * *',
      '*/20 * * * * *',
      '0 0 * * *',
      '45 1 * * 6,0',
      '10 */2 * * 1-5',
      '0 12 1,15 * 1',
    ]),
    zone: maybe(0.7) ? zone : pick(['UTC', 'Asia/Shanghai', 'Europe/Berlin', 'America/New_York']),
    gap: pick(['skip', 'after'] as const),
    overlap: pick(['first', 'both'] as const),
  })
  const way = (): Way =>
    maybe(0.6)
      ? cron()
      : maybe(0.6)
        ? { every: pick([7, 20, 60, 900, 3_600, 86_400]) }
        : { atIn: pick([1, 30_000, HOUR, 3 * HOUR, 26 * HOUR, 0]) }
  const policies = (chance: number): Change => ({
    ...(maybe(chance) ? { catchUp: pick(['none', 'last', 'all'] as const) } : {}),
    ...(maybe(chance) ? { limit: pick([1, 2, 5, 30]) } : {}),
    ...(maybe(chance) ? { whenRunning: pick(['allow', 'skip'] as const) } : {}),
    ...(maybe(chance / 3) ? { startsIn: pick([-HOUR, 10_000, HOUR, 5 * HOUR]) } : {}),
    ...(maybe(chance / 3) ? { endsIn: pick([1, HOUR, 4 * HOUR, 30 * HOUR]) } : {}),
  })
  const change = (): Change => ({
    ...policies(0.2),
    ...(maybe(0.4) ? { way: way() } : {}),
    ...(maybe(0.1) ? { startsIn: null } : {}),
    ...(maybe(0.1) ? { endsIn: null } : {}),
    priority: below(5),
  })

  const kinds: (() => Order)[] = [
    ...repeated(
      9,
      () =>
        ({
          do: 'add',
          who: who(),
          handler: maybe(0.25) ? 'test.goes' : 'test.stays',
          ttl: maybe(0.25) ? pick([1_000, 5 * MINUTE, 2 * HOUR]) : null,
          change: { ...policies(0.6), way: way() },
        }) as const,
    ),
    ...repeated(5, () => ({ do: 'change', who: who(), schedule: back(), change: change() }) as const),
    ...repeated(2, () => ({ do: 'pause', who: who(), schedule: back() }) as const),
    ...repeated(3, () => ({ do: 'resume', who: who(), schedule: back() }) as const),
    ...repeated(1, () => ({ do: 'remove', who: who(), schedule: back() }) as const),
    ...repeated(2, () => ({ do: 'trigger', who: who(), schedule: back() }) as const),
    ...repeated(2, () => ({ do: 'release' }) as const),
    ...repeated(2, () => ({ do: 'handler', there: maybe(0.5) }) as const),
    ...repeated(1, () => ({ do: 'owner', active: maybe(0.6) }) as const),
    ...repeated(
      9,
      () => ({ do: 'advance', ms: pick([1, 7_000, 59_999, 60_000, 61_000, HOUR, 5 * HOUR, 49 * HOUR]) }) as const,
    ),
    ...repeated(
      4,
      () =>
        ({ do: 'set', ms: pick([-1_000, -90_000, -HOUR, -5 * HOUR, -30 * HOUR, 90_000, HOUR, 30 * HOUR]) }) as const,
    ),
    ...repeated(9, () => ({ do: 'look', by: pick(['first', 'first', 'second', 'both'] as const) }) as const),
    ...repeated(6, () => ({ do: 'pass', ms: pick([1_000, 20_000, 15 * MINUTE, HOUR]), steps: 1 + below(6) }) as const),
    ...repeated(2, () => ({ do: 'preview', way: way() }) as const),
    ...(options.restarts ? repeated(2, () => ({ do: 'restart' }) as const) : []),
  ]
  return [{ do: 'begin', at }, ...Array.from({ length: options.length }, () => pick(kinds)())]
}

const ZONES = [
  ...[
    'UTC',
    'Europe/Berlin',
    'America/New_York',
    'Australia/Lord_Howe',
    'Asia/Shanghai',
    'Antarctica/Troll',
    'Africa/Casablanca',
  ],
  ...[
    'America/Santiago',
    'Asia/Kathmandu',
    'Pacific/Chatham',
    'Africa/Cairo',
    'America/Havana',
    'Asia/Beirut',
    'America/St_Johns',
  ],
  ...['America/Scoresbysund', 'Europe/Dublin', 'Asia/Gaza', 'America/Nuuk', 'Atlantic/Azores', 'Asia/Jerusalem'],
]

/** Times of a calendar, and a span of some days in which they are looked for. */
export function timesOf(seed: number): { readonly times: Times; readonly from: number; readonly to: number } {
  const { below, pick, maybe } = choiceOf(seed)
  const cron = [
    ...pick([[], [], [], ['0'], ['*/20'], ['30'], ['15,45']]),
    pick(['0', '30', '15', '*/15', '0,30', '45', '59', '*/7', '5-10', '*', '0,59']),
    pick(['0', '1', '2', '3', '*', '*', '*/2', '0-3', '1,2,3', '23,0,1', '23']),
    pick(['*', '*', '*', '*', '1', '28-31', '*/2', '15,31', '31']),
    pick(['*', '*', '*', '3,10', '*/3', '2-4,9-11']),
    pick(['*', '*', '*', '0', '7', '1-5', '6,0', '5-7']),
  ].join(' ')
  const from = Date.UTC(2026, 0, 1) + below(3 * 365 * 24 * 60) * MINUTE + pick([0, 0, 1, 30_000, 59_999])
  const to = from + pick([1, 3, 20, 60]) * 24 * HOUR
  const times: Times = {
    cron,
    zone: pick(ZONES),
    gap: pick(['skip', 'after']),
    overlap: pick(['first', 'both']),
    startsAt: maybe(0.2) ? from + below(300) * HOUR : null,
    endsAt: maybe(0.2) ? from + below(600) * HOUR : null,
  }
  return { times, from, to }
}
