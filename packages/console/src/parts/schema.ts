/** What a JSON Schema asks for, as far as a form can ask for it. Pure: a handler's contract in, the kind of field out. */

import { alteredNumber } from '@writ/api/exact-numbers'

export type Schema = Readonly<Record<string, unknown>>

export type Shape =
  | { readonly kind: 'text'; readonly secret: boolean; readonly long: boolean; readonly language?: TextLanguage }
  | { readonly kind: 'number'; readonly whole: boolean; readonly min?: number; readonly max?: number }
  | { readonly kind: 'flag' }
  | { readonly kind: 'choice'; readonly values: readonly (string | number | boolean)[] }
  | { readonly kind: 'list'; readonly of: Schema }
  | { readonly kind: 'fields'; readonly fields: readonly Field[] }
  /** Anything else: written as JSON. */
  | { readonly kind: 'json' }

/** Languages in which an editor shows text. */
export type TextLanguage = 'json' | 'yaml' | 'python' | 'javascript' | 'typescript'

/** What `contentMediaType` of a text says it is (JSON Schema 2020-12, validation, 8.4). */
const languages: Readonly<Record<string, TextLanguage>> = {
  'application/json': 'json',
  'application/yaml': 'yaml',
  'text/x-python': 'python',
  'text/javascript': 'javascript',
  'text/typescript': 'typescript',
}

export interface Field {
  readonly name: string
  readonly schema: Schema
  readonly required: boolean
}

/** Text in a JSON field that is no JSON yet, or would be read otherwise than it is written. It is never sent. */
export class Unparsed {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** What a text of JSON says, unless somebody has to look at it again. */
export function parsedOf(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    return alteredNumber(text) === undefined ? value : new Unparsed(text)
  } catch {
    return new Unparsed(text)
  }
}

const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const number = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined)
const isNull = (schema: Schema) => schema.type === 'null' || schema.const === null
const isPlain = (value: unknown): value is string | number | boolean =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'

/** The schema without null among its choices: to leave a field out is to say null. */
function withoutNull(schema: Schema): Schema {
  const choices = [schema.anyOf, schema.oneOf].find(Array.isArray) as unknown[] | undefined
  if (choices) {
    const rest = choices.filter((one) => isSchema(one) && !isNull(one)) as Schema[]
    // The description stands beside the choices.
    if (rest.length === 1 && rest[0]) return { ...withoutNull(rest[0]), ...described(schema) }
    if (rest.length > 1 && rest.every((one) => isPlain(one.const)))
      return { enum: rest.map((one) => one.const), ...described(schema) }
    return schema
  }
  if (Array.isArray(schema.type)) {
    const rest = schema.type.filter((one) => one !== 'null')
    if (rest.length === 1) return { ...schema, type: rest[0] }
  }
  return schema
}

const described = ({ description, title }: Schema): Schema => ({
  ...(description === undefined ? {} : { description }),
  ...(title === undefined ? {} : { title }),
})

/** What is said of a field beside its name. */
export const descriptionOf = (schema: Schema): string | undefined =>
  typeof schema.description === 'string' ? schema.description : undefined

export function shapeOf(given: Schema): Shape {
  const schema = withoutNull(given)
  if (isPlain(schema.const)) return { kind: 'choice', values: [schema.const] }
  if (Array.isArray(schema.enum)) {
    const values = schema.enum.filter(isPlain)
    return values.length > 0 ? { kind: 'choice', values } : { kind: 'json' }
  }
  switch (schema.type) {
    case 'string':
      return {
        kind: 'text',
        secret: schema.writeOnly === true,
        long: schema.pattern === undefined && schema.format === undefined && (number(schema.maxLength) ?? 1e9) > 500,
        ...(typeof schema.contentMediaType === 'string' && languages[schema.contentMediaType]
          ? { language: languages[schema.contentMediaType]! }
          : {}),
      }
    case 'number':
    case 'integer': {
      const min = number(schema.minimum)
      const max = number(schema.maximum)
      return {
        kind: 'number',
        whole: schema.type === 'integer',
        ...(min === undefined ? {} : { min }),
        ...(max === undefined ? {} : { max }),
      }
    }
    case 'boolean':
      return { kind: 'flag' }
    case 'array':
      return isSchema(schema.items) ? { kind: 'list', of: schema.items } : { kind: 'json' }
    case 'object': {
      if (!isSchema(schema.properties)) return { kind: 'json' }
      const required = Array.isArray(schema.required) ? schema.required : []
      return {
        kind: 'fields',
        fields: Object.entries(schema.properties).map(([name, one]) => ({
          name,
          schema: isSchema(one) ? one : {},
          required: required.includes(name),
        })),
      }
    }
    default:
      return { kind: 'json' }
  }
}

