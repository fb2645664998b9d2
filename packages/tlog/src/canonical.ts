// JSON Canonicalization Scheme, RFC 8785: one byte string per value, so that a digest of JSON means something.

/** What `canonicalize` takes. Object values may not be undefined. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

const MAX_DEPTH = 500

/**
 * The RFC 8785 text of a value; its UTF-8 bytes are what is hashed.
 *
 * Refuses, with the path to it, what JSON cannot say exactly: undefined (also as a member or a hole), NaN and infinities,
 * big integers, functions, symbols, lone surrogates, objects of a class (dates, maps, bytes), and nesting beyond 500,
 * which cycles reach.
 */
export function canonicalize(value: Json): string {
  return write(value, '$', 0)
}

function write(value: unknown, path: string, depth: number): string {
  if (depth > MAX_DEPTH) throw new Error(`${path.slice(0, 80)}: nested deeper than ${MAX_DEPTH}, or a cycle`)
  switch (typeof value) {
    case 'string':
      return quote(value, path)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'number':
      if (!Number.isFinite(value)) throw new Error(`${path}: ${value} has no JSON form`)
      // ECMAScript's own number text is the one RFC 8785 prescribes; negative zero becomes 0.
      return String(value === 0 ? 0 : value)
    case 'object':
      if (value === null) return 'null'
      return Array.isArray(value) ? writeArray(value, path, depth) : writeObject(value, path, depth)
    default:
      throw new Error(`${path}: ${typeof value} has no JSON form`)
  }
}

function writeArray(items: readonly unknown[], path: string, depth: number): string {
  const parts: string[] = []
  for (let i = 0; i < items.length; i++) parts.push(write(items[i], `${path}[${i}]`, depth + 1))
  return `[${parts.join(',')}]`
}

function writeObject(value: object, path: string, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) throw new Error(`${path}: not a plain object`)
  if (Object.getOwnPropertySymbols(value).length > 0) throw new Error(`${path}: a symbol key has no JSON form`)
  const members = Object.entries(value)
  // RFC 8785 section 3.2.3 sorts by UTF-16 code units, which is what comparing strings does here.
  members.sort(([a], [b]) => (a < b ? -1 : 1))
  const parts = members.map(([key, member]) => `${quote(key, path)}:${write(member, `${path}.${key}`, depth + 1)}`)
  return `{${parts.join(',')}}`
}

function quote(text: string, path: string): string {
  if (!text.isWellFormed()) throw new Error(`${path}: a lone surrogate has no UTF-8 form`)
  return JSON.stringify(text)
}
