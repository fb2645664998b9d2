import type { Tx } from '../platform/db/index.ts'

/** Proof runs wait here. No queue of tasks can have this name. */
export const PROOFS = '.proof'

/**
 * Where tasks of a queue wait that workers outside of the servers are to do: beside the queue, a place for each handler. So a
 * claim for some handlers passes none of the others, and the servers' own lanes never see them.
 */
export const remotePlace = (queue: string, handler: string): string => `@${queue}/${handler}`

/** The queue that a place belongs to; of a plain one its own name. No queue of tasks has these characters in its name. */
export const queueOfPlace = (place: string): string =>
  place.startsWith('@') ? place.slice(1, place.indexOf('/')) : place

/**
 * The time of an entry that something else than time holds back: the end of the year 9999. Whoever lifts that enqueues it again,
 * and it moves.
 */
export const HELD_AT = 253_402_300_799_000

/** A run that waits for a worker: a reference; what is to be done stands with the run. */
export interface Entry {
  readonly runId: string
  readonly queue: string
  /** By which a worker that has enough of one handler leaves its entries where they are; empty if none asks. */
  readonly handler: string
  /** Higher first; 0 unless said. */
  readonly priority: number
  /** Not before this time, in milliseconds. */
  readonly runAt: number
}

/** An entry that a worker holds. The fence is the number of the claim, from 1 on: only who holds the newest may settle. */
export interface Lease {
  readonly runId: string
  readonly project: string
  readonly queue: string
  readonly handler: string
  readonly fence: number
  /** How often it was claimed, this time included; what was given back does not count. */
  readonly attempt: number
  /** How often its work failed. What is left of `attempt` - 1 are workers that were lost. */
  readonly failures: number
}

/** Whether nobody held the entry before, so that nothing can have been kept of its work but under this lease. */
export const isFirstClaim = ({ fence }: Pick<Lease, 'fence'>): boolean => fence === 1

/** How an entry leaves a worker: for good; to come again after a failure; or back as if it had never been claimed. */
export type Next =
  | { readonly next: 'done' }
  | { readonly next: 'retry'; readonly runAt: number }
  | { readonly next: 'back'; readonly runAt: number }

/** `unclaimed` takes an entry away that nobody holds. */
export type Settlement =
  | ({ readonly runId: string; readonly fence: number } & Next)
  | { readonly runId: string; readonly fence: 'unclaimed'; readonly next: 'done' }

export interface Ask {
  readonly queue: string
  readonly limit: number
  readonly worker: string
  readonly now: number
  readonly leaseUntil: number
  /** Handlers whose entries stay where they are. */
  readonly except: readonly string[]
}

/** Who claims what is being enqueued. */
export interface Holder {
  readonly worker: string
  readonly now: number
  readonly leaseUntil: number
}

/** Where something may be claimed now. */
export interface Runnable {
  readonly queue: string
  readonly project: string
}

/** What a sweep found. */
export interface Swept {
  readonly runnable: readonly Runnable[]
  /** When the next falls due, or null. */
  readonly next: number | null
  /**
   * Leases that ran out of what was asked to stop. They stand as they were, so that whoever stops before it settled them, with their
   * fence, leaves them to the next sweep; of two who do, one is told that its lease is lost.
   */
  readonly stopped: readonly Lease[]
}

export interface Depth {
  readonly queue: string
  /** Could be claimed now, paused or not. */
  readonly waiting: number
  /** Wait for their time. */
  readonly delayed: number
  readonly claimed: number
  /** When the longest waiting of those that could be claimed was due; null when none waits. */
  readonly oldest: number | null
}

/**
 * What waits to be worked on. The queue carries references and leases; the database holds the truth. What every backend
 * promises, and `exerciseQueue` tests:
 *
 * - What was enqueued in a transaction that committed is claimed until it is settled `done`; of one that did not, nothing.
 * - At most one lease of an entry is valid. The first has the fence 1, each claim a higher one than the one before; an older
 *   fence extends and settles nothing. A lease that ran out is lost at the next sweep at the latest.
 * - Of what may be claimed in one project's queue the highest priority goes first, then the earliest time, then the oldest.
 * - A paused queue is not claimed from. Nothing is claimed before its time.
 * - Of a queue with a limit no more are claimed at once than it allows, whoever claims; a new limit counts from the next sweep on.
 * - A claim costs by what it takes, not by what waits.
 * - What was asked to stop, and whose lease ran out, is never claimed again: each sweep names it until somebody settles it.
 *
 * Enqueue, claim and settle are part of the caller's transaction and of its project.
 */
export interface Queue {
  /** Makes runs claimable. Again for one that waits: its time moves. Again for one that is claimed: nothing. */
  enqueue(tx: Tx, entries: readonly Entry[], now: number): Promise<void>
  /** Whether `enqueueHeld` may be used in this transaction: not where the queue is paused or has a limit. */
  mayHold(tx: Tx, queue: string): Promise<boolean>
  /**
   * Enqueues new entries of one queue that are due, and claims them with it: for a worker of this process that knows of nothing
   * before them. Answers their leases; what is written is left behind.
   */
  enqueueHeld(tx: Tx, entries: readonly Entry[], holder: Holder): Lease[]
  /**
   * Before a claim, outside of its transaction, which waits for nothing but the database: where entries wait elsewhere too, takes
   * out there what the claim with the same `ask` will be given. Fetches nothing rather than throw.
   */
  reserve(project: string, ask: Ask): Promise<void>
  /** Leases of up to `limit` entries, in the order in which they are to be started. */
  claim(tx: Tx, ask: Ask): Promise<Lease[]>
  /**
   * Keeps leases alive. Answers those that are lost, whose work must stop and settles nothing, and those of which somebody
   * asked that their work stops (`stop`).
   */
  extend(leases: readonly Lease[], until: number): Promise<{ lost: readonly Lease[]; stop: readonly Lease[] }>
  /** Ends leases, and entries with them; false for each whose lease was lost, or that is claimed while `unclaimed` is asked for. */
  settle(tx: Tx, settlements: readonly Settlement[]): Promise<boolean[]>
  /** Ends what ran out, makes what fell due claimable, and says where there is something. */
  sweep(now: number): Promise<Swept>
  /**
   * Somebody set the clock, from one time to another: every lease ends at `leaseUntil`, and what was due stays due; what waits for
   * another try keeps its time, which is for the caller to move. With `from` and `to` alike, as when a process begins, only leases that end later do: they were given by a clock that was ahead.
   */
  clockSet(change: { readonly from: number; readonly to: number; readonly leaseUntil: number }): Promise<void>
  /** Asks whoever holds the lease of a run to stop its work; false if nobody holds one. */
  stop(tx: Tx, runId: string): Promise<boolean>
  /** Calls the listener when something may have become claimable, or is to stop. Hints may be lost: sweep and extend are the promise. */
  wake(listener: Listener): void
  /** By queue, of the project of `tx`, or of one queue and the places beside it. Counts rows: for people, not for the way of work. */
  depth(tx: Tx, queue?: string): Promise<Depth[]>
  close(): Promise<void>
}

export interface Listener {
  /** Null: somewhere. `count` entries came, where that is all that is known to have come. */
  runnable(where: Runnable | null, count?: number): void
  stop(runId: string): void
}
