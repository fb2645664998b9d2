import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { importFrom, verifyOffline } from '@writ/server/ops'
import pg from 'pg'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingPostgres, startPostgres } from '../servers/postgres.ts'
import { prepareWrit, type Writ } from '../servers/writ.ts'

const run = promisify(execFile)
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** The tables of the original platform as its own migrations make them, with a little of everything in them. */
const SOURCE = `
  create type ticketstatus as enum ('DRAFT', 'SUBMITTED', 'APPROVED', 'RUNNING', 'DONE', 'FAILED', 'CLOSED');
  create type runtype as enum ('PROOF', 'ACTION');
  create type runstatus as enum ('PENDING', 'RUNNING', 'SUCCESS', 'FAILED', 'TIMEOUT');
  create table users (id serial primary key, username varchar(50) unique, email varchar(255) unique, hashed_password varchar(255),
    full_name varchar(100), is_active boolean, is_admin boolean, created_at timestamptz not null, updated_at timestamptz not null);
  create table assets (id serial primary key, name varchar(100) not null, asset_type varchar(50) not null, serial_number varchar(100) unique,
    location varchar(255), description text, created_by_id int references users not null, created_at timestamptz not null, updated_at timestamptz not null);
  create table tickets (id serial primary key, title varchar(200) not null, description text, status ticketstatus, asset_id int references assets,
    created_by_id int references users not null, approved_by_id int references users, created_at timestamptz not null, updated_at timestamptz not null);
  create table runs (id serial primary key, run_type runtype, status runstatus, ticket_id int references tickets not null,
    executed_by_id int references users not null, script_id varchar(100), validator_version varchar(50), rules_version varchar(50),
    inputs_manifest json, outputs_manifest json, execution_context json, stdout_log text, stderr_log text, result_summary text,
    exit_code int, created_at timestamptz not null, updated_at timestamptz not null);
  create table artifacts (id serial primary key, filename varchar(255), content_type varchar(100), size_bytes bigint, sha256_hash varchar(64),
    storage_path varchar(500), artifact_type varchar(50), description varchar(500), run_id int references runs, uploaded_by_id int references users,
    is_deleted boolean, created_at timestamptz not null, updated_at timestamptz not null);
  insert into users values (1, 'admin', 'admin@example.com', '$2b$12$x', 'Administrator', true, true, '2024-11-05T08:00:00Z', '2024-11-05T08:00:00Z'),
    (2, 'employee', 'employee@example.com', '$2b$12$y', 'An Employee', true, false, '2024-11-05T08:00:00Z', '2024-11-05T08:00:00Z'),
    (3, 'gone', 'gone@example.com', '$2b$12$z', null, false, false, '2024-11-05T08:00:00Z', '2024-11-05T08:00:00Z');
  insert into assets values (4, 'Main Office Switch', 'switch', 'SW-001-2024', 'Main Office', null, 1, '2024-11-06T08:00:00Z', '2024-11-06T08:00:00Z');
  insert into tickets values (7, 'Replace SW-001', 'old one is loud', 'DONE', 4, 2, null, '2024-12-01T08:00:00Z', '2024-12-02T08:00:00Z'),
    (9, 'Open a port', null, 'APPROVED', null, 2, 1, '2025-01-03T08:00:00Z', '2025-01-03T09:00:00Z');
  insert into runs values (11, 'PROOF', 'SUCCESS', 7, 2, 'proof.config_validator', '1.0.0', null, '{"files":1}', null, '{"a":1}', 'ok', null,
      'All passed', 0, '2024-12-01T09:00:00Z', '2024-12-01T09:01:00Z'),
    (12, 'PROOF', 'FAILED', 7, 2, null, null, null, null, null, null, null, 'bad', 'No', 1, '2024-12-01T10:00:00Z', '2024-12-01T10:01:00Z'),
    (13, 'ACTION', 'RUNNING', 9, 1, 'action.port', null, null, null, null, null, null, null, null, null, '2025-01-03T10:00:00Z', '2025-01-03T10:00:00Z');
  insert into artifacts values (21, 'switch.cfg', 'text/plain', 13, '${sha256('hostname sw1\n')}', 'runs/11/switch.cfg', 'config', 'after', 11, 2, false,
      '2024-12-01T09:00:30Z', '2024-12-01T09:00:30Z'),
    (22, 'overwritten.cfg', 'text/plain', 5, '${sha256('first')}', 'runs/12/overwritten.cfg', 'config', null, 12, 2, false,
      '2024-12-01T10:00:30Z', '2024-12-01T10:00:30Z'),
    (23, '../11/switch.cfg', 'text/plain', 5, '${sha256('x')}', 'runs/12/../11/switch.cfg', 'config', null, 12, 2, false,
      '2024-12-01T10:00:30Z', '2024-12-01T10:00:30Z'),
    (24, 'lost.cfg', 'text/plain', 5, '${sha256('y')}', 'runs/12/lost.cfg', 'config', null, 12, 2, false,
      '2024-12-01T10:00:30Z', '2024-12-01T10:00:30Z');`

