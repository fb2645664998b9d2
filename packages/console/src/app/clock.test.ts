import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ahead, hearTime } from './clock.ts'

const NOON = Date.UTC(2026, 10, 28, 12)
const at = (ms: number) => new Date(ms).toUTCString()

test('clocks that agree, but for latency and the second, are taken as one', () => {
  for (const [date, asked, answered] of [
    [NOON, NOON, NOON + 20],
    [NOON, NOON + 900, NOON + 950],
    [NOON, NOON - 25_000, NOON + 100],
    [NOON, NOON + 2_500, NOON + 2_600],
  ] as const) {
    hearTime(at(date), asked, answered)
    assert.equal(ahead.get(), 0)
  }
})

test('a browser an hour off is told so by one answer, keeps it, and hears when it is set right', () => {
  const HOUR = 3_600_000
  hearTime(at(NOON), NOON - HOUR, NOON - HOUR + 100)
  assert.ok(Math.abs(ahead.get() - HOUR) <= 1_000)
  const first = ahead.get()
  hearTime(at(NOON + 5_000), NOON - HOUR + 5_000, NOON - HOUR + 5_900)
  assert.equal(ahead.get(), first)
  hearTime(at(NOON + 9_000), NOON + 9_000, NOON + 9_100)
  assert.equal(ahead.get(), 0)
  // What says no time says nothing.
  for (const none of [null, '', 'yesterday']) hearTime(none, 0, 0)
  assert.equal(ahead.get(), 0)
})
