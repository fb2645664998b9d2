import { fromBase64, fromUtf8, parseDecimal, toBase64 } from './bytes.ts'
import { type Checkpoint, type CheckpointRefusal, openCheckpoint } from './checkpoint.ts'
import { HASH_BYTES, type Hash } from './merkle.ts'
import { parseNote, SIGNATURE_COSIGNATURE, type Signer, type VerifyEd25519 } from './note.ts'
import { verifyInclusion } from './proof.ts'

// The `.tlog-proof` file, c2sp.org/tlog-proof@v1: all a stranger needs, beside the keys, to check one entry offline.

/** `extra` is authenticated by nothing. `hashes` run from the leaf's sibling up. `checkpoint` is the note verbatim. */
export type LogProof = { extra?: Uint8Array; index: number; hashes: Uint8Array[]; checkpoint: string }

const HEAD = 'c2sp.org/tlog-proof@v1'

/** The proof as a file's text. */
export function formatLogProof({ extra, index, hashes, checkpoint }: LogProof): string {
  const lines = [HEAD, ...(extra ? [`extra ${toBase64(extra)}`] : []), `index ${index}`, ...hashes.map(toBase64)]
  const text = `${lines.join('\n')}\n\n${checkpoint}`
  parseLogProof(text)
  return text
}

/** Takes a proof apart. Throws with the reason on anything the format does not allow; verifies nothing. */
export function parseLogProof(proof: string | Uint8Array): LogProof {
  const whole = typeof proof === 'string' ? proof : fromUtf8(proof)
  const split = whole.indexOf('\n\n')
  if (split < 0) throw new Error('a proof has a blank line before its checkpoint')
  const [head, ...lines] = whole.slice(0, split).split('\n')
  if (head !== HEAD) throw new Error(`a proof starts with ${HEAD}`)
  const extra = lines[0]?.startsWith('extra ') ? fromBase64(lines.shift()!.slice(6)) : undefined
  const indexLine = lines.shift() ?? ''
  const index = indexLine.startsWith('index ') ? parseDecimal(indexLine.slice(6)) : null
  if (index === null) throw new Error('a proof has a line "index <decimal>"')
  if (lines.length > 63) throw new Error('a proof has at most 63 hashes')
  const hashes = lines.map(fromBase64)
  if (hashes.some((hash) => hash.length !== HASH_BYTES)) throw new Error('each hash of a proof has 32 bytes')
  const checkpoint = whole.slice(split + 2)
  parseNote(checkpoint)
  return extra ? { extra, index, hashes, checkpoint } : { index, hashes, checkpoint }
}

export type LogProofVerdict =
  | { ok: true; checkpoint: Checkpoint; index: number; signers: Signer[] }
  | CheckpointRefusal
  | { ok: false; code: 'PROOF_MALFORMED' | 'PROOF_INVALID' | 'QUORUM_NOT_MET'; reason: string }

/**
 * Verifies that the entry with this leaf hash is in the log that the proof's checkpoint describes.
 *
 * `vkeys` are the log's keys, `witnesses` the cosigners that count; at least `quorum` (0 if left out) different ones
 * must have cosigned. Times of cosignatures are returned, not judged. Throws only on a malformed vkey.
 */
export async function verifyLogProof(claim: {
  proof: string | Uint8Array
  leaf: Uint8Array
  vkeys: readonly string[]
  witnesses?: readonly string[]
  quorum?: number
  origin?: string
  hash: Hash
  verify: VerifyEd25519
}): Promise<LogProofVerdict> {
  const { leaf, vkeys, witnesses = [], quorum = 0, origin, hash, verify } = claim
  let proof: LogProof
  try {
    proof = parseLogProof(claim.proof)
  } catch (error) {
    return { ok: false, code: 'PROOF_MALFORMED', reason: error instanceof Error ? error.message : String(error) }
  }
  const opened = await openCheckpoint(proof.checkpoint, { vkeys: [...vkeys, ...witnesses], hash, verify, origin })
  if (!opened.ok) return opened
  const { checkpoint, signers } = opened
  // One witness may have signed with two keys; it still is one witness.
  const cosigners = new Set(signers.filter((s) => s.type === SIGNATURE_COSIGNATURE).map((s) => s.name))
  if (cosigners.size < quorum) {
    return { ok: false, code: 'QUORUM_NOT_MET', reason: `${cosigners.size} of ${quorum} witnesses have cosigned` }
  }
  const { size, root } = checkpoint
  if (!verifyInclusion({ leaf, index: proof.index, size, root, proof: proof.hashes, hash })) {
    return { ok: false, code: 'PROOF_INVALID', reason: `the entry is not entry ${proof.index} of this checkpoint` }
  }
  return { ok: true, checkpoint, index: proof.index, signers }
}
