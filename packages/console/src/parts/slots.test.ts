import assert from 'node:assert/strict'
import { test } from 'node:test'
import { slotsOf } from './slots.ts'

const of = (...ranges: readonly (readonly [number, number])[]) => {
  let slots: ReadonlyMap<number, number> = new Map()
  for (const [first, last] of ranges) slots = slotsOf(slots, first, last)
  return [...slots]
}

test('a row that stays in view keeps its slot, and one that comes takes a slot that is free', () => {
  assert.deepEqual(of([0, 3]), [
    [0, 0],
    [1, 1],
    [2, 2],
    [3, 3],
  ])
  assert.deepEqual(of([0, 3], [2, 5]), [
    [2, 2],
    [3, 3],
    [4, 0],
    [5, 1],
  ])
  assert.deepEqual(of([0, 3], [2, 5], [2, 5]), [
    [2, 2],
    [3, 3],
    [4, 0],
    [5, 1],
  ])
})

test('where all rows are others every slot is used again, in its order', () => {
  assert.deepEqual(of([0, 3], [90, 93]), [
    [90, 0],
    [91, 1],
    [92, 2],
    [93, 3],
  ])
  assert.deepEqual(of([90, 93], [0, 2]), [
    [0, 0],
    [1, 1],
    [2, 2],
  ])
})

test('a little way up rows are made anew, because more than they would move', () => {
  assert.deepEqual(of([10, 13], [9, 12]), [
    [9, 4],
    [10, 0],
    [11, 1],
    [12, 2],
  ])
  assert.deepEqual(of([10, 13], [7, 10]), [
    [7, 1],
    [8, 2],
    [9, 3],
    [10, 0],
  ])
})

test('a list that becomes empty and fills again begins anew', () => {
  assert.deepEqual(of([0, 3], [0, -1]), [])
  assert.deepEqual(of([0, 3], [0, -1], [5, 6]), [
    [5, 0],
    [6, 1],
  ])
})
