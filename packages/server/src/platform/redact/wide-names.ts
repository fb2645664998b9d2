import { isPlaceholder, type Span } from './rules.ts'

// Files are looked at as one character a byte, so that places are exact, and then a name of Chinese characters is not the one of the
// rules, nor is a full-width sign the one that texts are folded to. Here both stand as the bytes that they are in an encoding.

const bytesOf = (text: string) => Buffer.from(text).toString('latin1')

/** What is looked for, one character a byte. */
interface Encoding {
  readonly names: readonly string[]
  readonly signs: readonly string[]
  /** Spaces that are no ASCII; single bytes of other characters look like spaces and are none. */
  readonly spaces: readonly string[]
  /** What bytes mean, for their number is not that of their characters. */
  decode(bytes: Buffer): string
}

const utf8: Encoding = {
  names: ['密码', '口令', '密钥'].map(bytesOf),
  signs: ['：', '＝'].map(bytesOf),
  spaces: ['\u00a0', '\u3000'].map(bytesOf),
  decode: (bytes) => bytes.toString(),
}

// No text in UTF-8 has one of these names, for there a byte of C0 to FF is followed by one of 80 to BF; nor such a sign behind ASCII.
const gbkDecoder = new TextDecoder('gbk')
const gbk: Encoding = {
  names: ['\xc3\xdc\xc2\xeb', '\xbf\xda\xc1\xee', '\xc3\xdc\xd4\xbf'],
  signs: ['\xa3\xba', '\xa3\xbd'],
  spaces: ['\xa1\xa1'],
  decode: (bytes) => gbkDecoder.decode(bytes),
}

const REST = '(?i:s?(?:(?![a-z])[\\w.-]{0,60})?)'
const LONGEST = 4_096
const SHORTEST = 4

/** Finds values behind `密码：` and the like, and behind `password：`, in a text of UTF-8 or GBK that is given as one character a byte. */
export function createWideNames(narrow: string): (text: string) => Span[] {
  const finders = [utf8, gbk].map((encoding) => createFinder(narrow, encoding))
  return (text) => finders.flatMap((find) => find(text))
}

function createFinder(narrow: string, { names, signs, spaces, decode }: Encoding): (text: string) => Span[] {
  const oneOf = (texts: readonly string[]) => `(?:${texts.join('|')})`
  const gap = `(?:[ \\t\\r\\n\\f\\v]|${oneOf(spaces)}){0,8}`
  const quoted = `\\\\{0,4}["'\`]?`
  const suspect = new RegExp(oneOf([...names, ...signs]))
  // A wide name with any sign, or a narrow one with a wide sign; others the rules find. Bytes have no case: to a search without it, those
  // of one character are those of others.
  const assigned = new RegExp(
    `(?:${oneOf(names)}${REST}${quoted}${gap}(?::=|=>|[:=]|${oneOf(signs)})|(?i:${narrow})${REST}${quoted}${gap}${oneOf(signs)})${gap}(\\\\{0,4}["'\`])?`,
    'g',
  )
  const bare = new RegExp(`(?:(?!${oneOf(spaces)})[^ \\t\\r\\n\\f\\v"'\`\\\\,;&<>(){}[\\]])*`, 'y')
  return (text) => {
    const spans: Span[] = []
    if (!suspect.test(text)) return spans
    assigned.lastIndex = 0
    for (let found = assigned.exec(text); found; found = assigned.exec(text)) {
      const start = assigned.lastIndex
      const end = endOf(text, start, found[1], bare)
      // Characters are counted, as in texts.
      const value = decode(Buffer.from(text.slice(start, Math.min(end, start + LONGEST)), 'latin1'))
      if (/^\[REDACTED:|^(?:bearer|basic) /i.test(value)) continue
      if (value.length >= SHORTEST && !isPlaceholder(value)) spans.push({ kind: 'assigned-secret', start, end })
      assigned.lastIndex = Math.max(start, end)
    }
    return spans
  }
}

/** Up to the same quote on the same line, or with the line; without a quote up to a space or a sign. */
function endOf(text: string, start: number, quote: string | undefined, bare: RegExp): number {
  if (quote === undefined) {
    bare.lastIndex = start
    bare.test(text)
    return bare.lastIndex
  }
  const near = text.slice(start, start + LONGEST)
  const close = near.indexOf(quote)
  const line = near.indexOf('\n')
  return start + (close >= 0 && (line < 0 || close < line) ? close : line < 0 ? near.length : line)
}
