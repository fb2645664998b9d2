import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto'
import type { Hash, VerifyEd25519, VerifySignature } from '@writ/tlog'

/** The primitives that @writ/tlog takes as arguments, from Node. */
export const sha256: Hash = (bytes) => hash('sha256', bytes, 'buffer')

export const verifyEd25519: VerifyEd25519 = (publicKey, message, signature) => {
  let key: KeyObject
  try {
    const x = Buffer.from(publicKey).toString('base64url')
    key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
  } catch {
    // Bytes that are no key verify nothing.
    return false
  }
  return verify(null, message, key, signature)
}

export const sha512: Hash = (bytes) => hash('sha512', bytes, 'buffer')

export const verifySignature: VerifySignature = ({ algorithm, spki }, message, signature) => {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
    return verify(algorithm === 'ed25519' ? null : 'sha256', message, key, signature)
  } catch {
    // Bytes that are no key verify nothing.
    return false
  }
}
