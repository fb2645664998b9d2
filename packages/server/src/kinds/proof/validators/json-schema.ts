import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { RE2JS } from 're2js'
import { Type } from 'typebox'
import { once } from '../../../platform/once.ts'
import { canonicalJson } from '../canonical-json.ts'
import { firstEdition, fourthEdition } from '../formats/format.ts'
import { versionsOf } from '../libraries.ts'
import { compilePattern } from '../pattern.ts'
import { replaceKeyword, withExactNumbers, withoutLong } from '../schema-numbers.ts'
import { readText } from '../text.ts'
import { fileValidator, finding } from '../validator.ts'

type Version = 1 | 2 | 3

const largestSchema = 262_144
const mostErrors = 50

/**
 * The parsed file satisfies a JSON Schema, formats included. Works on whatever `config_format` parses to data, so on YAML and TOML too.
 * References stay inside the schema; patterns are RE2. Messages give places and rules, never the file's values.
 *
 * Version 1 took every pattern for the first of the meta-schema, so patterns were not applied, and what every object inherits for members.
 * It re-verifies what it judged, and is not begun with any more where a schema has patterns. Version 2 rounded whole numbers of more digits
 * than JavaScript keeps.
 */
const jsonSchema = (version: Version) =>
  fileValidator({
    name: 'json_schema',
    version,
    retired:
      version === 1
        ? ({ schema }) =>
            hasPatterns(schema)
              ? 'json_schema@1 does not apply the patterns of a schema: cite json_schema@2'
              : undefined
        : undefined,
    params: Type.Object(
      { schema: Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Boolean()]) },
      { additionalProperties: false },
    ),
    libraries: versionsOf('ajv', 'ajv-formats', 're2js', 'yaml', 'smol-toml', 'fast-xml-parser', 'csv-parse'),

    examineParams({ schema }) {
      const compiled = compileSchema(schema, version)
      return 'refused' in compiled
        ? [{ path: '/schema', message: `Invalid schema: ${compiled.refused}`, code: 'SCHEMA_INVALID' }]
        : []
    },

    async check(evidence, params) {
      const compiled = compileSchema(params.schema, version)
      if ('refused' in compiled) throw new Error(`schema was never examined: ${compiled.refused}`)
      const read = await readText(evidence)
      if ('refused' in read) return finding([read.refused], [], { format: 'unknown', violations: null })
      const format = firstEdition.recognise(evidence.name, read.text)
      if (!format)
        return finding([`Unknown config format for file: ${evidence.name}`], [], {
          format: 'unknown',
          violations: null,
        })
      const parsed = (version < 3 ? firstEdition : fourthEdition).parse(format, read.text)
      const warnings = [...read.warnings, ...parsed.warnings]
      if (parsed.errors.length > 0) return finding(parsed.errors, warnings, { format, violations: null })
      if (parsed.lines)
        return finding(['A JSON Schema does not apply to IOS-style text'], warnings, { format, violations: null })
      const violations = violationsIn(compiled, parsed.data)
      return finding(violations.slice(0, mostErrors), warnings, { format, violations: violations.length })
    },
  })

export const jsonSchema1 = jsonSchema(1)
export const jsonSchema2 = jsonSchema(2)
export const jsonSchema3 = jsonSchema(3)

const hasPatterns = (schema: unknown): boolean =>
  typeof schema === 'object' &&
  schema !== null &&
  Object.entries(schema).some(([key, value]) => key === 'pattern' || key === 'patternProperties' || hasPatterns(value))

interface Compiled {
  readonly validate: ValidateFunction
  /** The same for documents with whole numbers that JavaScript would round. Its context says which they are. */
  exact?(): ValidateFunction
}

const compiledSchemas = {
  1: new WeakMap<object, Compiled>(),
  2: new WeakMap<object, Compiled>(),
  3: new WeakMap<object, Compiled>(),
}

