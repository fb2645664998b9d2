import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytesEvidence } from './bytes-evidence.ts'
import { type EvidenceArtifact, type Judgement, judge, type Question, ValidatorCrashed } from './judge.ts'
import { examineRuleSet, type RuleSet } from './rule-set.ts'
import { findScript, scriptRuleSet } from './scripts.ts'
import type { EvidenceRole } from './validator.ts'

const now = Date.UTC(2025, 2, 1, 12, 30, 0)

function artifact(
  number: number,
  name: string,
  content: string,
  more: Partial<EvidenceArtifact> & { role?: EvidenceRole } = {},
): EvidenceArtifact {
  return { ...bytesEvidence(name, Buffer.from(content)), id: `artifact-${number}`, number, ...more }
}

function ask(scriptId: string | null, evidence: EvidenceArtifact[], more: Partial<Question> = {}): Promise<Judgement> {
  const script = scriptId === null ? null : (findScript(scriptId) ?? assert.fail(scriptId))
  const context = more.context ?? null
  const examined = script ? scriptRuleSet(script, context) : undefined
  if (examined && !examined.ok) assert.fail(JSON.stringify(examined.problems))
  const ruleSet: RuleSet = examined?.ruleSet ?? { name: 'default', version: '1.0.0', rules: [] }
  return judge({ runId: 'run-uuid', runNumber: 7, ticketNumber: 3, script, ruleSet, evidence, context, now, ...more })
}

function completed(judgement: Judgement) {
  if (judgement.state !== 'completed') assert.fail(judgement.resultSummary)
  return judgement
}

test('sound files pass with the documented strings and manifests', async () => {
  const judgement = completed(await ask('proof.file_hash', [artifact(1, 'a.txt', 'abc'), artifact(2, 'b.txt', '')]))
  assert.equal(judgement.verdict, 'passed')
  assert.equal(judgement.exitCode, 0)
  assert.equal(judgement.resultSummary, 'Validation passed: 2 artifact(s) checked')
  assert.equal(judgement.stdoutLog, 'Validated 2 artifacts\n- a.txt: passed\n- b.txt: passed')
  assert.equal(judgement.stderrLog, null)
  assert.deepEqual(judgement.inputsManifest.artifacts[0], {
    id: 1,
    artifact_uuid: 'artifact-1',
    filename: 'a.txt',
    sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    size_bytes: 3,
  })
  const { validation_report: report } = judgement.outputsManifest
  assert.equal(report.timestamp, '2025-03-01T12:30:00.000Z')
  assert.equal(report.run_id, 7)
  assert.equal(report.run_uuid, 'run-uuid')
  assert.equal(report.ticket_id, 3)
  assert.equal(report.validator, 'File Hash Validator')
  assert.equal(report.validator_version, '1.0.0')
  assert.equal(report.total_artifacts, 2)
  assert.equal(report.overall_result, 'passed')
  const [first] = report.validation_results
  assert.equal(first?.artifact_id, 1)
  assert.equal(first?.validation, 'passed')
  assert.equal(first?.hash_verified, true)
  assert.equal('error' in (first ?? {}), false)
  assert.deepEqual(first?.findings[0]?.report, {
    computed_hash: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    expected_hash: null,
    file_size: 3,
  })
})

test('no evidence ends without a verdict and without manifests', async () => {
  assert.deepEqual(await ask('proof.file_hash', []), {
    state: 'failed',
    verdict: null,
    exitCode: null,
    resultSummary: 'No artifacts found to validate',
    stdoutLog: null,
    stderrLog: 'Proof run requires at least one artifact',
    inputsManifest: null,
    outputsManifest: null,
    report: null,
  })
})

test('broken JSON fails with the parser message', async () => {
  const judgement = completed(
    await ask('proof.config_format', [artifact(1, 'c.json', '{bad json'), artifact(2, 'd.json', '{}')]),
  )
  assert.equal(judgement.verdict, 'failed')
  assert.equal(judgement.exitCode, 1)
  assert.equal(judgement.resultSummary, 'Validation failed: 2 artifact(s) checked')
  assert.equal(judgement.stdoutLog, 'Validated 2 artifacts\n- c.json: failed\n- d.json: passed')
  assert.match(judgement.report.validation_results[0]?.error ?? '', /^Invalid JSON: Expecting property name/)
  assert.equal(judgement.report.validation_results[0]?.hash_verified, true)
})

test('bytes that differ from the recorded hash fail under every rule set, and no validator looks at them', async () => {
  const altered = { ...artifact(1, 'a.json', '{}'), sha256: 'f'.repeat(64) }
  for (const script of [null, 'proof.config_format']) {
    const [result] = completed(await ask(script, [altered])).report.validation_results
    assert.equal(result?.validation, 'failed')
    assert.equal(result?.hash_verified, false)
    assert.deepEqual(result?.findings, [])
    assert.equal(
      result?.error,
      `Hash mismatch: expected ${'f'.repeat(64)}, got 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a`,
    )
  }
})

test('a size other than the recorded one fails', async () => {
  const judgement = completed(await ask(null, [artifact(1, 'a', 'abc', { size: 4 })]))
  assert.equal(judgement.report.validation_results[0]?.error, 'Size mismatch: expected 4, got 3')
})

test('a run without a script names the validator default', async () => {
  assert.equal(completed(await ask(null, [artifact(1, 'a', 'abc')])).report.validator, 'default')
})

