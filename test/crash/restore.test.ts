import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { backup, restore, verifyOffline } from '@writ/server/ops'
import { decodeEntry, splitBundle } from '@writ/tlog'
import pg from 'pg'
import { continueLog, listOpenLogs } from '../../packages/server/src/audit/index.ts'
import { createFakeClock } from '../../packages/server/src/platform/clock.ts'
import { openDatabase } from '../../packages/server/src/platform/db/index.ts'
import { addDatabase, addLogins } from '../servers/logins.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts'
import { prepareWrit, type Writ } from '../servers/writ.ts'
import { startLoad } from './load.ts'

const folders: string[] = []
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true })
})

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-restore-'))
  folders.push(folder)
  return folder
}

const place = (writ: Writ) => ({ dataDir: writ.dataDir, env: writ.env, cwd: writ.dataDir })
const open = async (writ: Writ, count: number, title: string) => {
  for (let i = 0; i < count; i++)
    assert.equal((await writ.call('POST', '/tickets', { title: `${title} ${i}` })).status, 200)
}
const total = async (writ: Writ) =>
  (JSON.parse(String((await writ.call('GET', '/tickets?limit=200')).body.text)) as unknown[]).length

async function verified(writ: Writ, keptDir?: string): Promise<void> {
  const report = await verifyOffline({ ...place(writ), ...(keptDir === undefined ? {} : { keptDir }) })
  assert.deepEqual([report.ok, report.code, report.reason], [true, null, null])
}

/** What the first entry of a project's second log says. */
async function firstEntry(writ: Writ): Promise<{ act: string }> {
  const log = path.join(writ.dataDir, 'log')
  const project = (await readdir(log)).find((name) => name !== '_instance')!
  const bundles = path.join(log, project, '1', 'tile', 'entries', '000.p')
  const [smallest] = (await readdir(bundles)).map(Number).sort((a, b) => a - b)
  return decodeEntry(splitBundle(await readFile(path.join(bundles, String(smallest)))).entries[0]!)
}

/** Backs up under load, loses the machine, restores on another, and goes on there. */
async function survive(from: Writ, to: Writ): Promise<void> {
  await from.start()
  try {
    await from.login()
    await open(from, 5, 'before')
    const load = startLoad(from, 4)
    try {
      await load.answered(20)
      const done = { tickets: [...load.acknowledged.tickets], uploads: [...load.acknowledged.uploads] }
      const target = path.join(path.dirname(from.dataDir), 'backup')
      const made = await backup({ ...place(from), to: target })
      assert.ok(made.files > 10)
      assert.equal((await stat(target)).mode & 0o777, 0o700)
      await load.answered(10)
      await load.end()
      assert.deepEqual(load.refused, [])
      await from.stop()

      const restored = await restore({ ...place(to), from: target, reason: 'the disk failed', operator: 'olga' })
      assert.notEqual(restored.new_origin, restored.old_origin)
      assert.deepEqual(restored.notes, [])
      await to.start()
      await to.login()
      for (const ticket of done.tickets)
        assert.equal((await to.call('GET', `/tickets/${ticket.number}`)).body.title, ticket.title)
      for (const upload of done.uploads)
        assert.equal((await to.call('GET', `/artifacts/${upload.id}/download`)).body.text, upload.bytes)
      await open(to, 2, 'after')
      const { body: report } = await to.call('POST', '/audit/verify', {})
      assert.deepEqual([report.ok, report.reason], [true, null])
      const { body: events } = await to.call('GET', '/audit/events?event_type=log.continued&cursor=')
      const [continued] = (events as { items: { details: Record<string, unknown> }[] }).items
      assert.deepEqual(
        [continued!.details.old_origin, continued!.details.operator, continued!.details.reason],
        [restored.old_origin, 'olga', 'the disk failed'],
      )
      await to.stop()
      await verified(to)
      assert.equal((await firstEntry(to)).act, 'log.continued')
      for (const key of await readdir(path.join(to.dataDir, 'keys')))
        assert.equal(
          (await stat(path.join(to.dataDir, 'keys', key))).mode & 0o077 & (key.endsWith('.vkey') ? 0 : 0o777),
          0,
          key,
        )
    } finally {
      load.abandon()
    }
  } finally {
    await from.stop()
    await to.stop()
  }
}

