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
  return write(value, [])
}

/** `at` is the way to the value, for refusals; one array for the whole walk, so that good values pay nothing for it. */
function write(value: unknown, at: (string | number)[]): string {
  if (at.length > MAX_DEPTH) throw new Error(`${pathOf(at).slice(0, 80)}: nested deeper than ${MAX_DEPTH}, or a cycle`)
  switch (typeof value) {
    case 'string':
      return quote(value, at)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'number':
      if (!Number.isFinite(value)) throw new Error(`${pathOf(at)}: ${value} has no JSON form`)
      // ECMAScript's own number text is the one RFC 8785 prescribes; negative zero becomes 0.
      return String(value === 0 ? 0 : value)
    case 'object':
      if (value === null) return 'null'
      return Array.isArray(value) ? writeArray(value, at) : writeObject(value, at)
    default:
      throw new Error(`${pathOf(at)}: ${typeof value} has no JSON form`)
  }
}

function writeArray(items: readonly unknown[], at: (string | number)[]): string {
  let json = '['
  for (let i = 0; i < items.length; i++) {
    at.push(i)
    json += i === 0 ? write(items[i], at) : `,${write(items[i], at)}`
    at.pop()
  }
  return `${json}]`
}

function writeObject(value: object, at: (string | number)[]): string {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) throw new Error(`${pathOf(at)}: not a plain object`)
  if (Object.getOwnPropertySymbols(value).length > 0) throw new Error(`${pathOf(at)}: a symbol key has no JSON form`)
  const keys = Object.keys(value)
  sortNames(keys)
  let json = '{'
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!
    json += i > 0 ? `,${member(key, at)}` : member(key, at)
    at.push(key)
    // A plain object's own enumerable key can be read by name.
    json += write((value as Record<string, unknown>)[key], at)
    at.pop()
  }
  return `${json}}`
}

const FEW = 24

/** RFC 8785 section 3.2.3 sorts by UTF-16 code units, which is what comparing strings does. A few are sorted sooner by insertion. */
function sortNames(keys: string[]): void {
  if (keys.length > FEW) keys.sort()
  else
    for (let i = 1; i < keys.length; i++) {
      const key = keys[i]!
      let at = i
      for (; at > 0 && keys[at - 1]! > key; at--) keys[at] = keys[at - 1]!
      keys[at] = key
    }
}

// Names of members come again with every object of their kind. Those that were given from outside do not make it grow.
const members = new Map<string, string>()
const MOST_MEMBERS = 1_000
const LONGEST_KEPT = 64

/** A name with the colon behind it. */
function member(key: string, at: readonly (string | number)[]): string {
  const known = members.get(key)
  if (known !== undefined) return known
  const text = `${quote(key, at)}:`
  if (key.length <= LONGEST_KEPT) {
    if (members.size >= MOST_MEMBERS) members.clear()
    members.set(key, text)
  }
  return text
}

function quote(text: string, at: readonly (string | number)[]): string {
  if (!text.isWellFormed()) throw new Error(`${pathOf(at)}: a lone surrogate has no UTF-8 form`)
  return JSON.stringify(text)
}

const pathOf = (at: readonly (string | number)[]): string =>
  `$${at.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('')}`
