import { concatBytes, equalBytes, fromBase64, fromHex, toBase64 } from './bytes.ts'

// Public keys as SubjectPublicKeyInfo (RFC 5280, DER): the form that openssl, WebCrypto and passkeys share.

/** What a person's or the platform's key signs with. RSA is PKCS #1 v1.5; ECDSA signatures are DER; both over SHA-256. */
export type KeyAlgorithm = 'ed25519' | 'ecdsa-p256' | 'rsa'

/** Verifies one signature; answers false, never throws, on keys or signatures that are none. */
export type VerifySignature = (
  key: { algorithm: KeyAlgorithm; spki: Uint8Array },
  message: Uint8Array,
  signature: Uint8Array,
) => boolean | Promise<boolean>

const ED25519 = fromHex('302a300506032b6570032100')
const P256 = fromHex('3059301306072a8648ce3d020106082a8648ce3d030107034200')
const RSA = fromHex('300d06092a864886f70d0101010500')

/** The algorithm of a key; null for one that we do not verify with. */
export function algorithmOf(spki: Uint8Array): KeyAlgorithm | null {
  const begins = (prefix: Uint8Array, at = 0) => equalBytes(spki.subarray(at, at + prefix.length), prefix)
  if (begins(ED25519) && spki.length === ED25519.length + 32) return 'ed25519'
  // 0x04: an uncompressed point.
  if (begins(P256) && spki.length === P256.length + 65 && spki[P256.length] === 4) return 'ecdsa-p256'
  // SEQUENCE with a length of two bytes: keys of 1024 to 16384 bits.
  if (spki[0] === 0x30 && spki[1] === 0x82 && begins(RSA, 4) && spki.length >= 256) return 'rsa'
  return null
}

/** The raw part of an Ed25519 (32 bytes) or P-256 (65 bytes) key. Throws for any other. */
export function rawKeyOf(spki: Uint8Array): Uint8Array {
  const algorithm = algorithmOf(spki)
  if (algorithm === 'ed25519') return spki.slice(ED25519.length)
  if (algorithm === 'ecdsa-p256') return spki.slice(P256.length)
  throw new Error('not an Ed25519 or P-256 key')
}

/** SubjectPublicKeyInfo of a raw Ed25519 key of 32 bytes, or of an uncompressed P-256 point of 65. */
export function spkiOf(raw: Uint8Array): Uint8Array {
  if (raw.length === 32) return concatBytes([ED25519, raw])
  if (raw.length === 65 && raw[0] === 4) return concatBytes([P256, raw])
  throw new Error('a raw key has 32 bytes (Ed25519) or 65 (P-256)')
}

/** A key as PEM. */
export function formatPem(spki: Uint8Array): string {
  const lines = toBase64(spki).match(/.{1,64}/g) ?? []
  return `-----BEGIN PUBLIC KEY-----\n${lines.join('\n')}\n-----END PUBLIC KEY-----\n`
}

/** The key in a PEM text, in exactly the form that `formatPem` writes. Throws on any other text. */
export function parsePem(pem: string): Uint8Array {
  const body = /^-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=\n]+)\n-----END PUBLIC KEY-----\n$/.exec(pem)?.[1]
  if (body === undefined) throw new Error('not a public key in PEM')
  const spki = fromBase64(body.replaceAll('\n', ''))
  if (formatPem(spki) !== pem) throw new Error('a PEM with other line breaks than every 64 characters')
  return spki
}

/** A DER ECDSA signature as the 64 bytes r and s that WebCrypto takes; null if it is none over P-256. */
export function ecdsaFromDer(der: Uint8Array): Uint8Array | null {
  if (der[0] !== 0x30 || der[1] !== der.length - 2 || der.length > 72) return null
  const raw = new Uint8Array(64)
  let at = 2
  for (const end of [32, 64]) {
    const length = der[at + 1] ?? 0
    if (der[at] !== 0x02 || length < 1 || at + 2 + length > der.length) return null
    let number = der.subarray(at + 2, at + 2 + length)
    if (number[0]! >= 0x80) return null
    if (number[0] === 0 && length > 1) {
      if (number[1]! < 0x80) return null
      number = number.subarray(1)
    }
    if (number.length > 32) return null
    raw.set(number, end - number.length)
    at += 2 + length
  }
  return at === der.length ? raw : null
}

/** Two unsigned big-endian numbers as a DER ECDSA signature. */
export function ecdsaToDer(r: Uint8Array, s: Uint8Array): Uint8Array {
  const integer = (number: Uint8Array) => {
    let from = 0
    while (from < number.length - 1 && number[from] === 0) from++
    const body = number[from]! >= 0x80 ? concatBytes([Uint8Array.of(0), number.subarray(from)]) : number.subarray(from)
    return concatBytes([Uint8Array.of(0x02, body.length), body])
  }
  const body = concatBytes([integer(r), integer(s)])
  return concatBytes([Uint8Array.of(0x30, body.length), body])
}

/** The part of SubtleCrypto that verification needs. */
export interface SubtleVerify {
  importKey(
    format: 'spki',
    key: Uint8Array,
    algorithm: { name: string; namedCurve?: string; hash?: string },
    extractable: boolean,
    usages: ['verify'],
  ): Promise<unknown>
  verify(
    algorithm: { name: string; hash?: string },
    key: never,
    signature: Uint8Array,
    message: Uint8Array,
  ): Promise<boolean>
}

/** Verification by WebCrypto, for browsers; on an insecure page there is none, and another implementation is needed. */
export function createSubtleVerify(subtle: SubtleVerify): VerifySignature {
  const names = {
    ed25519: { name: 'Ed25519' },
    'ecdsa-p256': { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
    rsa: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  } as const
  return async ({ algorithm, spki }, message, signature) => {
    const raw = algorithm === 'ecdsa-p256' ? ecdsaFromDer(signature) : signature
    if (!raw) return false
    try {
      const key = await subtle.importKey('spki', spki, names[algorithm], false, ['verify'])
      // The key is what importKey gave for this very algorithm; its type differs between hosts.
      return await subtle.verify(names[algorithm], key as never, raw, message)
    } catch {
      // Bytes that are no key verify nothing; the caller reports the bad signature.
      return false
    }
  }
}
