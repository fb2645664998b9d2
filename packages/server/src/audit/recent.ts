import type { ForFiles } from './file-lines.ts'

// A few seconds of the fastest load that was measured.
const MOST_BYTES = 32 * 1024 * 1024

let appends = new Map<string, ForFiles>()
let kept = 0
let readers = 0

/**
 * What this process committed and no sequencer of it has put into files yet, by the id of the first event of its
 * append: reading it back from the database costs more than placing it. Ids are unique in the world, so servers in one
 * process do not meet here. It is a copy and may be empty: what is not here is read.
 *
 * Bytes as the files will have them, made at once: rows that wait are moved twice by the garbage collector, and their lines would have
 * to be taken apart to be written for people.
 */
export const recentRows = {
  /** Nothing is kept where nobody reads. */
  get wanted(): boolean {
    return readers > 0
  },
  keep(first: string, committed: ForFiles): void {
    appends.set(first, committed)
    kept += bytesOf(committed)
    for (const oldest of appends.keys()) {
      if (kept <= MOST_BYTES) return
      this.take(oldest)
    }
  },
  /** What an append gets into the files; it is forgotten here. */
  take(first: string): ForFiles | undefined {
    const found = appends.get(first)
    if (found === undefined) return undefined
    appends.delete(first)
    kept -= bytesOf(found)
    return found
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

function bytesOf({ entries, lines }: ForFiles): number {
  let bytes = 0
  for (const entry of entries) bytes += entry.length
  for (const { jsonl, readable } of lines) bytes += jsonl.length + readable.length
  return bytes
}
