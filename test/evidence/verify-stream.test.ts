// Verification that says how far it is, for logs that take longer than clients wait.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEvent } from '@writ/api'
import { createClient } from '@writ/sdk'
import { backends } from '../backends.ts'
import { until } from '../test-system.ts'

for (const backend of backends())
  test(`a verification is watched, and recorded once (${backend.name})`, { skip: backend.skip }, async () => {
    await using system = await backend.start()
    for (let i = 0; i < 3; i++) assert.equal((await system.admin.post('/tickets', { title: `Port ${i}` })).status, 200)
    const client = createClient({ url: system.base, token: await system.admin.token() })
    const heard: { size: number }[] = []
    const report = await client.verifyLog({ onProgress: (done) => heard.push(done) })
    assert.deepEqual([report.ok, report.code], [true, null])
    assert.ok(report.checked.rows >= 3 && heard.every(({ size }) => size >= 0))
    const other = await client.verifyLog({ kept_checkpoint: 'no note' })
    assert.deepEqual([other.ok, other.code], [false, 'KEPT_MALFORMED'])
    const verified = async () =>
      (await system.admin.get<AuditEvent[]>('/audit/events?event_type=audit.verified')).body.map((one) => one.success)
    assert.deepEqual(await verified(), [false, true])

    // A body that is none is refused as ever, before any stream.
    const headers = { authorization: `Bearer ${await system.admin.token()}`, accept: 'text/event-stream' }
    const ask = (body: string, signal?: AbortSignal) =>
      fetch(`${system.base}/api/v1/audit/verify`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body,
        ...(signal ? { signal } : {}),
      })
    const refused = await ask('{"kept":1}')
    assert.deepEqual(
      [refused.status, refused.headers.get('content-type')?.split(';')[0]],
      [422, 'application/problem+json'],
    )
    const auditor = await system.hire('reader', 'dev')
    const denied = await fetch(`${system.base}/api/v1/audit/verify`, {
      method: 'POST',
      headers: { ...headers, authorization: `Bearer ${await auditor.token()}` },
    })
    assert.equal(denied.status, 403)

    // Whoever leaves takes the work along: nothing is recorded of it, or all of it if it had ended.
    const gone = new AbortController()
    const left = await ask('{}', gone.signal)
    assert.equal(left.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    gone.abort()
    await system.settle()
    await until('the server goes on', async () => (await client.verifyLog()).ok)
    await system.check()
  })
