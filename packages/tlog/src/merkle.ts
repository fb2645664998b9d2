import { concatBytes } from './bytes.ts'

// The Merkle tree of RFC 6962 section 2.1. Leaves and nodes are hashed with different first bytes, so that a node can
// never be passed off as an entry.

/** SHA-256 of the bytes, 32 bytes. Must not keep the argument: callers reuse the buffer. */
export type Hash = (bytes: Uint8Array) => Uint8Array

export const HASH_BYTES = 32

export type TreeHasher = {
  /** SHA-256(0x00 || entry). */
  leaf(entry: Uint8Array): Uint8Array
  /** SHA-256(0x01 || left || right); both are 32 bytes. */
  node(left: Uint8Array, right: Uint8Array): Uint8Array
  /** Root of the tree without entries: SHA-256 of nothing. */
  empty(): Uint8Array
}

/** Tree hashes over the given SHA-256 (RFC 6962 section 2.1). Keep one per loop: it owns two scratch buffers. */
export function createTreeHasher(hash: Hash): TreeHasher {
  // Made with the first leaf: a hasher for one proof hashes none.
  let leafScratch: Uint8Array | undefined
  const nodeScratch = new Uint8Array(1 + 2 * HASH_BYTES)
  nodeScratch[0] = 1
  return {
    leaf(entry) {
      leafScratch ??= new Uint8Array(4097)
      const scratch = entry.length < leafScratch.length ? leafScratch : new Uint8Array(entry.length + 1)
      scratch.set(entry, 1)
      return hash(scratch.subarray(0, entry.length + 1))
    },
    node(left, right) {
      nodeScratch.set(left, 1)
      nodeScratch.set(right, 1 + HASH_BYTES)
      return hash(nodeScratch)
    },
    empty: () => hash(new Uint8Array(0)),
  }
}

/** Called for each complete subtree as it closes: `level` 0 is the leaf itself, `level` k spans 2^k entries. */
export type OnNode = (level: number, node: Uint8Array) => void

/** A tree of any size, remembered as the roots of its complete subtrees: all that is needed to go on appending. */
export type CompactRange = {
  readonly size: number
  /** Adds one leaf hash. At most 53 nodes close with it. */
  append(leaf: Uint8Array, onNode?: OnNode): void
  root(): Uint8Array
  /** Roots of the complete subtrees, largest first: one per 1-bit of `size`. */
  nodes(): Uint8Array[]
}

/** A compact range, empty or going on from `state`. Throws if the node count does not fit the size. */
export function createCompactRange(
  hash: Hash,
  state: { size: number; nodes: readonly Uint8Array[] } = { size: 0, nodes: [] },
): CompactRange {
  const { node, empty } = createTreeHasher(hash)
  let size = state.size
  const stack = [...state.nodes]
  if (!Number.isSafeInteger(size) || size < 0) throw new Error(`a tree cannot have ${size} entries`)
  if (stack.length !== rangeCoordinates(size).length || stack.some((n) => n.length !== HASH_BYTES)) {
    throw new Error(`these nodes are not those of a tree of ${size} entries`)
  }
  return {
    get size() {
      return size
    },
    append(leaf, onNode) {
      let top = leaf
      let level = 0
      onNode?.(0, top)
      for (let rest = size; rest % 2 === 1; rest = (rest - 1) / 2) {
        top = node(stack.pop()!, top)
        onNode?.(++level, top)
      }
      stack.push(top)
      size++
    },
    root() {
      let right = stack.at(-1)
      if (!right) return empty()
      for (let i = stack.length - 2; i >= 0; i--) right = node(stack[i]!, right)
      return right
    },
    nodes: () => [...stack],
  }
}

/** Where the nodes of a compact range sit, largest first: node `index` at `level` spans [index * 2^level, (index + 1) * 2^level). */
export function rangeCoordinates(size: number): { level: number; index: number }[] {
  const found: { level: number; index: number }[] = []
  for (let level = 0, rest = size; rest > 0; level++, rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) found.push({ level, index: rest - 1 })
  }
  return found.reverse()
}

/** A compact range as bytes: uint64 big-endian size, then its nodes, largest first. */
export function encodeCompactRange(range: Pick<CompactRange, 'size' | 'nodes'>): Uint8Array {
  const head = new Uint8Array(8)
  new DataView(head.buffer).setBigUint64(0, BigInt(range.size))
  return concatBytes([head, ...range.nodes()])
}

/** The range `encodeCompactRange` wrote. Throws on any other bytes. */
export function decodeCompactRange(hash: Hash, bytes: Uint8Array): CompactRange {
  if (bytes.length < 8 || (bytes.length - 8) % HASH_BYTES !== 0) throw new Error('not a compact range')
  const size = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0))
  const nodes: Uint8Array[] = []
  for (let at = 8; at < bytes.length; at += HASH_BYTES) nodes.push(bytes.slice(at, at + HASH_BYTES))
  return createCompactRange(hash, { size, nodes })
}
