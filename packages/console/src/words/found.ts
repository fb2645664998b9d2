/** A sentence of a check, as a pattern, and how another language says it: `$1` is a group as it stands, `$<rest>` a sentence within. */
export type FoundWords = readonly (readonly [pattern: RegExp, words: string])[]

/** Patterns are held against no more: what is longer is no sentence. */
const LONGEST = 4_000

/**
 * What a check says, in another language. Checks say it in English, for good: the text is evidence, and reports are compared by it.
 * What the table does not know stays as it is, as do the names, values and patterns within a sentence, and what parsers say.
 */
export function inWords(text: string, table: FoundWords): string {
  if (text.length > LONGEST) return text
  for (const [pattern, words] of table) {
    const found = pattern.exec(text)
    if (found)
      return words.replace(/\$(?:(\d)|<(\w+)>)/g, (_, place: string | undefined, name: string) =>
        place === undefined ? inWords(found.groups?.[name] ?? '', table) : (found[Number(place)] ?? ''),
      )
  }
  return text
}
