// What counts as a secret or as personal data: nine kinds by their form, and the live secrets of this process by their value.
//
// Linear time: a rule is found by a literal that it must contain, and from there reads forward over single classes of
// characters. No two quantifiers compete for the same characters without a bound, so nothing backtracks further than that.

/** The version of this list. It goes on record in the instance log, so that it is known what a stored text was cleaned of. */
export const REDACTION_VERSION = 1

export const redactionKinds = [
  'private-key',
  'cloud-key',
  'source-token',
  'service-key',
  'authorization',
  'url-credentials',
  'assigned-secret',
  'contact',
  'personal-id',
  'live-secret',
] as const
export type RedactionKind = (typeof redactionKinds)[number]

/** Kinds that are about people rather than keys. */
export const personalKinds: ReadonlySet<RedactionKind> = new Set(['contact', 'personal-id'])

/** Characters `start` up to `end`, not included, of the text. */
export interface Span {
  readonly kind: RedactionKind
  readonly start: number
  readonly end: number
}

/** What a redacted secret leaves: its kind, and eight hex digits of a keyed hash, so that equal ones can be matched. */
export const MARKER = /\[REDACTED:[a-z-]+:[0-9a-f]{8}\]/g
/** True if something in the text was redacted before. */
export const isRedacted = (text: string): boolean => text.search(MARKER) >= 0
const MARKER_HERE = /\[REDACTED:[a-z-]+:[0-9a-f]{8}\]/y

// Words in the name of what holds a secret. What follows is no lower-case letter but a plural: no secretary, no tokenizer.
export const NAME =
  '(?:pass(?:word|wd|phrase|code)|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|密码|口令|密钥)'

const ANCHORS = new RegExp(
  [
    '-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----',
    '(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16,}',
    '(?<![A-Za-z0-9])AIza[\\w-]{35,}',
    'AccountKey=',
    '[?&;]sig=',
    '(?<![A-Za-z0-9])(?:gh[pousr]_|github_pat_|glpat-)',
    '(?<![A-Za-z0-9])(?:sk-|sk_live_|sk_test_|rk_live_|rk_test_|xox[abprs]-|hf_|npm_)',
    '(?<![A-Za-z0-9])writ_[0-9A-Za-z]{12}_',
    '\\b[Bb]earer +',
    '\\b[Bb]asic +',
    '(?<![A-Za-z0-9_-])ey[A-Za-z0-9]',
    '\\b[Ss]et-[Cc]ookie[\'"]? ?[:=] ?',
    '\\b[Cc]ookie: ?',
    '://',
  ].join('|'),
  'g',
)
const ASSIGNMENT = new RegExp(NAME, 'gi')

