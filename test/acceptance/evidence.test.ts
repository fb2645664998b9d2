import assert from 'node:assert/strict'
import type { Artifact, AuditEvent, Run } from '@writ/api'
import type { TestSystem } from '../test-system.ts'
import { holds, ok, refused, verifies } from '../verifies.ts'

async function openRun(sys: TestSystem): Promise<Run> {
  ok(await sys.employee.post('/tickets', { title: 'x' }))
  return ok(await sys.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: 1, finalize: 'manual' }))
}

verifies(
  'T35',
  'an upload to a run of somebody else, to none, without a file or over the limit is refused',
  async (sys) => {
    const { employee, bob, anonymous } = sys
    await openRun(sys)
    const denied = 'Not authorized to upload artifacts for this run'
    refused(await bob.upload(1, 'a.txt', 'a'), 403, 'ARTIFACT_UPLOAD_DENIED', denied)
    refused(await anonymous.upload(1, 'a.txt', 'a'), 401, 'NOT_AUTHENTICATED')
    refused(await employee.upload(999, 'a.txt', 'a'), 404, 'RUN_NOT_FOUND', 'Run not found')
    refused(await employee.post('/artifacts?run_id=1', {}), 422, 'FILE_MISSING')
    refused(await employee.post('/artifacts', {}), 422, 'VALIDATION_FAILED')
    const big = new Uint8Array(1024 * 1024 + 1)
    refused(
      await employee.upload(1, 'big', big),
      413,
      'ARTIFACT_TOO_LARGE',
      'File size exceeds maximum allowed size of 1MB',
    )
    ok(await employee.upload(1, 'fits', big.subarray(1)))
    ok(await employee.upload(1, 'empty', ''))
    assert.deepEqual(
      ok(await employee.get<Artifact[]>('/artifacts/run/1')).map((one) => [one.filename, one.size_bytes]),
      [
        ['fits', 1024 * 1024],
        ['empty', 0],
      ],
    )
  },
  { env: { MAX_ARTIFACT_SIZE_MB: '1' } },
)

verifies(
  ['T36', 'T41'],
  'evidence of others is neither served nor described, and the attempt is recorded',
  async (sys) => {
    const { admin, employee, bob } = sys
    await openRun(sys)
    ok(await employee.upload(1, '中文 (a).txt', 'bytes'))
    refused(await bob.get('/artifacts/1'), 403, 'ARTIFACT_VIEW_DENIED', 'Not authorized to view this artifact')
    refused(await bob.get('/artifacts/1/download'), 403, 'ARTIFACT_VIEW_DENIED')
    refused(
      await bob.get('/artifacts/run/1'),
      403,
      'ARTIFACTS_VIEW_DENIED',
      'Not authorized to view artifacts for this run',
    )
    refused(await employee.get('/artifacts/999'), 404, 'ARTIFACT_NOT_FOUND', 'Artifact not found')
    refused(await employee.get('/artifacts/run/999'), 404, 'RUN_NOT_FOUND', 'Run not found')
    const denials = ok(await admin.get<AuditEvent[]>('/audit/events?event_type=access.denied'))
    assert.deepEqual(
      denials.map((one) => [one.actor_username, one.success, one.details?.operation, one.details?.path]),
      [
        ['bob', false, 'artifacts.ofRun', '/api/v1/artifacts/run/1'],
        ['bob', false, 'artifacts.download', '/api/v1/artifacts/1/download'],
        ['bob', false, 'artifacts.get', '/api/v1/artifacts/1'],
      ],
    )
    const served = await employee.download('/artifacts/1/download')
    assert.equal(served.body.toString(), 'bytes')
    assert.equal(served.headers.get('x-content-type-options'), 'nosniff')
    assert.equal(
      served.headers.get('content-disposition'),
      `attachment; filename="__ (a).txt"; filename*=UTF-8''%E4%B8%AD%E6%96%87%20%28a%29.txt`,
    )
    const part = await employee.download('/artifacts/1/download', { headers: { range: 'bytes=1-2' } })
    assert.deepEqual([part.status, part.body.toString(), part.headers.get('content-range')], [206, 'yt', 'bytes 1-2/5'])
    const etag = served.headers.get('etag')!
    const asked = async (headers: Record<string, string>) => {
      const { status, body } = await employee.download('/artifacts/1/download', { headers })
      return [status, body.toString()]
    }
    assert.deepEqual(await asked({ range: 'bytes=1-2', 'if-range': etag }), [206, 'yt'])
    assert.deepEqual(await asked({ range: 'bytes=1-2', 'if-range': '"of other bytes"' }), [200, 'bytes'])
    assert.deepEqual(await asked({ 'if-none-match': '"of other bytes"' }), [200, 'bytes'])
    // Nothing was sent, so nothing was taken: five downloads, and these.
    const head = async (headers: Record<string, string>) =>
      fetch(`${sys.base}/api/v1/artifacts/1/download`, {
        method: 'HEAD',
        headers: { authorization: `Bearer ${await employee.token()}`, ...headers },
      })
    const known = await head({})
    assert.deepEqual(
      [known.status, ...['content-length', 'etag', 'content-type'].map((name) => known.headers.get(name))],
      [200, '5', etag, served.headers.get('content-type')],
    )
    const knownPart = await head({ range: 'bytes=1-2' })
    assert.deepEqual([knownPart.status, knownPart.headers.get('content-length')], [206, '2'])
    assert.equal((await head({ 'if-none-match': etag })).status, 304)
    assert.deepEqual(await asked({ 'if-none-match': `"of other bytes", W/${etag}` }), [304, ''])
    assert.deepEqual(await asked({ 'if-none-match': '*' }), [304, ''])
    const taken = await admin.get('/audit/events?event_type=artifact.downloaded&limit=1')
    assert.equal(taken.headers.get('x-total-count'), '5')
    refused(await bob.get('/artifacts/1/download', { headers: { 'if-none-match': etag } }), 403, 'ARTIFACT_VIEW_DENIED')
  },
)

