/**
 * A text as every database can keep it: PostgreSQL takes no NUL, UTF-8 has no half of a surrogate pair. Each of them becomes U+FFFD. For
 * texts that come from somebody's code or from another system, where a refusal would lose more than a character.
 */
export const storable = (text: string): string => {
  const whole = text.isWellFormed() ? text : text.toWellFormed()
  return whole.includes('\0') ? whole.replaceAll('\0', '\ufffd') : whole
}
