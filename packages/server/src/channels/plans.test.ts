/** That what was not delivered is found among all that was: asked of the planner, because time says little. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { insertWebhook, insertWebhookRow } from '../../../../test/channels/webhook-row.ts'
import {
  type Asked,
  doneOnPostgres,
  listeningOn,
  notingIn,
  planOnSqlite,
  type Said,
} from '../../../../test/servers/listening.ts'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { missingPostgres } from '../../../../test/servers/postgres.ts'
import { onPostgres, onSqlite } from '../../../../test/servers/stores.ts'
import { type Database, INSTANCE, inProject, type Tx } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import {
  countDeliveries,
  type DeliveryFilter,
  failWaiting,
  findDeliveries,
  insertDeliveries,
  listDeliveries,
  listDue,
  listHeads,
} from './store.ts'

const T = Date.UTC(2026, 0, 1)
const A = '0190a000-0000-7000-8000-000000000001'
const W = '0190a000-0000-7000-8000-000000000002'
const U = '0190a000-0000-7000-8000-000000000003'
const DELIVERIES = 6_000

async function fill(db: Database): Promise<void> {
  await inProject(A, () =>
    db.write(async (tx) => {
      await insertWebhook(tx, { project: A, webhook: W, user: U })
      await tx.insert(
        'deliveries',
        Array.from({ length: DELIVERIES }, (_, n) => ({
          project_id: A,
          id: uuidv7(T + n),
          webhook_id: W,
          event_id: uuidv7(T + n),
          event_type: 'run.completed',
          state: n % 3_000 === 7 ? 'waiting' : n % 3_000 === 8 ? 'failed' : 'delivered',
          replay_of: null,
          next_attempt_at: null,
          attempts: '[]',
          created_at: T + n,
          settled_at: null,
        })),
      )
    }),
  )
}

/** Pages and counts of what waits and of what failed, and what is before an ordered webhook. */
async function asked(db: Database): Promise<Said[]> {
  const said: Said[] = []
  await inProject(A, () =>
    db.write(async (tx) => {
      const built = listeningOn(tx)
      const listening: Tx = {
        ...built.tx,
        sql: (text, params = []) => {
          if (text.startsWith('select')) said.push({ sql: text, parameters: params })
          return tx.sql(text, params)
        },
      }
      for (const state of ['waiting', 'failed'] as const) {
        const filter: DeliveryFilter = { webhook_id: W, state }
        assert.equal((await listDeliveries(listening, filter, { limit: 100, skip: 0, before: undefined })).length, 2)
        assert.equal(await countDeliveries(listening, filter), 2)
      }
      assert.equal((await listHeads(listening, [W])).size, 0)
      said.push(...built.said())
    }),
  )
  // On SQLite each look asks first where its stretch ends.
  assert.equal(said.length, db.dialect === 'sqlite' ? 9 : 5)
  return said
}

test('SQLite: what waits for a webhook, and what failed, is found by its own index', async () => {
  await onSqlite(T, async (db) => {
    await fill(db)
    for (const said of await asked(db)) {
      const plan = await inProject(A, () => db.read((tx) => planOnSqlite(tx, said)))
      const details = plan.join('\n')
      if (!said.sql.includes('delivery_queue'))
        assert.match(details, /INDEX deliveries_undelivered \(project_id=\? AND webhook_id=\?/)
      assert.doesNotMatch(details, /SCAN (d|deliveries)\b|deliveries_webhook/)
    }
  })
})

test('PostgreSQL: what waits for a webhook, and what failed, is found by its own index', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(T, async (db, client) => {
    await fill(db)
    const said = await asked(db)
    await client.query('analyze deliveries')
    await client.query(`set role writ_app; set writ.project = '${A}'`)
    for (const one of said) {
      const { plan, blocks } = await doneOnPostgres(client, one)
      // All of them are more than a hundred blocks.
      assert.ok(blocks < 30, plan)
    }
  })
})

const OTHER = '0190a000-0000-7000-8000-000000000004'
const LATE = '0190a000-0000-7000-8000-000000000005'
const WAITING = 6_000

