import { asSent } from '@writ/api/exact-numbers'
import type { Document } from 'yaml'
import { usage } from './failure.ts'

/**
 * What a file in YAML or JSON says, as it is sent in JSON. Throws a usage failure where it is no YAML, and where it has a number that would
 * be sent as another.
 */
export async function yamlOf(file: string, text: string): Promise<unknown> {
  // Few commands read such a file, and it is a tenth of what the others cost.
  const { isScalar, LineCounter, parseDocument, visit } = await import('yaml')
  const lines = new LineCounter()
  const parsed: Document.Parsed = parseDocument(text, { prettyErrors: true, intAsBigInt: true, lineCounter: lines })
  const [problem] = parsed.errors
  if (problem) throw usage(`${file}: ${problem.message.split('\n')[0]}`, 'Correct the file.')
  visit(parsed, {
    Scalar(_, node) {
      if (!isScalar(node) || (typeof node.value !== 'bigint' && typeof node.value !== 'number')) return
      const value = asSent(node.value)
      if (value === undefined)
        throw usage(
          `${file} has a number that would not keep all its digits, at line ${lines.linePos(node.range?.[0] ?? 0).line}`,
          'Write it as text, in quotes.',
        )
      node.value = value
    },
  })
  return parsed.toJS({ maxAliasCount: 100 })
}
