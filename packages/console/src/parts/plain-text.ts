// Characters that are not seen, and that make others be seen elsewhere: what somebody agrees to would read as something else.
// Source: Unicode TR36, CVE-2021-42574.
const HIDDEN =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\r(?!\n)/g

/** A text that others typed, with what reorders or hides its letters written out. */
export const plainText = (text: string): string =>
  text.replace(HIDDEN, (one) => `[U+${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}]`)

/**
 * A text that is meant to be ASCII, such as a path, an origin or the name of a key, with all else written out: what hides or reorders letters,
 * and what looks like other ones ("а" of Cyrillic as `[U+0430]`).
 */
export const spellOut = (text: string): string =>
  text.replace(/[^\x20-\x7e]/gu, (one) => `[U+${one.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`)
