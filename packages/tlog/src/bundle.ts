import { type BundleReason, reasonText } from './bundle-reasons.ts'
import { fromBase64, fromHex, fromUtf8, toHex } from './bytes.ts'
import { type Checkpoint, type CheckpointRefusal, openCheckpoint, parseCheckpoint } from './checkpoint.ts'
import { commitment, decodeEntry, type Entry } from './entry.ts'
import { parseLogProof } from './log-proof.ts'
import { createTreeHasher, type Hash, type TreeHasher } from './merkle.ts'
import { parseNote, parseVkey, type VerifyEd25519 } from './note.ts'
import { openUnderPolicy, type Policy, parsePolicy } from './policy.ts'
import { verifyConsistency, verifyInclusion } from './proof.ts'
import { parsePem, spkiOf, type VerifySignature } from './public-key.ts'
import { parseSshKey, parseSshSignature, sshFingerprint, verifySshSignature } from './sshsig.ts'

// An evidence bundle, version 1 (docs/attestations.md): the files of one ticket or run that anybody can check without
// a server. Here the shell of it: manifest, logs, entries, payloads. What the entries speak of is in bundle-content.ts.

export const BUNDLE_FORMAT = 'writ-evidence-bundle'
export const BUNDLE_NAMESPACE = 'writ-evidence'
export const MANIFEST_SIGNER = 'writ-manifest'

/** The files of a bundle, wherever they are: a zip, a folder, a page. */
export type BundleFiles = {
  /** Paths with slashes, files only. */
  names: readonly string[]
  /** A whole file. Asked for everything but the bytes of evidence. */
  read(name: string): Promise<Uint8Array>
  /** Lower-case hexadecimal SHA-256 of a file, which may be larger than memory. */
  sha256(name: string): Promise<string>
}

/** What the reader has from elsewhere; without it a bundle proves only that its own keys agree with it. */
export type BundleTrust = {
  fingerprint?: string | undefined
  vkeys?: readonly string[] | undefined
  /** The reader's own: its logs are expected, and its quorum must stand for a state of the log that this bundle is of. */
  policy?: Policy | undefined
}

/**
 * How far a verification came: `done` of `total` files whose digests were compared, entries, or attestations. `bytes` is how much of an
 * archive was read for its files, one of which may be most of it.
 */
export type BundleProgress = (at: {
  step: 'files' | 'entries' | 'attestations'
  done: number
  total: number
  bytes?: { done: number; total: number }
}) => void

export type BundlePrimitives = { sha256: Hash; sha512: Hash; verify: VerifySignature }

export type BundleFault =
  | 'BUNDLE_MALFORMED'
  | 'MANIFEST_MALFORMED'
  | 'MANIFEST_SIGNATURE'
  /** Signed, but not by the key that the reader expects. */
  | 'MANIFEST_KEY'
  | 'FILE_MISSING'
  | 'FILE_UNLISTED'
  | 'FILE_CHANGED'
  | 'CHECKPOINT_INVALID'
  /** A log that is signed with another key than the reader expects. */
  | 'LOG_KEY'
  | 'ENTRY_MALFORMED'
  | 'PROOF_INVALID'
  | 'PAYLOAD_MISSING'
  | 'PAYLOAD_CHANGED'
  | 'CONSISTENCY_INVALID'
  | 'ANCHOR_INVALID'
  /** The witnesses of the reader's policy stand for nothing of this bundle. */
  | 'QUORUM_NOT_MET'
  | 'ATTESTATION_INVALID'
  | 'ATTESTATION_MISSING'
  /** An attestation that no entry of the log names. */
  | 'ATTESTATION_UNLOGGED'
  | 'APPROVAL_INVALID'
  | 'APPROVAL_USED_TWICE'
  | 'SIGNING_KEY_INVALID'
  | 'ARTIFACT_CHANGED'
  /** The log knows a file of this run of which the bundle says nothing. */
  | 'ARTIFACT_LEFT_OUT'
  /** An entry is missing between others that are here. */
  | 'ENTRY_LEFT_OUT'
  | 'RECORD_CHANGED'