test('SQLite: a backup made under load is restored elsewhere, and the log continues and says so', async () => {
  await survive(await prepareWrit({ folder: await makeFolder() }), await prepareWrit({ folder: await makeFolder() }))
})

const skip = missingBackend('PostgreSQL', missingPostgres())
test('PostgreSQL: a backup made under load is restored into another database', { skip }, async () => {
  const [postgres, other] = [await startPostgres({ fresh: true }), await startPostgres({ fresh: true })]
  // By the owner, who is no superuser: into a server that has never heard of Writ's roles.
  const prepare = async ({ url }: Postgres) => {
    await addLogins(url)
    return prepareWrit({ folder: await makeFolder(), env: await addDatabase(url, 'writ') })
  }
  try {
    await survive(await prepare(postgres), await prepare(other))
  } finally {
    await postgres.stop()
    await other.stop()
  }
})

/** A stopped server with the database of before its last four tickets, beside the log that has them; and what an auditor kept of that. */
async function withOlderDatabase() {
  const folder = await makeFolder()
  const writ = await prepareWrit({ folder })
  const database = path.join(writ.dataDir, 'writ.db')
  const keptDir = path.join(folder, 'kept')
  try {
    await writ.start()
    await writ.login()
    await open(writ, 3, 'kept')
    await writ.stop()
    await cp(database, path.join(folder, 'older.db'))
    await writ.start()
    await open(writ, 4, 'lost')
  } finally {
    await writ.stop()
  }
  await verified(writ, keptDir)
  await cp(path.join(folder, 'older.db'), database)
  return { writ, keptDir }
}

/** Two servers, the second of them empty, and a backup of the first, which went on after it. */
async function backedUp() {
  const folder = await makeFolder()
  const from = await prepareWrit({ folder })
  await from.start()
  await from.login()
  await open(from, 3, 'before')
  const target = path.join(folder, 'backup')
  await backup({ ...place(from), to: target })
  await from.stop()
  return { folder, target, to: await prepareWrit({ folder: await makeFolder() }) }
}

/** A server that was stopped, with an artifact of each of these texts; `sums`: their SHA-256. */
async function withArtifacts(texts: readonly string[]) {
  const folder = await makeFolder()
  const from = await prepareWrit({ folder })
  await from.start()
  await from.login()
  await open(from, 1, 'before')
  const run = await from.call('POST', '/runs', { run_type: 'proof', ticket_id: 1, finalize: 'manual' })
  const sums: string[] = []
  for (const text of texts) {
    await from.upload(Number(run.body.number), `${text}.txt`, text)
    sums.push(createHash('sha256').update(text).digest('hex'))
  }
  await from.stop()
  return { folder, from, sums }
}

test('a restore says what the store of artifacts does not have', async () => {
  const { folder, from, sums } = await withArtifacts(['kept', 'lost'])
  const lost = sums[1]!
  const blobs = await readdir(path.join(from.dataDir, 'blobs'), { recursive: true })
  await rm(path.join(from.dataDir, 'blobs', blobs.find((name) => name.endsWith(lost))!))
  const target = path.join(folder, 'backup')
  await backup({ ...place(from), to: target })
  const { notes } = await restore({ ...place(await prepareWrit({ folder: await makeFolder() })), from: target })
  assert.equal(notes.length, 1)
  assert.match(
    notes[0]!,
    new RegExp(`^Of the artifacts that the database names 1 has no bytes in .*the first ${lost} of`),
  )
})

