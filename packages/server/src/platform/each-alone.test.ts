import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DatabaseUnavailable } from './db/index.ts'
import { eachAlone } from './each-alone.ts'

test('what one of several meets is thrown when each had its turn', async () => {
  const done: number[] = []
  const work = async (n: number) => {
    if (n % 2 === 0) throw new Error(`no ${n}`)
    done.push(n)
  }
  await assert.rejects(eachAlone([1, 2, 3, 4, 5], work), /no 2/)
  assert.deepEqual(done, [1, 3, 5])
  await eachAlone([7, 9], work)
  assert.deepEqual(done, [1, 3, 5, 7, 9])
})

test('what all of them would meet is thrown at once', async () => {
  const asked: number[] = []
  const away = async (n: number) => {
    asked.push(n)
    throw new DatabaseUnavailable(new Error('refused'))
  }
  await assert.rejects(eachAlone([1, 2, 3], away), DatabaseUnavailable)
  assert.deepEqual(asked, [1])
})
