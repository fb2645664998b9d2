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
const eventAt = (index: number) => `id = (select event_id from audit_places where ${at(index)})`
const appendAt = (index: number) => `seq = (select seq from audit_places where ${at(index)})`
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
      ['ROW_MISSING', `delete from audit_appends where ${appendAt(77)}`],
      ['LOG_EMPTIED', `update logs set vkey = null where size > 500`],
    ] as const
    for (const [code, statement] of cases)
      await t.test(`${code}: ${statement.slice(0, 60)}`, async () => {
        await client.query('create table kept_events as select * from audit_events')
        await client.query('create table kept_appends as select * from audit_appends')
        await client.query('create table kept_logs as select * from logs')
        await client.query(statement)
        const found = await verify()
        assert.deepEqual([found.ok, found.code], [false, code])
        if (statement.includes('audit_events')) assert.equal(found.index, 77)
        await client.query(`truncate audit_events, audit_appends, logs;
          insert into audit_events select * from kept_events;
          insert into audit_appends overriding system value select * from kept_appends;
          insert into logs select * from kept_logs;
          drop table kept_events, kept_appends, kept_logs`)
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
    title: 'a deleted append',
    code: 'ROW_MISSING',
    change: (copy) => copy.execute(`delete from audit_appends where ${appendAt(12)}`),
  },
  {
    title: 'events deleted with their append',
    code: 'ROW_MISSING',
    change(copy) {
      copy.execute(`delete from audit_events where append = (select seq from audit_places where ${at(12)})`)
      copy.execute('delete from audit_appends where seq not in (select append from audit_events)')
    },
  },
  {
    title: 'a deleted append at the end of the log',
    code: 'ROW_MISSING',
    change: (copy) =>
      copy.execute(
        `delete from audit_appends where project_id = ?1 and log_index = (select max(log_index) from audit_appends where project_id = ?1)`,
        copy.project,
      ),
  },
  {
    title: 'an event taken out of its append without a trace',
    code: 'ROW_CHANGED',
    change(copy) {
      const { seq } = longest(copy)
      copy.execute('delete from audit_events where append = ? and place = 0', seq)
      copy.execute('update audit_events set place = place - 1 where append = ?', seq)
      copy.execute('update audit_appends set entries = entries - 1 where seq = ?', seq)
    },
  },
  {
    title: 'two swapped events of an append',
    code: 'ROW_CHANGED',
    change: (copy) =>
      copy.execute('update audit_events set place = 1 - place where append = ? and place < 2', longest(copy).seq),
  },
  {
    title: 'two swapped appends',
    code: 'ROW_CHANGED',
    change(copy) {
      const [a, b] = copy.query<{ seq: number; log_index: number }>(
        'select seq, log_index from audit_appends where project_id = ? and entries = 1 order by log_index limit 2',
        copy.project,
      )
      copy.execute('update audit_appends set log_index = 1000000 where seq = ?', a!.seq)
      copy.execute('update audit_appends set log_index = ? where seq = ?', a!.log_index, b!.seq)
      copy.execute('update audit_appends set log_index = ? where seq = ?', b!.log_index, a!.seq)
    },
  },
  {
    title: 'an event that was put in beside the log',
    code: 'ROW_ORPHANED',
    change: (copy) =>
      copy.execute(
        `insert into audit_events select project_id, 'f' || substr(id, 2), event_type, timestamp, actor_kind, actor_id, actor_number,
           actor_username, resource_type, resource_id, resource_number, run_id, success, event, salt, entry, append, place
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

/** The append of most entries; a load of hundreds makes some that are long. */
function longest(copy: Copy): { seq: number } {
  const [append] = copy.query<{ seq: number; entries: number }>(
    'select seq, entries from audit_appends where project_id = ? order by entries desc limit 1',
    copy.project,
  )
  assert.ok(append!.entries > 2)
  return append!
}

for (const { title, code, index, change } of cases) {
  test(`verification names ${title}: ${code}`, async () => {
    const copy = await scene.copy()
    change(copy)
    const report = await copy.verify()
    assert.deepEqual({ ok: report.ok, code: report.code }, { ok: false, code }, report.reason ?? 'passed')
    if (index !== undefined) assert.equal(report.index, index)
  })
}
