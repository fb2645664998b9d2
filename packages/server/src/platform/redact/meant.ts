import { findSpans, NAME, type Span } from './rules.ts'
import { createWideNames } from './wide-names.ts'

const findWide = createWideNames(NAME)

// Of sixteen megabytes of random bytes every second file held what has the form of an address, and one in 25 what has that of
// a password: `r@t.zg`, `pwd=` with any bytes behind it. Both are left out of bundles, and the second may be refused. Now it is one in
// a hundred (measured: 158 of 256 files before, 10 of 1,024 since).

const AROUND = 64
/** Bytes that no text of any encoding of one byte or more has; not those that terminals write. */
const NO_TEXT = /[\x01-\x06\x0e-\x1a\x1c-\x1f\x7f]/g
/** So many around a place, and what stands there is no text. In random bytes there are twelve. */
const ENOUGH = 4
const TEXT = /(?:[\0\t\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})*/y
const SHORTEST_VALUE = 4
/** Of 16 GiB of random bytes 860 had a shorter address, and 80 one of this length or more; of those few had a domain in one case. */
const SHORTEST_ADDRESS = 9
/** Values within values: of random bytes a few; so many are made, and count, or a made file would be looked at for ever. */
const DEEPEST = 16
const SCHEME = /[A-Za-z][A-Za-z0-9+.-]+:\/\/[\t\x20-\x7e]*$/

/**
 * The spans of the nine kinds in a file, given as one character a byte. In texts that is what `findSpans` finds. Between bytes
 * that are no text (a file of a database, of a program, of random bytes) a value ends where the text ends, as it does for whoever
 * reads it, and counts if something is left; an address counts if it is no shorter than chance makes them, and its domain in one case.
 */
export const findMeant = (text: string, on: { contact: boolean }): Span[] => findWithin(text, 0, text.length, on, 0)

function findWithin(text: string, from: number, to: number, on: { contact: boolean }, depth: number): Span[] {
  const part = text.slice(from, to)
  const spans = [...findSpans(part, on), ...findWide(part)]
  return spans.flatMap(({ kind, start, end }) => {
    const span = { kind, start: from + start, end: from + end }
    if (depth === DEEPEST || isTextAround(text, span) || isMeant(text, span)) return [span]
    // What was taken for a value may hold one: it went to the next space, over whatever lies between. Each is shorter than the
    // one around it by the name that it stands behind.
    return end - start < to - from ? findWithin(text, span.start, span.end, on, depth + 1) : []
  })
}

function isTextAround(text: string, { start, end }: Span): boolean {
  const near = text.slice(Math.max(0, start - AROUND), start) + text.slice(end, end + AROUND)
  return (near.match(NO_TEXT)?.length ?? 0) < ENOUGH
}

function isMeant(text: string, { kind, start, end }: Span): boolean {
  if (kind === 'contact') {
    const [, domain] = text.slice(start, end).split('@')
    if (domain === undefined) return true
    return end - start >= SHORTEST_ADDRESS && (domain === domain.toLowerCase() || domain === domain.toUpperCase())
  }
  TEXT.lastIndex = start
  TEXT.test(text)
  // Characters, not bytes.
  const length = text.slice(start, Math.min(end, TEXT.lastIndex)).replaceAll(/[\0\x80-\xbf]/g, '').length
  if (kind !== 'url-credentials') return length >= SHORTEST_VALUE
  // A password may be of one letter; the scheme in front of it, and the user, are none of chance.
  return TEXT.lastIndex >= end && SCHEME.test(text.slice(Math.max(0, start - 1_024), start))
}
