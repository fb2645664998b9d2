import { errors, type Problem, retryable } from '@writ/api'
import { AppError } from '../app-error.ts'
import { DatabaseConflict, DatabaseUnavailable, TextRefused } from '../db/index.ts'
import { fieldsOf, type ValidationFault } from '../validation-fields.ts'

/** Errors of other layers that have a place in the table; each says when it is meant. */
export type Recognise = (error: unknown) => AppError | undefined

/** How bodies may be packed. */
const CODINGS = 'gzip, deflate, br, identity'

/** Problems whose detail says as well what is wrong in the first place that they name. */
const TELLING = new Set(['VALIDATION_FAILED', 'BODY_INVALID', 'MEDIA_TYPE_UNSUPPORTED'])

// https://fastify.dev/docs/latest/Reference/Errors/
const FASTIFY: Record<string, () => AppError> = {
  FST_ERR_CTP_INVALID_JSON_BODY: () => new AppError('BODY_INVALID'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () => new AppError('BODY_INVALID'),
  FST_ERR_CTP_BODY_TOO_LARGE: () => new AppError('BODY_TOO_LARGE'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => new AppError('MEDIA_TYPE_UNSUPPORTED'),
  // Of @fastify/compress, which unpacks bodies.
  FST_CP_ERR_INVALID_CONTENT: () =>
    new AppError(
      'BODY_INVALID',
      {},
      { fields: [{ path: 'body', message: 'must be packed as Content-Encoding says' }] },
    ),
  FST_CP_ERR_INVALID_CONTENT_ENCODING: () =>
    new AppError(
      'MEDIA_TYPE_UNSUPPORTED',
      {},
      {
        fields: [{ path: 'headers.content-encoding', message: `must be one of ${CODINGS}` }],
        headers: { 'accept-encoding': CODINGS },
      },
    ),
  FST_ERR_BAD_URL: () => new AppError('ROUTE_NOT_FOUND'),
  FST_ERR_MAX_PARAM_LENGTH: () => new AppError('ROUTE_NOT_FOUND'),
}

/** The refusal that an error is, or undefined for a bug. */
export function refusalOf(error: unknown, recognise: Recognise): AppError | undefined {
  if (error instanceof AppError) return error
  if (error instanceof DatabaseUnavailable || error instanceof DatabaseConflict)
    return new AppError('DATABASE_UNAVAILABLE', {}, { cause: error, headers: { 'retry-after': '1' } })
  // In paths and queries it is refused before (`nulIn`); a body may hold one, as the input of a task does.
  if (error instanceof TextRefused)
    return new AppError('VALIDATION_FAILED', {}, { fields: [{ path: 'body', message: 'must hold no character 0' }] })
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

/** Whether a client went away before it had sent its whole body: no fault of the server's, and nobody is left to be answered. */
export const isCutOff = (request: {
  readonly raw: { readonly destroyed: boolean; readonly complete: boolean }
}): boolean => request.raw.destroyed && !request.raw.complete

/** RFC 9457 problem details of a refusal. */
export function problemOf(
  refusal: AppError,
  at: { url: string; requestId: string /** See `basePathOf`. */; basePath?: string },
): Problem {
  const { basePath = '' } = at
  const first = refusal.fields[0]
  const detailText =
    first && TELLING.has(refusal.code) ? `${refusal.message} ${first.path}: ${first.message}` : refusal.message
  return {
    type: `${basePath}/docs/errors#${refusal.code}`,
    // The same for every problem of its type, so without what is particular to this one.
    title: errors[refusal.code].text.replace(/\{\w+\}/g, '…'),
    status: refusal.status,
    detail: detailText,
    instance: basePath + at.url.split('?')[0]!,
    code: refusal.code,
    request_id: at.requestId,
    retryable: retryable.has(refusal.code),
    ...(refusal.fields.length > 0 ? { errors: refusal.fields.map((field) => ({ ...field })) } : {}),
  }
}