test('what a server takes away while it is backed up ends no backup, and takes nothing else along', async () => {
  const { folder, from, sums } = await withArtifacts(['kept', 'erased'])
  const [kept, erased] = sums as [string, string]
  const target = path.join(folder, 'backup')
  const below = (dir: string) => readdirSync(dir, { recursive: true, encoding: 'utf8' })
  const fileOf = (dir: string, end: string) => path.join(dir, below(dir).find((name) => name.endsWith(end))!)
  const entries = path.dirname(fileOf(path.join(from.dataDir, 'log/_instance'), 'entries/000.p'))
  // Between two steps, as a server does it that goes on: the tile is full, and an artifact is erased.
  const signal = Object.assign(new AbortController().signal, {
    throwIfAborted() {
      if (existsSync(`${target}.partial/log`) && existsSync(path.join(entries, '000.p'))) {
        writeFileSync(path.join(entries, '000'), 'full')
        rmSync(path.join(entries, '000.p'), { recursive: true })
      }
      if (existsSync(`${target}.partial/blobs`) && below(path.join(from.dataDir, 'blobs')).join().includes(erased))
        rmSync(fileOf(path.join(from.dataDir, 'blobs'), erased))
    },
  })
  const { notes } = await backup({ ...place(from), to: target, signal })
  assert.deepEqual(notes, [
    'One file of evidence or payloads went while this backup was made, by an erasure or by retention, and is not in it.',
  ])
  const saved = below(target)
  assert.ok(saved.some((name) => name.endsWith(kept)))
  assert.equal(await readFile(fileOf(path.join(target, 'log/_instance'), 'entries/000'), 'utf8'), 'full')
  const projects = saved.filter((name) => /entries\/000\.p\/\d+$/.test(name))
  assert.equal(projects.length, 1, 'the tiles of the other log')
})

test('a key that is rotated while it is copied is in the backup with the list that names it, and day files that go end no backup', async () => {
  const { folder, from } = await withArtifacts(['kept'])
  const [target, to] = [path.join(folder, 'backup'), await prepareWrit({ folder: await makeFolder() })]
  const rotated = new Set<string>()
  const day = path.join(from.dataDir, 'audit', 'audit_1999-12-31.jsonl')
  writeFileSync(day, '')
  const signal = Object.assign(new AbortController().signal, {
    throwIfAborted() {
      const done = (name: string) =>
        existsSync(path.join(`${target}.partial`, name)) && !rotated.has(name) && rotated.add(name)
      const key = existsSync(`${target}.partial/keys`)
        ? readdirSync(`${target}.partial/keys`).find((name) => /^attestation-.*pem$/.test(name))
        : undefined
      // Between the key and the list: as a rotation leaves both.
      if (key && done(path.join('keys', key)) && rotated.size === 1) {
        const keys = path.join(from.dataDir, 'keys')
        const other = readdirSync(path.join(folder, 'other'))
        for (const name of other)
          writeFileSync(path.join(keys, name), readFileSync(path.join(folder, 'other', name)), { mode: 0o600 })
        rmSync(path.join(keys, key))
      }
      if (existsSync(`${target}.partial/audit`)) rmSync(day, { force: true })
    },
  })
  // A second key and the list with both, as a rotation of this server makes them.
  await from.start()
  await from.login()
  const names = () => readdirSync(path.join(from.dataDir, 'keys')).filter((name) => /^attestation[-.]/.test(name))
  const saved = new Map(names().map((name) => [name, readFileSync(path.join(from.dataDir, 'keys', name))]))
  assert.equal((await from.call('POST', '/keys/rotate', { purpose: 'attestation' })).status, 200)
  await from.stop()
  await mkdir(path.join(folder, 'other'))
  for (const name of names()) {
    await cp(path.join(from.dataDir, 'keys', name), path.join(folder, 'other', name))
    await rm(path.join(from.dataDir, 'keys', name))
  }
  for (const [name, bytes] of saved) writeFileSync(path.join(from.dataDir, 'keys', name), bytes, { mode: 0o600 })
  await backup({ ...place(from), to: target, signal })
  await restore({ ...place(to), from: target })
  await to.start()
  await to.login()
  await open(to, 1, 'after')
  await to.stop()
  await verified(to)
})

test('a log that is dropped while it is backed up ends the backup, which would have its rows and not its tiles', async () => {
  const { folder, from } = await withArtifacts(['kept'])
  await from.start()
  await from.login()
  assert.equal((await from.call('POST', '/audit/logs/rotate', { reason: 'end of the year' })).status, 200)
  await from.stop()
  const target = path.join(folder, 'backup')
  const signal = Object.assign(new AbortController().signal, {
    throwIfAborted() {
      if (!existsSync(`${target}.partial/database/writ.db`)) return
      const db = new DatabaseSync(path.join(from.dataDir, 'writ.db'))
      db.exec('update logs set dropped_at = 1 where closed_at is not null')
      db.close()
    },
  })
  await assert.rejects(backup({ ...place(from), to: target, signal }), /A log was dropped while this backup was made/)
  assert.ok(!readdirSync(folder).some((name) => name.startsWith('backup')))
  await backup({ ...place(from), to: target })
})

