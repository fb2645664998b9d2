/** That deliveries are found by any filter, and that others are heard while very many are looked through. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { insertWebhook } from '../../../../test/channels/webhook-row.ts'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { missingPostgres } from '../../../../test/servers/postgres.ts'
import { onPostgres, onSqlite } from '../../../../test/servers/stores.ts'
import { turnsDuring } from '../../../../test/turns-during.ts'
import { type Database, inProject } from '../platform/db/index.ts'
import { firstIdAt } from '../platform/ids.ts'
import { countDeliveries, type DeliveryFilter, listDeliveries, listDeliveriesForward } from './store.ts'

const T = Date.UTC(2026, 0, 1)
const A = '0190a000-0000-7000-8000-000000000001'
const W = '0190a000-0000-7000-8000-000000000002'
const U = '0190a000-0000-7000-8000-000000000003'
/** Two stretches and a half. */
const DELIVERIES = 25_000

const made = Array.from({ length: DELIVERIES }, (_, n) => {
  const created_at = T + n * 100
  return {
    project_id: A,
    // Of some the id is later than the time, as after a clock was set back.
    id: `${firstIdAt(n % 7 === 3 ? created_at + 5_000 : created_at)}-7000-8000-${100_000_000_000 + n}`,
    webhook_id: W,
    event_id: `${firstIdAt(created_at)}-7000-8000-${200_000_000_000 + n}`,
    event_type: n % 5_000 === 17 ? 'run.failed' : 'run.completed',
    state: n % 2 === 0 ? 'failed' : n === 10_001 ? 'waiting' : 'delivered',
    replay_of: null,
    next_attempt_at: null,
    attempts: '[]',
    created_at,
    settled_at: null,
  }
})
type Made = (typeof made)[number]
const byId = made.toSorted((one, other) => (one.id < other.id ? -1 : 1))

const filters: [Omit<DeliveryFilter, 'webhook_id'>, (one: Made) => boolean][] = [
  [{}, () => true],
  [{ event_type: 'run.failed' }, (one) => one.event_type === 'run.failed'],
  [{ state: 'delivered' }, (one) => one.state === 'delivered'],
  [{ state: 'failed' }, (one) => one.state === 'failed'],
  [{ state: 'waiting' }, (one) => one.state === 'waiting'],
  [
    { state: 'failed', event_type: 'run.failed', once: true },
    (one) => one.state === 'failed' && one.event_type === 'run.failed',
  ],
  [{ since: T + 2_400_000 }, (one) => one.created_at >= T + 2_400_000],
  [{ until: T + 100_000 }, (one) => one.created_at < T + 100_000],
  [{ ids: [made[3]!.id, made[20_000]!.id] }, (one) => one === made[3] || one === made[20_000]],
]

async function fill(db: Database): Promise<void> {
  await inProject(A, async () => {
    await db.write(async (tx) => {
      await insertWebhook(tx, { project: A, webhook: W, user: U })
    })
    for (let from = 0; from < DELIVERIES; from += 2_500)
      await db.write((tx) => tx.insert('deliveries', made.slice(from, from + 2_500)))
  })
}

async function findAll(db: Database): Promise<void> {
  const read = <R>(work: Parameters<typeof db.read<R>>[0]) => inProject(A, () => db.read(work))
  for (const [some, takes] of filters) {
    const filter = { webhook_id: W, ...some }
    const claim = JSON.stringify(some)
    const expected = byId.filter(takes).map(({ id }) => id)
    const newest = expected.toReversed()
    assert.equal(await read((tx) => countDeliveries(tx, filter)), expected.length, claim)
    const list = async (page: { before?: string; skip?: number }) =>
      (await read((tx) => listDeliveries(tx, filter, { limit: 400, skip: 0, before: undefined, ...page }))).map(
        ({ id }) => id,
      )
    assert.deepEqual(await list({}), newest.slice(0, 400), claim)
    for (const skip of [1, 9_999, 10_000, newest.length - 3, newest.length].filter((n) => n > 0))
      assert.deepEqual(await list({ skip }), newest.slice(skip, skip + 400), `${claim} from ${skip} on`)
    const before = newest[Math.floor(newest.length / 2)]!
    assert.deepEqual(await list({ before }), newest.slice(newest.indexOf(before) + 1).slice(0, 400), claim)
    const forward = await read((tx) => listDeliveriesForward(tx, filter, 12_000))
    assert.deepEqual(
      forward.map(({ id }) => id),
      expected.slice(0, 12_000),
      claim,
    )
  }
}

test('SQLite: deliveries are found by any filter, and others are heard meanwhile', () =>
  onSqlite(T, async (db) => {
    await fill(db)
    await findAll(db)
    const filter = { webhook_id: W, event_type: 'ticket.created' }
    for (const look of [
      () => db.read((tx) => countDeliveries(tx, filter)),
      () => db.read((tx) => listDeliveries(tx, filter, { limit: 10, skip: 0, before: undefined })),
      () => db.read((tx) => listDeliveriesForward(tx, filter, 10)),
    ])
      assert.ok((await turnsDuring(() => inProject<Promise<unknown>>(A, look))) >= 2)
  }))

test(
  'PostgreSQL: deliveries are found by any filter',
  {
    skip: missingBackend('PostgreSQL', missingPostgres()),
  },
  () =>
    onPostgres(T, async (db) => {
      await fill(db)
      await findAll(db)
    }),
)
