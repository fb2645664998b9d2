import { asSent } from '@writ/api/exact-numbers'
import { type Document, isMap, isSeq, LineCounter, type Node, parseDocument, type Scalar, stringify, visit } from 'yaml'

/** A rule set as people write it: YAML, or JSON, which is YAML too. The same file as that of `writ rules`. */
export type RuleText =
  | {
      readonly ok: true
      /** null: the text has none. */
      readonly name: string | null
      readonly definition: Record<string, unknown>
      /** The line of a place in the definition, or of what is nearest around it: `rules.0.params`. */
      lineOf(place: string): number
    }
  | { readonly ok: false; readonly why: 'syntax' | 'shape' | 'number'; readonly message: string; readonly line: number }

export function readRules(text: string): RuleText {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, intAsBigInt: true })
  const line = (offset: number | undefined) => (offset === undefined ? 1 : Math.max(1, lines.linePos(offset).line))
  const [fault] = document.errors
  if (fault) return { ok: false, why: 'syntax', message: fault.message, line: line(fault.pos[0]) }
  const altered = readNumbers(document)
  if (altered) return { ok: false, why: 'number', message: '', line: line(altered.range?.[0]) }
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 100 })
  } catch (error) {
    return { ok: false, why: 'syntax', message: error instanceof Error ? error.message : String(error), line: 1 }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { ok: false, why: 'shape', message: '', line: 1 }
  // Versions are the server's to give.
  const { name, version: _, ...definition } = value as Record<string, unknown> // checked to be an object
  return {
    ok: true,
    name: typeof name === 'string' && name !== '' ? name : null,
    definition,
    lineOf: (place) => line(offsetOf(document.contents, place === '' ? [] : place.split('.'))),
  }
}

/** Makes numbers of JavaScript of whole ones; answers the first that would be sent as another. */
function readNumbers(document: Document.Parsed): Scalar | undefined {
  let altered: Scalar | undefined
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value !== 'bigint' && typeof node.value !== 'number') return
      const value = asSent(node.value)
      if (value === undefined) {
        altered = node
        return visit.BREAK
      }
      node.value = value
    },
  })
  return altered
}

/** Where a place begins: at its key, which stands before its value. Names may have dots in them. */
function offsetOf(from: Node | null, path: readonly string[]): number | undefined {
  let at = from
  let offset = from?.range?.[0]
  for (let i = 0; i < path.length; ) {
    const next = stepInto(at, path.slice(i))
    if (next === undefined) break
    offset = next.offset ?? offset
    at = next.value
    i += next.taken
  }
  return offset
}

function stepInto(
  at: Node | null,
  rest: readonly string[],
): { value: Node | null; offset: number | undefined; taken: number } | undefined {
  if (isSeq(at)) {
    const item = at.items[Number(rest[0])] as Node | undefined // a parsed document holds nodes
    return item && { value: item, offset: item.range?.[0], taken: 1 }
  }
  if (!isMap(at)) return undefined
  for (let taken = rest.length; taken > 0; taken--) {
    const name = rest.slice(0, taken).join('.')
    const pair = at.items.find(({ key }) => String(key) === name)
    // Keys and values of a parsed document are nodes.
    if (pair) return { value: pair.value as Node | null, offset: (pair.key as Node).range?.[0], taken }
  }
  return undefined
}

/** The text of a published rule set. The server keeps it in the order of its letters; people read it in that of its meaning. */
export function writeRules(name: string, definition: Readonly<Record<string, unknown>>): string {
  const { description, rules, ...more } = definition
  const order = (rule: unknown) => {
    if (typeof rule !== 'object' || rule === null) return rule
    const { validator, files, optional, params, ...others } = rule as Record<string, unknown> // checked to be an object
    return { validator, files, optional, ...others, params }
  }
  return stringify(
    { name, description, ...more, rules: Array.isArray(rules) ? rules.map(order) : rules },
    { lineWidth: 0, keepUndefined: false },
  )
}

/** What a new text begins with. */
export const FIRST_RULES = `name: access-switch
rules:
  - validator: config_format@4
  - validator: fields@5
    files: "*.cfg"
    params:
      lines:
        forbidden: ["telnet server enable"]
`
