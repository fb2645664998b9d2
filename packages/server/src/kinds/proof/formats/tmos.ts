// F5 BIG-IP (TMOS): `bigip.conf`, and what `tmsh list` prints.
import { parseBraces } from './braces.ts'
import type { DeviceConfig } from './device-config.ts'
import { pagerOutput } from './device-reading.ts'

/** Whether a text looks like TMOS: its header, or a component of one of its modules. */
export function looksLikeTmos(lines: readonly string[]): boolean {
  return lines.some(
    (line) =>
      line.startsWith('#TMSH-VERSION:') ||
      /^(?:apm|asm|auth|cm|gtm|ilx|ltm|net|pem|sys) [a-z][a-z-]*(?: [^{};]*)? \{(?: *\})?\s*$/.test(line),
  )
}

/** Parses TMOS text. Rules are Tcl, of which only the braces are looked at. */
export function parseTmos(text: string): DeviceConfig {
  return parseBraces(text, { residue: terminalResidue, isScript: (command) => /^(?:ltm|gtm) rule /.test(command) })
}

function terminalResidue(raw: string): string | undefined {
  if (pagerOutput.test(raw) || /^---\(less \d+%\)---/.test(raw)) return 'pager output of a terminal'
  if (/^(?:Syntax Error: |Data Input Error: |\d{8}:\d+: )/.test(raw)) return 'error message of a terminal'
  if (/^\S+@\(.*\)\(tmos[^)]*\)[#$]/.test(raw)) return 'prompt of a terminal'
  return undefined
}
