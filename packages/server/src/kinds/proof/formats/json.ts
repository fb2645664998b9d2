// JSON as RFC 8259 has it. Our own parser, because the engine's hides keys given twice, quotes the file in its messages and words
// them anew from version to version, while old evidence must re-verify to the same finding. The messages are Python's json's.
import { deepestNesting } from '../text.ts'

export interface Json {
  readonly data: unknown
  /** JSON Pointers of keys that stand twice in one object; the last one wins. At most 50. */
  readonly duplicates: string[]
}

class JsonError extends Error {}

/** Parses JSON text, or says what is wrong and where. `exact`: numbers that JavaScript would round are a bigint, or stay as written. */
export function parseJson(text: string, exact: boolean): Json | { error: string } {
  const reader = createReader(text, exact)
  try {
    const data = reader.document()
    return { data, duplicates: reader.duplicates }
  } catch (error) {
    if (error instanceof JsonError) return { error: error.message }
    throw error
  }
}

/** A key as one step of a JSON Pointer (RFC 6901). */
export function pointerPart(key: string | number): string {
  return String(key).replaceAll('~', '~0').replaceAll('/', '~1')
}

function exactly(literal: string): number | bigint | string {
  const value = Number(literal)
  if (!Number.isFinite(value)) return literal
  return Number.isSafeInteger(value) || !/^-?\d+$/.test(literal) ? value : BigInt(literal)
}

const escapes: Record<string, string> = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }
const literals = { true: true, false: false, null: null } as const

function createReader(text: string, exact: boolean) {
  let at = 0
  const path: string[] = []
  const duplicates: string[] = []

  function fail(message: string, where = at): never {
    const before = text.slice(0, where).split('\n')
    throw new JsonError(`${message}: line ${before.length} column ${(before.at(-1)?.length ?? 0) + 1} (char ${where})`)
  }

  function take(expression: RegExp): string {
    expression.lastIndex = at
    const found = expression.exec(text)?.[0] ?? ''
    at += found.length
    return found
  }

  const space = () => take(/[ \t\n\r]*/y)

  function document(): unknown {
    space()
    const data = value()
    space()
    if (at < text.length) fail('Extra data')
    return data
  }

  function value(): unknown {
    const char = text[at]
    if (char === '"') return string()
    if (char === '{') return nested(object)
    if (char === '[') return nested(array)
    for (const [word, meaning] of Object.entries(literals)) {
      if (text.startsWith(word, at)) {
        at += word.length
        return meaning
      }
    }
    const number = take(/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y)
    return number === '' ? fail('Expecting value') : exact ? exactly(number) : Number(number)
  }

  function nested(read: () => unknown): unknown {
    if (path.length >= deepestNesting) fail(`Nesting is deeper than ${deepestNesting} levels`)
    at++
    space()
    path.push('')
    const found = read()
    path.pop()
    return found
  }

  function object(): unknown {
    const entries = new Map<string, unknown>()
    if (text[at] === '}') {
      at++
      return {}
    }
    for (;;) {
      if (text[at] !== '"') fail('Expecting property name enclosed in double quotes')
      const key = string()
      path[path.length - 1] = pointerPart(key)
      if (entries.has(key) && duplicates.length < 50) duplicates.push(`/${path.join('/')}`)
      space()
      if (text[at] !== ':') fail("Expecting ':' delimiter")
      at++
      space()
      entries.set(key, value())
      space()
      if (text[at] === '}') break
      if (text[at] !== ',') fail("Expecting ',' delimiter")
      const comma = at++
      space()
      if (text[at] === '}') fail('Illegal trailing comma before end of object', comma)
    }
    at++
    // fromEntries defines own properties, so a key named __proto__ stays data.
    return Object.fromEntries(entries)
  }

  function array(): unknown {
    const items: unknown[] = []
    if (text[at] === ']') {
      at++
      return items
    }
    for (;;) {
      path[path.length - 1] = String(items.length)
      items.push(value())
      space()
      if (text[at] === ']') break
      if (text[at] !== ',') fail("Expecting ',' delimiter")
      const comma = at++
      space()
      if (text[at] === ']') fail('Illegal trailing comma before end of array', comma)
    }
    at++
    return items
  }

  function string(): string {
    const start = at++
    const parts: string[] = []
    for (;;) {
      parts.push(take(/[^"\\\u0000-\u001f]*/y))
      const char = text[at]
      if (char === undefined) fail('Unterminated string starting at', start)
      if (char === '"') {
        at++
        return parts.join('')
      }
      if (char !== '\\') fail('Invalid control character at')
      const letter = text[at + 1] ?? fail('Unterminated string starting at', start)
      if (letter === 'u') {
        const digits = text.slice(at + 2, at + 6)
        if (!/^[0-9a-fA-F]{4}$/.test(digits)) fail('Invalid \\uXXXX escape')
        parts.push(String.fromCharCode(Number.parseInt(digits, 16)))
        at += 6
      } else {
        parts.push(escapes[letter] ?? fail('Invalid \\escape'))
        at += 2
      }
    }
  }

  return { document, duplicates }
}
