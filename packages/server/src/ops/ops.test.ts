import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { addDatabase, addLogins, asSuperuser, databaseAt } from '../../../../test/servers/logins.ts'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { missingPostgres, startPostgres } from '../../../../test/servers/postgres.ts'
import { backup, checkConfig, type Diagnosis, doctor, initSample, type Place, verifyOffline } from './index.ts'

const folders: string[] = []
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true })
})

async function makePlace(env: Record<string, string> = {}): Promise<Place & { dataDir: string }> {
  const cwd = await mkdtemp(path.join(tmpdir(), 'writ-ops-'))
  folders.push(cwd)
  return { cwd, dataDir: path.join(cwd, 'data'), env: { ...env } }
}

const bad = ({ checks }: Diagnosis) => checks.filter((check) => !check.ok).map((check) => check.code)
const warned = ({ checks }: Diagnosis) => checks.filter((check) => check.level === 'warn').map((check) => check.code)

test('the configuration is shown with its sources and without its secrets, or with all its problems', async () => {
  const place = await makePlace({ SECRET_KEY: 'x'.repeat(40), PORT: '9000' })
  const good = await checkConfig(place)
  assert.equal(good.ok, true)
  const port = good.settings.find((setting) => setting.name === 'port')
  assert.deepEqual(port, { name: 'port', value: '9000', source: 'environment (PORT)' })
  assert.doesNotMatch(good.text, /xxxxx/)
  const broken = await checkConfig({ ...place, env: { PORT: 'nine', LOG_LEVEL: 'loud' } })
  assert.equal(broken.ok, false)
  assert.equal(broken.problems.length, 2)
})

test('the sample is three assets, an employee and an administrator, and is made once', async () => {
  const place = await makePlace()
  const { created } = await initSample(place)
  assert.match(created[0]!, /^administrator "admin" with the one-time password [a-z2-9-]{23}$/)
  assert.match(created[1]!, /^user "employee" with the one-time password [a-z2-9-]{23}$/)
  assert.deepEqual(created.slice(2), [
    'asset 1, Main Office Switch (SW-001-2024)',
    'asset 2, Server Room Router (RT-001-2024)',
    'asset 3, Factory Gateway (SW-FAC-001)',
  ])
  const again = await initSample(place)
  assert.deepEqual([again.created, again.notes.length], [[], 4])
  const database = new DatabaseSync(path.join(place.dataDir, 'writ.db'), { readOnly: true })
  const events = database.prepare(`select event_type as type, count(*) as n from audit_events group by 1`).all()
  const types = database.prepare('select asset_type from assets order by number').all()
  database.close()
  assert.equal(events.find((row) => row.type === 'asset.created')?.n, 3)
  assert.equal(events.find((row) => row.type === 'user.created')?.n, 2)
  assert.deepEqual(
    types.map((row) => row.asset_type),
    ['switch', 'router', 'switch'],
  )
  const { ok, reports } = await verifyOffline(place)
  const told = events.reduce((sum, row) => sum + Number(row.n), 0)
  assert.deepEqual([ok, reports.reduce((sum, { checked }) => sum + checked.entries, 0)], [true, told])
})

test('nothing is added where no server would start, since a restore was stopped or an older database was put back', async () => {
  const place = await makePlace()
  const marker = path.join(place.dataDir, 'restore.unfinished')
  await mkdir(place.dataDir, { mode: 0o700 })
  await writeFile(marker, 'copying\n')
  await assert.rejects(initSample(place), { name: 'OperationRefused', message: /A restore into .* did not finish/ })
  assert.equal((await readdir(place.dataDir)).includes('writ.db'), false)
  await rm(marker)

  await initSample(place)
  const database = new DatabaseSync(path.join(place.dataDir, 'writ.db'))
  database.exec('update logs set size = size - 1')
  database.close()
  await assert.rejects(initSample(place), { name: 'OperationRefused', message: /an older database was put in place/ })
})

test('a new and a filled installation are well, and the doctor leaves nothing behind', async () => {
  const place = await makePlace()
  assert.deepEqual(bad(await doctor(place)), [])
  await assert.rejects(readdir(place.dataDir), { code: 'ENOENT' })
  await mkdir(place.dataDir, { mode: 0o700 })
  assert.deepEqual(bad(await doctor(place)), [])
  assert.deepEqual(await readdir(place.dataDir), [])
  await initSample(place)
  assert.deepEqual(bad(await doctor(place)), [])
})

test('where no server was, nothing is backed up or verified, and nothing is made', async () => {
  const place = await makePlace()
  const to = path.join(place.dataDir, '../backup')
  for (const work of [backup({ ...place, to }), verifyOffline(place)])
    await assert.rejects(
      work,
      /There is no database .*writ\.db\. Name the data directory of the server with --data-dir/,
    )
  assert.deepEqual(await readdir(path.join(to, '..')), [])

  await initSample(place)
  await backup({ ...place, to })
  const before = await readdir(to)
  await assert.rejects(
    verifyOffline({ ...place, dataDir: to }),
    /backup is a backup .*"writ restore .*backup --data-dir/,
  )
  assert.deepEqual(await readdir(to), before)
})

test('a database of something else is named by the doctor, and not called empty', async () => {
  const place = await makePlace()
  await mkdir(place.dataDir, { mode: 0o700 })
  const database = new DatabaseSync(path.join(place.dataDir, 'writ.db'))
  database.exec('create table tasks (task_id text primary key)')
  database.close()
  const found = await doctor(place)
  assert.deepEqual(bad(found), ['SCHEMA_FOREIGN'])
  assert.match(found.checks.find(({ code }) => code === 'SCHEMA_FOREIGN')!.detail, /tasks$/)
})

