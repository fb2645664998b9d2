import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileSchemas, faultsOf } from './handler.ts'

/** Where something is wrong with a value by a schema, and what. */
function faults(input: object, value: unknown): string[] {
  compileSchemas({ input, output: null })
  return faultsOf(input, value, 'body.input').map(({ path, message }) => `${path}: ${message}`)
}

test('what a schema takes nothing for is a fault, also when nothing else is wrong', () => {
  assert.deepEqual(faults({ properties: { password: false } }, { password: 'x' }), [
    'body.input.password: must be left out',
  ])
  const pair = { prefixItems: [{ type: 'string' }], items: false }
  assert.deepEqual(faults(pair, ['a', 1]), ['body.input.1: must be left out'])
  assert.deepEqual(faults(pair, ['a']), [])
  assert.deepEqual(faults({ patternProperties: { '^x-': false } }, { 'x-1': 1 }), ['body.input.x-1: must be left out'])
  assert.deepEqual(faults({ dependentSchemas: { a: false } }, { a: 1 }), ['body.input: must be left out'])
  assert.deepEqual(faults({ allOf: [false] }, 1), ['body.input: must be left out'])
})

test('a field that there is not is told once', () => {
  const closed = { properties: { a: false }, additionalProperties: false }
  assert.deepEqual(faults(closed, { 'x/1~': 1 }), ['body.input.x/1~: unknown field'])
  assert.deepEqual(faults(closed, { a: 1, b: 2 }), ['body.input.b: unknown field', 'body.input.a: must be left out'])
  assert.deepEqual(faults({ propertyNames: false }, { a: 1 }), [
    'body.input: must have no fields with other names than are allowed',
  ])
})
