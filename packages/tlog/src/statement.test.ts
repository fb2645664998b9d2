import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type ApprovalClaim,
  approvalStatement,
  fromUtf8,
  parseApproval,
  parseStatement,
  provenanceStatement,
  statementBytes,
  testResultStatement,
  toUtf8,
} from './index.ts'

const DIGEST = 'ab'.repeat(32)
const claim: ApprovalClaim = {
  id: '01a214fe-3541-7583-8b2e-fd9cb728bdcf',
  project: 'p',
  subject: { type: 'ticket', id: 't', version: 3, sha256: DIGEST },
  decision: 'approved',
  approver: 'u',
  issuedAt: '2026-11-22T16:00:00.000Z',
  expiresAt: null,
  signBefore: '2026-11-22T16:10:00.000Z',
}

// These bytes are signed by people and named in logs: whatever changes them is another version of the predicate.
test('the bytes of an approval are these', () => {
  assert.equal(
    fromUtf8(statementBytes(approvalStatement(claim))),
    `{"_type":"https://in-toto.io/Statement/v1","predicate":{"approvalId":"01a214fe-3541-7583-8b2e-fd9cb728bdcf","approver":"u","decision":"approved","expiresAt":null,"issuedAt":"2026-11-22T16:00:00.000Z","project":"p","signBefore":"2026-11-22T16:10:00.000Z","version":3},"predicateType":"urn:writ:attestation:approval:v1","subject":[{"digest":{"sha256":"${DIGEST}"},"name":"ticket:t"}]}`,
  )
  assert.deepEqual(parseApproval(statementBytes(approvalStatement(claim))), claim)
})

test('an approval with anything beside its claim is refused', () => {
  const text = fromUtf8(statementBytes(approvalStatement(claim)))
  for (const other of [
    text.replace('"version":3', '"version":3,"x":1'),
    text.replace('"version":3', '"version":"3"'),
    text.replace('approval:v1', 'approval:v2'),
    text.replace('"approved"', '"maybe"'),
    text.replace('{', '{ '),
    text.replace(DIGEST, 'x'),
    '{}',
    'null',
  ])
    assert.throws(() => parseApproval(toUtf8(other)), other)
})

test('a proof run passes only with a verdict that it passed', () => {
  const of = (state: string, verdict: string | null, evidence = [{ id: 'a', sha256: DIGEST }]) =>
    testResultStatement({
      run: { id: 'r', ticket: 't', project: 'p', state, verdict, errorCode: null },
      startedAt: null,
      finishedAt: claim.issuedAt,
      evidence,
      inputSha256: DIGEST,
      rules: { name: 'proof:x', version: '1', sha256: DIGEST },
      outputSha256: null,
      reportSha256: null,
    })
  assert.equal(of('completed', 'passed').predicate.result, 'PASSED')
  assert.equal(of('completed', 'failed').predicate.result, 'FAILED')
  assert.equal(of('timeout', null).predicate.result, 'FAILED')
  assert.equal(of('completed', 'passed').subject[0]!.name, 'artifact:a')
  // A statement is about something: without evidence about the run, by what was asked of it.
  assert.equal(of('failed', null, []).subject[0]!.name, 'run:r')
  assert.doesNotThrow(() => parseStatement(statementBytes(of('failed', null, []))))
})

test('provenance has the parts that SLSA v1 asks for', () => {
  const statement = provenanceStatement({
    products: [{ name: 'artifact:a', digest: { sha256: DIGEST } }],
    builder: 'writ.log/1',
    run: { id: 'r', ticket: 't', project: 'p' },
    parameters: { plan: 'x' },
    inputs: [{ name: 'script', digest: { sha256: DIGEST } }],
    byproducts: [],
    startedAt: claim.issuedAt,
    finishedAt: claim.issuedAt,
  })
  assert.equal(statement.predicateType, 'https://slsa.dev/provenance/v1')
  assert.deepEqual(statement.predicate, {
    buildDefinition: {
      buildType: 'urn:writ:build-type:run:v1',
      externalParameters: { plan: 'x' },
      internalParameters: { project: 'p', ticket: 't' },
      resolvedDependencies: [{ name: 'script', digest: { sha256: DIGEST } }],
    },
    runDetails: {
      builder: { id: 'urn:writ:builder:writ.log/1' },
      metadata: { invocationId: 'urn:uuid:r', startedOn: claim.issuedAt, finishedOn: claim.issuedAt },
      byproducts: [],
    },
  })
  assert.throws(() => provenanceStatement({ ...Object(statement), products: [] }), /at least one product/)
})
