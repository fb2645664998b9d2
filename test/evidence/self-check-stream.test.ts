// A self-check that says how far it is, for logs that take longer than clients wait.
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import type { AuditEvent } from '@writ/api'
import { createClient } from '@writ/sdk'
import { snapshotLog, type VerifyProgress } from '../../packages/server/src/audit/index.ts'
import { openVerifyProcess } from '../../packages/server/src/evidence/verify-process.ts'
import { backends } from '../backends.ts'
import { until } from '../test-system.ts'

for (const backend of backends())
  test(`a self-check is watched, and recorded once (${backend.name})`, { skip: backend.skip }, async () => {
    await using system = await backend.start()
    for (let i = 0; i < 3; i++) assert.equal((await system.admin.post('/tickets', { title: `Port ${i}` })).status, 200)
    await system.settle()
    const client = createClient({ url: system.base, token: await system.admin.token() })
    // One after the other: each waits for those before it, and says meanwhile that nothing is done yet.
    const heard: VerifyProgress[] = []
    const reports = await Promise.all(
      Array.from({ length: 6 }, () => client.selfCheck({ full: true, onProgress: (done) => heard.push(done) })),
    )
    assert.deepEqual(
      reports.map(({ ok, full, project }) => [ok, full, project]),
      reports.map(() => [true, true, 'default']),
    )
    assert.ok(heard.length > 0 && heard.every(({ entries, rows, size }) => entries >= 0 && rows >= 0 && size >= 0))
    const verified = async () =>
      (await system.admin.get<AuditEvent[]>('/audit/events?event_type=audit.verified')).body.map(
        (one) => one.details?.full,
      )
    assert.deepEqual(
      await verified(),
      reports.map(() => true),
    )
    assert.equal((await client.selfCheck()).full, false)

    const ask = (body: string, headers: Record<string, string>, signal: AbortSignal | null = null) =>
      fetch(`${system.base}/api/v1/audit/self-check`, {
        method: 'POST',
        headers: { accept: 'text/event-stream', 'content-type': 'application/json', ...headers },
        body,
        signal,
      })
    const mine = { authorization: `Bearer ${await system.admin.token()}` }
    // A body that is none is refused as ever, before any stream.
    const refused = await ask('{"all":true}', mine)
    assert.deepEqual(
      [refused.status, refused.headers.get('content-type')?.split(';')[0]],
      [422, 'application/problem+json'],
    )
    const dev = await system.hire('reader', 'dev')
    assert.equal((await ask('{}', { authorization: `Bearer ${await dev.token()}` })).status, 403)

    // Whoever leaves takes the work along, and the next check is not held up.
    const gone = new AbortController()
    const left = await ask('{"full":true}', mine, gone.signal)
    assert.equal(left.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    gone.abort()
    await system.settle()
    await until('the server goes on', async () => (await client.selfCheck({ full: true })).ok)
    await system.check()
  })

test('the process that checks tells how far it is in the log', async () => {
  const [sqlite] = backends()
  await using system = await sqlite!.start()
  for (let from = 0; from < 300; from += 50)
    await Promise.all(Array.from({ length: 50 }, (_, i) => system.admin.post('/tickets', { title: `${from + i}` })))
  await system.settle()
  const { size, folder, shard } = (
    await system.admin.get<{ size: number; folder: string; shard: number }>('/audit/log')
  ).body
  const log = path.dirname(path.dirname(folder))
  const data = path.dirname(log)
  const folders = { log, keys: `${data}/keys`, signer: `${data}/signer`, days: path.join(data, 'audit') }
  const project = path.basename(path.dirname(folder))
  const job = {
    database: { url: `sqlite:${path.join(data, 'writ.db')}` },
    folders,
    project,
    slug: 'default',
    snapshot: await snapshotLog(folders, project, shard, 'default'),
  }
  const verifier = openVerifyProcess()
  try {
    const heard: [string, VerifyProgress][] = []
    const fresh = await verifier.run({ ...job, kind: 'self-check', since: { shard: 0, index: 0 }, share: 0 }, (done) =>
      heard.push(['self-check', done]),
    )
    assert.deepEqual([fresh.fault, fresh.upTo.index], [null, size])
    const all = await verifier.run({ ...job, kind: 'verify', kept: undefined }, (done) => heard.push(['verify', done]))
    assert.equal(all.reason, null)
    assert.deepEqual(heard[0], ['self-check', { entries: 0, rows: 0, size }])
    assert.ok(heard.some(([kind, done]) => kind === 'verify' && done.size === size && done.entries > 0))
  } finally {
    await verifier.close()
  }
})
