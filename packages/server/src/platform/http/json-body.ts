import { isUtf8 } from 'node:buffer'
import { alteredNumber, alteredNumbers, endOfText } from '@writ/api/exact-numbers'
import type { FastifyBodyParser, FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../app-error.ts'
import { jsonFault } from './json-fault.ts'

/** Whoever walks through a value calls itself for each level of it, and a stack ends at some thousands. */
const MAX_DEPTH = 200

const CHARSET = /;\s*charset\s*=\s*"?([^";\s]+)/i
/** ASCII is a part of it. */
const UTF8 = new Set(['utf-8', 'utf8', 'us-ascii'])

/**
 * Reads a body as JSON; an empty one is none: many clients name a content type for a body that they do not send. What is no UTF-8 is
 * refused rather than read with replaced characters: a title in GBK would be kept as nobody typed it. So is half of a surrogate pair,
 * which JSON can write and UTF-8 cannot keep: no digest could be taken of it, and every database keeps something else. So is a number
 * that would be read as another. So are names in
 * which a value could get to what all objects share, wherever they stand, and what is nested deeper than anybody nests.
 */
export function createJsonParser(app: FastifyInstance): FastifyBodyParser<Buffer> {
  const parse = app.getDefaultJsonParser('error', 'error')
  return (request, bytes, done) => {
    if (bytes.length === 0) return done(null, undefined)
    const charset = CHARSET.exec(request.headers['content-type'] ?? '')?.[1]?.toLowerCase()
    if (charset !== undefined && !UTF8.has(charset))
      return done(
        new AppError(
          'MEDIA_TYPE_UNSUPPORTED',
          {},
          { fields: [{ path: 'headers.content-type', message: 'must have no charset, or utf-8' }] },
        ),
      )
    if (!isUtf8(bytes)) return done(refused('body', 'must be UTF-8'))
    const body = bytes.toString()
    if (depthOf(body) > MAX_DEPTH) return done(refused('body', `must be nested at most ${MAX_DEPTH} deep`))
    parse(request, body, (error, value) => {
      if (error) done(refusalIn(body))
      else done(halfIn(request, body, value) ?? alteredIn(request, body) ?? null, value)
    })
  }
}

const refused = (path: string, message: string) =>
  new AppError('VALIDATION_FAILED', {}, { fields: [{ path, message }] })

/** Why the parser took it not: where it stops being JSON, or else what is forbidden in it. */
function refusalIn(body: string): AppError {
  const fault = jsonFault(body)
  if (!fault) return refused('body', 'must have no field called __proto__, nor constructor with prototype in it')
  const { at, expected, line, column } = fault
  return new AppError(
    'BODY_INVALID',
    { at, expected },
    { fields: [{ path: 'body', message: `must have ${expected} at line ${line}, column ${column}` }] },
  )
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

const ESCAPED_HALF = /\\u[dD][89a-fA-F]/

/** In UTF-8 halves can only be escaped, so hardly any body is walked through. */
function halfIn(request: FastifyRequest, body: string, value: unknown): AppError | undefined {
  if (request.routeOptions.config.endpoint?.foreignText || !ESCAPED_HALF.test(body)) return undefined
  const path = pathOfHalf(value, 'body')
  return path === undefined ? undefined : refused(path, 'must have no half of a surrogate pair (\\ud800 to \\udfff)')
}

/** What handlers get, digests are taken of and addresses are sent is what JavaScript reads. */
function alteredIn(request: FastifyRequest, body: string): AppError | undefined {
  const all = request.routeOptions.config.endpoint?.alteredNumbers
    ? [...alteredNumbers(body)]
    : [alteredNumber(body)].filter((path) => path !== undefined)
  const path = all.find((path) => !request.routeOptions.config.endpoint?.alteredNumbers?.test(path))
  if (path !== undefined)
    return refused(`body${path}`, 'must be a number that keeps all its digits; longer ones go into text, in quotes')
  if (all.length > 0) altered.set(request, all)
  return undefined
}

const altered = new WeakMap<FastifyRequest, readonly string[]>()

/** Where numbers stood in the body that were read as others, such as `.results.0.result.id`, where the endpoint judges them itself. */
export const alteredNumbersOf = (request: FastifyRequest): readonly string[] => altered.get(request) ?? []

function pathOfHalf(body: unknown, name: string): string | undefined {
  const left: [value: unknown, path: string][] = [[body, name]]
  for (let next = left.pop(); next; next = left.pop()) {
    const [value, path] = next
    if (typeof value === 'string' && !value.isWellFormed()) return path
    if (typeof value !== 'object' || value === null) continue
    for (const [key, inner] of Object.entries(value).reverse()) {
      if (!key.isWellFormed()) return path
      left.push([inner, `${path}.${key}`])
    }
  }
  return undefined
}
