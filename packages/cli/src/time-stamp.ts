import { randomBytes } from 'node:crypto'

// Time-stamp requests and answers, RFC 3161, in the little DER that they need. What an answer proves is checked by
// `openssl ts -verify`, with the authority's certificate: nothing here takes its place.

const SHA256_OID = Uint8Array.of(0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01)
const NULL = Uint8Array.of(0x05, 0x00)
const SEQUENCE = 0x30
const INTEGER = 0x02
const OCTETS = 0x04
const TRUE = Uint8Array.of(0x01, 0x01, 0xff)

/** A nonce for one request: 8 bytes. */
export const timeStampNonce = (): Uint8Array => randomBytes(8)

/** A TimeStampReq for a SHA-256 digest of 32 bytes, with a nonce, asking for the authority's certificate. */
export function timeStampRequest(digest: Uint8Array, nonce: Uint8Array): Uint8Array {
  if (digest.length !== 32) throw new Error('a SHA-256 has 32 bytes')
  const imprint = tlv(SEQUENCE, tlv(SEQUENCE, SHA256_OID, NULL), tlv(OCTETS, digest))
  // A leading zero keeps the nonce positive.
  return tlv(SEQUENCE, tlv(INTEGER, Uint8Array.of(1)), imprint, nonceOf(nonce), TRUE)
}

const nonceOf = (nonce: Uint8Array): Uint8Array => tlv(INTEGER, Uint8Array.of(0), positive(nonce))

// DER writes an integer with as few bytes as it can: behind the zero the highest bit is set.
const positive = (nonce: Uint8Array): Uint8Array => Uint8Array.from(nonce, (byte, i) => (i === 0 ? byte | 0x80 : byte))

/**
 * Throws with the reason unless an answer is a granted TimeStampResp that holds the digest and the nonce. This finds a refusal
 * and an answer to another question, an earlier one about the same bytes included; it verifies no signature.
 */
export function checkTimeStampReply(reply: Uint8Array, digest: Uint8Array, nonce: Uint8Array): void {
  const { content } = readTlv(reply, 0, SEQUENCE)
  const { content: info } = readTlv(content, 0, SEQUENCE)
  const { content: status } = readTlv(info, 0, INTEGER)
  // 0 is granted, 1 granted with modifications; the rest is no time stamp.
  if (status.length !== 1 || status[0]! > 1) throw new Error(`the authority refused: status ${status.join('.')}`)
  if (!Buffer.from(reply).includes(Buffer.from(digest))) throw new Error('the answer is about other bytes')
  if (!Buffer.from(reply).includes(Buffer.from(nonceOf(nonce)))) throw new Error('the answer is to an earlier question')
}

function tlv(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts)
  if (content.length > 127) throw new Error('longer than any request')
  return Buffer.concat([Uint8Array.of(tag, content.length), content])
}

/** One element at `at`. Throws unless it has this tag and fits the bytes. */
function readTlv(bytes: Uint8Array, at: number, tag: number): { content: Uint8Array } {
  let length = bytes[at + 1] ?? 0
  let start = at + 2
  if (length > 127) {
    const more = length - 128
    length = 0
    for (let i = 0; i < more && more <= 4; i++) length = length * 256 + (bytes[start + i] ?? 0)
    start += more
  }
  if (bytes[at] !== tag || start + length > bytes.length) throw new Error('the answer is no time stamp (RFC 3161)')
  return { content: bytes.subarray(start, start + length) }
}
