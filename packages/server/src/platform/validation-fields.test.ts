import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { Compile } from 'typebox/schema'
import { fieldsOf, type ValidationFault } from './validation-fields.ts'

/** What two validators say of one value: that of requests, and that of what handlers take. */
const cases: readonly [what: string, schema: object, value: unknown, said: string][] = [
  ['twice', { type: 'array', uniqueItems: true }, [1, 1], 'must name nothing twice'],
  ['not', { not: { type: 'string' } }, 'a', 'must be something else: what is there is excluded'],
  ['multiple', { type: 'number', multipleOf: 5 }, 7, 'must be a multiple of 5'],
  ['more', { type: 'number', exclusiveMinimum: 1 }, 1, 'must be more than 1'],
  ['less', { type: 'number', exclusiveMaximum: 1 }, 1, 'must be less than 1'],
  ['const', { const: 'proof' }, 'action', 'must be "proof"'],
  ['two', { oneOf: [{ minimum: 1 }, { minimum: 2 }] }, 3, 'must fit one of the shapes that are allowed, and only one'],
  ['contains', { type: 'array', contains: { const: 1 } }, [], 'must have an item that is asked for'],
  ['beside', { type: 'object', dependentRequired: { a: ['b', 'c'] } }, { a: 1 }, 'must have b, c beside a'],
  ['uuid', { type: 'string', format: 'uuid' }, 'x', 'must be a UUID'],
  ['date', { type: 'string', format: 'date' }, 'x', 'must be a date, such as 2026-05-17'],
]

const ajv = new Ajv2020({ strict: false })
addFormats.default(ajv)

for (const [what, schema, value, said] of cases) {
  test(`a fault is told in words, not in those of the validator (${what})`, () => {
    ajv.validate(schema, value)
    const [, errors] = Compile(schema).Errors(value)
    for (const faults of [ajv.errors, errors] as unknown as ValidationFault[][])
      assert.ok(
        fieldsOf('body', faults).some(({ message }) => message === said),
        JSON.stringify(fieldsOf('body', faults)),
      )
  })
}

test('no fault is told as "must NOT", nor names what only the schema knows', () => {
  for (const [schema, value] of [
    ...cases.map(([, schema, value]) => [schema, value] as const),
    [{ anyOf: [{ type: 'string' }, { type: 'array', uniqueItems: true }] }, [1, 1]],
    [{ if: { type: 'object' }, else: { type: 'string' } }, 1],
    [{ type: 'object', propertyNames: { maxLength: 1 } }, { long: 1 }],
    [{ type: 'object', unevaluatedProperties: false }, { a: 1 }],
    [{ type: 'object', properties: { a: false } }, { a: 1 }],
    [{ type: 'object', additionalProperties: false }, { a: 1 }],
    [{ type: 'array', prefixItems: [{}], items: false }, [1, 2]],
  ] as const) {
    ajv.validate(schema, value)
    for (const { message } of fieldsOf('body', (ajv.errors ?? []) as ValidationFault[]))
      assert.doesNotMatch(message, /NOT |schema|constant|oneOf|anyOf|valid/, JSON.stringify(schema))
  }
})