test('a database that was saved just after a log was opened, before its key was noted, is restored', async () => {
  const { folder, target, to } = await backedUp()
  await rm(target, { recursive: true })
  const data = path.join(folder, 'data')
  const db = new DatabaseSync(path.join(data, 'writ.db'))
  assert.equal(db.prepare('update logs set vkey = null where closed_at is null').run().changes, 2)
  db.close()
  await backup({ dataDir: data, env: {}, cwd: data, to: target })
  assert.equal((await restore({ ...place(to), from: target })).continued.length, 2)
  await to.start()
  await to.login()
  await open(to, 1, 'after')
  await to.stop()
  await verified(to)
})

/** A restore that ends before file `last`; with the number of files, between the database and the logs. */
function stopAt(last: (size: number) => number): Pick<Parameters<typeof restore>[0], 'signal' | 'onProgress'> {
  const stop = new AbortController()
  const onProgress = ({ done, size }: { done: number; size: number }) => {
    if (done === last(size)) stop.abort(new Error('stopped'))
  }
  return { signal: stop.signal, onProgress }
}

test('a restore that was stopped before the logs were continued lets no server sign on under their names, and is finished', async () => {
  const { target, to } = await backedUp()
  try {
    await assert.rejects(restore({ ...place(to), from: target, ...stopAt((size) => size) }), /^Error: stopped$/)
    assert.match(await to.refusal(), /did not finish; going on would sign a second history.*restore --accept-loss/)
    await assert.rejects(restore({ ...place(to), from: target }), /did not finish/)
    const { continued } = await restore({ ...place(to), acceptLoss: true, reason: 'power' })
    assert.equal(continued.length, 2)
    await to.start()
    await to.login()
    await open(to, 1, 'after')
    await to.stop()
    assert.equal((await firstEntry(to)).act, 'log.continued')
    await verified(to)
  } finally {
    await to.stop()
  }
})

/** Closes every log and opens the next, as a restore does that is stopped before it has published anything. */
async function continueAll(writ: Writ, reason: string): Promise<void> {
  const db = await openDatabase({ url: `sqlite:${path.join(writ.dataDir, 'writ.db')}` }, createFakeClock(Date.now()))
  const at = (name: string) => path.join(writ.dataDir, name)
  const folders = { log: at('log'), keys: at('keys'), signer: at('signer'), days: at('audit') }
  for (const { project_id: project } of await db.sequence(listOpenLogs))
    await continueLog({ db, folders, project, slug: undefined, operator: 'olga', reason, now: Date.now() })
  await db.close()
}

test('a restore that was stopped before what continues the logs was published is finished, and they verify', async () => {
  const { target, to } = await backedUp()
  await assert.rejects(restore({ ...place(to), from: target, ...stopAt((size) => size) }), /^Error: stopped$/)
  // Committed, and then the power failed. Twice.
  for (const round of ['first', 'second']) await continueAll(to, round)
  const { continued } = await restore({ ...place(to), acceptLoss: true, reason: 'power' })
  assert.equal(continued.length, 2)
  await verified(to)
  await to.start()
  await to.login()
  await open(to, 1, 'after')
  const { body: full } = await to.call('POST', '/audit/self-check', { full: true })
  assert.deepEqual([full.ok, full.reason], [true, null])
  await to.stop()
  await verified(to)
})

