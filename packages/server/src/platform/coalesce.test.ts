import assert from 'node:assert/strict'
import { test } from 'node:test'
import { coalesce } from './coalesce.ts'

test('lookups of one turn are one call, and nothing is kept for the next', async () => {
  const calls: string[][] = []
  const lookUp = coalesce<string>(async (keys) => {
    calls.push([...keys])
    return new Map(keys.filter((key) => key !== 'none').map((key) => [key, `found ${key}`]))
  })
  const found = await Promise.all([lookUp('a'), lookUp('b'), lookUp('a'), lookUp('none')])
  assert.deepEqual(found, ['found a', 'found b', 'found a', undefined])
  await lookUp('a')
  assert.deepEqual(calls, [['a', 'b', 'none'], ['a']])
})
