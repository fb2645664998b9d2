import {
  type Checkpoint,
  changedTiles,
  createCompactRange,
  createTreeHasher,
  decodeBundle,
  encodeBundle,
  equalBytes,
  fromUtf8,
  HASH_BYTES,
  type Hash,
  loadCompactRange,
  MAX_BUNDLE_ENTRY_BYTES,
  parseCheckpoint,
  parseNote,
  proveConsistency,
  proveInclusion,
  TILE_WIDTH,
  type Tile,
  tilePath,
} from '@writ/tlog'
import type { AfterStep } from './durable-file.ts'
import { LogError } from './log-error.ts'
import { CHECKPOINT, type LogStore } from './log-store.ts'
import { createSlices } from './slice.ts'

// The files of one log in its store, in the layout of c2sp.org/tlog-tiles.
//
// The order that keeps a crash harmless:
//   1. the audit rows commit with the change they describe;
//   2. the sequencer commits their indexes;
//   3. `integrate` writes bundles and tiles, and returns when files and directories are fsynced;
//   4. the signer remembers the new state, fsynced, and signs it;
//   5. `publish` replaces the checkpoint.
// After a crash between 2 and 5 the published checkpoint is the old one. The sequencer offers the rows from that size on
// again, in their committed order: the same bytes at the same paths, so whatever was already written is simply met again.
// Before 2 nothing may be written here: another order would put other bytes at the same path.

/** The state of the files: entries integrated, durable, but perhaps not yet published. */
export type LogState = { size: number; root: Uint8Array }

export type LogFiles = {
  readonly origin: string
  /** What is integrated. Ahead of `published` between `integrate` and `publish`. */
  readonly integrated: LogState
  /** What the checkpoint on disk says; size 0 before the first. */
  readonly published: LogState
  /**
   * Adds entries from index `start` on: every bundle and hash tile that changes is written and fsynced, one group per
   * call. `start` is the integrated size, or the published size to offer the same entries again after a failure.
   * One call at a time. Throws LOG_GAP, or LOG_FORK; neither overwrites anything.
   */
  integrate(start: number, entries: readonly Uint8Array[]): Promise<LogState>
  /** Replaces the checkpoint, durably, then drops partial tiles that full ones supersede. Throws LOG_MISMATCH. */
  publish(checkpointText: string): Promise<void>
  /** The hashes that lead from the tree of `from` entries to the integrated one: what the signer asks for. */
  proveFrom(from: number): Promise<Uint8Array[]>
  /** The hashes that show entry `index` in the tree of the first `size` entries, at most the integrated ones. */
  proveEntry(index: number, size: number): Promise<Uint8Array[]>
  /** One hash tile of the integrated log; the full one where the partial is gone. Throws LOG_DAMAGED if there is none. */
  readTile(level: number, index: number, width: number): Promise<Uint8Array>
  /** A file of the log by its path, `checkpoint` or `tile/...`; null for any other path and for what does not exist. */
  read(path: string): Promise<Uint8Array | null>
  /** Replaces a file that stands beside the checkpoint: the cosigned one, a key change. Durable. */
  keep(path: string, text: string): Promise<void>
  close(): Promise<void>
}

/** The right edge of the tree: what appending needs. Never changed in place, so that a failed call leaves the old one. */
type Edge = {
  size: number
  root: Uint8Array
  nodes: Uint8Array[]
  /** Hashes in the partial tile of each level. */
  tiles: Uint8Array[][]
  /** Entries in the partial bundle. */
  bundle: Uint8Array[]
}

/**
 * Opens the log in `store`. Its size is that of the published checkpoint; files of entries integrated but never published
 * are met again when those are offered. Throws LOG_DAMAGED if the tiles do not give the root. `after` is for tests only.
 */
