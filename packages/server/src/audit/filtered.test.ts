/** That events are found by any filter, and that others are heard while a long log is looked through. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { missingPostgres } from '../../../../test/servers/postgres.ts'
import { onPostgres, onSqlite } from '../../../../test/servers/stores.ts'
import { turnsDuring } from '../../../../test/turns-during.ts'
import { type Database, inProject } from '../platform/db/index.ts'
import { firstIdAt } from '../platform/ids.ts'
import { countEvents, type EventFilter, listEvents, listEventsForward } from './store.ts'

const T = Date.UTC(2026, 0, 1)
const A = '0190a000-0000-7000-8000-000000000001'
/** Two stretches and a half. */
const EVENTS = 25_000
const PAGE = 400

const made = Array.from({ length: EVENTS }, (_, n) => {
  const timestamp = T + n * 100
  // Of some the id is later than the time, as after a clock was set back.
  const id = `${firstIdAt(n % 7 === 3 ? timestamp + 5_000 : timestamp)}-7000-8000-${100_000_000_000 + n}`
  return {
    id,
    timestamp,
    event_type: n % 5 === 0 ? 'ticket.created' : 'run.completed',
    actor_kind: 'user',
    actor_id: n % 1_000 === 1 ? 'b' : n % 3 === 0 ? 'a' : 'c',
    resource_type: n % 5 === 0 ? 'ticket' : 'run',
    resource_id: `r${n % 9_000}`,
    resource_number: n % 9_000,
    success: n % 2_500 === 7 ? 0 : 1,
  }
})
type Made = (typeof made)[number]
const byId = made.toSorted((one, other) => (one.id < other.id ? -1 : 1))

const isOfTwo = ({ actor_id }: Made) => actor_id === 'a' || actor_id === 'b'
const filters: [EventFilter, (event: Made) => boolean][] = [
  [{ success: false }, (e) => e.success === 0],
  [{ event_type: 'ticket.created' }, (e) => e.event_type === 'ticket.created'],
  [{ event_type: 'run.completed' }, (e) => e.event_type === 'run.completed'],
  [{ event_type: 'ticket.created', success: false }, () => false],
  [{ actor_ids: ['b'] }, (e) => e.actor_id === 'b'],
  [{ actor_ids: ['a', 'b'] }, isOfTwo],
  [{ actor_ids: ['a', 'b'], success: false }, (e) => isOfTwo(e) && e.success === 0],
  [{ resource_type: 'ticket' }, (e) => e.resource_type === 'ticket'],
  [{ resource: 'r17' }, (e) => e.resource_id === 'r17'],
  [{ resource: 17 }, (e) => e.resource_number === 17],
  [{ resource_type: 'run', resource: '17' }, (e) => e.resource_type === 'run' && e.resource_number === 17],
  [{ since: T + 2_400_000 }, (e) => e.timestamp >= T + 2_400_000],
  [{ until: T + 100_000 }, (e) => e.timestamp < T + 100_000],
  [{ since: T + 1_000_000, until: T + 1_002_000 }, (e) => e.timestamp >= T + 1_000_000 && e.timestamp < T + 1_002_000],
]

/** As `countEvents` without a filter, whose answer the row of the log knows. */
const anything: [EventFilter, (event: Made) => boolean] = [{}, () => true]

async function fill(db: Database): Promise<void> {
  await db.prepareMonths(T)
  const rest = { project_id: A, event: '{}', salt: Buffer.alloc(0), entry: Buffer.alloc(0), append: 1, place: 0 }
  await inProject(A, async () => {
    await db.write((tx) => tx.insert('projects', [{ id: A, slug: 'p', name: 'Test', policy: '{}', created_at: 0 }]))
    for (let from = 0; from < EVENTS; from += 2_500)
      await db.write((tx) =>
        tx.insert(
          'audit_events',
          made.slice(from, from + 2_500).map((event) => ({ ...event, ...rest })),
        ),
      )
  })
}

async function findAll(db: Database): Promise<void> {
  const read = <T>(work: Parameters<typeof db.read<T>>[0]) => inProject(A, () => db.read(work))
  for (const [filter, takes] of [...filters, anything]) {
    const claim = JSON.stringify(filter)
    const expected = byId.filter(takes).map(({ id }) => id)
    const newest = expected.toReversed()
    if (filter !== anything[0]) assert.equal(await read((tx) => countEvents(tx, filter)), expected.length, claim)
    const list = async (page: { before?: string; skip?: number }) =>
      (await read((tx) => listEvents(tx, filter, { limit: PAGE, ...page }))).map(({ id }) => id)
    assert.deepEqual(await list({}), newest.slice(0, PAGE), claim)
    for (const skip of [1, 9_999, 10_000, newest.length - 3].filter((n) => n > 0))
      assert.deepEqual(await list({ skip }), newest.slice(skip, skip + PAGE), `${claim} from ${skip} on`)
    const before = newest[Math.floor(newest.length / 2)]
    if (before) assert.deepEqual(await list({ before }), newest.slice(newest.indexOf(before) + 1).slice(0, PAGE), claim)
    const forward: string[] = []
    for (let rows = PAGE; rows === PAGE && forward.length < 12_000; ) {
      const after = forward.at(-1)
      const page = { limit: PAGE, ...(after === undefined ? {} : { after }) }
      const found = await read((tx) => listEventsForward(tx, filter, page))
      forward.push(...found.map(({ id }) => id))
      rows = found.length
    }
    assert.deepEqual(forward, expected.slice(0, forward.length), claim)
    assert.ok(forward.length === expected.length || forward.length >= 12_000, claim)
  }
}

test('SQLite: events are found by any filter, and others are heard meanwhile', async () => {
  await onSqlite(T, async (db) => {
    await fill(db)
    await findAll(db)
    const turns = await turnsDuring(() => inProject(A, () => db.read((tx) => countEvents(tx, { success: false }))))
    assert.ok(turns >= 2, `${turns} turns of the loop`)
  })
})

test('PostgreSQL: events are found by any filter', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(T, async (db) => {
    await fill(db)
    await findAll(db)
  })
})
