import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { Artifact, AuditEvent, Run, Ticket, VerifyReport } from '@writ/api'
import { verifyOffline } from '@writ/server/ops'
import pg from 'pg'
import { KEPT_PAYLOADS } from '../../packages/server/src/audit/store-erasure.ts'
import { backends } from '../backends.ts'
import type { TestSystem } from '../test-system.ts'
import { execute } from './database.ts'

const ground = 'GDPR Art. 17, request 17'

const verify = async (sys: TestSystem) => (await sys.admin.post<VerifyReport>('/audit/verify', {})).body
const dayFiles = (sys: TestSystem) =>
  globSync('data/audit/*.{jsonl,txt}', { cwd: sys.folder })
    .map((name) => readFileSync(path.join(sys.folder, name), 'utf8'))
    .join('')
const eventsOf = async (sys: TestSystem, type: string) =>
  (await sys.admin.get<AuditEvent[]>(`/audit/events?event_type=${type}&limit=1000`)).body

for (const backend of backends()) {
  test(`${backend.name}: an erased payload is gone everywhere, and every proof still holds`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start()
    await sys.employee.post<Ticket>('/tickets', { title: 'the-words-to-forget' })
    await sys.employee.post<Ticket>('/tickets', { title: 'the-words-to-keep' })
    await sys.settle()
    const before = await verify(sys)
    assert.equal(before.ok, true)
    assert.match(dayFiles(sys), /the-words-to-forget/)
    const event = (await eventsOf(sys, 'ticket.created')).find((one) => one.action.includes('forget'))!

    const erased = await sys.admin.post<{ event_id: string; log_index: number; erased_by_id: string }>(
      `/payloads/${event.log_index}/erase`,
      { ground },
    )
    assert.equal(erased.status, 200, JSON.stringify(erased.body))
    assert.equal(erased.body.event_id, event.id)
    await sys.settle()

    const [says] = await eventsOf(sys, 'payload.erased')
    assert.equal(says!.id, erased.body.erased_by_id)
    assert.deepEqual(
      [says!.actor_username, says!.details?.ground, says!.details?.log_index],
      ['admin', ground, event.log_index],
    )
    const shown = (await eventsOf(sys, 'ticket.created')).find((one) => one.id === event.id)!
    assert.deepEqual(
      [shown.action, shown.erased_index, shown.details, shown.actor_username, shown.ip_address],
      [`[erased, see ${says!.log_index}]`, says!.log_index, null, null, null],
    )
    const files = dayFiles(sys)
    assert.doesNotMatch(files, /the-words-to-forget/)
    assert.ok(files.includes(`\n"[erased, see ${says!.log_index}]"\n`), 'the JSONL says so as a JSON text')
    assert.ok(files.includes(`\n[erased, see ${says!.log_index}]\n`), 'the readable file says so')
    assert.match(files, /the-words-to-keep/)
    const exported = (await sys.admin.get<string>('/audit/export')).body as unknown as string
    assert.doesNotMatch(exported, /the-words-to-forget/)
    assert.ok(exported.includes(`[erased, see ${says!.log_index}]`))

    const after = (await sys.admin.post<VerifyReport>('/audit/verify', { kept_checkpoint: before.checkpoint })).body
    assert.deepEqual([after.ok, after.reason], [true, null])
    const again = await sys.admin.post<{ code: string }>(`/payloads/${event.id}/erase`, { ground })
    assert.deepEqual([again.status, again.body.code], [410, 'PAYLOAD_ERASED'])
    await sys.check()
    await sys.stop()
    const offline = await verifyOffline({
      dataDir: path.join(sys.folder, 'data'),
      env: sys.databaseUrl ? { DATABASE_URL: sys.databaseUrl } : {},
      cwd: sys.folder,
      patienceMs: 50,
    })
    assert.deepEqual([offline.ok, offline.reason], [true, null])
    if (sys.databaseUrl === undefined) {
      const bytes = readFileSync(path.join(sys.folder, 'data/writ.db'))
      assert.ok(bytes.includes('the-words-to-keep'))
      // The title is in the ticket as well, which is not the log's to erase; the sentence is in the payload alone.
      assert.ok(!bytes.includes('Created ticket: the-words-to-forget'), 'no page of the database holds the payload')
    }
  })

  test(`${backend.name}: a row that was emptied without saying so is found, whatever the table of erasures says`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start()
    for (const title of ['one', 'two', 'three']) await sys.employee.post('/tickets', { title })
    await sys.settle()
    const [newest, , oldest] = await eventsOf(sys, 'ticket.created')
    await sys.admin.post(`/payloads/${newest!.id}/erase`, { ground })
    await sys.settle()
    assert.equal((await verify(sys)).ok, true)
    const empty = sys.databaseUrl ? `''` : `x''`
    await execute(
      sys,
      `update audit_events set event = '', salt = ${empty}, actor_username = null where id = '${oldest!.id}'`,
    )
    const found = await verify(sys)
    assert.deepEqual([found.ok, found.code, found.index], [false, 'PAYLOAD_CHANGED', oldest!.log_index])
    // A forged line in the table of erasures, by way of an erasure that was for another event.
    await execute(
      sys,
      `insert into erasures (project_id, event_id, erased_by, in_day_file, created_at)
       select project_id, '${oldest!.id}', erased_by, 0, created_at from erasures`,
    )
    const still = await verify(sys)
    assert.deepEqual([still.ok, still.code, still.index], [false, 'PAYLOAD_CHANGED', oldest!.log_index])
  })

  test(`${backend.name}: what explains the log is not erased; only an admin erases, with a ground`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start()
    await sys.employee.post('/tickets', { title: 'one' })
    await sys.settle()
    const [event] = await eventsOf(sys, 'ticket.created')
    const codes = async (ref: string | number, body: object, who = sys.admin) => {
      const answer = await who.post<{ code: string }>(`/payloads/${ref}/erase`, body)
      return [answer.status, answer.body.code]
    }
    assert.deepEqual(await codes(event!.id, {}), [422, 'VALIDATION_FAILED'])
    assert.deepEqual(await codes(event!.id, { ground }, sys.employee), [403, 'ADMIN_REQUIRED'])
    assert.deepEqual(await codes(1_000_000, { ground }), [404, 'EVENT_NOT_FOUND'])
    assert.equal((await codes(event!.id, { ground }))[0], 200)
    const [says] = await eventsOf(sys, 'payload.erased')
    assert.deepEqual(await codes(says!.id, { ground }), [409, 'EVENT_NOT_ERASABLE'])
  })

  test(`${backend.name}: an index is one of the open log, or of the log that is named`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start()
    await sys.employee.post('/tickets', { title: 'in-the-first' })
    await sys.settle()
    assert.equal((await sys.admin.post('/audit/logs/rotate', { reason: 'end of the year' })).status, 200)
    await sys.settle()
    const first = (await eventsOf(sys, 'ticket.created'))[0]!
    for (let size = 0; size <= first.log_index!; size++)
      await sys.employee.post('/tickets', { title: `in-the-second-${size}` })
    await sys.settle()
    const place = `/payloads/${first.log_index}/erase`
    const code = async (path: string, shard: number) =>
      (await sys.admin.post<{ code: string }>(path, { ground, shard })).body.code
    assert.equal(await code(place, 2), 'EVENT_NOT_FOUND')
    assert.equal(await code(`/payloads/${first.id}/erase`, 1), 'EVENT_NOT_FOUND')

    const erased = await sys.admin.post<Record<string, unknown>>(place, { ground, shard: 0 })
    assert.deepEqual(
      [erased.body.event_id, erased.body.shard, erased.body.log_index],
      [first.id, 0, first.log_index],
      JSON.stringify(erased.body),
    )
    const other = await sys.admin.post<Record<string, unknown>>(place, { ground })
    assert.deepEqual([other.body.shard, other.body.log_index], [1, first.log_index], JSON.stringify(other.body))
    await sys.settle()
    const said = await eventsOf(sys, 'payload.erased')
    assert.deepEqual(
      said.map((one) => [one.action, one.details?.shard, one.details?.log_index]),
      [1, 0].map((shard) => [`Erased the payload of entry ${first.log_index} of log ${shard}`, shard, first.log_index]),
    )
    const shown = (await eventsOf(sys, 'ticket.created')).filter((one) => one.action.startsWith('[erased'))
    assert.deepEqual(
      shown.map((one) => [one.shard, one.log_index, one.erased_shard, one.action]),
      [
        [1, first.log_index, 1, `[erased, see ${said[0]!.log_index}]`],
        // The number alone would be that of an entry of its own log.
        [0, first.log_index, 1, `[erased, see 1/${said[1]!.log_index}]`],
      ],
    )
    const files = dayFiles(sys)
    for (const { action } of shown)
      assert.ok(files.includes(`\n"${action}"\n`) && files.includes(`\n${action}\n`), files)
    assert.equal((await verify(sys)).reason, null)
    await sys.check()
  })

  test(`${backend.name}: an erasure is finished in the day files after a restart`, { skip: backend.skip }, async () => {
    await using sys = await backend.start({ fakeClock: true })
    await sys.employee.post('/tickets', { title: 'yesterday-one' })
    await sys.settle()
    const [event] = await eventsOf(sys, 'ticket.created')
    sys.advance(86_400_000)
    await sys.employee.post('/tickets', { title: 'today-one' })
    await sys.admin.post(`/payloads/${event!.id}/erase`, { ground })
    await sys.stop()
    await sys.restart()
    await sys.settle()
    assert.doesNotMatch(dayFiles(sys), /yesterday-one/)
    assert.match(dayFiles(sys), /today-one/)
    assert.deepEqual([(await verify(sys)).reason], [null])
    await sys.employee.post('/tickets', { title: 'after-it' })
    await sys.settle()
    assert.deepEqual([(await verify(sys)).reason], [null])
  })

  test(`${backend.name}: the bytes of an artifact are erased, also of those that are the same; hash and proofs stay`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start()
    const upload = async (name: string, bytes: string) => {
      const run = await sys.employee.post<Run>('/runs', {
        run_type: 'proof',
        ticket_id: ticket.number,
        script_id: 'proof.file_hash',
      })
      const taken = await sys.employee.upload(run.body.id, name, bytes)
      assert.equal(taken.status, 200, JSON.stringify(taken.body))
      await sys.waitFor(run.body.id)
      return taken.body.artifact
    }
    const ticket = (await sys.employee.post<Ticket>('/tickets', { title: 'evidence' })).body
    const first = await upload('a.cfg', 'hostname sw1\n')
    const twin = await upload('b.cfg', 'hostname sw1\n')
    const other = await upload('c.cfg', 'hostname sw2\n')
    const erased = await sys.admin.post<{ artifact: Artifact; erased: number }>(`/artifacts/${first.id}/erase`, {
      ground,
    })
    assert.equal(erased.status, 200, JSON.stringify(erased.body))
    assert.equal(erased.body.erased, 2)
    assert.equal(erased.body.artifact.sha256_hash, first.sha256_hash)
    for (const gone of [first, twin]) {
      const answer = await sys.admin.get<{ code: string }>(`/artifacts/${gone.id}/download`)
      assert.deepEqual([answer.status, answer.body.code], [410, 'ARTIFACT_ERASED'])
    }
    const blobs = globSync('data/blobs/**/*', { cwd: sys.folder })
    assert.ok(!blobs.some((name) => name.endsWith(first.sha256_hash)), 'no bytes in the store')
    assert.ok(blobs.some((name) => name.endsWith(other.sha256_hash)))
    // The same bytes may come again: they are new evidence.
    const anew = await upload('d.cfg', 'hostname sw1\n')
    assert.equal((await sys.admin.download(`/artifacts/${anew.id}/download`)).body.toString(), 'hostname sw1\n')
    await sys.check()
  })

  test(`${backend.name}: a legal hold on ticket, run or project is in the way of erasing and deleting`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start()
    const ticket = (await sys.employee.post<Ticket>('/tickets', { title: 'held' })).body
    const run = (
      await sys.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: ticket.id, script_id: 'proof.file_hash' })
    ).body
    const taken = await sys.employee.upload(run.id, 'a.cfg', 'hostname sw1\n')
    const { artifact } = taken.body
    await sys.waitFor(run.id)
    await sys.settle()
    const event = (await eventsOf(sys, 'run.started'))[0]!
    const attempts = async () => [
      (await sys.admin.post<{ code: string }>(`/payloads/${event.id}/erase`, { ground })).body.code,
      (await sys.admin.post<{ code: string }>(`/artifacts/${artifact.id}/erase`, { ground })).body.code,
      (await sys.admin.delete<{ code: string }>(`/artifacts/${artifact.id}`)).body.code,
    ]
    for (const subject of [
      { subject_type: 'project' },
      { subject_type: 'run', subject_id: run.number },
      { subject_type: 'ticket', subject_id: ticket.id },
    ]) {
      const hold = await sys.admin.post<{ id: string }>('/holds', { ...subject, reason: 'case 17' })
      assert.equal(hold.status, 201, JSON.stringify(hold.body))
      assert.deepEqual(await attempts(), ['LEGAL_HOLD', 'LEGAL_HOLD', 'LEGAL_HOLD'], subject.subject_type)
      const named = await sys.admin.post<{ detail: string }>(`/payloads/${event.id}/erase`, { ground })
      assert.ok(named.body.detail.includes(hold.body.id), named.body.detail)
      assert.equal((await sys.admin.post(`/holds/${hold.body.id}/release`, { reason: 'closed' })).status, 200)
      const twice = await sys.admin.post<{ code: string }>(`/holds/${hold.body.id}/release`, { reason: 'closed' })
      assert.deepEqual([twice.status, twice.body.code], [409, 'HOLD_RELEASED'])
    }
    // What checked the same file again has it as its evidence, and the file is that of the first run.
    const again = (await sys.employee.post<Run>(`/runs/${run.id}/verify`)).body
    await sys.waitFor(again.id)
    const later = await sys.admin.post<{ id: string }>('/holds', {
      subject_type: 'run',
      subject_id: again.number,
      reason: 'case 18',
    })
    const uploaded = (await eventsOf(sys, 'artifact.uploaded'))[0]!
    assert.deepEqual(
      [
        ...(await attempts()).slice(1),
        (await sys.admin.post<{ code: string }>(`/payloads/${uploaded.id}/erase`, { ground })).body.code,
      ],
      ['LEGAL_HOLD', 'LEGAL_HOLD', 'LEGAL_HOLD'],
    )
    assert.equal((await sys.admin.post(`/holds/${later.body.id}/release`, { reason: 'closed' })).status, 200)
    assert.equal((await sys.admin.delete(`/artifacts/${artifact.id}`)).status, 204)
    assert.deepEqual(
      (await eventsOf(sys, 'hold.set')).map((one) => one.details?.subject_type),
      ['run', 'ticket', 'run', 'project'],
    )
    assert.equal((await eventsOf(sys, 'hold.released')).length, 4)
  })

  test(`${backend.name}: a person is erased from logs and account, with a preview and without what is held`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start()
    const carol = await sys.hire('carol', 'employee')
    const held = (await carol.post<Ticket>('/tickets', { title: 'held' })).body
    await carol.post<Ticket>('/tickets', { title: 'free' })
    await sys.admin.post('/holds', { subject_type: 'ticket', subject_id: held.id, reason: 'case 17' })
    const erase = (body: object) =>
      sys.admin.post<{ code: string; logs: { project: string; events: number; held: number }[] }>(
        `/users/${carol.number}/erase`,
        body,
      )
    assert.equal((await erase({ ground })).body.code, 'USER_STILL_ACTIVE')
    await sys.admin.patch(`/users/${carol.id}`, { is_active: false })
    const preview = await erase({ ground, preview: true })
    assert.equal(preview.status, 200, JSON.stringify(preview.body))
    const done = await erase({ ground })
    assert.deepEqual(done.body.logs, preview.body.logs)
    assert.equal(done.body.logs.find((log) => log.project === 'default')!.held, 1)
    await sys.settle()
    const text = globSync('data/audit/**/*.{jsonl,txt}', { cwd: sys.folder })
      .flatMap((name) => readFileSync(path.join(sys.folder, name), 'utf8').split('\n'))
      .filter((line) => /carol/.test(line))
    assert.ok(text.length > 0 && text.every((line) => /held/.test(line)), text.join('\n'))
    const user = (await sys.admin.get<{ username: string; email: null }>(`/users/${carol.id}`)).body
    assert.deepEqual([user.username, user.email], [`erased-${carol.number}`, null])
    await sys.check()
  })
}