/** What a field holds before anybody wrote into it; undefined is left out. */
export function blankOf(schema: Schema, required: boolean): unknown {
  if (schema.default !== undefined) return schema.default
  if (!required) return undefined
  const shape = shapeOf(schema)
  switch (shape.kind) {
    case 'fields':
      return Object.fromEntries(
        shape.fields
          .map((field) => [field.name, blankOf(field.schema, field.required)] as const)
          .filter(([, value]) => value !== undefined),
      )
    case 'list':
      return []
    case 'flag':
      return false
    case 'choice':
      return shape.values.length === 1 ? shape.values[0] : undefined
    default:
      return undefined
  }
}

/** Whether something in it is not JSON yet. */
export function isUnparsed(value: unknown): boolean {
  if (value instanceof Unparsed) return true
  if (Array.isArray(value)) return value.some(isUnparsed)
  return typeof value === 'object' && value !== null && Object.values(value).some(isUnparsed)
}

/** The value with what is secret by its schema replaced by the field's name in angle brackets, for texts that are copied. */
export const withoutSecrets = (schema: Schema | null, value: unknown): unknown =>
  replaceSecrets(schema, value, (name) => `<${name}>`, 'secret')

/** The value without what is secret by its schema, for what is kept. */
export const leavingOutSecrets = (schema: Schema | null, value: unknown): unknown =>
  replaceSecrets(schema, value, () => undefined, 'secret')

function replaceSecrets(schema: Schema | null, value: unknown, by: (name: string) => unknown, name: string): unknown {
  if (schema === null || value === undefined || value === null) return value
  if (schema.writeOnly === true) return by(name)
  const shape = shapeOf(schema)
  if (shape.kind === 'list' && Array.isArray(value)) return value.map((one) => replaceSecrets(shape.of, one, by, name))
  if (shape.kind === 'fields' && isSchema(value)) {
    const known = new Map(shape.fields.map((field) => [field.name, field.schema]))
    return Object.fromEntries(
      Object.entries(value)
        .map(([key, one]) => [key, replaceSecrets(known.get(key) ?? null, one, by, key)])
        .filter(([, one]) => one !== undefined),
    )
  }
  // One of several shapes: what any of them calls secret is.
  const choices = [schema.anyOf, schema.oneOf].find(Array.isArray) as unknown[] | undefined
  return (choices ?? []).filter(isSchema).reduce<unknown>((shown, one) => replaceSecrets(one, shown, by, name), value)
}

/** Faults of the server by the path of their field below the input (`urls.0`; '' is the input itself), in `words` of the page. */
export function faultsByPath<F extends { readonly path: string; readonly message: string }>(
  fields: readonly F[],
  words: (fault: F) => string = ({ message }) => message,
): {
  readonly input: ReadonlyMap<string, string>
  readonly body: ReadonlyMap<string, string>
} {
  const input = new Map<string, string>()
  const body = new Map<string, string>()
  for (const fault of fields) {
    const [, first, ...rest] = fault.path.split('.')
    if (first === 'input') input.set(rest.join('.'), words(fault))
    else if (first !== undefined) body.set(first, words(fault))
  }
  return { input, body }
}
