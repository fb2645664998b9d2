import { alteredNumber } from '@writ/api/exact-numbers'
import { usage } from './failure.ts'

/** What an option says in JSON. Throws a Failure that names the option. */
export function jsonOf(option: string, text: string, advice = `It looks like '{"name": "value"}'.`): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw usage(`${option} is no JSON`, advice)
  }
  // What was read is what is sent: the server would not see it.
  const altered = alteredNumber(text)
  if (altered !== undefined)
    throw usage(
      `${option} has a number that would not keep all its digits, at ${altered}`,
      'Write it as text, in quotes.',
    )
  return value
}

/** The same, of one that says an object. */
export function objectOf(
  option: string,
  text: string,
  { what = 'object', advice }: { readonly what?: string; readonly advice?: string } = {},
): Record<string, unknown> {
  const value = jsonOf(option, text, advice)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw usage(`${option} is no ${what}`, advice ?? `It looks like '{"name": "value"}'.`)
}
