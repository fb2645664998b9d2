import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leafHashes, makeEntries, sha256, treeHash } from '../test/memory-log.ts'
import {
  createCompactRange,
  createTreeHasher,
  decodeCompactRange,
  encodeCompactRange,
  rangeCoordinates,
  toBase64,
  toHex,
} from './index.ts'

const { leaf, node, empty } = createTreeHasher(sha256)
const bytes = (text: string) => new TextEncoder().encode(text)

test('leaf, node and empty root are those of RFC 6962', () => {
  assert.equal(toBase64(empty()), '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=')
  assert.equal(toHex(leaf(bytes('a'))), '022a6979e6dab7aa5ae4c3e5e45f7e977112a7e63593820dbec1ec738a24f93c')
  assert.equal(toBase64(node(leaf(bytes('a')), leaf(bytes('b')))), 'sTeYX/SE+2ANuTEHx3sDZcgNePW0Kd7Q/Zc2HQd5mes=')
})

test('an entry longer than the scratch buffer is hashed whole', () => {
  const entry = new Uint8Array(60_000).fill(7)
  assert.deepEqual(leaf(entry), sha256(Buffer.concat([Uint8Array.of(0), entry])))
})

test('a compact range has the root of the tree at every size', () => {
  const leaves = leafHashes(makeEntries(520))
  const range = createCompactRange(sha256)
  for (let size = 0; size <= 520; size++) {
    if (size < 40 || size % 64 < 2) assert.deepEqual(range.root(), treeHash(leaves.slice(0, size)), `size ${size}`)
    if (size < 520) range.append(leaves[size]!)
  }
})

test('a compact range goes on from its bytes as if it had never stopped', () => {
  const leaves = leafHashes(makeEntries(300))
  let range = createCompactRange(sha256)
  for (const one of leaves) {
    range.append(one)
    range = decodeCompactRange(sha256, encodeCompactRange(range))
  }
  assert.deepEqual(range.root(), treeHash(leaves))
})

test('each complete subtree is announced once, with its level', () => {
  const range = createCompactRange(sha256)
  const seen: number[] = []
  for (const one of leafHashes(makeEntries(8))) range.append(one, (level) => seen.push(level))
  assert.deepEqual(seen, [0, 0, 1, 0, 0, 1, 2, 0, 0, 1, 0, 0, 1, 2, 3])
})

test('nodes that do not fit the size are refused', () => {
  assert.throws(() => createCompactRange(sha256, { size: 3, nodes: [empty()] }), /not those of a tree of 3/)
  assert.throws(() => createCompactRange(sha256, { size: 1, nodes: [new Uint8Array(31)] }), /not those of a tree of 1/)
  assert.throws(() => createCompactRange(sha256, { size: -1, nodes: [] }), /cannot have -1/)
  assert.throws(() => decodeCompactRange(sha256, new Uint8Array(9)), /not a compact range/)
})

test('range coordinates cover the tree, largest first', () => {
  assert.deepEqual(rangeCoordinates(0), [])
  assert.deepEqual(rangeCoordinates(21), [
    { level: 4, index: 0 },
    { level: 2, index: 4 },
    { level: 0, index: 20 },
  ])
})
