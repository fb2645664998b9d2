/** Random programs of people who watch, and of what breaks under them: data, so that one is printed and shortened. */
import { choiceOf, repeated } from '../../random.ts'

/** Of what there is, how far back from the newest; wraps around. */
export type Back = number

/** By server-sent events, by a WebSocket, page by page, and with the client that goes on by itself. */
export const KINDS = ['stream', 'socket', 'pages', 'client'] as const
export type Kind = (typeof KINDS)[number]

export type Act = 'open' | 'close' | 'comment' | 'asset' | 'tasks'
/** In which of the two projects. */
export type Place = 0 | 1

export type Order =
  | {
      readonly do: 'watch'
      readonly kind: Kind
      readonly who: 'admin' | 'employee'
      readonly project: Place
      /** From now on, from the beginning, or behind one of the last events. */
      readonly from: 'now' | 'start' | Back
      readonly types: readonly string[]
    }
  /** People do something, and all who watch hear of it; or the next order comes at once. */
  | { readonly do: 'act'; readonly project: Place; readonly what: readonly Act[]; readonly hurry: boolean }
  /** Of a socket: what it wants from now on. */
  | {
      readonly do: 'say'
      readonly watcher: Back
      readonly action: 'subscribe' | 'unsubscribe' | 'subscribe_all'
      readonly events: readonly string[]
      readonly hurry: boolean
    }
  /** Nothing is read, and again what comes. */
  | { readonly do: 'sleep' | 'wake' | 'leave'; readonly watcher: Back }
  /** The way to the server breaks, wherever in a message; everybody comes back. */
  | { readonly do: 'cut' }
  /** Everybody's token ends. */
  | { readonly do: 'expire' }
  /** The log is closed, and another goes on; the oldest that was closed is dropped. */
  | { readonly do: 'rotate' | 'drop'; readonly project: Place }
  /** Somebody waits for the end of a run that comes before, meanwhile, or not in time; or the server stops meanwhile. */
  | { readonly do: 'wait'; readonly end: 'before' | 'meanwhile' | 'never' | 'stop' }
  | { readonly do: 'restart' | 'kill' }

const PATTERNS = [
  ['*'],
  ['ticket.*'],
  ['ticket.created', 'asset.*'],
  ['ticket.closed'],
  ['run.*', 'asset.created'],
  ['log.*'],
]
const GROUPS = [['*'], ['ticket.*'], ['asset.*'], ['ticket.created'], ['ticket.closed', 'ticket.commented'], ['run.*']]

export function programOf(seed: number, options: { readonly length: number; readonly restarts?: boolean }): Order[] {
  const { below, pick, maybe } = choiceOf(seed)
  const project = (): Place => (maybe(0.25) ? 1 : 0)
  const what = () =>
    Array.from({ length: 1 + below(6) }, () => pick(['open', 'open', 'close', 'comment', 'asset', 'tasks'] as const))
  const watch = (): Order => {
    const own = maybe(0.3)
    return {
      do: 'watch',
      kind: pick(KINDS),
      who: own ? 'employee' : 'admin',
      project: own ? 0 : project(),
      from: pick(['now', 'now', 'start', below(30), below(30)] as const),
      types: pick(PATTERNS),
    }
  }
  const kinds: (() => Order)[] = [
    ...repeated(6, watch),
    ...repeated(12, (): Order => ({ do: 'act', project: project(), what: what(), hurry: maybe(0.4) })),
    ...repeated(
      7,
      (): Order => ({
        do: 'say',
        watcher: below(6),
        action: pick(['subscribe', 'subscribe', 'unsubscribe', 'unsubscribe', 'subscribe_all'] as const),
        events: pick(GROUPS),
        hurry: maybe(0.5),
      }),
    ),
    ...repeated(2, (): Order => ({ do: 'sleep', watcher: below(6) })),
    ...repeated(3, (): Order => ({ do: 'wake', watcher: below(6) })),
    ...repeated(1, (): Order => ({ do: 'leave', watcher: below(6) })),
    ...repeated(4, (): Order => ({ do: 'cut' })),
    ...repeated(2, (): Order => ({ do: 'rotate', project: project() })),
    ...repeated(1, (): Order => ({ do: 'drop', project: project() })),
    ...repeated(2, (): Order => ({ do: 'wait', end: pick(['before', 'meanwhile', 'never'] as const) })),
    () => ({ do: 'expire' }),
    ...(options.restarts
      ? [
          ...repeated(2, (): Order => ({ do: 'restart' })),
          ...repeated(2, (): Order => ({ do: 'kill' })),
          (): Order => ({ do: 'wait', end: 'stop' }),
        ]
      : []),
  ]
  return [watch(), watch(), ...Array.from({ length: options.length }, () => pick(kinds)())]
}
