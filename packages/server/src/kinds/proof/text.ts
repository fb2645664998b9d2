// Evidence as text. Every text validator reads at most one bounded file and refuses bytes that are not of its encoding, because a replacement
// character would make two different files look the same.
import type { Evidence } from './validator.ts'

/** 1 MiB: room for some 20,000 lines of configuration. Parsers take time linear in it; hostile YAML is the slowest, at seconds. */
const largestText = 1_048_576

/** How many levels of nesting any parsed document may have. */
export const deepestNesting = 100

export interface Text {
  readonly text: string
  readonly warnings: string[]
}

/** The encodings that evidence may be said to have. Nothing is guessed: Latin-1 passes for GB 18030, and says something else. */
export const encodings = ['utf-8', 'utf-16le', 'gb18030'] as const
export type Encoding = (typeof encodings)[number]
const encodingNames: Record<Encoding, string> = { 'utf-8': 'UTF-8', 'utf-16le': 'UTF-16', gb18030: 'GB 18030' }

/**
 * Reads a file as text of the given encoding, UTF-8 unless another is named, with a leading byte order mark removed and mentioned.
 * Refusals are sentences for the person who uploaded it.
 */
export async function readText(evidence: Evidence, encoding: Encoding = 'utf-8'): Promise<Text | { refused: string }> {
  if (evidence.size > largestText) return { refused: tooLarge(evidence.name, evidence.size) }
  const bytes = await evidence.bytes()
  if (bytes.byteLength > largestText) return { refused: tooLarge(evidence.name, bytes.byteLength) }
  try {
    const text = new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes)
    if (!text.startsWith('\uFEFF')) return { text, warnings: [] }
    return { text: text.slice(1), warnings: ['File starts with a byte order mark'] }
  } catch {
    return { refused: `File is not ${encodingNames[encoding]} text: ${evidence.name}` }
  }
}

function tooLarge(name: string, size: number): string {
  return `File is too large to be read as text: ${name} has ${size} bytes, the limit is ${largestText}`
}

/** Lines without their ends; CRLF and LF alike, and no empty line after the last end. */
export function linesOf(text: string): string[] {
  const lines = text.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line))
  if (lines.at(-1) === '') lines.pop()
  return lines
}
