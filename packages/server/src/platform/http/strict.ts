import type { Endpoint } from '@writ/api'
import type { FastifyRequest } from 'fastify'
import { AppError, type FieldError } from '../app-error.ts'
import { endsEarly } from '../validation-fields.ts'

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
  fields.push(...reversedIn('query', query), ...reversedIn('body', request.body))
  return fields.length === 0 ? undefined : new AppError('VALIDATION_FAILED', {}, { fields })
}

/** Of filters: when what is looked for begins, and when it ends. */
const PERIODS = [
  ['created_after', 'created_before'],
  ['died_after', 'died_before'],
  ['since', 'until'],
] as const

/** Nothing lies in a period that ends before it begins, and who asks for it means another: an empty list would say that there is nothing. */
function reversedIn(where: string, asked: unknown): FieldError[] {
  if (typeof asked !== 'object' || asked === null) return []
  const given = asked as Record<string, unknown>
  return PERIODS.filter(
    // Compared as times; what is none is refused by its schema.
    ([from, to]) => Date.parse(String(given[to])) < Date.parse(String(given[from])),
  ).map(([from, to]) => endsEarly(`${where}.${to}`, from))
}

/** Of a command that takes none: whoever sends fields believes that they count. An empty object says nothing, and many clients send one. */
const NO_BODY = { type: ['object', 'null'], additionalProperties: false }

/** The schema of a body; undefined where the method has none, and of uploads, whose body is a stream. */
export const bodySchema = (endpoint: Endpoint): object | undefined =>
  endpoint.body ?? (endpoint.method === 'GET' || endpoint.upload ? undefined : NO_BODY)
