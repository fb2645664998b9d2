import type { DayEvent } from './day-file.ts'

/** What the sequencer needs of an event besides its place. */
export interface RecentRow extends DayEvent {
  readonly entry: Uint8Array
}

// A few seconds of the fastest load that was measured, some megabytes.
const MOST = 10_000

let appends = new Map<string, readonly RecentRow[]>()
let kept = 0
let readers = 0

/**
 * Rows that this process committed and no sequencer of it has put into files yet, by the id of the first event of their
 * append: reading them back from the database costs more than placing them. Ids are unique in the world, so servers in one
 * process do not meet here. It is a copy and may be empty: what is not here is read.
 */
export const recentRows = {
  /** Nothing is kept where nobody reads. */
  get wanted(): boolean {
    return readers > 0
  },
  keep(first: string, committed: readonly RecentRow[]): void {
    // Not the rows themselves, which have more columns: what lives on is moved twice by the garbage collector.
    appends.set(
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
    for (const oldest of appends.keys()) {
      if (kept <= MOST) return
      this.take(oldest)
    }
  },
  /** The rows of an append, in their order; they are forgotten here. */
  take(first: string): readonly RecentRow[] | undefined {
    const rows = appends.get(first)
    if (rows === undefined) return undefined
    appends.delete(first)
    kept -= rows.length
    return rows
  },
  /**
   * After many were taken. A table that has outgrown itself points to the next one, and keeps what came later in the old generation
   * (docs/decisions/0085-what-grows-old.md): a Map of its own ends that row.
   */
  renew(): void {
    appends = new Map(appends)
  },
  /** From now on rows are kept, until the answer is called. */
  read(): () => void {
    readers++
    return () => {
      readers--
      if (readers > 0) return
      appends.clear()
      kept = 0
    }
  },
}
