import { withHiddenShown } from '@writ/api/hidden'
import stringWidth from 'string-width'

// What others typed is shown on a terminal, and a terminal obeys: control characters could recolour, hide or overwrite
// lines, and bidirectional ones reorder them. Source: Unicode TR36, CVE-2021-42574.
const unsafe = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029]/g

/** Text for a terminal, line breaks and tabs kept; what hides or reorders letters is written out, `[U+202E]`. */
export const safeText = (text: string): string => withHiddenShown(text.replace(unsafe, '\ufffd'))

/** Text for one line of a terminal. */
export const safeLine = (text: string): string => safeText(text).replace(/[\n\t]+/g, ' ')

/**
 * A text that is meant to be ASCII, such as a path, an origin or the name of a key, with all else written out: what hides or reorders letters,
 * and what looks like other ones ("а" of Cyrillic as `[U+0430]`).
 */
export const spellOut = (text: string): string =>
  text.replace(/[^\x20-\x7e]/gu, (one) => `[U+${one.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`)

/** Columns that a text takes on a terminal: 2 for each wide character. */
export const widthOf = (text: string): number => stringWidth(text)

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })

/** The text in at most `width` columns; what does not fit ends in an ellipsis. */
export function fitText(text: string, width: number): string {
  if (widthOf(text) <= width) return text
  let kept = ''
  let used = 0
  for (const { segment } of graphemes.segment(text)) {
    const wide = widthOf(segment)
    if (used + wide > width - 1) break
    kept += segment
    used += wide
  }
  return `${kept}…`
}

/** The text followed by spaces up to `width` columns. */
export const padText = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - widthOf(text)))

/** A number of things: 1 entry, 2 entries. */
export const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`

/** A number of entries of a log. */
export const entriesText = (count: number): string => counted(count, 'entry', 'entries')

/** Bytes for people: 1.5 MiB. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** An RFC 3339 time for people: 2026-10-21 07:28:05Z. */
export const timeText = (time: string | null | undefined): string =>
  time ? safeLine(time).replace('T', ' ').replace(/\.\d+/, '') : ''

const amounts = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 9, useGrouping: false })

/** US dollars to the last digit that is known: 0.0021 USD. */
export const usdText = (usd: number | null): string => (usd === null ? '' : `${amounts.format(usd)} USD`)
