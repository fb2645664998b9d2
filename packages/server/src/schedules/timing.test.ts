import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faultOf, lastTimes, nextAfter, nextTimes, type Timing } from './timing.ts'

const timing = (more: Partial<Timing>): Timing => ({
  cron: null,
  everyMs: null,
  at: null,
  zone: 'UTC',
  dstGap: 'after',
  dstOverlap: 'first',
  startsAt: null,
  endsAt: null,
  ...more,
})
const at = (text: string) => Date.parse(text)
const texts = (times: readonly number[]) => times.map((time) => new Date(time).toISOString().replace('.000Z', 'Z'))
const times = (more: Partial<Timing>, after: string, count: number) => texts(nextTimes(timing(more), at(after), count))

// What clocks did is from the tz database: Berlin 2027-03-28 01:00Z and 2027-10-31 01:00Z; New York 2027-03-14 07:00Z and
// 2027-11-07 06:00Z; Lord Howe goes by half an hour, 2027-04-03 15:00Z back and 2027-10-02 15:30Z forward.
const cases: readonly [string, Partial<Timing>, string, readonly string[]][] = [
  [
    'Berlin, a time in the gap, after',
    { cron: '30 2 * * *', zone: 'Europe/Berlin', dstGap: 'after' },
    '2027-03-27T00:00:00Z',
    ['2027-03-27T01:30:00Z', '2027-03-28T01:00:00Z', '2027-03-29T00:30:00Z'],
  ],
  [
    'Berlin, a time in the gap, skip',
    { cron: '30 2 * * *', zone: 'Europe/Berlin', dstGap: 'skip' },
    '2027-03-27T00:00:00Z',
    ['2027-03-27T01:30:00Z', '2027-03-29T00:30:00Z'],
  ],
  [
    'Berlin, a time that comes twice, first',
    { cron: '30 2 * * *', zone: 'Europe/Berlin', dstOverlap: 'first' },
    '2027-10-30T12:00:00Z',
    ['2027-10-31T00:30:00Z', '2027-11-01T01:30:00Z'],
  ],
  [
    'Berlin, a time that comes twice, both',
    { cron: '30 2 * * *', zone: 'Europe/Berlin', dstOverlap: 'both' },
    '2027-10-30T12:00:00Z',
    ['2027-10-31T00:30:00Z', '2027-10-31T01:30:00Z', '2027-11-01T01:30:00Z'],
  ],
  [
    'Berlin, asked between the two, first',
    { cron: '30 2 * * *', zone: 'Europe/Berlin', dstOverlap: 'first' },
    '2027-10-31T00:45:00Z',
    ['2027-11-01T01:30:00Z'],
  ],
  [
    'Berlin, often, the gap is no time',
    { cron: '*/30 * * * *', zone: 'Europe/Berlin' },
    '2027-03-28T00:00:00Z',
    ['2027-03-28T00:30:00Z', '2027-03-28T01:00:00Z', '2027-03-28T01:30:00Z'],
  ],
  [
    'Berlin, often, both',
    { cron: '*/30 * * * *', zone: 'Europe/Berlin', dstOverlap: 'both' },
    '2027-10-31T00:00:00Z',
    ['2027-10-31T00:30:00Z', '2027-10-31T01:00:00Z', '2027-10-31T01:30:00Z', '2027-10-31T02:00:00Z'],
  ],
  [
    'Berlin, often, first',
    { cron: '*/30 * * * *', zone: 'Europe/Berlin', dstOverlap: 'first' },
    '2027-10-31T00:00:00Z',
    ['2027-10-31T00:30:00Z', '2027-10-31T02:00:00Z'],
  ],
  [
    'Berlin, the end of the gap is due itself',
    { cron: '0,30 2,3 * * *', zone: 'Europe/Berlin' },
    '2027-03-28T00:00:00Z',
    ['2027-03-28T01:00:00Z', '2027-03-28T01:30:00Z'],
  ],
  [
    'Berlin, each second, first',
    { cron: '*/20 * * * * *', zone: 'Europe/Berlin', dstOverlap: 'first' },
    '2027-10-31T00:59:30Z',
    ['2027-10-31T00:59:40Z', '2027-10-31T02:00:00Z'],
  ],
  [
    'New York, gap, after',
    { cron: '15 2 * * *', zone: 'America/New_York' },
    '2027-03-13T12:00:00Z',
    ['2027-03-14T07:00:00Z', '2027-03-15T06:15:00Z'],
  ],
  [
    'New York, gap, skip',
    { cron: '15 2 * * *', zone: 'America/New_York', dstGap: 'skip' },
    '2027-03-13T12:00:00Z',
    ['2027-03-15T06:15:00Z'],
  ],
  [
    'New York, twice, both',
    { cron: '15 1 * * *', zone: 'America/New_York', dstOverlap: 'both' },
    '2027-11-06T12:00:00Z',
    ['2027-11-07T05:15:00Z', '2027-11-07T06:15:00Z', '2027-11-08T06:15:00Z'],
  ],
  [
    'New York, twice, first',
    { cron: '15 1 * * *', zone: 'America/New_York' },
    '2027-11-06T12:00:00Z',
    ['2027-11-07T05:15:00Z', '2027-11-08T06:15:00Z'],
  ],
  [
    'Shanghai never changes',
    { cron: '0 9 * * MON', zone: 'Asia/Shanghai' },
    '2027-03-26T00:00:00Z',
    ['2027-03-29T01:00:00Z', '2027-04-05T01:00:00Z'],
  ],
  [
    'Lord Howe, half an hour twice, first',
    { cron: '45 1 * * *', zone: 'Australia/Lord_Howe' },
    '2027-04-03T00:00:00Z',
    ['2027-04-03T14:45:00Z', '2027-04-04T15:15:00Z'],
  ],
  [
    'Lord Howe, half an hour twice, both',
    { cron: '45 1 * * *', zone: 'Australia/Lord_Howe', dstOverlap: 'both' },
    '2027-04-03T00:00:00Z',
    ['2027-04-03T14:45:00Z', '2027-04-03T15:15:00Z', '2027-04-04T15:15:00Z'],
  ],
  [
    'Lord Howe, half an hour is missing, after',
    { cron: '15 2 * * *', zone: 'Australia/Lord_Howe' },
    '2027-10-02T00:00:00Z',
    ['2027-10-02T15:30:00Z', '2027-10-03T15:15:00Z'],
  ],
  [
    'Lord Howe, half an hour is missing, skip',
    { cron: '15 2 * * *', zone: 'Australia/Lord_Howe', dstGap: 'skip' },
    '2027-10-02T00:00:00Z',
    ['2027-10-03T15:15:00Z'],
  ],
  ['seconds', { cron: '30 0 0 1 1 *' }, '2027-06-01T00:00:00Z', ['2028-01-01T00:00:30Z', '2029-01-01T00:00:30Z']],
  ['a leap day', { cron: '0 0 29 2 *' }, '2027-01-01T00:00:00Z', ['2028-02-29T00:00:00Z', '2032-02-29T00:00:00Z']],
  [
    'an interval from its start',
    { everyMs: 90_000, startsAt: at('2027-01-01T00:00:10Z') },
    '2026-12-01T00:00:00Z',
    ['2027-01-01T00:00:10Z', '2027-01-01T00:01:40Z'],
  ],
  ['an interval', { everyMs: 3_600_000 }, '2027-01-01T00:30:00Z', ['2027-01-01T01:00:00Z', '2027-01-01T02:00:00Z']],
  ['once', { at: at('2027-01-01T00:00:00Z') }, '2026-12-01T00:00:00Z', ['2027-01-01T00:00:00Z']],
]

