import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { sha256 } from '../test/memory-log.ts'
import { canonicalize, commitment, decodeEntry, type Entry, type EntryKey, encodeEntry, type Json } from './index.ts'

const HEX = 'ab'.repeat(32)
const ROOT = 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I='
const full: Entry = {
  v: 1,
  id: '01936f5e-8c00-7abc-8def-0123456789ab',
  t: '2026-11-22T16:00:00.000Z',
  seq: 0,
  run: '01936f5e-8c00-7abc-8def-000000000001',
  actor: { kind: 'agent', id: 'a-7' },
  act: 'run.started',
  res: 'switch-1',
  claim: ['act', 'res'],
  pl: [{ n: 'input', c: `hmac-sha256:${HEX}`, len: 5242 }],
  att: [`sha256:${HEX}`],
  ckpt: ROOT,
}
const small: Entry = { v: 1, id: full.id, t: full.t, seq: 17, actor: { kind: 'user', id: 'u' }, act: 'login', pl: [] }
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const bytes = (json: string) => new TextEncoder().encode(json)

test('an entry with every field has these bytes for ever', () => {
  assert.equal(
    text(encodeEntry(full)),
    `{"act":"run.started","actor":{"id":"a-7","kind":"agent"},"att":["sha256:${HEX}"],"ckpt":"${ROOT}",` +
      `"claim":["act","res"],"id":"01936f5e-8c00-7abc-8def-0123456789ab",` +
      `"pl":[{"c":"hmac-sha256:${HEX}","len":5242,"n":"input"}],"res":"switch-1",` +
      `"run":"01936f5e-8c00-7abc-8def-000000000001","seq":0,"t":"2026-11-22T16:00:00.000Z","v":1}`,
  )
})

test('an entry without the optional fields leaves them out', () => {
  const json =
    '{"act":"login","actor":{"id":"u","kind":"user"},"id":"01936f5e-8c00-7abc-8def-0123456789ab",' +
    '"pl":[],"seq":17,"t":"2026-11-22T16:00:00.000Z","v":1}'
  assert.equal(text(encodeEntry(small)), json)
  assert.equal(text(encodeEntry({ ...small, run: undefined, att: undefined })), json)
  assert.deepEqual(decodeEntry(bytes(json)), small)
})

