import { createHash, randomBytes, verify, X509Certificate } from 'node:crypto'

// Time-stamp requests and answers, RFC 3161, in the little DER that they need. An answer is checked before it is kept, since the
// time that it tells does not come again; whose certificate signed it is checked by `openssl ts -verify`, and not here.

const SHA256_OID = Uint8Array.of(0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01)
const NULL = Uint8Array.of(0x05, 0x00)
const SEQUENCE = 0x30
const INTEGER = 0x02
const OCTETS = 0x04
const OID = 0x06
const SET = 0x31
const GENERALIZED_TIME = 0x18
const EXPLICIT_0 = 0xa0
const TRUE = Uint8Array.of(0x01, 0x01, 0xff)
// Contents of object identifiers: id-ct-TSTInfo, id-messageDigest, rsaEncryption.
const TST_INFO_OID = Uint8Array.of(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04)
const MESSAGE_DIGEST = '2a864886f70d010904'
const RSA = '2a864886f70d010101'
const hashes: Readonly<Record<string, string>> = {
  '2b0e03021a': 'sha1',
  '608648016503040201': 'sha256',
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
}
/** Of RSA (PKCS #1 v1.5) and ECDSA with a hash of their own. */
const signatureHashes: Readonly<Record<string, string>> = {
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
}

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

/** What an answer says once it was checked. */
export interface TimeStamp {
  /** As the authority wrote it, `20261129094803Z` or with parts of a second. */
  readonly time: string
  /** The subject of the certificate in the answer whose key signed it; null if that could not be checked here. */
  readonly signer: string | null
}

/**
 * Throws with the reason unless an answer is a granted TimeStampResp about this digest, to this question, signed by the key of a
 * certificate that came along. Whether that certificate is the authority's is not asked.
 */
export function checkTimeStampReply(reply: Uint8Array, digest: Uint8Array, nonce: Uint8Array): TimeStamp {
  const [info, token] = parts(only(reply, SEQUENCE))
  const [status, text] = parts(expect(info, SEQUENCE))
  const granted = expect(status, INTEGER)
  // 0 is granted, 1 granted with modifications; the rest is no time stamp.
  if (granted.length !== 1 || granted[0]! > 1) throw new Error(`the authority refused: ${refusal(granted, text)}`)

  // ContentInfo, SignedData, EncapsulatedContentInfo, TSTInfo: RFC 5652, sections 3 and 5; RFC 3161, 2.4.2.
  const [, signed] = parts(expect(token, SEQUENCE))
  const [, , content, ...rest] = parts(only(expect(signed, EXPLICIT_0), SEQUENCE))
  const [type, wrapped] = parts(expect(content, SEQUENCE))
  if (!equals(expect(type, OID), TST_INFO_OID)) throw malformed()
  const stamped = only(expect(wrapped, EXPLICIT_0), OCTETS)
  const [, , imprint, , time, ...more] = parts(only(stamped, SEQUENCE))
  const [hash, hashed] = parts(expect(imprint, SEQUENCE))
  if (
    !equals(expect(parts(expect(hash, SEQUENCE))[0], OID), SHA256_OID.subarray(2)) ||
    !equals(expect(hashed, OCTETS), digest)
  )
    throw new Error('the answer is about other bytes')
  const answered = more.find(({ tag }) => tag === INTEGER)
  if (!answered || !equals(answered.whole, nonceOf(nonce))) throw new Error('the answer is to an earlier question')

  const certificates = rest.find(({ tag }) => tag === EXPLICIT_0)
  const signer = signerOf(expect(rest.at(-1), SET), stamped, certificates ? parts(certificates.content) : [])
  return { time: Buffer.from(expect(time, GENERALIZED_TIME)).toString('latin1'), signer }
}

/** The subject of the certificate whose key signed; null for algorithms and certificates that are not known here. Throws if none of them did. */
function signerOf(signerInfos: Uint8Array, stamped: Uint8Array, certificates: readonly Part[]): string | null {
  const [, , digestAlgorithm, attributes, signatureAlgorithm, signature] = parts(only(signerInfos, SEQUENCE))
  const own = hashes[algorithmIn(digestAlgorithm)]
  const attribute = (oid: string) => {
    for (const one of parts(expect(attributes, EXPLICIT_0))) {
      const [type, values] = parts(expect(one, SEQUENCE))
      if (hex(expect(type, OID)) === oid) return parts(expect(values, SET))[0]
    }
    throw malformed()
  }
  if (own === undefined) return null
  if (!equals(expect(attribute(MESSAGE_DIGEST), OCTETS), createHash(own).update(stamped).digest())) throw damaged()
  const hash = algorithmIn(signatureAlgorithm) === RSA ? own : signatureHashes[algorithmIn(signatureAlgorithm)]
  if (hash === undefined || certificates.length === 0) return null
  // What is signed are the attributes as a SET, whatever tag they carry here: RFC 5652, 5.4.
  const message = Uint8Array.from(attributes!.whole)
  message[0] = SET
  for (const { whole } of certificates) {
    const certificate = certificateOf(whole)
    if (certificate && isSignedBy(certificate, hash, message, expect(signature, OCTETS))) return certificate.subject
  }
  throw damaged()
}

const damaged = () => new Error('its signature is not valid: the answer is damaged')

function certificateOf(der: Uint8Array): X509Certificate | null {
  try {
    return new X509Certificate(der)
  } catch {
    return null
  }
}

function isSignedBy({ publicKey }: X509Certificate, hash: string, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verify(hash, message, publicKey, signature)
  } catch {
    return false
  }
}

/** What the authority says of why, or else the number: RFC 3161, 2.4.2. */
function refusal(status: Uint8Array, text: Part | undefined): string {
  const said = text?.tag === SEQUENCE ? parts(text.content).map(({ content }) => Buffer.from(content).toString()) : []
  return said.join(' ').slice(0, 200) || `status ${status.join('.')}`
}

const algorithmIn = (part: Part | undefined): string => hex(expect(parts(expect(part, SEQUENCE))[0], OID))

function tlv(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts)
  if (content.length > 127) throw new Error('longer than any request')
  return Buffer.concat([Uint8Array.of(tag, content.length), content])
}

/** One element of DER: its tag, its content, and both as they stand. */
type Part = { readonly tag: number; readonly content: Uint8Array; readonly whole: Uint8Array }

/** The elements that these bytes consist of. Throws unless they fit. */
function parts(bytes: Uint8Array): Part[] {
  const found: Part[] = []
  for (let at = 0; at < bytes.length; ) {
    let length = bytes[at + 1] ?? 128
    let start = at + 2
    if (length > 127) {
      const more = length - 128
      if (more === 0 || more > 4) throw malformed()
      length = 0
      for (let i = 0; i < more; i++) length = length * 256 + (bytes[start + i] ?? 0)
      start += more
    }
    const end = start + length
    if (end > bytes.length) throw malformed()
    found.push({ tag: bytes[at]!, content: bytes.subarray(start, end), whole: bytes.subarray(at, end) })
    at = end
  }
  return found
}

/** The content of the only element that these bytes are. */
function only(bytes: Uint8Array, tag: number): Uint8Array {
  const [one, ...others] = parts(bytes)
  if (others.length > 0) throw malformed()
  return expect(one, tag)
}

function expect(part: Part | undefined, tag: number): Uint8Array {
  if (part?.tag !== tag) throw malformed()
  return part.content
}

const malformed = () => new Error('the answer is no time stamp (RFC 3161)')
const equals = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
