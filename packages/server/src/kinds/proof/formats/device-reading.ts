// What the readers of device text have in common: a tree of commands that is built line by line, and what a terminal leaves in a file.
import { deepestNesting } from '../text.ts'
import type { DeviceConfig, DeviceLine } from './device-config.ts'

const mostNotes = 20

/** A tree of commands under construction. There is always an innermost block; at first it is the file. */
export interface DeviceReading {
  /** How many blocks are open. */
  readonly depth: number
  /** Adds a command to the innermost block. Runs of blanks are made one. */
  command(text: string, line: number): void
  /** Opens the block of the last command. What would be nested too deeply is noted once, and read as if it were not nested. */
  enter(line: number): void
  /** Closes the innermost block; true if one was open. */
  leave(): boolean
  error(line: number, what: string): void
  warn(line: number, what: string): void
  /** What was read. `repeats` warns of blocks at the margin that stand twice. */
  done(options?: { repeats: boolean }): DeviceConfig
}

/** Begins to read a device's text. */
export function readDevice(): DeviceReading {
  const top: DeviceLine[] = []
  const open: DeviceLine[][] = []
  const errors: string[] = []
  const warnings: string[] = []
  let tooDeep = 0
  const innermost = () => open.at(-1) ?? top
  return {
    get depth() {
      return open.length + tooDeep
    },
    command: (text, line) => void innermost().push({ text: text.trim().replace(/\s+/g, ' '), line, children: [] }),
    enter(line) {
      const last = innermost().at(-1)
      if (last && open.length < deepestNesting) return void open.push(last.children)
      if (tooDeep++ === 0) errors.push(`line ${line}: nesting is deeper than ${deepestNesting} levels`)
    },
    leave() {
      if (tooDeep > 0) return tooDeep-- > 0
      return open.pop() !== undefined
    },
    error: (line, what) => void (errors.length < mostNotes && errors.push(`line ${line}: ${what}`)),
    warn: (line, what) => void (warnings.length < mostNotes && warnings.push(`line ${line}: ${what}`)),
    done: ({ repeats } = { repeats: false }) => ({
      lines: top,
      errors,
      warnings: [...warnings, ...(repeats ? repeatedBlocks(top) : [])].slice(0, mostNotes),
    }),
  }
}

/** Warnings of blocks at the margin that stand twice: only one of them is what the device goes by, or they add up. */
export function repeatedBlocks(top: readonly DeviceLine[]): string[] {
  const first = new Map<string, number>()
  const warnings: string[] = []
  for (const block of top) {
    if (block.children.length === 0) continue
    const before = first.get(block.text)
    if (before !== undefined) warnings.push(`line ${block.line}: block stands at line ${before} already`)
    else first.set(block.text, block.line)
  }
  return warnings
}

/** A character that no device prints into its configuration. Tabs may be; so may ^C, which closes banners. */
export const controlCharacter = /[\u0000-\u0002\u0004-\u0008\u000b-\u001f\u007f]/

/** What the pager of any terminal leaves: `--More--`, `---- More ----`, `---(more 41%)---`. */
export const pagerOutput = /--\s?\(?more(?: \d+%)?\)?\s?--/i

/**
 * The quote that is open at the end of a line, or nothing; `quote` is the one that was open before it. A single quote opens only where
 * a word begins: elsewhere it is an apostrophe. What follows a backslash opens and closes nothing.
 */
export function quoteAfter(raw: string, quote = ''): string {
  for (let at = 0; at < raw.length; at++) {
    const char = raw[at]!
    if (char === '\\' && quote !== "'") at++
    else if (quote !== '') quote = char === quote ? '' : quote
    else if (char === '"' || (char === "'" && /^[\s"']?$/.test(raw[at - 1] ?? ''))) quote = char
  }
  return quote
}
