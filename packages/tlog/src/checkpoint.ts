import { fromBase64, fromUtf8, parseDecimal, toBase64 } from './bytes.ts'
import { HASH_BYTES, type Hash } from './merkle.ts'
import {
  formatNote,
  parseNote,
  parseVkey,
  SIGNATURE_ED25519,
  type SignEd25519,
  type Signer,
  signText,
  type VerifyEd25519,
  verifyNote,
} from './note.ts'

// Checkpoints, c2sp.org/tlog-checkpoint: the signed statement "the log named origin has size entries and this root".

/** The state of a log. `extensions` are further lines; Writ writes none, and none are audited. */
export type Checkpoint = { origin: string; size: number; root: Uint8Array; extensions?: string[] }

/** The text that is signed: origin, size and base64 root, one per line. Throws on a value that has no place in it. */
export function formatCheckpoint({ origin, size, root, extensions = [] }: Checkpoint): string {
  const text = `${[origin, size, toBase64(root), ...extensions].join('\n')}\n`
  parseCheckpoint(text)
  return text
}

/** The state a checkpoint's text claims. Throws with the reason on any other text; verifies no signature. */
export function parseCheckpoint(text: string): Checkpoint {
  if (!text.endsWith('\n')) throw new Error('a checkpoint ends in a newline')
  const [origin = '', sizeText = '', rootText = '', ...extensions] = text.slice(0, -1).split('\n')
  if (origin === '') throw new Error('a checkpoint starts with its origin')
  const size = parseDecimal(sizeText)
  if (size === null) throw new Error('the second line of a checkpoint is its size in plain decimal')
  const root = fromBase64(rootText)
  if (root.length !== HASH_BYTES) throw new Error('the third line of a checkpoint is a root of 32 bytes in base64')
  if (extensions.includes('')) throw new Error('an extension line is not empty')
  return extensions.length > 0 ? { origin, size, root, extensions } : { origin, size, root }
}

/** A checkpoint as a note with one Ed25519 signature under the origin's name. */
export async function signCheckpoint(
  checkpoint: Checkpoint,
  key: { publicKey: Uint8Array },
  sign: SignEd25519,
  hash: Hash,
): Promise<string> {
  const text = formatCheckpoint(checkpoint)
  return formatNote(text, [await signText(text, { name: checkpoint.origin, publicKey: key.publicKey }, sign, hash)])
}

/** Why a checkpoint was refused. */
export type CheckpointRefusal = {
  ok: false
  code: 'CHECKPOINT_MALFORMED' | 'CHECKPOINT_ORIGIN' | 'CHECKPOINT_SIGNATURE'
  reason: string
}

/**
 * Parses a signed checkpoint and verifies it. It must carry a good Ed25519 signature by a key named like its origin:
 * cosignatures alone do not make it the log's. Throws if a vkey itself is malformed: that is the caller's mistake.
 */
export async function openCheckpoint(
  note: string | Uint8Array,
  trust: { vkeys: readonly string[]; hash: Hash; verify: VerifyEd25519; origin?: string | undefined },
): Promise<{ ok: true; checkpoint: Checkpoint; signers: Signer[]; note: string } | CheckpointRefusal> {
  const logKeys = trust.vkeys.map((vkey) => parseVkey(vkey, trust.hash)).filter((key) => key.type === SIGNATURE_ED25519)
  let checkpoint: Checkpoint
  let whole: string
  let parsed: ReturnType<typeof parseNote>
  try {
    whole = typeof note === 'string' ? note : fromUtf8(note)
    parsed = parseNote(whole)
    checkpoint = parseCheckpoint(parsed.text)
  } catch (error) {
    return { ok: false, code: 'CHECKPOINT_MALFORMED', reason: error instanceof Error ? error.message : String(error) }
  }
  const { origin } = checkpoint
  if ((trust.origin !== undefined && origin !== trust.origin) || !logKeys.some((key) => key.name === origin)) {
    return { ok: false, code: 'CHECKPOINT_ORIGIN', reason: `no key is given for the origin ${JSON.stringify(origin)}` }
  }
  const verified = await verifyNote(parsed, trust)
  if (!verified.ok) return { ok: false, code: 'CHECKPOINT_SIGNATURE', reason: verified.reason }
  if (!verified.signers.some((signer) => signer.type === SIGNATURE_ED25519 && signer.name === origin)) {
    return { ok: false, code: 'CHECKPOINT_SIGNATURE', reason: 'cosigned, but not signed by the log' }
  }
  return { ok: true, checkpoint, signers: verified.signers, note: whole }
}