/** What a line of the tree may say; for whoever says it in another language than `what`. Codes stay as they are. */
export const bundleCheckCodes = [
  'manifest',
  'log',
  'cosigned',
  'cosigned_by_none',
  'quorum_not_met',
  'entries',
  'payload_erased',
  'whole',
  'run_begun_before',
  'runs_before',
  'whole_log',
  'whole_log_goes_on',
  'anchored',
  'not_anchored',
  'quorum',
  'unwitnessed',
  'unasked',
  'after_quorum',
  'attestations',
  'attestation_key_idle',
  'no_attestations',
  'judged',
  'approvals',
  'no_approvals',
  'approved_by_server',
  'approved_by_token',
  'approved_by_ssh',
  'approved_by_passkey',
  'approved_by_unknown_ssh',
  'approved_by_unknown_passkey',
  'key_of_dropped_log',
  'key_enrolment_erased',
  'key_first',
  'key_enrolled',
  'key_enrolled_by',
  'policy_agreed',
  'policy_alone',
  'policy_first',
  'policy_untold',
  'artifacts',
  'no_artifacts',
  'numbers_unproven',
  'artifact_dropped',
  'artifact_left_out',
  'artifact_untold',
  'record_left_out',
  'unknown_file',
  'records',
  'no_records',
  'tasks',
  'task',
  'task_file_left_out',
] as const
export type BundleCheckCode = (typeof bundleCheckCodes)[number]

/** One line of the tree of what was checked: a sentence, and beside it what it says as a code and values. */
export type BundleCheck = {
  state: 'verified' | 'erased' | 'left out' | 'note'
  what: string
  code: BundleCheckCode
  values?: Readonly<Record<string, string | number>>
  parts?: BundleCheck[]
}

export const bundleRestCodes = [
  'manifest_key',
  'project_log_key',
  'instance_log_key',
  'witness_key',
  'attestation_key',
  'person_key',
] as const

/** A key, and whose it is: a sentence, and beside it a code and the name of the witness or person, where there is one. */
export type BundleRest = {
  what: string
  code: (typeof bundleRestCodes)[number]
  of?: string
  value: string
  expected: boolean
}

export type BundleReport = {
  ok: boolean
  /** The first failure; nothing after it was looked at. `reason` is a sentence, `why` and `values` say the same as a code. */
  fault?: {
    code: BundleFault
    path: string
    reason: string
    why: BundleReason
    values?: Readonly<Record<string, string | number>>
  }
  checks: BundleCheck[]
  /** What all of it rests on: to be compared with a copy from elsewhere. */
  rests: BundleRest[]
}

/** Thrown inside a verification and answered as its fault. */
export class BundleError extends Error {
  readonly fault: NonNullable<BundleReport['fault']>
  constructor(code: BundleFault, path: string, why: BundleReason, values?: Readonly<Record<string, string | number>>) {
    const reason = reasonText(why, values ?? {})
    super(reason)
    this.fault = { code, path, reason, why, ...(values && { values }) }
  }
}

/** An entry of a bundle whose inclusion and payload were verified. `event` is null where the payload was erased. */
export type BundledEntry = {
  log: BundledLog
  index: number
  entry: Entry
  event: Record<string, unknown> | null
  /** The entry that tells of the erasure, if there was one: `<index>`, or `<log>/<index>` in another log. */
  erasedBy: string | null
  path: string
}

export type BundledLog = {
  name: string
  role: 'project' | 'instance'
  origin: string
  checkpoint: Checkpoint
  note: string
  /** Entries for which the quorum of a policy has cosigned; 0 if it has not. */
  cosigned: number
  /** Entries of the state in checkpoint.cosigned, whoever signed it; null without that file. */
  cosignedFile: number | null
}

/** Entries of a log that the instance log has recorded, in its entry `index`. */
export type BundledAnchor = { log: BundledLog; size: number; instance: BundledLog; index: number }

/** What the description in bundle.json says; everything in it is compared with what was verified. */
export type BundleDescription = {
  format: string
  version: number
  subject: { type: string; id: string; number: number }
  exported_at: string
  logs: {
    name: string
    role: 'project' | 'instance'
    origin: string
    vkeys: string[]
    /** With every entry of the log: how many it had when all about the subject was looked for. */
    whole_to?: number | undefined
  }[]
  artifacts: {
    id: string
    number: number
    sha256: string
    size: number
    path: string | null
    /** `dropped`: the log that recorded it was, openly; nothing proves it any more. */
    left_out: 'deleted' | 'flagged' | 'erased' | 'dropped' | null
  }[]
}

