import { createHmac, createSecretKey, randomBytes } from 'node:crypto'
import { type Folded, fold } from './fold.ts'
import { findMeant } from './meant.ts'
import {
  ENCODED,
  findSpans,
  isPlaceholder,
  isSuspect,
  MARKER,
  personalKinds,
  type RedactionKind,
  type Span,
} from './rules.ts'

// Fields that say who or what somebody is, by declaration: an address in them is meant to be there.
const IDENTITY = new Set(['username', 'email', 'full_name', 'actor_username', 'serial_number'])
const SECRET_NAME =
  /(?:pass(?:word|wd|phrase|code)|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|密码|口令|密钥)s?(?:$|(?![a-z]))/i
// Names like those above that hold something else: ids, times, counts, kinds.
const ABOUT_SECRET =
  /(?:_(?:id|ids|at|name|type|prefix|url|sha256|digest|count|number|hours|seconds|changed|enabled|ref))$/i

/** Characters of a text that is worth remembering, and how many are. */
const SHORT = 128
const KEPT = 1_000

export interface Fields {
  readonly open: ReadonlySet<string>
  readonly declared: ReadonlySet<string>
}

export interface Redactor {
  /** The text with every secret replaced; the same string when there is none. Redacting twice changes nothing more. */
  text(text: string, on?: { contact?: boolean }): string
  /**
   * The same for any JSON value, and for values whose key says that they are secret. Keys are redacted too.
   * `fields` says what is known of fields of the outermost object: some are left `open`, and the names of `declared` ones
   * say nothing about their values, which are only searched.
   */
  value<T>(value: T, fields?: Fields): T
  /** The same for one JSON document as text; it is only parsed when something in it is suspect. */
  json(text: string): string
  /** False for a text that certainly holds nothing to replace: far cheaper than looking closer. */
  suspects(text: string): boolean
  /**
   * What there is in a text, and where: kinds and places, never values. `plain`: it is known to be undisguised. `bytes`: it is a
   * file of whatever kind, and between bytes that are no text only what can be meant is found (`meant.ts`).
   */
  find(text: string, on?: { plain?: boolean; bytes?: boolean }): Span[]
}

/**
 * Replaces secrets and personal data by `[REDACTED:<kind>:<8 hex>]`. The digits are of HMAC-SHA256 under `key`: equal secrets
 * can be matched, and guessed only by whoever has the key or may ask again and again.
 * @param live secrets of this process, at least 8 characters long, which are found by their value
 * @param replaced is called for each that is replaced
 */
export function createRedactor(on: {
  key: Uint8Array
  live?: readonly string[]
  replaced?: (kind: RedactionKind) => void
}): Redactor {
  const live = [...new Set(on.live ?? [])].filter((one) => one.length >= 8)
  /** Short texts that were found to hold nothing: names of fields, users and programs come again with every request. */
  const clean = new Set<string>()
  const looksSuspect = (text: string) => isSuspect(text) || live.some((one) => text.includes(one))
  function suspect(text: string): boolean {
    if (text.length > SHORT) return looksSuspect(text)
    if (clean.has(text)) return false
    if (looksSuspect(text)) return true
    if (clean.size >= KEPT) clean.clear()
    clean.add(text)
    return false
  }
  const key = createSecretKey(on.key)
  function mark(kind: RedactionKind, secret: string): string {
    on.replaced?.(kind)
    return `[REDACTED:${kind}:${createHmac('sha256', key).update(secret).digest('hex').slice(0, 8)}]`
  }

  function spansOf(text: string, contact: boolean, { plain = false, bytes = false } = {}): Span[] {
    const folded = plain ? { text, at: undefined } : fold(text)
    const spans = bytes ? findMeant(folded.text, { contact }) : findSpans(folded.text, { contact })
    for (const secret of live) {
      for (let at = folded.text.indexOf(secret); at >= 0; at = folded.text.indexOf(secret, at + secret.length))
        spans.push({ kind: 'live-secret', start: at, end: at + secret.length })
    }
    findEncoded(folded.text, (decoded) => suspect(decoded) && spansOf(decoded, contact)[0]?.kind, spans)
    return unfolded(joined(spans, folded.text), folded)
  }

  function replace(text: string, contact: boolean): string {
    if (!suspect(text)) return text
    let result = text
    // What is left of a marker may only now stand free; more rounds than a few would be somebody's game.
    for (let round = 0; round < 4; round++) {
      const spans = spansOf(result, contact)
      if (spans.length === 0) return result
      let out = ''
      let at = 0
      for (const { kind, start, end } of spans) {
        out += result.slice(at, start) + mark(kind, result.slice(start, end))
        at = end
      }
      result = out + result.slice(at)
    }
    return result
  }

  function value(given: unknown, key: string, depth: number, fields?: Fields): unknown {
    if (typeof given === 'string') {
      if (isSecretName(key) && given.length >= 4 && !isPlaceholder(given)) return mark('assigned-secret', given)
      return replace(given, !IDENTITY.has(key))
    }
    // Deeper than anything that Writ takes or makes.
    if (typeof given !== 'object' || given === null || depth > 200) return given
    if (Array.isArray(given))
      return sameOr(
        given,
        given.map((one) => value(one, key, depth + 1)),
      )
    if (!isPlain(given)) return given
    let changed = false
    const result: Record<string, unknown> = {}
    for (const [name, one] of Object.entries(given)) {
      const cleanName = replace(name, true)
      const clean = fields?.open.has(name)
        ? one
        : value(one, fields?.declared.has(name) && !IDENTITY.has(name) ? '' : name, depth + 1)
      changed ||= cleanName !== name || clean !== one
      Object.defineProperty(result, cleanName, { value: clean, enumerable: true, writable: true, configurable: true })
    }
    return changed ? result : given
  }

  return {
    text: (text, { contact = true } = {}) => replace(text, contact),
    // The shape stays: only texts inside of it become other texts.
    value: <T>(given: T, fields?: Fields) => value(given, '', 0, fields) as T,
    json(text) {
      if (!suspect(text)) return text
      const before: unknown = JSON.parse(text)
      const after = value(before, '', 0)
      return after === before ? text : JSON.stringify(after)
    },
    suspects: suspect,
    find: (text, on) => spansOf(text, true, on),
  }
}

