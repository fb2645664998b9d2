import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import pg from 'pg'
import { missingBackend } from '../../../../../test/servers/missing-backend.ts'
import { findPgDump, missingPostgres, type Postgres, startPostgres } from '../../../../../test/servers/postgres.ts'
import { startProxy } from '../../../../../test/servers/proxy.ts'
import { createFakeClock } from '../clock.ts'
import { uuidv7 } from '../ids.ts'
import { loadMigrations } from './migrations.ts'
import { openDatabase } from './open.ts'

const run = promisify(execFile)
const clock = createFakeClock(Date.UTC(2026, 4, 17))
const snapshot = (dialect: string) => new URL(`../../../migrations/schema.${dialect}.sql`, import.meta.url)

/** Compares with the checked-in file, or with WRIT_UPDATE_SNAPSHOTS=1 writes it. */
function matches(dialect: string, schema: string): void {
  const file = snapshot(dialect)
  if (process.env.WRIT_UPDATE_SNAPSHOTS) writeFileSync(file, schema)
  assert.equal(
    schema,
    readFileSync(file, 'utf8'),
    `${path.basename(file.pathname)} is out of date: run this test once with WRIT_UPDATE_SNAPSHOTS=1`,
  )
}

const head = (dialect: string) =>
  `-- What the migrations for ${dialect} result in. Written by migrate.test.ts; nothing reads it but people and that test.\n`

let server: Promise<Postgres> | undefined
const made: string[] = []
after(async () => {
  if (!server) return
  const { url, stop } = await server
  for (const name of made) await execute(url, `drop database ${name} with (force)`)
  await stop()
})
const skip = missingBackend('PostgreSQL', missingPostgres())

/** A migrated, empty database of each dialect, and how to change it behind Writ's back. */
const stores = [
  {
    dialect: 'sqlite' as const,
    skip: false as const,
    async make() {
      const folder = mkdtempSync(path.join(tmpdir(), 'writ-migrate-'))
      after(() => rmSync(folder, { recursive: true, force: true }))
      const file = path.join(folder, 'writ.db')
      const change = async (statement: string) => {
        const database = new DatabaseSync(file)
        database.exec(statement)
        database.close()
      }
      const rows = async (query: string): Promise<object[]> => {
        const database = new DatabaseSync(file, { readOnly: true })
        const found = database.prepare(query).all()
        database.close()
        return found.map((row) => ({ ...row }))
      }
      return { url: `sqlite:${file}`, file, change, rows }
    },
  },
  {
    dialect: 'postgres' as const,
    skip,
    async make() {
      server ??= startPostgres()
      const name = `writ_migrate_${randomBytes(6).toString('hex')}`
      await execute((await server).url, `create database ${name}`)
      const url = Object.assign(new URL((await server).url), { pathname: `/${name}` }).href
      made.push(name)
      const change = async (statement: string) => void (await execute(url, statement))
      const rows = (query: string): Promise<object[]> => execute(url, query)
      return { url, file: '', change, rows }
    },
  },
]

