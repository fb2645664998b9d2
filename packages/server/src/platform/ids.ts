import { randomBytes } from 'node:crypto'

let last = 0
let sequence = 0
let pool = randomBytes(0)
let used = 0

function random(bytes: number): Buffer {
  if (used + bytes > pool.length) {
    pool = randomBytes(8192)
    used = 0
  }
  used += bytes
  return pool.subarray(used - bytes, used)
}

const hex = (n: number, width: number) => n.toString(16).padStart(width, '0')

/**
 * A UUIDv7 (RFC 9562, 5.7) that only grows within this process: the 12 bits behind the millisecond count up within it
 * (method 1 of 6.2), so rows made in one transaction sort in the order in which they were made.
 */
export function uuidv7(now: number): string {
  if (now > last) {
    last = now
    sequence = random(2).readUInt16BE() & 0x7ff
  } else if (++sequence > 0xfff) {
    last++
    sequence = 0
  }
  const tail = random(8).toString('hex')
  const variant = (Number.parseInt(tail[0]!, 16) & 0x3) | 0x8
  const time = hex(last, 12)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(sequence, 3)}-${variant.toString(16)}${tail.slice(1, 4)}-${tail.slice(4, 16)}`
}

/** The smallest id that can be made at or after `ms`: what month partitions and date filters compare with. */
export const firstIdAt = (ms: number): string => `${hex(ms, 12).slice(0, 8)}-${hex(ms, 12).slice(8)}`

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
export const isUuid = (text: string): boolean => uuid.test(text)

/** `bytes` random bytes as URL-safe text. */
export const randomToken = (bytes: number): string => randomBytes(bytes).toString('base64url')

/** The id of nothing: a filter on what does not exist compares with it and matches no row. */
export const NOBODY = '00000000-0000-0000-0000-000000000000'
