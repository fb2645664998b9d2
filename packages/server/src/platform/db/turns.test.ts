import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { onSqlite } from '../../../../../test/servers/stores.ts'
import type { Tx } from './database.ts'
import { inProject } from './project.ts'

const P = '0190a000-0000-7000-8000-00000000000a'
/** About a millisecond of work for SQLite. */
const SLOW = 'with recursive n(i) as (select 1 union all select i + 1 from n where i < 10000) select max(i) as i from n'
const NOW = Date.UTC(2026, 10, 1)

const counters = (tx: Tx): Promise<{ name: string }[]> =>
  tx.sql('select name from counters where project_id = ?1 order by name', [P])

for (const way of ['read', 'write', 'sequence'] as const)
  test(`on SQLite the loop gets its turns during a long transaction: ${way}`, () =>
    onSqlite(NOW, async (db) => {
      let turned = false
      const statements = await inProject(P, () =>
        db[way](async (tx) => {
          setImmediate(() => {
            turned = true
          })
          let done = 0
          for (; !turned && done < 3_000; done++) await tx.sql(SLOW)
          return done
        }),
      )
      assert.ok(turned && statements < 3_000, `after ${statements} statements`)
    }))

test('on SQLite what fails beside a statement that lets the loop turn is undone with all that follows that one', () =>
  onSqlite(NOW, async (db) => {
    const insert = (tx: Tx, name: string) => tx.insert('counters', [{ project_id: P, name, value: 1, total: 1 }])
    await inProject(P, async () => {
      const failing = db.write(async (tx) => {
        await Promise.all([
          (async () => {
            for (let n = 0; n < 100; n++) await tx.sql(SLOW)
            await insert(tx, 'late')
          })(),
          turn().then(() => Promise.reject(new Error('no'))),
        ])
      })
      const beside = db.write((tx) => insert(tx, 'beside'))
      await assert.rejects(failing, /no/)
      await beside
      assert.deepEqual(
        (await db.read(counters)).map(({ name }) => name),
        ['beside'],
      )
    })
  }))
