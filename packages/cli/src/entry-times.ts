/**
 * Compares what entries say of their time with what is known of it from elsewhere: they stand in the order in which they were placed,
 * a witness says that those below its state were there at its time, and the checkpoint kept on this machine that the others were not
 * yet. A clock that was set back or ahead shows; so does a change that took long, so it is a remark and no fault.
 */
export interface TimeMarks {
  /** Entries below `size` were there at `at`, in milliseconds. */
  readonly existed: readonly { readonly size: number; readonly at: number }[]
  /** Entries from `size` on were not there yet. */
  readonly missing: readonly { readonly size: number; readonly at: number }[]
}

export interface StrangeTimes {
  /** Entries that say an earlier time than what surely was before them. */
  readonly early: number
  /** Entries that say a later time than when they surely were there. */
  readonly late: number
  /** The first of either. */
  readonly first: number | null
  /** By so much at most, in milliseconds. */
  readonly by: number
}

/** Two clocks are seldom the same, and what takes a while is placed after what came later. */
const TOLERATED_MS = 5 * 60_000

export function createTimeWatch({ existed, missing }: TimeMarks) {
  const found = { early: 0, late: 0, first: null as number | null, by: 0 }
  let newest = Number.NEGATIVE_INFINITY
  return {
    found: found as StrangeTimes,
    look(index: number, entry: Uint8Array): void {
      const at = timeOf(entry)
      if (at === undefined) return
      let [after, before] = [newest, Number.POSITIVE_INFINITY]
      for (const mark of missing) if (index >= mark.size) after = Math.max(after, mark.at)
      for (const mark of existed) if (index < mark.size) before = Math.min(before, mark.at)
      const [early, late] = [after - at, at - before]
      if (early > TOLERATED_MS || late > TOLERATED_MS) {
        if (early > TOLERATED_MS) found.early++
        else found.late++
        found.first ??= index
        found.by = Math.max(found.by, early, late)
      }
      newest = Math.max(newest, at)
    },
  }
}

const MARK = Buffer.from('"t":"')

/** Canonical JSON has no blanks, and quotes inside of a text are escaped: so this is the member and nothing else. */
function timeOf(entry: Uint8Array): number | undefined {
  const bytes = Buffer.from(entry.buffer, entry.byteOffset, entry.byteLength)
  const start = bytes.indexOf(MARK)
  if (start < 0) return undefined
  const at = Date.parse(bytes.toString('latin1', start + MARK.length, start + MARK.length + 24))
  return Number.isNaN(at) ? undefined : at
}
