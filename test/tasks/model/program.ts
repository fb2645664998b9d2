/** Random programs of an operator and of those who dispatch: data, so that one that fails is printed, shortened and run again. */

import { choiceOf, repeated } from '../../random.ts'

/** What an attempt does; the last of a plan stands for all that follow. */
export type Act = 'ok' | 'fail' | 'final' | 'soon' | 'hang' | 'late' | 'step' | 'family' | 'pause'

export interface Wish {
  readonly handler: string
  readonly plan: readonly Act[]
  readonly queue?: number
  readonly priority?: number
  readonly delayMs?: number
  readonly attempts?: number
  readonly deadlineMs?: number
  readonly unique?: number
  readonly policy?: 'return' | 'reject' | 'replace'
  readonly debounceMs?: number
  readonly key?: number
  /** Of tasks that were dispatched before, counted from the newest; in a batch, of those before it in the batch. */
  readonly after?: readonly number[]
  readonly afterPolicy?: 'cancel' | 'run'
  readonly children?: readonly Wish[]
}

export type Order =
  | { readonly do: 'dispatch'; readonly wish: Wish }
  | { readonly do: 'batch'; readonly wishes: readonly Wish[] }
  | { readonly do: 'cancel' | 'replay' | 'letGo'; readonly task: number }
  | { readonly do: 'cancelQueue' | 'replayDead' | 'replayEnded' | 'purge'; readonly queue: number }
  | { readonly do: 'cancelKey' | 'resumeKey' | 'liftKey'; readonly key: number }
  | { readonly do: 'cancelBatch' }
  | { readonly do: 'pauseQueue' | 'resumeQueue' | 'drainQueue'; readonly queue: number }
  | { readonly do: 'limitQueue'; readonly queue: number; readonly to: number | null }
  | { readonly do: 'pauseKey'; readonly key: number; readonly ms: number }
  | { readonly do: 'limitKey'; readonly key: number; readonly to: number | null }
  | { readonly do: 'disable' | 'enable'; readonly handler: string }
  | { readonly do: 'claim'; readonly count: number }
  | { readonly do: 'settle'; readonly lease: number; readonly outcome: 'completed' | 'failed' | 'back' }
  | { readonly do: 'schedule'; readonly seconds: number; readonly handler: string }
  | { readonly do: 'changeSchedule'; readonly to: 'pause' | 'resume' | 'delete' | 'slower' }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'restart' }
  | { readonly do: 'loseLine' }

export const PLAIN = 'test.does'
/** One under each key. */
export const SINGLE = 'test.single'
/** So many starts under each key. */
export const RATED = 'test.rated'
export const RATE = { limit: 2, periodMs: 60_000 }
/** Two at once on this server. */
export const NARROW = 'test.narrow'
/** Workers outside of the server do it: the program itself, which may die. */
export const OUTSIDE = 'outside'
const HANDLERS = [PLAIN, PLAIN, PLAIN, SINGLE, RATED, NARROW, NARROW, OUTSIDE] as const

/** Of those that debounce. */
export const SHORTEST_WAIT_MS = 1_000
export const QUEUES = 2
export const KEYS = 2
const UNIQUE = 3

export interface ProgramOptions {
  readonly length: number
  /** Orders that cost a second each. */
  readonly restarts?: boolean
  /** The order of the queue is kept beside the database, and may be lost. */
  readonly line?: boolean
}

