import { equalBytes } from './bytes.ts'
import {
  type CompactRange,
  createCompactRange,
  createTreeHasher,
  HASH_BYTES,
  type Hash,
  rangeCoordinates,
} from './merkle.ts'
import { levelCount, TILE_WIDTH } from './tile.ts'

// Inclusion and consistency proofs of RFC 6962 section 2.1: made from tiles, checked from hashes alone.

/** Bytes of one hash tile: `width` hashes of 32 bytes. May hand out a wider tile, of which the first `width` hashes count. */
export type ReadTile = (level: number, index: number, width: number) => Promise<Uint8Array>

/** `nodes` is for whoever proves many entries of one log: what was computed for one proof serves the next. Only for that log. */
type FromTiles = { readTile: ReadTile; hash: Hash; nodes?: Map<string, Uint8Array> }

/** Sibling hashes that lead from entry `index` to the root of the tree of `size` entries, leaf first. */
export async function proveInclusion({
  size,
  index,
  ...tiles
}: { size: number; index: number } & FromTiles): Promise<Uint8Array[]> {
  if (!isCount(size) || !isCount(index) || index >= size) throw new Error(`no entry ${index} in a log of ${size}`)
  const siblings: [number, number][] = []
  for (let low = 0, high = size; high - low > 1; ) {
    const middle = low + splitPoint(high - low)
    if (index < middle) {
      siblings.push([middle, high])
      high = middle
    } else {
      siblings.push([low, middle])
      low = middle
    }
  }
  return readSubtrees(size, siblings.reverse(), tiles)
}

/** Hashes that show the tree of `from` entries to be the beginning of the tree of `to` entries. Empty if `from` is 0 or `to`. */
export async function proveConsistency({
  from,
  to,
  ...tiles
}: { from: number; to: number } & FromTiles): Promise<Uint8Array[]> {
  if (!isCount(from) || !isCount(to) || from > to) throw new Error(`no consistency from ${from} to ${to} entries`)
  if (from === 0) return []
  const subtrees: [number, number][] = []
  let low = 0
  let high = to
  while (high !== from) {
    const middle = low + splitPoint(high - low)
    if (from <= middle) {
      subtrees.push([middle, high])
      high = middle
    } else {
      subtrees.push([low, middle])
      low = middle
    }
  }
  // When `low` is 0 the subtree left over is the old tree itself, whose root the verifier has.
  if (low > 0) subtrees.push([low, high])
  return readSubtrees(to, subtrees.reverse(), tiles)
}

/** The compact range of the first `size` entries, read from at most eight tiles. */
export async function loadCompactRange({ size, ...tiles }: { size: number } & FromTiles): Promise<CompactRange> {
  const nodes = await readSubtrees(
    size,
    rangeCoordinates(size).map(({ level, index }) => [index * 2 ** level, (index + 1) * 2 ** level]),
    tiles,
  )
  return createCompactRange(tiles.hash, { size, nodes })
}

