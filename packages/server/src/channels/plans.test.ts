/** That what was not delivered is found among all that was: asked of the planner, because time says little. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { doneOnPostgres, listeningOn, planOnSqlite, type Said } from '../../../../test/servers/listening.ts'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { missingPostgres } from '../../../../test/servers/postgres.ts'
import { onPostgres, onSqlite } from '../../../../test/servers/stores.ts'
import { type Database, inProject, type Tx } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { countDeliveries, type DeliveryFilter, failWaiting, listDeliveries, listHeads } from './store.ts'

const T = Date.UTC(2026, 0, 1)
const A = '0190a000-0000-7000-8000-000000000001'
const W = '0190a000-0000-7000-8000-000000000002'
const U = '0190a000-0000-7000-8000-000000000003'
const DELIVERIES = 6_000

async function fill(db: Database): Promise<void> {
  await inProject(A, () =>
    db.write(async (tx) => {
      await tx.insert('projects', [{ id: A, slug: 'p', name: 'Test', policy: '{}', created_at: 0 }])
      await tx.sql(
        `insert into users (id, number, username, password_hash, created_at, updated_at) values (?1, 1, 'u', '', 0, 0)`,
        [U],
      )
      await tx.sql(
        `insert into webhooks (project_id, id, name, format, url, sealed_url, sealed_headers, header_names, events, state, created_by_id, created_at, updated_at)
         values (?1, ?2, 'w', 'cloudevents', '', '', '', '[]', '[]', 'active', ?3, 0, 0)`,
        [A, W, U],
      )
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

/** Pages and counts of what waits and of what failed, what is before an ordered webhook, and the end of what waits. */
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
      await failWaiting(listening, W, T)
      assert.equal(await countDeliveries(tx, { webhook_id: W, state: 'failed' }), 4)
      said.push(...built.said())
    }),
  )
  assert.equal(said.length, 6)
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