export function programOf(seed: number, options: ProgramOptions): Order[] {
  const { below, pick, maybe } = choiceOf(seed)

  const actOf = (depth: number): Act =>
    pick([
      ...(['ok', 'ok', 'ok', 'fail', 'fail', 'final', 'soon', 'hang', 'hang', 'late', 'step', 'pause'] as const),
      ...(depth === 0 ? (['family', 'family'] as const) : []),
    ])

  function wishOf(depth: number, before: number): Wish {
    const handler = pick(HANDLERS)
    const acts = Array.from({ length: 1 + below(3) }, () => actOf(depth))
    const unique = maybe(0.3) ? below(UNIQUE) : undefined
    const debounced = unique !== undefined && maybe(0.3)
    // What takes over a debounced input keeps its own time limit, and may have none that ends it soon.
    const plan = debounced ? acts.map((act) => (act === 'late' ? 'fail' : act)) : acts
    return {
      handler,
      plan,
      ...(maybe(0.9) ? { queue: below(QUEUES) } : {}),
      ...(maybe(0.4) ? { priority: below(5) - 2 } : {}),
      ...(maybe(0.25) && !debounced ? { delayMs: pick([1, 1_000, 5_000, 60_000]) } : {}),
      ...(maybe(0.6) ? { attempts: 1 + below(4) } : {}),
      ...(maybe(0.12) ? { deadlineMs: pick([70_000, 90_000, 200_000]) } : {}),
      ...(unique === undefined ? {} : { unique }),
      ...(unique === undefined || debounced || maybe(0.3) ? {} : { policy: pick(['return', 'reject', 'replace']) }),
      ...(debounced ? { debounceMs: pick([SHORTEST_WAIT_MS, 10_000]) } : {}),
      ...(maybe(0.45) || handler === SINGLE || handler === RATED ? { key: below(KEYS) } : {}),
      ...(before > 0 && maybe(0.3)
        ? {
            after: [...new Set(Array.from({ length: 1 + below(2) }, () => below(Math.min(before, 6))))],
            ...(maybe(0.5) ? { afterPolicy: pick(['cancel', 'run'] as const) } : {}),
          }
        : {}),
      ...(plan.includes('family')
        ? { children: Array.from({ length: 1 + below(3) }, () => wishOf(depth + 1, 0)) }
        : {}),
    }
  }

  const kinds: (() => Order)[] = [
    ...repeated(14, () => ({ do: 'dispatch', wish: wishOf(0, 6) }) as const),
    ...repeated(3, () => {
      const count = 2 + below(4)
      return { do: 'batch', wishes: Array.from({ length: count }, (_, i) => wishOf(0, i)) } as const
    }),
    ...repeated(3, () => ({ do: 'cancel', task: below(10) }) as const),
    ...repeated(4, () => ({ do: 'letGo', task: below(6) }) as const),
    ...repeated(2, () => ({ do: 'replay', task: below(10) }) as const),
    ...repeated(7, () => ({ do: 'advance', ms: pick([1, 900, 3_000, 10_000, 31_000, 61_000]) }) as const),
    ...repeated(2, () => ({ do: 'pauseQueue', queue: below(QUEUES) }) as const),
    ...repeated(2, () => ({ do: 'resumeQueue', queue: below(QUEUES) }) as const),
    ...repeated(2, () => ({ do: 'pauseKey', key: below(KEYS), ms: pick([2_000, 40_000]) }) as const),
    ...repeated(2, () => ({ do: 'limitKey', key: below(KEYS), to: pick([1, 2, 3, null]) }) as const),
    ...repeated(2, () => ({ do: 'limitQueue', queue: below(QUEUES), to: pick([1, 2, null]) }) as const),
    ...repeated(2, () => ({ do: 'disable', handler: pick([PLAIN, SINGLE, NARROW, OUTSIDE, RATED]) }) as const),
    ...repeated(2, () => ({ do: 'enable', handler: pick([PLAIN, SINGLE, NARROW, OUTSIDE, RATED]) }) as const),
    ...repeated(4, () => ({ do: 'claim', count: 1 + below(3) }) as const),
    ...repeated(
      4,
      () => ({ do: 'settle', lease: below(4), outcome: pick(['completed', 'failed', 'back'] as const) }) as const,
    ),
    () => ({ do: 'resumeKey', key: below(KEYS) }),
    () => ({ do: 'liftKey', key: below(KEYS) }),
    () => ({ do: 'cancelQueue', queue: below(QUEUES) }),
    () => ({ do: 'cancelKey', key: below(KEYS) }),
    () => ({ do: 'cancelBatch' }),
    () => ({ do: 'drainQueue', queue: below(QUEUES) }),
    () => ({ do: 'replayDead', queue: below(QUEUES) }),
    () => ({ do: 'replayEnded', queue: below(QUEUES) }),
    () => ({ do: 'purge', queue: below(QUEUES) }),
    () => ({ do: 'schedule', seconds: pick([10, 30]), handler: pick([PLAIN, SINGLE, OUTSIDE]) }),
    () => ({ do: 'changeSchedule', to: pick(['pause', 'resume', 'delete', 'slower'] as const) }),
    ...(options.restarts ? [() => ({ do: 'restart' }) as const] : []),
    ...(options.line ? [() => ({ do: 'loseLine' }) as const] : []),
  ]
  return Array.from({ length: options.length }, () => pick(kinds)())
}
