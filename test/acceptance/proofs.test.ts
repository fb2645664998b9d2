import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { Artifact, Run, RunDetail, Ticket } from '@writ/api'
import { type TestSystem, until } from '../test-system.ts'
import { holds, ok, refused, verifies } from '../verifies.ts'

const sha256 = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** A ticket of the employee with a proof run on it. */
async function begin(sys: TestSystem, body: object = {}): Promise<{ ticket: Ticket; run: Run }> {
  const ticket = ok(await sys.employee.post<Ticket>('/tickets', { title: 'x' }))
  const run = ok(await sys.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: ticket.number, ...body }))
  return { ticket, run }
}
/** The same, judged with these files. */
async function prove(sys: TestSystem, files: Record<string, string>, body: object = {}): Promise<RunDetail> {
  const { run } = await begin(sys, { finalize: 'manual', ...body })
  for (const [name, bytes] of Object.entries(files)) ok(await sys.employee.upload(run.id, name, bytes))
  ok(await sys.employee.post(`/runs/${run.id}/finalize`))
  return sys.waitFor(run.id)
}
const outputs = (run: RunDetail) => run.outputs_manifest as { validation_report: Record<string, unknown> }

verifies(
  ['T20', 'T21', 'T25'],
  'a proof starts pending, takes files, and reports in the documented shape',
  async (sys) => {
    const { run } = await begin(sys, { script_id: 'proof.file_hash', finalize: 'manual' })
    assert.deepEqual(
      [run.status, run.state, run.waiting_for, run.inputs_manifest, run.outputs_manifest, run.exit_code],
      ['pending', 'pending', 'evidence', null, null, null],
    )
    const bytes = 'hostname 核心\n'
    const { artifact, message } = ok(await sys.employee.upload(1, '配置.cfg', bytes, { artifact_type: 'config' }))
    assert.equal(message, 'Artifact uploaded successfully')
    assert.deepEqual(
      [artifact.number, artifact.filename, artifact.sha256_hash, artifact.size_bytes, artifact.artifact_type],
      [1, '配置.cfg', sha256(bytes), 16, 'config'],
    )
    ok(await sys.employee.post('/runs/1/finalize'))
    const settled = await sys.waitFor(1)
    assert.deepEqual(settled.inputs_manifest, {
      artifacts: [
        {
          id: 1,
          artifact_uuid: artifact.id,
          filename: '配置.cfg',
          sha256: sha256(bytes),
          size_bytes: bytes.length + 4,
        },
      ],
    })
    const report = outputs(settled).validation_report
    const { timestamp, validation_results, ...rest } = report
    assert.match(String(timestamp), /^\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)$/)
    assert.deepEqual(
      {
        run_id: rest.run_id,
        ticket_id: rest.ticket_id,
        validator: rest.validator,
        validator_version: rest.validator_version,
        total_artifacts: rest.total_artifacts,
        overall_result: rest.overall_result,
      },
      {
        run_id: 1,
        ticket_id: 1,
        validator: 'File Hash Validator',
        validator_version: '1.0.0',
        total_artifacts: 1,
        overall_result: 'passed',
      },
    )
    const [result] = validation_results as Record<string, unknown>[]
    assert.deepEqual(
      [result?.artifact_id, result?.filename, result?.validation, result?.hash_verified],
      [1, '配置.cfg', 'passed', true],
    )
    assert.deepEqual(
      [settled.status, settled.exit_code, settled.result_summary, settled.stdout_log, settled.stderr_log],
      ['success', 0, 'Validation passed: 1 artifact(s) checked', 'Validated 1 artifacts\n- 配置.cfg: passed', null],
    )
    // The report is evidence too, and never an input.
    const kept = ok(await sys.employee.get<Artifact[]>('/artifacts/run/1'))
    assert.deepEqual(
      kept.map((one) => [one.filename, one.artifact_type]),
      [
        ['配置.cfg', 'config'],
        ['report-1.json', 'report'],
      ],
    )
    assert.equal(settled.report_artifact_id, kept[1]?.id)
  },
)

