import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRunSequences, gapText } from './index.ts'

const follow = (entries: readonly (readonly [run: string | undefined, seq: number])[]) => {
  const sequences = createRunSequences()
  return entries.map(([run, seq]) => sequences.follow({ run, seq }))
}

test('events of runs that stand between each other are followed each by its own number', () => {
  const entries = [
    ['a', 0],
    ['b', 0],
    [undefined, 0],
    ['a', 1],
    ['b', 1],
    ['a', 2],
    [undefined, 0],
  ] as const
  assert.ok(follow(entries).every((gap) => gap === undefined))
})

test('what is missing in the middle, at the beginning, and what comes twice', () => {
  const [, gap, after] = follow([
    ['a', 0],
    ['a', 2],
    ['a', 3],
  ])
  assert.deepEqual(gap, { run: 'a', seq: 2, expected: 1, begun: true })
  assert.equal(after, undefined)
  assert.equal(gapText(gap!, 'the log'), 'event 1 of the run a is not in the log, but event 2 is')
  assert.deepEqual(follow([['a', 4]]), [{ run: 'a', seq: 4, expected: 0, begun: false }])
  const [, twice] = follow([
    ['a', 0],
    ['a', 0],
  ])
  assert.equal(gapText(twice!, 'the log'), 'event 0 of the run a comes again where event 1 should')
})

test('a run that was forgotten has not begun', () => {
  const sequences = createRunSequences()
  sequences.follow({ run: 'a', seq: 0 })
  sequences.forget('a')
  assert.deepEqual(sequences.follow({ run: 'a', seq: 1 }), { run: 'a', seq: 1, expected: 0, begun: false })
})
