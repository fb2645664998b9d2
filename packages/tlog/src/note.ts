import { concatBytes, fromBase64, fromHex, fromUtf8, toBase64, toHex, toUtf8 } from './bytes.ts'
import type { Hash } from './merkle.ts'

// Signed notes, c2sp.org/signed-note: text, a blank line, signature lines. The text means nothing until a signature by a
// key that the reader already trusts has been verified.

/** Verifies one raw Ed25519 signature (64 bytes) with a raw public key (32 bytes). Answers false, never throws, on bad keys. */
export type VerifyEd25519 = (
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
) => boolean | Promise<boolean>

/** Signs bytes with an Ed25519 key that only the caller holds; 64 bytes. */
export type SignEd25519 = (message: Uint8Array) => Uint8Array | Promise<Uint8Array>

/** Signature types we verify: an Ed25519 note signature, and a timestamped Ed25519 cosignature of a checkpoint. */
export const SIGNATURE_ED25519 = 0x01
export const SIGNATURE_COSIGNATURE = 0x04

/** A public key with its name. `keyId` is an unsigned 32-bit hint, no fingerprint: anyone can make another key with it. */
export type VerifierKey = { name: string; keyId: number; type: number; publicKey: Uint8Array }

/** One signature line. `signature` is what follows the key id: 64 bytes, or 8 bytes of time and 64 for a cosignature. */
export type NoteSignature = { name: string; keyId: number; signature: Uint8Array }

/** `text` ends in a newline and excludes the blank line: these are the signed bytes. */
export type Note = { text: string; signatures: NoteSignature[] }

/** A verified signature. `time`, in Unix seconds, only from cosignatures. */
export type Signer = { name: string; keyId: number; type: number; time?: number }

const MAX_SIGNATURES = 100
const DASH = '— '

/** First four bytes of SHA-256(name || newline || type || public key), as an unsigned integer (c2sp.org/signed-note). */
export function keyId(key: { name: string; type: number; publicKey: Uint8Array }, hash: Hash): number {
  const digest = hash(concatBytes([toUtf8(`${key.name}\n`), Uint8Array.of(key.type), key.publicKey]))
  return new DataView(digest.buffer, digest.byteOffset, 4).getUint32(0)
}

/** A verifier key as text: `name+<hex key id>+<base64 of type and public key>`. */
export function formatVkey(key: { name: string; type: number; publicKey: Uint8Array }, hash: Hash): string {
  refuseBadName(key.name)
  const material = concatBytes([Uint8Array.of(key.type), key.publicKey])
  return `${key.name}+${hexKeyId(keyId(key, hash))}+${toBase64(material)}`
}

/** The key a vkey text names. Throws on a malformed text, a key id that does not fit, or a type other than 0x01 and 0x04. */
export function parseVkey(vkey: string, hash: Hash): VerifierKey {
  const [name = '', id = '', ...rest] = vkey.split('+')
  refuseBadName(name)
  if (!/^[0-9a-f]{8}$/.test(id)) throw new Error('the key id of a vkey is eight lower-case hexadecimal digits')
  const material = fromBase64(rest.join('+'))
  const type = material[0]
  if (type !== SIGNATURE_ED25519 && type !== SIGNATURE_COSIGNATURE) {
    throw new Error(`vkey type ${type === undefined ? 'missing' : type} is not one we verify (1 and 4)`)
  }
  const key = { name, type, publicKey: material.slice(1) }
  if (key.publicKey.length !== 32) throw new Error('an Ed25519 public key has 32 bytes')
  const expected = keyId(key, hash)
  if (hexKeyId(expected) !== id) throw new Error(`the key id ${id} does not belong to this key`)
  return { ...key, keyId: expected }
}

/** The note as text. Throws if the text or a name cannot stand in a note. */
export function formatNote(text: string, signatures: readonly NoteSignature[]): string {
  refuseBadText(text)
  if (signatures.length === 0) throw new Error('a note has at least one signature')
  return `${text}\n${formatSignatures(signatures)}`
}

/** Signature lines alone, as a witness answers them. */
export function formatSignatures(signatures: readonly NoteSignature[]): string {
  const lines = signatures.map(({ name, keyId, signature }) => {
    refuseBadName(name)
    return `${DASH}${name} ${toBase64(concatBytes([fromHex(hexKeyId(keyId)), signature]))}\n`
  })
  return lines.join('')
}

/** The signature lines of a witness's answer. Throws with the reason on anything else. */
export function parseSignatures(lines: string): NoteSignature[] {
  if (!lines.endsWith('\n')) throw new Error('signature lines end in a newline')
  const split = lines.slice(0, -1).split('\n')
  if (split.length > MAX_SIGNATURES) throw new Error(`more than ${MAX_SIGNATURES} signatures`)
  return split.map(parseSignatureLine)
}

/** Takes a note apart, without verifying anything. Throws with the reason on anything the format does not allow. */
export function parseNote(note: string | Uint8Array): Note {
  const whole = typeof note === 'string' ? note : fromUtf8(note)
  const split = whole.lastIndexOf('\n\n')
  if (split < 0) throw new Error('a note has a blank line before its signatures')
  const text = whole.slice(0, split + 1)
  refuseBadText(text)
  const block = whole.slice(split + 2)
  if (!block.endsWith('\n')) throw new Error('a note ends in a newline')
  const lines = block.slice(0, -1).split('\n')
  if (lines.length > MAX_SIGNATURES) throw new Error(`a note has at most ${MAX_SIGNATURES} signatures`)
  return { text, signatures: lines.map(parseSignatureLine) }
}

