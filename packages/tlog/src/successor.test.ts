import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { type Entry, encodeEntry, formatVkey, SIGNATURE_ED25519, successorOf } from './index.ts'

const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest())
const vkey = formatVkey(
  { name: 'writ.log/0a1b', type: SIGNATURE_ED25519, publicKey: new Uint8Array(32).fill(7) },
  sha256,
)
const entry = (more: Partial<Entry> = {}) =>
  encodeEntry({
    v: 1,
    id: '0197a0b5-1c2d-7e3f-8a4b-5c6d7e8f9a0b',
    t: '2026-11-22T16:00:00.000Z',
    seq: 0,
    actor: { kind: 'user', id: 'u' },
    act: 'log.succeeded',
    res: vkey,
    pl: [],
    ...more,
  })

test('an entry names the log that continues its own, by that log’s key', () => {
  assert.deepEqual(successorOf(entry(), sha256), { origin: 'writ.log/0a1b', vkey })
})

test('whatever else an entry is, it names none', () => {
  for (const other of [
    entry({ act: 'log.key_rotated' }),
    entry({ act: 'log.succeeded_by' }),
    entry({ res: undefined }),
    entry({ res: 'writ.log/0a1b' }),
    entry({ res: vkey.replace('0a1b', '0a1c') }),
    new TextEncoder().encode('{"act":"log.succeeded","res":"x"}'),
    new TextEncoder().encode('{"act":"log.succeeded",'),
    new Uint8Array(),
  ])
    assert.equal(successorOf(other, sha256), undefined, new TextDecoder().decode(other))
})
