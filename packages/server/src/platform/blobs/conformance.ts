/** What every blob store promises, as tests: `exerciseBlobs('local', open)` in a test file runs them all. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { BlobAbandoned, BlobCorrupt, BlobMissing, type Blobs, BlobTooLarge } from './blobs.ts'

/** A store under test, empty, and what a test has to do behind its back. */
export type Exercise = {
  blobs: Blobs
  /** Overwrites what is stored for a blob, as a failing disk would. */
  tamper(project: string, sha256: string, bytes: Uint8Array): Promise<void>
  /** Names of everything that is stored and is no blob: temporary files or keys, unfinished uploads. */
  leftovers(): Promise<string[]>
  /** Leaves what a server leaves that is killed while it takes a blob in. */
  leaveHalf(): Promise<void>
  /** Opens the same store again, as the next process would. */
  reopen(): Promise<Blobs>
  /** Closes and removes everything. */
  end(): Promise<void>
}

const A = '0190a000-0000-7000-8000-00000000000a'
const B = '0190a000-0000-7000-8000-00000000000b'
/** FIPS 180-2, B.1. */
const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const ROOMY = { maxBytes: 64 * 1024 * 1024 }

/** @param skip why this backend cannot be had here, or false */
export function exerciseBlobs(name: string, open: () => Promise<Exercise>, skip: string | false = false): void {
  const blobTest = (title: string, run: (exercise: Exercise) => Promise<void>) =>
    test(`${name}: ${title}`, { skip }, async () => {
      const exercise = await open()
      try {
        await run(exercise)
      } finally {
        await exercise.end()
      }
    })

  blobTest('what was put is read back, whatever its size', async ({ blobs, leftovers }) => {
    for (const size of [1, 65_536, 1_048_576, 1_048_577, 9_000_000, 13_000_000]) {
      const bytes = pattern(size)
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      assert.deepEqual(await blobs.put(A, cut(bytes, 60_000), ROOMY), { sha256, size })
      assert.deepEqual(await blobs.stat(A, sha256), { sha256, size })
      assert.ok((await read(blobs, A, sha256)).equals(bytes), `${size} bytes differ`)
    }
    assert.deepEqual(await leftovers(), [])
  })

  blobTest('the digest is SHA-256 of the bytes', async ({ blobs }) => {
    assert.deepEqual(await blobs.put(A, cut(Buffer.from('abc'), 2), ROOMY), { sha256: ABC, size: 3 })
  })

  blobTest('nothing is a blob too', async ({ blobs }) => {
    assert.deepEqual(await blobs.put(A, cut(Buffer.alloc(0), 1), ROOMY), { sha256: EMPTY, size: 0 })
    assert.equal((await read(blobs, A, EMPTY)).length, 0)
    await assert.rejects(blobs.open(A, EMPTY, { start: 1 }), RangeError)
  })

  blobTest('a project does not see the blobs of another', async ({ blobs }) => {
    await blobs.put(A, cut(Buffer.from('abc'), 3), ROOMY)
    assert.equal(await blobs.stat(B, ABC), undefined)
    await assert.rejects(blobs.open(B, ABC), BlobMissing)
    assert.equal(await blobs.remove(B, ABC), false)
    assert.deepEqual(await listed(blobs, B), [])
    assert.deepEqual(await listed(blobs, A), [{ sha256: ABC, size: 3 }])
  })

  blobTest('the same bytes may come again, also at the same time', async ({ blobs, leftovers }) => {
    const puts = Array.from({ length: 8 }, () => blobs.put(A, cut(Buffer.from('abc'), 1), ROOMY))
    for (const ref of await Promise.all(puts)) assert.deepEqual(ref, { sha256: ABC, size: 3 })
    assert.deepEqual(await listed(blobs, A), [{ sha256: ABC, size: 3 }])
    assert.deepEqual(await leftovers(), [])
  })

  blobTest('putting a blob again repairs one that had rotted', async ({ blobs, tamper }) => {
    for (const size of [3, 13_000_000]) {
      const bytes = pattern(size)
      const { sha256 } = await blobs.put(A, cut(bytes, 500_000), ROOMY)
      for (const damage of [flip(bytes), bytes.subarray(1), Buffer.concat([bytes, bytes.subarray(0, 1)])]) {
        await tamper(A, sha256, damage)
        await blobs.put(A, cut(bytes, 500_000), ROOMY)
        assert.ok((await read(blobs, A, sha256)).equals(bytes))
      }
    }
  })

  blobTest('a changed blob never arrives whole', async ({ blobs, tamper }) => {
    for (const size of [1, 70_000, 3_000_000]) {
      const bytes = pattern(size)
      const { sha256 } = await blobs.put(A, cut(bytes, 500_000), ROOMY)
      await tamper(A, sha256, flip(bytes))
      for (const range of [undefined, { start: 0 }, { start: 0, end: size - 1 }]) {
        let arrived = 0
        const reading = async () => {
          for await (const chunk of await blobs.open(A, sha256, range)) arrived += chunk.length
        }
        await assert.rejects(reading, BlobCorrupt)
        assert.ok(arrived < size)
      }
    }
  })

  blobTest('a range yields its bytes, both ends included', async ({ blobs }) => {
    const bytes = pattern(300_000)
    const { sha256 } = await blobs.put(A, cut(bytes, 50_000), ROOMY)
    const ranges = [
      { start: 0, end: 0 },
      { start: 10, end: 20 },
      { start: 299_999 },
      { start: 100, end: 9_999_999 },
      { end: 70_000 },
    ]
    for (const range of ranges) {
      const wanted = bytes.subarray(range.start ?? 0, (range.end ?? Number.MAX_SAFE_INTEGER - 1) + 1)
      assert.ok((await read(blobs, A, sha256, range)).equals(wanted), JSON.stringify(range))
    }
    for (const range of [{ start: 300_000 }, { start: 5, end: 4 }, { start: -1 }, { start: 0.5 }]) {
      await assert.rejects(blobs.open(A, sha256, range), RangeError, JSON.stringify(range))
    }
  })

  blobTest('too many bytes leave nothing, and the source is closed', async ({ blobs, leftovers }) => {
    for (const [size, maxBytes] of [
      [4, 3],
      [10_000_000, 9_999_999],
    ] as const) {
      let closed = false
      async function* source() {
        try {
          yield* cut(pattern(size), 50_000)
        } finally {
          closed = true
        }
      }
      await assert.rejects(blobs.put(A, source(), { maxBytes }), BlobTooLarge)
      assert.equal(closed, true)
    }
    assert.equal((await blobs.put(A, cut(Buffer.from('abc'), 3), { maxBytes: 3 })).size, 3)
    assert.deepEqual(await listed(blobs, A), [{ sha256: ABC, size: 3 }])
    assert.deepEqual(await leftovers(), [])
  })

  blobTest('a source that breaks leaves nothing, and its error passes through', async ({ blobs, leftovers }) => {
    for (const size of [0, 100, 10_000_000]) {
      const broken = new Error('connection reset')
      async function* source() {
        yield* cut(pattern(size), 50_000)
        throw broken
      }
      await assert.rejects(blobs.put(A, source(), ROOMY), (error) => error === broken)
    }
    assert.deepEqual(await listed(blobs, A), [])
    assert.deepEqual(await leftovers(), [])
  })

  blobTest('a source that ended but is not complete leaves nothing', async ({ blobs, leftovers }) => {
    for (const size of [100, 10_000_000]) {
      const options = { ...ROOMY, abandoned: () => true }
      await assert.rejects(blobs.put(A, cut(pattern(size), 50_000), options), BlobAbandoned)
    }
    assert.deepEqual(await listed(blobs, A), [])
    assert.deepEqual(await leftovers(), [])
  })

  blobTest('whoever waits for the digest hears it before the blob is there, and may refuse it', async (on) => {
    const { blobs, leftovers } = on
    const refusal = new Error('not now')
    for (const size of [100, 10_000_000]) {
      let seen: unknown
      const put = (refuse: boolean) =>
        blobs.put(A, cut(pattern(size), 50_000), {
          ...ROOMY,
          async coming(ref) {
            seen = [ref, await blobs.stat(A, ref.sha256)]
            if (refuse) throw refusal
          },
        })
      await assert.rejects(put(true), (error) => error === refusal)
      assert.deepEqual(await listed(blobs, A), [])
      assert.deepEqual(await leftovers(), [])
      const ref = await put(false)
      assert.deepEqual(seen, [ref, undefined])
      assert.deepEqual(await listed(blobs, A), [ref])
      await blobs.remove(A, ref.sha256)
    }
  })

  blobTest('a signal ends a put whose source has gone silent', async ({ blobs, leftovers }) => {
    for (const size of [100, 10_000_000]) {
      const stop = new AbortController()
      const reason = new Error('shutting down')
      async function* source() {
        yield* cut(pattern(size), 50_000)
        queueMicrotask(() => stop.abort(reason))
        await new Promise(() => {})
      }
      const options = { ...ROOMY, signal: stop.signal }
      await assert.rejects(blobs.put(A, source(), options), (error) => error === reason)
      assert.equal(getEventListeners(stop.signal, 'abort').length, 0)
    }
    assert.deepEqual(await listed(blobs, A), [])
    assert.deepEqual(await leftovers(), [])
  })

  blobTest('a removed blob is gone and can be put again', async ({ blobs }) => {
    await blobs.put(A, cut(Buffer.from('abc'), 3), ROOMY)
    assert.equal(await blobs.remove(A, ABC), true)
    assert.equal(await blobs.remove(A, ABC), false)
    assert.equal(await blobs.stat(A, ABC), undefined)
    await assert.rejects(blobs.open(A, ABC), BlobMissing)
    await blobs.put(A, cut(Buffer.from('abc'), 3), ROOMY)
    assert.equal((await read(blobs, A, ABC)).toString(), 'abc')
  })

  blobTest('a list is ordered by digest', async ({ blobs }) => {
    for (let n = 0; n < 20; n++) await blobs.put(A, cut(Buffer.from(`blob ${n}`), 9), ROOMY)
    const digests = (await listed(blobs, A)).map((ref) => ref.sha256)
    assert.equal(digests.length, 20)
    assert.deepEqual(digests, digests.toSorted())
  })

  blobTest('a reader that stops early lets go', async ({ blobs }) => {
    const { sha256 } = await blobs.put(A, cut(pattern(5_000_000), 50_000), ROOMY)
    for (let n = 0; n < 100; n++) {
      const stream = await blobs.open(A, sha256)
      if (n % 2) for await (const _ of stream) break
      else stream.destroy()
    }
    assert.equal((await read(blobs, A, sha256)).length, 5_000_000)
  })

  blobTest('what a killed server left half-written is swept at open, and blobs stay', async (exercise) => {
    await exercise.blobs.put(A, cut(Buffer.from('abc'), 3), ROOMY)
    await exercise.leaveHalf()
    assert.notDeepEqual(await exercise.leftovers(), [])
    const again = await exercise.reopen()
    assert.deepEqual(await exercise.leftovers(), [])
    assert.equal((await read(again, A, ABC)).toString(), 'abc')
    await again.close()
  })

  blobTest('a healthy store says so and leaves no probe', async ({ blobs, leftovers }) => {
    await blobs.check()
    assert.deepEqual(await leftovers(), [])
  })

  blobTest('names that are no project and no digest are refused before they become a path', async ({ blobs }) => {
    for (const project of ['../x', '', A.toUpperCase(), `${A}/..`]) {
      await assert.rejects(blobs.put(project, cut(Buffer.from('abc'), 3), ROOMY), TypeError)
      await assert.rejects(blobs.open(project, ABC), TypeError)
    }
    for (const sha256 of ['../../etc/passwd', ABC.toUpperCase(), ABC.slice(1)]) {
      await assert.rejects(blobs.open(A, sha256), TypeError)
      await assert.rejects(blobs.remove(A, sha256), TypeError)
      await assert.rejects(blobs.stat(A, sha256), TypeError)
    }
  })
}

async function* cut(bytes: Buffer, step: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step)
}

/** Bytes that differ everywhere, so that a lost or doubled piece shows. */
function pattern(size: number): Buffer {
  const bytes = Buffer.alloc(size)
  for (let at = 0; at + 4 <= size; at += 4) bytes.writeUInt32LE(Math.imul(at, 2654435761) >>> 0, at)
  return bytes
}

function flip(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  copy[copy.length - 1]! ^= 1
  return copy
}

async function read(blobs: Blobs, project: string, sha256: string, range?: { start?: number; end?: number }) {
  const parts: Uint8Array[] = []
  for await (const part of await blobs.open(project, sha256, range)) parts.push(part)
  return Buffer.concat(parts)
}

async function listed(blobs: Blobs, project: string) {
  const refs = []
  for await (const ref of blobs.list(project)) refs.push(ref)
  return refs
}
