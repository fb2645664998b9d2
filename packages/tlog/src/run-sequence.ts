import type { Entry } from './entry.ts'

// The events of a run are numbered one after the other, from 0, and an entry says which of them it tells of. The tree shows
// that nothing was taken out of the log; these numbers show that nothing was kept from it, or left out of what was copied from it.

/** What is wrong with the next entry of a run: an event before it is missing, or stands there already. */
export type SequenceGap = {
  run: string
  seq: number
  /** The number that should have come. */
  expected: number
  /** Whether an earlier entry of the run went by; if not, what it lacks may be where nobody looked. */
  begun: boolean
}

export type RunSequences = {
  /** The next entry, in the order of the log. Whatever it answers, the run goes on from this entry. */
  follow(entry: Pick<Entry, 'run' | 'seq'>): SequenceGap | undefined
  /** Nothing is kept in mind of the run any more: what still comes of it has not begun. */
  forget(run: string): void
}

/** Follows every run of a log. Some dozens of bytes for each that is not forgotten. */
export function createRunSequences(): RunSequences {
  const next = new Map<string, number>()
  return {
    follow({ run, seq }) {
      if (run === undefined) return undefined
      const known = next.get(run)
      const expected = known ?? 0
      next.set(run, seq + 1)
      return seq === expected ? undefined : { run, seq, expected, begun: known !== undefined }
    },
    forget: (run) => {
      next.delete(run)
    },
  }
}

/** In words: "event 3 of the run … is not in the log", or that it stands there twice. */
export const gapText = ({ run, seq, expected }: SequenceGap, where: string): string =>
  seq < expected
    ? `event ${seq} of the run ${run} comes again where event ${expected} should`
    : `event ${expected} of the run ${run} is not in ${where}, but event ${seq} is`
