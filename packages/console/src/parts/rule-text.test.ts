import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FIRST_RULES, readRules, writeRules } from './rule-text.ts'

const text = `# Access switches
name: access-switch
version: 1.0.0
rules:
  - validator: size@1
  - validator: fields@5
    params:
      lines:
        required:
          - sysname .+
          - "("
      values: { a.b: { path: x } }
`

test('a text of rules is its name and its definition, without the version that is given by the server', () => {
  const read = readRules(text)
  assert.ok(read.ok)
  assert.equal(read.name, 'access-switch')
  assert.deepEqual(Object.keys(read.definition), ['rules'])
  const json = readRules('{"rules": [{"validator": "size@1"}]}')
  assert.deepEqual(json.ok && [json.name, json.definition], [null, { rules: [{ validator: 'size@1' }] }])
})

test('a place has the line of its key, of its item, or of what is around it', () => {
  const read = readRules(text)
  assert.ok(read.ok)
  const line = (place: string) => read.lineOf(place)
  assert.deepEqual(
    ['rules', 'rules.0', 'rules.1', 'rules.1.params.lines.required.1', 'rules.1.params.values.a.b.path'].map(line),
    [4, 5, 6, 11, 12],
  )
  // What is missing is where it would be; what is of no place is at the beginning of it all.
  assert.deepEqual(['rules.1.params.blocks', 'rules.7', 'nothing', ''].map(line), [7, 4, 2, 2])
})

test('what is no text of rules says where', () => {
  const broken = readRules('name: a\nrules:\n  - validator: [size@1\n')
  assert.deepEqual(!broken.ok && [broken.why, broken.line], ['syntax', 4])
  const twice = readRules('rules: []\nrules: []\n')
  assert.deepEqual(!twice.ok && [twice.why, twice.line], ['syntax', 2])
  for (const none of ['', '- a\n', 'text', '3']) {
    const read = readRules(none)
    assert.deepEqual(!read.ok && read.why, 'shape', none)
  }
})

test('published rules are written in the order of their meaning, and read back as they were', () => {
  const definition = {
    description: 'What an access switch needs',
    rules: [{ files: '*.cfg', params: { lines: { required: ['sysname .+'] } }, validator: 'fields@5' }],
  }
  const written = writeRules('access-switch', definition)
  assert.equal(
    written,
    `name: access-switch
description: What an access switch needs
rules:
  - validator: fields@5
    files: "*.cfg"
    params:
      lines:
        required:
          - sysname .+
`,
  )
  const read = readRules(written)
  assert.deepEqual(read.ok && read.definition, definition)
  assert.ok(readRules(FIRST_RULES).ok)
})

test('a number that would be sent as another is none of a rule, and its line is told', () => {
  const rule = (value: string) =>
    `name: x\nrules:\n  - validator: fields@5\n    params: { values: [{ equals: ${value} }] }\n`
  for (const value of ['12345678901234567890', '-9007199254740993', '1e400', '.inf'])
    assert.partialDeepStrictEqual(readRules(rule(value)), { ok: false, why: 'number', line: 4 }, value)
  for (const value of ['"12345678901234567890"', '9007199254740991', '12345678901234567000', '0x10', '1.5'])
    assert.equal(readRules(rule(value)).ok, true, value)
  const read = readRules(rule('42'))
  assert.deepEqual(read.ok && read.definition, {
    rules: [{ validator: 'fields@5', params: { values: [{ equals: 42 }] } }],
  })
})
