// JSON Schema of whole numbers of any length. Ajv knows the numbers of JavaScript only: it is given rounded ones, for types and shapes, and
// whatever compares a value looks at the exact one at the same place.
import { _, type Ajv, type FuncKeywordDefinition } from 'ajv'
import type { KeywordErrorCxt } from 'ajv/dist/types/index.js'

/** The data with rounded numbers for those that are a bigint; the very same where there is none. */
export function withoutLong(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    const items = value.map(withoutLong)
    return items.some((item, i) => item !== value[i]) ? items : value
  }
  const entries = Object.entries(value).map(([key, inner]) => [key, withoutLong(inner), inner] as const)
  // fromEntries defines own properties, so a key named __proto__ stays data.
  return entries.some(([, now, before]) => now !== before)
    ? Object.fromEntries(entries.map(([key, now]) => [key, now]))
    : value
}

type Numeric = bigint | number
interface Exact {
  readonly exact: unknown
}
interface Place {
  readonly instancePath: string
}

/** Another meaning of a keyword that Ajv knows. */
export function replaceKeyword(ajv: Ajv, definition: FuncKeywordDefinition & { readonly keyword: string }): void {
  ajv.removeKeyword(definition.keyword)
  ajv.addKeyword(definition)
}

/** Replaces what compares values. Validators of it are called with `{ exact }` as their `this`. */
export function withExactNumbers(ajv: Ajv): Ajv {
  // The schema was examined by another instance; as data of the meta-schema it has no context.
  ajv.opts.validateSchema = false
  const compares = {
    minimum: ['>=', (value: Numeric, limit: Numeric) => value >= limit],
    maximum: ['<=', (value: Numeric, limit: Numeric) => value <= limit],
    exclusiveMinimum: ['>', (value: Numeric, limit: Numeric) => value > limit],
    exclusiveMaximum: ['<', (value: Numeric, limit: Numeric) => value < limit],
  } as const
  for (const [keyword, [sign, holds]] of Object.entries(compares))
    replaceKeyword(ajv, {
      keyword,
      type: 'number',
      schemaType: 'number',
      error: { message: ({ schema }: KeywordErrorCxt) => `must be ${sign} ${schema}` },
      validate(this: unknown, limit: number, data: number, _parent: unknown, place?: Place) {
        const value = exactAt(this, place)
        return typeof value === 'bigint' ? holds(value, written(limit)) : holds(data, limit)
      },
    })
  replaceKeyword(ajv, {
    keyword: 'multipleOf',
    type: 'number',
    schemaType: 'number',
    error: { message: ({ schema }: KeywordErrorCxt) => `must be multiple of ${schema}` },
    validate(this: unknown, of: number, data: number, _parent: unknown, place?: Place) {
      const value = exactAt(this, place)
      return typeof value === 'bigint' ? isMultiple(value, of) : Number.isInteger(data / of)
    },
  })
  const exactly = (context: unknown, data: unknown, place: Place | undefined) =>
    // Names of properties stand at the place of their object.
    keyOf(typeof data === 'string' ? data : exactAt(context, place))
  replaceKeyword(ajv, {
    keyword: 'const',
    error: { message: 'must be equal to constant' },
    validate(this: unknown, wanted: unknown, data: unknown, _parent: unknown, place?: Place) {
      return exactly(this, data, place) === keyOf(wanted)
    },
  })
  replaceKeyword(ajv, {
    keyword: 'enum',
    schemaType: 'array',
    error: {
      message: 'must be equal to one of the allowed values',
      params: ({ schemaCode }: KeywordErrorCxt) => _`{allowedValues: ${schemaCode}}`,
    },
    validate(this: unknown, allowed: unknown[], data: unknown, _parent: unknown, place?: Place) {
      const value = exactly(this, data, place)
      return allowed.some((one) => keyOf(one) === value)
    },
  })
  replaceKeyword(ajv, {
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    error: { message: 'must NOT have duplicate items' },
    validate(this: unknown, unique: boolean, _data: unknown[], _parent: unknown, place?: Place) {
      const items = exactAt(this, place) as unknown[]
      return !unique || new Set(items.map(keyOf)).size === items.length
    },
  })
  return ajv
}

/** Ajv hands the context and the place on to every keyword; its types do not say so. */
function exactAt(context: unknown, place: Place | undefined): unknown {
  let value = (context as Exact).exact
  for (const step of place!.instancePath.split('/').slice(1))
    value = (value as Record<string, unknown>)[step.replaceAll('~1', '/').replaceAll('~0', '~')]
  return value
}

/** What a number of a schema was written as, if it is a whole one that JavaScript cannot count to. */
function written(number: number): Numeric {
  if (!Number.isInteger(number) || Number.isSafeInteger(number)) return number
  return Math.abs(number) < 1e21 ? BigInt(String(number)) : BigInt(number)
}

/** `of` is a decimal: as a fraction of whole numbers nothing is rounded. */
function isMultiple(value: bigint, of: number): boolean {
  const [, whole, fraction = '', exponent = '0'] = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(of)) ?? []
  if (whole === undefined) return false
  const places = fraction.length - Number(exponent)
  const digits = BigInt(whole + fraction)
  return places > 0 ? (value * 10n ** BigInt(places)) % digits === 0n : value % (digits * 10n ** BigInt(-places)) === 0n
}

/** Equal values are equal texts, in whatever order their keys stand. */
function keyOf(value: unknown): string {
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'number') return String(written(value))
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return `[${value.map(keyOf).join(',')}]`
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${keyOf(inner)}`).join(',')}}`
}
