import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

// RFC 6238 with SHA-1, 6 digits and 30 seconds: what authenticators take from a QR code.
const STEP_MS = 30_000
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** 160 random bits in base32, as RFC 4226 asks for. */
export function createTotpSecret(): string {
  const bits = Array.from(randomBytes(20), (byte) => byte.toString(2).padStart(8, '0')).join('')
  return (bits.match(/.{5}/g) ?? []).map((five) => ALPHABET[Number.parseInt(five, 2)]).join('')
}

function decode(secret: string): Buffer {
  const bits = Array.from(secret, (letter) => ALPHABET.indexOf(letter).toString(2).padStart(5, '0')).join('')
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)))
}

/** The code of a step (`floor(unix seconds / 30)`). */
export function totpCode(secret: string, step: number): string {
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(step))
  const mac = createHmac('sha1', decode(secret)).update(counter).digest()
  const offset = mac[19]! & 0xf
  return String((mac.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}

/**
 * The step that a code belongs to, of this one and its neighbours, or undefined. A step at or before `lastStep` does not
 * count: a code that was seen is used up. The caller stores the step in the same transaction.
 */
export function matchTotp(secret: string, code: string, now: number, lastStep: number | null): number | undefined {
  const current = Math.floor(now / STEP_MS)
  const given = Buffer.from(code)
  let matched: number | undefined
  for (const step of [current - 1, current, current + 1]) {
    const expected = Buffer.from(totpCode(secret, step))
    const right = given.length === expected.length && timingSafeEqual(given, expected)
    if (right && step > (lastStep ?? -1)) matched = step
  }
  return matched
}

/** The URL in the QR code. */
export const otpauthUrl = (secret: string, username: string, issuer = 'Writ'): string =>
  `otpauth://totp/${encodeURIComponent(issuer)}:${encodeURIComponent(username)}?secret=${secret}&issuer=${encodeURIComponent(issuer)}`
