/** Kinds of settings: what each accepts, said in words and done in code, and how its value is shown again. */
import path from 'node:path'
import { Slug } from '@writ/api'
import ipaddr from 'ipaddr.js'
import { Check } from 'typebox/schema'
import { Secret } from './platform/secret.ts'

export type Kind<T> = {
  /** Completes "expected ...". */
  expected: string
  /** undefined means: not that. Relative paths are relative to `cwd`. */
  parse(text: string, cwd: string): T | undefined
  /** How the value is printed by `writ config check`; String if left out. Must not show what is secret. */
  show?(value: T): string
  /** May also be given as `<NAME>_FILE`, has no flag (command lines are public), and is never quoted in a message. */
  secret?: true
}

/** Where the data is. Old drivers' names in a URL (`postgresql+asyncpg`) are accepted and mean the same database. */
export type DatabaseAddress = { kind: 'sqlite'; file: string } | { kind: 'postgres'; url: Secret<string> }

export const text: Kind<string> = { expected: 'some text', parse: (given) => given }

export const file: Kind<string> = { expected: 'a path', parse: (given, cwd) => path.resolve(cwd, given) }

export function integer(min: number, max: number, unit = ''): Kind<number> {
  return {
    expected: `a whole number${unit && ` of ${unit}`} from ${min} to ${max}`,
    parse(given) {
      const value = Number(given)
      return /^\d+$/.test(given) && value >= min && value <= max ? value : undefined
    },
  }
}

export const share: Kind<number> = {
  expected: 'a number from 0 to 1, such as 0.05',
  parse(given) {
    const value = Number(given)
    return /^\d*\.?\d+$/.test(given) && value <= 1 ? value : undefined
  },
}

export const yesOrNo: Kind<boolean> = {
  expected: 'true or false (also 1/0, yes/no, on/off)',
  parse(given) {
    if (/^(true|1|yes|on)$/i.test(given)) return true
    return /^(false|0|no|off)$/i.test(given) ? false : undefined
  },
}

/** One of these words, in any case. */
export function choice<const W extends string>(...words: W[]): Kind<W> {
  return {
    expected: `one of ${words.join(', ')}`,
    parse: (given) => words.find((word) => word.toLowerCase() === given.toLowerCase()),
  }
}

/** Some of these words, in any order, with commas between; each once. */
export function choices<const W extends string>(...words: W[]): Kind<readonly W[]> {
  return {
    expected: `some of ${words.join(', ')}, with commas between`,
    parse(given) {
      const found = listOf(given).map((item) => words.find((word) => word === item.toLowerCase()))
      return found.length > 0 && found.every((word) => word !== undefined) ? [...new Set(found)] : undefined
    },
    show: (value) => value.join(','),
  }
}

export function secret(minLength = 1): Kind<Secret<string>> {
  return {
    expected: minLength > 1 ? `at least ${minLength} characters` : 'a secret',
    parse: (given) => (given.length >= minLength ? new Secret(given) : undefined),
    secret: true,
  }
}

/** `*` for everybody, or addresses and CIDR ranges with commas between. */
export const networksOrAll: Kind<'*' | string[]> = {
  expected: '* or IP addresses and CIDR ranges separated by commas',
  parse: (given) => (given.trim() === '*' ? '*' : parseNetworks(given)),
}

export const networks: Kind<string[]> = {
  expected: 'IP addresses and CIDR ranges separated by commas',
  parse: parseNetworks,
}

/** Addresses, ranges and host names, for rules about where the server may connect to; with @ and a slug for one project alone. */
export const destinations: Kind<string[]> = {
  expected:
    'IP addresses, CIDR ranges and host names separated by commas, each with @project where one project alone may',
  parse(given) {
    const items = listOf(given)
    return items.every((item) => {
      const [place = '', slug, ...more] = item.split('@')
      const isPlace = isNetwork(place) || (HOST_NAME.test(place) && !/^[\d.]+$/.test(place))
      return isPlace && (slug === undefined || Check(Slug, slug)) && more.length === 0
    })
      ? items
      : undefined
  },
}

export const variableNames: Kind<string[]> = {
  expected: 'names of environment variables separated by commas',
  parse(given) {
    const names = listOf(given)
    return names.every((name) => /^[A-Za-z_]\w*$/.test(name)) ? names : undefined
  },
}

export const origins: Kind<string[]> = {
  expected: 'origins such as https://console.example.org separated by commas (no path, no *)',
  parse(given) {
    const items = listOf(given)
    return items.every((item) => parseHttpUrl(item)?.origin === item) ? items : undefined
  },
}

/** An http or https URL, without a slash at the end. */
export const httpUrl: Kind<string> = {
  expected: 'a URL that starts with http:// or https://',
  parse: (given) => parseHttpUrl(given)?.href.replace(/\/+$/, ''),
}

