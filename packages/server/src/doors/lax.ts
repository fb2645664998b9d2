import type { FastifyInstance } from 'fastify'
import { createJsonParser } from '../platform/http/json-body.ts'

/**
 * How the gateway read a request. A body of a JSON type, or of none, is JSON, and any other a text that is no object. Of a parameter that
 * is repeated the last counts. Booleans and whole numbers may be other things: clients send `"3"` in a body and `backup=1` in a query, and it
 * worked. Sources: fastapi/routing.py of 0.128, starlette's `QueryParams`; docs.pydantic.dev, "Conversion Table" (lax mode).
 */
export function readAsFastApi(scope: FastifyInstance): void {
  const parse = createJsonParser(scope)
  scope.addContentTypeParser(/^application\/[^;]*\+json *(;|$)/i, { parseAs: 'buffer' }, parse)
  scope.addContentTypeParser<Buffer>('*', { parseAs: 'buffer' }, (request, body, done) => {
    if (request.headers['content-type'] === undefined) return parse(request, body, done)
    done(null, body.toString())
  })
  scope.addHook('preValidation', (request, _reply, done) => {
    const { endpoint } = request.routeOptions.config
    readLax(endpoint?.body, request.body)
    takeLast(request.query)
    readLax(endpoint?.query, request.query)
    done()
  })
}

/** None of the documented parameters is a list. */
function takeLast(query: unknown): void {
  if (typeof query !== 'object' || query === null) return
  for (const [name, value] of Object.entries(query))
    if (Array.isArray(value)) Object.assign(query, { [name]: value.at(-1) as unknown })
}

const TRUE = new Set(['1', 'true', 't', 'yes', 'y', 'on'])
const FALSE = new Set(['0', 'false', 'f', 'no', 'n', 'off'])

/** Fields of an object, by the schema of it: reads booleans and whole numbers in place, and leaves what is none for the validator. */
function readLax(schema: unknown, value: unknown): void {
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
