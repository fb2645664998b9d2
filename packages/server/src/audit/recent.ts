import type { DayEvent } from './day-file.ts'

/** What the sequencer needs of an event besides its place. */
export interface RecentRow extends DayEvent {
  readonly id: string
  readonly entry: Uint8Array
}

// A few seconds of the fastest load that was measured, some megabytes.
const MOST = 4_096

const rows = new Map<string, RecentRow>()
let readers = 0

/**
 * Rows that this process committed and no sequencer of it has put into files yet, by event id: reading them back from
 * the database costs more than placing them. Ids are unique in the world, so servers in one process do not meet here.
 * It is a copy and may be empty: what is not here is read.
 */
export const recentRows = {
  /** Nothing is kept where nobody reads. */
  get wanted(): boolean {
    return readers > 0
  },
  keep(committed: readonly RecentRow[]): void {
    for (const row of committed) rows.set(row.id, row)
    for (const id of rows.keys()) {
      if (rows.size <= MOST) return
      rows.delete(id)
    }
  },
  /** The row, which is forgotten here. */
  take(id: string): RecentRow | undefined {
    const row = rows.get(id)
    rows.delete(id)
    return row
  },
  /** From now on rows are kept, until the answer is called. */
  read(): () => void {
    readers++
    return () => {
      readers--
      if (readers === 0) rows.clear()
    }
  },
}
