/** That nothing waits for ever for a webhook that somebody deletes in the moment in which another process makes deliveries for it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { insertWebhook } from '../../../../test/channels/webhook-row.ts'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { missingPostgres } from '../../../../test/servers/postgres.ts'
import { onPostgres, onSqlite } from '../../../../test/servers/stores.ts'
import { createFakeClock } from '../platform/clock.ts'
import { attachDatabase, type Database, INSTANCE, inProject, type Tx } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { createRecordDeliveries } from './record.ts'
import { claimDeliveries, failWaiting, findDeliveries, insertDeliveries, listDue, updateWebhook } from './store.ts'

const T = Date.UTC(2026, 0, 1)
const A = '0190a000-0000-7000-8000-000000000001'
const W = '0190a000-0000-7000-8000-000000000002'
const U = '0190a000-0000-7000-8000-000000000003'
const EVENT = uuidv7(T)
const DELIVERY = uuidv7(T)

const write = <R>(db: Database, work: (tx: Tx) => Promise<R>): Promise<R> => inProject(A, () => db.write(work))

const addWebhook = (db: Database): Promise<void> =>
  write(db, async (tx) => {
    await insertWebhook(tx, { project: A, webhook: W, user: U })
  })

const makeDelivery = (tx: Tx): Promise<void> =>
  insertDeliveries(
    tx,
    [{ id: DELIVERY, webhook_id: W, event_id: EVENT, event_type: 'ticket.created', replay_of: null }],
    T,
  )

async function deleteWebhook(tx: Tx): Promise<void> {
  await failWaiting(tx, W, T)
  await updateWebhook(tx, W, { state: 'deleted' })
}

/** What a sender does with it that finds no webhook. */
async function send(db: Database): Promise<void> {
  const record = createRecordDeliveries({ clock: createFakeClock(T), random: () => 0.5 })
  const claims = await inProject(INSTANCE, () =>
    db.write(async (tx) => {
      const due = await listDue(tx, T, { limit: 10, full: [] })
      const ids = due.map(({ delivery_id }) => delivery_id)
      return claimDeliveries(tx, 'test', { ids, now: T, leaseUntil: T + 45_000 })
    }),
  )
  for (const claim of claims) await inProject(A, () => db.submit(record, { claim, came: 'pointless' }))
}

async function isOver(db: Database): Promise<void> {
  const { state, settled_at } = (await write(db, (tx) => findDeliveries(tx, [DELIVERY]))).get(DELIVERY)!
  const queued = await inProject(INSTANCE, () => db.read((tx) => listDue(tx, T, { limit: 10, full: [] })))
  assert.deepEqual([state, settled_at, queued], ['failed', T, []])
}

test('SQLite: a delivery that is there of a deleted webhook has failed', async () => {
  await onSqlite(T, async (db) => {
    await addWebhook(db)
    await write(db, deleteWebhook)
    await write(db, makeDelivery)
    await send(db)
    await isOver(db)
  })
})

const onPg = { skip: missingBackend('PostgreSQL', missingPostgres()) }

test('PostgreSQL: a delivery that is committed after its webhook was deleted has failed', onPg, async () => {
  await onPostgres(T, async (db, _client, url) => {
    const other = await attachDatabase({ url })
    await addWebhook(db)
    await write(db, async (tx) => {
      await makeDelivery(tx)
      await write(other, deleteWebhook)
    })
    await other.close()
    await send(db)
    await isOver(db)
  })
})

test('PostgreSQL: nor does one wait that is committed while its webhook is deleted', onPg, async () => {
  await onPostgres(T, async (db, _client, url) => {
    const other = await attachDatabase({ url })
    await addWebhook(db)
    const made = Promise.withResolvers<void>()
    const deleting = Promise.withResolvers<void>()
    const making = write(db, async (tx) => {
      await makeDelivery(tx)
      made.resolve()
      await deleting.promise
    })
    await made.promise
    await write(other, (tx) =>
      deleteWebhook({
        ...tx,
        db: tx.db,
        // In the moment before it looks into the queue.
        async sql(text, params) {
          deleting.resolve()
          await making
          return tx.sql(text, params)
        },
      }),
    )
    await other.close()
    await send(db)
    await isOver(db)
  })
})