/** "1 entry", "2 entries". */
export const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`

// Asked for each entry, so a list would be looked through for each.
const sets = new WeakMap<readonly string[], ReadonlySet<string>>()

/** Whether a file of this name is in the bundle. */
export function isThere({ names }: BundleFiles, name: string): boolean {
  let set = sets.get(names)
  if (!set) {
    set = new Set(names)
    sets.set(names, set)
  }
  return set.has(name)
}

/** Reads a file that has to be there; the fault that its absence is, is the caller's to name. */
export const readFileOf = (files: BundleFiles) => async (name: string) => {
  if (!isThere(files, name)) throw new BundleError('FILE_MISSING', name, 'file_absent')
  return files.read(name)
}

/** As `readFileOf`, for texts in UTF-8. */
export const readTextOf = (files: BundleFiles) => async (name: string) => {
  const bytes = await readFileOf(files)(name)
  return within('BUNDLE_MALFORMED', name, () => fromUtf8(bytes))
}

/** Runs `work`; whatever it throws becomes a fault of this file. */
export async function within<T>(code: BundleFault, path: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof BundleError) throw error
    throw new BundleError(code, path, 'unreadable', { said: error instanceof Error ? error.message : String(error) })
  }
}

/** The manifest is signed, by the expected key if one is expected, and names every file with its digest. */
export async function checkManifest(
  files: BundleFiles,
  on: BundlePrimitives,
  trust: BundleTrust,
  onProgress: BundleProgress,
): Promise<{ check: BundleCheck; rest: BundleReport['rests'][number] }> {
  const read = readFileOf(files)
  const sums = await read('SHA256SUMS')
  const path = 'SHA256SUMS.sig'
  const signed = await within('MANIFEST_SIGNATURE', path, async () => parseSshSignature(fromUtf8(await read(path))))
  const signers = (await readTextOf(files)('keys/allowed_signers')).split('\n').filter(Boolean)
  const fingerprint = sshFingerprint(signed.spki, on.sha256)
  if (trust.fingerprint !== undefined && trust.fingerprint !== fingerprint)
    throw new BundleError('MANIFEST_KEY', path, 'manifest_key', { signed: fingerprint, expected: trust.fingerprint })
  const known = await within('MANIFEST_MALFORMED', 'keys/allowed_signers', () =>
    signers.some((line) => {
      const [principal, ...key] = line.split(' ')
      return principal === MANIFEST_SIGNER && toHex(parseSshKey(key.join(' '))) === toHex(signed.spki)
    }),
  )
  if (!known || !(await verifySshSignature(signed, sums, BUNDLE_NAMESPACE, on)))
    throw new BundleError('MANIFEST_SIGNATURE', path, 'manifest_unsigned')

  const listed = parseSums(await within('MANIFEST_MALFORMED', 'SHA256SUMS', () => fromUtf8(sums)))
  for (const name of files.names)
    if (!listed.has(name) && name !== 'SHA256SUMS' && name !== path)
      throw new BundleError('FILE_UNLISTED', name, 'file_unlisted')
  let done = 0
  onProgress({ step: 'files', done, total: listed.size })
  for (const [name, digest] of listed) {
    if (!isThere(files, name)) throw new BundleError('FILE_MISSING', name, 'file_named')
    if ((await files.sha256(name)) !== digest) throw new BundleError('FILE_CHANGED', name, 'other_digest')
    onProgress({ step: 'files', done: ++done, total: listed.size })
  }
  return {
    check: {
      state: 'verified',
      what: `manifest: signature and ${counted(listed.size, 'file')}`,
      code: 'manifest',
      values: { count: listed.size },
    },
    rest: { what: 'manifest key', code: 'manifest_key', value: fingerprint, expected: trust.fingerprint !== undefined },
  }
}

/** The digests of a SHA256SUMS text by path. Any other form is a fault, and so are paths that leave the bundle. */
function parseSums(text: string): Map<string, string> {
  const malformed = (...why: [BundleReason, Record<string, string>?]) =>
    new BundleError('MANIFEST_MALFORMED', 'SHA256SUMS', ...why)
  if (!text.endsWith('\n')) throw malformed('no_last_newline')
  const found = new Map<string, string>()
  const folded = new Set<string>()
  for (const line of text.slice(0, -1).split('\n')) {
    const [, digest, name] = /^([0-9a-f]{64}) {2}([A-Za-z0-9._/-]+)$/.exec(line) ?? []
    if (!digest || !name || name.split('/').some((part) => part === '' || part === '.' || part === '..'))
      throw malformed('sums_line', { line: line.slice(0, 80) })
    if (found.has(name)) throw malformed('sums_twice', { name })
    // Where a system knows no difference between them, one would replace the other when the bundle is unpacked.
    if (folded.has(name.toLowerCase())) throw malformed('sums_case', { name })
    folded.add(name.toLowerCase())
    found.set(name, digest)
  }
  return found
}

const PARTS = [
  'SHA256SUMS(\\.(sig|tsr))?|verify\\.sh|README\\.txt|bundle\\.json|policy|tsa-root\\.pem',
  'keys/(allowed_signers|attestation-[0-9a-f]+\\.pem)',
  'logs/[^/]+/(checkpoint(\\.cosigned)?|log\\.pem|entries/[0-9]+\\.(json|tlog-proof)|payloads/[0-9]+\\.(json|salt|erased))',
  'logs/[^/]+/(consistency/[0-9]+-[0-9]+\\.txt|tile/entries/.+)',
  '(attestations|artifacts|tasks/[^/]+)/[^/]+|people/[^/]+/key\\.(json|pem|pub)',
  '(approvals|people)/[^/]+/(approval\\.json|statement\\.json(\\.sig)?|clientData\\.json|authData\\.bin|sig\\.der)',
  'tickets/[^/]+\\.json|runs/[^/]+/(rules|outputs)\\.json',
]
const PART = new RegExp(`^(${PARTS.join('|')})$`)

/** Files that the manifest names and nothing else speaks of: of a later version of bundles, or somebody's own. */
export const noteUnknownFiles = (files: BundleFiles): BundleCheck[] =>
  files.names
    .filter((name) => !PART.test(name))
    .map((path) => ({
      state: 'note',
      what: `${path}: no part of a bundle; only its digest was checked`,
      code: 'unknown_file',
      values: { path },
    }))

/** The description of the bundle. */
export async function readDescription(files: BundleFiles): Promise<BundleDescription> {
  const path = 'bundle.json'
  return within('BUNDLE_MALFORMED', path, async () => {
    const value = Object(JSON.parse(fromUtf8(await readFileOf(files)(path)))) as Record<string, unknown>
    if (value.format !== BUNDLE_FORMAT || value.version !== 1)
      throw new BundleError('BUNDLE_MALFORMED', path, 'version')
    const { subject, logs, artifacts } = value
    if (!isSubject(subject) || !isListOf(logs, isDescribedLog) || !isListOf(artifacts, isDescribedArtifact))
      throw new BundleError('BUNDLE_MALFORMED', path, 'description_form')
    if (new Set(logs.map(({ name }) => name)).size < logs.length)
      throw new BundleError('BUNDLE_MALFORMED', path, 'log_twice')
    if (new Set(artifacts.map(({ id }) => id)).size < artifacts.length)
      throw new BundleError('BUNDLE_MALFORMED', path, 'file_twice')
    return { format: BUNDLE_FORMAT, version: 1, exported_at: String(value.exported_at), subject, logs, artifacts }
  })
}

// Whoever made the bundle wrote this, and what they write may be of any form.

const isListOf = <T>(value: unknown, is: (one: unknown) => one is T): value is T[] =>
  Array.isArray(value) && value.every(is)
const isText = (value: unknown): value is string => typeof value === 'string'
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

function isSubject(value: unknown): value is BundleDescription['subject'] {
  const { type, id, number } = Object(value) as Record<string, unknown>
  return isText(type) && isText(id) && isCount(number)
}

function isDescribedLog(value: unknown): value is BundleDescription['logs'][number] {
  const { name, role, origin, vkeys, whole_to } = Object(value) as Record<string, unknown>
  return (
    (role === 'project' || role === 'instance') &&
    isText(name) &&
    // What reads the folders alone has the role from the name.
    new RegExp(`^${role}-\\d+$`).test(name) &&
    isText(origin) &&
    isListOf(vkeys, isText) &&
    (whole_to === undefined || isCount(whole_to))
  )
}

function isDescribedArtifact(value: unknown): value is BundleDescription['artifacts'][number] {
  const { id, number, sha256, size, path, left_out } = Object(value) as Record<string, unknown>
  const isThere = isText(path) ? left_out === null : path === null && LEFT_OUT.includes(left_out)
  return isText(id) && isCount(number) && isText(sha256) && /^[0-9a-f]{64}$/.test(sha256) && isCount(size) && isThere
}

const LEFT_OUT: readonly unknown[] = ['deleted', 'flagged', 'erased', 'dropped']

/** Every log: its checkpoint, and every entry under it with its payload. */
export async function checkLogs(
  files: BundleFiles,
  described: BundleDescription,
  on: BundlePrimitives,
  trust: BundleTrust,
  onProgress: BundleProgress,
): Promise<{ logs: BundledLog[]; entries: BundledEntry[]; checks: BundleCheck[]; rests: BundleReport['rests'] }> {
  const logs: BundledLog[] = []
  const entries: BundledEntry[] = []
  const checks: BundleCheck[] = []
  const rests: BundleReport['rests'] = []
  const names = new Set(files.names.flatMap((name) => /^logs\/([^/]+)\//.exec(name)?.[1] ?? []))
  for (const name of names)
    if (!described.logs.some((log) => log.name === name))
      throw new BundleError('BUNDLE_MALFORMED', 'bundle.json', 'log_undescribed', { name })
  for (const one of described.logs) {
    const path = `logs/${one.name}/checkpoint`
    const verifyNote: VerifyEd25519 = (raw, message, signature) =>
      on.verify({ algorithm: 'ed25519', spki: spkiOf(raw) }, message, signature)
    const note = await readTextOf(files)(path)
    const given = [...(trust.vkeys ?? []), ...(trust.policy?.logs.map(({ vkey }) => vkey) ?? [])]
    const trusted = [...new Set(given)].filter((vkey) => vkey.split('+')[0] === one.origin)
    if (trust.vkeys !== undefined && trusted.length === 0 && one.role === 'project')
      throw new BundleError('LOG_KEY', path, 'log_key_not_given', { origin: one.origin })
    const vkeys = trusted.length > 0 ? trusted : one.vkeys
    const opened = await within('CHECKPOINT_INVALID', path, () =>
      openCheckpoint(note, { vkeys, hash: on.sha256, verify: verifyNote, origin: one.origin }),
    )
    if (!opened.ok) throw badCheckpoint(trusted.length > 0 ? 'LOG_KEY' : 'CHECKPOINT_INVALID', path, opened, one.origin)
    await checkSpellings(files, one.name, one.vkeys, on)
    const log: BundledLog = { ...one, checkpoint: opened.checkpoint, note, cosigned: 0, cosignedFile: null }
    logs.push(log)
    const found: BundledEntry[] = []
    const { leaf } = createTreeHasher(on.sha256)
    const folder = `logs/${one.name}/entries/`
    const here = files.names.filter((file) => file.startsWith(folder) && /^\d+\.json$/.test(file.slice(folder.length)))
    for (const file of here) {
      found.push(await checkEntry(files, log, Number.parseInt(file.slice(folder.length), 10), file, { ...on, leaf }))
      onProgress({ step: 'entries', done: found.length, total: here.length })
    }
    refuseStrays(files, one.name)
    found.sort((a, b) => a.index - b.index)
    const erased = found.filter(({ erasedBy }) => erasedBy !== null)
    const cosigned = await checkCosigned(files, log, vkeys, verifyNote, on, trust)
    log.cosigned = cosigned.size
    log.cosignedFile = cosigned.file
    checks.push({
      state: 'verified',
      what: `${one.role} log ${one.origin}: checkpoint of ${counted(log.checkpoint.size, 'entry', 'entries')}`,
      code: 'log',
      values: { role: one.role, origin: one.origin, count: log.checkpoint.size },
      parts: [
        ...cosigned.checks,
        {
          state: 'verified',
          what: `${counted(found.length, 'entry', 'entries')}: inclusion, and ${counted(found.length - erased.length, 'payload')}`,
          code: 'entries',
          values: { count: found.length, payloads: found.length - erased.length },
        },
        ...erased.map(({ index, entry, erasedBy }) => ({
          state: 'erased' as const,
          what: `payload of entry ${index} (${entry.act}): erased, see ${erasedBy}`,
          code: 'payload_erased' as const,
          values: { index, act: entry.act, see: String(erasedBy) },
        })),
      ],
    })
    for (const vkey of vkeys) {
      const code = `${one.role}_log_key` as const
      rests.push({ what: `${one.role} log key`, code, value: vkey, expected: trusted.includes(vkey) })
    }
    for (const { name, vkey } of cosigned.witnesses) {
      const rest: BundleRest = {
        what: `key of the witness ${name}`,
        code: 'witness_key',
        of: name,
        value: vkey,
        expected: trust.policy !== undefined,
      }
      if (!rests.some(({ what, value }) => what === rest.what && value === vkey)) rests.push(rest)
    }
    entries.push(...found)
  }
  checkErasures(entries)
  return { logs, entries, checks, rests }
}

/** A proof or a payload of which no entry speaks: nothing was checked of it, and who opens the file would take it for checked. */
function refuseStrays(files: BundleFiles, log: string): void {
  const there = new Set(files.names)
  for (const path of files.names) {
    const [, kind, index, form] =
      /^logs\/([^/]+\/(?:entries|payloads))\/(.+)\.(tlog-proof|json|salt|erased)$/.exec(path) ?? []
    if (!kind?.startsWith(`${log}/`) || (kind.endsWith('entries') && form === 'json')) continue
    const isOfEntry = there.has(`logs/${log}/entries/${index}.json`)
    const isErased = form !== 'erased' && kind.endsWith('payloads') && there.has(`logs/${log}/payloads/${index}.erased`)
    if (!isOfEntry || isErased)
      throw new BundleError('BUNDLE_MALFORMED', path, isErased ? 'erased_beside' : 'entry_stray')
  }
}

/** The fault that a checkpoint is which is not of this log, or not signed by it. */
const badCheckpoint = (code: BundleFault, path: string, refusal: CheckpointRefusal, origin: string): BundleError =>
  refusal.code === 'CHECKPOINT_MALFORMED'
    ? new BundleError(code, path, 'unreadable', { said: refusal.reason })
    : refusal.code === 'CHECKPOINT_ORIGIN'
      ? new BundleError(code, path, 'checkpoint_origin', { origin })
      : new BundleError(code, path, 'checkpoint_signature')

/**
 * What witnesses cosigned, if they did: a beginning of this log, which they keep in mind. Whose witnesses they are the reader's policy
 * says; without one the bundle's own does, which is worth as much as the keys in it.
 */
async function checkCosigned(
  files: BundleFiles,
  log: BundledLog,
  vkeys: readonly string[],
  verify: VerifyEd25519,
  on: BundlePrimitives,
  trust: BundleTrust,
): Promise<{
  size: number
  file: number | null
  checks: BundleCheck[]
  witnesses: readonly { name: string; vkey: string }[]
}> {
  const path = `logs/${log.name}/checkpoint.cosigned`
  if (!isThere(files, path)) return { size: 0, file: null, checks: [], witnesses: [] }
  const policy =
    trust.policy ??
    (await within('CHECKPOINT_INVALID', path, async () => parsePolicy(await readTextOf(files)('policy'), on.sha256)))
  const note = await readFileOf(files)(path)
  const file = await within('CHECKPOINT_INVALID', path, () => parseCheckpoint(parseNote(fromUtf8(note)).text).size)
  const opened = await within('CHECKPOINT_INVALID', path, async () => {
    return openUnderPolicy(note, { policy, vkeys, origin: log.origin, hash: on.sha256, verify })
  })
  if (!opened.ok && trust.policy !== undefined && opened.code === 'QUORUM_NOT_MET')
    return {
      size: 0,
      file,
      checks: [
        {
          state: 'note',
          what: opened.reason,
          code: 'quorum_not_met',
          values: { quorum: policy.quorum, by: opened.by.join(', ') || 'nobody' },
        },
      ],
      witnesses: [],
    }
  if (!opened.ok && opened.code === 'QUORUM_NOT_MET')
    throw new BundleError('CHECKPOINT_INVALID', path, 'quorum_unmet', {
      quorum: policy.quorum,
      by: opened.by.join(', ') || 'nobody',
    })
  if (!opened.ok) throw badCheckpoint('CHECKPOINT_INVALID', path, opened, log.origin)
  const { size: from, root: fromRoot } = opened.checkpoint
  const { size: to, root: toRoot } = log.checkpoint
  const proofPath = `logs/${log.name}/consistency/${from}-${to}.txt`
  const proof = await within('CONSISTENCY_INVALID', proofPath, async () =>
    parseHashes(fromUtf8(await readFileOf(files)(proofPath))),
  )
  if (!verifyConsistency({ from, fromRoot, to, toRoot, proof, hash: on.sha256 }))
    throw new BundleError('CONSISTENCY_INVALID', proofPath, 'cosigned_other')
  const { cosigners } = opened
  if (cosigners.length === 0)
    return {
      size: 0,
      file,
      checks: [{ state: 'note', what: 'cosigned by no witness of the policy', code: 'cosigned_by_none' }],
      witnesses: [],
    }
  return {
    size: from,
    file,
    checks: cosigners.map(({ name, time }) => ({
      state: 'verified',
      what: `the first ${counted(from, 'entry', 'entries')}: cosigned by ${name} at ${new Date(time * 1000).toISOString()}`,
      code: 'cosigned',
      values: { count: from, name, time: new Date(time * 1000).toISOString() },
    })),
    witnesses: policy.witnesses.filter(({ name }) => cosigners.some((one) => one.name === name)),
  }
}

/** Where nobody stands for anything: what reads like a verification that somebody did is none. */
export function noteUnwitnessed(logs: readonly BundledLog[], policy: Policy | undefined): BundleCheck[] {
  if (logs.some(({ cosigned }) => cosigned > 0)) return []
  const what = 'no witness stands for any of it: whoever holds the keys of the logs could have written all of it anew'
  return policy?.quorum === 'none'
    ? [{ state: 'note', what: `the policy asks for no witness, and ${what}`, code: 'unasked' }]
    : [{ state: 'note', what, code: 'unwitnessed' }]
}

/**
 * How much of the bundle the witnesses of the reader's own policy stand for: entries below a cosigned state of their log, or below one
 * that the instance log recorded where it is cosigned. Nothing at all is a fault.
 */
export function checkQuorum(
  entries: readonly BundledEntry[],
  anchors: readonly BundledAnchor[],
  policy: Policy,
): BundleCheck[] {
  if (policy.quorum === 'none') return []
  const reaches = (log: BundledLog) =>
    Math.max(
      log.cosigned,
      ...anchors.filter((one) => one.log === log && one.index < one.instance.cosigned).map(({ size }) => size),
    )
  const own = entries.filter(({ log }) => log.role === 'project')
  const after = own.filter(({ log, index }) => index >= reaches(log))
  if (own.length === after.length)
    throw new BundleError('QUORUM_NOT_MET', 'logs', 'nothing_cosigned', { quorum: policy.quorum })
  const what = `${counted(own.length - after.length, 'entry', 'entries')} of this bundle: the quorum of the policy stands for them`
  return [
    { state: 'verified', what, code: 'quorum', values: { count: own.length - after.length } },
    ...(after.length === 0
      ? []
      : [
          {
            state: 'note' as const,
            what: `${counted(after.length, 'entry', 'entries')} came after that`,
            code: 'after_quorum' as const,
            values: { count: after.length },
          },
        ]),
  ]
}

/** PEM and policy beside the description are other spellings of the same keys: for openssl, and for other tools. */
async function checkSpellings(
  files: BundleFiles,
  name: string,
  vkeys: readonly string[],
  on: BundlePrimitives,
): Promise<void> {
  const read = readFileOf(files)
  const spkis = vkeys.map((vkey) => toHex(spkiOf(parseVkey(vkey, on.sha256).publicKey)))
  const path = `logs/${name}/log.pem`
  const pem = await within('LOG_KEY', path, async () => toHex(parsePem(fromUtf8(await read(path)))))
  if (!spkis.includes(pem)) throw new BundleError('LOG_KEY', path, 'log_key_spelling')
  const policy = (await readTextOf(files)('policy')).split('\n')
  for (const vkey of vkeys)
    if (!policy.some((line) => line === `log ${vkey}` || line.startsWith(`log ${vkey} `)))
      throw new BundleError('LOG_KEY', 'policy', 'log_key_unnamed', { vkey })
}

async function checkEntry(
  files: BundleFiles,
  log: BundledLog,
  index: number,
  path: string,
  on: BundlePrimitives & Pick<TreeHasher, 'leaf'>,
): Promise<BundledEntry> {
  const read = readFileOf(files)
  const bytes = await files.read(path)
  const entry = await within('ENTRY_MALFORMED', path, () => decodeEntry(bytes))
  const proofPath = path.replace(/json$/, 'tlog-proof')
  const proof = await read(proofPath)
  const parsed = await within('PROOF_INVALID', proofPath, () => parseLogProof(proof))
  // All proofs of a log are against one checkpoint, which was verified before.
  if (path !== `logs/${log.name}/entries/${parsed.index}.json` || parsed.checkpoint !== log.note)
    throw new BundleError('PROOF_INVALID', proofPath, 'proof_of_other')
  const { size, root } = log.checkpoint
  if (!verifyInclusion({ leaf: on.leaf(bytes), index, size, root, proof: parsed.hashes, hash: on.sha256 }))
    throw new BundleError('PROOF_INVALID', proofPath, 'not_included', { index })
  return { log, index, entry, ...(await readPayload(files, log, index, entry, on)), path }
}

async function readPayload(
  files: BundleFiles,
  log: BundledLog,
  index: number,
  entry: Entry,
  on: BundlePrimitives,
): Promise<Pick<BundledEntry, 'event' | 'erasedBy'>> {
  const base = `logs/${log.name}/payloads/${index}`
  if (isThere(files, `${base}.erased`)) {
    const note = await readTextOf(files)(`${base}.erased`)
    const erasedBy = /^erased, see ((?:project-\d+\/)?\d+)\n$/.exec(note)?.[1]
    if (erasedBy === undefined) throw new BundleError('PAYLOAD_MISSING', `${base}.erased`, 'erasure_form')
    return { event: null, erasedBy }
  }
  if (!isThere(files, `${base}.json`) || !isThere(files, `${base}.salt`))
    throw new BundleError('PAYLOAD_MISSING', `${base}.json`, 'payload_absent')
  const payload = await files.read(`${base}.json`)
  return within('PAYLOAD_CHANGED', `${base}.json`, async () => {
    const salt = fromUtf8(await files.read(`${base}.salt`))
    if (!/^[0-9a-f]{64}\n$/.test(salt)) throw new BundleError('PAYLOAD_CHANGED', `${base}.json`, 'salt_form')
    if (entry.pl.find(({ n }) => n === 'event')?.c !== commitment(payload, fromHex(salt.trim()), on.sha256))
      throw new BundleError('PAYLOAD_CHANGED', `${base}.json`, 'payload_other')
    return { event: Object(JSON.parse(fromUtf8(payload))) as Record<string, unknown>, erasedBy: null }
  })
}

/** An erased payload names the entry that tells of the erasure; that entry is here, and its leaf names what it erased. */
function checkErasures(entries: readonly BundledEntry[]): void {
  const byPlace = new Map(entries.map((one) => [`${one.log.name}/${one.index}`, one]))
  for (const { index, erasedBy, entry, log } of entries) {
    if (erasedBy === null) continue
    const [name, place] = erasedBy.includes('/') ? erasedBy.split('/') : [log.name, erasedBy]
    const told = byPlace.get(`${name}/${Number(place)}`)
    if (told?.entry.act !== 'payload.erased' || told.entry.res !== entry.id)
      throw new BundleError('PAYLOAD_MISSING', `logs/${log.name}/payloads/${index}.erased`, 'erasure_untold')
  }
}

/** A proof file: base64 hashes, one a line. */
function parseHashes(text: string): Uint8Array[] {
  if (text !== '' && !text.endsWith('\n')) throw new Error('it does not end in a newline')
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => fromBase64(line))
}

/** Project logs whose state the instance log recorded: so that a cosignature of the instance log covers them too. */
export async function checkAnchors(
  files: BundleFiles,
  entries: readonly BundledEntry[],
  logs: readonly BundledLog[],
  on: BundlePrimitives,
): Promise<{ checks: BundleCheck[]; anchors: BundledAnchor[] }> {
  const checks: BundleCheck[] = []
  const anchors: BundledAnchor[] = []
  for (const { entry, event, path, index, log: instance } of entries) {
    if (instance.role !== 'instance' || entry.act !== 'project.checkpoint') continue
    const details = Object(event?.details) as { origin?: unknown; size?: unknown; root?: unknown }
    const log = logs.find(({ role, origin }) => role === 'project' && origin === details.origin)
    const size = Number(details.size)
    if (!log) throw new BundleError('ANCHOR_INVALID', path, 'anchor_of_other')
    const proofPath = `logs/${log.name}/consistency/${size}-${log.checkpoint.size}.txt`
    const proof = await within('CONSISTENCY_INVALID', proofPath, async () =>
      parseHashes(fromUtf8(await readFileOf(files)(proofPath))),
    )
    const fromRoot = await within('ANCHOR_INVALID', path, () => fromBase64(String(details.root)))
    const { size: to, root: toRoot } = log.checkpoint
    if (!verifyConsistency({ from: size, fromRoot, to, toRoot, proof, hash: on.sha256 }))
      throw new BundleError('CONSISTENCY_INVALID', proofPath, 'anchor_state')
    anchors.push({ log, size, instance, index })
    const covered = entries.filter((one) => one.log === log && one.index < size).length
    checks.push({
      state: 'verified',
      what: `the instance log recorded the first ${counted(size, 'entry', 'entries')} of ${log.origin}: ${counted(covered, 'entry', 'entries')} of this bundle`,
      code: 'anchored',
      values: { size, origin: log.origin, count: covered },
    })
  }
  if (checks.length === 0)
    checks.push({ state: 'note', what: 'the instance log had not recorded this log yet', code: 'not_anchored' })
  return { checks, anchors }
}

/** A proof of consistency that leads from nothing of this bundle was checked by nobody, and who opens the file would take it for checked. */
export function refuseStrayProofs(
  files: BundleFiles,
  logs: readonly BundledLog[],
  anchors: readonly BundledAnchor[],
): void {
  const needed = new Set<string>()
  const need = (log: BundledLog, size: number) =>
    needed.add(`logs/${log.name}/consistency/${size}-${log.checkpoint.size}.txt`)
  for (const log of logs) if (log.cosignedFile !== null) need(log, log.cosignedFile)
  for (const { log, size } of anchors) need(log, size)
  const stray = files.names.find((name) => /^logs\/[^/]+\/consistency\//.test(name) && !needed.has(name))
  if (stray !== undefined) throw new BundleError('BUNDLE_MALFORMED', stray, 'proof_stray')
}
