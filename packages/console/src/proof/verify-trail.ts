import type { Trail } from '@writ/api'
import {
  APPROVAL_NAMESPACE,
  type BundlePrimitives,
  commitment,
  createTreeHasher,
  decodeEntry,
  type Entry,
  equalBytes,
  fromBase64,
  fromBase64Url,
  fromHex,
  openCheckpoint,
  parseEnvelope,
  parsePem,
  parseSshSignature,
  parseStatement,
  type Statement,
  toHex,
  toUtf8,
  type VerifyEd25519,
  verifyEnvelope,
  verifyInclusion,
  verifyPasskey,
  verifySshSignature,
} from '@writ/tlog'

/** One check with how it ended. `unchecked` says that there was nothing to check it with. */
export interface Check {
  readonly what: 'checkpoint' | 'inclusion' | 'payload' | 'attestation' | 'person' | 'entry'
  readonly state: 'good' | 'bad' | 'unchecked'
  /** Why it is bad or was not checked, in the verifier's words. */
  readonly reason?: string
}

/** An entry as it was found, with everything that was checked about it on this machine. */
export interface VerifiedEntry {
  readonly shown: Trail['entries'][number]
  readonly entry: Entry | null
  readonly event: Record<string, unknown> | null
  readonly checks: readonly Check[]
  readonly statements: readonly Statement[]
  readonly good: boolean
}

export interface VerifiedTrail {
  readonly good: boolean
  readonly entries: readonly VerifiedEntry[]
  /** Sizes and roots of the checkpoints that everything leads to, by shard. */
  readonly checkpoints: ReadonlyMap<number, { size: number; root: Uint8Array; origin: string }>
}

type Primitives = BundlePrimitives & { verifyEd25519: VerifyEd25519 }
const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

/**
 * Verifies what the server says proves a ticket or a run: the log's signature on each checkpoint, each entry's place under
 * it, payloads against their commitments, attestations against the platform's key, and people's own signatures. What it
 * rests on are the keys in the trail: whoever does not trust the server compares them with a copy from elsewhere.
 */
export async function verifyTrail(trail: Trail, on: Primitives): Promise<VerifiedTrail> {
  const checkpoints = new Map<number, { size: number; root: Uint8Array; origin: string }>()
  const refused = new Map<number, string>()
  for (const { shard, checkpoint, vkeys, origin } of trail.logs) {
    if (checkpoint === null) {
      refused.set(shard, 'the log has published no checkpoint yet')
      continue
    }
    const opened = await openCheckpoint(checkpoint, { vkeys, origin, hash: on.sha256, verify: on.verifyEd25519 })
    if (opened.ok) checkpoints.set(shard, opened.checkpoint)
    else refused.set(shard, opened.reason)
  }
  const entries: VerifiedEntry[] = []
  for (const shown of trail.entries) {
    const at = checkpoints.get(shown.shard)
    entries.push(await verifyEntry(trail, shown, at, refused.get(shown.shard), on))
  }
  return { good: entries.length > 0 && entries.every(({ good }) => good), entries, checkpoints }
}

async function verifyEntry(
  trail: Trail,
  shown: Trail['entries'][number],
  checkpoint: { size: number; root: Uint8Array } | undefined,
  refusal: string | undefined,
  on: Primitives,
): Promise<VerifiedEntry> {
  const checks: Check[] = []
  const statements: Statement[] = []
  const bytes = fromBase64(shown.entry)
  let entry: Entry | null = null
  let event: Record<string, unknown> | null = null
  try {
    entry = decodeEntry(bytes)
    // Beside what is shown stands what is proven: the one must be the other.
    const same = entry.id === shown.event_id && entry.act === shown.event_type && entry.res === shown.resource_id
    checks.push(
      same ? { what: 'entry', state: 'good' } : { what: 'entry', state: 'bad', reason: 'it is of another event' },
    )
  } catch (error) {
    checks.push({ what: 'entry', state: 'bad', reason: messageOf(error) })
  }
  if (!checkpoint) {
    const none = trail.logs.some(({ shard, checkpoint: note }) => shard === shown.shard && note === null)
    checks.push({ what: 'checkpoint', state: none ? 'unchecked' : 'bad', ...(refusal ? { reason: refusal } : {}) })
  } else {
    checks.push({ what: 'checkpoint', state: 'good' })
    checks.push(checkInclusion(shown, bytes, checkpoint, on))
  }
  if (shown.payload !== null && shown.salt !== null) {
    const salted = commitment(toUtf8(shown.payload), fromHex(shown.salt), on.sha256)
    const good = entry?.pl.some(({ n, c }) => n === 'event' && c === salted) === true
    checks.push(
      good
        ? { what: 'payload', state: 'good' }
        : { what: 'payload', state: 'bad', reason: 'the entry commits to another text' },
    )
    if (good) event = JSON.parse(shown.payload) as Record<string, unknown>
  } else {
    const reason = shown.erased
      ? 'the payload was erased; the log says by whom'
      : 'only auditors and admins get the payload'
    checks.push({ what: 'payload', state: 'unchecked', reason })
  }
  for (const digest of entry?.att ?? []) {
    const { check, statement, payload } = await checkAttestation(trail, digest.replace('sha256:', ''), on)
    checks.push(check)
    if (statement) statements.push(statement)
    if (payload) checks.push(...(await checkPeople(trail, payload, on)))
  }
  return { shown, entry, event, checks, statements, good: checks.every(({ state }) => state !== 'bad') }
}

