import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { type AuditEvent, auditKeys, type Run, type VerifyReport } from '@writ/api'
import { createClient } from '../client.ts'
import type { TestSystem } from '../test-system.ts'
import { holds, ok, refused, verifies } from '../verifies.ts'

async function linesOf(sys: TestSystem, file: RegExp): Promise<string[]> {
  await sys.settle()
  const folder = ok(await sys.admin.get<{ audit_folder: string }>('/audit/log')).audit_folder
  await sys.settle()
  const names = (await readdir(folder)).filter((name) => file.test(name))
  const files = await Promise.all(names.sort().map((name) => readFile(path.join(folder, name), 'utf8')))
  return files.join('').split('\n').filter(Boolean)
}

/** One of each: ticket, run, file, verdict, approval refused. */
async function work(sys: TestSystem): Promise<void> {
  ok(await sys.employee.post('/tickets', { title: 'two|pipes and "quotes"' }))
  ok(await sys.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: 1 }))
  ok(await sys.employee.upload(1, '配置.cfg', 'x'))
  await sys.waitFor(1)
}

verifies('T42', 'each action is one line with the twelve keys, in order, in the file of its day', async (sys) => {
  await work(sys)
  const lines = await linesOf(sys, /^audit_\d{4}-\d\d-\d\d\.jsonl$/)
  const events = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  for (const event of events) assert.deepEqual(Object.keys(event), auditKeys)
  const types = events.map((event) => event.event_type)
  assert.deepEqual(
    types.filter((type) => /^(ticket|run|artifact)\./.test(String(type))),
    [
      'ticket.created',
      'run.created',
      'artifact.uploaded',
      'run.started',
      'artifact.verified',
      'artifact.uploaded',
      'run.completed',
    ],
  )
  const created = events.find((event) => event.event_type === 'run.created')
  assert.deepEqual(
    [created?.actor_username, created?.resource_type, created?.action, created?.success, created?.error_message],
    ['employee', 'run', 'Created proof run for ticket 1', true, null],
  )
  assert.match(String(created?.ip_address), /127\.0\.0\.1/)
})

verifies('T43', 'each action is one readable line of six fields, whatever its text holds', async (sys) => {
  await work(sys)
  const lines = await linesOf(sys, /^audit_readable_\d{4}-\d\d-\d\d\.txt$/)
  const created = lines.find((line) => line.includes('run.created'))
  assert.match(
    created ?? '',
    /^\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)\|run\.created\|employee\(2\)\|run:1\|SUCCESS\|Created proof run for ticket 1$/,
  )
  // A bar in a text has a backslash in front of it, so nobody forges a field.
  for (const line of lines) assert.equal(line.split(/(?<!\\)\|/).length, 6, line)
  assert.equal(lines.length, (await linesOf(sys, /^audit_\d{4}-\d\d-\d\d\.jsonl$/)).length)
})

