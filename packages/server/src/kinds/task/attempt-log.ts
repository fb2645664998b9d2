import { mayGoOn, redactor } from '../../platform/redact/index.ts'
import { storable } from '../../platform/storable.ts'

/** The newest lines are kept: what a failure said stands at the end. */
const MAX_CHARS = 64 * 1024
const CUT = ' [cut here]'

/** Lines that can be kept now. */
export interface TakenLines {
  readonly printed: readonly string[]
  /** So many before them were printed and are gone. */
  readonly leftOut: number
  /** The number of the first, from 1 on; only if some of them may be kept already. */
  readonly first: number | undefined
  /** For `kept`, once they are. */
  readonly upTo: number
}

/**
 * What one attempt prints, until it is kept: the newest 64 KiB. Whoever prints faster than lines are kept loses the older ones,
 * and their number is known. A line that may be one half of a secret waits for the next.
 */
export function createAttemptLog() {
  let lines: string[] = []
  let chars = 0
  /** How many of `lines` are gone; cut off now and then, because moving all for each is dear. */
  let gone = 0
  /** All lines count from the first that was printed on. */
  let first = 0
  let done = 0
  let waitingSince: number | null = null
  let doubted = false

  const end = () => first + lines.length
  const from = (line: number) => lines.slice(line - first)

  function taken(upTo: number): TakenLines | null {
    const oldest = Math.max(done, first + gone)
    if (upTo <= oldest) return null
    const printed = lines.slice(oldest - first, upTo - first)
    return { printed, leftOut: oldest - done, first: doubted ? oldest + 1 : undefined, upTo }
  }

  return {
    add(printed: string): void {
      waitingSince ??= performance.now()
      for (const line of printed.split('\n')) {
        const text = line.length > MAX_CHARS ? line.slice(0, MAX_CHARS - CUT.length) + CUT : line
        lines.push(text)
        chars += text.length + 1
        while (chars > MAX_CHARS && gone < lines.length - 1) chars -= lines[gone++]!.length + 1
      }
      if (gone > 1_024 && gone * 2 > lines.length) {
        lines = lines.slice(gone)
        first += gone
        gone = 0
      }
    },
    /** When the oldest line that is not kept was printed, by the monotonic clock; null if all are kept. */
    get waitingSince() {
      return waitingSince
    },
    /** Whether something of it stands, or is missing, outside of what `newest` answers. */
    get isParted() {
      return done > 0 || first + gone > 0 || doubted
    },
    /** What can be kept now, without lines that may go on; null if there is nothing. */
    take(): TakenLines | null {
      let upTo = end()
      const held = mayGoOn(from(Math.max(done, first + gone)))
      upTo -= held
      return taken(upTo)
    },
    /** All that is not kept: the attempt is over. */
    takeRest: (): TakenLines | null => taken(end()),
    /** The store was lost while it kept lines: those that come next may be there already. */
    doubt(): void {
      doubted = true
    },
    kept({ upTo }: TakenLines): void {
      doubted = false
      done = upTo
      waitingSince = upTo < end() ? performance.now() : null
    },
    /** The newest lines, redacted. */
    newest: (): string => redactor.text(storable(lines.slice(gone).join('\n'))),
  }
}

export type AttemptLog = ReturnType<typeof createAttemptLog>

export const countLines = (text: string): number => {
  let n = 1
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) n++
  return n
}