for (const store of stores) {
  const migrated = async () => {
    const empty = await store.make()
    const reopen = async () => (await openDatabase({ url: empty.url }, clock)).close()
    await reopen()
    return { ...empty, reopen }
  }

  test(`the checked-in schema is what the migrations make (${store.dialect})`, { skip: store.skip }, async (t) => {
    const { url, file } = await migrated()
    if (store.dialect === 'sqlite') return matches('sqlite', head('SQLite') + dumpSqlite(file))
    const program = findPgDump()
    if (!program) return t.skip(`${missingBackend('pg_dump', 'not beside the server')}`)
    const { major, sql } = await dumpPostgres(program, url)
    // Majors of PostgreSQL spell the same schema differently; one is enough to see a change.
    if (major !== 15) return t.skip(`${missingBackend('pg_dump', `the snapshot is that of version 15, not ${major}`)}`)
    matches('postgres', head('PostgreSQL') + sql)
  })

  test(`a migrated store opens again and nothing is migrated twice (${store.dialect})`, {
    skip: store.skip,
  }, async () => {
    const { reopen } = await migrated()
    await reopen()
  })

  test(`schedules that the server paused before are told by code and values (${store.dialect})`, {
    skip: store.skip,
  }, async () => {
    const { change, rows } = await migrated()
    const schedule = (id: string, refusals: number, reason: string) =>
      `insert into schedules (project_id, id, name, handler, input, input_sha256, options, zone, dst_gap, dst_overlap, catch_up,
         catch_up_limit, when_running, state, paused_reason, owner_id, version, refusals, created_by_id, created_at, updated_at)
       values ('p', '${id}', '${id}', 'h', '{}', '', '{}', 'UTC', 'after', 'first', 'last', 1, 'allow', 'paused', '${reason}', 'u', 1,
         ${refusals}, 'u', 0, 0);`
    const alone = store.dialect === 'sqlite' ? 'pragma foreign_keys = off' : 'set session_replication_role = replica'
    const { sql } = loadMigrations(store.dialect).find(({ name }) => name === 'causes')!
    await change(`${alone};
      alter table schedules drop column paused_cause;
      ${schedule('a', 0, 'its owner may not dispatch tasks here any more')}
      ${schedule('b', 10, 'it started nothing 10 times in a row, the last time TASK_UNKNOWN_HANDLER')}
      ${schedule('c', 3, 'holidays')}
      ${sql}`)
    const found = (await rows('select paused_cause from schedules order by id')) as { paused_cause: string | null }[]
    assert.deepEqual(
      found.map(({ paused_cause }) => JSON.parse(paused_cause ?? 'null')),
      [
        { code: 'owner_denied', refusals: null, error_code: null },
        { code: 'refused', refusals: 10, error_code: 'TASK_UNKNOWN_HANDLER' },
        null,
      ],
    )
  })

  test(`a log that a restore closed before has the end that the next one names (${store.dialect})`, {
    skip: store.skip,
  }, async () => {
    const { change, rows } = await migrated()
    const note = 'writ.log/a\n9\nroot9\n\n— writ.log/a sig\n'
    const closed = (shard: number, origin: string, checkpoint: string) =>
      `insert into logs (project_id, shard, origin, size, root, checkpoint, opened_at, closed_at) values ('p', ${shard}, '${origin}', 5, 'root4', ${checkpoint}, 0, 1);`
    const event = JSON.stringify({ details: { old_origin: 'writ.log/a', last_checkpoint: note } })
    const salt = store.dialect === 'sqlite' ? `x'00'` : `'\\x00'`
    const { sql } = loadMigrations(store.dialect).find(({ name }) => name === 'ends_of_logs')!
    // What the other says was erased, with who closed that log.
    const continued = [event, '']
      .map(
        (text, i) =>
          `('p', '${uuidv7(clock.now())}', 'log.continued', ${clock.now()}, 'system', 1, '${text}', ${salt}, ${salt}, 1, ${i})`,
      )
      .join()
    await change(`${closed(0, 'writ.log/a', `'as the backup knew it'`)} ${closed(1, 'writ.log/b', 'null')}
      insert into audit_events (project_id, id, event_type, timestamp, actor_kind, success, event, salt, entry, append, place)
        values ${continued};
      ${sql}`)
    assert.deepEqual(
      (await rows(`select origin, checkpoint, root, size from logs where project_id = 'p' order by shard`)).map(
        Object.values,
      ),
      [
        ['writ.log/a', note, 'root9', 5],
        ['writ.log/b', null, 'root4', 5],
      ],
    )
  })

  test(`a database of something else is refused and left as it was, to the byte (${store.dialect})`, {
    skip: store.skip,
  }, async () => {
    const { url, file, change, rows } = await store.make()
    await change('create table users (id varchar(36) primary key, username varchar(50))')
    await change(`insert into users values ('1', 'old')`)
    const before = file === '' ? '' : readFileSync(file).toString('hex')
    await assert.rejects(openDatabase({ url }, clock), {
      name: 'SchemaRefused',
      message:
        / holds tables that Writ did not make \(users\)\. Nothing was changed there\. Give Writ a database of its own:/,
    })
    assert.deepEqual(await rows('select * from users'), [{ id: '1', username: 'old' }])
    if (file !== '') assert.equal(readFileSync(file).toString('hex'), before)
    else assert.deepEqual(await rows(`select 1 as one where to_regclass('schema_migrations') is not null`), [])
  })

  test(`a store with a newer schema is refused (${store.dialect})`, { skip: store.skip }, async () => {
    const { change, reopen } = await migrated()
    await change(`insert into schema_migrations values (9999, 'later', 'x', '2026-01-01T00:00:00Z')`)
    await assert.rejects(reopen, {
      name: 'SchemaRefused',
      message: /^This database has schema 9999, but this version of Writ knows only \d+\. Start the newer Writ/,
    })
  })

  test(`a store made by an altered migration is refused (${store.dialect})`, { skip: store.skip }, async () => {
    const { change, reopen } = await migrated()
    await change(`update schema_migrations set checksum = 'another' where version = 1`)
    await assert.rejects(reopen, {
      name: 'SchemaRefused',
      message:
        'Migration 1 of this database is not the one that this version of Writ ships; it was made by another build.',
    })
  })
}