/** An object of names and values: of JSON, or of a query, whose prototype is an empty one. */
function isPlain(given: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(given)
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null
}

const isSecretName = (key: string) => SECRET_NAME.test(key) && !ABOUT_SECRET.test(key)

const sameOr = (before: readonly unknown[], after: unknown[]): readonly unknown[] =>
  after.every((one, i) => one === before[i]) ? before : after

/** Long words that decode to text with something in it: the whole word is taken. */
function findEncoded(
  text: string,
  inside: (decoded: string) => RedactionKind | false | undefined,
  spans: Span[],
): void {
  for (const found of text.matchAll(ENCODED)) {
    const word = found[0]
    if (/^[0-9a-f-]+$/.test(word)) continue
    const decoded = Buffer.from(word, 'base64').toString('latin1')
    // What is no text was not encoded text. Each byte of a word is looked at once, so this stays linear.
    if (/[^\t\n\r\x20-\x7e\x80-\xff]/.test(decoded.slice(0, 4_096)) || decoded.length < 8) continue
    const kind = inside(decoded)
    if (kind) spans.push({ kind, start: found.index, end: found.index + word.length })
  }
}

/** The same spans in the text before it was folded. */
const unfolded = (spans: Span[], { at }: Folded): Span[] =>
  at === undefined ? spans : spans.map(({ kind, start, end }) => ({ kind, start: at[start]!, end: at[end]! }))

/** Which of two kinds a text is told as in which both were found: whoever refuses secrets has to hear of the secret. */
const rankOf = (kind: RedactionKind): number => (kind === 'live-secret' ? 2 : personalKinds.has(kind) ? 0 : 1)

/** Without the addresses of mail that are none: of a password, or the end of one, with its `@` and the host. */
function withoutHosts(spans: readonly Span[], text: string): readonly Span[] {
  const secrets = new Map(spans.filter(({ kind }) => !personalKinds.has(kind)).map(({ start, end }) => [end, start]))
  if (secrets.size === 0) return spans
  return spans.filter(({ kind, start, end }) => {
    if (kind !== 'contact') return true
    const secret = secrets.get(start + text.slice(start, end).indexOf('@'))
    return secret === undefined || secret > start
  })
}

/** In order, overlapping ones as one (a live secret before another, a secret before what is personal, else the first), and none that touches a marker. */
function joined(spans: readonly Span[], text: string): Span[] {
  if (spans.length === 0) return []
  const markers = [...text.matchAll(MARKER)].map((found) => ({
    start: found.index,
    end: found.index + found[0].length,
  }))
  const sorted = [...withoutHosts(spans, text)].sort((a, b) => a.start - b.start || b.end - a.end)
  const result: Span[] = []
  for (const span of sorted) {
    const last = result.at(-1)
    if (last && span.start < last.end) {
      result[result.length - 1] = {
        kind: rankOf(span.kind) > rankOf(last.kind) ? span.kind : last.kind,
        start: last.start,
        end: Math.max(last.end, span.end),
      }
    } else result.push(span)
  }
  let m = 0
  return result.flatMap((span) => {
    // A marker inside stays as it is; what stands around it is cut out piece by piece.
    const pieces: Span[] = []
    let start = span.start
    while (m < markers.length && markers[m]!.end <= span.start) m++
    for (let i = m; i < markers.length && markers[i]!.start < span.end; i++) {
      if (markers[i]!.start > start) pieces.push({ ...span, start, end: markers[i]!.start })
      start = Math.max(start, markers[i]!.end)
    }
    if (start < span.end) pieces.push({ ...span, start })
    return pieces
  })
}

/**
 * What of a secret setting no text may show: the setting itself, the password inside of a URL, the keys of a JSON object.
 * A plain short word ("postgres") is no secret that could be told from the word.
 */
export function liveSecrets(settings: readonly string[]): string[] {
  return settings
    .flatMap((text) => {
      const password = /^[a-z][a-z0-9+.-]*:\/\/[^:@/]*:([^@]+)@/i.exec(text)?.[1]
      if (password !== undefined) return [password, safely(() => decodeURIComponent(password)) ?? password]
      const object = text.startsWith('{') ? safely(() => JSON.parse(text) as object) : undefined
      return object ? Object.keys(object) : text.includes('://') ? [] : [text]
    })
    .filter((secret) => secret.length >= 8 && !/^[a-z]{1,11}$/i.test(secret))
}

function safely<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}

let current = createRedactor({ key: randomBytes(32) })

/**
 * The redactor of this process. Before `configureRedaction` it knows the nine kinds, under a key of the moment: nothing
 * is ever written unredacted because somebody forgot to set it up.
 */
export const redactor: Redactor = {
  text: (text, on) => current.text(text, on),
  value: (value, fields) => current.value(value, fields),
  json: (text) => current.json(text),
  suspects: (text) => current.suspects(text),
  find: (text, on) => current.find(text, on),
}

/** Gives the process its key, by which equal secrets are matched later, and the live secrets that it must never show. */
export function configureRedaction(on: Parameters<typeof createRedactor>[0]): void {
  current = createRedactor(on)
}
