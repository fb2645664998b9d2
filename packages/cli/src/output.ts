import { createRequire } from 'node:module'
import type { Settings } from './config.ts'
import { type Column, layTable, type Paint } from './table.ts'
import type { Terminal } from './terminal.ts'
import { padText, safeText, widthOf } from './text.ts'

export type Format = 'table' | 'json' | 'yaml'

/** A named value of one thing shown in detail. */
export type Field = readonly [name: string, value: string | number | boolean | null | undefined, paint?: Paint]

/** How results are printed. Results go to stdout, everything else to stderr, so that pipes carry results only. */
export interface Output {
  readonly format: Format
  readonly quiet: boolean
  /** A list; with --quiet one `key` a line. */
  list<Row>(rows: readonly Row[], columns: readonly Column<Row>[], key: (row: Row) => string | number): void
  /** One thing; with --quiet its key. */
  item<Item>(item: Item, fields: readonly Field[], key: string | number): void
  /** A line of a result for people; nothing with --quiet, json or yaml. */
  say(line: string): void
  /** A line beside the result: what was done, what to do next. Nothing with --quiet. */
  note(line: string): void
  /** As it is, to stdout. */
  raw(text: string): void
  paint(text: string, paint: Paint | undefined): string
}

// Loaded by what is printed so: it is a tenth of what every other command costs.
const require = createRequire(import.meta.url)
const yamlOf = (value: unknown): string => (require('yaml') as typeof import('yaml')).stringify(value)

const codes: Record<Paint, number> = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 }

export function createOutput(terminal: Terminal, settings: Settings, format: Format, quiet: boolean): Output {
  const { stdout, stderr } = terminal
  const colour = stdout.isTTY === true && !settings.noColor
  const paint = (text: string, paint: Paint | undefined) =>
    colour && paint && text !== '' ? `\u001b[${codes[paint]}m${text}\u001b[0m` : text
  const line = (text: string) => stdout.write(`${text}\n`)
  const data = (value: unknown) => line(format === 'json' ? JSON.stringify(value, null, 2) : yamlOf(value).trimEnd())
  return {
    format,
    quiet,
    list(rows, columns, key) {
      if (quiet) for (const row of rows) line(String(key(row)))
      else if (format !== 'table') data(rows)
      else if (rows.length === 0) stderr.write('Nothing found.\n')
      else
        for (const text of layTable(rows, columns, { width: stdout.isTTY ? stdout.columns : undefined, paint }))
          line(text)
    },
    item(item, fields, key) {
      if (quiet) return void line(String(key))
      if (format !== 'table') return data(item)
      const shown = fields.filter(([, value]) => value !== null && value !== undefined && value !== '')
      const width = Math.max(...shown.map(([name]) => widthOf(name)))
      for (const [name, value, colourOf] of shown) {
        // A value of several lines continues under its first.
        const text = safeText(String(value))
          .split('\n')
          .join(`\n${' '.repeat(width + 2)}`)
        line(`${paint(padText(name, width), 'dim')}  ${paint(text, colourOf)}`)
      }
    },
    say(text) {
      if (!quiet && format === 'table') line(text)
    },
    note(text) {
      if (!quiet) stderr.write(`${text}\n`)
    },
    raw: (text) => void stdout.write(text),
    paint,
  }
}