test('an announced hash holds under every rule set', async () => {
  const judgement = completed(await ask('proof.size', [artifact(1, 'a', 'abc', { expectedSha256: '0'.repeat(64) })]))
  assert.equal(judgement.verdict, 'failed')
  assert.match(judgement.report.validation_results[0]?.error ?? '', /^Hash mismatch: expected 0{64}, got ba7816bf/)
})

test('expected hashes of the execution context are compared, and an expected file that is missing fails', async () => {
  const expected_hashes = { a: 'BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD' }
  assert.equal(
    completed(await ask('proof.file_hash', [artifact(1, 'a', 'abc')], { context: { expected_hashes } })).verdict,
    'passed',
  )
  const missing = completed(await ask('proof.file_hash', [artifact(1, 'b', 'abc')], { context: { expected_hashes } }))
  assert.deepEqual(missing.report.errors, ['Expected file is missing: a'])
  assert.equal(missing.verdict, 'failed')
  const wrong = completed(
    await ask('proof.file_hash', [artifact(1, 'a', 'abd')], { context: { expected_hash: expected_hashes.a } }),
  )
  assert.equal(wrong.report.validation_results[0]?.validation, 'failed')
})

test('a file that cannot be read is an error in the report, without the path that storage names', async () => {
  const failure = Object.assign(new Error('ENOENT: /secret/path'), { code: 'ENOENT' })
  const unreadable = artifact(1, 'a', 'abc', {
    stream: () => ({
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(failure) }),
    }),
  })
  const lateFailure = artifact(2, 'b.json', '{}', { bytes: () => Promise.reject(failure) })
  const judgement = completed(await ask('proof.config_format', [unreadable, lateFailure]))
  assert.equal(judgement.stdoutLog, 'Validated 2 artifacts\n- a: error\n- b.json: error')
  assert.equal(judgement.exitCode, 1)
  assert.deepEqual(
    judgement.report.validation_results.map(({ error }) => error),
    ['File could not be read (ENOENT)', 'File could not be read (ENOENT)'],
  )
})

test('a validator that throws is a crash, not a verdict', async () => {
  // Bytes that are no bytes: nothing a store may return, so whatever a validator does with it is a bug.
  const crooked = artifact(1, 'a.json', '{}', { bytes: () => Promise.resolve(null as unknown as Uint8Array) })
  await assert.rejects(ask('proof.config_format', [crooked]), (error: unknown) => {
    return (
      error instanceof ValidatorCrashed && error.validator === 'config_format@4' && error.cause instanceof TypeError
    )
  })
})

test('an abort ends the judging with its reason', async () => {
  const reason = new Error('timeout')
  await assert.rejects(ask('proof.size', [artifact(1, 'a', 'abc')], { signal: AbortSignal.abort(reason) }), reason)
})

test('a set finding fails the files that it looked at', async () => {
  const files = [
    artifact(1, 'before.json', '{"a":1}', { role: 'before' }),
    artifact(2, 'after.json', '{"a":2}', { role: 'after' }),
  ]
  const context = { params: { forbidden: [{ path: '/a' }] } }
  const judgement = completed(await ask('proof.config_diff', files, { context }))
  assert.equal(judgement.verdict, 'failed')
  assert.deepEqual(judgement.report.set_results[0]?.errors, ['Forbidden change: changed /a (/a)'])
  assert.equal(judgement.report.validation_results[1]?.error, 'Forbidden change: changed /a (/a)')
})

test('a rule whose glob matches no file fails unless it is optional', async () => {
  const rule = { validator: 'size@1', files: '*.cfg' }
  const required = { name: 'x', version: '1.0.0', rules: [rule] }
  const optional = { name: 'x', version: '1.0.0', rules: [{ ...rule, optional: true }] }
  assert.ok(examineRuleSet(required).ok && examineRuleSet(optional).ok)
  const evidence = [artifact(1, 'a.json', '{}')]
  assert.deepEqual(completed(await ask(null, evidence, { ruleSet: required })).report.errors, [
    'No file matches *.cfg (size@1)',
  ])
  assert.equal(completed(await ask(null, evidence, { ruleSet: optional })).verdict, 'passed')
  assert.equal(completed(await ask(null, [artifact(1, 'SW.CFG', 'x')], { ruleSet: required })).verdict, 'passed')
})

test('the report names rule set, digest and libraries', async () => {
  const { report } = completed(await ask('proof.config_format', [artifact(1, 'a.json', '{}')]))
  assert.equal(report.rule_set.name, 'proof.config_format')
  assert.equal(report.rule_set.version, '1.0.0')
  assert.match(report.rule_set.digest, /^[0-9a-f]{64}$/)
  assert.deepEqual(Object.keys(report.libraries), ['csv-parse', 'fast-xml-parser', 'smol-toml', 'yaml'])
})

test('a line break in a file name writes no line of its own into the log', async () => {
  const judgement = completed(await ask(null, [artifact(1, 'a\n- b: passed', 'x')]))
  assert.equal(judgement.stdoutLog, 'Validated 1 artifacts\n- a?- b: passed: passed')
})

test('the same question has the same answer', async () => {
  const evidence = [artifact(1, 'a.yaml', 'a: 1\n'), artifact(2, 'b.ini', '[x]\n')]
  assert.deepEqual(await ask('proof.config_format', evidence), await ask('proof.config_format', evidence))
})