for (const [name, more, after, expected] of cases)
  test(`due: ${name}`, () => assert.deepEqual(times(more, after, expected.length), expected))

test('nothing is due after the end, after a single time, or on a day that never comes', () => {
  assert.equal(
    nextAfter(timing({ cron: '0 * * * *', endsAt: at('2027-01-01T05:00:00Z') }), at('2027-01-01T05:00:00Z')),
    null,
  )
  assert.equal(
    nextAfter(timing({ cron: '0 * * * *', endsAt: at('2027-01-01T05:00:00Z') }), at('2027-01-01T04:00:00Z')),
    at('2027-01-01T05:00:00Z'),
  )
  assert.equal(nextAfter(timing({ at: 5 }), 5), null)
  assert.equal(nextAfter(timing({ cron: '0 0 30 2 *' }), 0), null)
})

test('asked for an instant before a change of clocks, the end of the gap is still ahead', () => {
  const one = timing({ cron: '30 2 * * *', zone: 'Europe/Berlin' })
  assert.equal(nextAfter(one, at('2027-03-28T00:59:59.999Z')), at('2027-03-28T01:00:00Z'))
  assert.equal(nextAfter(one, at('2027-03-28T01:00:00Z')), at('2027-03-29T00:30:00Z'))
})

test('the last of many missed times are found without counting them all', () => {
  const [from, to] = [at('2027-01-01T00:00:00Z'), at('2028-01-01T00:00:00Z')]
  assert.deepEqual(texts(lastTimes(timing({ cron: '* * * * * *' }), from, to, 2)), [
    '2027-12-31T23:59:59Z',
    '2028-01-01T00:00:00Z',
  ])
  assert.deepEqual(texts(lastTimes(timing({ cron: '0 0 1 6,7 *' }), from, to, 5)), [
    '2027-06-01T00:00:00Z',
    '2027-07-01T00:00:00Z',
  ])
  assert.deepEqual(lastTimes(timing({ at: 7 }), 8, 9, 5), [])
})

test('what is no cron, and no zone, is said', () => {
  assert.equal(faultOf(timing({ cron: '0 2 * * *', zone: 'Europe/Berlin' })), null)
  assert.equal(faultOf(timing({ cron: '60 * * * *' }))?.field, 'cron')
  assert.equal(faultOf(timing({ cron: '0 0 32 * *' }))?.reason, 'Invalid value for day: 32')
  assert.equal(faultOf(timing({ cron: '0 0 * 13 *' }))?.reason, 'Invalid value for month: 13')
  assert.match(faultOf(timing({ cron: '* * * *' }))?.reason ?? '', /five/)
  assert.deepEqual(faultOf(timing({ cron: '0 0 0 1 1 * 2030' })), {
    field: 'cron',
    reason: 'cron has five fields, or six with seconds first; this has 7',
  })
  assert.equal(faultOf(timing({ cron: '@daily', zone: 'PRC' })), null)
  assert.deepEqual(faultOf(timing({ cron: '* * * * *', zone: 'CST' })), {
    field: 'zone',
    reason: '"CST" is no IANA time zone; name a place, such as Asia/Shanghai',
  })
  assert.deepEqual(faultOf(timing({ cron: '* * * * *', zone: 'Mars/Olympus' })), {
    field: 'zone',
    reason: '"Mars/Olympus" is no IANA time zone',
  })
})
