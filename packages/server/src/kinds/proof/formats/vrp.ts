// Huawei VRP and H3C Comware: blocks by indentation as on IOS, but a line with nothing but `#` ends what is open, and in Comware what
// stands alone behind it is indented although it belongs to no block.
import { linesOf } from '../text.ts'
import type { DeviceConfig } from './device-config.ts'
import { controlCharacter, pagerOutput, readDevice } from './device-reading.ts'

/** Parses VRP or Comware text. Banners are read over; `#` and `!` separate. */
export function parseVrp(text: string): DeviceConfig {
  const reading = readDevice()
  /** Of the commands that are open: how far each is indented. */
  let indents: number[] = []
  let banner: { line: number; delimiter: string } | undefined
  let ended = false

  for (const [index, raw] of linesOf(text).entries()) {
    const line = index + 1
    if (banner) {
      if (raw.includes(banner.delimiter)) banner = undefined
      continue
    }
    const command = raw.trim()
    if (command === '' || command === '#' || raw.startsWith('!')) {
      // Within a block an indented `#` only separates.
      if (command !== '' && !/^\s/.test(raw)) {
        while (reading.leave());
        indents = []
      }
      continue
    }
    const residue = terminalResidue(raw)
    if (residue) {
      reading.error(line, residue)
      continue
    }
    if (controlCharacter.test(raw)) reading.error(line, 'control character')

    const indent = raw.length - raw.trimStart().length
    if (indents.length > 0 && indent > indents.at(-1)!) {
      reading.enter(line)
      indents.push(indent)
    } else {
      while (indents.length > 1 && indent < indents.at(-1)!) {
        reading.leave()
        indents.pop()
      }
      if (indents.length > 0 && indent > indents.at(-1)!) reading.error(line, 'indentation matches no open block')
      else if (indents.length <= 1) indents = [indent]
    }
    if (ended) reading.warn(line, 'text after return')
    ended ||= indent === 0 && command === 'return'
    reading.command(command, line)
    banner = bannerStart(command, line)
  }
  if (banner) reading.error(banner.line, `banner is never closed with ${banner.delimiter}`)
  return reading.done({ repeats: true })
}

/** Whether a text looks like VRP or Comware: named by `sysname`, or separated by `#` around what such devices know. */
export function looksLikeVrp(lines: readonly string[]): boolean {
  if (lines.some((line) => /^ ?sysname \S/.test(line))) return true
  const separators = lines.filter((line) => line.trimEnd() === '#').length
  return (
    separators >= 2 &&
    lines.some((line) =>
      /^(?: ?undo \S| port (?:link-(?:mode|type)|default vlan|access vlan|trunk) |vlan batch \d|user-interface \S|acl (?:number|name|basic|advanced) | ?local-user \S|return$)/.test(
        line.trimEnd(),
      ),
    )
  )
}

function terminalResidue(raw: string): string | undefined {
  if (pagerOutput.test(raw)) return 'pager output of a terminal'
  if (/^\s*(?:Error: |% ?(?:Unrecognized|Incomplete|Ambiguous|Wrong|Too many) )/.test(raw))
    return 'error message of a terminal'
  if (/^\s+\^\s*$/.test(raw)) return 'error marker of a terminal'
  // <SW1> in the user view, [SW1], [~SW1] and [*SW1-Vlanif10] in the others.
  if (/^(?:<[^<>\s]{1,64}>|\[[~*]?[^[\]\s]{1,128}\])/.test(raw)) return 'prompt of a terminal'
  return undefined
}

// header login information "…" (VRP), header motd %…% (Comware): text up to the same character again, over lines or on one.
function bannerStart(command: string, line: number) {
  const start = /^header (?:(?:login|shell) information|incoming|legal|login|motd|shell) (\S)(.*)$/.exec(command)
  const delimiter = start?.[1]
  if (delimiter === undefined || /[\p{L}\p{N}]/u.test(delimiter) || start?.[2]?.includes(delimiter)) return undefined
  return { line, delimiter }
}
