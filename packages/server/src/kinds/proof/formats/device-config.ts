// IOS-style device text: a line at the margin opens a block, indented lines belong to it, `!` separates. There is no grammar of the
// commands here, only of the shape, and of what gets into the file when somebody copies it out of a terminal.
import { deepestNesting, linesOf } from '../text.ts'
import { controlCharacter, repeatedBlocks } from './device-reading.ts'

/** One command and the commands inside its block. */
export interface DeviceLine {
  /** The command without indentation, runs of blanks made one. */
  readonly text: string
  /** Line number in the file, from 1. */
  readonly line: number
  readonly children: DeviceLine[]
}

export interface DeviceConfig {
  readonly lines: DeviceLine[]
  readonly errors: string[]
  readonly warnings: string[]
}

const mostErrors = 20

/** How devices of a kind write what is not a command in its block. */
export interface DeviceStyle {
  /** Lines that say nothing, beside blank ones. */
  readonly passedOver: RegExp
  /** What a terminal left in this line, if anything. */
  residue(raw: string): string | undefined
  /** What ends the text that begins behind the command of this line, or undefined if none begins. */
  textUntil(command: string, index: number): string | undefined
}

const iosStyle: DeviceStyle = {
  passedOver: /^(?:\s*!|Building configuration\.\.\.|Current configuration ?: \d+ bytes|Using \d+ out of \d+ bytes)/,
  residue: terminalResidue,
  textUntil: delimiterOf,
}

/** How the lines of a text write banners: as IOS does, or as ASA (each line is a command of its own) and EOS (until `EOF`) do. */
export function styleOfBanners(lines: readonly string[]): DeviceStyle {
  const kindOf = (line: string | undefined) => /^banner \S+/.exec(line ?? '')?.[0]
  const eachLineAlone = lines.some(
    (line, index) =>
      /^(?:ASA|NGFW) Version \d/.test(line) ||
      (index > 0 && line.startsWith('banner ') && kindOf(line) === kindOf(lines[index - 1])),
  )
  const lastEnd = lines.findLastIndex((line) => line.trim() === 'EOF')
  return {
    ...iosStyle,
    textUntil(command, index) {
      if (eachLineAlone) return undefined
      // What no `EOF` follows is another device's, on which nothing begins here.
      return /^(?:banner \S+|action bash)$/.test(command) && index < lastEnd ? 'EOF' : delimiterOf(command)
    },
  }
}

/** Parses device text. What is malformed stands in `errors`, with line numbers; the lines that could be read are there all the same. */
export function parseDeviceConfig(
  text: string,
  styleOf: (lines: readonly string[]) => DeviceStyle = () => iosStyle,
): DeviceConfig {
  const source = linesOf(text)
  const style = styleOf(source)
  const top: DeviceLine[] = []
  const errors: string[] = []
  const warnings: string[] = []
  const open: { indent: number; children: DeviceLine[] }[] = [{ indent: 0, children: top }]
  let banner: { line: number; delimiter: string } | undefined
  let ended = false

  for (const [index, raw] of source.entries()) {
    const line = index + 1
    if (banner) {
      if (raw.includes(banner.delimiter)) banner = undefined
      continue
    }
    if (raw.trim() === '' || style.passedOver.test(raw)) continue
    const residue = style.residue(raw)
    if (residue) {
      errors.push(`line ${line}: ${residue}`)
      continue
    }
    if (controlCharacter.test(raw)) errors.push(`line ${line}: control character`)

    const indent = indentOf(raw)
    const innermost = open.at(-1)
    const parent = innermost?.children.at(-1)
    if (innermost && indent > innermost.indent) {
      if (!parent) {
        errors.push(`line ${line}: indented line outside any block`)
        continue
      }
      if (open.length > deepestNesting) {
        errors.push(`line ${line}: nesting is deeper than ${deepestNesting} levels`)
        break
      }
      open.push({ indent, children: parent.children })
    }
    while (open.length > 1 && indent < (open.at(-1)?.indent ?? 0)) open.pop()
    if (indent !== open.at(-1)?.indent) errors.push(`line ${line}: indentation matches no open block`)

    const command = raw.trim().replace(/\s+/g, ' ')
    if (ended) warnings.push(`line ${line}: text after end`)
    ended ||= indent === 0 && command === 'end'
    open.at(-1)?.children.push({ text: command, line, children: [] })
    const delimiter = style.textUntil(command, index)
    banner = delimiter === undefined ? undefined : { line, delimiter }
  }
  if (banner) errors.push(`line ${banner.line}: banner is never closed with ${printable(banner.delimiter)}`)
  return {
    lines: top,
    errors: errors.slice(0, mostErrors),
    warnings: [...warnings, ...repeatedBlocks(top)].slice(0, mostErrors),
  }
}