verifies(['T22', 'T23'], 'a proof checks itself after the last upload, and the ticket is done', async (sys) => {
  await begin(sys, { script_id: 'proof.file_hash' })
  const uploaded = performance.now()
  ok(await sys.employee.upload(1, 'a.cfg', 'hostname a\n'))
  const settled = await sys.waitFor(1)
  assert.deepEqual([settled.state, settled.verdict], ['completed', 'passed'])
  assert.equal(ok(await sys.employee.get<Ticket>('/tickets/1')).status, 'done')
  assert.ok(performance.now() - uploaded < 10_000)
})

verifies(['T24'], 'a proof without evidence fails, and says why', async (sys) => {
  await begin(sys)
  ok(await sys.employee.post('/runs/1/finalize'))
  const run = await sys.waitFor(1)
  assert.deepEqual(
    [run.state, run.verdict, run.status, run.exit_code, run.result_summary, run.stdout_log, run.stderr_log],
    [
      'failed',
      null,
      'failed',
      null,
      'No artifacts found to validate',
      null,
      'Proof run requires at least one artifact',
    ],
  )
  assert.deepEqual([run.inputs_manifest, run.outputs_manifest], [null, null])
  assert.equal(ok(await sys.employee.get<Ticket>('/tickets/1')).status, 'failed')
})

verifies(['T27', 'T29'], 'what does not parse fails, and an unknown script is refused', async (sys) => {
  const run = await prove(sys, { 'c.json': '{bad json' }, { script_id: 'proof.config_format' })
  assert.deepEqual([run.state, run.verdict, run.status, run.exit_code], ['completed', 'failed', 'failed', 1])
  assert.equal(run.result_summary, 'Validation failed: 1 artifact(s) checked')
  assert.match(JSON.stringify(run.outputs_manifest), /Invalid JSON: /)
  assert.equal(ok(await sys.employee.get<Ticket>('/tickets/1')).status, 'failed')
  const unknown = await sys.employee.post('/runs', { run_type: 'proof', ticket_id: 1, script_id: 'proof.nonsense' })
  refused(unknown, 422, 'SCRIPT_UNKNOWN')
  const scripts = ok(await sys.employee.get<{ script_id: string }[]>('/scripts')).map((one) => one.script_id)
  assert.ok(scripts.includes('proof.file_hash') && scripts.includes('proof.config_format'))
})

holds(
  'a verdict is a failed run with exit code 1, retried by nobody, and a later good one mends the ticket',
  async (sys) => {
    const bad = await prove(sys, { 'a.txt': 'a' }, { execution_context: { expected_hashes: { 'a.txt': sha256('b') } } })
    assert.deepEqual([bad.state, bad.verdict, bad.exit_code, bad.attempt], ['completed', 'failed', 1, 1])
    assert.match(JSON.stringify(bad.outputs_manifest), /Hash mismatch: expected /)
    assert.equal(ok(await sys.employee.get<Ticket>('/tickets/1')).status, 'failed')
    const again = ok(await sys.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: 1, finalize: 'manual' }))
    assert.equal(ok(await sys.employee.get<Ticket>('/tickets/1')).status, 'running')
    ok(await sys.employee.upload(again.id, 'a.txt', 'b'))
    ok(await sys.employee.post(`/runs/${again.id}/finalize`))
    assert.equal((await sys.waitFor(again.id)).verdict, 'passed')
    assert.equal(ok(await sys.employee.get<Ticket>('/tickets/1')).status, 'done')
  },
)

holds('a settled run takes no late upload, and names the way on', async (sys) => {
  await prove(sys, { 'a.txt': 'a' })
  const late = refused(await sys.employee.upload(1, 'b.txt', 'b'), 409, 'RUN_SETTLED')
  assert.match(late.detail, /verify/)
  refused(await sys.employee.post('/runs/1/finalize'), 409, 'RUN_SETTLED')
  refused(await sys.employee.post('/runs/1/cancel'), 409, 'RUN_NOT_CANCELLABLE')
  assert.equal(ok(await sys.employee.get<Artifact[]>('/artifacts/run/1')).length, 2)
})

