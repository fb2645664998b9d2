import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { test } from 'node:test'
import type { AuditEvent, Run, Ticket } from '@writ/api'
import { backends } from '../backends.ts'
import type { TestSystem } from '../test-system.ts'

// Put together here, so that this file does not look like it holds a key.
const key = `AKIA${'IOSFODNN7EXAMPLE'}`
const config = `hostname sw1\naccess ${key}\ncontact bob@example.org\n`

for (const backend of backends()) {
  test(`${backend.name}: an upload with a secret is kept exactly, and flagged by kind and place`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start()
    const run = await startRun(sys)
    const taken = (await sys.employee.upload(run.id, 'sw1.cfg', config)).body.artifact
    assert.deepEqual(taken.findings, [
      { kind: 'cloud-key', count: 1, offset: config.indexOf(key) },
      { kind: 'contact', count: 1, offset: config.indexOf('bob@') },
    ])
    const bytes = await sys.admin.download(`/artifacts/${taken.id}/download`)
    assert.equal(bytes.body.toString(), config)
    const [event] = (await sys.admin.get<AuditEvent[]>('/audit/events?event_type=artifact.uploaded')).body
    assert.deepEqual(event!.details?.flagged, ['cloud-key', 'contact'])
    const plain = (await sys.employee.upload((await startRun(sys)).id, 'sw2.cfg', 'hostname sw2\n')).body.artifact
    assert.deepEqual(plain.findings, [])
    await sys.check()
  })

  test(`${backend.name}: a project may refuse files with secrets; nothing of them is kept, and the refusal is on record`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start()
    const policy = (await sys.admin.get<Record<string, unknown>>('/policy')).body
    const changed = await sys.admin.put('/policy', { ...policy, artifact_scan: 'refuse' })
    assert.equal(changed.body.state, 'applied', JSON.stringify(changed.body))
    const run = await startRun(sys)
    const refused = await sys.employee.upload(run.id, 'sw1.cfg', config)
    const problem = refused.body as unknown as { code: string; detail: string }
    assert.deepEqual([refused.status, problem.code], [422, 'SECRET_IN_ARTIFACT'])
    assert.match(problem.detail, /cloud-key/)
    assert.deepEqual(globSync('data/blobs/*/sha256/*/*/*', { cwd: sys.folder }), [])
    assert.deepEqual((await sys.admin.get(`/artifacts/run/${run.id}`)).body, [])
    const [event] = (await sys.admin.get<AuditEvent[]>('/audit/events?event_type=artifact.refused')).body
    assert.deepEqual([event!.resource_id, event!.success, event!.details], [run.id, false, { filename: 'sw1.cfg' }])
    // A password of an address reads like one of mail with its host, and is a secret all the same.
    const ftp = await sys.employee.upload(
      run.id,
      'sw1.cfg',
      `archive\n path ${'ftp://backup:'}Tr0ub4dor@files.example\n`,
    )
    assert.deepEqual([ftp.status, (ftp.body as { code?: string }).code], [422, 'SECRET_IN_ARTIFACT'])
    // Addresses of people are no secrets; and the run still takes what is clean.
    const clean = await sys.employee.upload(run.id, 'sw1.cfg', 'hostname sw1\ncontact bob@example.org\n')
    assert.equal(clean.status, 200, JSON.stringify(clean.body))
    assert.equal((await sys.waitFor(run.id)).verdict, 'passed')
    await sys.check()
  })
}

async function startRun(sys: TestSystem): Promise<Run> {
  const ticket = (await sys.employee.post<Ticket>('/tickets', { title: 'evidence' })).body
  return (
    await sys.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: ticket.id, script_id: 'proof.file_hash' })
  ).body
}
