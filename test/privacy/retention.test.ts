import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { Project, SelfCheckReport, VerifyReport } from '@writ/api'
import { verifyOffline } from '@writ/server/ops'
import pg from 'pg'
import { backends } from '../backends.ts'
import { type TestSystem, until } from '../test-system.ts'
import { dumpTables, execute } from './database.ts'

interface Log {
  shard: number
  origin: string
  size: number
  checkpoint: string
  closed_at: string | null
  dropped_at: string | null
}
const logsOf = async (sys: TestSystem) => (await sys.admin.get<Log[]>('/audit/logs')).body
const verify = async (sys: TestSystem, kept?: string) =>
  (await sys.admin.post<VerifyReport>('/audit/verify', kept ? { kept_checkpoint: kept } : {})).body
const dayFiles = (sys: TestSystem) =>
  globSync('data/audit/*.{jsonl,txt}', { cwd: sys.folder })
    .map((name) => readFileSync(path.join(sys.folder, name), 'utf8'))
    .join('')
const rotate = async (sys: TestSystem) => {
  const answer = await sys.admin.post('/audit/logs/rotate', { reason: 'end of the year' })
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
}
const drop = (sys: TestSystem, shard: number, who = sys.admin) =>
  who.post<{ state: string; code: string; detail: string }>(`/audit/logs/${shard}/drop`, { reason: 'kept long enough' })

