import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { verifyOffline } from '@writ/server/ops'
import pg from 'pg'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingPostgres, startPostgres } from '../servers/postgres.ts'
import { prepareWrit } from '../servers/writ.ts'
import { type Copy, makeHistory, makeScene, type Scene } from './scene.ts'

let scene: Scene
before(async () => {
  scene = await makeScene()
})
after(() => scene.remove())

const at = (index: number) =>
  `project_id = (select id from projects where slug = 'default') and log_index = ${index} and shard = 0`
const eventAt = (index: number) => `id = (select event_id from audit_index where ${at(index)})`
const place = (copy: Copy, from: number | null, to: number | null) =>
  copy.execute(
    `update audit_index set log_index = ? where log_index ${from === null ? 'is' : '='} ? and project_id = ?`,
    to,
    from,
    copy.project,
  )

test('an untouched log passes from its files, its rows and its day files', async () => {
  const copy = await scene.copy()
  const { ok, code, reason, reports } = await copy.verify()
  assert.deepEqual({ ok, code, reason }, { ok: true, code: null, reason: null })
  assert.deepEqual(
    reports.map(({ project, ok, checked }) => [project, ok, checked.day_files]),
    [
      ['_instance', true, 2],
      ['default', true, 2],
    ],
  )
  assert.ok(reports[1]!.checked.rows > 600)
  assert.equal(reports[1]!.checked.rows, reports[1]!.checked.entries)
})

// What verification says of a database must not depend on which database it is.
const postgresSkip = missingBackend('PostgreSQL', missingPostgres())
test('the same findings on PostgreSQL', { skip: postgresSkip }, async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-tamper-pg-'))
  const postgres = await startPostgres()
  const client = new pg.Client({ connectionString: postgres.url })
  try {
    const writ = await prepareWrit({ folder, databaseUrl: postgres.url })
    await makeHistory(writ)
    await client.connect()
    const verify = () => verifyOffline({ dataDir: writ.dataDir, env: writ.env, cwd: writ.dataDir })
    const clean = await verify()
    assert.deepEqual([clean.code, clean.reason], [null, null])
    const cases = [
      ['PAYLOAD_CHANGED', `update audit_events set event = replace(event, 'Created', 'Altered') where ${eventAt(77)}`],
      ['PAYLOAD_CHANGED', `update audit_events set salt = '\\x00' where ${eventAt(77)}`],
      ['ROW_CHANGED', `update audit_events set entry = entry || '\\x20'::bytea where ${eventAt(77)}`],
      ['ROW_CHANGED', `update audit_events set event_type = 'ticket.closed' where ${eventAt(77)}`],
      ['ROW_MISSING', `delete from audit_events where ${eventAt(77)}`],
      ['ROW_MISSING', `delete from audit_index where ${at(77)}`],
      ['LOG_EMPTIED', `update logs set vkey = null where size > 500`],
    ] as const
    for (const [code, statement] of cases)
      await t.test(`${code}: ${statement.slice(0, 60)}`, async () => {
        await client.query('create table kept_events as select * from audit_events')
        await client.query('create table kept_index as select * from audit_index')
        await client.query('create table kept_logs as select * from logs')
        await client.query(statement)
        const found = await verify()
        assert.deepEqual([found.ok, found.code], [false, code])
        if (code !== 'LOG_EMPTIED') assert.equal(found.index, 77)
        await client.query(`truncate audit_events, audit_index, logs;
          insert into audit_events select * from kept_events;
          insert into audit_index overriding system value select * from kept_index;
          insert into logs select * from kept_logs;
          drop table kept_events, kept_index, kept_logs`)
      })
    assert.equal((await verify()).ok, true)
  } finally {
    await client.end()
    await postgres.stop()
    await rm(folder, { recursive: true, force: true })
  }
})

