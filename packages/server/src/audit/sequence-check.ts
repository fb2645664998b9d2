import { createRunSequences, decodeEntry, type Entry, gapText, type SequenceGap } from '@writ/tlog'
import { type Database, inProject } from '../platform/db/index.ts'
import { Found } from './finding.ts'
import * as store from './store.ts'

/**
 * Holds the events of each run against their own numbers. An event that was deleted before it got its place in the log left the log
 * whole: only the number that its run lacks tells of it.
 */
export interface SequenceCheck {
  /** Every leaf, in the order of the project's logs. Throws Found. */
  see(leaf: Entry, index: number): void
  /** After some of them, a page or so. Throws Found. */
  caughtUp(): Promise<void>
}

/**
 * @param since what is seen is all that the project's logs hold (`beginning`), or begins somewhere (`anywhere`): then of a run whose
 *   first event is not seen it is not known what it lacks.
 */
export function createSequenceCheck(
  on: { readonly db: Database; readonly project: string },
  since: 'beginning' | 'anywhere',
): SequenceCheck {
  const sequences = createRunSequences()
  /** Runs that ended with their first event, as most tasks do, are forgotten; so what comes later of one is looked up. */
  let later: { readonly gap: SequenceGap; readonly index: number }[] = []

  return {
    see(leaf, index) {
      const gap = sequences.follow(leaf)
      if (gap?.begun) throw missing(gap, index)
      if (gap && since === 'beginning') later.push({ gap, index })
      if (leaf.seq === 0 && leaf.run !== undefined && store.RUN_ENDS.has(leaf.act)) sequences.forget(leaf.run)
    },
    async caughtUp() {
      if (later.length === 0) return
      const gaps = later
      later = []
      const runs = [...new Set(gaps.map(({ gap }) => gap.run))]
      const found = await inProject(on.project, () => on.db.read((tx) => store.listEntriesAbout(tx, runs)))
      const there = new Set(found.map(decodeEntry).map(({ run, seq }) => `${run} ${seq}`))
      const lacking = gaps.filter(({ gap }) => !there.has(`${gap.run} ${gap.seq - 1}`))
      if (lacking.length === 0) return
      const logs = await inProject(on.project, () => on.db.read(store.listLogs))
      // What came before went with an old log, openly.
      if (logs.some(({ dropped_at }) => dropped_at !== null)) return
      throw missing(lacking[0]!.gap, lacking[0]!.index)
    },
  }
}

const missing = (gap: SequenceGap, index: number) =>
  new Found({ code: 'RUN_EVENT_MISSING', index, reason: gapText(gap, 'the log') })
