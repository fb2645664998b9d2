import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openKeys } from '../audit/index.ts'
import type { BundleFile } from './bundle.ts'
import { zipBundle } from './bundle-zip.ts'

const folder = await mkdtemp(join(tmpdir(), 'writ-zip-'))
after(() => rm(folder, { recursive: true }))
const keys = await openKeys(folder, 0)
const MB = 1024 * 1024

async function* one(body: BundleFile['body']): AsyncGenerator<BundleFile> {
  yield { path: 'artifacts/1-large', body }
}

test('memory does not grow with the evidence', async () => {
  let peak = 0
  const source = async function* () {
    for (let i = 0; i < 400; i++) {
      peak = Math.max(peak, process.memoryUsage().rss)
      yield Buffer.alloc(MB, i)
    }
  }
  const before = process.memoryUsage().rss
  let bytes = 0
  for await (const chunk of zipBundle(
    one(async () => source()),
    { keys, at: 0 },
  ))
    bytes += chunk.length
  assert.ok(bytes > 1_000)
  // 400 MB went through; what is left behind for the collector is far less.
  assert.ok(peak - before < 150 * MB, `${Math.round((peak - before) / MB)} MB more`)
})

test('a reader that goes away ends the source', async () => {
  const gone = new AbortController()
  const ended = Promise.withResolvers<void>()
  const source = async function* () {
    try {
      // Not compressible, so that the zip fills up while nobody reads it.
      for (;;) yield crypto.getRandomValues(Buffer.alloc(64 * 1024))
    } finally {
      ended.resolve()
    }
  }
  const zip = zipBundle(
    one(async () => source()),
    { keys, at: 0, signal: gone.signal },
  )
  const failed = new Promise<Error>((resolve) => zip.once('error', resolve))
  await new Promise((resolve) => zip.once('readable', resolve))
  gone.abort(new Error('the client has gone'))
  await ended.promise
  assert.match((await failed).message, /aborted|gone/)
})

test('a source that fails, fails the zip', async () => {
  const source = async function* () {
    yield Buffer.from('x')
    throw new Error('the disk is gone')
  }
  await assert.rejects(async () => {
    for await (const _ of zipBundle(
      one(async () => source()),
      { keys, at: 0 },
    )) {
      // Read to its end.
    }
  }, /the disk is gone/)
})
