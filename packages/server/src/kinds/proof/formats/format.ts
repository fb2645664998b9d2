// Which format a file has, and what is in it. The extension decides when it says something; otherwise the content does.
import { linesOf } from '../text.ts'
import { parseCsv } from './csv.ts'
import {
  type DeviceConfig,
  type DeviceLine,
  lookedLikeDeviceConfig,
  looksLikeDeviceConfig,
  parseDeviceConfig,
  styleOfBanners,
} from './device-config.ts'
import { looksLikeFortios, parseFortios } from './fortios.ts'
import { parseIni } from './ini.ts'
import { parseJson } from './json.ts'
import { looksLikeJunos, looksLikeJunosSet, parseJunos, parseJunosSet } from './junos.ts'
import { looksLikeRouteros, parseRouteros } from './routeros.ts'
import { looksLikeSros, parseSros } from './sros.ts'
import { looksLikeTmos, parseTmos } from './tmos.ts'
import { parseToml } from './toml.ts'
import { looksLikeVrp, parseVrp } from './vrp.ts'
import { parseXml } from './xml.ts'
import { parseYaml } from './yaml.ts'

const firstFormats = ['json', 'yaml', 'ini', 'toml', 'xml', 'csv', 'ios'] as const
const secondFormats = [...firstFormats, 'vrp', 'junos', 'junos_set', 'fortios', 'routeros'] as const
const thirdFormats = [...secondFormats, 'sros', 'tmos'] as const
export type Format = (typeof thirdFormats)[number]

export interface Parsed {
  readonly format: Format
  /** As messages name it: `Invalid JSON: ...`. */
  readonly label: string
  readonly errors: string[]
  readonly warnings: string[]
  /** What the documented report shows: keys, sections, columns. Empty when the file could not be parsed. */
  readonly summary: Record<string, unknown>
  /** JSON-like data; undefined for device text and for files that could not be parsed. */
  readonly data?: unknown
  /** The commands of device text. */
  readonly lines?: readonly DeviceLine[]
}

const labels: Record<Format, string> = {
  json: 'JSON',
  yaml: 'YAML',
  ini: 'INI',
  toml: 'TOML',
  xml: 'XML',
  csv: 'CSV',
  ios: 'IOS configuration',
  vrp: 'VRP configuration',
  junos: 'Junos configuration',
  junos_set: 'Junos set commands',
  fortios: 'FortiOS configuration',
  routeros: 'RouterOS export',
  sros: 'SR OS configuration',
  tmos: 'TMOS configuration',
}

type Devices = Partial<Record<Format, (text: string) => DeviceConfig>>

const firstDevices: Devices = {
  ios: (text) => parseDeviceConfig(text),
  vrp: parseVrp,
  junos: parseJunos,
  junos_set: parseJunosSet,
  fortios: parseFortios,
  routeros: parseRouteros,
}

const devices: Devices = {
  ...firstDevices,
  ios: (text) => parseDeviceConfig(text, styleOfBanners),
  sros: parseSros,
  tmos: parseTmos,
}

/** What is recognised, and how it is read. Frozen, each of them: what was judged by one is verified by it. */
export interface Edition {
  readonly formats: readonly Format[]
  /** The format of a file, or undefined if neither its name nor its content tells. The extension's case does not matter. */
  recognise(name: string, text: string): Format | undefined
  /** Parses text as the given format. Malformed text is in `errors`, worded `Invalid JSON: ...`. */
  parse(format: Format, text: string): Parsed
}

/** It knew no devices but those of IOS style. */
export const firstEdition: Edition = {
  formats: firstFormats,
  recognise: recogniseFirst,
  parse: (format, text) => parseAs(format, text, firstDevices, false),
}

/** It took banners of ASA, whose every line is a command, for endless, and those of EOS for commands. */
export const secondEdition: Edition = {
  formats: secondFormats,
  recognise: (name, text) => recognise(name, text, recogniseSecondDevice),
  parse: firstEdition.parse,
}

export const thirdEdition: Edition = {
  formats: thirdFormats,
  recognise: (name, text) =>
    recognise(name, text, (lines) => {
      if (looksLikeSros(lines)) return 'sros'
      return looksLikeTmos(lines) ? 'tmos' : recogniseSecondDevice(lines)
    }),
  parse: (format, text) => parseAs(format, text, devices, false),
}

/** The third rounded whole numbers of more digits than JavaScript keeps, of JSON and YAML, and refused those of TOML. */
export const fourthEdition: Edition = {
  ...thirdEdition,
  parse: (format, text) => parseAs(format, text, devices, true),
}

const byExtension: Record<string, Format> = {
  json: 'json',
  yaml: 'yaml',
  yml: 'yaml',
  ini: 'ini',
  toml: 'toml',
  xml: 'xml',
  csv: 'csv',
  ios: 'ios',
}

/** Extensions of binary and prose files, which are not guessed at. */
const neverGuessed = new Set(['png', 'jpg', 'jpeg', 'gif', 'webp', 'bmp', 'pdf', 'zip', 'gz', 'log', 'md'])

/** Some parsers name what they met, and what they met may be the whole file. */
const longestMessage = 300