/** Very much of one webhook is due, and behind it something of another; of a third something is due later. */
async function fillQueue(db: Database): Promise<void> {
  await fill(db)
  await inProject(A, () =>
    db.write(async (tx) => {
      for (const id of [OTHER, LATE]) await insertWebhookRow(tx, { project: A, webhook: id, user: U })
      const deliveryOf = (webhook_id: string, n: number) => ({
        id: uuidv7(T + n),
        webhook_id,
        event_id: uuidv7(T + n),
        event_type: 'run.completed',
        replay_of: null,
      })
      const waiting = Array.from({ length: WAITING }, (_, n) => deliveryOf(W, n))
      await insertDeliveries(tx, waiting, T)
      await insertDeliveries(tx, [deliveryOf(OTHER, WAITING), deliveryOf(OTHER, WAITING + 1)], T + 1)
      await insertDeliveries(tx, [deliveryOf(LATE, WAITING + 2)], T + 60_000)
      // Far from being due.
      const later = Array.from({ length: WAITING }, (_, n) => deliveryOf(OTHER, WAITING + 3 + n))
      await insertDeliveries(tx, later, T + 60_000)
    }),
  )
}

/** What is due of others than the first, and what was asked for it. */
async function askedForDue(db: Database): Promise<Asked[]> {
  const asked: Asked[] = []
  await inProject(INSTANCE, () =>
    db.read(async (tx) => {
      const due = await listDue(notingIn(tx, asked), T + 1_000, { limit: 256, full: [W] })
      assert.deepEqual(
        due.map(({ webhook_id }) => webhook_id),
        [OTHER, OTHER],
      )
      assert.equal((await listDue(tx, T + 1_000, { limit: 256, full: [] })).length, 256)
      assert.deepEqual(await listDue(tx, T + 1_000, { limit: 256, full: [OTHER, W] }), [])
      assert.deepEqual(
        (await listDue(tx, T + 60_000, { limit: 1, full: [W] })).map(({ webhook_id }) => webhook_id),
        [OTHER],
      )
    }),
  )
  return asked
}

/** A thousand are ended at a time, and one of the others is due, whatever was before. */
async function endSome(db: Database): Promise<void> {
  const left = () =>
    inProject(INSTANCE, () =>
      db.read((tx) =>
        tx.sql<{ delivery_id: string; due_at: number }>(
          'select delivery_id, due_at from delivery_queue where webhook_id = ?1 order by due_at',
          [W],
        ),
      ),
    )
  await inProject(A, () => db.write((tx) => tx.sql('update delivery_queue set due_at = due_at + 3600000')))
  for (let round = 1; round <= WAITING / 1_000; round++) {
    const before = await left()
    await inProject(A, () => db.write((tx) => failWaiting(tx, W, T + 2_000)))
    const after = await left()
    assert.equal(after.length, before.length - 1_000)
    if (after.length > 0) assert.deepEqual([after[0]!.due_at, after[1]!.due_at], [T + 2_000, T + 3_600_000])
    const ended = before
      .map(({ delivery_id }) => delivery_id)
      .filter((id) => after.every((one) => one.delivery_id !== id))
    const rows = await inProject(A, () => db.read((tx) => findDeliveries(tx, ended)))
    assert.deepEqual(
      new Set([...rows.values()].map(({ state, settled_at }) => `${state} ${settled_at}`)),
      new Set([`failed ${T + 2_000}`]),
    )
  }
  assert.deepEqual(await left(), [])
}

test('SQLite: what is due of others is found beside very much that a silent receiver has, which ends piece by piece', async () => {
  await onSqlite(T, async (db) => {
    await fillQueue(db)
    const asked = await askedForDue(db)
    assert.equal(asked.length, 3)
    const plans = await inProject(A, () =>
      db.read((tx) =>
        Promise.all(asked.map(({ text, params }) => planOnSqlite(tx, { sql: text, parameters: params }))),
      ),
    )
    // The first looks no further than it may.
    assert.match(asked[0]!.text, /limit \?2$/)
    for (const plan of plans.slice(1)) {
      assert.match(
        plan.join('\n'),
        /COVERING INDEX delivery_queue_webhook|INDEX delivery_queue_webhook \(\(webhook_id,due_at\)>\(\?,\?\) AND \(webhook_id,due_at\)<\(\?,\?\)\)/,
      )
      assert.doesNotMatch(plan.join('\n'), /delivery_queue_due|SCAN delivery_queue/)
    }
    await endSome(db)
  })
})

test('PostgreSQL: what is due of others is found beside very much that a silent receiver has, which ends piece by piece', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(T, async (db, client) => {
    await fillQueue(db)
    const [near, ...asked] = await askedForDue(db)
    assert.match(near!.text, /limit \?2$/)
    await client.query('analyze delivery_queue')
    for (const { text, params } of asked) {
      const { plan, blocks } = await doneOnPostgres(client, { sql: text, parameters: params })
      // All of it is more than a hundred.
      assert.ok(blocks < 30, plan)
    }
    await endSome(db)
  })
})