holds('what was announced and is not there is never judged, and names of a Mac are names', async (sys) => {
  await begin(sys, { expect: [{ name: 'caf\u00e9.cfg' }, { name: 'b.cfg' }], finalize: 'manual' })
  const { artifact } = ok(await sys.employee.upload(1, 'cafe\u0301.cfg', 'hostname a'))
  assert.equal(artifact.filename, 'caf\u00e9.cfg')
  const refusal = refused(await sys.employee.post('/runs/1/finalize'), 409, 'EVIDENCE_MISSING')
  assert.equal(refusal.detail, 'Files that this run was promised are missing: b.cfg.')
  assert.equal(ok(await sys.employee.get<Run>('/runs/1')).waiting_for, 'evidence')
  ok(await sys.employee.upload(1, 'b.cfg', 'hostname b'))
  ok(await sys.employee.post('/runs/1/finalize'))
  assert.equal((await sys.waitFor(1)).verdict, 'passed')
})

holds('a run that expects files takes no others and is checked when the last is there', async (sys) => {
  const expect = [
    { name: 'before.json', role: 'before' },
    { name: 'after.json', role: 'after', sha256: sha256('{"vlan":2}') },
  ]
  await begin(sys, { expect, script_id: 'proof.config_diff' })
  refused(await sys.employee.upload(1, 'other.cfg', 'x'), 422, 'ARTIFACT_UNEXPECTED')
  const first = ok(await sys.employee.upload(1, 'before.json', '{"vlan":1}'))
  assert.equal(first.artifact.role, 'before')
  assert.equal(ok(await sys.employee.get<Run>('/runs/1')).waiting_for, 'evidence')
  ok(await sys.employee.upload(1, 'after.json', '{"vlan":2}'))
  assert.equal((await sys.waitFor(1)).verdict, 'passed')
  // It may be one file, before and after: the check waits for both.
  const name = 'sw.json'
  await begin(sys, {
    expect: [
      { name, role: 'before' },
      { name, role: 'after' },
    ],
    script_id: 'proof.config_diff',
  })
  const [was, is] = [ok(await sys.employee.upload(2, name, '{"vlan":1}', { role: 'before' })).artifact, '{"vlan":2}']
  const early = refused(await sys.employee.post('/runs/2/finalize'), 409, 'EVIDENCE_MISSING')
  assert.match(early.detail, /missing: sw\.json \(after\)\.$/)
  assert.deepEqual([was.role, ok(await sys.employee.get<Run>('/runs/2')).waiting_for], ['before', 'evidence'])
  assert.equal(ok(await sys.employee.upload(2, name, is)).artifact.role, 'after')
  assert.equal((await sys.waitFor(2)).verdict, 'passed')
  // Announced bytes are part of the promise.
  await begin(sys, { expect: [{ name: 'a.txt', sha256: sha256('right') }] })
  ok(await sys.employee.upload(3, 'a.txt', 'wrong'))
  assert.equal((await sys.waitFor(3)).verdict, 'failed')
  // Uploads have the names of files: one with a folder would be waited for in vain.
  for (const folder of ['configs/sw.cfg', 'C:\\configs\\sw.cfg']) {
    const announced = { run_type: 'proof', ticket_id: 1, script_id: 'proof.file_hash', expect: [{ name: folder }] }
    refused(await sys.employee.post('/runs', announced), 422, 'VALIDATION_FAILED')
  }
})

holds('a manual run waits until it is finalized', async (sys) => {
  await begin(sys, { finalize: 'manual' })
  ok(await sys.employee.upload(1, 'a.txt', 'a'))
  ok(await sys.employee.upload(1, 'b.txt', 'b'))
  const waiting = ok(await sys.employee.get<Run>('/runs/1/wait?timeout=0'))
  assert.deepEqual([waiting.state, waiting.waiting_for, waiting.attempt], ['pending', 'evidence', 0])
  ok(await sys.employee.post('/runs/1/finalize'))
  assert.equal((await sys.waitFor(1)).result_summary, 'Validation passed: 2 artifact(s) checked')
})