verifies('T38', 'two uploads of one name keep their own bytes, and a name is no path', async (sys) => {
  const { employee } = sys
  await openRun(sys)
  for (const [name, bytes] of [
    ['a.txt', 'first'],
    ['a.txt', 'second'],
    ['../../../../etc/passwd', 'third'],
  ] as const)
    ok(await employee.upload(1, name, bytes))
  const bytes = await Promise.all(
    [1, 2, 3].map(async (n) => (await employee.download(`/artifacts/${n}/download`)).body.toString()),
  )
  assert.deepEqual(bytes, ['first', 'second', 'third'])
  const hashes = ok(await employee.get<Artifact[]>('/artifacts/run/1')).map((one) => one.sha256_hash)
  assert.equal(new Set(hashes).size, 3)
})

verifies('T40', 'a deleted artifact is neither served nor listed, and judged no more', async (sys) => {
  const { admin, employee, bob } = sys
  await openRun(sys)
  ok(await employee.upload(1, 'a.txt', 'a'))
  ok(await employee.upload(1, 'b.txt', 'b'))
  refused(await bob.delete('/artifacts/1'), 403, 'ARTIFACT_VIEW_DENIED')
  ok(await employee.delete('/artifacts/1'), 204)
  refused(await employee.get('/artifacts/1/download'), 410, 'ARTIFACT_DELETED', 'Artifact has been deleted')
  assert.equal(ok(await employee.get<Artifact>('/artifacts/1')).is_deleted, true)
  assert.deepEqual(
    ok(await employee.get<Artifact[]>('/artifacts/run/1')).map((one) => one.number),
    [2],
  )
  ok(await employee.post('/runs/1/finalize'))
  assert.equal((await sys.waitFor(1)).result_summary, 'Validation passed: 1 artifact(s) checked')
  refused(await employee.delete('/artifacts/2'), 403, 'ARTIFACT_DELETE_DENIED')
  ok(await admin.delete('/artifacts/2'), 204)
  refused(await admin.delete('/artifacts/2'), 410, 'ARTIFACT_DELETED')
})

holds('an upload that breaks off leaves nothing behind and does not hold the check back', async (sys) => {
  const { employee } = sys
  await openRun(sys)
  const gone = new AbortController()
  const body = new ReadableStream({
    pull(controller) {
      controller.enqueue(
        Buffer.from('--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhalf of it'),
      )
      setImmediate(() => gone.abort())
    },
  })
  const request: RequestInit & { duplex: 'half' } = {
    method: 'POST',
    headers: { authorization: `Bearer ${await employee.token()}`, 'content-type': 'multipart/form-data; boundary=b' },
    body,
    signal: gone.signal,
    duplex: 'half',
  }
  await assert.rejects(fetch(`${sys.base}/api/v1/artifacts?run_id=1`, request))
  ok(await employee.upload(1, 'b.txt', 'b'))
  ok(await employee.post('/runs/1/finalize'))
  assert.equal((await sys.waitFor(1)).result_summary, 'Validation passed: 1 artifact(s) checked')
})

holds(
  'an upload sent twice under one key is one artifact; other bytes or another name under it are refused',
  async (sys) => {
    const { employee } = sys
    await openRun(sys)
    const key = { headers: { 'idempotency-key': 'u1' } }
    const first = await employee.upload(1, 'a.txt', 'evidence', {}, key)
    const again = await employee.upload(1, 'a.txt', 'evidence', {}, key)
    assert.deepEqual(ok(again), ok(first))
    assert.equal(again.headers.get('idempotency-replayed'), 'true')
    refused(await employee.upload(1, 'a.txt', 'EVIDENCE', {}, key), 422, 'IDEMPOTENCY_MISMATCH')
    refused(await employee.upload(1, 'b.txt', 'evidence', {}, key), 422, 'IDEMPOTENCY_MISMATCH')
    assert.equal(ok(await employee.get<Artifact[]>('/artifacts/run/1')).length, 1)
  },
)
