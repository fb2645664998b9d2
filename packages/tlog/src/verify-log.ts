import { equalBytes } from './bytes.ts'
import { type Checkpoint, openCheckpoint } from './checkpoint.ts'
import { followKeyChanges, signedByNewestKey } from './key-change.ts'
import { type CompactRange, createCompactRange, createTreeHasher, HASH_BYTES, type Hash } from './merkle.ts'
import type { Signer, VerifyEd25519 } from './note.ts'
import { splitBundle, TILE_WIDTH, type Tile, tilePath, tileWidth } from './tile.ts'

// Verification of a whole log, from its content up: every entry is hashed, every stored hash is compared with what
// follows from the entries, and only then the root. A check of roots alone would say nothing about what is stored.

/** Stable codes of a failed verification. */
export type LogFault =
  | 'CHECKPOINT_MISSING'
  | 'CHECKPOINT_MALFORMED'
  | 'CHECKPOINT_ORIGIN'
  | 'CHECKPOINT_SIGNATURE'
  /** What is said of the log's keys does not lead from the trusted key to the one that signed. */
  | 'KEY_CHANGE_INVALID'
  | 'KEPT_MALFORMED'
  | 'KEPT_ORIGIN'
  | 'KEPT_SIGNATURE'
  /** The log is shorter than a checkpoint kept from earlier: its tail was cut, or an old state is being served. */
  | 'LOG_TRUNCATED'
  /** The log's own beginning differs from a checkpoint kept from earlier: history was rewritten with the log's key. */
  | 'LOG_REWRITTEN'
  | 'FILE_MISSING'
  | 'READ_FAILED'
  | 'BUNDLE_MALFORMED'
  | 'LEAF_MISMATCH'
  | 'TILE_MALFORMED'
  | 'TILE_MISMATCH'
  | 'ROOT_MISMATCH'
  | 'ENTRY_REFUSED'
  | 'ABORTED'

/** `index` is the first bad entry, or the first entry below a bad hash; `path` the file in which the fault shows. */
export type LogVerdict =
  | { ok: true; checkpoint: Checkpoint; signers: Signer[] }
  | { ok: false; code: LogFault; index?: number; path?: string; reason: string }

export type VerifyLogOptions = {
  /** Bytes of a file below the log's prefix (`checkpoint`, `tile/...`); null if there is none. */
  read: (path: string) => Promise<Uint8Array | null>
  /** Trusted keys: the log's, and those of witnesses whose signatures must be good where they are present. */
  vkeys: readonly string[]
  origin?: string
  hash: Hash
  verify: VerifyEd25519
  /** A signed checkpoint of this log kept from earlier. Without one, a log rewritten by the holder of its key passes. */
  kept?: string
  /** Key changes of the log, `key-changes/...` in their order: from a key in `vkeys` they lead to the one in use. */
  keyChanges?: readonly string[]
  /** States that the log is known to have had, such as those that witnesses cosigned; their signatures are not asked for. */
  pasts?: readonly { size: number; root: Uint8Array }[]
  /** Called after each bundle of 256. */
  onProgress?: (done: { entries: number; size: number }) => void
  /** Called for each entry, in order, once it is known to fit its leaf hash. A text it returns refuses the entry. */
  onEntry?: (index: number, entry: Uint8Array) => string | undefined
  /** Ends the verification with ABORTED, also while a read hangs. */
  signal?: AbortSignal
}

// Bundles asked for ahead of the one being hashed: enough to hide a round trip, few enough to stay small in memory.
const READ_AHEAD = 4

/**
 * Verifies a log completely, in memory that does not grow with it: the checkpoint's signature, every entry against its
 * leaf hash, every hash tile at every level, the root, and the consistency with `kept`. Entry indexes are dense by form:
 * a bundle with one entry too few or too many is a fault.
 *
 * Always answers: reads that throw, hang under an aborted `signal`, or give any bytes at all end in a verdict. Throws only
 * on a malformed vkey, and what `onEntry` and `onProgress` throw.
 */
export async function verifyLog(options: VerifyLogOptions): Promise<LogVerdict> {
  try {
    return await verifyFiles(options)
  } catch (error) {
    if (error instanceof Fault) return error.verdict
    throw error
  }
}

class Fault extends Error {
  readonly verdict: Extract<LogVerdict, { ok: false }>
  constructor(code: LogFault, reason: string, at: { index?: number; path?: string } = {}) {
    super(reason)
    this.verdict = { ok: false, code, ...at, reason }
  }
}