export async function openLogFiles(options: {
  store: LogStore
  origin: string
  hash: Hash
  after?: AfterStep
}): Promise<LogFiles> {
  const { store, origin, hash, after } = options
  const read = (path: string) => store.read(path)
  const readTile = async (level: number, index: number, width: number) => {
    const bytes = await readWide({ level, index, width })
    if (bytes.length < width * HASH_BYTES) throw new LogError('LOG_DAMAGED', `${level}/${index}: the hash tile is cut`)
    return bytes.subarray(0, width * HASH_BYTES)
  }
  // The tiles of hashes that were written last: the next proof is about them, and read back each would be a request to the store.
  let written: ReadonlyMap<string, Uint8Array> = new Map()
  const readWide = async (tile: Tile) => {
    const path = tilePath(tile)
    const bytes = written.get(path) ?? (await read(path)) ?? (await read(tilePath({ ...tile, width: TILE_WIDTH })))
    if (!bytes) throw new LogError('LOG_DAMAGED', `${tilePath(tile)} is missing`)
    return bytes
  }

  let published = await loadEdge()
  let edge = published
  let busy = false

  async function loadEdge(): Promise<Edge> {
    const text = await read(CHECKPOINT)
    if (!text) {
      const empty = createTreeHasher(hash).empty()
      return { size: 0, root: empty, nodes: [], tiles: [], bundle: [] }
    }
    const { size, root } = readCheckpoint(fromUtf8(text), origin)
    const range = await loadCompactRange({ size, readTile, hash })
    const tiles: Uint8Array[][] = []
    for (let level = 0, count = size; count > 0; level++, count = Math.floor(count / TILE_WIDTH)) {
      const width = count % TILE_WIDTH
      const bytes = width === 0 ? new Uint8Array() : await readTile(level, Math.floor(count / TILE_WIDTH), width)
      tiles.push(Array.from({ length: width }, (_, i) => bytes.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES)))
    }
    const bundle = await loadBundle(size)
    const { leaf } = createTreeHasher(hash)
    if (!equalBytes(range.root(), root) || !bundle.every((entry, i) => equalBytes(leaf(entry), tiles[0]![i]!))) {
      throw new LogError('LOG_DAMAGED', `the files of ${origin} do not give the published root of ${size} entries`)
    }
    return { size, root, nodes: range.nodes(), tiles, bundle }
  }

  async function loadBundle(size: number): Promise<Uint8Array[]> {
    const index = Math.floor(size / TILE_WIDTH)
    const width = size % TILE_WIDTH
    if (width === 0) return []
    const tile = { level: 'entries' as const, index, width }
    const partial = await read(tilePath(tile))
    if (partial) return decodeBundle(partial, width)
    return decodeBundle(await readWide({ ...tile, width: TILE_WIDTH }), TILE_WIDTH).slice(0, width)
  }

  async function integrate(start: number, entries: readonly Uint8Array[]): Promise<LogState> {
    // The edge of the published log is kept so that a caller whose signing or publishing failed may offer its rows again.
    const from = start === edge.size ? edge : start === published.size ? published : null
    if (!from) throw new LogError('LOG_GAP', `entries from ${start} were offered to a log of ${edge.size}`)
    const grown = await grow(from, entries, hash)
    // Stopped anywhere in here, the published log is untouched and whole.
    await store.add(grown.files)
    written = new Map([...grown.files].filter(([path]) => !path.startsWith('tile/entries/')))
    edge = grown.edge
    return { size: edge.size, root: edge.root }
  }

  async function publish(checkpointText: string): Promise<void> {
    const { size, root } = readCheckpoint(checkpointText, origin)
    if (size !== edge.size || !equalBytes(root, edge.root)) {
      throw new LogError('LOG_MISMATCH', `the checkpoint of ${size} entries is not the integrated state (${edge.size})`)
    }
    // Until the rename the world sees the old checkpoint, from it on the new one; both have all their files on disk.
    await store.replace(CHECKPOINT, checkpointText)
    const before = published.size
    published = edge
    const full = changedTiles(before, size).filter((tile) => tile.width === TILE_WIDTH)
    await store.dropPartials(full.map(tilePath))
    after?.('superseded-dropped')
  }

  async function alone<T>(work: () => Promise<T>): Promise<T> {
    if (busy) throw new Error('the log has one writer, and it is still writing')
    busy = true
    try {
      return await work()
    } finally {
      busy = false
    }
  }

  return {
    origin,
    get integrated() {
      return { size: edge.size, root: edge.root }
    },
    get published() {
      return { size: published.size, root: published.root }
    },
    integrate: (start, entries) => alone(() => integrate(start, entries)),
    publish: (checkpointText) => alone(() => publish(checkpointText)),
    proveFrom: (from) => proveConsistency({ from, to: edge.size, readTile, hash }),
    proveEntry: (index, size) => proveInclusion({ index, size, readTile, hash }),
    readTile,
    read,
    keep: (path, text) => store.replace(path, text),
    close: () => store.close(),
  }
}