test('the doctor names what is wrong, with what to do', async () => {
  const place = await makePlace()
  await initSample(place)
  const database = new DatabaseSync(path.join(place.dataDir, 'writ.db'))
  const change = (sql: string) => database.exec(sql)
  try {
    change(`insert into schema_migrations values (9999, 'x', 'x', '')`)
    assert.deepEqual(bad(await doctor(place)), ['SCHEMA_NEWER'])
    change('delete from schema_migrations where version = 9999')

    const [key] = (await readdir(path.join(place.dataDir, 'keys'))).filter((name) => !name.endsWith('.vkey'))
    await chmod(path.join(place.dataDir, 'keys', key!), 0o644)
    assert.deepEqual(bad(await doctor(place)), ['KEYS_OPEN'])
    await chmod(path.join(place.dataDir, 'keys', key!), 0o600)

    change(`update audit_events set timestamp = timestamp + 86400000 where id = (select max(id) from audit_events)`)
    const later = await doctor(place)
    assert.deepEqual(bad(later), ['CLOCK_BEHIND'])
    change(`update audit_events set timestamp = timestamp - 2 * 86400000 where event_type = 'asset.created'`)
    const [log] = database
      .prepare(`select project_id as id, origin from logs where project_id in (select project_id from assets)`)
      .all() as { id: string; origin: string }[]
    const checkpoint = path.join(place.dataDir, 'log', log!.id, '0', 'checkpoint')
    await rename(checkpoint, `${checkpoint}.away`)
    assert.deepEqual(warned(await doctor(place)).includes('CHECKPOINT_OLD'), true)
    await rename(`${checkpoint}.away`, checkpoint)

    await mkdir(path.join(place.dataDir, 'signer'), { recursive: true })
    await writeFile(path.join(place.dataDir, 'signer', `${log!.origin.replaceAll('/', '_')}.json`), '{"size":99}')
    assert.deepEqual(bad(await doctor(place)), ['LOG_AHEAD'])
    for (const check of (await doctor(place)).checks) assert.equal(check.ok || check.advice !== null, true)
  } finally {
    database.close()
  }
})

test('the doctor names a bad configuration and a database that is away', async () => {
  const place = await makePlace({ PORT: 'nine' })
  assert.deepEqual(bad(await doctor(place)), ['CONFIG_INVALID'])
  const away = await makePlace({ DATABASE_URL: 'postgres://nobody@127.0.0.1:9/none' })
  assert.deepEqual(bad(await doctor(away)), ['DATABASE_UNAVAILABLE'])
})

const skip = missingBackend('PostgreSQL', missingPostgres())
test('on PostgreSQL the doctor looks at the fences and the login', { skip }, async () => {
  const postgres = await startPostgres()
  try {
    const place = await makePlace({ DATABASE_URL: postgres.url })
    await initSample(place)
    const well = await doctor(place)
    assert.deepEqual(bad(well), [])
    assert.equal(warned(well).includes('LOGIN_MIGHTY'), true)
    await asSuperuser(postgres.url, 'alter table tickets no force row level security')
    assert.deepEqual(bad(await doctor(place)), ['RLS_OFF'])
  } finally {
    await postgres.stop()
  }
})

test('with an owner and a plain login one start is enough, and what it lacks is said with what to do', {
  skip,
}, async () => {
  const postgres = await startPostgres({ fresh: true })
  try {
    await addLogins(postgres.url)
    const place = await makePlace(await addDatabase(postgres.url, 'writ'))
    await initSample(place)
    const well = await doctor(place)
    assert.deepEqual([bad(well), warned(well)], [[], []])
    // Limits that a URL may have, and of which pg_dump has never heard.
    const WRIT_MIGRATION_URL = `${place.env!.WRIT_MIGRATION_URL}?query_timeout=60000&idle_in_transaction_session_timeout=30000`
    await backup({ ...place, env: { ...place.env, WRIT_MIGRATION_URL }, to: path.join(place.cwd!, 'first') })

    await asSuperuser(postgres.url, 'alter role writ_owner nobypassrls nocreaterole')
    assert.deepEqual(warned(await doctor(place)), ['BACKUP_FENCED'])
    await assert.rejects(backup({ ...place, to: path.join(place.cwd!, 'backup') }), {
      name: 'BackupToolFailed',
      message: /^The login "writ_owner" sees the rows of one project at a time.*: alter role writ_owner bypassrls$/,
    })

    // From PostgreSQL 16 on whoever made a role may give it away.
    await asSuperuser(postgres.url, 'revoke admin option for writ_app, writ_sequencer from writ_owner')
    await asSuperuser(postgres.url, 'create role writ_other login')
    const DATABASE_URL = databaseAt(postgres.url, 'writ', 'writ_other')
    await assert.rejects(initSample({ ...place, env: { ...place.env, DATABASE_URL } }), {
      message: /"writ_other" of DATABASE_URL is no member .*: grant writ_app, writ_sequencer to writ_other$/,
    })
  } finally {
    await postgres.stop()
  }
})

test('an owner who may make no roles is given them by a superuser', { skip }, async () => {
  const postgres = await startPostgres({ fresh: true })
  try {
    for (const statement of [
      'create role writ_app',
      'create role writ_sequencer',
      'create role writ_owner login',
      'create role writ_server login',
      'grant writ_app, writ_sequencer to writ_owner with admin option',
    ])
      await asSuperuser(postgres.url, statement)
    const place = await makePlace(await addDatabase(postgres.url, 'writ'))
    await initSample(place)
    const found = await doctor(place)
    assert.deepEqual([bad(found), warned(found)], [[], ['BACKUP_FENCED']])
  } finally {
    await postgres.stop()
  }
})
