import { isPlaceholder, type Span } from './rules.ts'

// Files are looked at as one character a byte, so that places are exact, and then a name of Chinese characters is not the one of the
// rules, nor is a full-width sign the one that texts are folded to. Here both stand as the bytes that they are in UTF-8.

const bytesOf = (text: string) => Buffer.from(text).toString('latin1')

const WIDE_SIGN = `(?:${bytesOf('：')}|${bytesOf('＝')})`
const WIDE_NAME = `(?:${['密码', '口令', '密钥'].map(bytesOf).join('|')})`
/** A no-break space and an ideographic one; single bytes of other characters look like spaces and are none. */
const WIDE_SPACE = `(?:${bytesOf('\u00a0')}|${bytesOf('\u3000')})`
const SPACES = `(?:[ \\t\\r\\n\\f\\v]|${WIDE_SPACE}){0,8}`
const REST = 's?(?:(?![a-z])[\\w.-]{0,60})?'

const SUSPECT = new RegExp(`${WIDE_NAME}|${WIDE_SIGN}`)
/** A wide name with any sign, or a narrow one with a wide sign; others the rules find. */
const ASSIGNED = (narrow: string) =>
  new RegExp(
    `(?:(?:${WIDE_NAME}${REST}\\\\{0,4}["'\`]?${SPACES}(?::=|=>|[:=]|${WIDE_SIGN}))|(?:${narrow}${REST}\\\\{0,4}["'\`]?${SPACES}${WIDE_SIGN}))${SPACES}(\\\\{0,4}["'\`])?`,
    'gi',
  )
const VALUE = new RegExp(`(?:(?!${WIDE_SPACE})[^ \\t\\r\\n\\f\\v"'\`\\\\,;&<>(){}[\\]])*`, 'y')
const LONGEST = 4_096
const SHORTEST = 4

/** Finds values behind `密码：` and the like, and behind `password：`, in a text of UTF-8 that is given as one character a byte. */
export function createWideNames(narrow: string): (text: string) => Span[] {
  const assigned = ASSIGNED(narrow)
  return (text) => {
    const spans: Span[] = []
    if (!SUSPECT.test(text)) return spans
    assigned.lastIndex = 0
    for (let found = assigned.exec(text); found; found = assigned.exec(text)) {
      const start = assigned.lastIndex
      const end = endOf(text, start, found[1])
      // Characters are counted, as in texts.
      const value = Buffer.from(text.slice(start, Math.min(end, start + LONGEST)), 'latin1').toString()
      if (/^\[REDACTED:|^(?:bearer|basic) /i.test(value)) continue
      if (value.length >= SHORTEST && !isPlaceholder(value)) spans.push({ kind: 'assigned-secret', start, end })
      assigned.lastIndex = Math.max(start, end)
    }
    return spans
  }
}

/** Up to the same quote on the same line, or with the line; without a quote up to a space or a sign. */
function endOf(text: string, start: number, quote: string | undefined): number {
  if (quote === undefined) {
    VALUE.lastIndex = start
    VALUE.test(text)
    return VALUE.lastIndex
  }
  const near = text.slice(start, start + LONGEST)
  const close = near.indexOf(quote)
  const line = near.indexOf('\n')
  return start + (close >= 0 && (line < 0 || close < line) ? close : line < 0 ? near.length : line)
}
