import assert from 'node:assert/strict'
import { test } from 'node:test'
import { alteredNumber, alteredNumbers } from './exact-numbers.ts'

for (const [json, path] of [
  ['{"id":12345678901234567890}', '.id'],
  ['{"order":{"lines":[1,{"a\\"b":-9007199254740993}]}}', '.order.lines.1.a"b'],
  ['[0, [1, 2], 9007199254740993]', '.2'],
  ['{"a":"[{,:","b" : 1e400}', '.b'],
  ['{"a":-1E+309}', '.a'],
  [`{"a":${'9'.repeat(400)}}`, '.a'],
  ['{"a":1000000000000000000001}', '.a'],
  ['{"a":12345678901234567168}', '.a'],
] as const)
  test(`${json.slice(0, 60)} is read as another number`, () => assert.equal(alteredNumber(json), path))

for (const json of [
  '{"id":"12345678901234567890","text":": 12345678901234567890,"}',
  // The last one that is certain, and some that happen to be numbers of JavaScript.
  '{"a":9007199254740991,"b":-9007199254740991,"c":9007199254740992,"d":12345678901234567000}',
  '{"a":1000000000000000000000,"b":1e300,"c":1E21}',
  '{"a":0.12345678901234567890,"b":3.14159265358979323846,"c":1234567890123456.75,"d":1e-400}',
])
  test(`${json.slice(0, 60)} stays as it is`, () => assert.equal(alteredNumber(json), undefined))

test('all of them are found, in the order of the text', () => {
  const json = '{"a":[1,12345678901234567890,{"b":1e400}],"c":"9007199254740993","d":9007199254740993}'
  assert.deepEqual([...alteredNumbers(json)], ['.a.1', '.a.2.b', '.d'])
})

test('what is no JSON does no harm', () => {
  for (const json of [']}, 1234567890123456789', '{"a: 1234567890123456789', ' 12345678901234567e5e5', ' 1e9999-', ''])
    assert.doesNotThrow(() => alteredNumber(json), json)
})
