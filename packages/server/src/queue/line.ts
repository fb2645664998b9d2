import type { Ask, Entry, Runnable } from './queue.ts'

/** One queue of one project. */
export type Place = Runnable

export type Placed = Entry & Pick<Place, 'project'>

/** What was taken out to be claimed; `ticket` is what the line knows it by until it hears how that went. */
export interface Taken {
  readonly runId: string
  readonly ticket: string
}

/**
 * What changes in a line. `keep` puts an entry in that was in it before it was claimed, also where there is no memory for more.
 * `ack` and `back` end what was taken: for good, or to wait on.
 */
export type Change =
  | { readonly do: 'put' | 'keep'; readonly entry: Entry }
  | { readonly do: 'remove'; readonly runId: string }
  | { readonly do: 'ack' | 'back'; readonly taken: Taken }

/**
 * Where entries wait in the order in which they are to be claimed, outside of the database. It decides nothing: what it gives
 * is asked for in the database, which may refuse it. So a line may hold what is gone, hold twice what is there, or miss
 * something for a while; all that it has to be good at is order and speed.
 */
export interface Line {
  /** Whether other servers take from it too, and entries are still in it when this one is gone. */
  readonly shared: boolean
  /**
   * Changes of one place, in their order. Put again, an entry moves to its new time; what was taken and is put again is there
   * twice, and the database gives it once. False if the line cannot be reached; then some may have been done.
   */
  change(place: Place, changes: readonly Change[], now: number): Promise<boolean>
  /** Takes out what is due, the first first, to be claimed by `ask.worker`; nothing if the line cannot be reached. */
  take(place: Place, ask: Pick<Ask, 'limit' | 'worker' | 'except'>): Promise<Taken[]>
  /** Makes what fell due takeable; says where there is something, and when the next falls due. */
  sweep(now: number): Promise<{ runnable: readonly Runnable[]; next: number | null }>
  /** Tells other servers where something may be taken. A hint: it may be lost. */
  say(place: Place): void
  hear(listener: (place: Place) => void): void
  close(): Promise<void>
}

/** What a line builds itself from when it lost what it held: the database. */
export interface Source {
  /** The row of `queue_copy`, made at the first call. */
  copy(): Promise<Copy>
  /** The next epoch begins, in which `servers` hold the copy; nothing if another server was first. */
  advance(from: Copy, servers: string): Promise<void>
  /** Every place that has an entry. */
  places(): Promise<Place[]>
  /** Entries of these places that nobody holds, by id, after `after`; an empty page is the end. */
  page(places: readonly Place[], after: string): Promise<Placed[]>
  /** These are not in the line: they are looked for again when they are due. */
  unsee(entries: readonly Entry[]): Promise<void>
}

export interface Copy {
  readonly space: string
  readonly epoch: number
  readonly servers: string
}

/** As text, for keys of maps and of Redis. */
export const placeText = ({ queue, project }: Place): string => `${project}:${queue}`

export const placeOf = (text: string): Place => {
  const end = text.indexOf(':')
  return { project: text.slice(0, end), queue: text.slice(end + 1) }
}

/** How long what was taken may wait for its claim to commit. */
export const HANDOVER_MS = 10_000

/** Characters of a rank. */
export const RANK = 56

/**
 * Where an entry stands among those of its place, as text that sorts so: the highest priority, then the earliest time, then
 * the oldest. Always as long; the last 36 characters are the run's id.
 */
export const rankOf = ({ priority, runAt, runId }: Entry): string =>
  String(32_767 - priority).padStart(5, '0') + String(Math.max(0, runAt)).padStart(15, '0') + runId
