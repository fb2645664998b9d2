import { numberOf, withHiddenShown } from '@writ/api/hidden'

const CONTROLS = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028\u2029]|\r(?!\n)/g

/** A text that others typed, with what reorders or hides its letters written out. */
export const plainText = (text: string): string =>
  withHiddenShown(text.replace(CONTROLS, (one) => `[${numberOf(one)}]`))

/**
 * A text that is meant to be ASCII, such as a path, an origin or the name of a key, with all else written out: what hides or reorders letters,
 * and what looks like other ones ("а" of Cyrillic as `[U+0430]`).
 */
export const spellOut = (text: string): string =>
  text.replace(/[^\x20-\x7e]/gu, (one) => `[U+${one.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`)