holds('old evidence is verified again in a linked run that compares, and never moves the ticket', async (sys) => {
  await prove(sys, { 'a.txt': 'a' })
  const again = ok(await sys.employee.post<Run>('/runs/1/verify'))
  assert.deepEqual(
    [again.verifies_run_id, again.verifies_run_number],
    [ok(await sys.employee.get<Run>('/runs/1')).id, 1],
  )
  const settled = await sys.waitFor(again.id)
  assert.deepEqual([settled.state, settled.verdict], ['completed', 'passed'])
  const { comparison } = settled.outputs_manifest as { comparison: { confirmed: boolean; verdict_changed: boolean } }
  assert.deepEqual([comparison.confirmed, comparison.verdict_changed], [true, false])
  assert.equal(ok(await sys.employee.get<Ticket>('/tickets/1')).status, 'done')
  // With one more file, and a worse verdict: the ticket stays where its own runs brought it.
  const more = ok(
    await sys.employee.post<Run>('/runs/1/verify', { expect: [{ name: 'b.txt', sha256: sha256('right') }] }),
  )
  ok(await sys.employee.upload(more.id, 'b.txt', 'wrong'))
  const worse = await sys.waitFor(more.id)
  assert.deepEqual([worse.verdict, worse.result_summary], ['failed', 'Validation failed: 2 artifact(s) checked'])
  assert.equal(
    (worse.outputs_manifest as { comparison: { verdict_changed: boolean } }).comparison.verdict_changed,
    true,
  )
  assert.equal(ok(await sys.employee.get<Ticket>('/tickets/1')).status, 'done')
  await begin(sys)
  const open = ok(await sys.employee.get<Run[]>('/runs?ticket_id=2'))[0]!
  const verifyOpen = () => sys.employee.post(`/runs/${open.id}/verify`)
  refused(await verifyOpen(), 409, 'RUN_NOT_SETTLED', 'A run that is pending cannot be verified again.')
  ok(await sys.employee.post(`/runs/${open.id}/cancel`))
  refused(await verifyOpen(), 409, 'RUN_NOT_SETTLED', 'A run that is cancelled cannot be verified again.')
})

holds('a waiting run is cancelled, and its ticket is not left running', async (sys) => {
  await begin(sys)
  const cancelled = ok(await sys.employee.post<Run>('/runs/1/cancel', { reason: 'wrong ticket' }))
  assert.deepEqual(
    [cancelled.state, cancelled.status, cancelled.result_summary],
    ['cancelled', 'cancelled', 'Run cancelled: wrong ticket'],
  )
  assert.notEqual(ok(await sys.employee.get<Ticket>('/tickets/1')).status, 'running')
  refused(await sys.employee.upload(1, 'a.txt', 'a'), 409, 'RUN_SETTLED')
})

verifies(
  ['T32'],
  'an action run is refused in the documented order, and then because there is no such kind',
  async (sys) => {
    const { admin, employee } = sys
    ok(await employee.post('/tickets', { title: 'x' }))
    const ask = { run_type: 'action', ticket_id: 1 }
    const needs = 'Ticket must be approved before running action runs'
    refused(await employee.post('/runs', ask), 400, 'ACTION_NEEDS_APPROVAL', needs)
    refused(await admin.post('/runs', ask), 400, 'ACTION_NEEDS_APPROVAL', needs)
    ok(await admin.post('/tickets/1/approve'))
    refused(await employee.post('/runs', ask), 403, 'ACTION_ADMIN_ONLY', 'Only admins can trigger action runs')
    refused(await admin.post('/runs', ask), 409, 'KIND_NOT_AVAILABLE')
    assert.deepEqual(ok(await admin.get<Run[]>('/runs')), [])
    assert.equal(ok(await admin.get<Ticket>('/tickets/1')).status, 'approved')
  },
)

verifies(['T30', 'T31'], 'employees see and start runs on their own tickets only', async (sys) => {
  const { employee, bob, admin } = sys
  await begin(sys)
  assert.deepEqual(ok(await bob.get<Run[]>('/runs')), [])
  assert.equal(ok(await employee.get<Run[]>('/runs')).length, 1)
  assert.equal(ok(await admin.get<Run[]>('/runs')).length, 1)
  refused(await bob.get('/runs/1'), 403, 'RUN_VIEW_DENIED', 'Not authorized to view this run')
  refused(await bob.get('/runs/1/wait?timeout=0'), 403, 'RUN_VIEW_DENIED')
  refused(await bob.get('/runs/1/state'), 403, 'RUN_VIEW_DENIED')
  refused(await employee.get('/runs/999'), 404, 'RUN_NOT_FOUND', 'Run not found')
  refused(await employee.post('/runs', { run_type: 'zzz', ticket_id: 1 }), 422, 'VALIDATION_FAILED')
  refused(
    await employee.post('/runs', { run_type: 'proof', ticket_id: 999 }),
    404,
    'TICKET_NOT_FOUND',
    'Ticket not found',
  )
  ok(await employee.post('/tickets', { title: 'y' }))
  refused(await bob.post('/runs', { run_type: 'proof', ticket_id: 2 }), 403, 'RUN_TICKET_DENIED')
  assert.equal(ok(await employee.get<Ticket>('/tickets/2')).status, 'submitted')
})

