/**
 * That a claim reads the index in its order, and what ends a lease the entries that it names, and nothing else, however many wait or were
 * there: asked of the planner, because time says little.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Asked, notingIn, plansOnPostgres } from '../../../../test/servers/listening.ts'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { missingPostgres } from '../../../../test/servers/postgres.ts'
import { onPostgres, onSqlite } from '../../../../test/servers/stores.ts'
import { type Database, inProject } from '../platform/db/index.ts'
import { A, T } from './conformance.ts'
import { openPostgresQueue } from './postgres.ts'
import type { Queue } from './queue.ts'
import { openSqliteQueue } from './sqlite.ts'

const WAITING = 20_000
const ROW = `'${A}', 'api', 'noop', n % 3, ${T} - (n * 7919) % 100000, 1`
const COLUMNS = 'run_id, project_id, queue, handler, priority, run_at, ready'

/** The statement of a claim, as it makes it. */
async function claimed(db: Database, open: (db: Database) => Queue, except: readonly string[]): Promise<Asked> {
  const said: Asked[] = []
  const queue = open(db)
  await inProject(A, () =>
    db.write(async (tx) => {
      const ask = { queue: 'api', limit: 10, worker: 'w', now: T, leaseUntil: T + 30_000, except }
      assert.equal((await queue.claim(notingIn(tx, said), ask)).length, 10)
    }),
  )
  await queue.close()
  assert.equal(said.length, 1)
  return said[0]!
}

/** The statement by which a sweep goes from place to place. */
async function sweptBy(db: Database, open: (db: Database) => Queue): Promise<string> {
  const asked: string[] = []
  const queue = open({
    ...db,
    lookup: (text, params) => {
      asked.push(text)
      return db.lookup(text, params)
    },
  })
  assert.deepEqual((await queue.sweep(T)).runnable, [{ queue: 'api', project: A }])
  await queue.close()
  return asked.find((text) => text.includes('recursive pairs'))!
}

const addProject = (db: Database) =>
  inProject(A, () =>
    db.write((tx) => tx.insert('projects', [{ id: A, slug: 'p', name: 'Test', policy: '{}', created_at: 0 }])),
  )

test('SQLite: a claim among many walks the index of what is ready, without sorting', async () => {
  await onSqlite(T, async (db) => {
    await addProject(db)
    await inProject(A, () =>
      db.write((tx) =>
        tx.sql(`with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < ${WAITING})
                insert into queue (${COLUMNS}) select 'r' || n, ${ROW} from numbers`),
      ),
    )
    for (const except of [[], ['other']]) {
      const { text, params } = await claimed(db, openSqliteQueue, except)
      const plan = await inProject(A, () =>
        // Of this file: what the queue asked with.
        db.read((tx) => tx.sql<{ detail: string }>(`explain query plan ${text}`, params as never)),
      )
      const details = plan.map((one) => one.detail).join('\n')
      assert.match(details, /SEARCH queue USING (COVERING )?INDEX queue_ready \(queue=\? AND project_id=\?\)/)
      assert.doesNotMatch(details, /SCAN queue\b|TEMP B-TREE/)
    }
    const walk = await sweptBy(db, openSqliteQueue)
    const steps = await db.lookup<{ detail: string }>(`explain query plan ${walk}`, [])
    const details = steps.map((one) => one.detail).join('\n')
    assert.match(details, /SEARCH queue USING COVERING INDEX queue_ready \(queue=\? AND project_id>\?\)/)
    assert.equal(details.match(/SCAN queue\b/g)?.length, 2, details)
  })
})

test('PostgreSQL: a claim among many walks the index of what is ready, without sorting, also by a generic plan', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(T, async (db, client) => {
    await addProject(db)
    await client.query(`insert into queue (${COLUMNS}) select 'r' || n, ${ROW} from generate_series(1, ${WAITING}) n`)
    for (const analyzed of [false, true]) {
      if (analyzed) await client.query('analyze queue')
      for (const except of [[], ['other']])
        for (const plan of await plansOnPostgres(client, await claimed(db, openPostgresQueue, except))) {
          assert.match(plan, /Index Scan using queue_ready on queue/, plan)
          assert.doesNotMatch(plan, /Seq Scan on queue\b|Sort/, plan)
        }
      // All stand at one place, of which the statistics know: no row is behind it, and to look for one in the table takes them all.
      const text = await sweptBy(db, openPostgresQueue)
      // What a column is worked out from is told only when it is done.
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain (analyze, timing off) ${text}`)
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
      assert.match(plan, /SubPlan 6/)
      assert.doesNotMatch(plan, /Seq Scan on queue\b|Sort/, plan)
    }
  })
})

test('PostgreSQL: what is done to leases finds them by their ids, also by statistics of an empty queue', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(T, async (db, client) => {
    await addProject(db)
    // So many leases ended since the last vacuum, which left the pages in which they stood.
    const held = `insert into queue (${COLUMNS}, lease_owner, lease_until, fence)
      select 'r' || n, '${A}', 'api', 'noop', 0, ${T}, 0, 'w', ${T} + n, 1 from generate_series(1, ${WAITING}) n`
    await client.query(held)
    await client.query(`delete from queue where run_id <> 'r${WAITING}'`)
    await client.query('vacuum analyze queue')
    await client.query('delete from queue')
    await client.query('analyze queue')
    const statements = await saidAboutLeases(db)
    assert.deepEqual(
      statements.map(({ text }) => /^\w+ (?:from )?queue/.exec(text)?.[0]),
      ['update queue', 'delete from queue', 'update queue', 'delete from queue', 'update queue'],
    )
    for (const one of statements)
      for (const plan of await plansOnPostgres(client, one)) {
        assert.match(plan, /queue_pkey/, `${one.text}\n${plan}`)
        assert.doesNotMatch(plan, /Seq Scan on queue\b|queue_leases/, `${one.text}\n${plan}`)
      }
  })
})

/** The statements that prolong leases, end them in every way, and ask what runs to stop. */
async function saidAboutLeases(db: Database): Promise<Asked[]> {
  const said: Asked[] = []
  const queue = openPostgresQueue({ ...db, write: (work) => db.write((tx) => work(notingIn(tx, said))) })
  const lease = (runId: string) => ({ runId, fence: 1, queue: 'api', project: A })
  await queue.extend([lease('r1'), lease('r2')] as never, T)
  await inProject(A, () =>
    db.write(async (plain) => {
      const tx = notingIn(plain, said)
      await queue.settle(tx, [
        { ...lease('r1'), next: 'done' },
        { ...lease('r2'), next: 'retry', runAt: T },
        { ...lease('r3'), next: 'done', fence: 'unclaimed' },
      ] as never)
      await queue.stop(tx, 'r4')
    }),
  )
  await queue.close()
  return said
}
