// Regular expressions written by users. RE2 runs in time linear in the text, so no pattern can hang the judge; what remains is the
// product of program and text, and both are bounded.
import { RE2JS } from 're2js'
import { Type } from 'typebox'
import type { Problem } from './problem.ts'

const longestPattern = 512
const largestProgram = 1000
export const longestSubject = 16_384

/** A regular expression in RE2 syntax (no look-around, no back-references). It must match the whole of what it is held against. */
export const PatternText = Type.String({ minLength: 1, maxLength: longestPattern })

export interface Pattern {
  readonly source: string
  /** Whether the whole text matches. Text beyond 16,384 characters never does. */
  matches(text: string): boolean
}

/** Compiles a pattern, or says why it cannot be used. */
export function compilePattern(source: string): Pattern | { refused: string } {
  if (source.length > longestPattern) return { refused: `the pattern is longer than ${longestPattern} characters` }
  try {
    const compiled = RE2JS.compile(source)
    if (compiled.programSize() > largestProgram)
      return { refused: 'the pattern is too large once its repetitions are written out' }
    return { source, matches: (text) => text.length <= longestSubject && compiled.matches(text) }
  } catch (error) {
    return { refused: error instanceof Error ? error.message : String(error) }
  }
}

/** Compiles a pattern that the definition already accepted. */
export function acceptedPattern(source: string): Pattern {
  const pattern = compilePattern(source)
  if ('refused' in pattern) throw new Error(`pattern was never examined: ${pattern.refused}`)
  return pattern
}

/** The problem with the pattern at `path`, if there is one. */
export function patternProblems(path: string, source: string): Problem[] {
  const pattern = compilePattern(source)
  return 'refused' in pattern
    ? [{ path, message: `Invalid regular expression: ${pattern.refused}`, code: 'REGEX_INVALID' }]
    : []
}
