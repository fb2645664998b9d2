/** Bytes on their way in and out: counted, hashed, interruptible, and never more than a few chunks of them in memory. */
import { createHash } from 'node:crypto'
import { type Readable, Transform } from 'node:stream'
import {
  BlobAbandoned,
  BlobCorrupt,
  type BlobRef,
  BlobStoreUnavailable,
  BlobTooLarge,
  type PutOptions,
} from './blobs.ts'

/** Larger chunks of a source are cut to this, so that hashing one never holds the event loop for more than a millisecond or so. */
const SLICE_BYTES = 1024 * 1024

/** A source being measured: iterate `chunks` to the end, then `ref` says what it was. */
export type Intake = { chunks: AsyncIterable<Uint8Array>; ref(): BlobRef }

/**
 * Counts and hashes a source on its way into a store.
 *
 * Hashing is on the main thread: OpenSSL does a GiB in about 0.6 s there, in steps of 50 microseconds per 64 KiB chunk, while the thread
 * pool writes the chunks before. crypto.subtle hashes in the pool but only whole buffers, which is not constant memory.
 */
export function takeIn(source: AsyncIterable<Uint8Array>, options: PutOptions): Intake {
  const hash = createHash('sha256')
  let size = 0
  let done: BlobRef | undefined
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for await (const chunk of interruptible(source, options.signal)) {
      size += chunk.length
      if (size > options.maxBytes) throw new BlobTooLarge(options.maxBytes)
      for (let at = 0; at < chunk.length; at += SLICE_BYTES) {
        const slice = chunk.subarray(at, at + SLICE_BYTES)
        hash.update(slice)
        yield slice
      }
    }
    options.signal?.throwIfAborted()
    if (options.abandoned?.()) throw new BlobAbandoned()
    done = { sha256: hash.digest('hex'), size }
  }
  return {
    chunks: chunks(),
    ref() {
      if (!done) throw new Error('the source has not been read to its end')
      return done
    },
  }
}

/**
 * Lets a signal end the wait for a source that says nothing.
 * One promise per chunk, none that outlives it: racing each chunk against a single abort promise would collect a reaction per chunk.
 */
async function* interruptible(source: AsyncIterable<Uint8Array>, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  if (!signal) return yield* source
  signal.throwIfAborted()
  const iterator = source[Symbol.asyncIterator]()
  let interrupt: ((reason: unknown) => void) | undefined
  const onAbort = () => interrupt?.(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  let ended = false
  try {
    for (;;) {
      signal.throwIfAborted()
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        interrupt = reject
        iterator.next().then(resolve, (error) => {
          ended = true
          reject(error)
        })
      })
      if (next.done) {
        ended = true
        return
      }
      yield next.value
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    // A generator that is stuck in its own await answers `return` only when that settles, so nobody waits for it here.
    if (!ended) iterator.return?.().catch(() => {})
  }
}

/**
 * Passes a stored blob on and checks it. The last chunk is held back until the digest is known to be right.
 * @param wanted the digest to check, or undefined for a range
 * @param size how many bytes the source must yield
 */
export function giveOut(
  source: Readable,
  wanted: string | undefined,
  size: number,
  unavailable: (error: unknown) => Error,
): Readable {
  const hash = wanted === undefined ? undefined : createHash('sha256')
  let held: Uint8Array | undefined
  let seen = 0
  const out = new Transform({
    readableHighWaterMark: SLICE_BYTES,
    writableHighWaterMark: SLICE_BYTES,
    transform(chunk: Uint8Array, _encoding, done) {
      hash?.update(chunk)
      seen += chunk.length
      const before = held
      held = chunk
      done(null, before)
    },
    flush(done) {
      if (hash && wanted !== undefined) {
        const found = hash.digest('hex')
        if (found !== wanted) return done(new BlobCorrupt(wanted, found))
      } else if (seen !== size) {
        return done(new BlobStoreUnavailable(`read ${seen} bytes of ${size}`))
      }
      done(null, held)
    },
    destroy(error, done) {
      source.destroy()
      done(error)
    },
  })
  source.on('error', (error) => out.destroy(unavailable(error)))
  // A connection that is cut may close without an error; without this the reader would wait for ever.
  source.on('close', () => {
    if (!source.readableEnded && !out.destroyed)
      out.destroy(new BlobStoreUnavailable('the store closed the stream early'))
  })
  return source.pipe(out)
}
