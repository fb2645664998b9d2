import { LINE_CONTROLS, patternWords } from '@writ/api'
import { numberOf } from '@writ/api/hidden'
import type { FieldError } from './app-error.ts'

/** A fault as Ajv reports it. */
export interface ValidationFault {
  readonly instancePath?: string
  readonly keyword?: string
  readonly message?: string
  readonly params?: Record<string, unknown>
  /** What was looked at, where the validator says so. */
  readonly data?: unknown
}

/** What validators found, in words for who asked: one entry for each field, below `where`. */
export function fieldsOf(where: string, faults: readonly ValidationFault[]): FieldError[] {
  // A union reports each branch and then itself; the branches' own faults say more, together.
  // Where something may be null and is not, what is wrong inside of it is meant, not that it is there.
  const telling =
    faults.length > 1
      ? faults.filter((fault) => !UNIONS.has(fault.keyword ?? '') && !(isNoNull(fault) && isToldDeeper(fault, faults)))
      : faults
  const told = new Map<string, FieldError>()
  for (const fault of telling.length > 0 ? telling : faults) {
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

/** What these say of a value, its parts say better. */
const UNIONS: ReadonlySet<string> = new Set(['anyOf', 'oneOf', 'if', 'propertyNames'])

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
  uuid: 'a UUID',
  date: 'a date, such as 2026-05-17',
  time: 'a time of day with its zone, such as 09:30:00Z',
  duration: 'a duration as in ISO 8601, such as PT15M',
  ipv4: 'an IPv4 address',
  ipv6: 'an IPv6 address',
  hostname: 'a host name',
  regex: 'a regular expression',
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
  exclusiveMinimum: 'be more than #',
  exclusiveMaximum: 'be less than #',
}

/** What others say of them is about the schema, which who asked has not seen. */
const SENTENCES: Record<string, string> = {
  uniqueItems: 'must name nothing twice',
  not: 'must be something else: what is there is excluded',
  oneOf: 'must fit one of the shapes that are allowed, and only one',
  anyOf: 'must fit one of the shapes that are allowed',
  if: 'must fit what its other fields ask for',
  contains: 'must have an item that is asked for',
  unevaluatedItems: 'must have no further items',
  unevaluatedProperties: 'must have no further fields',
  items: 'must have no further items',
  propertyNames: 'must have no fields with other names than are allowed',
  'false schema': 'must be left out',
  boolean: 'must be left out',
}

/** Which character that is not seen a text has that may have none: who typed it sees none either. */
function hiddenIn(asked: string, text: unknown): string {
  const one = asked.endsWith('hidden characters') && typeof text === 'string' ? FORBIDDEN.exec(text)?.[0] : undefined
  return one === undefined ? '' : `: ${numberOf(one)} is in it`
}
const FORBIDDEN = new RegExp(`[${LINE_CONTROLS}]`, 'u')

function detail(fault: ValidationFault): string {
  if (fault.keyword === 'minLength' && fault.params?.limit === 1) return 'must not be empty'
  const format = FORMATS[String(fault.params?.format)]
  if (fault.keyword === 'format' && format) return `must be ${format}`
  const bound = BOUNDS[fault.keyword ?? '']
  if (bound) {
    const limit = Number(fault.params?.limit)
    return `must ${(limit === 1 ? bound.replace(/s$/, '') : bound).replace('#', String(limit))}`
  }
  const sentence = SENTENCES[fault.keyword ?? '']
  if (sentence) return sentence
  if (fault.keyword === 'multipleOf') return `must be a multiple of ${String(fault.params?.multipleOf)}`
  if (fault.keyword === 'const' && fault.params && 'allowedValue' in fault.params)
    return `must be ${JSON.stringify(fault.params.allowedValue)}`
  if (/^dependen(?:cies|tRequired)$/.test(fault.keyword ?? '')) {
    const { deps, dependencies = deps, property } = fault.params ?? {}
    return `must have ${[dependencies].flat().join(', ')} beside ${String(property)}`
  }
  const asked = patternWords.get(String(fault.params?.pattern))
  if (fault.keyword === 'pattern' && asked) return `must be ${asked}${hiddenIn(asked, fault.data)}`
  const allowed = fault.params?.allowedValues
  return Array.isArray(allowed) ? `must be one of ${allowed.join(', ')}` : (fault.message ?? 'invalid')
}

/** The fault of a field that says an end before its beginning, which the field `from` says. */
export const endsEarly = (path: string, from: string): FieldError => ({
  path,
  message: `must not be earlier than ${from}`,
  code: 'reversed',
})