function recognise(
  name: string,
  text: string,
  deviceOf: (lines: readonly string[]) => Format | undefined,
): Format | undefined {
  const first = recogniseFirst(name, text)
  const extension = extensionOf(name)
  if (Object.hasOwn(byExtension, extension) || neverGuessed.has(extension)) return first
  const lines = linesOf(text).slice(0, 2000)
  // What was copied out of a terminal may begin with `<SW1>` or `[~SW1]`, which is neither XML nor JSON.
  const copied = /^(?:<[^<>\s]+>|\[[^[\]]+\]) *[^\s,]/.test(lines.find((line) => line.trim() !== '') ?? '')
  return first === undefined || first === 'ios' || copied ? (deviceOf(lines) ?? first) : first
}

function recogniseSecondDevice(lines: readonly string[]): Format | undefined {
  if (looksLikeFortios(lines)) return 'fortios'
  if (looksLikeVrp(lines)) return 'vrp'
  if (looksLikeJunos(lines)) return 'junos'
  if (looksLikeJunosSet(lines)) return 'junos_set'
  if (looksLikeRouteros(lines)) return 'routeros'
  return looksLikeDeviceConfig(lines) ? 'ios' : undefined
}

function recogniseFirst(name: string, text: string): Format | undefined {
  const extension = extensionOf(name)
  const known = Object.hasOwn(byExtension, extension) ? byExtension[extension] : undefined
  if (known || neverGuessed.has(extension)) return known
  const first = linesOf(text)
    .map((line) => line.trim())
    .find((line) => line !== '' && !line.startsWith('#') && !line.startsWith(';'))
  if (first === undefined) return undefined
  if (/^\[[^\]]+\]$/.test(first)) return 'ini'
  if (/^(?:\{|\[)/.test(first)) return 'json'
  if (/^<(?:\?xml|!--|[A-Za-z_])/.test(first)) return 'xml'
  if (/^(?:---(?:\s|$)|%YAML )/.test(first)) return 'yaml'
  return lookedLikeDeviceConfig(text) ? 'ios' : undefined
}

function extensionOf(name: string): string {
  return /\.([^./\\]+)$/.exec(name)?.[1]?.toLowerCase() ?? ''
}

function parseAs(format: Format, text: string, devices: Devices, exact: boolean): Parsed {
  const label = labels[format]
  const invalid = (error: string): Parsed => ({
    format,
    label,
    errors: [`Invalid ${label}: ${error.slice(0, longestMessage)}`],
    warnings: [],
    summary: {},
  })
  const valid = (data: unknown, summary: Record<string, unknown>, warnings: string[] = []): Parsed => {
    return { format, label, errors: [], warnings, summary, data: exact ? plainExact(data) : plain(data) }
  }
  switch (format) {
    case 'json': {
      const json = parseJson(text, exact)
      if ('error' in json) return invalid(json.error)
      return valid(
        json.data,
        { keys: keysOf(json.data) },
        json.duplicates.map((path) => `Duplicate key: ${path}`),
      )
    }
    case 'yaml': {
      const yaml = parseYaml(text, exact)
      if ('error' in yaml) return invalid(yaml.error)
      return valid(
        yaml.data,
        yaml.documents > 1 ? { keys: null, documents: yaml.documents } : { keys: keysOf(yaml.data) },
        yaml.warnings,
      )
    }
    case 'ini': {
      const ini = parseIni(text)
      if ('error' in ini) return invalid(ini.error)
      const data = Object.fromEntries(
        [...ini.options].map(([section, options]) => [section, Object.fromEntries(options)]),
      )
      return valid(data, { sections: ini.sections })
    }
    case 'toml': {
      const toml = parseToml(text, exact)
      return 'error' in toml ? invalid(toml.error) : valid(toml.data, { keys: keysOf(toml.data) })
    }
    case 'xml': {
      const xml = parseXml(text)
      return 'error' in xml ? invalid(xml.error) : valid(xml.data, { root: xml.root })
    }
    case 'csv': {
      const csv = parseCsv(text)
      return 'error' in csv ? invalid(csv.error) : valid(csv.data, { columns: csv.columns, rows: csv.data.length })
    }
    default:
      return parsedDevice(format, label, devices[format]!(text))
  }
}

function parsedDevice(format: Format, label: string, device: DeviceConfig): Parsed {
  const blocks = device.lines.filter((line) => line.children.length > 0).map((line) => line.text)
  const empty = device.lines.length === 0 && device.errors.length === 0 ? ['no commands in the file'] : []
  return {
    format,
    label,
    errors: [...device.errors, ...empty].map((error) => `Invalid ${label}: ${error}`),
    warnings: device.warnings,
    summary: { blocks: blocks.slice(0, 200), commands: device.lines.length },
    lines: device.lines,
  }
}

function keysOf(data: unknown): string[] | null {
  return typeof data === 'object' && data !== null && !Array.isArray(data) ? Object.keys(data).slice(0, 1000) : null
}

// TOML has dates and YAML has binary values; schemas, patterns and diffs see what JSON would carry. Depth is bounded by the parsers.
const plain = plainWith(String)

/** A bigint only where a number would be another: no number is taken for the text of its digits. */
const plainExact = plainWith((whole) => (Number.isSafeInteger(Number(whole)) ? Number(whole) : whole))

function plainWith(ofWhole: (whole: bigint) => unknown): (value: unknown) => unknown {
  return function plain(value: unknown): unknown {
    if (typeof value === 'bigint') return ofWhole(value)
    if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
    if (typeof value !== 'object' || value === null) return value
    if (value instanceof Date) return value.toISOString()
    if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
    if (Array.isArray(value)) return value.map(plain)
    const entries = value instanceof Map || value instanceof Set ? [...value.entries()] : Object.entries(value)
    return Object.fromEntries(entries.map(([key, inner]) => [String(key), plain(inner)]))
  }
}
