import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTurns } from './turns.ts'

test('of a thousand questions so many are asked at once, in their order, and one that fails holds up no other', async () => {
  const inTurn = createTurns(3)
  const begun: number[] = []
  let [working, most] = [0, 0]
  const answers = await Promise.allSettled(
    Array.from({ length: 1_000 }, (_, n) =>
      inTurn(async () => {
        begun.push(n)
        most = Math.max(most, ++working)
        await new Promise((turn) => setImmediate(turn))
        working--
        if (n % 7 === 0) throw new Error('as the test wants it')
        return n
      }),
    ),
  )
  assert.equal(most, 3)
  assert.deepEqual(
    begun,
    Array.from({ length: 1_000 }, (_, n) => n),
  )
  assert.equal(answers.filter(({ status }) => status === 'rejected').length, 143)
  assert.deepEqual(answers[8], { status: 'fulfilled', value: 8 })
  assert.equal(await inTurn(async () => working), 0)
})
