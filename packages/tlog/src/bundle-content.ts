import {
  type BundleCheck,
  type BundleDescription,
  type BundledEntry,
  BundleError,
  type BundleFiles,
  type BundlePrimitives,
  type BundleProgress,
  type BundleReport,
  counted,
  isThere,
  readFileOf,
  readTextOf,
  within,
} from './bundle.ts'
import { equalBytes, fromUtf8, toHex, toUtf8 } from './bytes.ts'
import { canonicalize, type Json } from './canonical.ts'
import { parseEnvelope, STATEMENT_TYPE, verifyEnvelope } from './dsse.ts'
import { toBase64Url, verifyPasskey } from './passkey.ts'
import { algorithmOf, parsePem } from './public-key.ts'
import { createRunSequences } from './run-sequence.ts'
import { parseSshKey, parseSshSignature, sshFingerprint, verifySshSignature } from './sshsig.ts'
import {
  APPROVAL_NAMESPACE,
  type ApprovalClaim,
  PREDICATE_APPROVAL,
  PREDICATE_SIGNING_KEY,
  PREDICATE_TEST_RESULT,
  parseApproval,
  parseSigningKey,
  parseStatement,
  SIGNING_KEY_NAMESPACE,
  type SigningKeyClaim,
  type Statement,
} from './statement.ts'
import { isOfTask, parseTaskJournal, type TaskJournal } from './task-record.ts'

// What the entries of a bundle speak of: attestations, approvals with people's signatures, files.

/** An attestation whose signature and place in the log were verified. */
export type BundledAttestation = {
  digest: string
  payload: Uint8Array
  statement: Statement
  entry: BundledEntry
}

/** Each envelope is signed by a key of the bundle, named by an entry, and none that an entry names is missing. */
export async function checkAttestations(
  files: BundleFiles,
  entries: readonly BundledEntry[],
  on: BundlePrimitives,
  onProgress: BundleProgress,
): Promise<{ attestations: BundledAttestation[]; checks: BundleCheck[]; rests: string[] }> {
  const keys = await attestationKeys(files, on)
  const attestations: BundledAttestation[] = []
  const used = new Set<number>()
  const named = new Map<string, BundledEntry>()
  for (const one of entries) for (const name of one.entry.att ?? []) if (!named.has(name)) named.set(name, one)
  const paths = files.names.filter((name) => name.startsWith('attestations/'))
  for (const path of paths) {
    const digest = /^attestations\/([0-9a-f]{64})\.dsse\.json$/.exec(path)?.[1]
    if (digest === undefined) throw new BundleError('ATTESTATION_INVALID', path, 'attestation_name')
    const envelope = await within('ATTESTATION_INVALID', path, async () =>
      parseEnvelope(fromUtf8(await files.read(path))),
    )
    const key = await verifyEnvelope(envelope, keys, on.verify)
    if (key < 0) throw new BundleError('ATTESTATION_INVALID', path, 'attestation_unsigned')
    used.add(key)
    if (envelope.payloadType !== STATEMENT_TYPE || toHex(on.sha256(envelope.payload)) !== digest)
      throw new BundleError('ATTESTATION_INVALID', path, 'attestation_other')
    const entry = named.get(`sha256:${digest}`)
    if (!entry) throw new BundleError('ATTESTATION_UNLOGGED', path, 'attestation_unnamed')
    const statement = await within('ATTESTATION_INVALID', path, () => parseStatement(envelope.payload))
    attestations.push({ digest, payload: envelope.payload, statement, entry })
    onProgress({ step: 'attestations', done: attestations.length, total: paths.length })
  }
  const found = new Set(attestations.map(({ digest }) => `sha256:${digest}`))
  for (const [name, { path }] of named)
    if (!found.has(name)) throw new BundleError('ATTESTATION_MISSING', path, 'attestation_absent', { name })
  const results = attestations.flatMap(({ statement }) =>
    statement.predicateType === PREDICATE_TEST_RESULT ? [String(statement.predicate.result)] : [],
  )
  if (attestations.length === 0)
    return {
      attestations,
      checks: [{ state: 'note', what: 'no attestation is in this bundle', code: 'no_attestations' }],
      rests: [],
    }
  return {
    attestations,
    checks: [
      {
        state: 'verified',
        what: `${counted(attestations.length, 'attestation')}: signed, and named by the log`,
        code: 'attestations',
        values: { count: attestations.length },
        parts: results.map((result) => ({
          state: 'verified',
          what: `proof run: ${result}`,
          code: 'judged',
          values: { result },
        })),
      },
    ],
    rests: [...used].map((i) => toHex(on.sha256(keys[i]!))),
  }
}

/** Each under the name that its digest gives it. */
async function attestationKeys(files: BundleFiles, on: BundlePrimitives): Promise<Uint8Array[]> {
  const keys: Uint8Array[] = []
  for (const name of files.names.filter((one) => /^keys\/attestation-[0-9a-f]+\.pem$/.test(one))) {
    const spki = await within('ATTESTATION_INVALID', name, async () => parsePem(fromUtf8(await files.read(name))))
    if (name !== keyName(toHex(on.sha256(spki)))) throw new BundleError('ATTESTATION_INVALID', name, 'key_name')
    keys.push(spki)
  }
  return keys
}

