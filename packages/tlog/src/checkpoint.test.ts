import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeKey, sha256, verifyEd25519 } from '../test/memory-log.ts'
import {
  cosignText,
  formatCheckpoint,
  formatNote,
  openCheckpoint,
  parseCheckpoint,
  parseNote,
  signCheckpoint,
} from './index.ts'

const hash = sha256
const verify = verifyEd25519
const ROOT = 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I='
const SPEC_TEXT = `example.com/behind-the-sofa\n20852163\n${ROOT}\n`

test("the specification's text is read and written", () => {
  const checkpoint = parseCheckpoint(SPEC_TEXT)
  assert.equal(checkpoint.origin, 'example.com/behind-the-sofa')
  assert.equal(checkpoint.size, 20_852_163)
  assert.equal(formatCheckpoint(checkpoint), SPEC_TEXT)
  const extended = parseCheckpoint(`${SPEC_TEXT}more\n`)
  assert.deepEqual(extended.extensions, ['more'])
  assert.equal(formatCheckpoint(extended), `${SPEC_TEXT}more\n`)
})

const malformed: [string, string][] = [
  ['no newline at the end', SPEC_TEXT.trimEnd()],
  ['an empty origin', `\n1\n${ROOT}\n`],
  ['a leading zero', `o\n01\n${ROOT}\n`],
  ['a sign', `o\n+1\n${ROOT}\n`],
  ['a size beyond 2^53', `o\n9007199254740992\n${ROOT}\n`],
  ['a short root', 'o\n1\nAAAA\n'],
  ['an empty extension line', `o\n1\n${ROOT}\n\nx\n`],
  ['two lines', 'o\n1\n'],
]
for (const [name, text] of malformed) {
  test(`a checkpoint with ${name} is refused`, () => assert.throws(() => parseCheckpoint(text)))
}

test('a checkpoint opens with the key of its origin only', async () => {
  const log = makeKey('example.org/log')
  const other = makeKey('example.org/other')
  const checkpoint = { origin: log.name, size: 7, root: new Uint8Array(32).fill(5) }
  const note = await signCheckpoint(checkpoint, log, log.sign, hash)
  const opened = await openCheckpoint(note, { vkeys: [other.vkey, log.vkey], hash, verify })
  assert.ok(opened.ok)
  assert.deepEqual(opened.checkpoint, checkpoint)

  const strange = await openCheckpoint(note, { vkeys: [other.vkey], hash, verify })
  assert.equal(strange.ok ? 'ok' : strange.code, 'CHECKPOINT_ORIGIN')
  const elsewhere = await openCheckpoint(note, { vkeys: [log.vkey], origin: 'example.org/x', hash, verify })
  assert.equal(elsewhere.ok ? 'ok' : elsewhere.code, 'CHECKPOINT_ORIGIN')
})

test('cosignatures do not stand in for the signature of the log', async () => {
  const log = makeKey('example.org/log')
  const witness = makeKey('witness')
  const text = formatCheckpoint({ origin: log.name, size: 7, root: hash(new Uint8Array()) })
  const note = formatNote(text, [await cosignText(text, witness, 1_700_000_000, witness.sign, hash)])
  const opened = await openCheckpoint(note, { vkeys: [log.vkey, witness.witnessVkey], hash, verify })
  assert.deepEqual(opened, { ok: false, code: 'CHECKPOINT_SIGNATURE', reason: 'cosigned, but not signed by the log' })
})

test('a note that is no checkpoint is malformed', async () => {
  const log = makeKey('example.org/log')
  const note = await signCheckpoint({ origin: log.name, size: 7, root: hash(new Uint8Array()) }, log, log.sign, hash)
  const edited = note.replace('\n7\n', '\n07\n')
  for (const bad of ['', 'x', edited, Uint8Array.of(0xff, 0xfe)]) {
    const opened = await openCheckpoint(bad, { vkeys: [log.vkey], hash, verify })
    assert.equal(opened.ok ? 'ok' : opened.code, 'CHECKPOINT_MALFORMED')
  }
  assert.equal(parseNote(note).signatures.length, 1)
})