const firstTelling =
  /^(?:hostname \S|interface \S|version \d|service \S|enable (?:secret|password) |aaa \S|vlan \d|ip \S|ipv6 \S|line (?:con|vty|aux) |router \S|spanning-tree \S|snmp-server \S|ntp \S|logging \S|access-list \S|banner \S|username \S|switchport \S|no \S|boot-start-marker|end$)/
// A part of a configuration has few lines at the margin: a route map, an access list, a firewall's objects.
const alsoTelling =
  /^(?:ASA Version \d|access-group \S|as-path-set \S|class-map \S|community-list \S|crypto \S|feature \S|flow \S|key chain \S|l2vpn|mpls \S|nat \(|object(?:-group)? \S|policy-map \S|prefix-set \S|radius \S|radius-server \S|route-map \S|route-policy \S|tacacs \S|tacacs-server \S|track \d|vrf \S|zone \S)/

/** Whether a text looks like device commands: at least two lines at the margin that only such files have. */
export function looksLikeDeviceConfig(lines: readonly string[]): boolean {
  return twoOf(lines, (line) => firstTelling.test(line) || alsoTelling.test(line))
}

/** The same as it was at first, frozen. */
export function lookedLikeDeviceConfig(text: string): boolean {
  return twoOf(linesOf(text).slice(0, 2000), (line) => firstTelling.test(line))
}

function twoOf(lines: readonly string[], tells: (line: string) => boolean): boolean {
  let found = 0
  return lines.some((line) => tells(line) && ++found >= 2)
}

/** Every line of the file with its depth-first path of block headers. */
export function* everyLine(
  lines: readonly DeviceLine[],
  path: readonly string[] = [],
): Generator<{ line: DeviceLine; path: string[] }> {
  for (const line of lines) {
    const here = [...path, line.text]
    yield { line, path: here }
    yield* everyLine(line.children, here)
  }
}

function indentOf(raw: string): number {
  let indent = 0
  for (const char of raw) {
    if (char === ' ') indent++
    else if (char === '\t') indent += 8 - (indent % 8)
    else break
  }
  return indent
}

function terminalResidue(raw: string): string | undefined {
  if (/--\s?More\s?--/i.test(raw)) return 'pager output of a terminal'
  if (/^\s*% ?(?:Invalid|Incomplete|Ambiguous|Unknown|Bad|Error)/i.test(raw)) return 'error message of a terminal'
  if (/^\s+\^\s*$/.test(raw)) return 'error marker of a terminal'
  if (
    /^[\w.-]{1,63}(?:\([\w-]+\))?[#>] *(?:(?:show|sh|conf|configure|copy|write|wr|exit|end|enable|terminal)\b|$)/.test(
      raw,
    )
  )
    return 'prompt of a terminal'
  return undefined
}

function delimiterOf(command: string): string | undefined {
  const [, delimiter, rest] = /^banner \S+ (\^C|\S)(.*)$/.exec(command) ?? []
  return delimiter === undefined || rest?.includes(delimiter) ? undefined : delimiter
}

function printable(delimiter: string): string {
  return delimiter === '\u0003' ? '^C' : delimiter
}