async function makeArtifacts(folder: string): Promise<string> {
  const root = path.join(folder, 'old-artifacts')
  await mkdir(path.join(root, 'runs', '11'), { recursive: true })
  await mkdir(path.join(root, 'runs', '12'), { recursive: true })
  await writeFile(path.join(root, 'runs', '11', 'switch.cfg'), 'hostname sw1\n')
  await writeFile(path.join(root, 'runs', '12', 'overwritten.cfg'), 'second')
  return root
}

async function takeOver(writ: Writ, from: string, artifacts: string): Promise<void> {
  const place = { dataDir: writ.dataDir, env: writ.env, cwd: path.dirname(writ.dataDir) }
  const dry = await importFrom({ ...place, source: 'tep', from, artifacts, dryRun: true })
  assert.deepEqual(dry.imported, { users: 3, assets: 1, tickets: 2, runs: 3, artifacts: 1 })
  assert.deepEqual(
    dry.skipped.map(({ what, field, code }) => [what, field, code]),
    [
      ['artifacts 22', 'sha256_hash', 'IMPORT_HASH_DIFFERS'],
      ['artifacts 23', 'filename', 'IMPORT_FIELD_INVALID'],
      ['artifacts 24', 'filename', 'IMPORT_FILE_MISSING'],
    ],
  )

  const done = await importFrom({ ...place, source: 'tep', from, artifacts })
  assert.deepEqual(done.imported, { users: 2, assets: 1, tickets: 2, runs: 3, artifacts: 1 })
  assert.deepEqual(
    done.passwords.map((one) => one.username),
    ['employee', 'gone'],
  )
  assert.deepEqual(
    done.skipped.map(({ what, why }) => [what, why.replace(/[0-9a-f]{64}/g, 'H')]),
    [
      ['users 1', 'a user "admin" is here already; what the one there made belongs to this one'],
      ['artifacts 22', 'its bytes hash to H, but H was recorded'],
      ['artifacts 23', 'its file name "../11/switch.cfg" is a path'],
      ['artifacts 24', 'its file is not there'],
    ],
  )
  const again = await importFrom({ ...place, source: 'tep', from, artifacts })
  assert.deepEqual(again.imported, { users: 0, assets: 0, tickets: 0, runs: 0, artifacts: 0 })
  // What was taken over before is no refusal; whose account was here before any import, is told of again.
  assert.deepEqual(again.already, { users: [2, 3], assets: [4], tickets: [7, 9], runs: [11, 12, 13], artifacts: [21] })
  assert.deepEqual(again.skipped, done.skipped)
  assert.deepEqual(again.passwords, [])
  // Before any server has started.
  const { reports } = await verifyOffline(place)
  assert.deepEqual(
    reports.map(({ ok, project, checked }) => [ok, project, checked.entries === checked.rows && checked.entries > 5]),
    [
      [true, '_instance', true],
      [true, 'default', true],
    ],
  )

  await writ.start()
  try {
    await writ.login()
    const get = async (route: string) => (await writ.call('GET', route)).body
    const { title, status, asset_number, created_at } = await get('/tickets/7')
    assert.deepEqual(
      [title, status, asset_number, created_at],
      ['Replace SW-001', 'done', 4, '2024-12-01T08:00:00.000Z'],
    )
    const open = await get('/tickets/9')
    assert.deepEqual([open.status, open.approved_by_id], ['submitted', null])
    const states = await Promise.all([11, 12, 13].map(async (n) => (await get(`/runs/${n}`)).state))
    assert.deepEqual(states, ['completed', 'failed', 'cancelled'])
    assert.equal((await get('/runs/11/state')).code, undefined)
    assert.equal((await get('/artifacts/21/download')).text, 'hostname sw1\n')
    assert.equal((await writ.call('POST', '/tickets', { title: 'next' })).body.number, 10)
    const employee = { 'content-type': 'application/json' }
    const { password } = done.passwords[0]!
    const login = await fetch(`${writ.url}/api/v1/auth/login`, {
      method: 'POST',
      headers: employee,
      body: JSON.stringify({ username: 'employee', password }),
    })
    assert.equal(login.status, 200)
    const events = await get('/audit/events?event_type=run.created&cursor=')
    const details = (events.items as { details: Record<string, unknown> }[]).map((event) => event.details.imported_id)
    assert.deepEqual(details, [13, 12, 11])
  } finally {
    await writ.stop()
  }
  const report = await verifyOffline(place)
  assert.deepEqual([report.ok, report.reason], [true, null])
}

