import type { Endpoint } from '@writ/api'
import type { Fields } from '../redact/index.ts'

/**
 * What an endpoint declares of its body and query, for redaction: fields that are secrets by declaration (`writeOnly`)
 * stay as they are, because the handler needs them and no store gets them.
 */
export function declaredFields(endpoint: Pick<Endpoint, 'body' | 'query'>): Fields {
  const open = new Set<string>()
  const declared = new Set<string>()
  const look = (schema: unknown) => {
    // As JSON Schema has it; what is not there says nothing.
    const {
      properties = {},
      anyOf = [],
      then,
      else: otherwise,
    } = (schema ?? {}) as {
      properties?: Record<string, { writeOnly?: boolean }>
      anyOf?: unknown[]
      then?: unknown
      else?: unknown
    }
    for (const [name, one] of Object.entries(properties)) (one.writeOnly ? open : declared).add(name)
    for (const one of [...anyOf, then, otherwise]) if (one !== undefined) look(one)
  }
  look(endpoint.body)
  look(endpoint.query)
  return { open, declared }
}