test('a restore that was stopped while it copied is given again, and copies over what it left', async () => {
  const { target, to } = await backedUp()
  const blob = path.join(to.dataDir, 'blobs', (await readdir(path.join(target, 'blobs')))[0]!)
  await assert.rejects(restore({ ...place(to), from: target, ...stopAt(() => 3) }), /^Error: stopped$/)
  for (const refused of [await to.refusal(), await restore({ ...place(to), acceptLoss: true }).catch(String)])
    assert.match(String(refused), /did not finish.*Give "writ restore" the same backup again/)
  // Half of a file, as a machine leaves it that lost its power, in place of one that nobody may write.
  await mkdir(path.dirname(blob), { recursive: true })
  await rm(blob, { force: true })
  await writeFile(blob, 'half', { mode: 0o440 })
  // What is of neither is in the way, whichever backup is given.
  const other = path.join(to.dataDir, 'keys', 'of-another.vkey')
  await mkdir(path.dirname(other), { recursive: true })
  await writeFile(other, '')
  await assert.rejects(restore({ ...place(to), from: target }), /of-another\.vkey is not of this backup/)
  await rm(other)
  assert.equal((await restore({ ...place(to), from: target })).continued.length, 2)
  assert.equal(await readFile(blob, 'utf8'), await readFile(path.join(target, 'blobs', path.basename(blob)), 'utf8'))
  await to.start()
  await to.login()
  await open(to, 1, 'after')
  await to.stop()
  await verified(to)
  await assert.rejects(restore({ ...place(to), from: target }), /is not empty/)
})

test('a backup of a newer version is refused before anything is put back, and one that was stopped leaves nothing', async () => {
  const { folder, target, to } = await backedUp()
  const file = path.join(target, 'manifest.json')
  const manifest = JSON.parse(await readFile(file, 'utf8'))
  await writeFile(file, JSON.stringify({ ...manifest, schema: manifest.schema + 1 }))
  await assert.rejects(restore({ ...place(to), from: target }), /has schema \d+, but this version of Writ knows only/)
  await writeFile(file, JSON.stringify({ ...manifest, schema: undefined }))
  assert.equal((await restore({ ...place(to), from: target })).continued.length, 2)
  const stopped = AbortSignal.abort(new Error('stopped'))
  await assert.rejects(backup({ ...place(to), to: path.join(folder, 'second'), signal: stopped }), /stopped/)
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name.startsWith('second')),
    [],
  )
})

test('PostgreSQL: what pg_restore cannot read, and a database that something else uses, is refused before anything is put back', {
  skip,
}, async () => {
  const postgres = await startPostgres({ fresh: true })
  try {
    await addLogins(postgres.url)
    const prepare = async (name: string) =>
      prepareWrit({ folder: await makeFolder(), env: await addDatabase(postgres.url, name) })
    const [from, to] = [await prepare('first'), await prepare('second')]
    await from.start()
    await from.stop()
    const target = path.join(path.dirname(from.dataDir), 'backup')
    await backup({ ...place(from), to: target })
    const client = new pg.Client({ connectionString: to.env.WRIT_MIGRATION_URL })
    await client.connect()
    await client.query('create table users (id integer)')
    await assert.rejects(restore({ ...place(to), from: target }), /has tables of Writ or of something else/)
    await client.query('drop table users')
    await client.end()
    const manifest = JSON.parse(await readFile(path.join(target, 'manifest.json'), 'utf8'))
    const dump = manifest.files.find((file: { path: string }) => file.path === 'database/postgres.dump')
    Object.assign(dump, { size: 4, sha256: createHash('sha256').update('dump').digest('hex') })
    await writeFile(path.join(target, 'database', 'postgres.dump'), 'dump')
    await writeFile(path.join(target, 'manifest.json'), JSON.stringify(manifest))
    await assert.rejects(restore({ ...place(to), from: target }), /pg_restore failed/)
    await assert.rejects(readdir(to.dataDir), /ENOENT/)
  } finally {
    await postgres.stop()
  }
})

for (const lost of [['keys'], ['signer'], ['keys', 'signer'], []])
  test(`with ${lost.length > 0 ? `${lost.join(' and ')} lost for good` : 'a key that leaked'}, every log is closed and goes on in a new one`, async () => {
    const folder = await makeFolder()
    const writ = await prepareWrit({ folder })
    const keptDir = path.join(folder, 'kept')
    try {
      await writ.start()
      await writ.login()
      await open(writ, 3, 'before')
      await writ.stop()
      await verified(writ, keptDir)
      for (const one of lost) await rm(path.join(writ.dataDir, one), { recursive: true })
      if (lost.length > 0) assert.match(await writ.refusal(), /is gone|are older than its log/)
      await assert.rejects(restore({ ...place(writ), acceptLoss: true }), /close every log with --all-logs/)
      const { continued } = await restore({
        ...place(writ),
        acceptLoss: true,
        allLogs: true,
        reason: 'disk of the keys',
      })
      assert.deepEqual([continued.length, continued.map(({ lost_entries }) => lost_entries)], [2, [0, 0]])
      await writ.start()
      await writ.login()
      await open(writ, 2, 'after')
      assert.equal(await total(writ), 5)
      await writ.stop()
      assert.equal((await firstEntry(writ)).act, 'log.continued')
      // The old logs too, and against the checkpoint that was kept before.
      await verified(writ, keptDir)
    } finally {
      await writ.stop().catch(() => {})
    }
  })