/** Rows that the original's own tables let in, and none of which means what it should. */
const BROKEN = `
  insert into users values (31, null, null, 'x', null, true, false, now(), now()), (32, 'EMPLOYEE', 'Employee@example.com', 'x', null, true, false, now(), now());
  insert into assets values (33, 'early', 'switch', null, null, null, 2, '1969-12-31', now()), (34, 'never', 'switch', null, null, null, 2, 'infinity', now());
  insert into tickets values (41, 'No state', null, null, null, 2, null, now(), now()), (42, ' ', null, 'DONE', null, 2, null, now(), now()),
    (43, 'Loses its asset', null, 'DONE', 34, 31, null, now(), now()), (44, 'Of the other EMPLOYEE', null, 'DONE', null, 32, null, now(), now());
  insert into runs (id, run_type, status, ticket_id, executed_by_id, created_at, updated_at) values (51, 'PROOF', 'SUCCESS', 41, 2, now(), now()),
    (52, null, 'SUCCESS', 43, 2, now(), now()), (53, 'PROOF', null, 43, 2, now(), now());
  insert into artifacts (id, filename, sha256_hash, run_id, created_at, updated_at) values (61, null, null, 11, now(), now()),
    (62, 'switch.cfg', 'abc', 11, now(), now()), (63, 'switch.cfg', '${sha256('hostname sw1\n').toUpperCase()}', 11, now(), now()),
    (64, 'folder', '${sha256('x')}', 11, now(), now()), (65, 'switch.cfg', '${sha256('x')}', null, now(), now());`

/** A source with these tables, on a server of its own, and a folder with the artifacts; both gone with the test. */
async function openSourceWith(t: TestContext, ...sql: string[]) {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-import-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const source = await startPostgres()
  t.after(() => source.stop())
  const client = new pg.Client({ connectionString: source.url })
  await client.connect()
  await client.query(sql.join('\n')).finally(() => client.end())
  return { folder, url: source.url, artifacts: await makeArtifacts(folder) }
}

const skip = missingBackend('PostgreSQL', missingPostgres())

for (const target of ['sqlite', 'postgres'] as const) {
  test(`people, tickets, runs and files of the original platform are taken over once (${target})`, {
    skip,
  }, async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'writ-import-'))
    const source = await startPostgres()
    const other = target === 'postgres' ? await startPostgres() : undefined
    try {
      const client = new pg.Client({ connectionString: source.url })
      await client.connect()
      await client.query(SOURCE).finally(() => client.end())
      const artifacts = await makeArtifacts(folder)
      const writ = await prepareWrit({ folder, ...(other ? { databaseUrl: other.url } : {}) })
      await takeOver(writ, source.url.replace('postgres:', 'postgresql+asyncpg:'), artifacts)
    } finally {
      await source.stop()
      await other?.stop()
      await rm(folder, { recursive: true, force: true })
    }
  })
}

test('rows of no sense are left out or changed one by one, each with its column and a code, and the dry run said so', {
  skip,
}, async (t) => {
  const { folder, url, artifacts } = await openSourceWith(t, SOURCE, BROKEN)
  await mkdir(path.join(artifacts, 'runs', '11', 'folder'))
  const place = { dataDir: path.join(folder, 'data'), env: {}, cwd: folder, source: 'tep', from: url, artifacts }
  const short = (flaws: readonly { what: string; field: string; code: string }[]) =>
    flaws.map(({ what, field, code }) => `${what} ${field} ${code}`)
  const left = [
    'assets 33 created_at IMPORT_FIELD_INVALID',
    'assets 34 created_at IMPORT_FIELD_INVALID',
    'tickets 41 status IMPORT_FIELD_INVALID',
    'tickets 42 title IMPORT_FIELD_INVALID',
    'runs 51 ticket_id IMPORT_REFERENCE_MISSING',
    'runs 52 run_type IMPORT_FIELD_INVALID',
    'runs 53 status IMPORT_FIELD_INVALID',
    'artifacts 22 sha256_hash IMPORT_HASH_DIFFERS',
    'artifacts 23 filename IMPORT_FIELD_INVALID',
    'artifacts 24 filename IMPORT_FILE_MISSING',
    'artifacts 61 filename IMPORT_FIELD_INVALID',
    'artifacts 62 sha256_hash IMPORT_FIELD_INVALID',
    'artifacts 64 filename IMPORT_FILE_UNREADABLE',
    'artifacts 65 run_id IMPORT_REFERENCE_MISSING',
  ]
  const changed = [
    'users 31 username IMPORT_RENAMED',
    'users 32 username IMPORT_RENAMED',
    'tickets 43 asset_id IMPORT_REFERENCE_LOST',
  ]
  const dry = await importFrom({ ...place, dryRun: true })
  assert.deepEqual([short(dry.skipped), short(dry.changed)], [left, changed])
  assert.deepEqual(dry.imported, { users: 5, assets: 1, tickets: 4, runs: 3, artifacts: 2 })
  assert.equal(existsSync(place.dataDir), false)

  const done = await importFrom(place)
  assert.deepEqual(short(done.skipped), ['users 1 username IMPORT_EXISTS', ...left])
  assert.deepEqual(short(done.changed), changed.toSpliced(2, 0, 'users 32 email IMPORT_EMAIL_TAKEN'))
  assert.deepEqual(done.imported, { ...dry.imported, users: 4 })
  // What "EMPLOYEE" made there is not said to be made by "employee" here.
  assert.deepEqual(
    done.passwords.map(({ username }) => username).filter((name) => name !== 'admin'),
    ['employee', 'gone', 'tep-user-31', 'tep-user-32'],
  )
  assert.equal((await verifyOffline(place)).ok, true)
})

