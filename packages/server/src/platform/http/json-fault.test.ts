import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { jsonFault } from './json-fault.ts'

const cases: readonly (readonly [json: string, at: number, line: number, column: number, expected: string])[] = [
  ['{"task": ', 9, 1, 10, 'a value'],
  ['', 0, 1, 1, 'a value'],
  ['nope', 0, 1, 1, 'a value'],
  ['{"a": 01}', 6, 1, 7, 'a value'],
  ['[1.]', 1, 1, 2, 'a value or ]'],
  ['[1,]', 3, 1, 4, 'a value'],
  ['[1 2]', 3, 1, 4, 'a comma or ]'],
  ['{"a": 1,\n "b": 2,}', 17, 2, 9, 'a name in double quotes'],
  ["{'a': 1}", 1, 1, 2, 'a name in double quotes or }'],
  ['{"a" 1}', 5, 1, 6, 'a colon'],
  ['{"a": [1}', 8, 1, 9, 'a comma or ]'],
  ['{} {}', 3, 1, 4, 'nothing more'],
  ['{"a": "b', 8, 1, 9, 'the double quote that ends a string'],
  ['{"a": "b\nc"}', 8, 1, 9, 'an escape in place of a control character'],
  ['"\\x"', 1, 1, 2, 'an escape that JSON knows'],
  ['{"😀": }', 6, 1, 7, 'a value'],
]

test('what is no JSON is told where, and what would have to stand there', () => {
  for (const [json, at, line, column, expected] of cases)
    assert.deepEqual(jsonFault(json), { at, line, column, expected }, json)
})

test('what JSON.parse takes has no fault, and what it refuses has one', () => {
  const isJson = (text: string) => {
    try {
      JSON.parse(text)
      return true
    } catch {
      return false
    }
  }
  const token = fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', 'u0041', '1', '-', '.', 'e', '0', 'true', ' ')
  fc.assert(fc.property(fc.json(), (json) => assert.equal(jsonFault(json), undefined)))
  fc.assert(
    fc.property(fc.array(token, { maxLength: 8 }), (tokens) => {
      const text = tokens.join('')
      assert.equal(jsonFault(text) === undefined, isJson(text), text)
    }),
    { numRuns: 5_000 },
  )
})

test('a long text needs no stack', () => {
  assert.equal(jsonFault(`{"a": "${'x\\n'.repeat(1_000_000)}", "b": [${'1, '.repeat(100_000)}1]}`), undefined)
})