/** Whether `leaf` is entry `index` of the tree of `size` entries with this root (algorithm of RFC 9162 section 2.1.3.2). */
export function verifyInclusion(claim: {
  leaf: Uint8Array
  index: number
  size: number
  root: Uint8Array
  proof: readonly Uint8Array[]
  hash: Hash
}): boolean {
  const { leaf, index, size, root, proof, hash } = claim
  if (!isCount(index) || !isCount(size) || index >= size || !areHashes([leaf, root, ...proof])) return false
  const { node } = createTreeHasher(hash)
  let own = index
  let last = size - 1
  let top = leaf
  for (const sibling of proof) {
    if (last === 0) return false
    if (own % 2 === 1 || own === last) {
      top = node(sibling, top)
      while (own % 2 === 0 && own !== 0) {
        own /= 2
        last = Math.floor(last / 2)
      }
    } else {
      top = node(top, sibling)
    }
    own = Math.floor(own / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 && equalBytes(top, root)
}

/**
 * Whether the tree (`from`, `fromRoot`) is the beginning of the tree (`to`, `toRoot`) (algorithm of RFC 9162 section
 * 2.1.4.2). An empty old tree is the beginning of any; equal sizes need equal roots; both take an empty proof only.
 *
 * Neither proof pins a size exactly: trees of 20 and 21 entries may have proofs of one shape. What binds a size to a root
 * is the signature on both, and the comparison with the entries themselves.
 */
export function verifyConsistency(claim: {
  from: number
  fromRoot: Uint8Array
  to: number
  toRoot: Uint8Array
  proof: readonly Uint8Array[]
  hash: Hash
}): boolean {
  const { from, fromRoot, to, toRoot, proof, hash } = claim
  if (!isCount(from) || !isCount(to) || from > to || !areHashes([fromRoot, toRoot, ...proof])) return false
  const { node, empty } = createTreeHasher(hash)
  if (from === to && !equalBytes(fromRoot, toRoot)) return false
  if (from === 0 && !equalBytes(fromRoot, empty())) return false
  if (from === 0 || from === to) return proof.length === 0
  let own = from - 1
  let last = to - 1
  while (own % 2 === 1) {
    own = Math.floor(own / 2)
    last = Math.floor(last / 2)
  }
  // `own` is 0 exactly when `from` is a power of two: then the old root is itself the first node of the path.
  const [first, ...rest] = own === 0 ? [fromRoot, ...proof] : proof
  if (!first) return false
  let oldTop = first
  let newTop = first
  for (const sibling of rest) {
    if (last === 0) return false
    if (own % 2 === 1 || own === last) {
      oldTop = node(sibling, oldTop)
      newTop = node(sibling, newTop)
      while (own % 2 === 0 && own !== 0) {
        own /= 2
        last = Math.floor(last / 2)
      }
    } else {
      newTop = node(newTop, sibling)
    }
    own = Math.floor(own / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 && equalBytes(oldTop, fromRoot) && equalBytes(newTop, toRoot)
}

/** About half a megabyte. Proofs of entries one after the other share nearly all of theirs. */
const MOST_NODES = 4_096

/** Roots of the subtrees over [low, high) of a tree of `size` entries. Each tile is read once. */
async function readSubtrees(
  size: number,
  subtrees: readonly (readonly [number, number])[],
  { readTile, hash, nodes }: FromTiles,
): Promise<Uint8Array[]> {
  const { node } = createTreeHasher(hash)
  const tiles = new Map<string, Promise<Uint8Array>>()

  async function completeSubtree(level: number, index: number): Promise<Uint8Array> {
    const name = `${level}/${index}`
    const known = nodes?.get(name)
    if (known) return known
    const root = await computeSubtree(level, index)
    if (nodes && nodes.size >= MOST_NODES) nodes.clear()
    nodes?.set(name, root)
    return root
  }

  async function computeSubtree(level: number, index: number): Promise<Uint8Array> {
    const tileLevel = Math.floor(level / 8)
    const span = 2 ** (level % 8)
    const tileIndex = Math.floor((index * span) / TILE_WIDTH)
    const width = Math.min(TILE_WIDTH, levelCount(size, tileLevel) - tileIndex * TILE_WIDTH)
    const key = `${tileLevel}/${tileIndex}`
    let reading = tiles.get(key)
    if (!reading) {
      reading = readTile(tileLevel, tileIndex, width)
      tiles.set(key, reading)
    }
    const tile = await reading
    if (tile.length < width * HASH_BYTES) throw new Error(`hash tile ${key} is shorter than ${width} hashes`)
    const first = (index * span) % TILE_WIDTH
    let row: Uint8Array[] = []
    for (let i = first; i < first + span; i++) row.push(tile.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES))
    while (row.length > 1) {
      const above: Uint8Array[] = []
      for (let i = 0; i < row.length; i += 2) above.push(node(row[i]!, row[i + 1]!))
      row = above
    }
    return row[0]!
  }

  async function subtree(low: number, high: number): Promise<Uint8Array> {
    const split = splitPoint(high - low)
    if (split * 2 === high - low || high - low === 1) {
      return completeSubtree(Math.round(Math.log2(high - low)), low / (high - low))
    }
    return node(await completeSubtree(Math.round(Math.log2(split)), low / split), await subtree(low + split, high))
  }

  const roots: Uint8Array[] = []
  for (const [low, high] of subtrees) roots.push(await subtree(low, high))
  return roots
}

/** The largest power of two strictly below `count`; 1 for a single entry, which is not split. */
function splitPoint(count: number): number {
  let point = 1
  while (point * 2 < count) point *= 2
  return point
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function areHashes(values: readonly Uint8Array[]): boolean {
  return values.every((value) => value.length === HASH_BYTES)
}
