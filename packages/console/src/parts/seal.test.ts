import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stationOfEvent, stationsOfRun, stationsOfTicket } from './seal.ts'

const ticket = { created_at: '2026-11-26T08:00:00Z', created_by_number: 2, approved_by_number: null }
const run = {
  state: 'completed',
  verdict: 'failed',
  created_at: '2026-11-26T09:00:00Z',
  started_at: '2026-11-26T09:00:01Z',
  completed_at: '2026-11-26T09:00:02Z',
  executed_by_number: 2,
} as const
const seal = {
  id: '',
  number: 1,
  entries: 7,
  pending: 0,
  last_index: 41,
  last_shard: null,
  sealed: true,
  anchored: false,
}
const states = (stations: readonly { state: string }[]) => stations.map(({ state }) => state).join(' ')

test('a ticket is drawn as far as the server says that it came', () => {
  assert.equal(states(stationsOfTicket({ ...ticket, status: 'draft' })), 'now open open open open')
  assert.equal(states(stationsOfTicket({ ...ticket, status: 'submitted' })), 'done now open open open')
  const agreed = { ...ticket, approved_by_number: 1 }
  assert.equal(states(stationsOfTicket({ ...agreed, status: 'approved' })), 'done done now open open')
  assert.equal(states(stationsOfTicket({ ...agreed, status: 'done' }, {}, seal)), 'done done done done done')
  assert.equal(states(stationsOfTicket({ ...agreed, status: 'failed' })), 'done done done failed unknown')
})

test('a proof without an approval leaves that station open', () => {
  assert.equal(states(stationsOfTicket({ ...ticket, status: 'done' })), 'done open done done unknown')
})

test('a rejected ticket is broken where it was refused', () => {
  assert.equal(
    states(stationsOfTicket({ ...ticket, status: 'draft' }, { rejected: { who: 1, when: '2026-03-01T09:00:00Z' } })),
    'failed failed open open open',
  )
})

test('the last run tells more than the status', () => {
  const at = { ...ticket, status: 'running' } as const
  assert.equal(
    states(stationsOfTicket(at, { lastRun: { ...run, state: 'pending', verdict: null } })),
    'done open now open open',
  )
  assert.equal(states(stationsOfTicket(at, { lastRun: run })), 'done open done failed unknown')
})

test('the last station is witnessed only where somebody outside signed beyond the last entry', () => {
  assert.equal(stationsOfRun(run, undefined, {}, seal).at(-1)?.state, 'done')
  assert.equal(stationsOfRun(run, undefined, {}, { ...seal, anchored: true }).at(-1)?.state, 'witnessed')
  assert.equal(stationsOfRun(run, undefined, {}, { ...seal, sealed: false }).at(-1)?.state, 'now')
  assert.equal(
    stationsOfRun(run, undefined, {}, { ...seal, last_index: null, last_shard: null, pending: 1 }).at(-1)?.state,
    'now',
  )
  const begun = stationsOfTicket({ ...ticket, status: 'submitted' }, {}, seal).at(-1)
  assert.deepEqual([begun?.state, begun?.index], ['open', 41])
})

test('every event has its station', () => {
  assert.deepEqual(
    ['ticket.created', 'ticket.approved', 'run.started', 'artifact.uploaded', 'run.failed', 'payload.erased'].map(
      stationOfEvent,
    ),
    ['asked', 'agreed', 'ran', 'ran', 'proved', 'sealed'],
  )
})

test('a run alone does not say whether its ticket was agreed to', () => {
  assert.equal(states(stationsOfRun(run, undefined)).split(' ')[1], 'unknown')
  assert.equal(states(stationsOfRun(run, { ...ticket, status: 'running' })).split(' ')[1], 'open')
})
