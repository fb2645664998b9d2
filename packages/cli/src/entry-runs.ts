import { createRunSequences, gapText } from '@writ/tlog'

const RUN = Buffer.from('"run":"')
const SEQ = Buffer.from('"seq":')
const ENDED = /^\{"act":"run\.(completed|failed|timeout|cancelled)"/

/**
 * Holds the events of each run against their own numbers, from the log alone: one that was kept from the log left a hole in them. Of a
 * run whose beginning is not in this log, or that ended with its first event and is forgotten, nothing is known, and nothing said.
 */
export function createRunWatch() {
  const sequences = createRunSequences()
  const watch = {
    /** The first hole; undefined while there is none. */
    found: undefined as { code: string; index: number; reason: string } | undefined,
    look(index: number, entry: Uint8Array): void {
      const leaf = runOf(entry)
      if (leaf === undefined) return
      const gap = sequences.follow(leaf)
      if (gap?.begun) watch.found ??= { code: 'RUN_EVENT_MISSING', index, reason: gapText(gap, 'the log') }
      if (leaf.seq === 0 && leaf.ended) sequences.forget(leaf.run)
    },
  }
  return watch
}

/** Canonical JSON has no blanks, and quotes inside of a text are escaped: so these are the members and nothing else. */
function runOf(entry: Uint8Array): { run: string; seq: number; ended: boolean } | undefined {
  const bytes = Buffer.from(entry.buffer, entry.byteOffset, entry.byteLength)
  const start = bytes.indexOf(RUN)
  if (start < 0) return undefined
  const seq = bytes.indexOf(SEQ, start)
  if (seq < 0) return undefined
  return {
    run: bytes.toString('latin1', start + RUN.length, bytes.indexOf(0x22, start + RUN.length)),
    seq: Number.parseInt(bytes.toString('latin1', seq + SEQ.length, seq + SEQ.length + 16), 10),
    ended: ENDED.test(bytes.toString('latin1', 0, 24)),
  }
}
