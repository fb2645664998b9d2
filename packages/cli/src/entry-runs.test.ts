import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Entry, encodeEntry } from '@writ/tlog'
import { createRunWatch } from './entry-runs.ts'

const entry = (act: string, run?: string, seq = 0): Uint8Array => {
  const leaf: Entry = {
    v: 1,
    id: '01a214fe-3541-7583-8b2e-000000000000',
    t: '2026-11-22T16:00:00.000Z',
    seq,
    run,
    actor: { kind: 'user', id: '"run":"x","seq":7' },
    act,
    res: 'r',
    pl: [],
  }
  return encodeEntry(leaf)
}

test('a hole in the events of a run is named with the entry after it, the first one only', () => {
  const watch = createRunWatch()
  for (const [index, bytes] of [
    entry('ticket.created'),
    entry('run.created', 'a'),
    entry('run.created', 'b'),
    entry('run.started', 'a', 1),
    entry('run.completed', 'b', 12),
    entry('run.completed', 'a', 3),
  ].entries())
    watch.look(index, bytes)
  const reason = 'event 1 of the run b is not in the log, but event 12 is'
  assert.deepEqual(watch.found, { code: 'RUN_EVENT_MISSING', index: 4, reason })
})

test('nothing is said of a run that began before this log, or ended at once', () => {
  const watch = createRunWatch()
  for (const [index, bytes] of [
    entry('run.completed', 'a', 4),
    entry('artifact.downloaded', 'a', 5),
    entry('run.failed', 'b'),
    entry('task.purged', 'b', 1),
  ].entries())
    watch.look(index, bytes)
  assert.equal(watch.found, undefined)
})
