const words = new Map<string, string>()

/** What each pattern of a schema asks for, by its source: a refusal says "must be a UUID", not the expression. */
export const patternWords: ReadonlyMap<string, string> = words

/** A pattern, and what a text that fits it is. */
export function meaning(inWords: string, pattern: string): string {
  words.set(pattern, inWords)
  return pattern
}

const ids = new Set<string>()

/** The patterns of ids, in small letters, as they are answered. Servers take them in whatever case. */
export const idPatterns: ReadonlySet<string> = ids

/** As `meaning`, of what is an id, or may be one. */
export function idMeaning(inWords: string, pattern: string): string {
  ids.add(pattern)
  return meaning(inWords, pattern)
}

/**
 * Inside of a class: what is not seen, or makes other letters be seen elsewhere than they stand (CVE-2021-42574). No name has them. Marks of
 * direction, joiners and variation selectors are taken: several scripts, and emoji, are written with them.
 */
export const HIDDEN = '\\u00ad\\u200b\\u202a-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\u{e0000}-\\u{e007f}'
/** The same of one line: with what ends it or cannot be printed. */
export const LINE_CONTROLS = `\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029${HIDDEN}`
/** The same of text in several lines, which has tabs and line breaks. */
export const TEXT_CONTROLS = '\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f'
/** Inside of a class: spaces of every width, and characters that show nothing at all. Listed, because not every validator of schemas means the same by \\s. */
export const BLANK =
  ' \\u00a0\\u00ad\\u034f\\u115f\\u1160\\u1680\\u180e\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u2800\\u3000\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0'

/** The same of one line, without what no line has. */
export const LINE_BLANK =
  ' \\u00a0\\u034f\\u115f\\u1160\\u1680\\u180e\\u2000-\\u200a\\u200c-\\u200f\\u202f\\u205f\\u2800\\u3000\\u3164\\ufe00-\\ufe0f\\uffa0'

export const HTTP_URL = meaning('an address that begins with http:// or https://', '^https?://')
/** Whatever language a customer's name is in; nothing that cannot be seen, so that two that look alike are one. */
export const KEY = meaning(
  'text in one line, without control characters',
  '^[^\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ud800-\\udfff\\ufeff]+$',
)
export const PRINTABLE = meaning('printable ASCII', '^[\\u0020-\\u007e]+$')
export const HANDLER_NAME = meaning(
  '1 to 100 letters, digits, _, . and -, a letter or _ first',
  '^[A-Za-z_][A-Za-z0-9_.-]{0,99}$',
)
export const EVENT_PATTERN = meaning('an event type, a group such as run.*, or *', '^(\\*|[a-z_]+\\.(\\*|[a-z_]+))$')
