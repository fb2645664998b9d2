import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultRetry, retryDelay } from './retry.ts'

const rules = { ...defaultRetry, base_ms: 100, cap_ms: 10_000, random: () => 0.5 }
const none = { retryAfter: null, date: null }

test('waits double and stay under the cap', () => {
  assert.deepEqual(
    [1, 2, 3, 20].map((attempt) => retryDelay(rules, attempt, none)),
    [100, 200, 400, 10_000],
  )
})

test('jitter is a quarter to either side', () => {
  assert.equal(retryDelay({ ...rules, random: () => 0 }, 1, none), 75)
  assert.equal(retryDelay({ ...rules, random: () => 1 }, 1, none), 125)
})

test('a Retry-After in seconds is waited for in full', () => {
  assert.equal(retryDelay(rules, 1, { retryAfter: '3', date: null }), 3025)
})

test('a Retry-After that is a date is read by the clock of the server', () => {
  const answer = { retryAfter: 'Wed, 21 Oct 2026 07:28:05 GMT', date: 'Wed, 21 Oct 2026 07:28:00 GMT' }
  assert.equal(retryDelay(rules, 1, answer), 5025)
})

test('a Retry-After beyond the cap ends the patience', () => {
  assert.equal(retryDelay(rules, 1, { retryAfter: '11', date: null }), undefined)
})
