import type { Endpoint } from '@writ/api'

/** Fields of body and query that are secrets by declaration (`writeOnly`): a handler needs them as they are, no store gets them. */
export function secretFields(endpoint: Pick<Endpoint, 'body' | 'query'>): ReadonlySet<string> {
  const names = new Set<string>()
  const look = (schema: unknown) => {
    const { properties = {}, anyOf = [] } = (schema ?? {}) as {
      properties?: Record<string, unknown>
      anyOf?: unknown[]
    }
    for (const [name, one] of Object.entries(properties))
      if ((one as { writeOnly?: boolean }).writeOnly) names.add(name)
    for (const one of anyOf) look(one)
  }
  look(endpoint.body)
  look(endpoint.query)
  return names
}
