import { fromUtf8, toUtf8 } from './bytes.ts'
import { canonicalize, type Json } from './canonical.ts'

// in-toto Statements v1 (in-toto/attestation). Their bytes are RFC 8785 JSON, so one statement has one digest. They hold
// opaque ids, digests and times, and no names: nothing in them has to be erased. docs/attestations.md describes them.

export const PREDICATE_TEST_RESULT = 'https://in-toto.io/attestation/test-result/v0.1'
export const PREDICATE_PROVENANCE = 'https://slsa.dev/provenance/v1'
/** Our own, versioned: what they mean never changes; another meaning is another version. */
export const PREDICATE_APPROVAL = 'urn:writ:attestation:approval:v1'
export const PREDICATE_SIGNING_KEY = 'urn:writ:attestation:signing-key:v1'
export const BUILD_TYPE_RUN = 'urn:writ:build-type:run:v1'

/** SSH signatures of persons are made in these namespaces, so that none can be passed off as the other. */
export const APPROVAL_NAMESPACE = 'writ-approval'
export const SIGNING_KEY_NAMESPACE = 'writ-signing-key'

export type Subject = { name: string; digest: { sha256: string } }
export type Statement = {
  _type: 'https://in-toto.io/Statement/v1'
  subject: Subject[]
  predicateType: string
  predicate: { [key: string]: Json }
}

/** A resource as SLSA and in-toto describe one. */
export type Resource = {
  name?: string
  uri?: string
  digest?: { sha256: string }
  annotations?: { [key: string]: Json }
}

/** The bytes of a statement: RFC 8785 in UTF-8. They are the payload of the envelope and what a person signs. */
export const statementBytes = (statement: Statement): Uint8Array => toUtf8(canonicalize(statement))

/** The statement in a payload. Throws unless it is an in-toto Statement v1 with at least one subject by SHA-256. */
export function parseStatement(payload: Uint8Array): Statement {
  const value: unknown = JSON.parse(fromUtf8(payload))
  if (typeof value !== 'object' || value === null) throw new Error('a statement is a JSON object')
  const { _type, subject, predicateType, predicate } = value as Record<string, unknown>
  const subjects = Array.isArray(subject) ? (subject as unknown[]) : []
  const named = subjects.every((one) => {
    const { name, digest } = Object(one) as { name?: unknown; digest?: { sha256?: unknown } }
    return typeof name === 'string' && /^[0-9a-f]{64}$/.test(String(digest?.sha256))
  })
  if (_type !== 'https://in-toto.io/Statement/v1' || typeof predicateType !== 'string')
    throw new Error('not an in-toto Statement v1')
  if (subjects.length === 0 || !named || typeof predicate !== 'object' || predicate === null)
    throw new Error('a statement has subjects with a name and a SHA-256, and a predicate')
  // Every part that the type names was looked at.
  return value as Statement
}

/** What may be decided about: a version of a ticket, a change of the policy, a key that somebody enrols. */
export type ApprovalSubject = { type: 'ticket' | 'policy' | 'signing_key'; id: string; version: number; sha256: string }

export type ApprovalClaim = {
  /** The approval's id, 128 bits: one id is one approval, used at most once. */
  id: string
  project: string
  subject: ApprovalSubject
  decision: 'approved' | 'rejected'
  /** Id of the person. */
  approver: string
  issuedAt: string
  /** Until when the approval may be used; null: as long as the version stands. */
  expiresAt: string | null
  /** Until when a signature of the person over this statement is taken; null: it is not meant to be signed. */
  signBefore: string | null
}

/** Somebody's decision about exactly one version of something. Rebuilding it from the same claim gives the same bytes. */
export const approvalStatement = (claim: ApprovalClaim): Statement => ({
  _type: 'https://in-toto.io/Statement/v1',
  subject: [{ name: `${claim.subject.type}:${claim.subject.id}`, digest: { sha256: claim.subject.sha256 } }],
  predicateType: PREDICATE_APPROVAL,
  predicate: {
    approvalId: claim.id,
    approver: claim.approver,
    decision: claim.decision,
    expiresAt: claim.expiresAt,
    issuedAt: claim.issuedAt,
    project: claim.project,
    signBefore: claim.signBefore,
    version: claim.subject.version,
  },
})

/** The claim of an approval statement. Throws unless the bytes are exactly what `approvalStatement` gives for it. */
export function parseApproval(payload: Uint8Array): ApprovalClaim {
  const { subject, predicate: p } = parseStatement(payload)
  const [type, id = ''] = subject[0]!.name.split(':')
  const claim: ApprovalClaim = {
    id: text(p.approvalId),
    project: text(p.project),
    subject: {
      type: oneOf(type, ['ticket', 'policy', 'signing_key']),
      id,
      version: Number(p.version),
      sha256: subject[0]!.digest.sha256,
    },
    decision: oneOf(p.decision, ['approved', 'rejected']),
    approver: text(p.approver),
    issuedAt: text(p.issuedAt),
    expiresAt: p.expiresAt === null ? null : text(p.expiresAt),
    signBefore: p.signBefore === null ? null : text(p.signBefore),
  }
  return exactly(payload, approvalStatement(claim), claim)
}

