// What earlier versions wrote goes on under this one: data directories and databases as they left them, made by `make.ts`.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { verifyOffline } from '@writ/server/ops'
import { verifyZipFile } from '../evidence/scene.ts'
import { asSuperuser } from '../servers/logins.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts'
import { prepareWrit, type Writ } from '../servers/writ.ts'
import { type Shown, show } from './fill.ts'

const KEPT = path.join(import.meta.dirname, 'earlier')
const kept = (await readdir(KEPT)).filter((file) => file.endsWith('.tgz')).sort()
assert.ok(kept.length >= 6)

let server: Promise<Postgres> | undefined
after(async () => (await server)?.stop())

for (const file of kept) {
  const [name, dialect] = file.split('.') as [string, 'sqlite' | 'postgres']
  const skip = dialect === 'postgres' && missingBackend('PostgreSQL', missingPostgres())
  test(`what ${name} left goes on (${dialect})`, { skip }, async (t) => {
    const folder = await mkdtemp(path.join(tmpdir(), 'writ-upgrade-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    execFileSync('tar', ['-xzf', path.join(KEPT, file), '-C', folder])
    const shown = JSON.parse(await readFile(path.join(folder, 'shown.json'), 'utf8')) as Shown
    const databaseUrl = dialect === 'postgres' ? await restore(path.join(folder, 'dump.sql'), name) : undefined
    const writ = await prepareWrit({ folder, ...(databaseUrl ? { databaseUrl } : {}) })
    await writ.start()
    try {
      await writ.login()
      assert.equal(
        (await writ.call('GET', '/auth/me', undefined, { authorization: `Bearer ${shown.token}` })).status,
        200,
      )
      await holdsWhatWas(writ, shown)
      await evidenceStands(writ, shown, folder)
      if (shown.lists.tasks!.length > 0) await tasksGoOn(writ, shown)
    } finally {
      await writ.stop()
    }
    const report = await verifyOffline({ dataDir: writ.dataDir, env: writ.env, cwd: writ.dataDir })
    assert.deepEqual([report.ok, report.code, report.reason], [true, null, null])
  })
}

/** A database with what `pg_dump` wrote. */
async function restore(dump: string, name: string): Promise<string> {
  server ??= startPostgres({ fresh: true })
  const { url } = await server
  for (const role of ['writ_app', 'writ_sequencer'])
    await asSuperuser(url, `do $$ begin create role ${role}; exception when duplicate_object then end $$`)
  const database = name.replaceAll('-', '_')
  await asSuperuser(url, `create database u${database}`)
  const fresh = new URL(url)
  fresh.pathname = `/u${database}`
  execFileSync('psql', ['-q', '-v', 'ON_ERROR_STOP=1', '-f', dump, fresh.href], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  return fresh.href
}

type Row = Readonly<Record<string, unknown>>

/** Each row that was shown is shown, with each field that it had. */
async function holdsWhatWas(writ: Writ, shown: Shown): Promise<void> {
  const now = await show(writ)
  const same = (where: string, before: readonly Row[], rows: readonly Row[]) => {
    const key = (row: Row) => String(row.id ?? row.user_id)
    const found = new Map(rows.map((row) => [key(row), row]))
    for (const row of before) {
      // What this version says otherwise about the same task, on purpose.
      const { waiting_for: _, ...expected } = row
      assert.partialDeepStrictEqual(found.get(key(row)) ?? null, expected, `${where} ${key(row)}`)
    }
  }
  for (const [path, before] of Object.entries(shown.lists)) same(path, before, now.lists[path]!)
  // The last of them were not in the log yet when they were read.
  const settled = shown.events.map(({ log_index, ...event }) => (log_index === null ? event : { ...event, log_index }))
  same('events', settled, now.events)
}

/** Files, their verdicts, and bundles of every ticket. */
async function evidenceStands(writ: Writ, shown: Shown, folder: string): Promise<void> {
  for (const run of shown.runs) {
    const file = await fetch(`${writ.url}/api/v1/artifacts/${run.artifact}/download`, { headers: writ.authorised() })
    assert.equal(file.status, run.deleted ? 410 : 200)
    if (run.deleted) continue
    assert.equal(await file.text(), run.text)
    const again = await writ.call('POST', `/runs/${run.id}/verify`, {})
    assert.equal(again.status, 200, JSON.stringify(again.body))
    const judged = (await writ.call('GET', `/runs/${again.body.id}/wait?timeout=20`)).body
    const before = (await writ.call('GET', `/runs/${run.id}`)).body
    assert.deepEqual([judged.verdict, judged.result_summary], [before.verdict, before.result_summary])
  }
  for (const ticket of shown.tickets) {
    const answer = await fetch(`${writ.url}/api/v1/evidence/export`, {
      method: 'POST',
      headers: { ...writ.authorised(), 'content-type': 'application/json' },
      body: JSON.stringify({ subject: 'ticket', id: ticket }),
    })
    const zip = path.join(folder, `${ticket}.zip`)
    await writeFile(zip, Buffer.from(await answer.arrayBuffer()))
    const report = await verifyZipFile(zip)
    assert.ok(report.ok, `${ticket}: ${JSON.stringify(report.fault)}`)
  }
  const log = (await writ.call('POST', '/audit/verify', {})).body
  assert.deepEqual([log.ok, log.reason], [true, null])
}

/** What waited is done when it may be, what must wait waits, and what was said once is not done twice. */
async function tasksGoOn(writ: Writ, shown: Shown): Promise<void> {
  const slow = shown.lists.tasks!.filter(
    ({ queue, state, run_at }) => queue === 'slow' && state === 'pending' && !String(run_at).startsWith('2999'),
  )
  assert.equal(slow.length, 2)
  assert.equal((await writ.call('POST', '/queues/slow/resume', {})).status, 200)
  for (const { id } of slow)
    assert.equal((await writ.call('GET', `/tasks/${id}/wait?timeout=20`)).body.state, 'completed', String(id))
  const again = await writ.call(
    'POST',
    '/tasks',
    { handler: 'system.ping', input: { target: '127.0.0.1' } },
    { 'idempotency-key': 'once' },
  )
  assert.ok(
    shown.lists.tasks!.some(({ id }) => id === again.body.id),
    'it was done again',
  )
  const taken = await writ.call('POST', '/tasks', {
    handler: 'system.ping',
    input: { target: '127.0.0.1' },
    unique_key: 'only',
  })
  assert.ok(
    shown.lists.tasks!.some(({ id }) => id === taken.body.id),
    `${taken.status} ${JSON.stringify(taken.body)}`,
  )
  const [nightly] = shown.lists.schedules as readonly { id: string }[]
  const fired = await writ.call('POST', `/schedules/${nightly!.id}/trigger`, {})
  assert.ok(fired.status < 300, JSON.stringify(fired.body))
}