test('the role of the server cannot change an audit event but by an erasure that the log tells of', {
  skip: backends()[1]!.skip,
}, async () => {
  await using sys = await backends()[1]!.start()
  await sys.employee.post('/tickets', { title: 'one' })
  await sys.settle()
  const [event] = await eventsOf(sys, 'ticket.created')
  const client = new pg.Client({ connectionString: sys.databaseUrl, options: '-c role=writ_app' })
  await client.connect()
  try {
    const { rows } = await client.query(`select id from projects where slug = 'default'`)
    await client.query(`select set_config('writ.project', $1, false)`, [rows[0].id])
    const refused = async (sql: string, params: unknown[], why: RegExp) =>
      assert.rejects(client.query(sql, params), why)
    await refused(`update audit_events set event = '' where id = $1`, [event!.id], /permission denied/)
    await refused(`update audit_events set salt = '' where id = $1`, [event!.id], /permission denied/)
    await refused('delete from audit_events where id = $1', [event!.id], /permission denied/)
    await refused(`insert into erasures values ($1, $2, $2, 0, 1)`, [rows[0].id, event!.id], /permission denied/)
    await refused('select writ_erase_payload($1, $2, 1)', [event!.id, event!.id], /no payload.erased/)
    const done = await sys.admin.post<{ erased_by_id: string }>(`/payloads/${event!.id}/erase`, { ground })
    const by = done.body.erased_by_id
    // The record of one erasure erases nothing else, and itself is not erased.
    await sys.employee.post('/tickets', { title: 'two' })
    const [second] = await eventsOf(sys, 'ticket.created')
    await refused('select writ_erase_payload($1, $2, 1)', [second!.id, by], /no payload.erased/)
    await refused('select writ_erase_payload($1, $1, 1)', [by], /no payload.erased/)
    await client.query(`select set_config('writ.project', '00000000-0000-0000-0000-000000000000', false)`)
    await refused('select writ_erase_payload($1, $2, 1)', [event!.id, by], /no payload.erased/)
  } finally {
    await client.end()
  }
})

test('the function of the owner on PostgreSQL keeps the same payloads as the server', () => {
  const schema = readFileSync(new URL('../../packages/server/migrations/schema.postgres.sql', import.meta.url), 'utf8')
  const [, body] = /FUNCTION [\w.]*writ_erase_payload\(.*?AS \$\$(.*?)\$\$/s.exec(schema)!
  const kept = /not in\s*\(([^)]*)\)/.exec(body!)![1]!.match(/[\w.]+/g)
  assert.deepEqual(kept, [...KEPT_PAYLOADS])
})
