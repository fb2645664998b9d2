import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeKey, sha256, verifyEd25519 } from '../test/memory-log.ts'
import {
  addSignatures,
  cosignText,
  formatNote,
  formatVkey,
  parseNote,
  parseVkey,
  signText,
  verifyNote,
} from './index.ts'

const hash = sha256
const verify = verifyEd25519

// The example of c2sp.org/signed-note.
const SPEC_VKEY = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k'
const SPEC_NOTE = `This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
`
const TEXT = 'example.org/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n'

test("the specification's own note verifies with its own key", async () => {
  const verdict = await verifyNote(parseNote(SPEC_NOTE), { vkeys: [SPEC_VKEY], hash, verify })
  assert.deepEqual(verdict, { ok: true, signers: [{ name: 'example.com/foo', keyId: 0x530d903a, type: 1 }] })
})

test('a note and a vkey are written as they were read', () => {
  const { text, signatures } = parseNote(SPEC_NOTE)
  assert.equal(formatNote(text, signatures), SPEC_NOTE)
  assert.equal(formatVkey(parseVkey(SPEC_VKEY, hash), hash), SPEC_VKEY)
})

test('a note from bytes is the note from text; a byte order mark is part of it', () => {
  assert.deepEqual(parseNote(new TextEncoder().encode(SPEC_NOTE)), parseNote(SPEC_NOTE))
  assert.equal(parseNote(new TextEncoder().encode(`\ufeff${SPEC_NOTE}`)).text, '\ufeffThis is an example message.\n')
})

test('one note carries several signatures; those by unknown keys are ignored', async () => {
  const [old, fresh, stranger, witness] = ['log', 'log', 'stranger', 'witness'].map(makeKey)
  const lines = [
    await signText(TEXT, old!, old!.sign, hash),
    await signText(TEXT, fresh!, fresh!.sign, hash),
    { ...(await signText(TEXT, stranger!, stranger!.sign, hash)), signature: new Uint8Array(64) },
  ]
  const note = formatNote(TEXT, lines)
  const whole = addSignatures(note, [await cosignText(TEXT, witness!, 1_700_000_000, witness!.sign, hash)])
  const vkeys = [old!.vkey, fresh!.vkey, witness!.witnessVkey]
  const verdict = await verifyNote(parseNote(whole), { vkeys, hash, verify })
  assert.ok(verdict.ok)
  assert.deepEqual(
    verdict.signers.map(({ name, type, time }) => ({ name, type, time })),
    [
      { name: 'log', type: 1, time: undefined },
      { name: 'log', type: 1, time: undefined },
      { name: 'witness', type: 4, time: 1_700_000_000 },
    ],
  )
})

test('one bad signature by a known key refuses the note, good ones beside it or not', async () => {
  const log = makeKey('log')
  const witness = makeKey('witness')
  const good = await signText(TEXT, log, log.sign, hash)
  const cosigned = await cosignText(TEXT, witness, 1_700_000_000, witness.sign, hash)
  const vkeys = [log.vkey, witness.witnessVkey]
  const later = cosigned.signature.slice()
  later[7]! ^= 1
  const bad = [
    { ...cosigned, signature: later },
    { ...cosigned, signature: cosigned.signature.slice(8) },
    { ...cosigned, signature: cosigned.signature.with(20, cosigned.signature[20]! ^ 1) },
  ]
  for (const line of bad) {
    const verdict = await verifyNote({ text: TEXT, signatures: [good, line] }, { vkeys, hash, verify })
    assert.equal(verdict.ok, false)
  }
  const other = await verifyNote({ text: `${TEXT}more\n`, signatures: [good] }, { vkeys, hash, verify })
  assert.equal(other.ok, false)
})

test('a note signed by strangers alone is refused', async () => {
  const [log, stranger] = [makeKey('log'), makeKey('log')]
  const note = { text: TEXT, signatures: [await signText(TEXT, stranger, stranger.sign, hash)] }
  assert.deepEqual(await verifyNote(note, { vkeys: [log.vkey], hash, verify }), {
    ok: false,
    reason: 'no signature by a known key',
  })
})

const SIGNATURE = SPEC_NOTE.split('\n\n')[1]!
const malformed: [string, string][] = [
  ['no signatures', 'text\n'],
  ['no blank line', `text\n${SIGNATURE}`],
  ['an empty signature block', 'text\n\n'],
  ['no newline at the end', `text\n\n${SIGNATURE.trimEnd()}`],
  ['a control character', `te\txt\n\n${SIGNATURE}`],
  ['a carriage return', `text\r\n\n${SIGNATURE}`],
  ['a lone surrogate', `te\ud800xt\n\n${SIGNATURE}`],
  ['a hyphen for the dash', `text\n\n${SIGNATURE.replace('—', '-')}`],
  ['a second space', `text\n\n${SIGNATURE.replace('foo ', 'foo  ')}`],
  ['a plus in the name', `text\n\n${SIGNATURE.replace('foo', 'f+o')}`],
  ['a no-break space in the name', `text\n\n${SIGNATURE.replace('foo', 'f\u00a0o')}`],
  ['base64 without padding', `text\n\n${SIGNATURE.replace('=', '')}`],
  ['base64 with stray bits', `text\n\n${SIGNATURE.replace('aQM=', 'aQN=')}`],
  ['a signature of no bytes', 'text\n\n— name AAAAAA==\n'],
  ['101 signatures', `text\n\n${SIGNATURE.repeat(101)}`],
]
for (const [name, note] of malformed) test(`a note with ${name} is refused`, () => assert.throws(() => parseNote(note)))

const badVkeys = [
  '',
  'example.com/foo',
  SPEC_VKEY.replace('530d903a', '530d903b'),
  SPEC_VKEY.replace('530d903a', '530D903A'),
  SPEC_VKEY.replace('example.com/foo', 'example.com/bar'),
  SPEC_VKEY.replace('+AekyeR', '+BukyeR'),
  SPEC_VKEY.slice(0, -4),
]
for (const vkey of badVkeys) test(`vkey "${vkey}" is refused`, () => assert.throws(() => parseVkey(vkey, hash)))
