/**
 * Characters that are not seen, or make others be seen elsewhere than they stand: what somebody agrees to would read as something else.
 * It imports nothing: `@writ/api/hidden` is for everybody who shows what others typed. Sources: Unicode TR36 and TR39, CVE-2021-42574.
 */

// Joiners and variation selectors are none of them: emoji and several scripts need them. Nor are tags behind a flag, which say whose it is.
const HIDDEN =
  /[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|(?<!\u{1f3f4}[\u{e0030}-\u{e007a}]{0,6})[\u{e0000}-\u{e007f}]/gu

/** A character by its number: `U+202E`. */
export const numberOf = (character: string): string =>
  `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`

/** The text with each of them as `show` writes it, `[U+202E]` unless said otherwise. */
export const withHiddenShown = (text: string, show = (one: string) => `[${numberOf(one)}]`): string =>
  text.replace(HIDDEN, show)