function checkInclusion(
  shown: Trail['entries'][number],
  bytes: Uint8Array,
  { size, root }: { size: number; root: Uint8Array },
  on: Primitives,
): Check {
  if (shown.hashes === null) {
    return { what: 'inclusion', state: 'unchecked', reason: 'the next checkpoint will hold it' }
  }
  const leaf = createTreeHasher(on.sha256).leaf(bytes)
  const proof = shown.hashes.map(fromBase64)
  return verifyInclusion({ leaf, index: shown.log_index, size, root, proof, hash: on.sha256 })
    ? { what: 'inclusion', state: 'good' }
    : { what: 'inclusion', state: 'bad', reason: `it is not entry ${shown.log_index} of this log` }
}

async function checkAttestation(
  trail: Trail,
  digest: string,
  on: Primitives,
): Promise<{ check: Check; statement?: Statement; payload?: Uint8Array }> {
  const found = trail.attestations.find((one) => one.digest === digest)
  const bad = (reason: string) => ({ check: { what: 'attestation', state: 'bad', reason } as const })
  if (!found) return bad('the attestation that the entry names is missing')
  try {
    const envelope = parseEnvelope(found.envelope)
    if (toHex(on.sha256(envelope.payload)) !== digest) return bad('it is another statement than the entry names')
    const keys = trail.keys.map(({ public_pem }) => parsePem(public_pem))
    if ((await verifyEnvelope(envelope, keys, on.verify)) < 0) return bad('no key of this instance signed it')
    const statement = parseStatement(envelope.payload)
    return { check: { what: 'attestation', state: 'good' }, statement, payload: envelope.payload }
  } catch (error) {
    return bad(messageOf(error))
  }
}

/** The signatures of people over exactly this statement. */
async function checkPeople(trail: Trail, payload: Uint8Array, on: Primitives): Promise<Check[]> {
  const checks: Check[] = []
  for (const one of trail.signatures) {
    const statement = toUtf8(one.statement)
    if (!equalBytes(statement, payload)) continue
    try {
      const spki = fromBase64(one.public_key)
      const good =
        one.type === 'ssh'
          ? await sshGood(one.signature, spki, statement, on)
          : (
              await verifyPasskey({
                assertion: assertionOf(one.signature),
                statement,
                spki,
                rpId: one.rp_id ?? '',
                ...on,
              })
            ).ok
      checks.push(
        good
          ? { what: 'person', state: 'good' }
          : { what: 'person', state: 'bad', reason: 'the signature is not valid' },
      )
    } catch (error) {
      checks.push({ what: 'person', state: 'bad', reason: messageOf(error) })
    }
  }
  return checks
}

async function sshGood(text: string, spki: Uint8Array, statement: Uint8Array, on: Primitives): Promise<boolean> {
  const signed = parseSshSignature(text)
  return equalBytes(signed.spki, spki) && (await verifySshSignature(signed, statement, APPROVAL_NAMESPACE, on))
}

function assertionOf(text: string) {
  // As the server keeps it: the three parts, base64url.
  const kept = JSON.parse(text) as { authenticator_data: string; client_data_json: string; signature: string }
  return {
    authenticatorData: fromBase64Url(kept.authenticator_data),
    clientDataJson: fromBase64Url(kept.client_data_json),
    signature: fromBase64Url(kept.signature),
  }
}
