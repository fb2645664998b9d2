import type { FastifyBodyParser, FastifyInstance } from 'fastify'
import { AppError } from '../app-error.ts'

/** Reads a body as JSON; an empty one is none: many clients name a content type for a body that they do not send. */
export function createJsonParser(app: FastifyInstance): FastifyBodyParser<string> {
  const parse = app.getDefaultJsonParser('error', 'error')
  return (request, body, done) => {
    if (body === '') done(null, undefined)
    else parse(request, body, (error, value) => done(error && (forbiddenIn(body) ?? error), value))
  }
}

/** Names in which a value could get to what all objects share are refused, wherever they stand; undefined if it is no JSON either. */
function forbiddenIn(body: string): AppError | undefined {
  try {
    JSON.parse(body)
  } catch {
    return undefined
  }
  const message = 'must have no field called __proto__, nor constructor with prototype in it'
  return new AppError('VALIDATION_FAILED', {}, { fields: [{ path: 'body', message }] })
}
