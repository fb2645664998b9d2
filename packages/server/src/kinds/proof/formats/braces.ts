// Blocks in braces whose statements end with their line: F5 TMOS, and Nokia SR OS in its model-driven form.
import { linesOf } from '../text.ts'
import type { DeviceConfig } from './device-config.ts'
import { controlCharacter, quoteAfter, readDevice } from './device-reading.ts'

/** Parses such text. What follows a line that `isScript` is read as it stands until its brace closes: it is a program, with rules of its own. */
export function parseBraces(
  text: string,
  style: { residue(raw: string): string | undefined; isScript?(command: string): boolean },
): DeviceConfig {
  const reading = readDevice()
  const opened: number[] = []
  /** A value in quotes that goes on, and where it began. */
  let value: { parts: string[]; line: number; quote: string } | undefined
  /** Braces that are open within a script. */
  let script = 0

  for (const [index, raw] of linesOf(text).entries()) {
    const line = index + 1
    if (controlCharacter.test(raw)) reading.error(line, 'control character')
    const command = raw.trim()
    if (script > 0) {
      script += bracesIn(command)
      if (script > 0) reading.command(command, line)
      else {
        opened.pop()
        reading.leave()
        script = 0
      }
      continue
    }
    if (value) {
      value.parts.push(raw)
      value.quote = quoteAfter(raw, value.quote)
      if (value.quote !== '') continue
      reading.command(value.parts.join(' '), value.line)
      value = undefined
      continue
    }
    if (command === '' || command.startsWith('#')) continue
    const residue = style.residue(raw)
    if (residue) reading.error(line, residue)
    else if (command === '}') {
      opened.pop()
      if (!reading.leave()) reading.error(line, '} closes nothing')
    } else if (command === '{') reading.error(line, '{ without a name')
    else if (command.endsWith('{')) {
      reading.command(command.slice(0, -1), line)
      reading.enter(line)
      opened.push(line)
      if (style.isScript?.(command)) script = 1
    } else {
      const quote = quoteAfter(command)
      if (quote === '') reading.command(command, line)
      else value = { parts: [command], line, quote }
    }
  }
  if (value) reading.error(value.line, 'quote is never closed')
  for (const line of opened) reading.error(line, 'block is never closed')
  return reading.done({ repeats: true })
}

/** How many braces a line opens more than it closes. What follows a backslash is none. */
function bracesIn(line: string): number {
  let open = 0
  for (let at = 0; at < line.length; at++)
    if (line[at] === '\\') at++
    else if (line[at] === '{') open++
    else if (line[at] === '}') open--
  return open
}
