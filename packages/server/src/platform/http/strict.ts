import type { Endpoint } from '@writ/api'
import type { FastifyRequest } from 'fastify'
import { AppError, type FieldError } from '../app-error.ts'

/**
 * What schemas cannot refuse, or would in words that lead nowhere: a parameter that is there twice, two ways of paging at once, a path
 * that ends where an id should be.
 */
export function refusalOfForm(request: FastifyRequest): AppError | undefined {
  const params = Object.entries((request.params ?? {}) as Record<string, string>)
  // The router takes `/tickets/` for a ticket without an id. A log's files may have an empty path.
  if (params.some(([name, value]) => value === '' && name !== '*')) return new AppError('ROUTE_NOT_FOUND')
  const query = (request.query ?? {}) as Record<string, unknown>
  const fields: FieldError[] = []
  for (const [name, value] of Object.entries(query))
    if (Array.isArray(value)) fields.push({ path: `query.${name}`, message: 'must be given once', code: 'duplicate' })
  if (query.cursor !== undefined && query.skip !== undefined && query.skip !== '0')
    fields.push({
      path: 'query.skip',
      message: 'must be left out where a cursor says what comes next',
      code: 'conflict',
    })
  return fields.length === 0 ? undefined : new AppError('VALIDATION_FAILED', {}, { fields })
}

/** Of a command that takes none: whoever sends fields believes that they count. An empty object says nothing, and many clients send one. */
const NO_BODY = { type: ['object', 'null'], additionalProperties: false }

/** The schema of a body; undefined where the method has none, and of uploads, whose body is a stream. */
export const bodySchema = (endpoint: Endpoint): object | undefined =>
  endpoint.body ?? (endpoint.method === 'GET' || endpoint.upload ? undefined : NO_BODY)
