import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createTreeHasher, proveInclusion, toUtf8, verifyInclusion } from '@writ/tlog'
import { keepTiles, tilesOf } from './anchored.ts'
import { openDiskStore } from './disk-store.ts'
import { openLogFiles } from './log-files.ts'
import { sha256 } from './node-crypto.ts'

const folder = await mkdtemp(join(tmpdir(), 'writ-tiles-'))
after(() => rm(folder, { recursive: true }))

test('proofs of every entry of a log read each of its tiles once, and hash what is in it a few times', async () => {
  const size = 5_000
  const files = await openLogFiles({ store: await openDiskStore(folder), origin: 'example.org/log', hash: sha256 })
  const entries = Array.from({ length: size }, (_, i) => toUtf8(`entry ${i}`))
  const { root } = await files.integrate(0, entries)
  const reads: string[] = []
  const read = (path: string) => {
    reads.push(path)
    return files.read(path)
  }
  const readTile = keepTiles(tilesOf({ read }))
  const { leaf } = createTreeHasher(sha256)
  let hashes = 0
  const hash = (bytes: Uint8Array) => {
    hashes++
    return sha256(bytes)
  }
  const nodes = new Map<string, Uint8Array>()
  for (const [index, entry] of entries.entries()) {
    const proof = await proveInclusion({ size, index, readTile, hash, nodes })
    assert.ok(verifyInclusion({ leaf: leaf(entry), index, size, root, proof, hash: sha256 }))
  }
  await files.close()
  // 20 tiles of leaves, and the one above them.
  assert.equal(reads.length, 21)
  assert.equal(new Set(reads).size, 21)
  // One by one, a proof takes some three hundred.
  assert.ok(hashes < 10 * size, `${hashes}`)
})
