// An event that somebody deletes between its commit and its place: log, rows and day files are whole without it, and only the numbers of
// its run, or a run that ended without a word, tell.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import pg from 'pg'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingPostgres, startPostgres } from '../servers/postgres.ts'
import { prepareWrit, type Writ } from '../servers/writ.ts'

/** How to have every new event of a type deleted with its append, in the transaction that wrote it. */
type Thief = { steal(type: string): Promise<void>; stop(): Promise<void> }

async function caught(writ: Writ, thief: Thief): Promise<void> {
  await writ.start()
  try {
    await writ.login()
    const verify = async () => {
      const { ok, code, reason, index } = (await writ.call('POST', '/audit/verify', {})).body
      return { ok, code, reason, index }
    }
    const ping = await writ.call('POST', '/tasks', { handler: 'system.ping' })
    assert.equal(ping.status, 201, JSON.stringify(ping.body))
    await writ.call('GET', `/tasks/${ping.body.id}/wait?timeout=20`)
    assert.deepEqual(await verify(), { ok: true, code: null, reason: null, index: null })

    await thief.steal('run.completed')
    const second = await writ.call('POST', '/tasks', { handler: 'system.ping' })
    const done = await writ.call('GET', `/tasks/${second.body.id}/wait?timeout=20`)
    await thief.stop()
    assert.equal(done.body.state, 'completed')
    const reason = `the run ${second.body.number} has ended, and no event tells of it`
    assert.deepEqual(await verify(), { ok: false, code: 'RUN_EVENT_MISSING', reason, index: null })

    await writ.call('POST', '/tickets', { title: 'Port 7' })
    await thief.steal('run.started')
    const run = await writ.call('POST', '/runs', { run_type: 'proof', ticket_id: 1, script_id: 'proof.file_hash' })
    assert.equal((await writ.upload(Number(run.body.number), 'switch.cfg', 'hostname sw1\n')).status, 200)
    const checked = await writ.call('GET', `/runs/${run.body.id}/wait?timeout=20`)
    await thief.stop()
    assert.equal(checked.body.state, 'completed')
    const found = await verify()
    assert.deepEqual([found.ok, found.code, typeof found.index], [false, 'RUN_EVENT_MISSING', 'number'])
    const said = new RegExp(`^event (\\d+) of the run ${run.body.id} is not in the log, but event (\\d+) is$`)
    const [, lacking, there] = said.exec(String(found.reason))!.map(Number)
    assert.equal(there, lacking! + 1)
  } finally {
    await writ.stop()
  }
}

test('an event that was kept from the log (SQLite)', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-kept-'))
  try {
    const writ = await prepareWrit({ folder })
    const within = async (sql: string) => {
      const database = new DatabaseSync(path.join(writ.dataDir, 'writ.db'), { timeout: 5_000 })
      database.exec(sql)
      database.close()
    }
    await caught(writ, {
      steal: (type) =>
        within(`create trigger thief after insert on audit_events when new.event_type = '${type}' begin
          delete from audit_events where id = new.id; delete from audit_appends where seq = new.append; end`),
      stop: () => within('drop trigger thief'),
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('an event that was kept from the log (PostgreSQL)', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-kept-pg-'))
  const postgres = await startPostgres()
  const client = new pg.Client({ connectionString: postgres.url })
  try {
    await client.connect()
    const writ = await prepareWrit({ folder, databaseUrl: postgres.url })
    await caught(writ, {
      async steal(type) {
        await client.query(`create function steal() returns trigger language plpgsql security definer set search_path = public as $$ begin
          delete from audit_events where id = new.id; delete from audit_appends where seq = new.append; return null; end $$`)
        await client.query(`create trigger thief after insert on audit_events for each row
          when (new.event_type = '${type}') execute function steal()`)
      },
      async stop() {
        await client.query('drop trigger thief on audit_events; drop function steal()')
      },
    })
  } finally {
    await client.end()
    await postgres.stop()
    await rm(folder, { recursive: true, force: true })
  }
})
