import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findTogether } from './find-together.ts'

test('what is asked for within a turn is looked for at once, by project, and what is asked for later anew', async () => {
  const asked: [string, readonly string[]][] = []
  const kept = new Map([['greet', 1]])
  const find = findTogether(async (project, names) => {
    asked.push([project, names])
    return new Map(kept)
  })
  const found = await Promise.all([find('a', 'greet'), find('a', 'mail'), find('a', 'greet'), find('b', 'greet')])
  assert.deepEqual(found, [1, undefined, 1, 1])
  assert.deepEqual(asked.splice(0), [
    ['a', ['greet', 'mail']],
    ['b', ['greet']],
  ])
  kept.set('mail', 2)
  assert.equal(await find('a', 'mail'), 2)
  assert.deepEqual(asked, [['a', ['mail']]])
})

test('who asks while others are being looked for is not answered by what they find', async () => {
  const kept = new Map<string, number>()
  const answers: (() => void)[] = []
  const find = findTogether<number>(async () => {
    const seen = new Map(kept)
    await new Promise<void>((resolve) => answers.push(resolve))
    return seen
  })
  const before = find('a', 'greet')
  while (answers.length === 0) await new Promise(setImmediate)
  kept.set('greet', 1)
  const after = find('a', 'greet')
  while (answers.length === 1) await new Promise(setImmediate)
  for (const answer of answers) answer()
  assert.deepEqual([await before, await after], [undefined, 1])
})

test('all who asked together hear of a failure, and it is tried anew', async () => {
  let broken = true
  const find = findTogether<number>(async () => {
    if (broken) throw new Error('the database is away')
    return new Map([['greet', 1]])
  })
  const said = await Promise.allSettled([find('a', 'greet'), find('a', 'mail')])
  assert.deepEqual(
    said.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  broken = false
  assert.equal(await find('a', 'greet'), 1)
})
