import { type Logger, pino, stdTimeFunctions } from 'pino'
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
  return pino(settings, redacted(options.format === 'json' ? destination : textOn(destination)))
}

function redacted(out: { write(line: string): unknown }) {
  return {
    write(line: string) {
      const clean = redactor.json(line)
      out.write(clean === line ? line : `${clean}\n`)
    },
  }
}

// Text is for a person at a terminal: time, level, message, then the fields as they are.
function textOn(out: NodeJS.WritableStream) {
  return {
    write(line: string) {
      const { time, level, msg, ...fields } = JSON.parse(line) as Record<string, unknown>
      const facts = Object.entries(fields).map(
        ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
      )
      out.write(
        `${String(time).slice(11, 23)} ${String(level).toUpperCase().padEnd(5)} ${String(msg)} ${facts.join(' ')}`.trimEnd() +
          '\n',
      )
    },
  }
}
