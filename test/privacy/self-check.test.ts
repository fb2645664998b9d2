import assert from 'node:assert/strict'
import { closeSync, globSync, openSync, readFileSync, writeSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { AuditEvent, LogInfo, SelfCheckReport } from '@writ/api'
import { backends } from '../backends.ts'
import { type TestSystem, until } from '../test-system.ts'
import { ok } from '../verifies.ts'
import { execute } from './database.ts'

for (const backend of backends()) {
  test(`${backend.name}: a self-check finds each kind of tampering, names it, and raises the alarm until it is gone`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start()
    for (let from = 0; from < 300; from += 50)
      await Promise.all(
        Array.from({ length: 50 }, (_, i) => sys.employee.post('/tickets', { title: `ticket ${from + i}` })),
      )
    await sys.settle()
    const check = async (full = false) => (await sys.admin.post<SelfCheckReport>('/audit/self-check', { full })).body
    const first = await check()
    assert.deepEqual([first.ok, first.reason], [true, null])
    assert.ok(first.entries > 300, `${first.entries} compared`)
    // What was checked is not checked again, but for the bundle that is still growing.
    assert.ok((await check()).entries < 256 * 2)
    assert.equal((await check(true)).ok, true)

    const ready = () => readiness(sys)
    const last = (await sys.admin.get<AuditEvent[]>('/audit/events?event_type=ticket.created&limit=1')).body[0]!
    const isLast = `id = '${last.id}'`
    const jsonl = globSync('data/audit/audit_*.jsonl', { cwd: sys.folder }).map((name) =>
      path.join(sys.folder, name),
    )[0]!
    const cases: [code: string, change: () => unknown, undo: () => unknown][] = [
      [
        'PAYLOAD_CHANGED',
        () => execute(sys, `update audit_events set event = replace(event, 'Created', 'Altered') where ${isLast}`),
        () => execute(sys, `update audit_events set event = replace(event, 'Altered', 'Created') where ${isLast}`),
      ],
      [
        'ROW_CHANGED',
        () => execute(sys, `update audit_events set event_type = 'ticket.closed' where ${isLast}`),
        () => execute(sys, `update audit_events set event_type = 'ticket.created' where ${isLast}`),
      ],
      [
        'DAY_FILE_CHANGED',
        () => overwrite(jsonl, 'Created ticket: ticket 7"', 'Altered ticket: ticket 7"'),
        () => overwrite(jsonl, 'Altered ticket: ticket 7"', 'Created ticket: ticket 7"'),
      ],
    ]
    for (const [code, change, undo] of cases) {
      await change()
      const found = await check()
      assert.deepEqual([found.ok, found.code], [false, code], found.reason ?? '')
      if (code !== 'DAY_FILE_CHANGED') assert.equal(found.index, last.log_index)
      const seen = await ready()
      assert.equal(seen.status, 'ready', 'a finding does not end the service')
      assert.match(seen.degraded?.['self_check default'] ?? '', new RegExp(code))
      if (found.index !== null)
        assert.match(seen.degraded?.['self_check default'] ?? '', new RegExp(`at entry ${found.index}`))
      assert.match(await (await fetch(`${sys.base}/metrics`)).text(), /^writ_selfcheck_alarms 1$/m)
      const [event] = (await sys.admin.get<AuditEvent[]>('/audit/events?event_type=selfcheck.failed')).body
      assert.deepEqual(
        [event!.details?.code, event!.details?.index, event!.details?.origin],
        [code, found.index, found.origin],
      )
      await undo()
      assert.deepEqual([(await check(true)).reason], [null])
      assert.equal((await ready()).degraded, undefined)
    }
    assert.match(sys.log(), /the audit log does not fit its rows or files/)
    // An old entry, beyond what is new: the full check finds it whatever the dice say.
    const old = (await sys.admin.get<AuditEvent[]>('/audit/events?event_type=ticket.created&limit=1000')).body.at(-1)!
    // Of several logs the one is named in which it stands.
    const { origin } = ok(await sys.admin.get<LogInfo>('/audit/log'))
    ok(await sys.admin.post('/audit/logs/rotate', { reason: 'a year is over' }))
    assert.notEqual((await check()).origin, origin)
    await execute(sys, `update audit_events set actor_username = 'mallory' where id = '${old.id}'`)
    const full = await check(true)
    assert.deepEqual([full.code, full.index, full.origin], ['ROW_CHANGED', old.log_index, origin])
    // Nor is it right because the next one would not look there.
    const next = await check()
    assert.deepEqual([next.code, next.index, next.full], ['ROW_CHANGED', old.log_index, true])
    assert.match((await ready()).degraded?.['self_check default'] ?? '', /ROW_CHANGED/)
    await execute(sys, `update audit_events set actor_username = '${old.actor_username}' where id = '${old.id}'`)
    assert.deepEqual([(await check()).reason], [null])
    assert.equal((await ready()).degraded, undefined)
    assert.equal((await check()).full, false)
  })

  test(`${backend.name}: the server checks by itself, also what was changed while it was stopped`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start()
    await sys.employee.post('/tickets', { title: 'one' })
    await sys.settle()
    await sys.stop()
    await execute(
      sys,
      `update audit_events set event = replace(event, 'Created', 'Altered') where event_type = 'ticket.created'`,
    )
    await sys.restart({ env: { WRIT_SELF_CHECK_MINUTES: '60' } })
    await until('the alarm is raised', async () => (await readiness(sys)).degraded !== undefined)
    assert.match(
      (await readiness(sys)).degraded!['self_check default']!,
      /^PAYLOAD_CHANGED at entry \d+ of writ\.log\/[0-9a-f]{32}: /,
    )
    // The next process knows of it, and tells of it no second time.
    await sys.restart()
    await until('the alarm is raised again', async () => (await readiness(sys)).degraded !== undefined)
    assert.equal((await sys.admin.post<SelfCheckReport>('/audit/self-check', {})).body.ok, false)
    assert.equal((await sys.admin.get<AuditEvent[]>('/audit/events?event_type=selfcheck.failed')).body.length, 1)
  })
}

const readiness = async (sys: TestSystem) =>
  (await (await fetch(`${sys.base}/readyz`)).json()) as {
    status: string
    degraded?: Record<string, string>
  }

/** In place and no byte longer: the server goes on appending to the same file. */
function overwrite(file: string, from: string, to: string): void {
  assert.equal(Buffer.byteLength(from), Buffer.byteLength(to))
  const at = readFileSync(file).indexOf(from)
  assert.notEqual(at, -1, `${from} is in ${path.basename(file)}`)
  const descriptor = openSync(file, 'r+')
  writeSync(descriptor, to, at)
  closeSync(descriptor)
}
