import type { DayEvent } from './day-file.ts'

/** What the sequencer needs of an event besides its place. */
export interface RecentRow extends DayEvent {
  readonly entry: Uint8Array
}

/** Entries that are worth a round of their own, before its time. */
const MANY = 5_000
/** What comes while such a round is under way is kept, too; some tens of megabytes at most. */
const MOST = 4 * MANY

/** By when they came: since the end of the last round, and before it. */
let newer = new Map<string, readonly RecentRow[]>()
let older = new Map<string, readonly RecentRow[]>()
let kept = 0
const readers = new Set<() => void>()

/**
 * Rows that this process committed and no sequencer of it has put into files yet, by the id of the first event of their
 * append: reading them back from the database costs more than placing them. Ids are unique in the world, so servers in one
 * process do not meet here. It is a copy and may be empty: what is not here is read.
 */
export const recentRows = {
  /** Nothing is kept where nobody reads. */
  get wanted(): boolean {
    return readers.size > 0
  },
  /** Whether there are so many that they should be taken now. */
  get many(): boolean {
    return kept >= MANY
  },
  /** Where there is no room the newest stay out: the oldest are the next that the sequencer asks for. */
  keep(first: string, committed: readonly RecentRow[]): void {
    if (kept + committed.length > MOST) return
    // Not the rows themselves, which have more columns: what lives on is moved twice by the garbage collector.
    newer.set(
      first,
      committed.map(({ timestamp, event, actor_number, resource_number, entry }) => ({
        timestamp,
        event,
        actor_number,
        resource_number,
        entry,
      })),
    )
    kept += committed.length
    if (this.many) for (const take of readers) take()
  },
  has(first: string): boolean {
    return newer.has(first) || older.has(first)
  },
  /** The rows of an append, in their order; they are forgotten here. */
  take(first: string): readonly RecentRow[] | undefined {
    const from = newer.has(first) ? newer : older
    const rows = from.get(first)
    if (rows === undefined) return undefined
    from.delete(first)
    kept -= rows.length
    return rows
  },
  /**
   * A round has ended. What was here before the last one ended and was not asked for has been read from the database. In tables of
   * their own, because one that has outgrown itself points to the next one, and keeps what came later in the old generation
   * (docs/decisions/0085-what-grows-old.md).
   */
  endRound(): void {
    for (const rows of older.values()) kept -= rows.length
    older = newer
    newer = new Map()
  },
  /** From now on rows are kept, until the answer is called. `take` is called when there are many, more than once. */
  read(take: () => void): () => void {
    readers.add(take)
    return () => {
      readers.delete(take)
      if (readers.size > 0) return
      newer.clear()
      older.clear()
      kept = 0
    }
  },
}
