// Junos, and VyOS and PAN-OS, which are written alike, in both forms: blocks in braces, and the commands that would set them.
import { linesOf } from '../text.ts'
import type { DeviceConfig } from './device-config.ts'
import { controlCharacter, type DeviceReading, pagerOutput, quoteAfter, readDevice } from './device-reading.ts'

const ownSections =
  'bridge-domains|chassis|class-of-service|device-group|deviceconfig|event-options|forwarding-options|interfaces|mgt-config|policy-options|protocols|routing-instances|routing-options|rulebase|switch-options|system'
/** What other programs may have in their files as well: one alone says nothing. */
const sharedSections =
  'access|applications|config|devices|firewall|groups|nat|network|policy|security|service|services|shared|snmp|vlans|vpn|vsys'
const ownSection = new RegExp(`^(?:${ownSections})$`)
const block = new RegExp(`^(?:(?:inactive|protect): )?(${ownSections}|${sharedSections})(?: [^{};]*)? \\{\\s*$`)
const setting = new RegExp(
  `^(?:set|delete|deactivate|activate|protect) (?:version \\S|(?:${ownSections}|${sharedSections}) \\S)`,
)
const verb =
  /^(?:set|delete|deactivate|activate|protect|unprotect|rename|replace|override|move|insert|annotate|edit|top|up|exit|quit|commit|save) ?/

/** Whether a text is in braces as Junos and VyOS print them: two of their sections, or one that no other program has. */
export function looksLikeJunos(lines: readonly string[]): boolean {
  const sections = new Set(lines.map((line) => block.exec(line)?.[1]))
  sections.delete(undefined)
  return sections.size >= 2 || [...sections].some((section) => ownSection.test(section!))
}

/** Whether a text is the commands that set a configuration: most of its lines begin with a verb, and one is about a section. */
export function looksLikeJunosSet(lines: readonly string[]): boolean {
  const said = lines.filter((line) => line.trim() !== '' && !/^\s*#/.test(line))
  return said.some((line) => setting.test(line)) && said.filter((line) => verb.test(line)).length > said.length / 2
}

/** Parses `set` commands, each a line of its own; what they would build is not put together. */
export function parseJunosSet(text: string): DeviceConfig {
  const reading = readDevice()
  for (const [index, raw] of linesOf(text).entries()) {
    const line = index + 1
    if (raw.trim() === '' || /^\s*#/.test(raw) || residueIn(reading, raw, line)) continue
    if (!verb.test(raw.trimStart())) reading.error(line, 'no command that sets or removes anything')
    if (quoteAfter(raw) !== '') reading.warn(line, 'quote is never closed')
    reading.command(raw, line)
  }
  return reading.done()
}

/** Parses blocks in braces. Statements end with `;` (Junos) or with their line (VyOS). */
export function parseJunos(text: string): DeviceConfig {
  const reading = readDevice()
  const opened: number[] = []
  let comment: number | undefined

  for (const [index, raw] of linesOf(text).entries()) {
    const line = index + 1
    if (comment === undefined && residueIn(reading, raw, line)) continue
    let statement = ''
    let quote = ''
    let alone = true
    const end = () => {
      if (statement.trim() !== '') reading.command(statement, line)
      statement = ''
    }
    for (let at = 0; at < raw.length; at++) {
      const char = raw[at]!
      if (comment !== undefined) {
        if (raw.startsWith('*/', at)) {
          comment = undefined
          at++
        }
      } else if (quote !== '') {
        statement += char
        if (char === '\\') statement += raw[++at] ?? ''
        else if (char === quote) quote = ''
      } else if (raw.startsWith('/*', at)) {
        comment = line
        at++
      } else if (beginsComment(raw, at, alone)) break
      else if (char === '{') {
        if (statement.trim() === '') reading.error(line, '{ without a name')
        else {
          end()
          reading.enter(line)
          opened.push(line)
        }
      } else if (char === '}') {
        end()
        opened.pop()
        if (!reading.leave()) reading.error(line, '} closes nothing')
      } else if (char === ';') end()
      else {
        if (char === '"' || (char === "'" && /^\s?$/.test(raw[at - 1] ?? ''))) quote = char
        statement += char
      }
      alone &&= /\s/.test(char)
    }
    // Devices print such lines: licence keys go over several, or lack their first quote.
    if (quote !== '') reading.warn(line, 'quote is never closed')
    end()
  }
  if (comment !== undefined) reading.error(comment, 'comment is never closed')
  for (const line of opened) reading.error(line, 'block is never closed')
  return reading.done({ repeats: true })
}

// `## SECRET-DATA` behind a statement, `# …` and `// vyos-config-version …` on a line of their own.
function beginsComment(raw: string, at: number, alone: boolean): boolean {
  if (raw[at] === '#') return alone || /\s/.test(raw[at - 1]!)
  return alone && raw.startsWith('//', at)
}

/** Notes what a terminal left in this line; true if the line is nothing else. */
function residueIn(reading: DeviceReading, raw: string, line: number): boolean {
  if (controlCharacter.test(raw)) reading.error(line, 'control character')
  const residue = pagerOutput.test(raw)
    ? 'pager output of a terminal'
    : /^(?:syntax error|unknown command|missing argument)\b|^error: /.test(raw)
      ? 'error message of a terminal'
      : /^\s+\^\s*$/.test(raw)
        ? 'error marker of a terminal'
        : /^(?:[\w.-]+@[\w.:-]+[>#$%~]|(?:\[edit[^\]]*\]|\{(?:master|backup|primary|secondary)(?::\w+)?\})$)/.test(raw)
          ? 'prompt of a terminal'
          : undefined
  if (residue) reading.error(line, residue)
  return residue !== undefined
}
