import { redactor as processRedactor, type Redactor } from './redactor.ts'
import { NAME, type RedactionKind, type Span } from './rules.ts'

// A secret may come in two chunks. Text is looked at only up to a place that no span crosses, and the rest waits: as long as
// the longest value that is read to its end, and a key block until its END line, up to a limit.
const HOLD = 8_192
const MOST = 1_048_576
/** Longer than a name and what stands between it and its value. */
const BEHIND = 256

/** Where a text may be cut behind `from` so that no span is. */
function cutOf(spans: readonly Span[], text: string, from: number): number {
  let cut = text.length - HOLD
  for (const span of spans) if (span.start < cut && span.end > cut) cut = span.start
  // A span from the beginning on that will not end: it counts as far as it came.
  if (cut <= from) return text.length > MOST ? text.length : from
  // Not in the middle of a word, or its first half would look like something else, or like nothing.
  const word = /[^\s]{0,4096}$/.exec(text.slice(Math.max(0, cut - 4_096), cut))![0]
  return word.length < cut - from ? cut - word.length : cut
}

/** What an artifact seems to hold: how often, and where first, in bytes. Never the value. */
export interface Finding {
  readonly kind: RedactionKind
  readonly count: number
  readonly offset: number
}

export interface Scanner {
  push(chunk: Uint8Array): void
  /** The findings, by kind, in the order of their first places. */
  end(): Finding[]
}

/**
 * How far into a file is looked. Configurations end long before; in what is larger, looking at everything would take longer
 * than hashing and storing it several times over.
 */
export const SCANNED_BYTES = 16 * 1_048_576

/**
 * Looks for secrets in the first SCANNED_BYTES of bytes that go by, in constant memory. Bytes count as characters, so that
 * places are exact.
 */
export function createScanner(redactor: Redactor = processRedactor): Scanner {
  const counted = new Map<RedactionKind, { count: number; offset: number }>()
  let held = ''
  let base = 0
  // So much of what is held was counted before. It is held for the name that a value stands behind: a cut may part the two, in a
  // line without spaces, or where a byte of a wide character looks like one.
  let known = 0
  /** How two bytes make a character, where the first two of the file say so. */
  let marked: Order | undefined
  function look(whole: boolean) {
    if (base === 0) marked = markOf(held)
    const form = formOf(held)
    const order = marked ?? (form.bytes ? undefined : orderOf(held, base))
    const found = redactor.find(held, form)
    const spans = order === undefined ? found : together(found, findWide(redactor, held, base, order))
    const upTo = whole ? held.length : cutOf(spans, held, known)
    for (const { kind, start } of spans) {
      if (start < known || start >= upTo) continue
      const one = counted.get(kind)
      if (one) one.count++
      else counted.set(kind, { count: 1, offset: base + start })
    }
    const gone = Math.max(0, upTo - BEHIND)
    base += gone
    held = held.slice(gone)
    known = upTo - gone
  }
  return {
    push(chunk) {
      const wanted = Math.min(chunk.byteLength, SCANNED_BYTES - base - held.length)
      if (wanted <= 0) return
      held += Buffer.from(chunk.buffer, chunk.byteOffset, wanted).toString('latin1')
      if (held.length >= 16 * HOLD) look(false)
    },
    end() {
      look(true)
      return [...counted]
        .map(([kind, { count, offset }]) => ({ kind, count, offset }))
        .sort((a, b) => a.offset - b.offset)
    },
  }
}

/**
 * What bytes are by their first ones. `plain`: they hide nothing that has to be undone: no percent-encoding, and not text of two
 * bytes a character, of which about half are zero; what is no text at all hides nothing either. `bytes`: perhaps no text.
 */
function formOf(text: string): { plain: boolean; bytes: boolean } {
  const start = text.slice(0, 512)
  const share = (pattern: RegExp) => start.replaceAll(pattern, '').length / Math.max(1, start.length)
  const zeros = share(/[^\0]/g)
  // The other half of a letter may be any byte.
  if (zeros > 0.3 && zeros < 0.7) return { plain: false, bytes: false }
  return { plain: share(/[\t\n\r\x20-\x7e]/g) > 0.3 || !/%[0-9a-fA-F]{2}/.test(text), bytes: true }
}

type Order = 'little' | 'big'

/** The mark at the beginning of a file of two bytes a character. */
const markOf = (text: string): Order | undefined =>
  text.startsWith('\xff\xfe') ? 'little' : text.startsWith('\xfe\xff') ? 'big' : undefined

/** Which byte of a character comes first, by the zeros of its ASCII. `base` is where in the file the text begins. */
function orderOf(text: string, base: number): Order {
  const start = text.slice(0, 512)
  let even = 0
  for (let at = start.indexOf('\0'); at >= 0; at = start.indexOf('\0', at + 1)) even += (base + at) % 2 === 0 ? 1 : -1
  return even > 0 ? 'big' : 'little'
}

/** What there is in a text of two bytes a character, which is given as one character a byte. */
function findWide(redactor: Redactor, text: string, base: number, order: Order): Span[] {
  const skip = base % 2
  const bytes = Buffer.from(text.slice(skip, text.length - ((text.length - skip) % 2)), 'latin1')
  const decoded = (order === 'big' ? bytes.swap16() : bytes).toString('utf16le')
  return redactor.find(decoded).map(({ kind, start, end }) => ({ kind, start: skip + 2 * start, end: skip + 2 * end }))
}

/** Spans that were found in two ways, in order: where both found something it counts once, as the first way has it. */
function together(spans: readonly Span[], more: readonly Span[]): Span[] {
  const all = [...spans]
  let at = 0
  for (const span of more) {
    while (at < spans.length && spans[at]!.end <= span.start) at++
    if (at === spans.length || spans[at]!.start >= span.end) all.push(span)
  }
  return all.sort((a, b) => a.start - b.start)
}

// A name of something secret at the end of a line, or with the sign behind it: its value may be the next.
const BEFORE_A_VALUE = new RegExp(`${NAME}[\\w.-]{0,60}["'\`\\\\]{0,5}\\s*(?:[:=：＝]\\s*["'\`]?)?$`, 'i')
const LINES_OF_A_KEY = 500

/**
 * How many of the last of some lines may be the beginning of a secret that the next line goes on with: those of a key block that
 * has not ended, or one behind which a value may come. Lines that are redacted piece by piece are cut before these.
 */
export function mayGoOn(lines: readonly string[]): number {
  for (let back = 1; back <= Math.min(lines.length, LINES_OF_A_KEY); back++) {
    const line = lines.at(-back)!
    if (line.includes('-----END')) break
    if (line.includes('-----BEGIN')) return back
  }
  let blank = 0
  while (blank < lines.length && lines.at(-blank - 1)!.trim() === '') blank++
  return BEFORE_A_VALUE.test(lines.at(-blank - 1)?.slice(-200) ?? '') ? blank + 1 : 0
}
