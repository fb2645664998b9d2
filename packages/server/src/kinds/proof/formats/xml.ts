// XML without document types: entities and external subsets are refused before anything is parsed, so nothing can expand or be fetched.
import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { deepestNesting } from '../text.ts'

export interface Xml {
  /** Element name to text, children or list of them; attributes carry the prefix `@`. */
  readonly data: Record<string, unknown>
  readonly root: string
}

/** Parses XML, or says what is wrong and where. */
export function parseXml(text: string): Xml | { error: string } {
  // Matched everywhere, comments included: telling a commented one from a real one is the parser's work, and it has not run yet.
  if (/<!(?:DOCTYPE|ENTITY)/i.test(text)) return { error: 'document type and entity declarations are refused' }
  if (depth(text) > deepestNesting) return { error: `nesting is deeper than ${deepestNesting} levels` }
  const verdict = XMLValidator.validate(text)
  if (verdict !== true) {
    const { msg, line } = verdict.err
    return { error: line === undefined ? msg : `${msg.replace(/\.$/, '')} at line ${line}` }
  }
  // Validated: comments and CDATA are closed, so these expressions cannot run to the end again and again.
  const unknown = /&(?!(?:amp|lt|gt|quot|apos|#[0-9]+|#x[0-9a-fA-F]+);)[^\s;<&]{0,40};?/.exec(
    text.replace(/<!--.*?-->|<!\[CDATA\[.*?\]\]>/gs, ''),
  )
  if (unknown) return { error: `entity is not defined: ${unknown[0]}` }
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: '@',
    ignoreDeclaration: true,
    ignorePiTags: true,
    parseTagValue: false,
    processEntities: false,
    maxNestedTags: deepestNesting + 1,
  })
  const data: Record<string, unknown> = parser.parse(text)
  const roots = Object.keys(data).filter((name) => name !== '#text')
  const [root] = roots
  if (root === undefined || roots.length > 1 || Array.isArray(data[root]))
    return { error: 'a document has exactly one root element' }
  return { data, root }
}

// Counts too much inside comments and CDATA, which only refuses absurd files.
function depth(text: string): number {
  let now = 0
  let deepest = 0
  for (const tag of text.matchAll(/<(\/?)[A-Za-z_:][^<>]*>/g)) {
    if (tag[1]) now--
    else if (!tag[0].endsWith('/>')) deepest = Math.max(deepest, ++now)
  }
  return deepest
}
