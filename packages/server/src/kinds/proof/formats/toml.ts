// TOML 1.x. The library quotes the line in its messages; evidence may hold secrets, so only the sentence and the place are kept.
import { parse, TomlError } from 'smol-toml'
import { deepestNesting } from '../text.ts'

/** Parses TOML, or says what is wrong and where: without `exact` also that a whole number is too long for JavaScript. */
export function parseToml(text: string, exact: boolean): { data: Record<string, unknown> } | { error: string } {
  try {
    return { data: parse(text, { maxDepth: deepestNesting, ...(exact && { integersAsBigInt: 'asNeeded' }) }) }
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const sentence = (error.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '')
    return { error: `${sentence} at line ${error.line}, column ${error.column}` }
  }
}