/**
 * The edge after the entries, and every file that the larger tree has new or wider. In slices: thousands of entries are tens of
 * milliseconds, in which nobody else would be answered.
 */
async function grow(
  from: Edge,
  entries: readonly Uint8Array[],
  hash: Hash,
): Promise<{ edge: Edge; files: Map<string, Uint8Array> }> {
  const range = createCompactRange(hash, { size: from.size, nodes: from.nodes })
  const { leaf } = createTreeHasher(hash)
  const files = new Map<string, Uint8Array>()
  const tiles = from.tiles.map((hashes) => [...hashes])
  let bundle = [...from.bundle]
  let size = from.size

  function addTile(level: number, index: number): void {
    const hashes = tiles[level]!
    const bytes = new Uint8Array(hashes.length * HASH_BYTES)
    for (const [i, value] of hashes.entries()) bytes.set(value, i * HASH_BYTES)
    files.set(tilePath({ level, index, width: hashes.length }), bytes)
  }
  function addBundle(): void {
    const index = Math.ceil(size / TILE_WIDTH) - 1
    files.set(tilePath({ level: 'entries', index, width: bundle.length }), encodeBundle(bundle))
  }
  function onNode(height: number, node: Uint8Array): void {
    if (height % 8 !== 0) return
    const level = height / 8
    tiles[level] ??= []
    const hashes = tiles[level]
    hashes.push(node)
    if (hashes.length < TILE_WIDTH) return
    addTile(level, size / TILE_WIDTH ** (level + 1) - 1)
    tiles[level] = []
  }

  const slices = createSlices()
  for (const entry of entries) {
    if (entry.length > MAX_BUNDLE_ENTRY_BYTES) throw new Error(`entry ${size} has ${entry.length} bytes`)
    size++
    range.append(leaf(entry), onNode)
    bundle.push(entry)
    if (bundle.length === TILE_WIDTH) {
      addBundle()
      bundle = []
    }
    const others = slices()
    if (others) await others
  }
  for (const tile of changedTiles(from.size, size)) {
    if (tile.width === TILE_WIDTH) continue
    if (tile.level === 'entries') addBundle()
    else addTile(tile.level, tile.index)
  }
  // Copies: the entries may be views into a caller's buffer, and these outlive the call.
  const kept = bundle.map((entry) => entry.slice())
  return { edge: { size, root: range.root(), nodes: range.nodes(), tiles, bundle: kept }, files }
}

function readCheckpoint(note: string, origin: string): Checkpoint {
  let checkpoint: Checkpoint
  try {
    checkpoint = parseCheckpoint(parseNote(note).text)
  } catch (cause) {
    throw new LogError('LOG_DAMAGED', 'the checkpoint cannot be read', { cause })
  }
  if (checkpoint.origin !== origin) {
    throw new LogError('LOG_MISMATCH', `the checkpoint is of ${checkpoint.origin}, the log is ${origin}`)
  }
  return checkpoint
}
