// Nokia SR OS: the classic form, indented, in which `exit` closes; and the model-driven one, in braces.
import { linesOf } from '../text.ts'
import { parseBraces } from './braces.ts'
import { type DeviceConfig, parseDeviceConfig } from './device-config.ts'
import { pagerOutput } from './device-reading.ts'

const modelDriven = /^configure \{\s*$/

/** Whether a text looks like SR OS: its header, or the one block that holds all others. */
export function looksLikeSros(lines: readonly string[]): boolean {
  return (
    lines.some((line) => /^# TiMOS-|^ *echo "System Configuration"/.test(line) || modelDriven.test(line)) ||
    (lines.some((line) => /^configure\s*$/.test(line)) && lines.some((line) => /^exit all\s*$/.test(line)))
  )
}

/** Parses SR OS text of either form. */
export function parseSros(text: string): DeviceConfig {
  if (linesOf(text).some((line) => modelDriven.test(line))) return parseBraces(text, { residue: terminalResidue })
  return parseDeviceConfig(text, () => ({
    // What closes a block shows by its indentation as well.
    passedOver: /^\s*(?:#|echo |exit(?: all)?\s*$)/,
    residue: terminalResidue,
    textUntil: () => undefined,
  }))
}

function terminalResidue(raw: string): string | undefined {
  if (pagerOutput.test(raw) || raw.startsWith('Press any key to continue')) return 'pager output of a terminal'
  if (/^(?:Error: |MINOR: |MAJOR: |INFO: )/.test(raw)) return 'error message of a terminal'
  if (/^\s+\^\s*$/.test(raw)) return 'error marker of a terminal'
  // `*A:sr1>config>router#`, and in the model-driven form `[gl:/configure]` before `(gl)[/configure]` and `A:admin@sr1#`.
  if (
    /^(?:\*?[A-D]:[\w.@-]+(?:>[^#$]*)?[#$]|[*!]?(?:\((?:gl|pr|ex|ro)\))?\[(?:gl:|pr:|ex:|ro:)?\/[^\]]*\]\s*$)/.test(raw)
  )
    return 'prompt of a terminal'
  return undefined
}
