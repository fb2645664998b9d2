import { parseDecimal } from './bytes.ts'

// Tiles and entry bundles of c2sp.org/tlog-tiles: the tree cut into files of 256 hashes, so that a log is a folder.

export const TILE_WIDTH = 256
/** The uint16 length prefix of a bundle allows no more. */
export const MAX_BUNDLE_ENTRY_BYTES = 65_535

/** One file of the log. `width` 256 is a full tile; 1 to 255 a partial one. Level k holds roots of full tiles of level k - 1. */
export type Tile = { level: number | 'entries'; index: number; width: number }

/** Path of a tile below the log's prefix, such as `tile/0/x001/x234/067.p/5` (c2sp.org/tlog-tiles). */
export function tilePath({ level, index, width }: Tile): string {
  let groups = String(index % 1000).padStart(3, '0')
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) {
    groups = `x${String(rest % 1000).padStart(3, '0')}/${groups}`
  }
  return width === TILE_WIDTH ? `tile/${level}/${groups}` : `tile/${level}/${groups}.p/${width}`
}

/** The tile a path names; null if it names none. Only the one spelling that `tilePath` writes is accepted. */
export function parseTilePath(path: string): Tile | null {
  const match = /^tile\/(entries|[0-9]{1,2})\/((?:x[0-9]{3}\/){0,5}[0-9]{3})(?:\.p\/([0-9]{1,3}))?$/.exec(path)
  if (!match) return null
  const [, levelText = '', groups = '', widthText] = match
  const level = levelText === 'entries' ? ('entries' as const) : parseDecimal(levelText)
  const width = widthText === undefined ? TILE_WIDTH : parseDecimal(widthText)
  const index = Number(groups.replaceAll(/[x/]/g, ''))
  if (level === null || (level !== 'entries' && level > 63) || !Number.isSafeInteger(index)) return null
  if (width === null || width < 1 || (widthText !== undefined && width >= TILE_WIDTH)) return null
  const tile = { level, index, width }
  return tilePath(tile) === path ? tile : null
}

/** How many hashes level `level` has in a tree of `size` entries: floor(size / 256^level). */
export function levelCount(size: number, level: number): number {
  let count = size
  for (let i = 0; i < level; i++) count = Math.floor(count / TILE_WIDTH)
  return count
}

/** Width of tile `index` of a level in a tree of `size` entries: 256 if full, 0 if the tree has no such tile. */
export function tileWidth(size: number, level: number, index: number): number {
  return Math.max(0, Math.min(TILE_WIDTH, levelCount(size, level) - index * TILE_WIDTH))
}

/**
 * The files a log of `to` entries has that it had not, or had narrower, at `from` entries: bundles first, then hash
 * tiles from level 0 up, each in index order.
 */
export function changedTiles(from: number, to: number): Tile[] {
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || to < from) {
    throw new Error(`a log cannot grow from ${from} to ${to} entries`)
  }
  const tiles: Tile[] = []
  for (let level = 0, before = from, now = to; now > 0; level++) {
    if (now > before) {
      for (const kind of level === 0 ? (['entries', 0] as const) : [level]) {
        for (let index = Math.floor(before / TILE_WIDTH); index * TILE_WIDTH < now; index++) {
          tiles.push({ level: kind, index, width: Math.min(TILE_WIDTH, now - index * TILE_WIDTH) })
        }
      }
    }
    before = Math.floor(before / TILE_WIDTH)
    now = Math.floor(now / TILE_WIDTH)
  }
  return tiles
}

/** An entry bundle: each entry behind its uint16 big-endian length. Throws on more than 256 entries or one over 65,535 bytes. */
export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  if (entries.length > TILE_WIDTH) throw new Error(`a bundle holds at most 256 entries, not ${entries.length}`)
  let length = 0
  for (const entry of entries) {
    if (entry.length > MAX_BUNDLE_ENTRY_BYTES)
      throw new Error(`an entry of ${entry.length} bytes does not fit a bundle`)
    length += 2 + entry.length
  }
  const bundle = new Uint8Array(length)
  let at = 0
  for (const entry of entries) {
    bundle[at] = entry.length >> 8
    bundle[at + 1] = entry.length & 0xff
    bundle.set(entry, at + 2)
    at += 2 + entry.length
  }
  return bundle
}

/** The entries of a bundle, as views into it, and whether the bytes end exactly behind the last one. Never throws. */
export function splitBundle(bundle: Uint8Array): { entries: Uint8Array[]; whole: boolean } {
  const entries: Uint8Array[] = []
  let at = 0
  while (at + 2 <= bundle.length) {
    const end = at + 2 + bundle[at]! * 256 + bundle[at + 1]!
    if (end > bundle.length) break
    entries.push(bundle.subarray(at + 2, end))
    at = end
  }
  return { entries, whole: at === bundle.length }
}

/** The `width` entries of a bundle, as views into it. Throws if the bytes hold another number of entries or a cut one. */
export function decodeBundle(bundle: Uint8Array, width: number): Uint8Array[] {
  const { entries, whole } = splitBundle(bundle)
  if (!whole) throw new Error(`the bundle is cut inside entry ${entries.length}`)
  if (entries.length !== width) throw new Error(`the bundle holds ${entries.length} entries, not ${width}`)
  return entries
}
