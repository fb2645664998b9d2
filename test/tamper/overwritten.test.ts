/** What is no line any more, because somebody wrote over it in the database, keeps nothing else from whoever reads the log. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import type { AuditEvent, Event, Submitted, Ticket, VerifyReport } from '@writ/api'
import { backends } from '../backends.ts'
import { startReceiver } from '../channels/receiver.ts'
import { stateOnPostgres } from '../servers/statement.ts'
import { type TestSystem, until } from '../test-system.ts'
import { ok } from '../verifies.ts'

const OVERWRITTEN = /^\[overwritten: not what was recorded/
const texts = ['garbage', '[]', '{}', 'null', '{"action":7}', '{"event_type":"run.failed"\n}', '"details"']

/** As somebody does who has the database. */
async function overwrite(system: TestSystem, statements: readonly string[]): Promise<void> {
  if (system.databaseUrl !== undefined) return stateOnPostgres(system.databaseUrl, statements)
  const db = new DatabaseSync(path.join(system.folder, 'data', 'writ.db'))
  for (const statement of statements) db.exec(statement)
  db.close()
}

for (const backend of backends())
  test(`events that were written over are told as such, and what is behind them is read (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using receiver = await startReceiver()
    await using system = await backend.start()
    const { admin } = system
    const other = { headers: { 'x-project': 'other' } }
    ok(await admin.post('/projects', { slug: 'other', name: 'Other' }), 201)
    const hook = { name: 'hook', events: ['ticket.created'], handlers: ['system.ping'] }
    ok(await admin.post('/webhooks', { ...hook, url: `${receiver.url}/default` }), 201)
    ok(await admin.post('/webhooks', { ...hook, url: `${receiver.url}/other` }, other), 201)
    const toldAt = (place: string) => receiver.received.filter((one) => one.path.endsWith(place)).length

    const tickets: string[] = []
    for (const n of texts.keys()) tickets.push(ok(await admin.post<Ticket>('/tickets', { title: `Ticket ${n}` })).id)
    const { id: task } = ok(await admin.post<Submitted>('/tasks', { handler: 'system.ping' }), 201)
    ok(await admin.get(`/tasks/${task}/wait`))
    await until('all of it was told', async () => toldAt('/default') === texts.length + 1)
    const before = (about: string) => `update audit_events set event = '${about}' where`
    await overwrite(system, [
      ...tickets.map((id, n) => `${before(texts[n]!)} event_type = 'ticket.created' and resource_id = '${id}'`),
      `${before('{"callback":')} event_type = 'run.completed' and resource_id = '${task}'`,
      `${before('garbage')} event_type = 'redaction.changed'`,
      // As if nothing had been read for webhooks yet.
      'update webhook_cursors set shard = 0, log_index = -1',
    ])

    const list = ok(await admin.get<AuditEvent[]>('/audit/events?limit=200'))
    const bad = list.filter(({ action }) => OVERWRITTEN.test(action))
    assert.deepEqual(
      bad.map(({ event_type, resource_id }) => [event_type, resource_id]).toSorted(),
      [...tickets.map((id) => ['ticket.created', id]), ['run.completed', task]].toSorted(),
    )
    const lines = ok(await admin.get<string>('/audit/export?format=jsonl'))
      .trimEnd()
      .split('\n')
    assert.equal(lines.filter((line) => OVERWRITTEN.test((JSON.parse(line) as AuditEvent).action)).length, bad.length)
    assert.equal((await admin.get('/audit/export?format=csv')).status, 200)
    const { items } = ok(await admin.get<{ items: Event[] }>('/events?after=0&limit=100'))
    assert.equal(items.filter(({ data }) => OVERWRITTEN.test(data.action)).length, bad.length)
    const verified = ok(await admin.post<VerifyReport>('/audit/verify', {}))
    assert.deepEqual([verified.ok, verified.code], [false, 'PAYLOAD_CHANGED'])

    const told = [toldAt('/default'), toldAt('/other')]
    ok(await admin.post('/tickets', { title: 'behind them' }))
    ok(await admin.post('/tickets', { title: 'of another project' }, other))
    await until('both were told', async () => toldAt('/default') > told[0]! && toldAt('/other') > told[1]!)
    await system.restart()
    ok(await admin.get('/audit/events'))
  })
