/**
 * A write-once store for bytes, addressed by what they are.
 *
 * Invariants, whatever the backend: a blob is visible only when it is whole, hashed and durable; its bytes never change after that;
 * two projects never share one (sharing would leak that the other has it, and break erasure); memory does not grow with its size.
 * The layout is `<project uuid>/sha256/ab/cd/<hex>` everywhere.
 */
import type { Readable } from 'node:stream'

/** What a blob is known by: 64 lower-case hex digits, and its length in bytes. */
export type BlobRef = { sha256: string; size: number }

export type PutOptions = {
  /** More bytes than this and the put fails with BlobTooLarge. */
  maxBytes: number
  /** Gives up the put, also while the source is silent. The put rejects with the signal's reason. */
  signal?: AbortSignal
  /**
   * Asked once, after the last byte and before the blob becomes visible: true if the source ended without being complete
   * (an upload whose client has gone, a part that the parser cut short). The put then fails with BlobAbandoned.
   */
  abandoned?: () => boolean
  /**
   * Awaited once, when the bytes are known and before the blob becomes visible. What it throws passes through, and nothing is left behind.
   */
  coming?: (ref: BlobRef) => Promise<void>
}

/** A byte range as HTTP counts: `end` is included. Left out: from the first byte, to the last. */
export type BlobRange = { start?: number; end?: number }

export type Blobs = {
  /**
   * Stores what the stream yields and says what it was. Whatever goes wrong, nothing is left behind.
   * The same bytes again in the same project are fine: what is stored is read and compared first, and replaced if it had rotted.
   * Chunks belong to the store once yielded: the source must not write to them again. A source that fails is destroyed (`return`),
   * and its own error passes through unchanged.
   * @throws BlobTooLarge, BlobAbandoned, BlobStoreUnavailable
   */
  put(project: string, stream: AsyncIterable<Uint8Array>, options: PutOptions): Promise<BlobRef>
  /**
   * Reads a blob. Read as a whole, it is hashed again: on a mismatch the stream fails with BlobCorrupt before its last chunk, so damaged
   * bytes never arrive with their full length. A range cannot be checked that way, and is not.
   * Destroy the stream if you stop reading early.
   * @throws BlobMissing, BlobStoreUnavailable; RangeError for a range outside of the blob
   */
  open(project: string, sha256: string, range?: BlobRange): Promise<Readable>
  /** The blob's length, or undefined if there is no such blob. Does not read the bytes. */
  stat(project: string, sha256: string): Promise<BlobRef | undefined>
  /** Erases a blob; false if there was none. Readers that have it open may finish. */
  remove(project: string, sha256: string): Promise<boolean>
  /** Every blob of a project, ordered by digest, for backups and moves. Blobs put or removed meanwhile may or may not appear. */
  list(project: string): AsyncIterable<BlobRef>
  /** Resolves if a blob could be written now. Writes and removes a small probe: meant for /readyz, not for every request. */
  check(): Promise<void>
  close(): Promise<void>
}

/** The stream was longer than allowed (413). */
export class BlobTooLarge extends Error {
  readonly maxBytes: number
  constructor(maxBytes: number) {
    super(`The content is larger than ${maxBytes} bytes.`)
    this.name = 'BlobTooLarge'
    this.maxBytes = maxBytes
  }
}

/** The source ended without being complete. */
export class BlobAbandoned extends Error {
  constructor() {
    super('The content ended before it was complete.')
    this.name = 'BlobAbandoned'
  }
}

/** There is no such blob in this project (404). */
export class BlobMissing extends Error {
  readonly sha256: string
  constructor(sha256: string) {
    super(`No blob ${sha256} in this project.`)
    this.name = 'BlobMissing'
    this.sha256 = sha256
  }
}

/** What is stored is not what was put: somebody must look. */
export class BlobCorrupt extends Error {
  readonly sha256: string
  readonly found: string
  constructor(sha256: string, found: string) {
    super(`Blob ${sha256} has changed: its bytes now hash to ${found}.`)
    this.name = 'BlobCorrupt'
    this.sha256 = sha256
    this.found = found
  }
}

/** The store is full, gone or unreachable (503): nothing is wrong with the request, and it may be tried again. */
export class BlobStoreUnavailable extends Error {
  /** The system's or the provider's own word, for logs and metrics: ENOSPC, EDQUOT, ECONNREFUSED, SlowDown. */
  readonly reason: string
  constructor(reason: string, cause?: unknown) {
    super(`The artifact store cannot be used now (${reason}).`, { cause })
    this.name = 'BlobStoreUnavailable'
    this.reason = reason
  }
}

const PROJECT = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const DIGEST = /^[0-9a-f]{64}$/

/** The folder of a project's blobs, relative to the store. Throws TypeError on anything but a lower-case UUID: it becomes a path. */
export function projectFolder(project: string): string {
  if (!PROJECT.test(project)) throw new TypeError('a project is a UUID in lower case')
  return `${project}/sha256`
}

/** The path of a blob, relative to the store. Throws TypeError on anything but 64 lower-case hex digits: it becomes a path. */
export function blobPath(project: string, sha256: string): string {
  if (!DIGEST.test(sha256)) throw new TypeError('a digest is 64 hex digits in lower case')
  return `${projectFolder(project)}/${sha256.slice(0, 2)}/${sha256.slice(2, 4)}/${sha256}`
}

/** First and last byte of a range in a blob of this size, and whether that is all of it. Throws RangeError when it is outside. */
export function resolveRange(range: BlobRange, size: number): { start: number; end: number; whole: boolean } {
  const start = range.start ?? 0
  const end = Math.min(range.end ?? size - 1, size - 1)
  const inside = Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end
  const empty = size === 0 && start === 0 && (range.end === undefined || range.end >= 0)
  if (!inside && !empty) throw new RangeError(`no bytes ${range.start ?? ''}-${range.end ?? ''} in a blob of ${size}`)
  return { start, end, whole: start === 0 && end === size - 1 }
}