const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length })
const opaque = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }).filter((one) => one.isWellFormed())
const count = fc.oneof(fc.nat(), fc.maxSafeNat())
const keys: EntryKey[] = ['act', 'actor', 'att', 'ckpt', 'claim', 'id', 'pl', 'res', 'run', 'seq', 't', 'v']
const anyEntry: fc.Arbitrary<Entry> = fc.record(
  {
    v: fc.constant(1 as const),
    id: fc.uuid({ version: 7 }),
    t: fc
      .date({ min: new Date('0000-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })
      .map((date) => date.toISOString()),
    seq: count,
    run: opaque,
    actor: fc.record({ kind: fc.constantFrom('user', 'agent', 'system', 'token'), id: opaque }),
    act: fc.constantFrom('run.started'),
    res: opaque,
    claim: fc.uniqueArray(fc.constantFrom(...keys), { minLength: 1 }),
    pl: fc.uniqueArray(fc.record({ n: opaque, c: hex(64).map((mac) => `hmac-sha256:${mac}`), len: count }), {
      maxLength: 4,
      selector: (payload) => payload.n,
    }),
    att: fc.array(
      hex(64).map((digest) => `sha256:${digest}`),
      { minLength: 1, maxLength: 4 },
    ),
    ckpt: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((root) => Buffer.from(root).toString('base64')),
  },
  { requiredKeys: ['v', 'id', 't', 'seq', 'actor', 'act', 'pl'] },
)

test('any entry has the bytes of the generic canonical form, and comes back from them', () => {
  fc.assert(
    fc.property(anyEntry, (entry) => {
      const encoded = encodeEntry(entry)
      const plain: Json = JSON.parse(JSON.stringify(entry))
      assert.equal(text(encoded), canonicalize(plain))
      assert.deepEqual(decodeEntry(encoded), plain)
    }),
    { numRuns: 500 },
  )
})

test('any changed byte is refused, or is another entry with exactly those bytes', () => {
  const encoded = encodeEntry(full)
  fc.assert(
    fc.property(fc.nat(encoded.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const changed = encoded.with(at, encoded[at]! ^ flip)
      let entry: Entry
      try {
        entry = decodeEntry(changed)
      } catch {
        return
      }
      assert.deepEqual(encodeEntry(entry), changed)
    }),
    { numRuns: 1000 },
  )
})

const json = text(encodeEntry(full))
const refusedBytes: [string, string | Uint8Array, RegExp][] = [
  ['no JSON', '{', /not JSON/],
  ['a byte order mark', `\ufeff${json}`, /not JSON/],
  ['bytes that are not UTF-8', Uint8Array.of(0xff), /not JSON/],
  ['an array', '[]', /not an object/],
  ['null', 'null', /not an object/],
  ['a space', json.replace(',"v"', ', "v"'), /not canonical/],
  ['a newline behind it', `${json}\n`, /not canonical/],
  ['a repeated key', json.replace('"v":1', '"v":1,"v":1'), /not canonical/],
  ['another key order', json.replace(',"v":1', '').replace('{', '{"v":1,'), /not canonical/],
  ['a number with an exponent', json.replace('5242', '5.242e3'), /not canonical/],
  ['a negative zero', json.replace('"seq":0', '"seq":-0'), /seq/],
  ['an escaped letter', json.replace('switch', '\\u0073witch'), /not canonical/],
  ['an escaped lone surrogate', json.replace('switch', '\\ud800'), /lone surrogate/],
  ['an unknown field', json.replace('"v":1', '"v":1,"x":1'), /entry: unknown field x/],
  ['a field named __proto__', json.replace('"v":1', '"v":1,"__proto__":1'), /unknown field __proto__/],
  ['an unknown field of the actor', json.replace('"kind"', '"email":"x","kind"'), /actor: unknown field email/],
  ['another version', json.replace('"v":1', '"v":2'), /^Error: v:/],
  ['4,097 bytes', ' '.repeat(4097), /4097 bytes/],
]
for (const [name, input, reason] of refusedBytes) {
  test(`bytes with ${name} do not decode`, () => {
    assert.throws(() => decodeEntry(typeof input === 'string' ? bytes(input) : input), reason)
  })
}

const payload = { n: 'input', c: `hmac-sha256:${HEX}`, len: 1 }
const refusedEntries: [string, object, RegExp][] = [
  ['an id that is no UUIDv7', { id: '01936f5e-8c00-4abc-8def-0123456789ab' }, /^Error: id/],
  ['an upper-case id', { id: full.id.toUpperCase() }, /^Error: id/],
  ['a time without milliseconds', { t: '2026-11-22T16:00:00Z' }, /^Error: t/],
  ['a day that does not exist', { t: '2026-02-30T16:00:00.000Z' }, /^Error: t/],
  ['a fraction for seq', { seq: 1.5 }, /^Error: seq/],
  ['a negative seq', { seq: -1 }, /^Error: seq/],
  ['a seq beyond 2^53', { seq: 2 ** 53 }, /^Error: seq/],
  ['an empty run', { run: '' }, /^Error: run/],
  ['a null run', { run: null }, /^Error: run/],
  ['an actor of another kind', { actor: { kind: 'robot', id: 'x' } }, /^Error: actor.kind/],
  ['an actor without id', { actor: { kind: 'user' } }, /^Error: actor.id/],
  ['an act with a quote', { act: 'a"b' }, /^Error: act/],
  ['an empty claim', { claim: [] }, /^Error: claim: empty/],
  ['a claim of an unknown field', { claim: ['mood'] }, /^Error: claim/],
  ['a claim made twice', { claim: ['act', 'act'] }, /^Error: claim: repeated/],
  ['no payload list', { pl: undefined }, /^Error: pl/],
  ['a bare digest for a commitment', { pl: [{ ...payload, c: `sha256:${HEX}` }] }, /^Error: pl.c/],
  ['a payload of fractional length', { pl: [{ ...payload, len: 0.5 }] }, /^Error: pl.len/],
  ['one payload name twice', { pl: [payload, payload] }, /^Error: pl.n: repeated/],
  ['an empty list of attestations', { att: [] }, /^Error: att: empty/],
  ['an attestation without algorithm', { att: [HEX] }, /^Error: att/],
  ['a checkpoint outside run.started', { act: 'run.ended' }, /^Error: ckpt/],
  ['a checkpoint with stray bits', { ckpt: ROOT.replace('2I=', '2J=') }, /^Error: ckpt/],
  ['a res that makes it too long', { res: 'é'.repeat(2000) }, /at most 4096/],
]
for (const [name, change, reason] of refusedEntries) {
  test(`an entry with ${name} does not encode`, () => assert.throws(() => encodeEntry({ ...full, ...change }), reason))
}

test('a commitment is the HMAC that openssl computes', () => {
  for (const length of [0, 1, 55, 64, 5000]) {
    const body = new Uint8Array(length).fill(3)
    const salt = new Uint8Array(32).map((_, i) => i)
    const expected = createHmac('sha256', salt).update(body).digest('hex')
    assert.equal(commitment(body, salt, sha256), `hmac-sha256:${expected}`)
  }
  assert.throws(() => commitment(new Uint8Array(1), new Uint8Array(16), sha256), /32 bytes/)
})
