import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dateOf, dayOf, dueDays, weeksOf } from './due-days.ts'

const at = (text: string) => new Date(text)

test('a month is shown in whole weeks from Monday on', () => {
  const weeks = weeksOf('month', at('2026-11-26T12:00:00'))
  assert.equal(weeks.length, 6)
  assert.equal(dayOf(weeks[0]![0]!), '2026-10-26')
  assert.equal(dayOf(weeks[5]![6]!), '2026-12-06')
  assert.deepEqual(
    weeksOf('week', at('2026-11-26T00:00:00')).map((week) => week.map(dayOf)),
    [['2026-11-23', '2026-11-24', '2026-11-25', '2026-11-26', '2026-11-27', '2026-11-28', '2026-11-29']],
  )
  assert.equal(weeksOf('month', at('2027-02-01T00:00:00')).length, 4)
})

test('what is no date in the address is today', () => {
  const now = at('2026-11-26T15:00:00')
  for (const text of [undefined, 'soon', '2026-1-1']) assert.equal(dayOf(dateOf(text, now)), '2026-11-26')
  assert.equal(dayOf(dateOf('2024-02-29', now)), '2024-02-29')
})

test('a day has each schedule once, with how often and from when', () => {
  const days = weeksOf('week', at('2026-11-26T00:00:00'))[0]!
  const times = ['2026-11-26T02:30:00', '2026-11-26T14:30:00', '2026-11-27T02:30:00'].map((one) => at(one).getTime())
  const cells = dueDays([{ id: 'a', times, more: false }], days)
  assert.deepEqual(cells.get('2026-11-25'), [])
  assert.deepEqual(cells.get('2026-11-26'), [{ id: 'a', count: 2, first: times[0], more: false }])
  assert.deepEqual(cells.get('2026-11-27'), [{ id: 'a', count: 1, first: times[2], more: false }])
})

test('behind the last time that was asked for there are more, and nothing is made up', () => {
  const days = weeksOf('week', at('2026-11-26T00:00:00'))[0]!
  const times = [at('2026-11-26T10:00:00').getTime(), at('2026-11-27T10:00:00').getTime()]
  const cells = dueDays([{ id: 'a', times, more: true }], days)
  assert.deepEqual(cells.get('2026-11-26'), [{ id: 'a', count: 1, first: times[0], more: false }])
  assert.deepEqual(cells.get('2026-11-27'), [{ id: 'a', count: 1, first: times[1], more: true }])
  assert.deepEqual(cells.get('2026-11-28'), [{ id: 'a', count: 0, first: null, more: true }])
})

test('a day is read from morning to night, whatever its schedules are called', () => {
  const days = weeksOf('week', at('2026-11-26T00:00:00'))[0]!
  const plan = (id: string, time: string, more = false) => ({ id, times: [at(time).getTime()], more })
  const cells = dueDays(
    [
      plan('often', '2026-11-25T10:00:00', true),
      plan('late', '2026-11-26T22:00:00'),
      plan('early', '2026-11-26T09:30:00'),
    ],
    days,
  )
  assert.deepEqual(
    cells.get('2026-11-26')!.map(({ id }) => id),
    ['early', 'late', 'often'],
  )
})
