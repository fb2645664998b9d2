/** A text as patterns should see it, and where each of its characters stood: `at[i]` for character i, `at[length]` for the end. */
export interface Folded {
  readonly text: string
  /** Undefined where nothing was folded: every place is its own. */
  readonly at: Int32Array | undefined
}

const DISGUISE =
  /[\0\u00ad\u200b-\u200f\u2010-\u2015\u2060-\u2064\ufeff\uff01-\uff5e\u0391-\u03c9\u0405-\u0458]|%[0-9a-fA-F]{2}/

// Letters that look like ASCII ones (Unicode TR 39, confusables), those of Greek and Cyrillic that a key could be written with.
const LOOKALIKES = new Map(
  Object.entries({
    А: 'A',
    В: 'B',
    Е: 'E',
    К: 'K',
    М: 'M',
    Н: 'H',
    О: 'O',
    Р: 'P',
    С: 'C',
    Т: 'T',
    Х: 'X',
    У: 'Y',
    а: 'a',
    е: 'e',
    о: 'o',
    р: 'p',
    с: 'c',
    х: 'x',
    у: 'y',
    ѕ: 's',
    і: 'i',
    ј: 'j',
    Ѕ: 'S',
    І: 'I',
    Ј: 'J',
    к: 'k',
    Α: 'A',
    Β: 'B',
    Ε: 'E',
    Ζ: 'Z',
    Η: 'H',
    Ι: 'I',
    Κ: 'K',
    Μ: 'M',
    Ν: 'N',
    Ο: 'O',
    Ρ: 'P',
    Τ: 'T',
    Υ: 'Y',
    Χ: 'X',
    ο: 'o',
    α: 'a',
    ν: 'v',
    ρ: 'p',
    τ: 't',
    κ: 'k',
    ι: 'i',
  }),
)

/**
 * Undoes what hides a pattern from a plain search, in one pass: percent-encoding, full-width forms, look-alike letters,
 * invisible characters and the zero bytes of UTF-16. Text without any of these is answered as it is.
 */
export function fold(text: string): Folded {
  if (!DISGUISE.test(text)) return { text, at: undefined }
  const at = new Int32Array(text.length + 1)
  let folded = ''
  let n = 0
  for (let i = 0; i < text.length; ) {
    const code = text.charCodeAt(i)
    let width = 1
    let char: string
    if (code === 0x25 && isByte(text, i + 1)) {
      // Encoded twice, `%253D`, or more often: every further round puts a 25 in between.
      let digits = i + 1
      while (text[digits] === '2' && text[digits + 1] === '5' && isByte(text, digits + 2)) digits += 2
      width = digits + 2 - i
      char = String.fromCharCode(Number.parseInt(text.slice(digits, digits + 2), 16))
    } else if (code < 0x80 && code !== 0) char = text[i]!
    else if (code >= 0xff01 && code <= 0xff5e) char = String.fromCharCode(code - 0xfee0)
    else if (code >= 0x2010 && code <= 0x2015) char = '-'
    else if (isInvisible(code)) char = ''
    else char = LOOKALIKES.get(text[i]!) ?? text[i]!
    if (char !== '') {
      at[n++] = i
      folded += char
    }
    i += width
  }
  at[n] = text.length
  return { text: folded, at }
}

const isHex = (code: number) => (code >= 48 && code <= 57) || (code >= 65 && code <= 70) || (code >= 97 && code <= 102)

const isByte = (text: string, at: number) => isHex(text.charCodeAt(at)) && isHex(text.charCodeAt(at + 1))

const isInvisible = (code: number) =>
  code === 0 ||
  code === 0xad ||
  code === 0xfeff ||
  (code >= 0x200b && code <= 0x200f) ||
  (code >= 0x2060 && code <= 0x2064)
