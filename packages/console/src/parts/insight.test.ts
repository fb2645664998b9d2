import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Bucket, changes, failing, filled, heatOf } from './insight.ts'

const counts = (ended: number, failed = 0) => ({
  ended,
  failed,
  cancelled: 0,
  cost_usd: 0,
  ran_ms: null,
  waited_ms: null,
  error_codes: [],
})
const at = (text: string, ended: number, failed = 0): Bucket => ({ at: text, ...counts(ended, failed) })

test('every step of a period is there, and nothing is drawn into a gap', () => {
  const steps = filled({
    from: '2026-11-26T00:00:00Z',
    to: '2026-11-26T04:00:00Z',
    step: 'hour',
    buckets: [at('2026-11-26T01:00:00Z', 7, 2)],
  })
  assert.deepEqual(
    steps.map(({ ended, ran_ms }) => [ended, ran_ms]),
    [
      [0, null],
      [7, null],
      [0, null],
      [0, null],
    ],
  )
})

test('hours of a week are shaded against the busiest', () => {
  const local = (text: string) => new Date(text).toISOString()
  const heat = heatOf([
    at(local('2026-11-23T09:00:00'), 100),
    at(local('2026-11-29T23:00:00'), 1, 1),
    at(local('2026-11-16T09:00:00'), 100),
  ])
  assert.deepEqual(heat[0]![9], { ended: 200, failed: 0, shade: 5 })
  assert.deepEqual(heat[6]![23], { ended: 1, failed: 1, shade: 1 })
  assert.deepEqual(heat[3]![3], { ended: 0, failed: 0, shade: 0 })
})

test('what changed most comes first, and who came or went is among it', () => {
  const now = [
    { handler: 'same', ...counts(10) },
    { handler: 'worse', ...counts(10, 5) },
    { handler: 'new', ...counts(3) },
  ]
  const before = [
    { handler: 'same', ...counts(10) },
    { handler: 'worse', ...counts(10, 1) },
    { handler: 'gone', ...counts(8) },
  ]
  assert.deepEqual(
    changes(now, before).map(({ handler }) => handler),
    ['worse', 'gone', 'new', 'same'],
  )
  assert.equal(failing(counts(0)), null)
})
