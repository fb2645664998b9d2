/**
 * Programs that nobody chose: random orders of people with schedules, schedulers and clocks that are set, against a book of what
 * docs/schedules.md promises and times that are counted minute by minute. A few fixed ones here, on both databases;
 * `node test/schedules/model/main.ts` plays others, and shortens one that fails.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lastTimes, nextTimes } from '../../packages/server/src/schedules/timing.ts'
import { backends } from '../backends.ts'
import { dueTimes } from './model/due.ts'
import { programOf, timesOf } from './model/program.ts'
import { openTable } from './model/table.ts'

const games = { sqlite: [201, 202], postgres: [101] } as const

for (const { name, skip } of backends())
  test(`whatever becomes of schedules and clocks, each due time is decided once, as promised (${name})`, {
    skip,
  }, async (t) => {
    await using table = await openTable(name)
    for (const seed of games[name])
      await t.test(`program ${seed}`, () => table.play(programOf(seed, { length: 40, restarts: true })))
  })

test('the times of a calendar are those that a person counts', () => {
  for (let seed = 1; seed <= 15; seed++) {
    const { times, from, to } = timesOf(seed)
    const { cron, zone, gap, overlap, startsAt, endsAt } = times
    const counted = dueTimes(times, from, to)
    const timing = { cron: cron!, everyMs: null, at: null, zone, dstGap: gap, dstOverlap: overlap, startsAt, endsAt }
    const said = `seed ${seed}: ${JSON.stringify(times)} from ${new Date(from).toISOString()}`
    assert.deepEqual(nextTimes(timing, from - 1, counted.length + 1, to), counted, said)
    assert.deepEqual(lastTimes(timing, from, to, 7), counted.slice(-7), said)
  }
})
