import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createRateLimit } from './rate-limit.ts'

test('no window of any place holds more than the limit, and whoever waits as long as they are told is let in', () => {
  const step = fc.record({ wait: fc.integer({ min: 0, max: 400 }), key: fc.constantFrom('a', 'b') })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), fc.array(step, { maxLength: 200 }), (max, steps) => {
      const windowMs = 1_000
      const limit = createRateLimit(() => ({ max, windowMs }))
      const taken = new Map<string, number[]>()
      let now = 0
      for (const { wait, key } of steps) {
        now += wait
        // Of all that were ever let in, those that count now.
        const all = taken.get(key) ?? []
        const counting = all.filter((at) => at > now - windowMs)
        const answer = limit.take(key, now)
        assert.equal(answer.ok, counting.length < max)
        if (answer.ok) taken.set(key, [...all, now])
        else assert.equal(answer.retryAfter, Math.ceil((counting[0]! + windowMs - now) / 1_000))
      }
    }),
  )
})

test('a limit that is changed counts at once what was used before', () => {
  const limits = { max: 3, windowMs: 1_000 }
  const limit = createRateLimit(() => limits)
  for (const at of [0, 100, 200]) assert.equal(limit.take('a', at).ok, true)
  limits.max = 1
  // The last of them alone has to be over.
  assert.deepEqual(limit.take('a', 300), { ok: false, retryAfter: 1 })
  assert.equal(limit.take('a', 1_199).ok, false)
  assert.equal(limit.take('a', 1_200).ok, true)
  limits.max = 0
  assert.equal(limit.take('a', 1_200).ok, true)
})
