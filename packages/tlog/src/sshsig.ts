import { concatBytes, equalBytes, fromBase64, fromUtf8, toBase64, toUtf8 } from './bytes.ts'
import type { Hash } from './merkle.ts'
import { algorithmOf, ecdsaToDer, type KeyAlgorithm, rawKeyOf, spkiOf, type VerifySignature } from './public-key.ts'

// Signatures of `ssh-keygen -Y sign` (OpenSSH, PROTOCOL.sshsig) and the public keys of RFC 4253 behind them.
// Ed25519 and ECDSA on P-256; RSA and keys on security tokens (sk-) are not read.

const MAGIC = toUtf8('SSHSIG')
const BEGIN = '-----BEGIN SSH SIGNATURE-----'
const END = '-----END SSH SIGNATURE-----'
const ED25519 = 'ssh-ed25519'
const P256 = 'ecdsa-sha2-nistp256'

/** What hashes a message before it is signed. `ssh-keygen` uses SHA-512 unless told otherwise. */
export type SshHashes = { sha256: Hash; sha512: Hash }

/** A parsed signature. `signature` is raw for Ed25519 and DER for ECDSA: what `VerifySignature` takes. */
export type SshSignature = {
  spki: Uint8Array
  namespace: string
  hashAlgorithm: 'sha256' | 'sha512'
  signature: Uint8Array
}

/** The wire form of an SSH public key. */
function sshKeyBlob(spki: Uint8Array): Uint8Array {
  const raw = rawKeyOf(spki)
  return raw.length === 32
    ? concatBytes([string(ED25519), string(raw)])
    : concatBytes([string(P256), string('nistp256'), string(raw)])
}

/** `ssh-ed25519 AAAA...`, as in authorized_keys, without a comment. */
export function formatSshKey(spki: Uint8Array): string {
  const blob = sshKeyBlob(spki)
  return `${algorithmOf(spki) === 'ed25519' ? ED25519 : P256} ${toBase64(blob)}`
}

/** The key of a line as in a `.pub` file; the comment is dropped. Throws on a key of another type. */
export function parseSshKey(line: string): Uint8Array {
  const [type, encoded = ''] = line.trim().split(/\s+/)
  const spki = keyFromBlob(fromBase64(encoded))
  if (formatSshKey(spki) !== `${type} ${encoded}`) throw new Error('the type of the key is not that of its bytes')
  return spki
}

/** `SHA256:...` as `ssh-keygen -l` prints it. */
export const sshFingerprint = (spki: Uint8Array, sha256: Hash): string =>
  `SHA256:${toBase64(sha256(sshKeyBlob(spki))).replace(/=+$/, '')}`

/** The bytes that an SSH key signs for a message. */
export function sshSigned(
  message: Uint8Array,
  namespace: string,
  hashes: SshHashes,
  hashAlgorithm: 'sha256' | 'sha512' = 'sha512',
): Uint8Array {
  return concatBytes([
    MAGIC,
    string(namespace),
    string(''),
    string(hashAlgorithm),
    string(hashes[hashAlgorithm](message)),
  ])
}

/** An armored signature by an Ed25519 key; `signature` are the 64 bytes over `sshSigned`. */
export function formatSshSignature(signed: {
  spki: Uint8Array
  namespace: string
  hashAlgorithm: 'sha256' | 'sha512'
  signature: Uint8Array
}): string {
  const blob = concatBytes([
    MAGIC,
    uint32(1),
    string(sshKeyBlob(signed.spki)),
    string(signed.namespace),
    string(''),
    string(signed.hashAlgorithm),
    string(concatBytes([string(ED25519), string(signed.signature)])),
  ])
  return armor(blob)
}

const armor = (blob: Uint8Array) => `${BEGIN}\n${(toBase64(blob).match(/.{1,70}/g) ?? []).join('\n')}\n${END}\n`

/** Takes an armored signature apart, in exactly the form that `ssh-keygen` writes. Verifies nothing; throws otherwise. */
export function parseSshSignature(text: string): SshSignature {
  const body =
    text.startsWith(`${BEGIN}\n`) && text.endsWith(`\n${END}\n`) ? text.slice(BEGIN.length + 1, -END.length - 2) : ''
  const blob = fromBase64(body.replaceAll('\n', ''))
  if (body === '' || armor(blob) !== text) throw new Error('not an armored SSH signature as ssh-keygen writes it')
  if (!equalBytes(blob.subarray(0, MAGIC.length), MAGIC)) throw new Error('not an SSH signature')
  const read = reader(blob.subarray(MAGIC.length))
  if (read.uint32() !== 1) throw new Error('an SSH signature of another version')
  const spki = keyFromBlob(read.string())
  const namespace = fromUtf8(read.string())
  if (read.string().length > 0) throw new Error('an SSH signature with reserved bytes')
  const hashAlgorithm = fromUtf8(read.string())
  if (hashAlgorithm !== 'sha256' && hashAlgorithm !== 'sha512') throw new Error(`unknown hash ${hashAlgorithm}`)
  const inner = reader(read.string())
  read.end()
  const type = fromUtf8(inner.string())
  const bytes = inner.string()
  inner.end()
  const algorithm: KeyAlgorithm = type === ED25519 ? 'ed25519' : 'ecdsa-p256'
  if ((type !== ED25519 && type !== P256) || algorithmOf(spki) !== algorithm)
    throw new Error('the signature is not of the type of its key')
  return { spki, namespace, hashAlgorithm, signature: algorithm === 'ed25519' ? bytes : derOf(bytes) }
}

/** Verifies a parsed signature over a message, in its namespace, with its own key: whose key that is, is the caller's to know. */
export async function verifySshSignature(
  signed: SshSignature,
  message: Uint8Array,
  namespace: string,
  on: SshHashes & { verify: VerifySignature },
): Promise<boolean> {
  const algorithm = algorithmOf(signed.spki)
  if (!algorithm || signed.namespace !== namespace) return false
  return on.verify(
    { algorithm, spki: signed.spki },
    sshSigned(message, namespace, on, signed.hashAlgorithm),
    signed.signature,
  )
}

function keyFromBlob(blob: Uint8Array): Uint8Array {
  const read = reader(blob)
  const type = fromUtf8(read.string())
  if (type !== ED25519 && type !== P256)
    throw new Error(`an SSH key of type ${type} is not supported: use ed25519 or ecdsa with 256 bits`)
  if (type === P256 && fromUtf8(read.string()) !== 'nistp256') throw new Error('an ECDSA key on another curve')
  const raw = read.string()
  read.end()
  if (raw.length !== (type === ED25519 ? 32 : 65)) throw new Error('an SSH key of the wrong length')
  return spkiOf(raw)
}

function derOf(bytes: Uint8Array): Uint8Array {
  const read = reader(bytes)
  const der = ecdsaToDer(read.string(), read.string())
  read.end()
  return der
}

function uint32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}

function string(value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === 'string' ? toUtf8(value) : value
  return concatBytes([uint32(bytes.length), bytes])
}

function reader(bytes: Uint8Array) {
  let at = 0
  const uint32 = () => {
    if (at + 4 > bytes.length) throw new Error('an SSH structure is cut')
    at += 4
    return new DataView(bytes.buffer, bytes.byteOffset + at - 4, 4).getUint32(0)
  }
  return {
    uint32,
    string() {
      const length = uint32()
      if (at + length > bytes.length) throw new Error('an SSH structure is cut')
      at += length
      return bytes.slice(at - length, at)
    },
    end() {
      if (at !== bytes.length) throw new Error('an SSH structure with bytes behind its end')
    },
  }
}
