/**
 * That what is held, waited for and unique is found by what is named of it, also by statistics of tables that were empty just then: asked
 * of the planner, because time says little.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Asked, notingIn, plansOnPostgres } from '../../../../../test/servers/listening.ts'
import { missingBackend } from '../../../../../test/servers/missing-backend.ts'
import { missingPostgres } from '../../../../../test/servers/postgres.ts'
import { onPostgres } from '../../../../../test/servers/stores.ts'
import { inProject } from '../../platform/db/index.ts'
import { heldAmong, takeKeys } from './store.ts'
import * as held from './store-held.ts'

const NOW = Date.parse('2026-03-01T00:00:00Z')
const PROJECT = '01960000-0000-7000-8000-000000000001'
const MANY = 20_000
const NAMED = {
  held: 'run_id',
  dependencies: '(on_)?run_id',
  unique_keys: 'key',
  queue: 'run_id',
} as const

test('PostgreSQL: what holds tasks is found by what is named', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(NOW, async (db, client) => {
    await inProject(PROJECT, () =>
      db.write((tx) => tx.insert('projects', [{ id: PROJECT, slug: 'p', name: 'Test', policy: '{}', created_at: 0 }])),
    )
    const fill = {
      held: `(project_id, run_id, place, handler, priority, run_at, waits_for, admitted, key)
        select '${PROJECT}', 'r' || n, 'api', 'noop', 0, 0, 1, 0, 'k' || n`,
      dependencies: `(project_id, run_id, on_run_id, policy) select '${PROJECT}', 'r' || n, 'o' || n, 'run'`,
      unique_keys: `(project_id, key, run_id) select '${PROJECT}', 'k' || n, 'r' || n`,
      queue: `(run_id, project_id, queue, handler, run_at) select 'r' || n, '${PROJECT}', 'api', 'noop', 0`,
    }
    for (const [table, rows] of Object.entries(fill)) {
      await client.query(`insert into ${table} ${rows} from generate_series(1, ${MANY}) n`)
      // The last row keeps the pages, as one that came meanwhile does.
      await client.query(`delete from ${table} where run_id <> 'r${MANY}'`)
      await client.query(`vacuum analyze ${table}`)
      await client.query(`delete from ${table}`)
      await client.query(`analyze ${table}`)
    }
    const said: Asked[] = []
    const ids = ['r1', 'r2', 'r3']
    await inProject(PROJECT, () =>
      db.write(async (plain) => {
        const tx = notingIn(plain, said)
        await held.removeHeld(tx, ids)
        await held.admitHeld(tx, ids)
        await held.noteTaken(tx, ids, NOW)
        await held.putBack(tx, 'r1', NOW)
        await held.countDown(tx, ids, 1)
        await held.listAdmitted(tx, ids)
        await held.takeDependencies(tx, ids, 10)
        await held.removeDependencies(tx, ids)
        await takeKeys(
          tx,
          ids.map((runId) => ({ key: runId, runId })),
        )
        await heldAmong(
          tx,
          ids.map((runId) => ({ runId, fence: 1 })),
          'lock',
        )
      }),
    )
    const asked = said.filter(({ text }) => !text.includes('insert into'))
    assert.equal(asked.length, 10)
    await client.query('set enable_seqscan = off')
    for (const one of asked) {
      const table = (['dependencies', 'unique_keys', 'held', 'queue'] as const).find((name) => one.text.includes(name))!
      for (const plan of await plansOnPostgres(client, one)) {
        assert.match(plan, new RegExp(`Index Cond: .*\\b${NAMED[table]} = `), `${one.text}\n${plan}`)
        assert.doesNotMatch(plan, new RegExp(`Seq Scan on ${table}\\b`), `${one.text}\n${plan}`)
      }
    }
  })
})
