/**
 * What operators allow under a concurrency key, in place of what the contracts of handlers say: for one handler or for all, until a
 * time or for good. It counts from the next admission on, also for tasks that were accepted before; what has its place keeps it.
 * Kept in the row of the key, which is locked before anything is admitted: so all servers agree.
 */
export interface KeyLimit {
  /** Null: every handler. */
  readonly handler: string | null
  /** Left out: as the handler says; null: any number. */
  readonly concurrency?: number | null
  readonly rate?: Rate | null
  readonly until: number | null
  readonly reason: string
  readonly by: string | null
  readonly at: number
}

/** So many starts in so long: a bucket of `limit` tokens that fills evenly in `periodMs`. */
export interface Rate {
  readonly limit: number
  readonly periodMs: number
}

/** Of a key, as a handler's contract has it. Null: any number. */
export interface KeyLimits {
  readonly concurrency: number | null
  readonly rate: Rate | null
}

/** As many as one key has, so that its row stays small. */
export const MOST_LIMITS = 20

export const parseLimits = (text: string | null): readonly KeyLimit[] =>
  text === null ? [] : (JSON.parse(text) as KeyLimit[])

export const textOfLimits = (limits: readonly KeyLimit[]): string | null =>
  limits.length === 0 ? null : JSON.stringify(limits)

export const isOver = ({ until }: KeyLimit, now: number): boolean => until !== null && until <= now

/** What holds for a task: what is said for its handler goes before what is said for all, and that before the contract. */
export function limitsFor(handler: string, contract: KeyLimits, limits: readonly KeyLimit[]): KeyLimits {
  let { concurrency, rate } = contract
  for (const whose of [null, handler]) {
    const said = limits.find((one) => one.handler === whose)
    if (said?.concurrency !== undefined) concurrency = said.concurrency
    if (said?.rate !== undefined) rate = said.rate
  }
  return { concurrency, rate }
}
