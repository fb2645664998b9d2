import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { canonicalize, type Json } from './index.ts'

test('the example of RFC 8785 section 3.2.2 comes out as printed there', () => {
  const value: Json = JSON.parse(`{
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\"\\/",
    "literals": [null, true, false]
  }`)
  assert.equal(
    canonicalize(value),
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  )
})

test('keys are sorted by UTF-16 code units', () => {
  const value = { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\ud83d\ude00': 5, '\u0080': 6, '\u00f6': 7, '10': 8 }
  assert.equal(canonicalize(value), '{"\\r":2,"1":4,"10":8,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}')
})

test('few keys and many are sorted alike, whatever they are', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ unit: 'grapheme', maxLength: 80 }), { maxLength: 60 }), (keys) => {
      const value = Object.fromEntries(keys.map((key, i) => [key, i]))
      const sorted = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
      assert.equal(canonicalize(value), `{${sorted.map(([key, i]) => `${JSON.stringify(key)}:${i}`).join(',')}}`)
    }),
  )
})

test('negative zero is 0', () => assert.equal(canonicalize([-0, 0]), '[0,0]'))

test('a key named __proto__ is a key like any other', () => {
  assert.equal(canonicalize(JSON.parse('{"b":1,"__proto__":{"a":2}}')), '{"__proto__":{"a":2},"b":1}')
})

test('any JSON value survives, and its text does not depend on the order of keys', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (raw) => {
      const value: Json = JSON.parse(JSON.stringify(raw))
      const text = canonicalize(value)
      assert.deepEqual(JSON.parse(text), value)
      const turned: Json = JSON.parse(text, (_, member) =>
        member && typeof member === 'object' && !Array.isArray(member)
          ? Object.fromEntries(Object.entries(member).reverse())
          : member,
      )
      assert.equal(canonicalize(turned), text)
    }),
    { numRuns: 200 },
  )
})

const cycle: unknown[] = []
cycle.push(cycle)
const refused: [string, unknown, RegExp][] = [
  ['undefined', undefined, /^Error: \$: undefined/],
  ['an undefined member', { a: { b: undefined } }, /\$\.a\.b: undefined/],
  ['a hole', new Array(1), /\$\[0\]: undefined/],
  ['NaN', [Number.NaN], /\$\[0\]: NaN/],
  ['an infinity', { a: Number.POSITIVE_INFINITY }, /\$\.a: Infinity/],
  ['a big integer', 1n, /bigint/],
  ['a function', () => 1, /function/],
  ['a lone surrogate', ['\ud800'], /\$\[0\]: a lone surrogate/],
  ['a lone surrogate in a key', { '\udc00': 1 }, /\$: a lone surrogate/],
  ['a date', { t: new Date(0) }, /\$\.t: not a plain object/],
  ['bytes', new Uint8Array(1), /not a plain object/],
  ['a symbol key', { [Symbol('s')]: 1 }, /symbol key/],
  ['a cycle', cycle, /a cycle/],
]
for (const [name, value, reason] of refused) {
  // The cast hands over what the type forbids: callers without types do.
  test(`${name} is refused`, () => assert.throws(() => canonicalize(value as Json), reason))
}