function compileSchema(schema: Record<string, unknown> | boolean, version: Version): Compiled | { refused: string } {
  const known = typeof schema === 'object' ? compiledSchemas[version].get(schema) : undefined
  if (known) return known
  try {
    if (canonicalJson(schema).length > largestSchema) return { refused: `larger than ${largestSchema} characters` }
    // A fresh instance for each schema, or two schemas with one $id would meet.
    const ajv = createAjv(schema, version)
    if (!ajv) return { refused: 'its $schema is none of the drafts 2020-12, 2019-09 and 07' }
    const compiled: Compiled = {
      validate: ajv.compile(schema),
      ...(version < 3 ? {} : { exact: once(() => withExactNumbers(createAjv(schema, version)!).compile(schema)) }),
    }
    if (typeof schema === 'object') compiledSchemas[version].set(schema, compiled)
    return compiled
  } catch (error) {
    // Ajv throws for everything wrong with a schema, and the engine a RangeError for one nested too deeply: all the author's.
    return { refused: error instanceof Error ? error.message : String(error) }
  }
}

function createAjv(schema: Record<string, unknown> | boolean, version: Version): Ajv | undefined {
  const Draft = version === 1 ? Ajv2020 : draftOf(schema)
  if (!Draft) return undefined
  const ajv = new Draft({
    allErrors: true,
    strict: true,
    strictTypes: false,
    strictRequired: false,
    // What every object inherits, such as toString, is no member of a document.
    ownProperties: version > 1,
    allowUnionTypes: true,
    logger: false,
    passContext: version > 2,
    code: { regExp: version === 1 ? alikeRegExp : safeRegExp },
  })
  addFormats.default(ajv)
  // Ajv compares every item with every other; this is linear.
  replaceKeyword(ajv, {
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    error: { message: 'must NOT have duplicate items' },
    validate: (unique: boolean, items: unknown[]) => !unique || new Set(items.map(canonicalJson)).size === items.length,
  })
  return ajv
}

/** By its `$schema`, without which it is of the newest. */
function draftOf(schema: Record<string, unknown> | boolean): typeof Ajv2020 | typeof Ajv2019 | typeof Ajv | undefined {
  const draft = typeof schema === 'object' ? schema.$schema : undefined
  if (draft === undefined) return Ajv2020
  switch (String(draft).replace(/#$/, '')) {
    case 'https://json-schema.org/draft/2020-12/schema':
      return Ajv2020
    case 'https://json-schema.org/draft/2019-09/schema':
      return Ajv2019
    case 'http://json-schema.org/draft-07/schema':
      return Ajv
    default:
      return undefined
  }
}

// JSON Schema patterns are unanchored, so they are searched for; RE2 keeps that linear.
const safeRegExp = Object.assign(
  (source: string) => {
    const pattern = compilePattern(source)
    if ('refused' in pattern) throw new Error(`invalid pattern: ${pattern.refused}`)
    const compiled = RE2JS.compile(source)
    // By its text the library tells patterns apart.
    return { test: (text: string) => text.length <= 16_384 && compiled.test(text), toString: () => `/${source}/` }
  },
  { code: 'safeRegExp' },
)

/** Of version 1: without a text of its own each pattern of an instance is the first, which is one of the meta-schema. */
const alikeRegExp = Object.assign((source: string) => ({ test: safeRegExp(source).test }), { code: 'safeRegExp' })

/** Hardly any document has such numbers, and all others are validated as they are. */
function violationsIn({ validate, exact }: Compiled, data: unknown): string[] {
  const rounded = exact && withoutLong(data)
  return rounded === undefined || rounded === data
    ? violationsOf(validate, data)
    : violationsOf(exact!(), rounded, data)
}

/** `exact`: what the data are, where they had to be rounded to be validated at all. */
function violationsOf(validate: ValidateFunction, data: unknown, exact?: unknown): string[] {
  try {
    return validate.call({ exact }, data) ? [] : (validate.errors ?? []).map(sentence)
  } catch (error) {
    // A schema that refers to itself without consuming anything never ends; the stack does.
    if (error instanceof RangeError) return ['The schema refers to itself without end']
    throw error
  }
}

function sentence(error: ErrorObject): string {
  const place = error.instancePath === '' ? 'The document' : error.instancePath
  const extra = error.keyword === 'additionalProperties' ? `: ${String(error.params.additionalProperty)}` : ''
  const allowed = error.keyword === 'enum' ? `: ${JSON.stringify(error.params.allowedValues).slice(0, 200)}` : ''
  return `${place} ${error.message ?? error.keyword}${extra}${allowed}`
}