/** Where people find this server: a host, and a path if it stands below one (`https://ops.example.com/writ`). */
export const publicUrl: Kind<string> = {
  expected:
    'a URL that starts with http:// or https://, whose path, if it has one, is of letters, digits, - . _ ~ and /',
  parse(given) {
    const url = parseHttpUrl(given)
    if (!url || url.search || url.hash || !/^(\/[\w.~-]+)*\/*$/.test(url.pathname)) return undefined
    return url.href.replace(/\/+$/, '')
  },
}

/** An OpenID Connect issuer, exactly as given: it is an identifier, and a slash at its end belongs to it. */
export const issuerUrl: Kind<string> = {
  expected: 'a URL that starts with https:// (http:// on this machine only), without ? and #',
  parse(given) {
    const url = parseHttpUrl(given)
    const here = url !== undefined && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname)
    return url && (url.protocol === 'https:' || here) && !url.search && !url.hash ? given : undefined
  },
}

/** The S3 endpoint in both forms that are in use: a URL, or `host:port`, which means http. */
export const endpoint: Kind<string> = {
  expected: 'host:port or a URL that starts with http:// or https://',
  parse: (given) => parseHttpUrl(given.includes('://') ? given : `http://${given}`)?.origin,
}

export const urlPath: Kind<string> = {
  expected: 'a path such as /api/v1',
  parse: (given) => (/^(\/[\w.~-]+)+$/.test(given) ? given : undefined),
}

export const hostName: Kind<string> = {
  expected: 'a host name or an IP address',
  parse: (given) => (ipaddr.isValid(given) || HOST_NAME.test(given) ? given : undefined),
}

export const databaseUrl: Kind<DatabaseAddress> = {
  expected: 'postgres://user:password@host:port/name or sqlite:///path/to/file',
  parse(given, cwd) {
    // Three slashes are a relative path and four an absolute one, as SQLAlchemy counts them.
    const sqlite = /^sqlite(?:\+aiosqlite)?:\/\/\/(.+)$/.exec(given)
    if (sqlite?.[1])
      return sqlite[1].startsWith(':') ? undefined : { kind: 'sqlite', file: path.resolve(cwd, sqlite[1]) }
    const postgres = /^postgres(?:ql)?(?:\+\w+)?:(\/\/.+)$/.exec(given)
    const url = postgres?.[1] && `postgres:${postgres[1]}`
    return url && URL.canParse(url) ? { kind: 'postgres', url: new Secret(url) } : undefined
  },
  show: (value) => (value.kind === 'sqlite' ? `sqlite:///${value.file}` : maskUrl(value.url)),
  secret: true,
}

export const postgresUrl: Kind<Secret<string>> = {
  expected: 'postgres://user:password@host:port/name',
  parse(given, cwd) {
    const address = databaseUrl.parse(given, cwd)
    return address?.kind === 'postgres' ? address.url : undefined
  },
  show: maskUrl,
  secret: true,
}

export const redisUrl: Kind<Secret<string>> = {
  expected: 'redis://host:port/number or rediss://...',
  parse: (given) => (/^rediss?:\/\/./.test(given) && URL.canParse(given) ? new Secret(given) : undefined),
  show: maskUrl,
  secret: true,
}

export const smtpUrl: Kind<Secret<string>> = {
  expected: 'smtp://user:password@host:587 or smtps://...',
  parse: (given) => (/^smtps?:\/\/./.test(given) && URL.canParse(given) ? new Secret(given) : undefined),
  show: maskUrl,
  secret: true,
}

const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9])?)*\.?$/i

function listOf(given: string): string[] {
  return given
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function parseNetworks(given: string): string[] | undefined {
  const items = listOf(given)
  return items.every(isNetwork) ? items : undefined
}

// ipaddr.js also reads "1" and "0x7f.1" as addresses; whoever writes a rule did not mean that.
function isNetwork(item: string): boolean {
  const plain = item.split('/')[0] ?? ''
  if (!ipaddr.IPv4.isValidFourPartDecimal(plain) && !ipaddr.IPv6.isValid(plain)) return false
  return item.includes('/') ? ipaddr.isValidCIDR(item) : true
}

function parseHttpUrl(given: string): URL | undefined {
  const url = URL.parse(given) ?? undefined
  return url && /^https?:$/.test(url.protocol) && !url.username && !url.password ? url : undefined
}

/** Keeps what an operator needs to recognise the server, and neither the password nor parameters, which may carry another. */
function maskUrl(value: Secret<string>): string {
  const url = new URL(value.reveal())
  const user = url.username + (url.password ? ':[secret]' : '')
  return `${url.protocol}//${user && `${user}@`}${url.host}${url.pathname}${url.search && '?[secret]'}`
}
