/** That a schedule is found by an index, however many others there are: of 10,000 on the hour each looked at all of them, twice. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listeningOn, planOnSqlite, type Said } from '../../../../test/servers/listening.ts'
import { onSqlite } from '../../../../test/servers/stores.ts'
import { inProject, type Tx } from '../platform/db/index.ts'
import { findSchedule, findSchedules, isNameTaken, listRestingFires, lockSchedule } from './store.ts'

const A = '0190a000-0000-7000-8000-00000000000a'

const LOOKS: Record<string, (tx: Tx) => Promise<unknown>> = {
  findSchedule: (tx) => findSchedule(tx, 'nightly'),
  lockSchedule: (tx) => lockSchedule(tx, 'nightly'),
  findSchedules: (tx) => findSchedules(tx, ['nightly', 'weekly']),
  isNameTaken: (tx) => isNameTaken(tx, 'nightly', null),
}

test('a schedule is found by its id or its name, and none of the others is looked at', () =>
  onSqlite(Date.UTC(2026, 0, 1), (db) =>
    inProject(A, () =>
      db.read(async (tx) => {
        for (const [name, look] of Object.entries(LOOKS)) {
          const listening = listeningOn(tx)
          const asked: Said[] = []
          await look({
            ...listening.tx,
            sql: (sql, parameters = []) => {
              asked.push({ sql, parameters })
              return tx.sql(sql, parameters)
            },
          })
          const [said] = [...asked, ...listening.said()]
          for (const step of (await planOnSqlite(tx, said!)).filter((one) => one.includes(' schedules ')))
            assert.match(step, /^SEARCH schedules USING .*\(project_id=\? AND (id|name)=\?\)/, `${name}: ${step}`)
        }
      }),
    ),
  ))

test('what became of due times is found by schedule, and none of those that are kept is looked at', () =>
  onSqlite(Date.UTC(2026, 0, 1), (db) =>
    inProject(A, () =>
      db.read(async (tx) => {
        const asked: Said[] = []
        await listRestingFires(
          {
            ...tx,
            sql: (sql, parameters = []) => {
              asked.push({ sql, parameters })
              return tx.sql(sql, parameters)
            },
          },
          1,
          10,
        )
        const steps = await planOnSqlite(tx, asked[0]!)
        assert.match(steps[0]!, /^SEARCH s USING .*\(project_id=\?\)/)
        assert.match(steps[1]!, /^SEARCH f USING .*\(project_id=\? AND schedule_id=\? AND due_at<\?\)/)
      }),
    ),
  ))