test('an older database under a longer log is refused, until the loss is accepted and logged', async () => {
  const { writ, keptDir } = await withOlderDatabase()
  try {
    assert.match(await writ.refusal(), /an older database was put in place[\s\S]*writ restore --accept-loss/)
    await assert.rejects(restore(place(writ)), /--accept-loss/)
    const restored = await restore({ ...place(writ), acceptLoss: true, reason: 'wrong volume mounted' })
    assert.equal(restored.continued[0]!.lost_entries, 4)
    await writ.start()
    await writ.login()
    assert.equal(await total(writ), 3)
    await open(writ, 2, 'new')
    await writ.stop()
    assert.equal((await firstEntry(writ)).act, 'log.continued')
    // The closed log is still held against the checkpoint that was kept before the loss.
    await verified(writ, keptDir)
    await assert.rejects(restore({ ...place(writ), acceptLoss: true }), /no loss to accept/)

    const log = path.join(writ.dataDir, 'log')
    const project = (await readdir(log)).find((name) => name !== '_instance')!
    await writeFile(path.join(log, project, '0', 'tile', '0', '000.p', '3'), new Uint8Array(96))
    assert.equal((await verifyOffline(place(writ))).ok, true, 'an old partial tile proves nothing any more')
    await rm(path.join(log, project, '0', 'checkpoint'))
    assert.equal((await verifyOffline(place(writ))).code, 'CHECKPOINT_MISSING')
  } finally {
    await writ.stop()
  }
})

test('the database of a backup in the place of the one that was restored from it and went on is refused', async () => {
  const { target, to } = await backedUp()
  try {
    await restore({ ...place(to), from: target })
    await to.start()
    await to.login()
    await open(to, 2, 'after')
    await to.stop()
    await cp(path.join(target, 'database', 'writ.db'), path.join(to.dataDir, 'writ.db'))
    assert.match(await to.refusal(), /an older database was put in place[\s\S]*writ restore --accept-loss/)
    const { continued } = await restore({ ...place(to), acceptLoss: true, reason: 'the wrong file' })
    assert.ok(
      continued.every(({ lost_entries }) => lost_entries > 0),
      JSON.stringify(continued),
    )
    await to.start()
    await to.login()
    await open(to, 1, 'again')
    await to.stop()
    await verified(to)
  } finally {
    await to.stop()
  }
})

test('logs that restores have closed are dropped, oldest first, and what is left verifies', async () => {
  const { writ, keptDir } = await withOlderDatabase()
  try {
    // Published beyond what the database knows; then, twice, a log that was closed before anything of it was published.
    await restore({ ...place(writ), acceptLoss: true, reason: 'wrong volume mounted' })
    await continueAll(writ, 'first')
    await continueAll(writ, 'second')
    await writ.start()
    await writ.login()
    await open(writ, 2, 'new')
    for (const shard of [0, 1, 2]) {
      const { body } = await writ.call('POST', `/audit/logs/${shard}/drop`, { reason: 'kept long enough' })
      assert.equal(body.state, 'dropped', JSON.stringify(body))
      const { body: report } = await writ.call('POST', '/audit/verify', {})
      assert.deepEqual([report.ok, report.reason], [true, null], `log ${shard}`)
    }
    await writ.stop()
    await verified(writ, keptDir)
  } finally {
    await writ.stop()
  }
})