for (const backend of backends()) {
  test(`${backend.name}: a log is closed and continued while the server runs, and both verify`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start()
    await sys.employee.post('/tickets', { title: 'first-year' })
    await sys.settle()
    const before = await verify(sys)
    // Others go on while it happens.
    const busy = Promise.all(
      Array.from({ length: 20 }, (_, i) => sys.employee.post('/tickets', { title: `meanwhile ${i}` })),
    )
    await rotate(sys)
    await busy
    await sys.employee.post('/tickets', { title: 'second-year' })
    await sys.settle()
    const [old, open] = await logsOf(sys)
    assert.ok(old!.closed_at !== null && open!.closed_at === null && old!.origin !== open!.origin)
    const after = await verify(sys, before.checkpoint)
    assert.deepEqual([after.ok, after.reason, after.origin], [true, null, open!.origin])
    assert.match(dayFiles(sys), /first-year/)
    assert.match(dayFiles(sys), /second-year/)
    assert.equal((await sys.admin.post<SelfCheckReport>('/audit/self-check', { full: true })).body.ok, true)
    await sys.check()
  })

  test(`${backend.name}: the oldest closed log is dropped by two admins; what is left verifies and says so`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start({ fakeClock: true })
    const second = await sys.hire('second', 'admin')
    await sys.employee.post('/tickets', { title: 'first-year' })
    await rotate(sys)
    sys.advance(86_400_000)
    await sys.employee.post('/tickets', { title: 'second-year' })
    await sys.settle()
    const [old] = await logsOf(sys)
    const kept = old!.checkpoint
    assert.equal((await drop(sys, 1)).body.code, 'LOG_NOT_DROPPABLE')
    const asked = await drop(sys, 0)
    assert.equal(asked.body.state, 'requested', JSON.stringify(asked.body))
    assert.equal((await drop(sys, 0)).body.state, 'requested', 'asking twice is not two persons')
    const hold = (await sys.admin.post<{ id: string }>('/holds', { subject_type: 'project', reason: 'case 17' })).body
    const held = await drop(sys, 0, second)
    assert.equal(held.body.code, 'LEGAL_HOLD')
    assert.ok(held.body.detail.includes(hold.id))
    await sys.admin.post(`/holds/${hold.id}/release`, { reason: 'closed' })
    const done = await drop(sys, 0, second)
    assert.equal(done.body.state, 'dropped', JSON.stringify(done.body))
    await sys.settle()
    await sys.settle()

    const project = (await sys.admin.get<Project[]>('/projects')).body.find((one) => one.slug === 'default')!.id
    const folder = path.join(sys.folder, 'data/log', project, '0')
    assert.ok(existsSync(path.join(folder, 'checkpoint')) && !existsSync(path.join(folder, 'tile')))
    assert.doesNotMatch(dayFiles(sys), /first-year/)
    assert.match(dayFiles(sys), /second-year/)
    assert.doesNotMatch((await dumpTables(sys)).get('audit_events')!, /first-year/)
    const logs = await logsOf(sys)
    assert.deepEqual([logs[0]!.checkpoint, logs[0]!.dropped_at !== null], [kept, true])
    const report = await verify(sys, kept)
    assert.deepEqual([report.ok, report.reason], [true, null])
    assert.deepEqual(report.dropped, [{ shard: 0, origin: old!.origin, size: old!.size }])
    // A second one, so that the first two are both gone.
    await rotate(sys)
    await drop(sys, 1)
    assert.equal((await drop(sys, 1, second)).body.state, 'dropped')
    await sys.settle()
    await sys.settle()
    assert.deepEqual([(await verify(sys)).reason], [null])
    await sys.check()
    await sys.stop()
    const offline = await verifyOffline({
      dataDir: path.join(sys.folder, 'data'),
      env: sys.databaseUrl ? { DATABASE_URL: sys.databaseUrl } : {},
      cwd: sys.folder,
      patienceMs: 50,
    })
    assert.deepEqual([offline.ok, offline.reason], [true, null])
    await sys.restart()
    await sys.employee.post('/tickets', { title: 'third-year' })
    await sys.settle()
    assert.deepEqual([(await verify(sys)).reason], [null])
  })

  test(`${backend.name}: day files that were lost are made again at the next start, of each log that is left`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start({ fakeClock: true })
    const second = await sys.hire('second', 'admin')
    for (const title of ['first-year', 'second-year', 'third-year']) {
      await sys.employee.post('/tickets', { title })
      await rotate(sys)
      sys.advance(86_400_000)
    }
    await drop(sys, 0)
    assert.equal((await drop(sys, 0, second)).body.state, 'dropped')
    await sys.employee.post('/tickets', { title: 'fourth-year' })
    await sys.stop()
    const before = dayFiles(sys)
    rmSync(path.join(sys.folder, 'data/audit'), { recursive: true })
    await sys.restart()
    await sys.settle()
    const after = dayFiles(sys)
    assert.doesNotMatch(after, /first-year/)
    for (const title of ['second-year', 'third-year', 'fourth-year']) assert.match(after, new RegExp(title))
    assert.ok(after.length >= before.length)
    assert.deepEqual([(await verify(sys)).reason], [null])
    assert.equal((await sys.admin.post<SelfCheckReport>('/audit/self-check', { full: true })).body.ok, true)
    // As after a copy of the folder that takes no names with a dot: nothing stands twice, and what was there is kept.
    await sys.stop()
    const copied = dayFiles(sys)
    rmSync(path.join(sys.folder, 'data/audit/.cursor.json'))
    await sys.restart()
    await sys.settle()
    assert.deepEqual([(await verify(sys)).reason], [null])
    const aside = globSync('data/audit/.aside-*/*.{jsonl,txt}', { cwd: sys.folder })
    assert.equal(aside.map((name) => readFileSync(path.join(sys.folder, name), 'utf8')).join(''), copied)
  })

  test(`${backend.name}: a log that somebody deleted without dropping it is found`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start()
    await sys.employee.post('/tickets', { title: 'first-year' })
    await rotate(sys)
    await sys.employee.post('/tickets', { title: 'second-year' })
    await sys.settle()
    const project = (await sys.admin.get<Project[]>('/projects')).body.find((one) => one.slug === 'default')!.id
    const own = `project_id = '${project}'`
    await execute(
      sys,
      `delete from audit_events where ${own} and id in (select event_id from audit_places where ${own} and shard = 0);
       delete from audit_appends where ${own} and shard = 0;
       update logs set dropped_at = 1, dropped_until = ${Date.now()} where ${own} and shard = 0`,
    )
    // The server's own tidying makes the files fit the lie.
    await sys.settle()
    await sys.settle()
    const found = await verify(sys)
    assert.deepEqual([found.ok, found.code], [false, 'LOG_DROPPED'], found.reason ?? '')
  })

  test(`${backend.name}: logs are rotated by policy`, { skip: backend.skip }, async () => {
    await using sys = await backend.start({ env: { WRIT_LOG_ROTATE_ENTRIES: '5' } })
    for (let i = 0; i < 10; i++) await sys.employee.post('/tickets', { title: `ticket ${i}` })
    await sys.stop()
    // The first chore of a start comes at once.
    await sys.restart()
    await until('a log was rotated', async () => (await logsOf(sys)).length >= 2)
    assert.deepEqual([(await verify(sys)).reason], [null])
  })
}

test('the role of the server drops only what the log says is dropped', { skip: backends()[1]!.skip }, async () => {
  await using sys = await backends()[1]!.start()
  await sys.employee.post('/tickets', { title: 'first-year' })
  await rotate(sys)
  await sys.settle()
  const client = new pg.Client({ connectionString: sys.databaseUrl, options: '-c role=writ_app' })
  await client.connect()
  try {
    const { rows } = await client.query(`select id from projects where slug = 'default'`)
    await client.query(`select set_config('writ.project', $1, false)`, [rows[0].id])
    const event = (await client.query(`select id from audit_events where event_type = 'ticket.created'`)).rows[0].id
    const refused = (sql: string, params: unknown[], why: RegExp) => assert.rejects(client.query(sql, params), why)
    await refused('select writ_drop_log(1, $1, 1)', [event], /not the oldest closed log/)
    await refused('select writ_drop_log(0, $1, 1)', [event], /no log.dropped/)
    await refused('delete from audit_appends', [], /permission denied/)
    await refused('update logs set dropped_at = 1', [], /permission denied/)
  } finally {
    await client.end()
  }
})
