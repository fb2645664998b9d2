import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type DayEvent, readableLine } from './day-file.ts'

const payload = {
  event_type: 'run.failed',
  timestamp: '2026-01-02T03:04:05.006Z',
  actor_id: 'u1',
  actor_username: 'ada',
  resource_type: 'run',
  resource_id: 'r1',
  action: 'Task a.b: failed',
  details: { success: true, action: 'other', details: null },
  ip_address: null,
  user_agent: null,
  success: false,
  error_message: null,
}
const lineOf = (change: object): string =>
  readableLine({
    timestamp: 0,
    event: JSON.stringify({ ...payload, ...change }),
    actor_number: 7,
    resource_number: 12,
  } satisfies DayEvent)
const LINE = '2026-01-02T03:04:05.006Z|run.failed|ada(7)|run:12|FAILED|Task a.b: failed'

test('a line for people says what its payload does, whatever its texts hold', () => {
  assert.equal(lineOf({}), LINE)
  const forged = ',"details":{},"success":true,"action":"x"}\\'
  assert.equal(lineOf({ action: forged }), LINE.replace('Task a.b: failed', forged.replace('\\', '\\\\')))
  for (const change of [
    { details: null },
    { details: { [forged]: forged, success: true } },
    { user_agent: forged },
    { error_message: forged },
  ])
    assert.equal(lineOf(change), LINE)
  assert.equal(lineOf({ success: true, error_message: ',"success":false,' }), LINE.replace('FAILED', 'SUCCESS'))
})

test('what hides or reorders letters is written out', () => {
  assert.equal(
    lineOf({ action: 'T \u202eb\u2069 \u200b\ufeff \u200f\u{e0041} שלום 👩\u200d👧' }),
    LINE.replace('Task a.b: failed', 'T \\u202eb\\u2069 \\u200b\\ufeff \\u200f\\u{e0041} שלום 👩\u200d👧'),
  )
})

test('a payload whose keys stand in another order is read all the same', () => {
  const turned = Object.fromEntries(Object.entries(payload).toReversed())
  assert.equal(
    readableLine({ timestamp: 0, event: JSON.stringify(turned), actor_number: 7, resource_number: 12 }),
    LINE,
  )
  assert.equal(
    readableLine({ timestamp: 0, event: JSON.stringify(payload, null, 1), actor_number: 7, resource_number: 12 }),
    LINE,
  )
})