const keyName = (digest: string) => `keys/attestation-${digest}.pem`

/** Keys of attestations with which nothing here was signed: an instance has several once it rotated one. */
export const noteIdleKeys = (files: BundleFiles, used: readonly string[]): BundleCheck[] =>
  files.names
    .filter((path) => /^keys\/attestation-[0-9a-f]+\.pem$/.test(path) && !used.map(keyName).includes(path))
    .map((path) => ({
      state: 'note',
      what: `${path}: nothing here was signed with it`,
      code: 'attestation_key_idle',
      values: { path },
    }))

type Key = { id: string; user_id: string; type: 'passkey' | 'ssh'; rp_id: string | null; spki: Uint8Array }

/**
 * Approvals: what each is of, whether a person's own key signed it, who enrolled that key, and that none was used twice. `rests` are
 * keys of people of which nothing here says whose they are.
 */
export async function checkApprovals(
  files: BundleFiles,
  entries: readonly BundledEntry[],
  attestations: readonly BundledAttestation[],
  on: BundlePrimitives,
): Promise<{ checks: BundleCheck[]; rests: BundleReport['rests'] }> {
  const claims = new Map<string, { claim: ApprovalClaim; of: BundledAttestation }>()
  for (const of of attestations) {
    if (of.statement.predicateType !== PREDICATE_APPROVAL) continue
    const claim = await within('APPROVAL_INVALID', of.entry.path, () => parseApproval(of.payload))
    if (claims.has(claim.id))
      throw new BundleError('APPROVAL_USED_TWICE', of.entry.path, 'approval_again', { id: claim.id })
    mustBeOf(claim, of.entry)
    claims.set(claim.id, { claim, of })
  }
  refuseBadUse(entries, claims)
  const folders = new Set(files.names.flatMap((name) => /^approvals\/([^/]+)\//.exec(name)?.[1] ?? []))
  const bound = new Set<string>()
  const parts: BundleCheck[] = []
  const rests: BundleReport['rests'] = []
  for (const { claim, of } of claims.values()) {
    const about = `${claim.decision} ${claim.subject.type.replace('_', ' ')} version ${claim.subject.version} by ${claim.approver}`
    const { decision, approver } = claim
    const values = { decision, subject: claim.subject.type, version: claim.subject.version, approver }
    const rules = checkRules(entries, claims, claim, of.entry, on)
    const signed = detailsOf(of.entry).signature as { key_id?: string; sha256?: string } | undefined
    if (!folders.delete(claim.id)) {
      if (signed || claim.signBefore !== null)
        throw new BundleError('APPROVAL_INVALID', of.entry.path, 'signature_absent')
      const isByToken = of.entry.entry.actor.kind === 'token'
      parts.push({
        state: 'verified',
        what: `${about}${isByToken ? ', with an API token' : ''}: attested by the server alone`,
        code: isByToken ? 'approved_by_token' : 'approved_by_server',
        values,
        parts: rules,
      })
      continue
    }
    const key = await checkSignature(files, `approvals/${claim.id}`, of.payload, APPROVAL_NAMESPACE, signed?.sha256, on)
    if (key.user_id !== claim.approver || (signed !== undefined && signed.key_id !== key.id))
      throw new BundleError('APPROVAL_INVALID', `approvals/${claim.id}/approval.json`, 'signature_other_key')
    bound.add(`approvals/${claim.id}/approval.json`)
    for (const name of filesOfKey(key, `approvals/${claim.id}`)) bound.add(name)
    const enrolment = await checkEnrolment(files, entries, attestations, key, of.entry, claims, on)
    const how = key.type === 'ssh' ? 'SSH key' : `passkey of ${key.rp_id}`
    if (enrolment === null) {
      // Whoever dropped the log could have made a key of their own and call it the person's: only a copy from elsewhere tells.
      const fact = key.type === 'ssh' ? sshFingerprint(key.spki, on.sha256) : toHex(on.sha256(key.spki))
      const what = `key that signed as ${claim.approver}`
      if (!rests.some((rest) => rest.what === what && rest.value === fact))
        rests.push({ what, code: 'person_key', of: claim.approver, value: fact, expected: false })
      const lost = `key ${fact}: enrolled in a log that was dropped, see ${findDrop(entries)}; compare it`
      parts.push({
        state: 'note',
        what: `${about}: signed with the ${how} below; nothing here shows that it is theirs`,
        code: key.type === 'ssh' ? 'approved_by_unknown_ssh' : 'approved_by_unknown_passkey',
        values: { ...values, rp: key.rp_id ?? '' },
        parts: [
          {
            state: 'note',
            what: lost,
            code: 'key_of_dropped_log',
            values: { key: fact, see: String(findDrop(entries)) },
          },
          ...rules,
        ],
      })
      continue
    }
    parts.push({
      state: 'verified',
      what: `${about}: signed with their ${how}`,
      code: key.type === 'ssh' ? 'approved_by_ssh' : 'approved_by_passkey',
      values: { ...values, rp: key.rp_id ?? '' },
      parts: [enrolment, ...rules],
    })
  }
  const [stray] = folders
  if (stray) throw new BundleError('APPROVAL_INVALID', `approvals/${stray}`, 'approval_stray')
  refuseUnbound(files, bound)
  // That none is there is a fact about the bundle, and nothing that was checked.
  if (claims.size === 0)
    return {
      checks: [{ state: 'note', what: 'nobody approved anything in this bundle', code: 'no_approvals' }],
      rests: [],
    }
  const what = `${counted(claims.size, 'approval')}: of one version each, none used twice`
  return { checks: [{ state: 'verified', what, code: 'approvals', values: { count: claims.size }, parts }], rests }
}

/** The files that a signature with this key in a folder has, with those of the key itself and of the statement that proposed it. */
const filesOfKey = ({ id, type }: Key, folder: string): string[] => [
  `people/${id}/key.json`,
  `people/${id}/key.pem`,
  ...(type === 'ssh' ? [`people/${id}/key.pub`] : []),
  ...[folder, `people/${id}`].flatMap((at) =>
    [
      'statement.json',
      ...(type === 'ssh' ? ['statement.json.sig'] : ['clientData.json', 'authData.bin', 'sig.der']),
    ].map((name) => `${at}/${name}`),
  ),
]

const OF_PERSON =
  /^(people\/[^/]+\/key\.(json|pem|pub)|(approvals|people)\/[^/]+\/(approval\.json|statement\.json(\.sig)?|clientData\.json|authData\.bin|sig\.der))$/

/** What looks like a person's signature or key, and is of no approval that is here, was checked by nobody. */
function refuseUnbound(files: BundleFiles, bound: ReadonlySet<string>): void {
  const stray = files.names.find((name) => OF_PERSON.test(name) && !bound.has(name))
  if (stray === undefined) return
  const code = stray.startsWith('people/') ? 'SIGNING_KEY_INVALID' : 'APPROVAL_INVALID'
  throw new BundleError(code, stray, 'person_file_stray')
}

type Claims = ReadonlyMap<string, { readonly claim: ApprovalClaim; readonly of: BundledAttestation }>

/** The approval that an entry is about, if its attestation names one. */
const claimAt = (claims: Claims, entry: BundledEntry): ApprovalClaim | undefined =>
  [...claims.values()].find(({ of, claim }) => of.entry === entry && claim.decision === 'approved')?.claim

/**
 * Under which policy a ticket was approved, that the approval is one that it allows, and who made it the policy. Of approvals of other
 * things, and of earlier versions of Writ, nothing says it.
 */
function checkRules(
  entries: readonly BundledEntry[],
  claims: Claims,
  claim: ApprovalClaim,
  entry: BundledEntry,
  on: BundlePrimitives,
): BundleCheck[] {
  const { policy, policy_digest: digest, policy_change_id: changeId, created_by_id: creator } = detailsOf(entry)
  if (claim.subject.type !== 'ticket' || claim.decision !== 'approved' || typeof digest !== 'string') return []
  const text = canonicalize(Object(policy) as Json)
  if (toHex(on.sha256(toUtf8(text))) !== digest) throw new BundleError('APPROVAL_INVALID', entry.path, 'policy_other')
  const asks = Object(policy) as Readonly<Record<string, unknown>>
  const isSigned = claim.signBefore !== null
  const broken =
    asks.four_eyes === true && claim.approver === creator
      ? 'four_eyes'
      : asks.require_signature === true && !isSigned
        ? 'require_signature'
        : asks.approve_in_person === true && !isSigned && entry.entry.actor.kind === 'token'
          ? 'approve_in_person'
          : undefined
  if (broken !== undefined)
    throw new BundleError('APPROVAL_INVALID', entry.path, 'approval_against_policy', { rule: broken })
  if (typeof changeId !== 'string')
    return [
      {
        state: 'note',
        what: `under the policy that the project began with: ${text}`,
        code: 'policy_first',
        values: { policy: text },
      },
    ]
  const change = entries.find(({ entry: { act, res } }) => act === 'policy.changed' && res === changeId)
  if (!change && findDrop(entries) === null)
    throw new BundleError('ENTRY_LEFT_OUT', entry.path, 'policy_change_absent', { id: changeId })
  if (!change || change.event === null)
    return [
      {
        state: 'note',
        what: `under a policy, and nothing here tells any more who made it so: ${text}`,
        code: 'policy_untold',
        values: { policy: text },
      },
    ]
  const { digest: changed, requested_by_id: asked } = detailsOf(change)
  if (changed !== digest) throw new BundleError('APPROVAL_INVALID', change.path, 'policy_change_other')
  const agreed = claimAt(claims, change)
  const values = { policy: text, asker: String(asked), index: change.index }
  if (!agreed)
    return [
      {
        state: 'note',
        what: `under the policy of entry ${change.index}, set by ${asked} alone: ${text}`,
        code: 'policy_alone',
        values,
      },
    ]
  if (agreed.subject.sha256 !== digest) throw new BundleError('APPROVAL_INVALID', change.path, 'policy_change_other')
  if (agreed.approver === asked) throw new BundleError('APPROVAL_INVALID', change.path, 'policy_change_alone')
  return [
    {
      state: 'verified',
      what: `under the policy of entry ${change.index}, asked for by ${asked} and approved by ${agreed.approver}: ${text}`,
      code: 'policy_agreed',
      values: { ...values, approver: agreed.approver },
    },
  ]
}

const detailsOf = ({ event }: BundledEntry) => Object(event?.details) as Record<string, unknown>

/** The event that names an approval speaks of the same thing in the same version. */
function mustBeOf(claim: ApprovalClaim, entry: BundledEntry): void {
  const { res, actor } = entry.entry
  const details = detailsOf(entry)
  const fits =
    res === claim.subject.id &&
    // Handed in before the time by which it had to be signed.
    (claim.signBefore === null || Date.parse(entry.entry.t) < Date.parse(claim.signBefore)) &&
    // A decision made with an API token has the token as its actor; the event names the approval.
    (actor.kind !== 'user' || actor.id === claim.approver) &&
    (entry.event === null || details.approval_id === undefined || details.approval_id === claim.id) &&
    (claim.subject.type !== 'ticket' || details.digest === undefined || details.digest === claim.subject.sha256)
  if (!fits) throw new BundleError('APPROVAL_INVALID', entry.path, 'approval_of_other', { id: claim.id })
}

function refuseBadUse(entries: readonly BundledEntry[], claims: ReadonlyMap<unknown, { claim: ApprovalClaim }>): void {
  const used = new Set<unknown>()
  for (const one of entries) {
    if (one.entry.act !== 'approval.consumed' || one.event === null) continue
    const id = detailsOf(one).approval_id
    if (used.has(id)) throw new BundleError('APPROVAL_USED_TWICE', one.path, 'approval_used_before', { id: String(id) })
    used.add(id)
    const expiresAt = claims.get(id)?.claim.expiresAt
    if (expiresAt && Date.parse(one.entry.t) >= Date.parse(expiresAt))
      throw new BundleError('APPROVAL_INVALID', one.path, 'approval_used_late', { id: String(id) })
  }
}

/** A person's signature in a folder of the bundle over the statement that lies beside it. Answers the key. */
async function checkSignature(
  files: BundleFiles,
  folder: string,
  payload: Uint8Array,
  namespace: string,
  logged: string | undefined,
  on: BundlePrimitives,
): Promise<Key> {
  const read = readFileOf(files)
  const fault = namespace === APPROVAL_NAMESPACE ? 'APPROVAL_INVALID' : 'SIGNING_KEY_INVALID'
  const path = `${folder}/statement.json`
  const statement = await read(path)
  if (!equalBytes(statement, payload)) throw new BundleError(fault, path, 'statement_other')
  const about = `${folder}/${namespace === APPROVAL_NAMESPACE ? 'approval' : 'key'}.json`
  const keyId = await within(fault, about, async () => {
    const value = JSON.parse(fromUtf8(await read(about))) as { key_id?: unknown; id?: unknown }
    const id = value.key_id ?? value.id
    if (typeof id !== 'string') throw new Error('it names no key')
    return id
  })
  const key = await readKey(files, keyId)
  if (key.type === 'ssh') {
    const sigPath = `${folder}/statement.json.sig`
    const text = await readTextOf(files)(sigPath)
    await within(fault, sigPath, async () => {
      const signed = parseSshSignature(text)
      if (!equalBytes(signed.spki, key.spki)) throw new BundleError(fault, sigPath, 'made_with_other_key')
      if (!(await verifySshSignature(signed, statement, namespace, on)))
        throw new BundleError(fault, sigPath, 'signature_invalid')
      if (logged !== undefined && toHex(on.sha256(new TextEncoder().encode(text))) !== logged)
        throw new BundleError(fault, sigPath, 'signature_other')
    })
    return key
  }
  const assertion = {
    clientDataJson: await read(`${folder}/clientData.json`),
    authenticatorData: await read(`${folder}/authData.bin`),
    signature: await read(`${folder}/sig.der`),
  }
  const rpId = key.rp_id ?? ''
  const verdict = await verifyPasskey({ assertion, statement, spki: key.spki, rpId, ...on })
  if (!verdict.ok) throw new BundleError(fault, `${folder}/sig.der`, verdict.why, { rp: rpId })
  const kept = JSON.stringify({
    authenticator_data: toBase64Url(assertion.authenticatorData),
    client_data_json: toBase64Url(assertion.clientDataJson),
    signature: toBase64Url(assertion.signature),
  })
  if (logged !== undefined && toHex(on.sha256(new TextEncoder().encode(kept))) !== logged)
    throw new BundleError(fault, `${folder}/sig.der`, 'signature_other')
  return key
}

async function readKey(files: BundleFiles, id: string): Promise<Key> {
  const read = readFileOf(files)
  const path = `people/${id}/key.json`
  return within('SIGNING_KEY_INVALID', path, async () => {
    const value = JSON.parse(fromUtf8(await read(path))) as Partial<Key>
    const spki = parsePem(fromUtf8(await read(`people/${id}/key.pem`)))
    if (value.id !== id || typeof value.user_id !== 'string' || !algorithmOf(spki))
      throw new BundleError('SIGNING_KEY_INVALID', path, 'no_key')
    if (value.type !== 'ssh' && value.type !== 'passkey') throw new BundleError('SIGNING_KEY_INVALID', path, 'key_type')
    // Another spelling of the same key, which ssh-keygen reads.
    if (
      value.type === 'ssh' &&
      !equalBytes(parseSshKey((await readTextOf(files)(`people/${id}/key.pub`)).trim()), spki)
    )
      throw new BundleError('SIGNING_KEY_INVALID', `people/${id}/key.pub`, 'key_spelling')
    return { id, user_id: value.user_id, type: value.type, rp_id: value.rp_id ?? null, spki }
  })
}

/**
 * The key was enrolled in the log before it signed, by a second person or as the first, and not revoked before. Null where the log
 * that told of its enrolment was dropped; a revocation counts there, too.
 */
async function checkEnrolment(
  files: BundleFiles,
  entries: readonly BundledEntry[],
  attestations: readonly BundledAttestation[],
  key: Key,
  signedAt: BundledEntry,
  claims: Claims,
  on: BundlePrimitives,
): Promise<BundleCheck | null> {
  const path = `people/${key.id}/key.json`
  const about = entries.filter((one) => one.log.role === 'project' && one.entry.res === key.id)
  // Within a log its order alone: a clock that was set back makes nothing that was done before come after it.
  const before = (one: BundledEntry) =>
    one.log === signedAt.log ? one.index < signedAt.index : one.entry.t <= signedAt.entry.t
  const enrolled = about.find((one) => one.entry.act === 'signing_key.enrolled' && before(one))
  const drop = findDrop(entries)
  if (about.some((one) => one.entry.act === 'signing_key.revoked' && before(one)))
    throw new BundleError('SIGNING_KEY_INVALID', path, 'key_revoked')
  if (!enrolled && drop) return null
  if (!enrolled) throw new BundleError('SIGNING_KEY_INVALID', path, 'key_not_enrolled')
  if (enrolled.event === null)
    return {
      state: 'erased',
      what: `enrolment of the key: payload erased, see ${enrolled.erasedBy}`,
      code: 'key_enrolment_erased',
      values: { see: String(enrolled.erasedBy) },
    }
  const details = detailsOf(enrolled)
  if (
    details.public_key_sha256 !== toHex(on.sha256(key.spki)) ||
    details.user_id !== key.user_id ||
    details.key_type !== key.type ||
    details.rp_id !== key.rp_id
  )
    throw new BundleError('SIGNING_KEY_INVALID', path, 'key_of_other')
  await checkPossession(files, attestations, key, on, drop !== null)
  const fingerprint = String(details.fingerprint)
  if (details.bootstrap === true)
    return {
      state: 'note',
      what: `key ${fingerprint}: the first of the project, enrolled by its owner (bootstrap)`,
      code: 'key_first',
      values: { key: fingerprint },
    }
  if (enrolled.entry.actor.kind === 'user' && enrolled.entry.actor.id === key.user_id)
    throw new BundleError('SIGNING_KEY_INVALID', path, 'key_alone')
  const agreed = claimAt(claims, enrolled)
  if (agreed) {
    if (agreed.approver === key.user_id) throw new BundleError('SIGNING_KEY_INVALID', path, 'key_alone')
    if (agreed.subject.sha256 !== details.public_key_sha256)
      throw new BundleError('SIGNING_KEY_INVALID', path, 'key_of_other')
    return {
      state: 'verified',
      what: `key ${fingerprint}: enrolled by a second person, ${agreed.approver}, entry ${enrolled.index}`,
      code: 'key_enrolled_by',
      values: { key: fingerprint, by: agreed.approver, index: enrolled.index },
    }
  }
  return {
    state: 'verified',
    what: `key ${fingerprint}: enrolled by a second person, entry ${enrolled.index}`,
    code: 'key_enrolled',
    values: { key: fingerprint, index: enrolled.index },
  }
}

async function checkPossession(
  files: BundleFiles,
  attestations: readonly BundledAttestation[],
  key: Key,
  on: BundlePrimitives,
  isDropped: boolean,
): Promise<void> {
  const path = `people/${key.id}/statement.json`
  const name = `signing_key:${key.id}`
  const proposed = attestations.find(
    ({ statement }) => statement.predicateType === PREDICATE_SIGNING_KEY && statement.subject[0]!.name === name,
  )
  // Proposed in a log that was dropped meanwhile; that it was enrolled is what counts.
  if (!proposed && isDropped) return
  if (!proposed) throw new BundleError('SIGNING_KEY_INVALID', path, 'key_unattested')
  const claim: SigningKeyClaim = await within('SIGNING_KEY_INVALID', path, () => parseSigningKey(proposed.payload))
  if (claim.sha256 !== toHex(on.sha256(key.spki)) || claim.owner !== key.user_id || claim.rpId !== key.rp_id)
    throw new BundleError('SIGNING_KEY_INVALID', path, 'key_statement_other')
  await checkSignature(files, `people/${key.id}`, proposed.payload, SIGNING_KEY_NAMESPACE, undefined, on)
}

/** Where a log of the project tells that logs before it were dropped: `<log>/<index>`; null if none does. */
function findDrop(entries: readonly BundledEntry[]): string | null {
  const told = entries.findLast(({ log, entry }) => log.role === 'project' && entry.act === 'log.dropped')
  return told ? `${told.log.name}/${told.index}` : null
}

/**
 * What is here of a run or a ticket is all that the log has between the first and the last of it: the events of a run are numbered, and so
 * are the versions and the runs of a ticket. Of what came after the last that is here nothing is said.
 */
export function checkWhole(entries: readonly BundledEntry[], subject: BundleDescription['subject']): BundleCheck[] {
  const ofProject = entries.filter(({ log }) => log.role === 'project')
  const drop = findDrop(entries)
  const sequences = createRunSequences()
  const runs = new Set<string>()
  const parts: BundleCheck[] = []
  for (const { entry, path } of ofProject) {
    const gap = sequences.follow(entry)
    if (entry.run !== undefined) runs.add(entry.run)
    if (gap === undefined) continue
    if (gap.begun || drop === null) {
      const { run, seq, expected } = gap
      const why = seq < expected ? 'event_again' : 'event_missing'
      throw new BundleError('ENTRY_LEFT_OUT', path, why, { run, seq, expected })
    }
    const what = `run ${gap.run}: its first ${counted(gap.seq, 'event')} in a log that was dropped, see ${drop}`
    parts.push({
      state: 'left out',
      what,
      code: 'run_begun_before',
      values: { run: gap.run, count: gap.seq, see: drop },
    })
  }
  const tickets = checkVersions(ofProject, drop)
  // A bundle about one run has no others of its ticket.
  const lacking = subject.type === 'ticket' ? checkRunsOfTicket(ofProject, drop) : 0
  if (subject.type === 'ticket' && drop === null) checkRunsOfExport(ofProject)
  if (lacking > 0)
    parts.push({
      state: 'left out',
      what: `${counted(lacking, 'run')} of the ticket in a log that was dropped, see ${drop}`,
      code: 'runs_before',
      values: { count: lacking, see: String(drop) },
    })
  if (runs.size === 0 && tickets === 0) return []
  const what = [
    ...(tickets > 0 ? [counted(tickets, 'ticket')] : []),
    ...(runs.size > 0 ? [counted(runs.size, 'run')] : []),
  ]
  return [
    {
      state: 'verified',
      what: `${what.join(' and ')}: nothing missing between the first and the last event here`,
      code: 'whole',
      values: { tickets, runs: runs.size },
      parts,
    },
  ]
}

/** A run says how many its ticket had when it was created. Answers how many of them went with a log that was dropped. */
function checkRunsOfTicket(entries: readonly BundledEntry[], drop: string | null): number {
  let seen = 0
  let lacking: number | undefined
  for (const one of entries) {
    if (one.entry.act !== 'run.created') continue
    seen++
    // Erased, or of a version that did not say it.
    const said = detailsOf(one).run_of_ticket
    if (said === undefined) continue
    if (lacking === undefined && drop !== null && Number.isSafeInteger(said)) lacking = Number(said) - seen
    lacking ??= 0
    if (said !== seen + lacking || lacking < 0)
      throw new BundleError('ENTRY_LEFT_OUT', one.path, 'run_missing', { expected: seen + lacking, said: String(said) })
  }
  return lacking ?? 0
}

/** Each export says how many runs the ticket had by then: that of this bundle is the newest entry in it. */
function checkRunsOfExport(entries: readonly BundledEntry[]): void {
  const runs = entries.filter(({ entry }) => entry.act === 'run.created').length
  for (const one of entries) {
    if (one.entry.act !== 'evidence.exported') continue
    const said = detailsOf(one).runs
    if (Number.isSafeInteger(said) && Number(said) > runs)
      throw new BundleError('ENTRY_LEFT_OUT', one.path, 'runs_missing', { said: Number(said), here: runs })
  }
}

/** Every edit of a ticket makes the next version of it, and what is approved is the newest. Answers how many tickets there are. */
function checkVersions(entries: readonly BundledEntry[], drop: string | null): number {
  const versions = new Map<string, number>()
  for (const one of entries) {
    const { act, res } = one.entry
    if (res === undefined) continue
    if (act === 'ticket.created') versions.set(res, 1)
    if (act !== 'ticket.updated' && act !== 'ticket.approved') continue
    const before = versions.get(res)
    if (before === undefined && drop === null)
      throw new BundleError('ENTRY_LEFT_OUT', one.path, 'ticket_begin_missing', { id: res })
    if (before === undefined) continue
    const version = act === 'ticket.updated' ? before + 1 : before
    const said = detailsOf(one).version
    if (said !== undefined && said !== version)
      throw new BundleError('ENTRY_LEFT_OUT', one.path, 'version_missing', { expected: version, said: String(said) })
    versions.set(res, version)
  }
  return versions.size
}

/** Files of evidence: each is the one that the log recorded and that the attested check judged. */
export async function checkArtifacts(
  files: BundleFiles,
  described: BundleDescription,
  entries: readonly BundledEntry[],
  attestations: readonly BundledAttestation[],
): Promise<BundleCheck> {
  const parts: BundleCheck[] = []
  for (const { id, number, sha256, path, left_out } of described.artifacts) {
    const at = path ?? 'bundle.json'
    const uploaded = entries.find((one) => one.entry.act === 'artifact.uploaded' && one.entry.res === id)
    const drop = findDrop(entries)
    if (!uploaded && left_out === 'dropped' && path === null && drop) {
      parts.push({
        state: 'left out',
        what: `artifact ${number}: recorded in a log that was dropped, see ${drop}`,
        code: 'artifact_dropped',
        values: { number, see: drop },
      })
      continue
    }
    if (!uploaded) throw new BundleError('ARTIFACT_CHANGED', at, 'artifact_unknown', { number })
    if (uploaded.event !== null && detailsOf(uploaded).sha256_hash !== sha256)
      throw new BundleError('ARTIFACT_CHANGED', at, 'artifact_recorded', { number })
    for (const { statement, entry } of attestations)
      for (const subject of statement.subject)
        if (subject.name === `artifact:${id}` && subject.digest.sha256 !== sha256)
          throw new BundleError('ARTIFACT_CHANGED', entry.path, 'artifact_judged', { number })
    if (path === null) {
      const act = left_out === 'erased' ? 'artifact.erased' : left_out === 'deleted' ? 'artifact.deleted' : undefined
      const isTold = act === undefined || entries.some((one) => one.entry.act === act && one.entry.res === id)
      const what = isTold
        ? `artifact ${number}: ${left_out}`
        : `artifact ${number}: not here, ${left_out} as only the maker of this bundle says; no entry of the log does`
      parts.push({
        state: left_out === 'erased' && isTold ? 'erased' : 'left out',
        what,
        code: isTold ? 'artifact_left_out' : 'artifact_untold',
        values: { number, why: String(left_out) },
      })
      continue
    }
    if (!path.startsWith('artifacts/') || !isThere(files, path))
      throw new BundleError('ARTIFACT_CHANGED', at, 'artifact_absent', { number })
    if ((await files.sha256(path)) !== sha256) throw new BundleError('ARTIFACT_CHANGED', path, 'other_digest')
  }
  const ids = new Set(described.artifacts.map(({ id }) => id))
  const silent = entries.find(({ entry }) => entry.act === 'artifact.uploaded' && !ids.has(entry.res ?? ''))
  if (silent)
    throw new BundleError('ARTIFACT_LEFT_OUT', silent.path, 'artifact_silent', { id: String(silent.entry.res) })
  const there = new Set(described.artifacts.map(({ path }) => path))
  const stray = files.names.find((name) => name.startsWith('artifacts/') && !there.has(name))
  if (stray) throw new BundleError('ARTIFACT_CHANGED', stray, 'artifact_stray')
  if (described.artifacts.length === 0)
    return { state: 'note', what: 'no file of evidence is in this bundle', code: 'no_artifacts' }
  const count = described.artifacts.length - parts.length
  return {
    state: 'verified',
    what: `${counted(count, 'file')} of evidence: as recorded and as judged`,
    code: 'artifacts',
    values: { count },
    parts,
  }
}

/** Records for people: the ticket is the version that was agreed to, rules and outputs are those of the attested check. */
export async function checkRecords(
  files: BundleFiles,
  entries: readonly BundledEntry[],
  attestations: readonly BundledAttestation[],
  on: BundlePrimitives,
): Promise<BundleCheck> {
  let count = 0
  for (const path of files.names) {
    const [folder, id, file] = path.split('/')
    if (folder === 'tickets') {
      const digest = toHex(on.sha256(await files.read(path)))
      if (!entries.some((one) => one.entry.res === id?.replace('.json', '') && detailsOf(one).digest === digest))
        throw new BundleError('RECORD_CHANGED', path, 'ticket_version_unnamed')
      count++
    }
    if (folder !== 'runs' || (file !== 'outputs.json' && file !== 'rules.json')) continue
    const result = attestations.find(
      ({ statement, entry }) => statement.predicateType === PREDICATE_TEST_RESULT && entry.entry.res === id,
    )
    const { outputs, configuration } = Object(result?.statement.predicate) as {
      outputs?: { sha256?: string }
      configuration?: { digest?: { sha256?: string } }[]
    }
    const attested = file === 'outputs.json' ? outputs?.sha256 : configuration?.[0]?.digest?.sha256
    if (attested !== toHex(on.sha256(await files.read(path))))
      throw new BundleError('RECORD_CHANGED', path, 'record_other')
    count++
  }
  const parts = recordsLeftOut(files, entries, attestations)
  if (count === 0 && parts.length === 0)
    return { state: 'note', what: 'no record of the ticket or of a check is in this bundle', code: 'no_records' }
  return {
    state: 'verified',
    what: `${counted(count, 'record')}: ticket, rules and findings are those that were attested`,
    code: 'records',
    values: { count },
    parts,
  }
}

/** Records that an attestation or the newest event of a ticket names by its digest, and that are not here. */
function recordsLeftOut(
  files: BundleFiles,
  entries: readonly BundledEntry[],
  attestations: readonly BundledAttestation[],
): BundleCheck[] {
  const named = new Map<string, unknown>()
  for (const one of entries)
    if (one.entry.act.startsWith('ticket.') && typeof detailsOf(one).digest === 'string')
      named.set(`tickets/${one.entry.res}.json`, detailsOf(one).digest)
  for (const { statement, entry } of attestations) {
    if (statement.predicateType !== PREDICATE_TEST_RESULT) continue
    const { outputs, configuration } = Object(statement.predicate)
    named.set(`runs/${entry.entry.res}/rules.json`, configuration?.[0]?.digest?.sha256)
    named.set(`runs/${entry.entry.res}/outputs.json`, outputs?.sha256)
  }
  return [...named].flatMap(([path, sha256]) => {
    if (typeof sha256 !== 'string' || isThere(files, path)) return []
    const what = `${path}: not here; its SHA-256 is ${sha256}`
    return [{ state: 'left out', what, code: 'record_left_out', values: { path, sha256 } } satisfies BundleCheck]
  })
}

/**
 * Tasks: each journal is the one to which the leaf of the task's end commits, what it names by digest is what is here, and a statement of
 * where the result came from is the one that the journal gives, signed by a key of the bundle.
 */
export async function checkTasks(
  files: BundleFiles,
  entries: readonly BundledEntry[],
  on: BundlePrimitives,
): Promise<{ checks: BundleCheck[]; rests: string[] }> {
  const parts: BundleCheck[] = []
  const rests = new Set<string>()
  const ids = new Set(files.names.flatMap((name) => /^tasks\/([^/]+)\//.exec(name)?.[1] ?? []))
  for (const id of ids) {
    const folder = `tasks/${id}`
    const path = `${folder}/journal.json`
    const bytes = await readFileOf(files)(path)
    const sha256 = toHex(on.sha256(bytes))
    const end = entries.find((one) => one.entry.res === id && detailsOf(one).journal_sha256 === sha256)
    if (!end) throw new BundleError('RECORD_CHANGED', path, 'journal_uncommitted')
    const journal = await within('RECORD_CHANGED', path, async () => parseTaskJournal(bytes))
    if (journal.run !== id) throw new BundleError('RECORD_CHANGED', path, 'journal_of_other')
    const named = { 'input.json': journal.inputSha256, 'result.json': journal.outputSha256 }
    for (const name of files.names.filter((one) => one.startsWith(`${folder}/`) && one !== path)) {
      const file = name.slice(folder.length + 1)
      if (file === 'provenance.dsse.json') rests.add(await checkProvenance(files, name, journal, sha256, end, on))
      else if ((await files.sha256(name)) !== named[file as keyof typeof named])
        throw new BundleError('RECORD_CHANGED', name, 'task_file_other')
    }
    const asker = journal.askedBy === null ? 'nobody' : journal.askedBy
    parts.push({
      state: 'verified',
      what: `task ${id}: ${journal.handler} ${journal.state}, asked for by ${asker}`,
      code: 'task',
      values: { id, handler: journal.handler, state: journal.state, asker },
    })
    for (const [file, digest] of Object.entries(named))
      if (digest !== null && !isThere(files, `${folder}/${file}`))
        parts.push({
          state: 'left out',
          what: `${file} of task ${id}: not here; its SHA-256 is ${digest}`,
          code: 'task_file_left_out',
          values: { file, id, sha256: digest },
        })
  }
  if (parts.length === 0) return { checks: [], rests: [] }
  const what = `${counted(ids.size, 'task')}: as the log commits to`
  return {
    checks: [{ state: 'verified', what, code: 'tasks', values: { count: ids.size }, parts }],
    rests: [...rests],
  }
}

/** Answers the key that signed it, as `rests` of attestations. */
async function checkProvenance(
  files: BundleFiles,
  path: string,
  journal: TaskJournal,
  journalSha256: string,
  end: BundledEntry,
  on: BundlePrimitives,
): Promise<string> {
  const keys = await attestationKeys(files, on)
  return within('ATTESTATION_INVALID', path, async () => {
    const envelope = parseEnvelope(fromUtf8(await files.read(path)))
    const key = keys[await verifyEnvelope(envelope, keys, on.verify)]
    if (envelope.payloadType !== STATEMENT_TYPE || key === undefined)
      throw new BundleError('ATTESTATION_INVALID', path, 'attestation_unsigned')
    if (!isOfTask(parseStatement(envelope.payload), journal, { journalSha256, origin: end.log.origin }))
      throw new BundleError('ATTESTATION_INVALID', path, 'provenance_other')
    return toHex(on.sha256(key))
  })
}
