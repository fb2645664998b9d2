import type { LogInfo } from '@writ/api'
import {
  type BundlePrimitives,
  createTreeHasher,
  decodeBundle,
  decodeEntry,
  type Entry,
  openCheckpoint,
  proveInclusion,
  TILE_WIDTH,
  tilePath,
  tileWidth,
  type VerifyEd25519,
  verifyInclusion,
} from '@writ/tlog'

export interface ProvenEntry {
  readonly entry: Entry
  readonly checkpoint: { readonly size: number; readonly root: Uint8Array }
  readonly hashes: readonly Uint8Array[]
}

/**
 * Proves one entry from the files of the log: its bytes out of the entry bundle, the hashes that lead from it to the root
 * out of the tiles, and the root out of a checkpoint that the log signed. Throws with the reason when it is not so.
 */
export async function proveEntry(
  log: Pick<LogInfo, 'origin' | 'vkeys'>,
  index: number,
  read: (path: string) => Promise<Uint8Array>,
  on: BundlePrimitives & { verifyEd25519: VerifyEd25519 },
): Promise<ProvenEntry> {
  const opened = await openCheckpoint(await read('checkpoint'), {
    vkeys: log.vkeys,
    origin: log.origin,
    hash: on.sha256,
    verify: on.verifyEd25519,
  })
  if (!opened.ok) throw new Error(opened.reason)
  const { size, root } = opened.checkpoint
  if (index >= size) throw new Error(`the checkpoint has ${size} entries; the next one will hold entry ${index}`)
  const tile = Math.floor(index / TILE_WIDTH)
  const width = tileWidth(size, 0, tile)
  const bundle = decodeBundle(await read(tilePath({ level: 'entries', index: tile, width })), width)
  const bytes = bundle[index % TILE_WIDTH]
  if (!bytes) throw new Error(`the files of the log have no entry ${index}`)
  const readTile = (level: number, at: number, wide: number) => read(tilePath({ level, index: at, width: wide }))
  const hashes = await proveInclusion({ size, index, readTile, hash: on.sha256 })
  const leaf = createTreeHasher(on.sha256).leaf(bytes)
  if (!verifyInclusion({ leaf, index, size, root, proof: hashes, hash: on.sha256 }))
    throw new Error(`entry ${index} does not lead to the root of the checkpoint`)
  return { entry: decodeEntry(bytes), checkpoint: { size, root }, hashes }
}
