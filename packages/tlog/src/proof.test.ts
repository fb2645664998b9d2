import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import fc from 'fast-check'
import { buildLog, leafHashes, makeEntries, makeKey, sha256, tileReader, treeHash } from '../test/memory-log.ts'
import {
  createCompactRange,
  loadCompactRange,
  proveConsistency,
  proveInclusion,
  verifyConsistency,
  verifyInclusion,
} from './index.ts'

const hash = sha256
const key = makeKey('example.org/log')
const LARGE = 66_000
const leaves = leafHashes(makeEntries(LARGE))
const roots = new Map<number, Uint8Array>()
let readTile: ReturnType<typeof tileReader>

before(async () => {
  readTile = tileReader(await buildLog(makeEntries(LARGE), key))
  const range = createCompactRange(hash)
  for (let size = 1; size <= LARGE; size++) {
    range.append(leaves[size - 1]!)
    roots.set(size, range.root())
  }
})

/** Reads the tiles of a smaller tree as prefixes of those of the large one. */
const narrow = async (level: number, index: number, width: number) => {
  const span = 256 ** level
  const full = Math.min(256, Math.floor(LARGE / span) - index * 256)
  return (await readTile(level, index, full)).subarray(0, width * 32)
}

test('every entry of every small tree is proven, and in its own place only', async () => {
  for (let size = 1; size <= 24; size++) {
    for (let index = 0; index < size; index++) {
      const proof = await proveInclusion({ size, index, readTile: narrow, hash })
      const claim = { leaf: leaves[index]!, size, root: treeHash(leaves.slice(0, size)), proof, hash }
      for (let other = 0; other < size; other++) {
        assert.equal(verifyInclusion({ ...claim, index: other }), other === index, `${other} of ${size}, not ${index}`)
      }
    }
  }
})

test('every small tree is proven to be the beginning of every larger one', async () => {
  for (let to = 0; to <= 24; to++) {
    for (let from = 0; from <= to; from++) {
      const proof = await proveConsistency({ from, to, readTile: narrow, hash })
      const claim = {
        from,
        fromRoot: treeHash(leaves.slice(0, from)),
        to,
        toRoot: treeHash(leaves.slice(0, to)),
        proof,
        hash,
      }
      assert.equal(verifyConsistency(claim), true, `${from} to ${to}`)
      if (from > 0 && from < to) {
        const forged = treeHash([leaves[99]!, ...leaves.slice(1, from)])
        assert.equal(verifyConsistency({ ...claim, fromRoot: forged }), false, `${from} to ${to}, forged`)
        assert.equal(verifyConsistency({ ...claim, proof: proof.slice(1) }), false, `${from} to ${to}, cut`)
        assert.equal(verifyConsistency({ ...claim, proof: [...proof, leaves[0]!] }), false, `${from} to ${to}, longer`)
      }
    }
  }
})

test('proofs across tile borders hold, and one changed hash breaks them', async () => {
  const size = fc.integer({ min: 1, max: LARGE })
  await fc.assert(
    fc.asyncProperty(size, size, fc.nat(), async (a, b, salt) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b)]
      const index = salt % to
      const inclusion = await proveInclusion({ size: to, index, readTile: narrow, hash })
      const claim = { leaf: leaves[index]!, index, size: to, root: roots.get(to)!, proof: inclusion, hash }
      assert.ok(verifyInclusion(claim))
      const consistency = await proveConsistency({ from, to, readTile: narrow, hash })
      const trees = { from, fromRoot: roots.get(from)!, to, toRoot: roots.get(to)!, hash }
      assert.ok(verifyConsistency({ ...trees, proof: consistency }))
      const spoil = (proof: Uint8Array[]) => proof.map((one, i) => (i === salt % proof.length ? sha256(one) : one))
      if (inclusion.length > 0) assert.ok(!verifyInclusion({ ...claim, proof: spoil(inclusion) }))
      if (consistency.length > 0) assert.ok(!verifyConsistency({ ...trees, proof: spoil(consistency) }))
    }),
    { numRuns: 150 },
  )
})

test('a compact range is read from tiles at any size', async () => {
  for (const size of [1, 255, 256, 257, 4096, 65_535, 65_536, 65_537, LARGE]) {
    const range = await loadCompactRange({ size, readTile: narrow, hash })
    assert.deepEqual(range.root(), roots.get(size), `size ${size}`)
  }
})

test('nonsense is false or refused, never accepted', async () => {
  const root = roots.get(4)!
  const claim = { leaf: leaves[0]!, index: 0, size: 4, root, proof: [leaves[1]!, leaves[2]!], hash }
  assert.equal(verifyInclusion({ ...claim, index: 4 }), false)
  assert.equal(verifyInclusion({ ...claim, index: 0.5 }), false)
  assert.equal(verifyInclusion({ ...claim, proof: [new Uint8Array(31)] }), false)
  assert.equal(verifyConsistency({ from: 5, fromRoot: root, to: 4, toRoot: root, proof: [], hash }), false)
  assert.equal(verifyConsistency({ from: 0, fromRoot: root, to: 4, toRoot: root, proof: [], hash }), false)
  await assert.rejects(proveInclusion({ size: 4, index: 4, readTile, hash }), /no entry 4 in a log of 4/)
  await assert.rejects(proveConsistency({ from: 5, to: 4, readTile, hash }), /no consistency from 5 to 4/)
})
