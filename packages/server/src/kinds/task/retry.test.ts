import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backoffMs } from './retry.ts'

test('the wait doubles from one second, and ends at an hour', () => {
  const middle = () => 0.5
  assert.deepEqual(
    [1, 2, 3, 4, 12, 13, 90].map((failures) => backoffMs(failures, middle)),
    [1_000, 2_000, 4_000, 8_000, 2_048_000, 3_600_000, 3_600_000],
  )
})

test('a wait is up to a quarter shorter or longer', () => {
  assert.equal(
    backoffMs(3, () => 0),
    3_000,
  )
  assert.equal(
    backoffMs(3, () => 0.999_999),
    5_000,
  )
})