verifies('T45', 'an admin queries events by filter, an employee does not', async (sys) => {
  const { admin, employee } = sys
  const day = () => new Date().toISOString().slice(0, 10)
  const first = day()
  await work(sys)
  // The next day, if midnight was meanwhile.
  const last = day()
  const query = `event_type=ticket.created&actor_id=2&resource_type=ticket&resource_id=1&start_date=${first}&end_date=${last}&limit=100`
  const events = ok(await admin.get<AuditEvent[]>(`/audit/events?${query}`))
  assert.deepEqual(
    events.map((one) => [one.event_type, one.actor_number, one.resource_number, one.success]),
    [['ticket.created', 2, 1, true]],
  )
  const [event] = events
  assert.equal(event?.shard, 0)
  // By its id, however many came after it; beside other filters it is one of them.
  assert.deepEqual(ok(await admin.get<AuditEvent[]>(`/audit/events?event_id=${event.id}`)), [event])
  assert.deepEqual(ok(await admin.get<AuditEvent[]>(`/audit/events?event_id=${event.id}&success=false`)), [])
  refused(await admin.get('/audit/events?event_id=1'), 422, 'VALIDATION_FAILED')
  assert.deepEqual(ok(await admin.get<AuditEvent[]>('/audit/events?end_date=2020-01-01')), [])
  assert.deepEqual(ok(await admin.get<AuditEvent[]>('/audit/events?actor_id=999')), [])
  for (const wrong of ['yesterday', '1', '-1', '2026', '2026-02-30', 'Nov 27 2026', '2026-11-27T08:00:00+08:00', ''])
    refused(await admin.get(`/audit/events?start_date=${wrong}`), 422, 'VALIDATION_FAILED')
  // An event that there is not happened never: an auditor would read that of one that is misspelt, too.
  for (const [asked, meant] of [
    ['ticket.aproved', 'did you mean ticket.approved?'],
    ['asset.*', 'of asset there are asset.created'],
    ['nosuch', 'there are those of '],
  ])
    for (const path of ['events', 'export']) {
      const said = refused(await admin.get(`/audit/${path}?event_type=${asked}`), 422, 'VALIDATION_FAILED')
      assert.equal(said.errors?.[0]?.path, 'query.event_type')
      assert.ok(said.detail.includes(`there is no event "${asked}"; ${meant}`), said.detail)
    }
  // Without a zone it is UTC, whatever the server's own is.
  const [{ timestamp } = { timestamp: '' }] = events
  for (const time of [
    timestamp,
    timestamp.replace('Z', ''),
    timestamp.replace('T', ' '),
    timestamp.replace('Z', '%2B00:00'),
  ])
    assert.equal(
      ok(await admin.get<AuditEvent[]>(`/audit/events?event_type=ticket.created&start_date=${time}`)).length,
      1,
    )
  for (const path of ['/audit/events', '/audit/export', '/audit/log'])
    refused(await employee.get(path), 403, 'ROLE_NOT_ALLOWED')
  refused(await employee.post('/audit/verify'), 403, 'ROLE_NOT_ALLOWED')
  const auditor = await sys.hire('auditor', 'auditor')
  assert.ok(ok(await auditor.get<AuditEvent[]>('/audit/events')).length > 0)
  assert.equal(ok(await auditor.post<VerifyReport>('/audit/verify', {})).ok, true)
  // Reading is an action too.
  const reads = ok(await admin.get<AuditEvent[]>('/audit/events?event_type=audit.read'))
  assert.equal(reads[1]?.actor_username, 'auditor')
  // Whoever looks for a person gets what they did with a token too; a token that is named is that alone.
  const made = ok(await employee.post<{ id: string; token: string }>('/tokens', { name: 'cli', role: 'employee' }), 201)
  await employee.post('/tickets', { title: 'By a token' }, { headers: { authorization: `Bearer ${made.token}` } })
  for (const [actor, types] of [
    ['2', ['ticket.created', 'ticket.created']],
    [made.id, ['ticket.created']],
  ] as const) {
    const found = ok(await admin.get<AuditEvent[]>(`/audit/events?event_type=ticket.created&actor_id=${actor}`))
    assert.deepEqual(
      found.map((one) => [one.event_type, one.actor_number]),
      types.map((type) => [type, 2]),
    )
  }
})

holds('a denial stands in the log of the project and says who was denied, and by which token', async (sys) => {
  const { admin, employee } = sys
  const dora = await sys.hire('dora', 'dev')
  type Made = { id: string; token: string; user_id: string }
  const own = ok(await dora.post<Made>('/tokens', { name: 'own' }), 201)
  const away = ok(await dora.post<Made>('/tokens', { name: 'away', ip_ranges: ['192.0.2.0/24'] }), 201)
  const by = (token: string, more: Record<string, string> = {}) =>
    createClient({ base: () => sys.base, prefix: '', credentials: async () => ({ 'x-api-token': token, ...more }) })
  const missing = '01a20755-7fdc-7723-963f-3a415ba9b242'

  refused(await by(away.token).get('/api/v1/tickets'), 403, 'TOKEN_IP_NOT_ALLOWED')
  refused(await by(own.token, { 'x-project': 'factory-a' }).get('/api/v1/tickets'), 403, 'TOKEN_FOREIGN_PROJECT')
  // What asks for a log that keeps up looks at roles before anything else does.
  refused(await employee.post(`/payloads/${missing}/erase`, { reason: 'r' }), 403, 'ADMIN_REQUIRED')
  refused(await employee.get('/audit/export'), 403, 'ROLE_NOT_ALLOWED')
  ok(await admin.patch(`/users/${own.user_id}`, { is_active: false }))
  refused(await by(own.token).get('/api/v1/tickets'), 403, 'USER_INACTIVE')
  refused(await dora.get('/tickets'), 403, 'USER_INACTIVE')

  const denials = ok(await admin.get<AuditEvent[]>('/audit/events?event_type=access.denied'))
  assert.deepEqual(
    denials.reverse().map((one) => [one.actor_id, one.actor_username, one.details?.operation, one.details?.code]),
    [
      [away.id, 'dora', 'tickets.list', 'TOKEN_IP_NOT_ALLOWED'],
      [own.id, 'dora', 'tickets.list', 'TOKEN_FOREIGN_PROJECT'],
      [denials[2]?.actor_id, 'employee', 'privacy.erasePayload', 'ADMIN_REQUIRED'],
      [denials[2]?.actor_id, 'employee', 'audit.export', 'ROLE_NOT_ALLOWED'],
      [own.id, 'dora', 'tickets.list', 'USER_INACTIVE'],
      [own.user_id, 'dora', 'tickets.list', 'USER_INACTIVE'],
    ],
  )
})
