import { auditEvents } from '@writ/api'
import { nearest } from '@writ/api/nearest'
import { AppError } from '../platform/app-error.ts'

// A type that there is not finds nothing and is never told of: whoever misspelt one would take the silence for an answer.

const types = Object.keys(auditEvents)
const groups = [...new Set(types.map((type) => type.slice(0, type.indexOf('.'))))]

/** Refuses a type of event that there is not, as VALIDATION_FAILED at `field`, and names those that may be meant. */
export function requireEventType(field: string, type: string): void {
  if (!types.includes(type)) throw invalid(field, missing(type))
}

/** As `requireEventType`, for patterns: types, groups such as `run.*`, or `*` for everything. */
export function requireEventPatterns(field: string, patterns: readonly string[]): void {
  const fault = faultOfPatterns(patterns)
  if (fault !== undefined) throw invalid(field, fault)
}

/** What is wrong with the first pattern that covers no event, or undefined. */
export function faultOfPatterns(patterns: readonly string[]): string | undefined {
  const unknown = patterns.find((one) =>
    one.endsWith('.*') ? !groups.includes(one.slice(0, -2)) : one !== '*' && !types.includes(one),
  )
  return unknown === undefined ? undefined : missing(unknown)
}

const invalid = (path: string, message: string) =>
  new AppError('VALIDATION_FAILED', {}, { fields: [{ path, message, code: 'event_type' }] })

function missing(asked: string): string {
  const near = nearest(asked, types)
  if (near !== undefined) return `there is no event "${asked}"; did you mean ${near}?`
  const group = asked.split('.', 1)[0]!
  const like = types.filter((type) => type.startsWith(`${group}.`))
  return like.length > 0
    ? `there is no event "${asked}"; of ${group} there are ${like.join(', ')}`
    : `there is no event "${asked}"; there are those of ${groups.join(', ')}`
}
