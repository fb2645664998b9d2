const MAX_CHARS = 60 * 1024
const CUT = ' [cut here]'
const MAX_SENT = 10_000

/** What a task prints, until it is sent: the newest 60 KiB. Numbers count all lines that were printed. */
export function createLines() {
  let lines: string[] = []
  let chars = 0
  let first = 0
  let sent = 0
  let doubted = false
  const end = () => first + lines.length
  return {
    add(printed: string): void {
      for (const line of printed.split('\n')) {
        const text = line.length > MAX_CHARS ? line.slice(0, MAX_CHARS - CUT.length) + CUT : line
        lines.push(text)
        chars += text.length + 1
      }
      if (chars <= MAX_CHARS) return
      let gone = 0
      while (chars > MAX_CHARS && gone < lines.length - 1) chars -= lines[gone++]!.length + 1
      lines = lines.slice(gone)
      first += gone
    },
    /** What was not sent yet, and how many lines before it are gone. */
    unsent() {
      const begin = Math.max(sent, first)
      return { lines: lines.slice(begin - first).slice(0, MAX_SENT), leftOut: begin - sent, begin }
    },
    /** So many lines from `begin` on need not be sent again. */
    sentUpTo(line: number): void {
      doubted = false
      if (line > sent) sent = line
    },
    /** An answer was lost: what is sent next may have arrived already. */
    doubt(): void {
      doubted = true
    },
    /** For the result: the newest lines, and, if some were sent before or are gone, how many of them were not. */
    result(): { log?: string; log_rest?: { lines: number; left_out: number; first?: number } } {
      if (end() === 0) return {}
      const log = lines.join('\n')
      if (sent === 0 && first === 0 && !doubted) return { log }
      const begin = Math.max(sent, first)
      // A server that does not number lines refuses them, and what it refuses was not kept: no doubt, no number.
      const place = doubted ? { first: begin + 1 } : {}
      return { log, log_rest: { lines: end() - begin, left_out: begin - sent, ...place } }
    },
  }
}
