/** What terminals paint: text with colours (SGR, ECMA-48 8.3.117). Pure. */

export interface Painted {
  readonly text: string
  /** Classes: `ansi-1` to `ansi-7`, `ansi-bold`, `ansi-dim`; '' for plain text. */
  readonly look: string
}

// A control sequence; only those that end in m paint.
const SEQUENCE = /\u001b\[([0-9;:?]*)([A-Za-z])/g

/** A line in parts of one look each. Colours are the eight of the theme, bright ones bold; backgrounds are left out. */
export function paintedOf(line: string): Painted[] {
  if (!line.includes('\u001b')) return [{ text: line, look: '' }]
  const parts: Painted[] = []
  let colour = 0
  let weight = ''
  let from = 0
  const keep = (text: string) => {
    const look = [colour > 0 ? `ansi-${colour}` : '', weight].filter(Boolean).join(' ')
    if (text !== '') parts.push({ text, look })
  }
  for (const match of line.matchAll(SEQUENCE)) {
    keep(line.slice(from, match.index))
    from = match.index + match[0].length
    if (match[2] !== 'm') continue
    const codes = (match[1] === '' ? '0' : (match[1] ?? '0')).split(/[;:]/).map(Number)
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i]!
      if (code === 0) [colour, weight] = [0, '']
      else if (code === 1) weight = 'ansi-bold'
      else if (code === 2) weight = 'ansi-dim'
      else if (code === 22) weight = ''
      else if (code === 39) colour = 0
      else if (code >= 30 && code <= 37) colour = code - 30
      else if (code >= 90 && code <= 97) [colour, weight] = [code - 90, 'ansi-bold']
      // Of 256 colours and of millions none is of the theme: their numbers are not taken for codes of their own.
      else if (code === 38 || code === 48) i += codes[i + 1] === 5 ? 2 : 4
    }
  }
  keep(line.slice(from))
  return parts.length === 0 ? [{ text: '', look: '' }] : parts
}

/** The text alone, for what is searched. */
export const unpainted = (text: string): string => text.replace(SEQUENCE, '')
