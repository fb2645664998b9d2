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
  costs: [],
  state: 'completed',
  errorCode: null,
  outputSha256: 'b'.repeat(64),
  settledAt: Date.UTC(2027, 0, 17),
}

const paid: Journal = {
  ...journal,
  costs: [
    { attempt: 1, what: '', nanos: 5 },
    { attempt: 3, what: 'gpt-5-mini', nanos: 100_000_000 },
    { attempt: 3, what: 'search', nanos: 200_000_000 },
  ],
}

test('a journal is canonical JSON', () => {
  for (const one of [journal, paid]) {
    const text = journalText(one)
    assert.equal(text, canonicalize(JSON.parse(text) as Json))
  }
})

test('what attempts cost stands in the journal in dollars, with their exact sum', () => {
  const { v, cost_usd, costs } = JSON.parse(journalText(paid)) as Record<string, unknown>
  assert.deepEqual(
    { v, cost_usd, costs },
    {
      v: 2,
      cost_usd: 0.300000005,
      costs: [
        { attempt: 1, cost_usd: 5e-9, what: null },
        { attempt: 3, cost_usd: 0.1, what: 'gpt-5-mini' },
        { attempt: 3, cost_usd: 0.2, what: 'search' },
      ],
    },
  )
})

// For ever: leaves commit to it.
test('the digest of a journal is pinned', () => {
  assert.equal(journalDigest(journal), 'd5d6fb09ea4b950bae849b997e0b4ae72fba29e6174fb01951fa0fca70f2c66c')
  assert.equal(journalDigest(paid), '71a5001659e378f2ef4307fd07b628e9c96d069def576a8ee96456eaabf16282')
})