test('what was there before tasks comes along: runs as they were, and what waited in the queue of proofs (sqlite)', async () => {
  const { url, file } = await stores[0]!.make()
  const before = new DatabaseSync(file)
  before.exec(
    'create table schema_migrations (version integer primary key, name text not null, checksum text not null, applied_at text not null)',
  )
  for (const migration of loadMigrations('sqlite').filter((one) => one.version < 7)) {
    before.exec(migration.sql)
    before
      .prepare('insert into schema_migrations values (?, ?, ?, ?)')
      .run(migration.version, migration.name, migration.checksum, '2026-01-01T00:00:00Z')
  }
  before.exec(`
    insert into users (id, number, username, password_hash, created_at, updated_at) values ('u', 1, 'wang', 'x', 0, 0);
    insert into projects (id, slug, name, policy, created_at) values ('p', 'default', 'Default', '{}', 0);
    insert into tickets (project_id, id, number, title, status, created_by_id, version, digest, created_at, updated_at)
      values ('p', 't', 1, 'T', 'running', 'u', 1, 'd', 0, 0);
    insert into runs (project_id, id, number, kind, handler, run_type, state, ticket_id, executed_by_id, root_run_id, finalize, trigger, trace_id, created_at, updated_at)
      values ('p', 'r', 1, 'proof', 'config_format', 'proof', 'pending', 't', 'u', 'r', 'auto', '{}', 'x', 5, 6);
    insert into queue (run_id, project_id, run_at) values ('r', 'p', 7);
  `)
  before.close()
  await (await openDatabase({ url }, clock)).close()
  const after = new DatabaseSync(file, { readOnly: true })
  const row = (sql: string) => ({ ...after.prepare(sql).get() })
  assert.deepEqual(
    row('select id, number, kind, run_type, state, ticket_id, finalize, created_at, updated_at, queue from runs'),
    {
      id: 'r',
      number: 1,
      kind: 'proof',
      run_type: 'proof',
      state: 'pending',
      ticket_id: 't',
      finalize: 'auto',
      created_at: 5,
      updated_at: 6,
      queue: null,
    },
  )
  assert.deepEqual(row('select run_id, queue, priority, run_at, ready from queue'), {
    run_id: 'r',
    queue: '.proof',
    priority: 0,
    run_at: 7,
    ready: 0,
  })
  assert.deepEqual(after.prepare('pragma foreign_key_check').all(), [])
  after.close()
})