holds(
  'a run that nobody gives evidence expires, after a reminder',
  async (sys) => {
    await begin(sys)
    sys.advance(85 * 3_600_000)
    const reminded = async () =>
      ok(await sys.admin.get<{ event_type: string }[]>('/audit/events?event_type=run.reminded')).length === 1
    await until('the reminder is recorded', reminded)
    assert.equal(ok(await sys.employee.get<Run>('/runs/1')).state, 'pending')
    sys.advance(84 * 3_600_000)
    const run = await sys.waitFor(1)
    assert.deepEqual(
      [run.state, run.status, run.error_code, run.result_summary],
      ['timeout', 'timeout', 'EVIDENCE_EXPIRED', 'Run execution timed out'],
    )
    assert.equal(ok(await sys.employee.get<Ticket>('/tickets/1')).status, 'failed')
  },
  { fakeClock: true },
)

holds(
  'evidence that came in time is judged, however long nobody was there to do it',
  async (sys) => {
    const { run } = await begin(sys)
    ok(await sys.employee.upload(run.id, 'vlans.json', '{}'))
    // A server that was away for a week finds that both are due.
    sys.advance(169 * 3_600_000)
    const { state, verdict } = await sys.waitFor(run.id)
    assert.deepEqual([state, verdict], ['completed', 'passed'])
  },
  { fakeClock: true, env: { WRIT_PROOF_SETTLE_SECONDS: '5' } },
)

holds(
  'evidence that is taken back before the check takes the check with it',
  async (sys) => {
    const { admin, employee } = sys
    const takeBack = (id: string) => employee.delete(`/artifacts/${id}`)
    const erase = (id: string) => admin.post(`/artifacts/${id}/erase`, { ground: 'the wrong customer' })
    for (const [i, remove] of [takeBack, erase].entries()) {
      const { run } = await begin(sys)
      const { run: other } = await begin(sys)
      const wrong = ok(await employee.upload(run.id, 'wrong.json', `[${i}]`))
      ok(await employee.upload(other.id, 'vlans.json', '{}'))
      assert.ok((await remove(wrong.artifact.id)).status < 300)
      sys.advance(6_000)
      await sys.waitFor(other.id)
      const waits = ok(await employee.get<Run>(`/runs/${run.id}`))
      assert.deepEqual([waits.state, waits.waiting_for], ['pending', 'evidence'])
      ok(await employee.upload(run.id, 'right.json', '{"vlans": [10]}'))
      sys.advance(6_000)
      const { state, verdict } = await sys.waitFor(run.id)
      assert.deepEqual([state, verdict], ['completed', 'passed'])
      const files = ok(await employee.get<Artifact[]>(`/artifacts/run/${run.id}`))
      assert.deepEqual(files.map(({ filename }) => filename).slice(0, 1), ['right.json'])

      // The same of a run that checks it again, and waits with more: what it has from the first is that run's.
      const again = ok(await employee.post<Run>(`/runs/${run.id}/verify`, { finalize: 'auto' }))
      const more = ok(await employee.upload(again.id, 'more.json', '{}'))
      assert.ok((await takeBack(more.artifact.id)).status < 300)
      assert.equal(files[0]!.filename, 'right.json')
      const withdraw = remove === erase ? erase : (id: string) => admin.delete(`/artifacts/${id}`)
      assert.ok((await withdraw(files[0]!.id)).status < 300)
      const whole = ok(await employee.post<Run>(`/runs/${other.id}/verify`, { finalize: 'auto' }))
      ok(await employee.upload(whole.id, 'more.json', '{}'))
      sys.advance(6_000)
      await sys.waitFor(whole.id)
      const waiting = ok(await employee.get<Run>(`/runs/${again.id}`))
      assert.deepEqual([waiting.state, waiting.waiting_for], ['pending', 'evidence'])
    }
  },
  { fakeClock: true, env: { WRIT_PROOF_SETTLE_SECONDS: '5' } },
)
