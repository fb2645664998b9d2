import { equalBytes, fromBase64, fromUtf8 } from './bytes.ts'
import type { Checkpoint } from './checkpoint.ts'
import { commitment, decodeEntry } from './entry.ts'
import { parseLogProof, verifyLogProof } from './log-proof.ts'
import { createTreeHasher, HASH_BYTES, type Hash } from './merkle.ts'
import type { VerifyEd25519 } from './note.ts'
import { openUnderPolicy, type Policy } from './policy.ts'
import { verifyConsistency } from './proof.ts'

// A project's log is anchored through the instance's: an entry `project.checkpoint` of the instance log holds the state of
// the project's log, and witnesses cosign the instance log. So witnesses need to know one log, and none of the projects.

/** The event type of the instance log's entry. */
export const PROJECT_CHECKPOINT_ACT = 'project.checkpoint'

/** Evidence that the state of a project's log stands under a cosigned checkpoint of the instance log. */
export type Anchor = {
  /** The instance log's entry. */
  entry: Uint8Array
  /** The event that the entry commits to, and the salt of the commitment. */
  payload: Uint8Array
  salt: Uint8Array
  /** A tlog-proof file: the entry under a checkpoint of the instance log, with the witnesses' cosignatures. */
  proof: string
}

/** The state of a project's log as the instance log recorded it. */
export type RecordedState = { origin: string; size: number; root: Uint8Array }

export type AnchorVerdict =
  | {
      ok: true
      recorded: RecordedState
      instance: Checkpoint
      index: number
      cosigners: { name: string; time: number }[]
    }
  | { ok: false; code: string; reason: string }

type Trust = {
  policy: Policy
  /** Keys of the instance log, for a policy that names no log. */
  vkeys?: readonly string[]
  hash: Hash
  verify: VerifyEd25519
}

/** The state that an event of type `project.checkpoint` records. Throws with the reason if it is none. */
export function parseRecordedState(payload: Uint8Array): RecordedState {
  const event: unknown = JSON.parse(fromUtf8(payload))
  const details = field(event, 'details')
  const [origin, size, root] = ['origin', 'size', 'root'].map((name) => field(details, name))
  if (field(event, 'event_type') !== PROJECT_CHECKPOINT_ACT) throw new Error('the event is no project.checkpoint')
  if (typeof origin !== 'string' || typeof root !== 'string') throw new Error('the event names no log')
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw new Error('the event names no size')
  const bytes = fromBase64(root)
  if (bytes.length !== HASH_BYTES) throw new Error('the root of the event is not 32 bytes')
  return { origin, size, root: bytes }
}

const field = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null && name in value ? Reflect.get(value, name) : undefined

/**
 * Verifies an anchor under a policy: the event is what the entry commits to, the entry is in the instance log, and the
 * checkpoint of the instance log has the quorum. Answers the state of the project's log that is anchored by it.
 */
export async function verifyAnchor(anchor: Anchor, trust: Trust): Promise<AnchorVerdict> {
  const { hash, verify } = trust
  const fail = (reason: string) => ({ ok: false, code: 'ANCHOR_INVALID', reason }) as const
  let recorded: RecordedState
  let checkpoint: string
  try {
    const { act, pl } = decodeEntry(anchor.entry)
    if (act !== PROJECT_CHECKPOINT_ACT) return fail(`the entry is a ${act}`)
    const payload = pl.find(({ n }) => n === 'event')
    if (payload?.c !== commitment(anchor.payload, anchor.salt, hash))
      return fail('the event is not the one that the entry commits to')
    recorded = parseRecordedState(anchor.payload)
    checkpoint = parseLogProof(anchor.proof).checkpoint
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error))
  }
  const opened = await openUnderPolicy(checkpoint, trust)
  if (!opened.ok) return opened
  // The log's key is known now by the checkpoint itself; what is left is the entry's place under it.
  const vkeys = [...trust.policy.logs.map((log) => log.vkey), ...(trust.vkeys ?? [])]
  const leaf = createTreeHasher(hash).leaf(anchor.entry)
  const proven = await verifyLogProof({ proof: anchor.proof, leaf, vkeys, hash, verify })
  if (!proven.ok) return proven
  return { ok: true, recorded, instance: opened.checkpoint, index: proven.index, cosigners: opened.cosigners }
}

/**
 * Verifies that one entry of a project's log is anchored: `proof` shows it under a checkpoint of the project's log, whose
 * tree is the recorded one or, shown by `consistency`, a beginning of it.
 */
export async function verifyAnchoredEntry(claim: {
  entry: Uint8Array
  /** A tlog-proof file under a checkpoint of the project's log. */
  proof: string
  /** From the size of that checkpoint to the recorded size; empty if they are the same. */
  consistency: readonly Uint8Array[]
  /** Keys of the project's log. */
  vkeys: readonly string[]
  anchor: Anchor
  trust: Trust
}): Promise<AnchorVerdict> {
  const { hash, verify } = claim.trust
  const anchored = await verifyAnchor(claim.anchor, claim.trust)
  if (!anchored.ok) return anchored
  const { recorded } = anchored
  const leaf = createTreeHasher(hash).leaf(claim.entry)
  const own = await verifyLogProof({
    proof: claim.proof,
    leaf,
    vkeys: claim.vkeys,
    origin: recorded.origin,
    hash,
    verify,
  })
  if (!own.ok) return own
  const { size, root } = own.checkpoint
  const continued =
    size === recorded.size
      ? claim.consistency.length === 0 && equalBytes(root, recorded.root)
      : verifyConsistency({
          from: size,
          fromRoot: root,
          to: recorded.size,
          toRoot: recorded.root,
          proof: claim.consistency,
          hash,
        })
  if (!continued) {
    const reason = `the ${size} entries of the proof were not shown to be in the ${recorded.size} that are anchored`
    return { ok: false, code: 'ANCHOR_INVALID', reason }
  }
  return anchored
}