async function verifyFiles(options: VerifyLogOptions): Promise<LogVerdict> {
  const { checkpoint, signers, pasts } = await openHead(options)
  const { size } = checkpoint
  const range = createCompactRange(options.hash)
  refuseOtherPast(range, pasts)

  const tiles = new Map<number, Uint8Array>()
  const ahead: Promise<BundleFiles>[] = []
  let asked = 0
  for (let bundle = 0; bundle * TILE_WIDTH < size; bundle++) {
    while (asked <= bundle + READ_AHEAD && asked * TILE_WIDTH < size) ahead.push(readBundle(options, size, asked++))
    const { entries, leaves } = await ahead.shift()!
    if (entries instanceof Fault) throw entries
    if (leaves instanceof Fault) throw leaves
    const closed = checkBundle({ bundle, entries, leaves: leaves.bytes, size, range, pasts, options })
    for (const { level, node } of closed) await checkNode({ level, node, range, size, tiles, options })
    options.onProgress?.({ entries: range.size, size })
  }

  if (!equalBytes(range.root(), checkpoint.root)) {
    throw new Fault('ROOT_MISMATCH', `the ${size} entries do not give the root that was signed`, { path: 'checkpoint' })
  }
  return { ok: true, checkpoint, signers }
}

/** States that the log must have gone through, in order of size; those that were met are dropped. */
type Pasts = { size: number; root: Uint8Array }[]

async function openHead(options: VerifyLogOptions): Promise<{
  checkpoint: Checkpoint
  signers: Signer[]
  pasts: Pasts
}> {
  const { hash, verify, origin } = options
  const at = { path: 'checkpoint' }
  const bytes = await readFile(options, 'checkpoint')
  if (bytes === null) throw new Fault('CHECKPOINT_MISSING', 'the log has no checkpoint', at)
  const keys = await followKeys(options)
  const head = await openCheckpoint(bytes, { vkeys: keys.vkeys, hash, verify, origin })
  if (!head.ok) throw new Fault(head.code, head.reason, at)
  const { checkpoint, signers } = head
  if (!(await signedByNewestKey(head.note, checkpoint.size, keys.changes, { hash, verify })))
    throw new Fault('CHECKPOINT_SIGNATURE', 'signed with a key that the log has replaced', at)
  const pasts = [...(options.pasts ?? []), ...keys.changes.map((change) => change.checkpoint)]
  if (options.kept !== undefined) pasts.push(await openKept(options, options.kept, keys.vkeys, checkpoint.origin))
  pasts.sort((a, b) => a.size - b.size)
  const largest = pasts.at(-1)?.size ?? 0
  if (largest > checkpoint.size) {
    throw new Fault('LOG_TRUNCATED', `the log has ${checkpoint.size} entries, but had ${largest} before`, at)
  }
  return { checkpoint, signers, pasts }
}

async function followKeys({ vkeys, keyChanges = [], origin, hash, verify }: VerifyLogOptions) {
  if (keyChanges.length === 0) return { vkeys, changes: [] }
  if (origin === undefined) throw new Error('key changes are followed for a named origin only')
  const followed = await followKeyChanges({ vkeys, files: keyChanges, origin, hash, verify })
  if (!followed.ok) throw new Fault(followed.code, followed.reason)
  return followed
}

async function openKept(
  { hash, verify }: VerifyLogOptions,
  note: string,
  vkeys: readonly string[],
  origin: string,
): Promise<Checkpoint> {
  const kept = await openCheckpoint(note, { vkeys, hash, verify, origin })
  const keptCodes = {
    CHECKPOINT_MALFORMED: 'KEPT_MALFORMED',
    CHECKPOINT_ORIGIN: 'KEPT_ORIGIN',
    CHECKPOINT_SIGNATURE: 'KEPT_SIGNATURE',
  } as const
  if (!kept.ok) throw new Fault(keptCodes[kept.code], `the kept checkpoint: ${kept.reason}`)
  return kept.checkpoint
}

/** `width` is that of the file read, which may be the full tile in place of a partial one. */
type TileBytes = { bytes: Uint8Array; width: number }
type BundleFiles = { entries: TileBytes | Fault; leaves: TileBytes | Fault }

/** Reads a bundle and the tile of its leaf hashes. Never rejects: reads ahead of the use must not go unhandled. */
async function readBundle(options: VerifyLogOptions, size: number, index: number): Promise<BundleFiles> {
  const width = tileWidth(size, 0, index)
  const [entries, leaves] = await Promise.all([
    readTile(options, { level: 'entries', index, width }).catch(asFault),
    readTile(options, { level: 0, index, width }).catch(asFault),
  ])
  return { entries, leaves }
}