test('an older database under a log that was rotated since goes on behind both, and what was published stays', async () => {
  const folder = await makeFolder()
  const writ = await prepareWrit({ folder })
  const database = path.join(writ.dataDir, 'writ.db')
  try {
    await writ.start()
    await writ.login()
    await open(writ, 2, 'kept')
    await writ.stop()
    await cp(database, path.join(folder, 'older.db'))
    await writ.start()
    assert.equal((await writ.call('POST', '/audit/logs/rotate', { reason: 'end of the year' })).status, 200)
    await open(writ, 2, 'lost')
    await writ.stop()
    await cp(path.join(folder, 'older.db'), database)
    const log = path.join(writ.dataDir, 'log')
    const project = path.join(log, (await readdir(log)).find((name) => name !== '_instance')!)
    const lost = await readFile(path.join(project, '1', 'checkpoint'), 'utf8')

    assert.match(await writ.refusal(), /an older database was put in place/)
    await restore({ ...place(writ), acceptLoss: true, reason: 'wrong volume mounted' })
    await writ.start()
    await writ.login()
    await open(writ, 2, 'new')
    await writ.stop()
    await verified(writ)
    assert.equal(await readFile(path.join(project, '1', 'checkpoint'), 'utf8'), lost)
    assert.notEqual((await readFile(path.join(project, '2', 'checkpoint'), 'utf8')).split('\n')[0], lost.split('\n')[0])
  } finally {
    await writ.stop()
  }
})

test('a damaged backup and a target that is not empty are refused', async () => {
  const writ = await prepareWrit({ folder: await makeFolder() })
  const other = await prepareWrit({ folder: await makeFolder() })
  try {
    await writ.start()
    await writ.login()
    await open(writ, 2, 'one')
    const to = path.join(path.dirname(writ.dataDir), 'backup')
    await backup({ ...place(writ), to })
    await assert.rejects(backup({ ...place(writ), to }), /is there already/)
    await writ.stop()
    await assert.rejects(restore({ ...place(writ), from: to }), /is not empty/)

    const checkpoint = path.join(to, 'log', '_instance', '0', 'checkpoint')
    const text = await readFile(checkpoint, 'utf8')
    await writeFile(checkpoint, text.replace('writ.log', 'writ.lag'))
    await assert.rejects(restore({ ...place(other), from: to }), /is not the file that was backed up/)
    await writeFile(checkpoint, text)
    await writeFile(path.join(to, 'log', 'extra'), '')
    await assert.rejects(restore({ ...place(other), from: to }), /is no part of the backup/)
    await rm(path.join(to, 'log', 'extra'))
    await rm(path.join(to, 'manifest.json'))
    await assert.rejects(restore({ ...place(other), from: to }), /is no backup/)
  } finally {
    await writ.stop()
  }
})

test('a second server on the same data directory is refused, and an offline operation that writes is, too', async () => {
  const folder = await makeFolder()
  const writ = await prepareWrit({ folder })
  const second = await prepareWrit({ folder })
  try {
    await writ.start()
    assert.match(await second.refusal(), /Another Writ server uses the data directory/)
    await assert.rejects(restore({ ...place(writ), acceptLoss: true }), /Another Writ server uses the data directory/)
    await verified(writ)
  } finally {
    await writ.stop()
  }
})

test('a database newer than the code is refused with a sentence', async () => {
  const writ = await prepareWrit({ folder: await makeFolder() })
  await mkdir(writ.dataDir, { recursive: true })
  await writ.start()
  await writ.stop()
  const database = new DatabaseSync(path.join(writ.dataDir, 'writ.db'))
  database.exec(`insert into schema_migrations values (9999, 'of tomorrow', 'x', '')`)
  database.close()
  assert.match(await writ.refusal(), /has schema 9999, but this version of Writ knows only/)
})

test('PostgreSQL newer than the code is refused with a sentence', { skip }, async () => {
  const postgres = await startPostgres()
  try {
    const writ = await prepareWrit({ folder: await makeFolder(), databaseUrl: postgres.url })
    await writ.start()
    await writ.stop()
    const client = new pg.Client({ connectionString: postgres.url })
    await client.connect()
    await client
      .query(`insert into schema_migrations values (9999, 'of tomorrow', 'x', '')`)
      .finally(() => client.end())
    assert.match(await writ.refusal(), /has schema 9999, but this version of Writ knows only/)
  } finally {
    await postgres.stop()
  }
})
