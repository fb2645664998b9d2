import type { Terminal } from './terminal.ts'
import { bytesText, fitText, padText, safeLine } from './text.ts'

export interface Progress {
  update(done: number, size: number): void
  /** Clears the bar: what stays on the screen are results. */
  end(): void
}

const BAR = 24
const EVERY_MS = 80

/** A bar on stderr while something long goes on; nothing when stderr is no terminal, or with --quiet. */
export function createProgress(
  terminal: Terminal,
  label: string,
  options: { quiet: boolean; unit?: 'bytes' | 'entries' | 'files' },
): Progress {
  const { stderr } = terminal
  if (!stderr.isTTY || options.quiet) return { update() {}, end() {} }
  const count = options.unit === undefined || options.unit === 'bytes' ? bytesText : (n: number) => String(n)
  let shownAt = Number.NEGATIVE_INFINITY
  return {
    update(done, size) {
      const now = terminal.ticks()
      if (done < size && now - shownAt < EVERY_MS) return
      shownAt = now
      const share = size > 0 ? Math.min(1, done / size) : 1
      const filled = Math.round(share * BAR)
      const bar = '█'.repeat(filled) + '░'.repeat(BAR - filled)
      const numbers = `${String(Math.round(share * 100)).padStart(3)}%  ${count(done)} / ${count(size)}`
      const room = Math.max(10, (stderr.columns ?? 80) - BAR - numbers.length - 5)
      const name = fitText(safeLine(label), Math.min(room, 40))
      stderr.write(`\r\u001b[2K${padText(name, Math.min(room, 24))} ${bar} ${numbers}`)
    },
    end: () => void stderr.write('\r\u001b[2K'),
  }
}
