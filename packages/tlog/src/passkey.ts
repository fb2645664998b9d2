import { concatBytes, equalBytes, fromBase64, fromUtf8, toBase64, toUtf8 } from './bytes.ts'
import type { Hash } from './merkle.ts'
import { algorithmOf, type VerifySignature } from './public-key.ts'

// Assertions of WebAuthn Level 2, section 7.2: a passkey signs authenticator data and the hash of what the browser saw,
// in which the challenge is the digest of a statement.

/** What an authenticator answered, as the browser hands it over. */
export type PasskeyAssertion = { clientDataJson: Uint8Array; authenticatorData: Uint8Array; signature: Uint8Array }

export type PasskeyVerdict =
  | { ok: true; origin: string; signCount: number; userVerified: boolean }
  | { ok: false; why: PasskeyReason; reason: string }

/** Why an assertion is refused, by code; `{rp}` is the relying party. */
export const passkeyReasons = {
  passkey_type: 'the key is of a type that is not verified',
  passkey_client_data: 'the client data is not JSON',
  passkey_no_assertion: 'the client data is not that of an assertion',
  passkey_other_statement: 'another statement was signed',
  passkey_origin: 'the origin is missing or foreign',
  passkey_cut: 'the authenticator data is cut',
  passkey_rp: 'it was not made for {rp}',
  passkey_absent: 'nobody was present',
  passkey_unverified: 'the authenticator did not verify who was present',
  passkey_signature: 'the signature is not valid',
} as const
export type PasskeyReason = keyof typeof passkeyReasons

const USER_PRESENT = 0x01
const USER_VERIFIED = 0x04

/**
 * Verifies that the passkey signed exactly this statement: challenge = SHA-256 of its bytes, for this relying party, with
 * the user present and verified (PIN or biometrics). Which origins may have asked is the caller's to judge.
 */
export async function verifyPasskey(claim: {
  assertion: PasskeyAssertion
  statement: Uint8Array
  spki: Uint8Array
  rpId: string
  sha256: Hash
  verify: VerifySignature
}): Promise<PasskeyVerdict> {
  const { assertion, statement, spki, rpId, sha256, verify } = claim
  const { clientDataJson, authenticatorData, signature } = assertion
  const refuse = (why: PasskeyReason): PasskeyVerdict => ({
    ok: false,
    why,
    reason: passkeyReasons[why].replace('{rp}', rpId),
  })
  const algorithm = algorithmOf(spki)
  if (!algorithm) return refuse('passkey_type')
  let client: Record<string, unknown>
  try {
    client = Object(JSON.parse(fromUtf8(clientDataJson))) as Record<string, unknown>
  } catch {
    return refuse('passkey_client_data')
  }
  if (client.type !== 'webauthn.get') return refuse('passkey_no_assertion')
  if (client.challenge !== toBase64Url(sha256(statement))) return refuse('passkey_other_statement')
  if (typeof client.origin !== 'string' || client.crossOrigin === true) return refuse('passkey_origin')
  if (authenticatorData.length < 37) return refuse('passkey_cut')
  if (!equalBytes(authenticatorData.subarray(0, 32), sha256(toUtf8(rpId)))) return refuse('passkey_rp')
  const flags = authenticatorData[32]!
  if ((flags & USER_PRESENT) === 0) return refuse('passkey_absent')
  if ((flags & USER_VERIFIED) === 0) return refuse('passkey_unverified')
  const message = concatBytes([authenticatorData, sha256(clientDataJson)])
  if (!(await verify({ algorithm, spki }, message, signature))) return refuse('passkey_signature')
  const signCount = new DataView(authenticatorData.buffer, authenticatorData.byteOffset + 33, 4).getUint32(0)
  return { ok: true, origin: client.origin, signCount, userVerified: true }
}

/** Base64 with the URL alphabet and no padding, as WebAuthn writes it. */
export const toBase64Url = (bytes: Uint8Array): string =>
  toBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')

/** The bytes of such a text. Throws unless it is what `toBase64Url` would write. */
export function fromBase64Url(text: string): Uint8Array {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new Error('not base64url')
  const standard = text.replaceAll('-', '+').replaceAll('_', '/')
  return fromBase64(standard.padEnd(Math.ceil(standard.length / 4) * 4, '='))
}