// One small search for each finder: one of all would try every branch at every character (measured: 9 us a line instead of
// 4), and what a text cannot hold is not looked for in it.
const SUSPECT_ANCHOR = new RegExp(
  [
    '-----BEGIN',
    'A[KS]IA[A-Z0-9]',
    'AIza',
    'AccountKey',
    'sig=',
    'gh[pousr]_',
    'github_pat_',
    'glpat-',
    '[sr]k[-_]',
    'xox',
    'hf_',
    'npm_',
    'writ_',
    '[Bb]earer ',
    '[Bb]asic ',
    'ey[A-Z0-9][A-Za-z0-9]{7}',
    'ookie',
    '://',
  ].join('|'),
)
const SUSPECT_ASSIGNMENT = new RegExp(`${NAME}[\\w.-]{0,60}["'\`\\\\]{0,5}\\s{0,8}[:=：＝]`, 'i')
const SUSPECT_ADDRESS = /@[A-Za-z0-9]/
// Numbers of the length of a phone or a card; not those inside of ids and digests.
const SUSPECT_NUMBER = /(?<![\w.-])[+(]?\d(?:[ ().-]{0,2}\d){7,24}[Xx]?(?![\w-])/
const SUSPECT_IBAN = /\b[A-Z]{2}\d{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}/
const SUSPECT_DISGUISE =
  /[\0\u00ad\u200b-\u200f\u2010-\u2015\u2060-\u2064\ufeff\uff10-\uff19\uff20-\uff3a\uff41-\uff5a\u0391-\u03c9\u0405-\u0458]|%[0-9a-fA-F]{2}/

/**
 * Words that may be text in base64: the first twelve bytes that they stand for are ASCII, which three of the four characters
 * of each group show (RFC 4648). Of words of other kinds one in fifteen thousand looks so.
 */
const GROUP = '[CDI-Za-f][AC-HQS-Xgi-nwy-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]'
export const ENCODED = new RegExp(`(?<![\\w+/-])(?:${GROUP}){4}[A-Za-z0-9+/_-]*={0,2}`, 'g')
const SUSPECT_ENCODED = new RegExp(`(?<![\\w+/-])(?:${GROUP}){4}`)

const SUSPECTS = [
  SUSPECT_ANCHOR,
  SUSPECT_ASSIGNMENT,
  SUSPECT_ADDRESS,
  SUSPECT_NUMBER,
  SUSPECT_IBAN,
  SUSPECT_DISGUISE,
  SUSPECT_ENCODED,
]

/** True for a text that may hold something; false for most clean ones, at the cost of a few searches. */
export const isSuspect = (text: string): boolean => SUSPECTS.some((pattern) => pattern.test(text))

/** Every span of the nine kinds in a folded text, in no order, perhaps overlapping. */
export function findSpans(text: string, on: { contact: boolean }): Span[] {
  const spans: Span[] = []
  const add = (kind: RedactionKind, start: number, end: number) => {
    if (end > start) spans.push({ kind, start, end })
  }
  if (SUSPECT_ANCHOR.test(text)) findAnchored(text, add)
  if (SUSPECT_ASSIGNMENT.test(text)) findAssigned(text, add)
  if (on.contact) findAddresses(text, add)
  if (SUSPECT_NUMBER.test(text)) {
    if (on.contact) findPhones(text, add)
    findNumbers(text, add)
  }
  if (SUSPECT_IBAN.test(text)) findIbans(text, add)
  return spans
}

type Add = (kind: RedactionKind, start: number, end: number) => void

const WORD = /[\w-]*/y
const SECRET_CHARS = /[^\s"'\\<>,;]*/y
const BASE64 = /[A-Za-z0-9+/_=%-]*/y
const JWT = /[\w-]*(?:\.[\w-]*){0,5}/y

/** The end of what a class of characters covers from `at` on. */
function endOf(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at
  return pattern.test(text) ? pattern.lastIndex : at
}

const isMarked = (text: string, at: number): boolean => {
  MARKER_HERE.lastIndex = at
  return MARKER_HERE.test(text)
}

function findAnchored(text: string, add: Add): void {
  ANCHORS.lastIndex = 0
  for (let found = ANCHORS.exec(text); found; found = ANCHORS.exec(text)) {
    const anchor = found[0]
    const from = found.index
    const after = from + anchor.length
    let next = after
    if (anchor.startsWith('-----')) {
      next = endOfKey(text, after)
      add('private-key', from, next)
    } else if (/^(AKIA|ASIA|AIza)/.test(anchor)) {
      add('cloud-key', from, after)
    } else if (anchor === 'AccountKey=' || anchor.endsWith('sig=')) {
      next = endOf(BASE64, text, after)
      if (next - after >= 20) add('cloud-key', after, next)
    } else if (anchor.startsWith('g')) {
      next = endOf(WORD, text, after)
      if (next - after >= (/^gh[pousr]_/.test(anchor) ? 36 : 20)) add('source-token', from, next)
    } else if (anchor.startsWith('writ_')) {
      next = endOf(WORD, text, after)
      if (next - after >= 20) add('service-key', from, next)
    } else if (/^(sk|rk|xox|hf|npm)/.test(anchor)) {
      next = endOf(WORD, text, after)
      if (next - after >= (/^(sk-|hf_|npm_)/.test(anchor) ? 20 : 10)) add('service-key', from, next)
    } else if (/^bearer/i.test(anchor)) {
      next = endOf(SECRET_CHARS, text, after)
      if (next - after >= 16 && !isMarked(text, after)) add('authorization', after, next)
      else next = after
    } else if (/^basic/i.test(anchor)) {
      const end = endOf(BASE64, text, after)
      if (end - after >= 8 && namesAndPassword(text.slice(after, end))) {
        add('authorization', after, end)
        next = end
      }
    } else if (anchor.startsWith('ey')) {
      const end = endOf(JWT, text, from)
      if (/^ey[\w-]{8,}\.ey?[\w-]{4,}\./.test(text.slice(from, Math.min(end, from + 8_192)))) {
        add('authorization', from, end)
        next = end
      }
    } else if (/cookie/i.test(anchor)) {
      next = findCookies(text, after, add)
    } else if (anchor === '://') {
      next = findUserinfo(text, after, add)
    }
    ANCHORS.lastIndex = Math.max(next, after)
  }
}

/** Where a key block ends: after its END line, or, when that is missing, with the text. */
function endOfKey(text: string, from: number): number {
  const end = text.indexOf('-----END', from)
  if (end < 0) return text.length
  const line = /-----END [A-Z ]{0,40}-----/y
  line.lastIndex = end
  return line.test(text) ? line.lastIndex : Math.min(text.length, end + 8)
}

function namesAndPassword(encoded: string): boolean {
  const text = Buffer.from(encoded, 'base64').toString('latin1')
  return /^[\x20-\x7e]*:[\x20-\x7e]*$/.test(text)
}

/** The values of the cookies in a header's line. */
function findCookies(text: string, from: number, add: Add): number {
  const value = /[\w!#$%&'*+.^`|~-]{1,100}=([^\s;,"]{4,4096})/y
  let at = from
  for (;;) {
    value.lastIndex = at
    const found = value.exec(text)
    if (!found) return at
    const end = value.lastIndex
    const start = end - found[1]!.length
    if (!isMarked(text, start) && !/^(?:path|domain|max-age|expires|samesite)=/i.test(found[0]))
      add('authorization', start, end)
    const separator = /; ?/y
    separator.lastIndex = end
    if (!separator.test(text)) return end
    at = separator.lastIndex
  }
}

/** The password in `scheme://user:password@host`; scheme, user and host stay. */
function findUserinfo(text: string, from: number, add: Add): number {
  const USERINFO = /[^\s/?#"'<>\\]{0,1024}/y
  const end = endOf(USERINFO, text, from)
  const userinfo = text.slice(from, end)
  const at = userinfo.lastIndexOf('@')
  const colon = userinfo.indexOf(':')
  if (at < 0) return from
  if (colon >= 0 && colon < at - 1 && !isPlaceholder(userinfo.slice(colon + 1, at)))
    add('url-credentials', from + colon + 1, from + at)
  return from + at
}

const KEY_REST = /s?(?:(?![a-z])[\w.-]{0,60})?/y
const SEPARATOR = /\\{0,4}["'`]?\s{0,8}(?::=|=>|[:=])\s{0,8}(\\{0,4}["'`])?/y
const BARE = /[^\s"'`\\,;&<>(){}[\]]*/y

/** `password = hunter2`, `"api_key": "..."`, `--token=...`: the value of what is called a secret. */
function findAssigned(text: string, add: Add): void {
  ASSIGNMENT.lastIndex = 0
  for (let found = ASSIGNMENT.exec(text); found; found = ASSIGNMENT.exec(text)) {
    const rest = endOf(KEY_REST, text, ASSIGNMENT.lastIndex)
    SEPARATOR.lastIndex = rest
    const separator = SEPARATOR.exec(text)
    if (!separator) continue
    const start = SEPARATOR.lastIndex
    if (isMarked(text, start)) continue
    const quote = separator[1]
    let end: number
    if (quote) {
      // Up to the same quote, on the same line; a value without one ends with the line.
      const near = text.slice(start, start + 4_096)
      const close = near.indexOf(quote)
      const line = near.indexOf('\n')
      end = start + (close >= 0 && (line < 0 || close < line) ? close : line < 0 ? near.length : line)
    } else {
      const scheme = /(?:bearer|basic) +/iy
      scheme.lastIndex = start
      if (scheme.test(text)) continue
      end = endOf(BARE, text, start)
    }
    const value = text.slice(start, end)
    if (value.length >= 4 && !isPlaceholder(value)) add('assigned-secret', start, end)
    if (end > ASSIGNMENT.lastIndex) ASSIGNMENT.lastIndex = end
  }
}

/** What stands where a secret would, and is none. */
export function isPlaceholder(value: string): boolean {
  return /^(?:\$\{[^}]{0,200}\}?|\{\{[^}]{0,200}\}\}|<[^>]{0,200}>|%\([^)]{0,200}\)s|\$[A-Z_][A-Z0-9_]*|\*+|x{3,}|\.{3,}|null|none|true|false|undefined|required|optional|string|\[secret\]|\[REDACTED:[a-z-]+:[0-9a-f]{8}\])$/i.test(
    value.trim(),
  )
}

const LOCAL = /[A-Za-z0-9._%+-]/
const DOMAIN = /[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}/y
/** Addresses of systems, not of people. */
const SYSTEM_ADDRESS = /^(?:no-?reply|do-?not-?reply|postmaster|mailer-daemon|git|root)@/i

function findAddresses(text: string, add: Add): void {
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    let start = at
    while (start > 0 && at - start < 64 && LOCAL.test(text[start - 1]!)) start--
    if (start === at) continue
    const end = endOf(DOMAIN, text, at + 1)
    if (!/\.[A-Za-z]{2,24}$/.test(text.slice(Math.max(at, end - 30), end))) continue
    if (!SYSTEM_ADDRESS.test(text.slice(start, at + 1))) add('contact', start, end)
  }
}

const PLUS = /(?<![\w.+])\+\d(?:[ ().-]{0,2}\d){7,14}(?![\w])/g
// Mobile numbers of China, and the ten digits of North America with their separators.
const LOCAL_PHONE = /(?<![\w.+-])(?:1[3-9]\d(?:[ -]?\d{4}){2}|(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4})(?![\w-])/g

function findPhones(text: string, add: Add): void {
  for (const pattern of [PLUS, LOCAL_PHONE])
    for (const found of text.matchAll(pattern)) add('contact', found.index, found.index + found[0].length)
}

const CARD = /(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])/g
const SSN = /(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])/g
const IBAN = /(?<![\w-])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])/g
const RESIDENT = /(?<![\w-])[1-8]\d{5}(?:19|20)\d{9}[\dXx](?![\w-])/g

