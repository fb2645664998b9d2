import { usage } from './failure.ts'

/** What an option says in JSON. Throws a Failure that names the option. */
export function jsonOf(option: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw usage(`${option} is no JSON`, `It looks like '{"name": "value"}'.`)
  }
}

/** The same, of one that says an object. */
export function objectOf(option: string, text: string): Record<string, unknown> {
  const value = jsonOf(option, text)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw usage(`${option} is no object`, `It looks like '{"name": "value"}'.`)
  return { ...value }
}
