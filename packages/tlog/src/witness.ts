import { equalBytes, fromBase64, parseDecimal, toBase64 } from './bytes.ts'
import { type Checkpoint, openCheckpoint, parseCheckpoint } from './checkpoint.ts'
import { createTreeHasher, HASH_BYTES, type Hash } from './merkle.ts'
import { type NoteSignature, parseNote, type VerifyEd25519 } from './note.ts'
import { verifyConsistency } from './proof.ts'

// The witness protocol, c2sp.org/tlog-witness: what a log sends to add-checkpoint, and what a witness makes of it.

/** The body of add-checkpoint. `old` is the size that the witness cosigned last, as the log believes. */
export type Submission = { old: number; proof: readonly Uint8Array[]; checkpoint: string }

const MAX_PROOF = 63

/** The body as text. */
export function formatSubmission({ old, proof, checkpoint }: Submission): string {
  const text = [`old ${old}`, ...proof.map(toBase64), '', checkpoint].join('\n')
  parseSubmission(text)
  return text
}

/** Takes a body apart. Throws with the reason on anything that the protocol does not allow; verifies nothing. */
export function parseSubmission(body: string): Submission {
  const split = body.indexOf('\n\n')
  if (split < 0) throw new Error('a submission has an empty line before its checkpoint')
  const [head = '', ...lines] = body.slice(0, split).split('\n')
  const old = head.startsWith('old ') ? parseDecimal(head.slice(4)) : null
  if (old === null) throw new Error('a submission starts with a line "old <decimal>"')
  if (lines.length > MAX_PROOF) throw new Error(`a consistency proof has at most ${MAX_PROOF} hashes`)
  const proof = lines.map(fromBase64)
  if (proof.some((hash) => hash.length !== HASH_BYTES)) throw new Error('each hash of a proof has 32 bytes')
  const checkpoint = body.slice(split + 2)
  parseNote(checkpoint)
  return { old, proof, checkpoint }
}

/** What a witness remembers of a log: the state that it cosigned last. */
export type Witnessed = { size: number; root: Uint8Array }

/** What a witness answers: 200 to cosign `text`, which `signatures` of the log's keys stand under, or a refusal; `size` with 409 is the body of the answer. */
export type WitnessVerdict =
  | { status: 200; checkpoint: Checkpoint; text: string; signatures: NoteSignature[] }
  | { status: 400 | 403 | 404 | 422; reason: string }
  | { status: 409; size: number; reason: string }

/**
 * Decides about a submission. `vkeysOf` answers the keys trusted for an origin, null for a log that this witness does
 * not know; `lastOf` what it cosigned last for it, null if nothing. The caller makes this and the keeping of the new
 * state one step: of two submissions at once, the later must see the earlier.
 */
export async function judgeSubmission(
  body: string,
  witness: {
    vkeysOf: (origin: string) => readonly string[] | null
    lastOf: (origin: string) => Promise<Witnessed | null>
    hash: Hash
    verify: VerifyEd25519
  },
): Promise<WitnessVerdict> {
  const { hash, verify } = witness
  let submission: Submission
  let origin: string
  try {
    submission = parseSubmission(body)
    origin = parseCheckpoint(parseNote(submission.checkpoint).text).origin
  } catch (error) {
    return { status: 400, reason: error instanceof Error ? error.message : String(error) }
  }
  const vkeys = witness.vkeysOf(origin)
  if (vkeys === null) return { status: 404, reason: `no log ${origin} is known here` }
  const opened = await openCheckpoint(submission.checkpoint, { vkeys, hash, verify, origin })
  if (!opened.ok) return { status: 403, reason: opened.reason }
  const { size, root } = opened.checkpoint
  const { old, proof, checkpoint } = submission
  if (old > size) return { status: 400, reason: `the old size ${old} is larger than the checkpoint's ${size}` }
  const empty = createTreeHasher(hash).empty()
  const last = (await witness.lastOf(origin)) ?? { size: 0, root: empty }
  if (old !== last.size)
    return { status: 409, size: last.size, reason: `cosigned ${last.size} entries last, not ${old}` }
  if (size === 0 && !equalBytes(root, empty))
    return { status: 422, reason: 'no entries, but not the root of the empty tree' }
  if (old === size ? !equalBytes(root, last.root) : false)
    return { status: 422, reason: `another root for the same ${size} entries` }
  // Nothing to prove from the empty tree, and between equal ones; a proof where none belongs is refused all the same.
  const proven =
    old === 0 || old === size
      ? proof.length === 0
      : verifyConsistency({ from: old, fromRoot: last.root, to: size, toRoot: root, proof, hash })
  if (!proven) return { status: 422, reason: `${size} entries were not shown to continue the ${old} cosigned before` }
  const { text, signatures } = parseNote(checkpoint)
  // Lines by strangers were not verified, so they are not handed on under the witness's name.
  const known = signatures.filter((line) => opened.signers.some((s) => s.name === line.name && s.keyId === line.keyId))
  return { status: 200, checkpoint: opened.checkpoint, text, signatures: known }
}
