/** Random programs of people with webhooks, and of receivers that take, refuse, drop and come back: data, so that one is printed and shortened. */
import { choiceOf, repeated } from '../../random.ts'

/** Of what there is, how far back from the newest; wraps around. */
export type Back = number

export const FORMATS = ['cloudevents', 'slack', 'feishu'] as const
export type Format = (typeof FORMATS)[number]

/** What a receiver does from now on with each message. */
export const ANSWERS = [
  'takes',
  'fails',
  'later',
  'muchLater',
  'drops',
  'cuts',
  'moved',
  'movedForGood',
  'movesOn',
  'turns',
  'refuses',
  'gone',
  'upgrades',
] as const
export type Answer = (typeof ANSWERS)[number]

export interface Change {
  readonly events?: readonly string[]
  readonly ordered?: boolean
  readonly state?: 'active' | 'disabled'
}

export interface Filter {
  readonly state?: 'waiting' | 'delivered' | 'failed'
  readonly event_type?: string
  /** Milliseconds before now. */
  readonly sinceAgo?: number
  readonly untilAgo?: number
  /** The newest so many, by their ids. */
  readonly newest?: number
}

export type Order =
  | { readonly do: 'add'; readonly format: Format; readonly events: readonly string[]; readonly ordered: boolean }
  | { readonly do: 'change'; readonly hook: Back; readonly change: Change }
  | { readonly do: 'rotate' | 'test' | 'remove'; readonly hook: Back }
  | { readonly do: 'replay'; readonly hook: Back; readonly filter: Filter; readonly preview: boolean }
  | { readonly do: 'answer'; readonly hook: Back; readonly answer: Answer }
  /** People do something; each is an event or two. */
  | { readonly do: 'act'; readonly what: readonly ('open' | 'close' | 'asset' | 'comment')[] }
  | { readonly do: 'advance'; readonly ms: number }
  /** Time passes to the next try of a webhook, so often. */
  | { readonly do: 'tries'; readonly hook: Back; readonly count: number }
  /** Somebody who watched comes back: by pages, and by a stream. */
  | { readonly do: 'resume'; readonly from: Back; readonly types: string | null; readonly limit: number }
  | { readonly do: 'restart' }

const PATTERNS = [
  ['*'],
  ['ticket.*'],
  ['ticket.created'],
  ['ticket.closed', 'asset.created'],
  ['asset.*', 'webhook.*'],
  ['run.*'],
] as const
const HOUR = 3_600_000

export function programOf(seed: number, options: { readonly length: number; readonly restarts?: boolean }): Order[] {
  const { below, pick, maybe } = choiceOf(seed)
  const back = () => pick([0, 0, 1, 1, 2, 3])
  const change = (): Change => ({
    ...(maybe(0.4) ? { events: pick(PATTERNS) } : {}),
    ...(maybe(0.4) ? { ordered: maybe(0.5) } : {}),
    state: maybe(0.75) ? 'active' : 'disabled',
  })
  const filter = (): Filter => ({
    ...(maybe(0.6) ? { state: pick(['failed', 'failed', 'failed', 'delivered', 'waiting'] as const) } : {}),
    ...(maybe(0.3) ? { event_type: pick(['ticket.created', 'ticket.closed', 'asset.created', 'webhook.tested']) } : {}),
    ...(maybe(0.2) ? { sinceAgo: pick([1, HOUR, 24 * HOUR]) } : {}),
    ...(maybe(0.2) ? { untilAgo: pick([0, HOUR]) } : {}),
    ...(maybe(0.2) ? { newest: 1 + below(4) } : {}),
  })
  const what = () => Array.from({ length: 1 + below(5) }, () => pick(['open', 'close', 'asset', 'comment'] as const))
  const add = () =>
    ({
      do: 'add',
      format: pick(['cloudevents', 'cloudevents', 'cloudevents', 'slack', 'feishu'] as const),
      events: pick(PATTERNS),
      ordered: maybe(0.4),
    }) as const

  const kinds: (() => Order)[] = [
    ...repeated(4, add),
    ...repeated(5, () => ({ do: 'change', hook: back(), change: change() }) as const),
    ...repeated(2, () => ({ do: 'rotate', hook: back() }) as const),
    ...repeated(2, () => ({ do: 'test', hook: back() }) as const),
    ...repeated(1, () => ({ do: 'remove', hook: back() }) as const),
    ...repeated(4, () => ({ do: 'replay', hook: back(), filter: filter(), preview: maybe(0.3) }) as const),
    ...repeated(
      9,
      () =>
        ({
          do: 'answer',
          hook: back(),
          answer: pick(['takes', 'takes', 'takes', 'takes', 'fails', 'fails', ...ANSWERS] as const),
        }) as const,
    ),
    ...repeated(12, () => ({ do: 'act', what: what() }) as const),
    ...repeated(
      7,
      () =>
        ({
          do: 'advance',
          ms: pick([1, 4_000, 7_000, 60_000, HOUR, 23 * HOUR, 25 * HOUR, 25 * HOUR, 31 * 24 * HOUR]),
        }) as const,
    ),
    ...repeated(4, () => ({ do: 'tries', hook: back(), count: pick([1, 2, 15]) }) as const),
    ...repeated(
      3,
      () =>
        ({
          do: 'resume',
          from: below(40),
          types: maybe(0.5) ? null : pick(['ticket.*', 'asset.created,webhook.*']),
          limit: 1 + below(7),
        }) as const,
    ),
    ...(options.restarts ? repeated(2, () => ({ do: 'restart' }) as const) : []),
  ]
  return [add(), ...Array.from({ length: options.length }, () => pick(kinds)())]
}
