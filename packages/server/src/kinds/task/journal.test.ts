import assert from 'node:assert/strict'
import { test } from 'node:test'
import { canonicalize, type Json } from '../../audit/index.ts'
import { type Journal, journalDigest, journalText } from './journal.ts'

const journal: Journal = {
  run: '0190a000-0000-7000-8000-00000000000a',
  handler: 'system.ping',
  queue: 'api',
  askedBy: null,
  acceptedAt: Date.UTC(2027, 0, 15),
  inputSha256: 'a'.repeat(64),
  attempts: [
    { attempt: 1, outcome: 'failed', startedAt: Date.UTC(2027, 0, 15), endedAt: Date.UTC(2027, 0, 16), errorCode: 'X' },
    { attempt: 3, outcome: 'completed', startedAt: null, endedAt: Date.UTC(2027, 0, 17), errorCode: null },
  ],
  state: 'completed',
  errorCode: null,
  outputSha256: 'b'.repeat(64),
  settledAt: Date.UTC(2027, 0, 17),
}

test('a journal is canonical JSON', () => {
  const text = journalText(journal)
  assert.equal(text, canonicalize(JSON.parse(text) as Json))
})

// For ever: leaves commit to it.
test('the digest of a journal is pinned', () => {
  assert.equal(journalDigest(journal), 'd5d6fb09ea4b950bae849b997e0b4ae72fba29e6174fb01951fa0fca70f2c66c')
})