function findNumbers(text: string, add: Add): void {
  for (const found of text.matchAll(CARD)) {
    const digits = found[0].replace(/[ -]/g, '')
    // Cards begin with 2 to 6; a time in milliseconds, of the same length, with 1.
    if (/^[2-6]/.test(digits) && isLuhn(digits)) add('personal-id', found.index, found.index + found[0].length)
  }
  for (const found of text.matchAll(SSN)) add('personal-id', found.index, found.index + found[0].length)
  for (const found of text.matchAll(RESIDENT))
    if (isResidentId(found[0])) add('personal-id', found.index, found.index + found[0].length)
}

function findIbans(text: string, add: Add): void {
  for (const found of text.matchAll(IBAN))
    if (isIban(found[0].replaceAll(' ', ''))) add('personal-id', found.index, found.index + found[0].length)
}

/** The check digit of cards (ISO/IEC 7812-1). */
function isLuhn(digits: string): boolean {
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    let digit = digits.charCodeAt(digits.length - 1 - i) - 48
    if (i % 2 === 1) digit = digit > 4 ? digit * 2 - 9 : digit * 2
    sum += digit
  }
  return sum % 10 === 0
}

/** The check digits of an IBAN (ISO 13616): moved to the end, letters as numbers, the remainder by 97 is 1. */
function isIban(text: string): boolean {
  let rest = 0
  for (const char of text.slice(4) + text.slice(0, 4)) {
    const value = Number.parseInt(char, 36)
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97
  }
  return text.length >= 15 && rest === 1
}

/** The check character of a Chinese resident identity number (GB 11643, ISO 7064 MOD 11-2). */
function isResidentId(text: string): boolean {
  let sum = 0
  for (let i = 0; i < 17; i++) sum += (text.charCodeAt(i) - 48) * (2 ** (17 - i) % 11)
  return '10X98765432'[sum % 11] === text[17]!.toUpperCase()
}
