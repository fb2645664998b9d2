import assert from 'node:assert/strict'
import { test } from 'node:test'
import { axisWidth, timeLabels } from './axes.ts'

const at = (day: number, hour: number) => new Date(2026, 10, day, hour).getTime()

test('a day is named once, where it begins; between two days the clock is told', () => {
  assert.deepEqual(timeLabels([at(21, 0), at(21, 12), at(22, 0), at(22, 12)], true, 'en'), [
    'Nov 21',
    '12:00',
    'Nov 22',
    '12:00',
  ])
  assert.deepEqual(timeLabels([at(21, 0), at(22, 0)], true, 'zh-CN'), ['11月21日', '11月22日'])
})

test('within days the clock is told at midnight too', () => {
  assert.deepEqual(timeLabels([at(21, 22), at(22, 0)], false, 'en'), ['22:00', '00:00'])
})

test('an axis is as wide as its longest value, and never narrower than the others', () => {
  const widthOf = (text: string) => text.length * 8
  assert.equal(axisWidth(['US$0.10', 'US$0.00'], widthOf, 62), 74)
  assert.equal(axisWidth(['0'], widthOf, 62), 62)
})
