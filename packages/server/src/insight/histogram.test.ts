import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addTo, classOf, lengthOf, quantiles } from './histogram.ts'

test('what is told of a length is within 5 % of it', () => {
  for (let ms = 10; ms < 200_000_000; ms = Math.ceil(ms * 1.013)) {
    const told = lengthOf(classOf(ms))
    assert.ok(Math.abs(told - ms) <= ms * 0.05 + 0.5, `${ms} is told as ${told}`)
  }
  assert.equal(lengthOf(classOf(0)), 0)
  assert.equal(lengthOf(classOf(1)), 1)
})

test('shares are found in what was added up', () => {
  const sum: Record<string, number> = {}
  for (let ms = 1; ms <= 1_000; ms++) addTo(sum, { [classOf(ms)]: 1 })
  const [p50, p95, p99] = quantiles(sum, [0.5, 0.95, 0.99])!
  assert.ok(Math.abs(p50! - 500) <= 25, String(p50))
  assert.ok(Math.abs(p95! - 950) <= 48, String(p95))
  assert.ok(Math.abs(p99! - 990) <= 50, String(p99))
  assert.deepEqual(quantiles({ [classOf(7)]: 1 }, [0.5, 0.99]), [7, 7])
  assert.equal(quantiles({}, [0.5]), null)
})
