import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Type } from 'typebox'
import {
  blankOf,
  faultsByPath,
  isUnparsed,
  parsedOf,
  type Schema,
  shapeOf,
  Unparsed,
  withoutSecrets,
} from './schema.ts'

const kindOf = (schema: unknown) => shapeOf(schema as Schema).kind

test('a schema of a handler becomes the field that asks for it', () => {
  const kinds: [unknown, string][] = [
    [Type.String(), 'text'],
    [Type.Number(), 'number'],
    [Type.Integer({ minimum: 1 }), 'number'],
    [Type.Boolean(), 'flag'],
    [{ enum: ['a', 'b'] }, 'choice'],
    [Type.Union([Type.Literal('GET'), Type.Literal('POST')]), 'choice'],
    [Type.Array(Type.String()), 'list'],
    [Type.Object({ a: Type.String() }), 'fields'],
    [Type.Union([Type.Number(), Type.Null()]), 'number'],
    [{ type: ['string', 'null'] }, 'text'],
    [Type.Record(Type.String(), Type.String()), 'json'],
    [Type.Unknown(), 'json'],
    [Type.Union([Type.Object({ a: Type.String() }), Type.Object({ b: Type.String() })]), 'json'],
    [{ type: 'array' }, 'json'],
  ]
  for (const [schema, kind] of kinds) assert.equal(kindOf(schema), kind, JSON.stringify(schema))
  assert.deepEqual(shapeOf(Type.Integer({ minimum: 1, maximum: 9 }) as unknown as Schema), {
    kind: 'number',
    whole: true,
    min: 1,
    max: 9,
  })
})

test('what is required begins with its least value, what is optional is left out', () => {
  const schema = Type.Object({
    urls: Type.Array(Type.String()),
    on: Type.Boolean(),
    name: Type.String(),
    method: Type.Optional(Type.String({ default: 'GET' })),
    data: Type.Optional(Type.Unknown()),
  }) as unknown as Schema
  assert.deepEqual(blankOf(schema, true), { urls: [], on: false, method: 'GET' })
  assert.equal(blankOf(schema, false), undefined)
})

test('text that is no JSON yet is found wherever it stands', () => {
  assert.equal(isUnparsed({ a: [1, { b: new Unparsed('{') }] }), true)
  assert.equal(isUnparsed({ a: [1, { b: null }] }), false)
})

test('text with a number that would be read as another is kept as text', () => {
  const text = '{"order": 12345678901234567890}'
  assert.deepEqual(parsedOf(text), new Unparsed(text))
  assert.deepEqual(parsedOf('{'), new Unparsed('{'))
  assert.deepEqual(parsedOf('{"order": 12345, "id": "12345678901234567890"}'), {
    order: 12345,
    id: '12345678901234567890',
  })
})

test('secrets are not copied, whichever of several shapes calls them one', () => {
  const secret = Type.String({ writeOnly: true })
  const plain = Type.Object({ id: Type.String(), key: secret, inner: Type.Array(Type.Object({ token: secret })) })
  assert.deepEqual(
    withoutSecrets(plain as unknown as Schema, { id: 'a', key: 'k', inner: [{ token: 't' }], other: 1 }),
    { id: 'a', key: '<key>', inner: [{ token: '<token>' }], other: 1 },
  )
  const either = Type.Union([Type.Object({ app_secret: secret }), Type.Object({ token: secret })])
  assert.deepEqual(withoutSecrets(either as unknown as Schema, { token: 't' }), { token: '<token>' })
})

test('faults of the server are told at their fields', () => {
  const { input, body } = faultsByPath([
    { path: 'body.input.urls.0', message: 'must match pattern' },
    { path: 'body.input', message: 'must have urls' },
    { path: 'body.callback.url', message: 'must be a URL' },
  ])
  assert.deepEqual(
    [...input],
    [
      ['urls.0', 'must match pattern'],
      ['', 'must have urls'],
    ],
  )
  assert.deepEqual([...body], [['callback', 'must be a URL']])
})

test('a text says by its media type in which language it is written', () => {
  const shape = shapeOf({ type: 'string', contentMediaType: 'text/x-python' })
  assert.deepEqual(shape, { kind: 'text', secret: false, long: true, language: 'python' })
  assert.equal('language' in shapeOf({ type: 'string', contentMediaType: 'image/png' }), false)
})
