import { errors, type Problem, patternWords, retryable } from '@writ/api'
import { AppError, type FieldError } from '../app-error.ts'
import { DatabaseConflict, DatabaseUnavailable } from '../db/index.ts'

interface ValidationFault {
  readonly instancePath?: string
  readonly keyword?: string
  readonly message?: string
  readonly params?: Record<string, unknown>
}

/** Errors of other layers that have a place in the table; each says when it is meant. */
export type Recognise = (error: unknown) => AppError | undefined

// https://fastify.dev/docs/latest/Reference/Errors/
const FASTIFY: Record<string, () => AppError> = {
  FST_ERR_CTP_INVALID_JSON_BODY: () => new AppError('BODY_INVALID'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () => new AppError('BODY_INVALID'),
  FST_ERR_CTP_BODY_TOO_LARGE: () => new AppError('BODY_TOO_LARGE'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => new AppError('MEDIA_TYPE_UNSUPPORTED'),
  FST_ERR_BAD_URL: () => new AppError('ROUTE_NOT_FOUND'),
  FST_ERR_MAX_PARAM_LENGTH: () => new AppError('ROUTE_NOT_FOUND'),
  FST_INVALID_MULTIPART_CONTENT_TYPE: () => new AppError('FILE_MISSING'),
}

/** The refusal that an error is, or undefined for a bug. */
export function refusalOf(error: unknown, recognise: Recognise): AppError | undefined {
  if (error instanceof AppError) return error
  if (error instanceof DatabaseUnavailable || error instanceof DatabaseConflict)
    return new AppError('DATABASE_UNAVAILABLE', {}, { cause: error, headers: { 'retry-after': '1' } })
  const known = recognise(error)
  if (known || !(error instanceof Error)) return known
  if ('validation' in error && Array.isArray(error.validation)) {
    const context = 'validationContext' in error ? String(error.validationContext) : 'body'
    // As the API says it everywhere else; "querystring" is a word of the framework.
    const where = context === 'querystring' ? 'query' : context
    return new AppError('VALIDATION_FAILED', {}, { fields: fieldsOf(where, error.validation as ValidationFault[]) })
  }
  const code = 'code' in error ? String(error.code) : ''
  if (error instanceof SyntaxError && 'statusCode' in error && error.statusCode === 400)
    return new AppError('BODY_INVALID')
  return FASTIFY[code]?.()
}

function fieldsOf(where: string, faults: readonly ValidationFault[]): FieldError[] {
  // A union reports each branch and then itself; the branches' own faults say more, together.
  // Where something may be null and is not, what is wrong inside of it is meant, not that it is there.
  const telling =
    faults.length > 1
      ? faults.filter((fault) => fault.keyword !== 'anyOf' && !(isNoNull(fault) && isToldDeeper(fault, faults)))
      : faults
  const told = new Map<string, FieldError>()
  for (const fault of telling) {
    const property = fault.params?.missingProperty ?? fault.params?.additionalProperty
    const path = `${where}${(fault.instancePath ?? '').replace(/\//g, '.')}${property === undefined ? '' : `.${String(property)}`}`
    const message =
      fault.keyword === 'additionalProperties'
        ? 'unknown field'
        : fault.keyword === 'required'
          ? 'required'
          : detail(fault)
    const before = told.get(path)
    if (!before) told.set(path, { path, message, code: fault.keyword })
    else if (!before.message.includes(message))
      told.set(path, { ...before, message: `${before.message}, or ${message.replace(/^must be /, '')}` })
  }
  return [...told.values()]
}

const isNoNull = ({ keyword, params }: ValidationFault) => keyword === 'type' && params?.type === 'null'

const isToldDeeper = ({ instancePath = '' }: ValidationFault, faults: readonly ValidationFault[]) =>
  faults.some((other) => {
    const inside = (other.instancePath ?? '').startsWith(`${instancePath}/`)
    return (
      inside || (other.instancePath === instancePath && /^(required|additionalProperties)$/.test(other.keyword ?? ''))
    )
  })

const FORMATS: Record<string, string> = {
  'date-time': 'a time as in RFC 3339, such as 2026-05-17T09:30:00Z',
  email: 'an e-mail address',
  uri: 'a URL',
}

// What the validator says of them otherwise: "must NOT have more than 255 characters", "must be >= 1".
const BOUNDS: Record<string, string> = {
  maxLength: 'have at most # characters',
  minLength: 'have at least # characters',
  maxItems: 'have at most # items',
  minItems: 'have at least # items',
  maxProperties: 'have at most # fields',
  minProperties: 'have at least # fields',
  minimum: 'be at least #',
  maximum: 'be at most #',
}

function detail(fault: ValidationFault): string {
  if (fault.keyword === 'minLength' && fault.params?.limit === 1) return 'must not be empty'
  const format = FORMATS[String(fault.params?.format)]
  if (fault.keyword === 'format' && format) return `must be ${format}`
  const bound = BOUNDS[fault.keyword ?? '']
  if (bound) {
    const limit = Number(fault.params?.limit)
    return `must ${(limit === 1 ? bound.replace(/s$/, '') : bound).replace('#', String(limit))}`
  }
  const asked = patternWords.get(String(fault.params?.pattern))
  if (fault.keyword === 'pattern' && asked) return `must be ${asked}`
  const allowed = fault.params?.allowedValues
  return Array.isArray(allowed) ? `must be one of ${allowed.join(', ')}` : (fault.message ?? 'invalid')
}

/** RFC 9457 problem details of a refusal. */
export function problemOf(refusal: AppError, at: { url: string; requestId: string }): Problem {
  const first = refusal.fields[0]
  const detailText =
    refusal.code === 'VALIDATION_FAILED' && first
      ? `${refusal.message} ${first.path}: ${first.message}`
      : refusal.message
  return {
    type: `/docs/errors#${refusal.code}`,
    // The same for every problem of its type, so without what is particular to this one.
    title: errors[refusal.code].text.replace(/\{\w+\}/g, '…'),
    status: refusal.status,
    detail: detailText,
    instance: at.url.split('?')[0]!,
    code: refusal.code,
    request_id: at.requestId,
    retryable: retryable.has(refusal.code),
    ...(refusal.fields.length > 0 ? { errors: refusal.fields.map((field) => ({ ...field })) } : {}),
  }
}
