import { createHash, randomInt, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'

// A token reads writ_<id>_<secret><check>: scanners find it by its shape, and a typo is refused without a database.
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const SHAPE = /^writ_([0-9A-Za-z]{12})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})$/

export interface NewApiToken {
  /** Shown once. */
  readonly token: string
  /** The public part, by which the row is found. */
  readonly prefix: string
  /** SHA-256 of the secret part, hex: all that is stored. */
  readonly secretHash: string
}

const random = (length: number) => Array.from({ length }, () => ALPHABET[randomInt(62)]).join('')

function check(text: string): string {
  let rest = crc32(text)
  let digits = ''
  for (let i = 0; i < 6; i++) {
    digits = ALPHABET[rest % 62] + digits
    rest = Math.floor(rest / 62)
  }
  return digits
}

const hashOf = (secret: string) => createHash('sha256').update(secret).digest()

/** A new token: 71 bits of id and 256 bits of secret. */
export function createApiToken(): NewApiToken {
  const id = random(12)
  const secret = random(43)
  const body = `writ_${id}_${secret}`
  return { token: body + check(body), prefix: id, secretHash: hashOf(secret).toString('hex') }
}

/** The parts of a token, or undefined if it cannot be one of ours. */
export function parseApiToken(text: string): { prefix: string; secret: string } | undefined {
  const found = SHAPE.exec(text)
  if (!found) return undefined
  const [, prefix, secret, digits] = found
  return check(`writ_${prefix}_${secret}`) === digits ? { prefix: prefix!, secret: secret! } : undefined
}

/** Whether the secret is the one whose hash was stored; in constant time. */
export function isSecret(secret: string, storedHash: string): boolean {
  const stored = Buffer.from(storedHash, 'hex')
  const given = hashOf(secret)
  return stored.length === given.length && timingSafeEqual(stored, given)
}

/** SHA-256 in hex, for secrets with enough entropy of their own: session ids, CSRF tokens, invitation codes. */
export const secretHash = (secret: string): string => hashOf(secret).toString('hex')
