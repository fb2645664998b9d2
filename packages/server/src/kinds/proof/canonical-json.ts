/**
 * JSON with keys in UTF-16 order and no blanks, so that equal values are equal texts (RFC 8785 for the values that parsers give). Not tlog's
 * `canonicalize`: that refuses what evidence may hold, such as half a surrogate pair, and a published validator says the same for ever.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonicalJson(inner)}`).join(',')}}`
}
