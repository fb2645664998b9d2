/**
 * Configuration: flags, then the environment, then `.env`, then writ.yaml, then defaults. The only file that reads process.env.
 * Everything that is wrong is reported at once, with what was expected and where it came from. An empty variable counts as not set.
 */
import { existsSync, readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { nearest } from '@writ/api/nearest'
import { type Document, isMap, isNode, LineCounter, parseDocument } from 'yaml'
import { type ConfiguredToken, readConfiguredTokens } from './configured-tokens.ts'
import { basePathOf, OWN_PATHS } from './platform/base-path.ts'
import type { BlobSettings } from './platform/blobs/open.ts'
import { Secret } from './platform/secret.ts'
import { allRoles, dispatchSettings, type Setting, settings, type ValueOf } from './settings.ts'

type Values<Table> = { -readonly [Name in keyof Table]: ValueOf<Table[Name]> }

export type Config = Values<typeof settings> & {
  dispatch: Values<typeof dispatchSettings>
  /** The artifact store that the settings above describe. */
  blobs: BlobSettings
  /** `API_TOKENS` and `API_TOKEN` with their roles. */
  configuredTokens: readonly ConfiguredToken[]
  /** Values of the variables that `handlersEnv` names, as far as they are set. */
  handlersEnvironment: Record<string, Secret<string>>
  /** Where each value came from, by key: `default`, `environment (PORT)`, `writ.yaml`. */
  sources: Record<string, string>
  /** The files that were asked, whether they are there or not. */
  files: readonly string[]
}

export type Loaded = { config: Config; problems?: undefined } | { config?: undefined; problems: string[] }

/** One text that was found for a setting, and where; `place` says so more closely, for whoever has to mend it. */
type Found = { text: string; source: string; place?: string }

type AnySetting = Setting<unknown, unknown>

/** Both tables, with the path of each value in Config. */
const declared: { name: string; inDispatch: boolean; setting: AnySetting }[] = [
  ...Object.entries(settings).map(([name, setting]) => ({ name, inDispatch: false, setting: erased(setting) })),
  ...Object.entries(dispatchSettings).map(([name, setting]) => ({ name, inDispatch: true, setting: erased(setting) })),
]
const environmentNames = declared.flatMap(({ setting }) => [
  ...setting.env,
  ...(setting.kind.secret ? setting.env.map((name) => `${name}_FILE`) : []),
])
/** Read by others (the command line, the tests' own servers), so no mistake here. */
const FOREIGN = /^WRIT_(TEST_|(URL|TOKEN|PROJECT|CONTEXT)$)/

/**
 * Loads the configuration. Reads `.env` and writ.yaml in `cwd` and files that `*_FILE` variables name; writes nothing.
 * @param from.argv flags as the command line has them, `--port 8000` or `--port=8000`
 */
export function loadConfig(
  from: { argv?: string[]; env?: Record<string, string | undefined>; cwd?: string } = {},
): Loaded {
  const { argv = process.argv.slice(2), env = process.env, cwd = process.cwd() } = from
  const problems: string[] = []
  const flags = readFlags(argv, problems)
  const environment = readEnvironment(env, 'environment', cwd, problems)
  const dotEnvFile = path.join(cwd, '.env')
  const written = readDotEnv(dotEnvFile, problems)
  const dotEnv = readEnvironment(written, '.env', cwd, problems)
  const named = flags.get('config')?.text ?? (env.WRIT_CONFIG || undefined)
  const yamlFile = path.resolve(cwd, named ?? 'writ.yaml')
  const yaml = readYaml(yamlFile, named !== undefined, problems)

  const sources: Record<string, string> = {}
  const values: Record<string, unknown> = {}
  const dispatch: Record<string, unknown> = {}
  const pick = (entry: (typeof declared)[number], dataDir: string) => {
    const { key, kind } = entry.setting
    const found = flags.get(key) ?? environment.get(key) ?? dotEnv.get(key) ?? yaml.get(key)
    sources[key] = found?.source ?? 'default'
    const target = entry.inDispatch ? dispatch : values
    const value = found ? kind.parse(found.text, cwd) : defaultOf(entry.setting, cwd, dataDir)
    if (found && value === undefined) {
      // What was found may be most of a secret, mistyped.
      problems.push(
        `${label(entry.setting, found.place ?? found.source)}: expected ${kind.expected}${kind.secret ? '' : `, found "${found.text}"`}`,
      )
    }
    target[entry.name] = value
    return value
  }
  const dataEntry = declared.find((entry) => entry.name === 'dataDir')!
  const dataDir = String(pick(dataEntry, '') ?? cwd)
  for (const entry of declared) if (entry !== dataEntry) pick(entry, dataDir)
  if (problems.length > 0) return { problems }

  // Each value was parsed by the kind that gives the setting its type, and nothing is missing when there are no problems.
  const config = { ...values, dispatch, sources } as Config
  config.files = [dotEnvFile, yamlFile]
  config.handlersEnvironment = pickVariables(config.handlersEnv, { ...written, ...env })
  problems.push(...contradictions(config))
  if (problems.length > 0) return { problems }
  config.blobs = blobSettings(config, config.artifactStorage)
  config.configuredTokens = readConfiguredTokens(config.dispatch).tokens
  return { config }
}

/** Whether npm runs its script `start`: then the parent of this process is a shell of npm's. */
export const isStartedByNpm = (): boolean => process.env.npm_lifecycle_event === 'start'

/** A setting as it took effect; a secret is masked. */
export interface ShownSetting {
  readonly name: string
  readonly value: string
  readonly source: string
}

/** Keys of the settings whose values differ. */
export function listChanges(before: Config, after: Config): string[] {
  const valueIn = (config: Config, name: string, inDispatch: boolean) => {
    const value = ((inDispatch ? config.dispatch : config) as Record<string, unknown>)[name]
    return value instanceof Secret ? value.reveal() : value
  }
  return declared
    .filter(({ name, inDispatch }) => {
      const [old, current] = [before, after].map((config) => valueIn(config, name, inDispatch))
      return !isDeepStrictEqual(old, current)
    })
    .map(({ setting }) => setting.key)
}

function pickVariables(
  names: readonly string[],
  from: Record<string, string | undefined>,
): Record<string, Secret<string>> {
  return Object.fromEntries(
    names.flatMap((name) => (from[name] === undefined ? [] : [[name, new Secret(from[name])] as const])),
  )
}

/** The merged configuration, setting by setting with its source, secrets masked; for `writ config check`. */
export function listSettings(config: Config): ShownSetting[] {
  return declared.map(({ name, inDispatch, setting }) => {
    const holder: Record<string, unknown> = inDispatch ? config.dispatch : config
    return {
      name: setting.key,
      value: show(setting, holder[name]),
      source: config.sources[setting.key] ?? 'default',
    }
  })
}

/** The same as text, one setting a line. */
export function describe(config: Config): string {
  const lines = listSettings(config)
  const widths = [
    Math.max(...lines.map((line) => line.name.length)),
    Math.max(...lines.map((line) => line.value.length)),
  ]
  return lines
    .map((line) => `${line.name.padEnd(widths[0]!)}  ${line.value.padEnd(widths[1]!)}  ${line.source}\n`)
    .join('')
}

/** True if only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true
  return isIP(host) === 4 ? host.startsWith('127.') : host === '::1'
}

/** What cannot be said of one setting alone. */
function contradictions(config: Config): string[] {
  const problems: string[] = []
  if (!config.secretKey && !isLoopback(config.host)) {
    problems.push(
      `SECRET_KEY: has to be set (at least 32 characters) because HOST is ${config.host} (${config.sources.host}) and others can reach it`,
    )
  }
  if (config.secretKeyPrevious && !config.secretKey) {
    problems.push('SECRET_KEY_PREVIOUS: has no meaning without SECRET_KEY')
  }
  const [, below = ''] = basePathOf(config.publicUrl).split('/')
  if (OWN_PATHS.includes(below) || `${config.apiPrefix}/`.startsWith(`/${below}/`)) {
    problems.push(
      `WRIT_PUBLIC_URL: its path begins with /${below}, where this server has pages of its own; choose another`,
    )
  }
  if (config.migrationUrl && config.database.kind !== 'postgres') {
    problems.push('WRIT_MIGRATION_URL: only for PostgreSQL, and DATABASE_URL names none')
  }
  if (config.database.kind === 'sqlite' && config.roles.length < allRoles.length) {
    problems.push('WRIT_ROLES: SQLite has one server process, which needs every role; use PostgreSQL for several')
  }
  if (!config.oidcIssuer !== !config.oidcClientId) {
    problems.push('WRIT_OIDC_ISSUER and WRIT_OIDC_CLIENT_ID: set both or neither')
  }
  if (!config.oidcScopes.split(/\s+/).includes('openid')) {
    problems.push(`WRIT_OIDC_SCOPES: expected openid among them, found "${config.oidcScopes}"`)
  }
  problems.push(...readConfiguredTokens(config.dispatch).problems)
  if (!config.smtpUrl !== !config.smtpFrom) problems.push('WRIT_SMTP_URL and WRIT_SMTP_FROM: set both or neither')
  problems.push(
    ...storageProblems(config, config.artifactStorage, `ARTIFACT_STORAGE_TYPE is ${config.artifactStorage}`),
  )
  problems.push(...storageProblems(config, config.logStorage, `WRIT_LOG_STORAGE is ${config.logStorage}`))
  return [...new Set(problems)]
}

/** What the settings of an artifact store lack, also of one that is not in use; `why` it is needed ends the sentence. */
export function storageProblems(config: Config, type: BlobSettings['type'], why: string): string[] {
  const needed = {
    local: [],
    minio: ['minioEndpoint', 'minioAccessKey', 'minioSecretKey', 'minioBucket'],
    s3: ['s3Bucket'],
  } as const
  const problems = needed[type]
    .filter((name) => config[name] === undefined)
    .map((name) => `${settings[name].env[0]}: has to be set because ${why}`)
  if (type === 's3' && !config.s3AccessKey !== !config.s3SecretKey)
    problems.push('S3_ACCESS_KEY and S3_SECRET_KEY: set both or neither')
  return problems
}

/** The artifact store of a type, as the settings describe it; complete only if `storageProblems` finds nothing. */
export function blobSettings(config: Config, type: BlobSettings['type']): BlobSettings {
  if (type === 'local') return { type, dir: config.artifactPath }
  const minio = type === 'minio'
  return {
    type,
    endpoint: minio ? config.minioEndpoint : config.s3Endpoint,
    region: minio ? config.minioRegion : config.s3Region,
    bucket: (minio ? config.minioBucket : config.s3Bucket) ?? '',
    accessKey: minio ? config.minioAccessKey : config.s3AccessKey,
    secretKey: minio ? config.minioSecretKey : config.s3SecretKey,
  }
}

function readFlags(argv: string[], problems: string[]): Map<string, Found> {
  const found = new Map<string, Found>()
  const byFlag = new Map([
    ['config', 'config'],
    ...declared.map(({ setting }) => [flagOf(setting), setting.key] as const),
  ])
  for (let at = 0; at < argv.length; at++) {
    const [, name, inline] = /^--([^=]+)(?:=(.*))?$/s.exec(argv[at]!) ?? []
    if (name === undefined) {
      problems.push(`${argv[at]}: expected flags only, such as --port 8000`)
      continue
    }
    const key = byFlag.get(name)
    const value = inline ?? argv[++at]
    const setting = declared.find((entry) => entry.setting.key === key)?.setting
    if (key === undefined) problems.push(`--${name}: no such flag${meant(name, [...byFlag.keys()], '--')}`)
    else if (setting?.kind.secret)
      problems.push(
        `--${name}: every user of this machine can read flags; use ${setting.env[0]} or ${setting.env[0]}_FILE`,
      )
    else if (value === undefined) problems.push(`--${name}: expected a value`)
    else found.set(key, { text: value, source: `flag (--${name})` })
  }
  return found
}

function readEnvironment(
  env: Record<string, string | undefined>,
  source: string,
  cwd: string,
  problems: string[],
): Map<string, Found> {
  const found = new Map<string, Found>()
  for (const { setting } of declared) {
    // The first name wins over its aliases.
    for (const name of setting.env.toReversed()) {
      const text = env[name]
      const file = setting.kind.secret ? env[`${name}_FILE`] : undefined
      if (text && file) problems.push(`${name} and ${name}_FILE (${source}): set one of them`)
      else if (text) found.set(setting.key, { text, source: `${source} (${name})` })
      else if (file) {
        try {
          // Editors and `echo` end a file with a newline; it is no part of a secret.
          const content = readFileSync(path.resolve(cwd, file), 'utf8').replace(/\r?\n$/, '')
          found.set(setting.key, { text: content, source: `${source} (${name}_FILE)` })
        } catch (error) {
          problems.push(`${name}_FILE (${source}): ${reasonOf(error)}`)
        }
      }
    }
  }
  for (const name of Object.keys(env)) {
    if (!name.startsWith('WRIT_') || name === 'WRIT_CONFIG' || FOREIGN.test(name) || environmentNames.includes(name))
      continue
    problems.push(`${name} (${source}): no such setting${meant(name, environmentNames)}`)
  }
  return found
}

/**
 * `NAME=value` lines. Quotes around the whole value are taken off; a comment in a line needs a blank before its #, because passwords may
 * hold one.
 */
function readDotEnv(file: string, problems: string[]): Record<string, string> {
  const variables: Record<string, string> = {}
  if (!existsSync(file)) return variables
  let content = ''
  try {
    content = readFileSync(file, 'utf8')
  } catch (error) {
    problems.push(`.env: ${reasonOf(error)}`)
  }
  for (const [index, line] of content.split(/\r?\n/).entries()) {
    if (/^\s*(#|$)/.test(line)) continue
    const [, name, rest] = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line) ?? []
    if (name === undefined || rest === undefined) {
      problems.push(`.env line ${index + 1}: expected NAME=value`)
      continue
    }
    const quoted = /^(["'])(.*)\1(?:\s+#.*)?$/.exec(rest)
    variables[name] = quoted?.[2] ?? rest.replace(/(^|\s+)#.*$/, '')
  }
  return variables
}

function readYaml(file: string, mustExist: boolean, problems: string[]): Map<string, Found> {
  const found = new Map<string, Found>()
  const source = path.basename(file)
  if (!existsSync(file)) {
    if (mustExist) problems.push(`${source}: there is no such file`)
    return found
  }
  const lines = new LineCounter()
  let document: ReturnType<typeof parseDocument>
  try {
    document = parseDocument(readFileSync(file, 'utf8'), { lineCounter: lines })
  } catch (error) {
    problems.push(`${source}: ${reasonOf(error)}`)
    return found
  }
  for (const { pos, message } of document.errors) {
    const [first = ''] = message.split('\n')
    problems.push(`${source} line ${lines.linePos(pos[0]).line}: ${first.replace(/ at line \d+, column \d+:?$/, '')}`)
  }
  if (document.errors.length > 0 || document.contents === null) return found
  if (!isMap(document.contents)) {
    problems.push(`${source}: expected settings such as "port: 8000"`)
    return found
  }
  const keys = declared.map(({ setting }) => setting.key)
  for (const [names, value] of flatten(document.toJS(), keys)) {
    const key = names.join('.')
    const at = placeOf(document, names)
    const place = at === undefined ? source : `${source} line ${lines.linePos(at).line}`
    if (!keys.includes(key)) problems.push(`${key} (${place}): no such setting${meant(key, keys)}`)
    else if (value === null || value === '') continue
    else if (Array.isArray(value) || typeof value !== 'object') found.set(key, { text: String(value), source, place })
    else problems.push(`${key} (${place}): expected one value, found a group`)
  }
  return found
}

/** Where the name of a setting begins in the file, in characters; of what comes from an alias, where the alias stands. */
function placeOf(document: Document, names: readonly string[]): number | undefined {
  let group: unknown = document.contents
  let at: number | undefined
  for (const name of names) {
    const pair = isMap(group)
      ? group.items.find(({ key }) => isNode(key) && String(key.toJS(document)) === name)
      : undefined
    if (pair === undefined) break
    at = isNode(pair.key) ? pair.key.range?.[0] : undefined
    group = pair.value
  }
  return at
}

/** Names of settings, from the outermost group on, and their values; a group is entered as long as it is not itself a setting. */
function flatten(group: object, keys: string[], outer: readonly string[] = []): [string[], unknown][] {
  return Object.entries(group).flatMap(([name, value]: [string, unknown]): [string[], unknown][] => {
    const names = [...outer, name]
    const key = names.join('.')
    const isGroup = value !== null && typeof value === 'object' && !Array.isArray(value) && !keys.includes(key)
    // A group whose settings are all commented out is nothing, and no mistake.
    if (value === null && keys.some((known) => known.startsWith(`${key}.`))) return []
    return isGroup ? flatten(value, keys, names) : [[names, value]]
  })
}

function defaultOf(setting: AnySetting, cwd: string, dataDir: string): unknown {
  return typeof setting.default === 'function' ? setting.default({ cwd, dataDir }) : setting.default
}

/** A setting's kind handles only values that it parsed itself, so forgetting their type here is safe. */
function erased(setting: object): AnySetting {
  return setting as AnySetting
}

function label(setting: AnySetting, source: string): string {
  return `${/\((?:--)?\w/.test(source) ? (/\(([^)]+)\)/.exec(source)?.[1] ?? setting.key) : setting.key} (${source.replace(/ \(.*/, '')})`
}

function flagOf(setting: AnySetting): string {
  return setting.key.replaceAll(/[._]/g, '-')
}

function show(setting: AnySetting, value: unknown): string {
  if (value === undefined) return '-'
  if (setting.kind.show) return setting.kind.show(value)
  if (value instanceof Secret) return String(value)
  return Array.isArray(value) ? value.join(', ') || '-' : String(value)
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** `; did you mean X?` if something known is near enough to be a slip of the hand. */
function meant(given: string, known: string[], prefix = ''): string {
  const near = nearest(given, known)
  return near === undefined ? '' : `; did you mean ${prefix}${near}?`
}