/** The note with more signatures at its end, such as cosignatures. The signed text stays as it is. */
export function addSignatures(note: string, signatures: readonly NoteSignature[]): string {
  const parsed = parseNote(note)
  return formatNote(parsed.text, [...parsed.signatures, ...signatures])
}

/** An Ed25519 note signature (type 0x01) over the text. */
export async function signText(
  text: string,
  key: { name: string; publicKey: Uint8Array },
  sign: SignEd25519,
  hash: Hash,
): Promise<NoteSignature> {
  refuseBadText(text)
  const id = keyId({ ...key, type: SIGNATURE_ED25519 }, hash)
  return { name: key.name, keyId: id, signature: await sign(toUtf8(text)) }
}

/** A witness's timestamped cosignature (c2sp.org/tlog-cosignature, type 0x04) of a checkpoint's text; `time` in Unix seconds. */
export async function cosignText(
  text: string,
  key: { name: string; publicKey: Uint8Array },
  time: number,
  sign: SignEd25519,
  hash: Hash,
): Promise<NoteSignature> {
  refuseBadText(text)
  const stamp = new Uint8Array(8)
  new DataView(stamp.buffer).setBigUint64(0, BigInt(time))
  const signature = await sign(cosignedMessage(text, BigInt(time)))
  const id = keyId({ ...key, type: SIGNATURE_COSIGNATURE }, hash)
  return { name: key.name, keyId: id, signature: concatBytes([stamp, signature]) }
}

/**
 * Verifies every signature whose name and key id belong to a known key; others are ignored. One bad signature by a known
 * key refuses the whole note, and so does the lack of any good one (c2sp.org/signed-note).
 */
export async function verifyNote(
  note: Note,
  trust: { vkeys: readonly string[]; hash: Hash; verify: VerifyEd25519 },
): Promise<{ ok: true; signers: Signer[] } | { ok: false; reason: string }> {
  const keys = trust.vkeys.map((vkey) => parseVkey(vkey, trust.hash))
  const signers: Signer[] = []
  for (const line of note.signatures) {
    // Two trusted keys may share a name and a four-byte id; then either may be meant.
    const candidates = keys.filter((key) => key.name === line.name && key.keyId === line.keyId)
    if (candidates.length === 0) continue
    let signer: Signer | null = null
    for (const key of candidates) signer ??= await verifyLine(note.text, line, key, trust.verify)
    if (!signer) return { ok: false, reason: `the signature by ${line.name} (${hexKeyId(line.keyId)}) is not valid` }
    if (!signers.some((known) => known.name === signer.name && known.keyId === signer.keyId)) signers.push(signer)
  }
  return signers.length > 0 ? { ok: true, signers } : { ok: false, reason: 'no signature by a known key' }
}

// The last second that RFC 3339 can write. What tells of a later one, milliseconds for example, tells no time.
const LAST_TIME = 253_402_300_799n

async function verifyLine(
  text: string,
  line: NoteSignature,
  key: VerifierKey,
  verify: VerifyEd25519,
): Promise<Signer | null> {
  const signer = { name: key.name, keyId: key.keyId, type: key.type }
  if (key.type === SIGNATURE_ED25519) {
    if (line.signature.length !== 64) return null
    return (await verify(key.publicKey, toUtf8(text), line.signature)) ? signer : null
  }
  if (line.signature.length !== 72) return null
  const stamp = new DataView(line.signature.buffer, line.signature.byteOffset, 8).getBigUint64(0)
  if (stamp > LAST_TIME) return null
  const good = await verify(key.publicKey, cosignedMessage(text, stamp), line.signature.subarray(8))
  return good ? { ...signer, time: Number(stamp) } : null
}

function cosignedMessage(text: string, time: bigint): Uint8Array {
  return toUtf8(`cosignature/v1\ntime ${time}\n${text}`)
}

function parseSignatureLine(line: string): NoteSignature {
  if (!line.startsWith(DASH)) throw new Error('a signature line starts with an em dash and a space')
  const [name = '', encoded = '', ...rest] = line.slice(DASH.length).split(' ')
  refuseBadName(name)
  if (rest.length > 0) throw new Error('a signature line has a name and one base64 value')
  const bytes = fromBase64(encoded)
  if (bytes.length < 5) throw new Error('a signature has a key id of four bytes and something behind it')
  return { name, keyId: new DataView(bytes.buffer).getUint32(0), signature: bytes.slice(4) }
}

function hexKeyId(id: number): string {
  return toHex(Uint8Array.of(id >>> 24, id >>> 16, id >>> 8, id))
}

function refuseBadName(name: string): void {
  if (name === '' || /[\s+\u0085]/u.test(name) || !isNoteText(name) || name.includes('\n')) {
    throw new Error('a key name is not empty and has no space, plus or control character')
  }
}

function refuseBadText(text: string): void {
  if (!text.endsWith('\n')) throw new Error('the text of a note ends in a newline')
  if (!isNoteText(text)) throw new Error('a note has no control character but newline and no lone surrogate')
}

function isNoteText(text: string): boolean {
  return text.isWellFormed() && !/[\x00-\x09\x0b-\x1f]/.test(text)
}
