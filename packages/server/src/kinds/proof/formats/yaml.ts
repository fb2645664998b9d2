// YAML 1.2, any number of documents. The library composes recursively and compares every key with every other, so nesting is measured
// on its token stream first and keys are compared here.
import { Composer, type CST, type Document, isScalar, LineCounter, Parser, visit } from 'yaml'
import { deepestNesting } from '../text.ts'

export interface Yaml {
  /** The document's data; an array of them when there are several; null when there is none. */
  readonly data: unknown
  readonly documents: number
  readonly warnings: string[]
}

// Enough for hand-written anchors; a "billion laughs" file needs far more.
const mostAliasUses = 100

/** Parses YAML, or says what is wrong and where. `exact`: whole numbers are bigints. */
export function parseYaml(text: string, exact: boolean): Yaml | { error: string } {
  const lines = new LineCounter()
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return `at line ${line}, column ${col}`
  }
  const tokens: CST.Token[] = []
  for (const token of new Parser(lines.addNewLine).parse(text)) {
    if (isTooDeep(token)) return { error: `nesting is deeper than ${deepestNesting} levels` }
    tokens.push(token)
  }

  const composer = new Composer({ uniqueKeys: false, prettyErrors: false, logLevel: 'silent', intAsBigInt: exact })
  const documents = [...composer.compose(tokens, true, text.length)]
  const data: unknown[] = []
  const warnings: string[] = []
  for (const document of documents) {
    const [error] = document.errors
    if (error) return { error: `${error.message} ${place(error.pos[0])}` }
    for (const warning of document.warnings.slice(0, 20)) warnings.push(`${warning.message} ${place(warning.pos[0])}`)
    const twice = duplicateKey(document)
    if (twice !== undefined) return { error: `Map keys must be unique ${place(twice)}` }
    const endless = aliasWithin(document)
    if (endless !== undefined) return { error: `an alias stands within what it repeats ${place(endless)}` }
    try {
      data.push(document.toJS({ maxAliasCount: mostAliasUses }))
    } catch (error) {
      // ReferenceError: too many alias uses, or an alias without an anchor. Anything else is a bug.
      if (error instanceof ReferenceError) return { error: error.message }
      throw error
    }
  }
  const written = documents.filter((document) => document.contents !== null).length
  return {
    data: documents.length > 1 ? data : (data[0] ?? null),
    documents: documents.length > 1 ? documents.length : written,
    warnings,
  }
}

function isTooDeep(root: CST.Token): boolean {
  const waiting: { token: CST.Token; depth: number }[] = [{ token: root, depth: 0 }]
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { token, depth } = next
    if (depth > deepestNesting) return true
    if (token.type === 'document' && token.value) waiting.push({ token: token.value, depth })
    if (!('items' in token)) continue
    for (const item of token.items) {
      if (item.key) waiting.push({ token: item.key, depth: depth + 1 })
      if (item.value) waiting.push({ token: item.value, depth: depth + 1 })
    }
  }
  return false
}

function duplicateKey(document: Document.Parsed): number | undefined {
  let offset: number | undefined
  visit(document, {
    Map(_, map) {
      const keys = new Set<string>()
      for (const { key } of map.items) {
        if (!isScalar(key)) continue
        const name = `${typeof key.value === 'bigint' ? 'number' : typeof key.value}:${String(key.value)}`
        if (keys.has(name)) {
          offset = key.range?.[0] ?? 0
          return visit.BREAK
        }
        keys.add(name)
      }
      return undefined
    },
  })
  return offset
}

/** Where an alias would make its own anchor a part of itself: no data, and nothing that reads it would come to an end. */
function aliasWithin(document: Document.Parsed): number | undefined {
  let offset: number | undefined
  visit(document, {
    Alias(_, alias, path) {
      const repeated = alias.resolve(document)
      if (!repeated || !path.includes(repeated)) return undefined
      offset = alias.range?.[0] ?? 0
      return visit.BREAK
    },
  })
  return offset
}