/** Hashes a bundle's entries into the range. Returns the nodes that closed at level 1 and above. */
function checkBundle(work: {
  bundle: number
  entries: TileBytes
  leaves: Uint8Array
  size: number
  range: CompactRange
  pasts: Pasts
  options: VerifyLogOptions
}): { level: number; node: Uint8Array }[] {
  const { bundle, leaves, size, range, pasts, options } = work
  const width = tileWidth(size, 0, bundle)
  const start = bundle * TILE_WIDTH
  const path = tilePath({ level: 'entries', index: bundle, width })
  const { leaf } = createTreeHasher(options.hash)
  const { entries, whole } = splitBundle(work.entries.bytes)
  const closed: { level: number; node: Uint8Array }[] = []
  // One closure for all entries: only level 8 and up lie in tiles that this bundle does not carry itself.
  const onNode = (level: number, node: Uint8Array) => {
    if (level > 0 && level % 8 === 0) closed.push({ level: level / 8, node })
  }

  for (let i = 0; i < width; i++) {
    const entry = entries[i]
    const index = start + i
    if (!entry) throw new Fault('BUNDLE_MALFORMED', `entry ${index} is missing from its bundle`, { index, path })
    const hash = leaf(entry)
    if (!holdsHash(leaves, i, hash)) {
      throw new Fault('LEAF_MISMATCH', `entry ${index} does not have the hash that was recorded for it`, {
        index,
        path,
      })
    }
    range.append(hash, onNode)
    refuseOtherPast(range, pasts)
    const refusal = options.onEntry?.(index, entry)
    if (refusal !== undefined) throw new Fault('ENTRY_REFUSED', `entry ${index}: ${refusal}`, { index, path })
  }
  // A full file standing in for a partial one goes on beyond the checkpoint; no file goes on beyond its own width.
  if (!whole || entries.length !== work.entries.width) {
    const index = start + width
    const reason = `the bundle holds more, or other, than its ${work.entries.width} entries`
    throw new Fault('BUNDLE_MALFORMED', reason, { index, path })
  }
  return closed
}

/** Compares a root of a full tile with what the tile above says. */
async function checkNode(work: {
  level: number
  node: Uint8Array
  range: CompactRange
  size: number
  tiles: Map<number, Uint8Array>
  options: VerifyLogOptions
}): Promise<void> {
  const { level, node, range, size, tiles, options } = work
  const span = TILE_WIDTH ** level
  const position = Math.floor(range.size / span) - 1
  const tileIndex = Math.floor(position / TILE_WIDTH)
  const inTile = position % TILE_WIDTH
  const tile = { level, index: tileIndex, width: tileWidth(size, level, tileIndex) }
  if (inTile === 0) tiles.set(level, (await readTile(options, tile)).bytes)
  const bytes = tiles.get(level)
  if (!bytes || !holdsHash(bytes, inTile, node)) {
    const first = position * span
    const reason = `hash ${inTile} does not follow from entries ${first} to ${first + span - 1}`
    throw new Fault('TILE_MISMATCH', reason, { index: first, path: tilePath(tile) })
  }
}

function refuseOtherPast(range: CompactRange, pasts: Pasts): void {
  while (pasts[0]?.size === range.size) {
    const { size, root } = pasts.shift()!
    if (!equalBytes(range.root(), root))
      throw new Fault('LOG_REWRITTEN', `the first ${size} entries are not those that were seen before`)
  }
}

/** A tile's bytes; the full tile where the partial one is gone, as the format allows. Hash tiles have their exact length. */
async function readTile(options: VerifyLogOptions, tile: Tile): Promise<TileBytes> {
  const path = tilePath(tile)
  let bytes = await readFile(options, path)
  let width = tile.width
  if (bytes === null && width < TILE_WIDTH) {
    width = TILE_WIDTH
    bytes = await readFile(options, tilePath({ ...tile, width }))
  }
  if (bytes === null) {
    const index = tile.index * TILE_WIDTH ** (tile.level === 'entries' ? 1 : tile.level + 1)
    throw new Fault('FILE_MISSING', `${path} is missing`, { index, path })
  }
  if (tile.level !== 'entries' && bytes.length !== width * HASH_BYTES) {
    throw new Fault('TILE_MALFORMED', `the tile has ${bytes.length} bytes, not ${width * HASH_BYTES}`, { path })
  }
  return { bytes, width }
}

async function readFile({ read, signal }: VerifyLogOptions, path: string): Promise<Uint8Array | null> {
  if (signal?.aborted) throw new Fault('ABORTED', 'the verification was aborted')
  let unlisten = () => {}
  const aborted = new Promise<never>((_, reject) => {
    const give = () => reject(new Fault('ABORTED', 'the verification was aborted', { path }))
    signal?.addEventListener('abort', give, { once: true })
    unlisten = () => signal?.removeEventListener('abort', give)
  })
  try {
    return await Promise.race([read(path), aborted])
  } catch (error) {
    if (error instanceof Fault) throw error
    throw new Fault('READ_FAILED', error instanceof Error ? error.message : String(error), { path })
  } finally {
    unlisten()
  }
}

function holdsHash(tile: Uint8Array, position: number, hash: Uint8Array): boolean {
  const at = position * HASH_BYTES
  for (let i = 0; i < HASH_BYTES; i++) if (tile[at + i] !== hash[i]) return false
  return true
}

function asFault(error: unknown): Fault {
  return error instanceof Fault ? error : new Fault('READ_FAILED', String(error))
}