export type SigningKeyClaim = {
  id: string
  project: string
  owner: string
  type: 'passkey' | 'ssh'
  /** SHA-256 of the SubjectPublicKeyInfo, hex. */
  sha256: string
  /** Of a passkey: the domain that it was made for. */
  rpId: string | null
  issuedAt: string
  signBefore: string
}

/** "This key is mine", which its owner signs with the key itself. */
export const signingKeyStatement = (claim: SigningKeyClaim): Statement => ({
  _type: 'https://in-toto.io/Statement/v1',
  subject: [{ name: `signing_key:${claim.id}`, digest: { sha256: claim.sha256 } }],
  predicateType: PREDICATE_SIGNING_KEY,
  predicate: {
    issuedAt: claim.issuedAt,
    owner: claim.owner,
    project: claim.project,
    rpId: claim.rpId,
    signBefore: claim.signBefore,
    type: claim.type,
  },
})

/** The claim of a signing key's statement. Throws unless the bytes are exactly what `signingKeyStatement` gives for it. */
export function parseSigningKey(payload: Uint8Array): SigningKeyClaim {
  const { subject, predicate: p } = parseStatement(payload)
  const claim: SigningKeyClaim = {
    id: subject[0]!.name.replace('signing_key:', ''),
    project: text(p.project),
    owner: text(p.owner),
    type: oneOf(p.type, ['passkey', 'ssh']),
    sha256: subject[0]!.digest.sha256,
    rpId: p.rpId === null ? null : text(p.rpId),
    issuedAt: text(p.issuedAt),
    signBefore: text(p.signBefore),
  }
  return exactly(payload, signingKeyStatement(claim), claim)
}

export type TestResultClaim = {
  run: { id: string; ticket: string; project: string; state: string; verdict: string | null; errorCode: string | null }
  startedAt: string | null
  finishedAt: string
  /** The files that were judged; with none the run itself is the subject, by the digest of what was asked. */
  evidence: readonly { id: string; sha256: string }[]
  inputSha256: string
  /** What they were judged by: name, version, digest of the whole rules. */
  rules: { name: string; version: string | null; sha256: string }
  /** Of the outputs manifest, which holds every finding, and of the report. */
  outputSha256: string | null
  reportSha256: string | null
}

/**
 * The outcome of a proof run, test-result v0.1. PASSED only for a check that ran and found nothing against the evidence;
 * `run` beside it says whether it ran at all, since a check that did not is no better than one that failed.
 */
export function testResultStatement(claim: TestResultClaim): Statement {
  const { run, evidence, rules, outputSha256, reportSha256 } = claim
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject:
      evidence.length > 0
        ? evidence.map(({ id, sha256 }) => ({ name: `artifact:${id}`, digest: { sha256 } }))
        : [{ name: `run:${run.id}`, digest: { sha256: claim.inputSha256 } }],
    predicateType: PREDICATE_TEST_RESULT,
    predicate: {
      result: run.state === 'completed' && run.verdict === 'passed' ? 'PASSED' : 'FAILED',
      configuration: [
        {
          name: rules.name,
          digest: { sha256: rules.sha256 },
          ...(rules.version === null ? {} : { annotations: { version: rules.version } }),
        },
      ],
      run: { ...run, startedAt: claim.startedAt, finishedAt: claim.finishedAt, inputSha256: claim.inputSha256 },
      outputs: { sha256: outputSha256 },
      report: { sha256: reportSha256 },
    },
  }
}

export type ProvenanceClaim = {
  /** What came out of the run. */
  products: readonly Subject[]
  /** Who runs it: the origin of the instance's log. */
  builder: string
  run: { id: string; ticket: string | null; project: string }
  /** All that somebody outside chose: plan, parameters, policy. */
  parameters: { [key: string]: Json }
  /** What went in. */
  inputs: readonly Resource[]
  byproducts: readonly Resource[]
  startedAt: string
  finishedAt: string
}

/** Where the products of a run that executes something came from: SLSA provenance v1. Throws without products. */
export function provenanceStatement(claim: ProvenanceClaim): Statement {
  if (claim.products.length === 0) throw new Error('provenance is of at least one product')
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [...claim.products],
    predicateType: PREDICATE_PROVENANCE,
    predicate: {
      buildDefinition: {
        buildType: BUILD_TYPE_RUN,
        externalParameters: claim.parameters,
        internalParameters: { project: claim.run.project, ticket: claim.run.ticket },
        resolvedDependencies: [...claim.inputs],
      },
      runDetails: {
        builder: { id: `urn:writ:builder:${claim.builder}` },
        metadata: {
          invocationId: `urn:uuid:${claim.run.id}`,
          startedOn: claim.startedAt,
          finishedOn: claim.finishedAt,
        },
        byproducts: [...claim.byproducts],
      },
    },
  }
}

function exactly<T>(payload: Uint8Array, rebuilt: Statement, claim: T): T {
  if (fromUtf8(payload) !== canonicalize(rebuilt))
    throw new Error('the statement holds something else beside its claim')
  return claim
}

function text(value: unknown): string {
  if (typeof value !== 'string' || value === '') throw new Error('a field of the statement is no text')
  return value
}

function oneOf<const T extends string>(value: unknown, words: readonly T[]): T {
  const found = words.find((word) => word === value)
  if (found === undefined) throw new Error(`a field of the statement is none of ${words.join(', ')}`)
  return found
}