const cases: { title: string; code: string; index?: number; change(copy: Copy): void }[] = [
  {
    title: 'an edited event',
    code: 'PAYLOAD_CHANGED',
    index: 77,
    change: (copy) =>
      copy.execute(`update audit_events set event = replace(event, 'Created', 'Altered') where ${eventAt(77)}`),
  },
  {
    title: 'an edited salt',
    code: 'PAYLOAD_CHANGED',
    index: 5,
    change: (copy) => copy.execute(`update audit_events set salt = zeroblob(32) where ${eventAt(5)}`),
  },
  {
    title: 'an edited leaf in the row',
    code: 'ROW_CHANGED',
    index: 300,
    change: (copy) =>
      copy.execute(`update audit_events set entry = cast(entry || x'20' as blob) where ${eventAt(300)}`),
  },
  ...['event_type', 'actor_kind', 'actor_id', 'actor_username', 'resource_type', 'resource_id', 'run_id'].map(
    (column) => ({
      title: `an edited ${column}, by which people search`,
      code: 'ROW_CHANGED',
      index: 9,
      change: (copy: Copy) => copy.execute(`update audit_events set ${column} = 'somebody' where ${eventAt(9)}`),
    }),
  ),
  {
    title: 'a success turned into a failure',
    code: 'ROW_CHANGED',
    index: 9,
    change: (copy) => copy.execute(`update audit_events set success = 0 where ${eventAt(9)}`),
  },
  {
    title: 'an edited time',
    code: 'ROW_CHANGED',
    index: 9,
    change: (copy) => copy.execute(`update audit_events set timestamp = timestamp - 1 where ${eventAt(9)}`),
  },
  {
    title: 'an edited number of the actor, which only the readable day file shows',
    code: 'DAY_FILE_CHANGED',
    index: 9,
    change: (copy) => copy.execute(`update audit_events set actor_number = 2 where ${eventAt(9)}`),
  },
  {
    title: 'a deleted event',
    code: 'ROW_MISSING',
    index: 12,
    change: (copy) => copy.execute(`delete from audit_events where ${eventAt(12)}`),
  },
  {
    title: 'a deleted place',
    code: 'ROW_MISSING',
    index: 12,
    change: (copy) => copy.execute(`delete from audit_index where ${at(12)}`),
  },
  {
    title: 'an event deleted with its place',
    code: 'ROW_MISSING',
    index: 12,
    change(copy) {
      copy.execute(`delete from audit_events where ${eventAt(12)}`)
      copy.execute(`delete from audit_index where ${at(12)}`)
    },
  },
  {
    title: 'a deleted place at the end of the log',
    code: 'ROW_MISSING',
    change: (copy) =>
      copy.execute(
        `delete from audit_index where project_id = ? and log_index = (select size - 1 from logs where project_id = ?)`,
        copy.project,
        copy.project,
      ),
  },
  {
    title: 'two swapped places',
    code: 'ROW_CHANGED',
    index: 20,
    change(copy) {
      place(copy, 20, 1_000_000)
      place(copy, 21, 20)
      place(copy, 1_000_000, 21)
    },
  },
  {
    title: 'an event that was put in beside the log',
    code: 'ROW_ORPHANED',
    change: (copy) =>
      copy.execute(
        `insert into audit_events select project_id, 'f' || substr(id, 2), event_type, timestamp, actor_kind, actor_id, actor_number,
           actor_username, resource_type, resource_id, resource_number, run_id, success, event, salt, entry
         from audit_events where ${eventAt(3)}`,
      ),
  },
  {
    title: 'a log whose key was taken from the database',
    code: 'LOG_EMPTIED',
    change: (copy) => copy.execute('update logs set vkey = null where project_id = ?', copy.project),
  },
  {
    title: 'a log whose size was set to nothing',
    code: 'ROW_MISSING',
    change: (copy) => copy.execute('update logs set size = 0 where project_id = ?', copy.project),
  },
  {
    title: 'a log that was closed without one that continues it',
    code: 'LOG_CLOSED',
    change: (copy) => copy.execute('update logs set closed_at = 1 where project_id = ?', copy.project),
  },
  {
    title: 'a log in the place of another that does not begin with its end',
    code: 'LOG_NOT_CONTINUED',
    index: 0,
    change(copy) {
      copy.execute('update logs set closed_at = 1 where project_id = ?', copy.project)
      copy.execute(
        `insert into logs (project_id, shard, origin, root, opened_at) values (?, 1, 'writ.log/other', '', 1)`,
        copy.project,
      )
    },
  },
]

for (const { title, code, index, change } of cases) {
  test(`verification names ${title}: ${code}`, async () => {
    const copy = await scene.copy()
    change(copy)
    const report = await copy.verify()
    assert.deepEqual({ ok: report.ok, code: report.code }, { ok: false, code }, report.reason ?? 'passed')
    if (index !== undefined) assert.equal(report.index, index)
  })
}
