/**
 * What a handler threw, in words, for everybody who runs one. It imports nothing: `@writ/api/thrown` is loaded by processes of handlers, which
 * start often.
 */

const MOST_CAUSES = 3

/**
 * The message of an error with those of its causes, because `fetch failed` alone says nothing; its name where it has none. Of anything
 * else that can be thrown its text, or its JSON.
 */
export function thrownText(thrown: unknown): string {
  if (!(thrown instanceof Error)) return textOf(thrown)
  const texts: string[] = []
  for (let one: unknown = thrown, depth = 0; one != null && depth <= MOST_CAUSES; depth++) {
    const text = one instanceof Error ? ownText(one) : textOf(one)
    // Many an error repeats its cause already.
    if (!texts.some((before) => before.includes(text))) texts.push(text)
    one = one instanceof Error ? one.cause : undefined
  }
  return texts.join(': ')
}

/** Node says nothing of a connection that failed at every address of a name, but in its parts and its code. */
function ownText(error: Error): string {
  if (error.message !== '') return error.message
  const parts = 'errors' in error && Array.isArray(error.errors) ? error.errors.map(thrownText) : []
  if (parts.length > 0) return [...new Set(parts)].join('; ')
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

function textOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  try {
    return JSON.stringify(value) ?? Object.prototype.toString.call(value)
  } catch {
    return Object.prototype.toString.call(value)
  }
}
