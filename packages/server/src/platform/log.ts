import { type Logger, pino, stdTimeFunctions } from 'pino'
import type { LogFiles } from './log-files.ts'
import { redactor } from './redact/index.ts'

export type { Logger }

/**
 * The server's log: one JSON object a line on standard output, or plain text. Messages are constant, facts are fields.
 * Secrets never come here: not by name, and not inside of a text, whatever the caller does.
 */
export function createLog(options: {
  level: string
  format: 'json' | 'text'
  destination?: NodeJS.WritableStream
  /** Where lines go as well, each into the file of its part; what belongs to none is the API's. */
  files?: LogFiles | undefined
}): Logger {
  const destination = options.destination ?? process.stdout
  const settings = {
    level: options.level.toLowerCase(),
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    redact: {
      paths: ['password', 'token', 'secret', 'authorization', '*.password', '*.token', '*.secret', '*.authorization'],
      censor: '[secret]',
    },
    formatters: { level: (label: string) => ({ level: label }) },
  }
  const out = options.format === 'json' ? destination : textOn(destination)
  const { files } = options
  return pino(settings, redacted(files ? both(out, intoFiles(files, options.format)) : out))
}

interface Lines {
  write(line: string): unknown
}

function redacted(out: Lines): Lines {
  return {
    write(line: string) {
      const clean = redactor.json(line)
      out.write(clean === line ? line : `${clean}\n`)
    },
  }
}

const both = (one: Lines, other: Lines): Lines => ({
  write(line) {
    one.write(line)
    other.write(line)
  },
})

// Text is for a person at a terminal: time, level, message, then the fields as they are.
const textOn = (out: NodeJS.WritableStream): Lines => ({
  write: (line) => out.write(textOf(JSON.parse(line) as Line, (time) => time.slice(11, 23))),
})

const intoFiles = (files: LogFiles, format: 'json' | 'text'): Lines => ({
  write(line) {
    const { part = 'http', ...rest } = JSON.parse(line) as Line
    // The documented name of the file that tells of requests.
    const name = part === 'http' ? 'api' : part
    files.write(name, format === 'json' ? line : textOf(rest, (time) => time))
  },
})

interface Line extends Record<string, unknown> {
  readonly time: string
  readonly level: string
  readonly msg?: string
  readonly part?: string
}

function textOf({ time, level, msg = '', ...fields }: Line, shown: (time: string) => string): string {
  const facts = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  return `${`${shown(time)} ${level.toUpperCase().padEnd(5)} ${msg} ${facts.join(' ')}`.trimEnd()}\n`
}
