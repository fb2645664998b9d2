import { createPrivateKey, createPublicKey, generateKeyPairSync, hash, type KeyObject, sign, verify } from 'node:crypto'
import type { Hash, SignEd25519, VerifyEd25519, VerifySignature } from '@writ/tlog'

// What @writ/tlog takes as arguments, from Node's own crypto.

/**
 * One-shot SHA-256: on short inputs far cheaper than a Hash object. By way of a text of 32 characters, because its bytes come out of
 * Node's pool then: as a buffer it has memory of its own, which costs twice as much as the hashing of a leaf.
 */
export const sha256: Hash = (bytes) => Buffer.from(hash('sha256', bytes, 'binary'), 'binary')

export const sha512: Hash = (bytes) => Buffer.from(hash('sha512', bytes, 'binary'), 'binary')

/** Signatures by keys of people and of the platform (SubjectPublicKeyInfo). */
export const verifySignature: VerifySignature = ({ algorithm, spki }, message, signature) => {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
    return verify(algorithm === 'ed25519' ? null : 'sha256', message, key, signature)
  } catch {
    // Bytes that are no key verify nothing.
    return false
  }
}

/** Raw Ed25519 verification; false on a malformed key or signature. */
export const verifyEd25519: VerifyEd25519 = (publicKey, message, signature) => {
  let key: KeyObject
  try {
    key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: base64url(publicKey) }, format: 'jwk' })
  } catch {
    // Bytes that are no key verify nothing; the caller reports the bad signature.
    return false
  }
  return verify(null, message, key, signature)
}

/** A private key with its raw 32-byte public key and the function that signs with it. */
export type Ed25519Key = { publicKey: Uint8Array; sign: SignEd25519; privatePem: string }

/** A new Ed25519 key pair. `privatePem` is PKCS #8, unencrypted: it goes into a file that only the owner may read. */
export function generateEd25519Key(): Ed25519Key {
  return fromKeyObject(generateKeyPairSync('ed25519').privateKey)
}

/** The key pair in a PKCS #8 PEM text. Throws if it is none, or not Ed25519. */
export function parseEd25519Key(privatePem: string): Ed25519Key {
  const key = createPrivateKey(privatePem)
  if (key.asymmetricKeyType !== 'ed25519') throw new Error(`an Ed25519 key is needed, not ${key.asymmetricKeyType}`)
  return fromKeyObject(key)
}

function fromKeyObject(privateKey: KeyObject): Ed25519Key {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' })
  if (x === undefined) throw new Error('the key has no public part')
  return {
    publicKey: new Uint8Array(Buffer.from(x, 'base64url')),
    sign: (message) => sign(null, message, privateKey),
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url')
}
