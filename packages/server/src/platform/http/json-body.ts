import type { FastifyBodyParser, FastifyInstance } from 'fastify'
import { AppError } from '../app-error.ts'

/** Whoever walks through a value calls itself for each level of it, and a stack ends at some thousands. */
const MAX_DEPTH = 200

/**
 * Reads a body as JSON; an empty one is none: many clients name a content type for a body that they do not send. Names in which a value
 * could get to what all objects share are refused, wherever they stand, and what is nested deeper than anybody nests.
 */
export function createJsonParser(app: FastifyInstance): FastifyBodyParser<string> {
  const parse = app.getDefaultJsonParser('error', 'error')
  return (request, body, done) => {
    if (body === '') done(null, undefined)
    else if (depthOf(body) > MAX_DEPTH) done(refused(`must be nested at most ${MAX_DEPTH} deep`))
    else parse(request, body, (error, value) => done(error && (forbiddenIn(body) ?? error), value))
  }
}

const refused = (message: string) => new AppError('VALIDATION_FAILED', {}, { fields: [{ path: 'body', message }] })

/** Undefined if it is no JSON either. */
function forbiddenIn(body: string): AppError | undefined {
  try {
    JSON.parse(body)
  } catch {
    return undefined
  }
  return refused('must have no field called __proto__, nor constructor with prototype in it')
}

const BRACKETS = /["[\]{}]/g

/** How deep the brackets of a text of JSON stand in each other. Most bodies are too short to be deep, and are not looked at. */
function depthOf(json: string): number {
  if (json.length <= 2 * MAX_DEPTH) return 0
  let depth = 0
  let deepest = 0
  BRACKETS.lastIndex = 0
  for (let at = BRACKETS.exec(json); at !== null; at = BRACKETS.exec(json)) {
    if (at[0] === '"') BRACKETS.lastIndex = endOfText(json, at.index) + 1
    else if (at[0] === '[' || at[0] === '{') deepest = Math.max(deepest, ++depth)
    else depth--
  }
  return deepest
}

/** Where the string that begins at `start` ends: at the next quote that is not escaped. */
function endOfText(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); end !== -1; end = json.indexOf('"', end + 1)) {
    let escapes = 0
    while (json[end - 1 - escapes] === '\\') escapes++
    if (escapes % 2 === 0) return end
  }
  return json.length
}
