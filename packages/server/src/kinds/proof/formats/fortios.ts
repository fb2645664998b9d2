// FortiOS: `config` and `edit` open, `next` and `end` close, and values in quotes may go over lines.
import { linesOf } from '../text.ts'
import type { DeviceConfig } from './device-config.ts'
import { controlCharacter, pagerOutput, quoteAfter, readDevice } from './device-reading.ts'

/** Whether a text looks like FortiOS: a header that says so, or settings within a `config`. */
export function looksLikeFortios(lines: readonly string[]): boolean {
  return (
    lines.some((line) => line.startsWith('#config-version=')) ||
    (lines.some((line) => /^config [a-z]/.test(line)) &&
      lines.some((line) => /^\s+(?:set|unset|edit) \S/.test(line)) &&
      lines.some((line) => /^\s*(?:end|next)\s*$/.test(line)))
  )
}

/** Parses FortiOS text. `end` within an `edit` closes both, as it does on the device. */
export function parseFortios(text: string): DeviceConfig {
  const reading = readDevice()
  const open: { word: 'config' | 'edit'; line: number }[] = []
  /** The lines of a value that goes on, and where it began. */
  let value: { parts: string[]; line: number; quote: string } | undefined

  for (const [index, raw] of linesOf(text).entries()) {
    const line = index + 1
    if (controlCharacter.test(raw)) reading.error(line, 'control character')
    if (value) {
      value.parts.push(raw)
      value.quote = quoteAfter(raw, value.quote)
      if (value.quote !== '') continue
      reading.command(value.parts.join(' '), value.line)
      value = undefined
      continue
    }
    const command = raw.trim()
    if (command === '' || command.startsWith('#')) continue
    const residue = terminalResidue(command)
    if (residue) {
      reading.error(line, residue)
      continue
    }
    const word = /^\S+/.exec(command)![0]
    if (word === 'end' || word === 'next') {
      const innermost = open.at(-1)
      if (!innermost || (word === 'next' && innermost.word !== 'edit')) {
        reading.error(line, `${word} closes nothing`)
        continue
      }
      if (word === 'end' && innermost.word === 'edit') {
        open.pop()
        reading.leave()
      }
      open.pop()
      reading.leave()
      continue
    }
    const quote = quoteAfter(command)
    if (quote !== '') {
      value = { parts: [command], line, quote }
      continue
    }
    reading.command(command, line)
    if (word === 'config' || word === 'edit') {
      reading.enter(line)
      open.push({ word, line })
    }
  }
  if (value) reading.error(value.line, 'quote is never closed')
  for (const { word, line } of open) reading.error(line, `${word} is never closed`)
  return reading.done()
}

function terminalResidue(command: string): string | undefined {
  if (pagerOutput.test(command)) return 'pager output of a terminal'
  if (/^(?:Command fail\.|command parse error|Unknown action)/.test(command)) return 'error message of a terminal'
  if (/^[\w.-]{1,63} (?:\([^()]{1,128}\) )?[#$](?: |$)/.test(command)) return 'prompt of a terminal'
  return undefined
}