test('what an earlier import took over is one line of the next, and a list for programs', { skip }, async (t) => {
  const { folder, url, artifacts } = await openSourceWith(t, SOURCE)
  const program = path.join(import.meta.dirname, '../../packages/cli/src/main.ts')
  const again = (...more: string[]) =>
    run(process.execPath, [program, 'import', 'tep', url, '--artifacts', artifacts, '--data-dir', 'data', ...more], {
      cwd: folder,
    })
  await again()
  const { stderr } = await again()
  assert.deepEqual(stderr.match(/^.*(?:Taken over before|IMPORT_EXISTS).*$/gm), [
    'Taken over before, and as they are here: 2 users, 1 asset, 2 tickets, 3 runs, 1 artifact. Their ids there are in -o json.',
    'Skipped users 1, username: a user "admin" is here already; what the one there made belongs to this one [IMPORT_EXISTS]',
  ])
  const { stdout } = await again('-o', 'json')
  assert.deepEqual(JSON.parse(stdout).already, {
    users: [2, 3],
    assets: [4],
    tickets: [7, 9],
    runs: [11, 12, 13],
    artifacts: [21],
  })
})

test('an import that ends early has told the one-time passwords of the accounts that it made', { skip }, async (t) => {
  const unreadable =
    'alter table assets rename to assets_then; create view assets as select *, 1 / (id - id) as x from assets_then;'
  const { folder, url } = await openSourceWith(t, SOURCE, unreadable)
  const program = path.join(import.meta.dirname, '../../packages/cli/src/main.ts')
  const args = [program, 'import', 'tep', url, '--data-dir', path.join(folder, 'data')]
  const { code, stdout, stderr } = await run(process.execPath, args, { cwd: folder }).then(
    (ended) => ({ ...ended, code: 0 }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  )
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /^One-time password of employee: \S+$/m)
  assert.match(stderr, /^writ: The source cannot be read: division by zero\. \[IMPORT_SOURCE_UNREADABLE\]$/m)
})

test('a source that is none is refused with a code before anything is made', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-import-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const place = { dataDir: path.join(folder, 'data'), env: {}, cwd: folder }
  const from = 'postgresql+asyncpg://127.0.0.1:1/tep'
  const codeOf = (asked: { source: string; from: string; artifacts?: string }) =>
    importFrom({ ...place, ...asked }).then(
      () => 'taken',
      (error: { code: string }) => error.code,
    )
  assert.equal(await codeOf({ source: 'procurator', from }), 'IMPORT_SYSTEM_UNKNOWN')
  assert.equal(await codeOf({ source: 'tep', from: 'mysql://127.0.0.1/tep' }), 'IMPORT_SOURCE_UNREADABLE')
  assert.equal(await codeOf({ source: 'tep', from }), 'IMPORT_SOURCE_UNREADABLE')
  assert.equal(await codeOf({ source: 'tep', from, artifacts: path.join(folder, 'none') }), 'IMPORT_FOLDER_MISSING')
  assert.equal(existsSync(place.dataDir), false)
})

test('a database without a table or a column that rows need is refused by their names', { skip }, async (t) => {
  const { folder, url } = await openSourceWith(t, SOURCE, 'alter table users drop column is_admin;')
  const ask = { dataDir: path.join(folder, 'data'), env: {}, cwd: folder, source: 'tep', from: url }
  const lacking = (name: string) => ({ code: 'IMPORT_SOURCE_FOREIGN', message: new RegExp(`it has no ${name}\\.$`) })
  await assert.rejects(importFrom(ask), lacking('column users\\.is_admin'))
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('drop table artifacts').finally(() => client.end())
  await assert.rejects(importFrom(ask), lacking('table artifacts'))
})
