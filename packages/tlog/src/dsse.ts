import { concatBytes, fromBase64, toBase64, toUtf8 } from './bytes.ts'
import { canonicalize } from './canonical.ts'
import { algorithmOf, type VerifySignature } from './public-key.ts'

// Dead Simple Signing Envelope v1 (secure-systems-lab/dsse). The envelope has no canonical form: what is logged and
// compared is the digest of the payload, never that of the envelope.

export const STATEMENT_TYPE = 'application/vnd.in-toto+json'

/** A parsed envelope; `keyid` is a hint that nothing authenticates. */
export type Envelope = {
  payloadType: string
  payload: Uint8Array
  signatures: { keyid: string; sig: Uint8Array }[]
}

/** What is signed: type and body, each behind its length in bytes. */
export function preAuthEncoding(type: string, body: Uint8Array): Uint8Array {
  const typeBytes = toUtf8(type)
  return concatBytes([toUtf8(`DSSEv1 ${typeBytes.length} `), typeBytes, toUtf8(` ${body.length} `), body])
}

/** The envelope as JSON text. */
export function formatEnvelope({ payloadType, payload, signatures }: Envelope): string {
  return canonicalize({
    payload: toBase64(payload),
    payloadType,
    signatures: signatures.map(({ keyid, sig }) => ({ keyid, sig: toBase64(sig) })),
  })
}

/** Takes an envelope apart; verifies nothing. Accepts both base64 alphabets, as the specification asks. Throws otherwise. */
export function parseEnvelope(text: string): Envelope {
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null) throw new Error('an envelope is a JSON object')
  const { payload, payloadType, signatures } = value as Record<string, unknown>
  if (typeof payload !== 'string' || typeof payloadType !== 'string' || !Array.isArray(signatures))
    throw new Error('an envelope has payload, payloadType and signatures')
  return {
    payloadType,
    payload: eitherBase64(payload),
    signatures: signatures.map((one: unknown) => {
      const { keyid = '', sig } = (typeof one === 'object' && one !== null ? one : {}) as Record<string, unknown>
      if (typeof keyid !== 'string' || typeof sig !== 'string') throw new Error('a signature has keyid and sig')
      return { keyid, sig: eitherBase64(sig) }
    }),
  }
}

const eitherBase64 = (text: string) => {
  const standard = text.replaceAll('-', '+').replaceAll('_', '/').replace(/=+$/, '')
  return fromBase64(standard.padEnd(Math.ceil(standard.length / 4) * 4, '='))
}

/** Whether any of the keys (SubjectPublicKeyInfo) has signed the envelope; the index of the first that has, or -1. */
export async function verifyEnvelope(
  envelope: Envelope,
  keys: readonly Uint8Array[],
  verify: VerifySignature,
): Promise<number> {
  const message = preAuthEncoding(envelope.payloadType, envelope.payload)
  for (const [i, spki] of keys.entries()) {
    const algorithm = algorithmOf(spki)
    if (!algorithm) continue
    for (const { sig } of envelope.signatures) if (await verify({ algorithm, spki }, message, sig)) return i
  }
  return -1
}
