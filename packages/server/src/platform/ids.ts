import { randomBytes, randomFillSync } from 'node:crypto'

let last = 0
/** The first thirteen characters of every id of this millisecond. */
let time = '00000000-0000'
let sequence = 0
const pool = Buffer.allocUnsafe(8192)
let used = pool.length

const hex = (n: number, width: number) => n.toString(16).padStart(width, '0')
const pairs = Array.from({ length: 256 }, (_, byte) => hex(byte, 2))

/** Where in the pool the next `bytes` random bytes stand; none is ever used twice. */
function draw(bytes: number): number {
  if (used + bytes > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += bytes
  return used - bytes
}

/**
 * A UUIDv7 (RFC 9562, 5.7) that only grows within this process: the 12 bits behind the millisecond count up within it
 * (method 1 of 6.2), so rows made in one transaction sort in the order in which they were made.
 */
export function uuidv7(now: number): string {
  if (now > last) {
    last = now
    time = timeText(last)
    sequence = pool.readUInt16BE(draw(2)) & 0x7ff
  } else if (++sequence > 0xfff) {
    last++
    time = timeText(last)
    sequence = 0
  }
  const at = draw(8)
  // Concatenation of table entries: a request makes several ids, and Buffer views cost ten times as much.
  return `${time}-${(0x7000 | sequence).toString(16)}-${pairs[(pool[at]! & 0x3f) | 0x80]}${pairs[pool[at + 1]!]}-${pairs[pool[at + 2]!]}${pairs[pool[at + 3]!]}${pairs[pool[at + 4]!]}${pairs[pool[at + 5]!]}${pairs[pool[at + 6]!]}${pairs[pool[at + 7]!]}`
}

const timeText = (ms: number): string => `${hex(ms, 12).slice(0, 8)}-${hex(ms, 12).slice(8)}`

/** `bytes` random bytes in lower-case hexadecimal: a trace id has 16 (W3C Trace Context, 3.2.2.3). */
export function randomHex(bytes: number): string {
  let text = ''
  for (let at = draw(bytes), end = at + bytes; at < end; at++) text += pairs[pool[at]!]
  return text
}

/** `bytes` random bytes, at most 8,192 at a time: from the pool, because a call for a few costs as much as one for thousands. */
export function drawBytes(bytes: number): Buffer {
  const at = draw(bytes)
  return Buffer.from(pool.subarray(at, at + bytes))
}

/** The smallest id that can be made at or after `ms`: what month partitions and date filters compare with. */
export const firstIdAt = timeText

/** The millisecond at which an id was made: the inverse of `firstIdAt`. */
export const timeOfId = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
export const isUuid = (text: string): boolean => uuid.test(text)

/** `bytes` random bytes as URL-safe text. */
export const randomToken = (bytes: number): string => randomBytes(bytes).toString('base64url')

/** The id of nothing: a filter on what does not exist compares with it and matches no row. */
export const NOBODY = '00000000-0000-0000-0000-000000000000'
