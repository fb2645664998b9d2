// MikroTik RouterOS, as `/export` prints it: a line that begins with `/` opens a menu, what follows is done in it, `\` goes on.
import { linesOf } from '../text.ts'
import type { DeviceConfig } from './device-config.ts'
import { controlCharacter, pagerOutput, readDevice } from './device-reading.ts'

/** Whether a text looks like an export of RouterOS: its header, or a menu with commands. */
export function looksLikeRouteros(lines: readonly string[]): boolean {
  return (
    lines.some((line) => /^# .* by RouterOS \d/.test(line)) ||
    (lines.some((line) =>
      /^\/(?:interface|ip|ipv6|routing|system|user|queue|port|ppp|tool|snmp|certificate)\b/.test(line),
    ) &&
      lines.some((line) => /^(?:add|set|remove) \S/.test(line)))
  )
}

/** Parses an export. A value that was broken by `\` is one again. */
export function parseRouteros(text: string): DeviceConfig {
  const reading = readDevice()
  let begun: { parts: string[]; line: number } | undefined

  for (const [index, raw] of linesOf(text).entries()) {
    const line = begun?.line ?? index + 1
    if (controlCharacter.test(raw)) reading.error(index + 1, 'control character')
    if (!begun && (raw.trim() === '' || raw.startsWith('#'))) continue
    const residue = terminalResidue(raw)
    if (residue) {
      reading.error(index + 1, residue)
      continue
    }
    // `mtu=\` and `    1500`: the indentation of what goes on is not part of it.
    const part = begun ? raw.trimStart() : raw
    const goesOn = /(?:^|[^\\])(?:\\\\)*\\$/.test(part)
    begun ??= { parts: [], line }
    begun.parts.push(goesOn ? part.slice(0, -1) : part)
    if (goesOn) continue
    const command = begun.parts.join('')
    begun = undefined
    if (command.startsWith('/')) while (reading.leave());
    reading.command(command, line)
    if (command.startsWith('/')) reading.enter(line)
  }
  if (begun) reading.error(begun.line, 'command is never finished')
  return reading.done()
}

function terminalResidue(raw: string): string | undefined {
  if (pagerOutput.test(raw)) return 'pager output of a terminal'
  if (/^(?:bad command name|expected end of command|syntax error|input does not match)\b/.test(raw))
    return 'error message of a terminal'
  if (/^\[[^\]\s]+@[^\]]+\] (?:\/\S*)?>/.test(raw)) return 'prompt of a terminal'
  return undefined
}
