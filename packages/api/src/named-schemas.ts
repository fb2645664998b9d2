import * as dispatch from './dispatch.ts'
import * as events from './events.ts'
import * as insight from './insight.ts'
import * as schedules from './schedules.ts'
import * as shapes from './shapes.ts'
import * as tasks from './tasks.ts'

/** What has parts or words to choose from is worth a name; a plain text is not. */
const COMPOUND = ['properties', 'anyOf', 'allOf', 'enum'] as const

const isCompound = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && COMPOUND.some((key) => key in value)

/** Names by the schema's JSON: an optional property is a copy of the schema that it was made from. */
function namesOf(modules: readonly object[]): Map<string, string> {
  const names = new Map<string, string>()
  for (const [name, schema] of modules.flatMap((one) => Object.entries(one))) {
    // By their capitals: what begins small makes schemas.
    if (!/^[A-Z][a-z]/.test(name) || !isCompound(schema)) continue
    const json = JSON.stringify(schema)
    if (!names.has(json)) names.set(json, name)
  }
  return names
}

/**
 * The same document with each schema that this package exports under its name in `components.schemas`, so that generated clients get
 * types with names. `schemas` is filled.
 */
export function nameSchemas<T>(document: T, schemas: Record<string, unknown>): T {
  const names = namesOf([shapes, tasks, schedules, events, insight, dispatch])
  const parts = (value: object) => Object.fromEntries(Object.entries(value).map(([key, one]) => [key, named(one)]))
  function named(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(named)
    if (typeof value !== 'object' || value === null) return value
    const name = isCompound(value) ? names.get(JSON.stringify(value)) : undefined
    if (name === undefined) return parts(value)
    schemas[name] ??= parts(value)
    return { $ref: `#/components/schemas/${name}` }
  }
  return named(document) as T
}

type Operations = Record<string, Record<string, { responses: Record<string, unknown> }>>

/** Refusals that several operations give alike are written once. `responses` is filled. */
export function nameResponses(paths: Operations, responses: Record<string, unknown>): void {
  const operations = Object.values(paths).flatMap(Object.values)
  const given = operations.flatMap((one) =>
    Object.entries(one.responses)
      .filter(([status]) => Number(status) >= 400)
      .map(([status, response]) => ({ one, status, json: JSON.stringify(response) })),
  )
  for (const [json, alike] of Map.groupBy(given, (refusal) => refusal.json)) {
    if (alike.length === 1) continue
    const { status } = alike[0]!
    const before = Object.keys(responses).filter((name) => name.startsWith(`Refusal${status}`)).length
    const name = `Refusal${status}${before === 0 ? '' : `_${before + 1}`}`
    responses[name] = JSON.parse(json)
    for (const { one } of alike) one.responses[status] = { $ref: `#/components/responses/${name}` }
  }
}
