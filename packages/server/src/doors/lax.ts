/**
 * What the gateway took for a boolean or a whole number: clients send `"3"` in a body and `backup=1` in a query, and it worked. Source:
 * docs.pydantic.dev, "Conversion Table" (lax mode).
 */

const TRUE = new Set(['1', 'true', 't', 'yes', 'y', 'on'])
const FALSE = new Set(['0', 'false', 'f', 'no', 'n', 'off'])

/** Fields of an object, by the schema of it: reads booleans and whole numbers in place, and leaves what is none for the validator. */
export function readLax(schema: unknown, value: unknown): void {
  const properties = (schema as { properties?: Record<string, { type?: unknown }> } | undefined)?.properties
  if (!properties || typeof value !== 'object' || value === null) return
  const fields = value as Record<string, unknown>
  for (const [name, { type }] of Object.entries(properties)) {
    if (!Object.hasOwn(fields, name)) continue
    const types = [type].flat()
    if (types.includes('boolean')) fields[name] = booleanOf(fields[name])
    else if (types.includes('integer')) fields[name] = integerOf(fields[name])
  }
}

function booleanOf(value: unknown): unknown {
  if (value === 1 || value === 0) return value === 1
  if (typeof value !== 'string') return value
  const word = value.toLowerCase()
  return TRUE.has(word) ? true : FALSE.has(word) ? false : value
}

function integerOf(value: unknown): unknown {
  if (typeof value === 'boolean') return value ? 1 : 0
  if (typeof value !== 'string' || !/^\s*[+-]?\d{1,15}(\.0+)?\s*$/.test(value)) return value
  return Number(value)
}