for (const store of stores) {
  test(`events that had places of their own keep them (${store.dialect})`, { skip: store.skip }, async () => {
    const { url, change, rows } = await store.make()
    await change(
      'create table schema_migrations (version integer primary key, name text not null, checksum text not null, applied_at text not null)',
    )
    for (const { version, name, sql, checksum } of loadMigrations(store.dialect).filter((one) => one.version < 16)) {
      await change(sql)
      await change(
        `insert into schema_migrations values (${version}, '${name}', '${checksum}', '2026-01-01T00:00:00Z')`,
      )
    }
    if (store.dialect === 'postgres') await change(`select writ_make_partitions('2026-05-17', 1)`)
    const month = Date.UTC(2026, 4, 17).toString(16).padStart(12, '0')
    const id = (n: number) => `${month.slice(0, 8)}-${month.slice(8)}-7000-8000-00000000000${n}`
    const bytes = store.dialect === 'postgres' ? `'\\x00'` : `x'00'`
    for (const n of [1, 2, 3])
      await change(`insert into audit_events (project_id, id, event_type, timestamp, actor_kind, success, event, salt, entry)
        values ('p', '${id(n)}', 'ticket.created', 5, 'system', 1, '{}', ${bytes}, ${bytes})`)
    // The third waits for its place; the order of the places is not that of the ids.
    await change(`insert into audit_index (project_id, event_id, shard, log_index)
      values ('p', '${id(2)}', 0, 0), ('p', '${id(1)}', 0, 1), ('p', '${id(3)}', null, null)`)
    await (await openDatabase({ url }, clock)).close()
    const kept = await rows('select event_id, shard, log_index from audit_places order by coalesce(log_index, 9)')
    assert.deepEqual(kept, [
      { event_id: id(2), shard: 0, log_index: 0 },
      { event_id: id(1), shard: 0, log_index: 1 },
      { event_id: id(3), shard: null, log_index: null },
    ])
    // What is appended next comes behind them.
    await change(`insert into audit_appends (project_id, first_id, last_id, entries) values ('p', 'x', 'x', 1)`)
    assert.deepEqual(await rows('select count(*) as n from audit_appends where seq > 3'), [{ n: 1 }])
  })
}

async function execute(url: string, statement: string): Promise<object[]> {
  const client = new pg.Client({
    connectionString: url,
    types: { getTypeParser: (oid) => (oid === INT8 ? Number : (text: string) => text) },
  })
  await client.connect()
  const { rows } = await client.query(statement).finally(() => client.end())
  return rows
}
const INT8 = 20

/** Every statement that made the schema, by name. */
function dumpSqlite(file: string): string {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    // The rows of sqlite_master, of which only this column is asked for.
    const rows = database.prepare('select sql from sqlite_master where sql is not null order by name').all() as {
      sql: string
    }[]
    return rows
      .map((row) => `\n${row.sql.replace(/^CREATE (TABLE|(UNIQUE )?INDEX)/, (word) => word.toLowerCase())};\n`)
      .join('')
  } finally {
    database.close()
  }
}

/** pg_dump without owners, comments, session settings and month partitions, which depend on the day. */
async function dumpPostgres(program: string, url: string): Promise<{ major: number; sql: string }> {
  const version = (await run(program, ['--version'])).stdout
  const months = ['runs', 'artifacts', 'audit_events', 'attempts', 'steps', 'log_chunks', 'costs'].map(
    (table) => `--exclude-table=${table}_[0-9][0-9][0-9][0-9]_*`,
  )
  const { stdout } = await run(
    program,
    ['--schema-only', '--no-owner', '--no-comments', ...months, `--dbname=${url}`],
    {
      maxBuffer: 16 * 1024 * 1024,
    },
  )
  const lines = stdout
    .split('\n')
    .filter((line) => !/^(--|SET |SELECT pg_catalog\.set_config|\\(un)?restrict)/.test(line))
  const sql = lines.join('\n').replace(/\n{3,}/g, '\n\n')
  return { major: Number(/(\d+)/.exec(version)?.[1]), sql: `\n${sql.trim()}\n` }
}

test('a connection that is lost in the first migration is an error of whoever asked, and the next start makes it all', {
  skip,
}, async () => {
  const { url, rows } = await stores[1]!.make()
  const way = await startProxy(Number(new URL(url).port))
  const through = Object.assign(new URL(url), { port: String(way.port) }).href
  try {
    const cut = way.cutAfter('create table')
    const lost = assert.rejects(openDatabase({ url: through }, clock), (error: Error) => {
      assert.deepEqual(
        [error.name, (error.cause as Error).message],
        ['DatabaseUnavailable', 'Connection terminated unexpectedly'],
      )
      return true
    })
    await cut
    await way.refuse()
    await lost
    await way.mend()
    await (await openDatabase({ url: through }, clock)).close()
    assert.equal((await rows('select from schema_migrations')).length, loadMigrations('postgres').length)
  } finally {
    await way.stop()
  }
})
