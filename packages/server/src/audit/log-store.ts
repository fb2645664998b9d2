import { changedTiles, encodeBundle, parseTilePath, splitBundle, tilePath } from '@writ/tlog'

// Where the files of one log are kept: local disk (disk-store.ts) or an S3-compatible store (s3-log-store.ts). Both promise
// the same, and one suite holds them to it (log-store-conformance.ts).

export interface LogStore {
  /** A file of the log by its path; null for what does not exist, and for any path that no log has. */
  read(path: string): Promise<Uint8Array | null>
  /**
   * Makes these files durable, all of them, before it resolves. A file that is there already with the same bytes is met
   * again; with other bytes it is left as it is, and LOG_FORK thrown. Stopped anywhere in here, some are there.
   */
  add(files: ReadonlyMap<string, Uint8Array>): Promise<void>
  /**
   * Replaces one file (`checkpoint`, `checkpoint.cosigned`, a key change), durably and as a whole. `checkpoint` is replaced
   * only if it still is the one that was read or written here last: LOG_FORK otherwise.
   */
  replace(path: string, bytes: Uint8Array | string): Promise<void>
  /** Removes the partial tiles beside these full ones. Left over by a crash, they cost space and nothing else. */
  dropPartials(fullTiles: readonly string[]): Promise<void>
  /** Removes every tile and bundle: retention dropped the log. The checkpoint stays. Stopped in here, it is done again. */
  dropTiles(): Promise<void>
  close(): Promise<void>
}

export const CHECKPOINT = 'checkpoint'
/** The newest checkpoint with the cosignatures that the witness policy asks for. */
export const COSIGNED_CHECKPOINT = 'checkpoint.cosigned'

/** Whether a log has files under such a path: what may be served to strangers. */
export const isLogPath = (path: string): boolean =>
  path === CHECKPOINT ||
  path === COSIGNED_CHECKPOINT ||
  /^key-changes\/\d{3}\.tlog-proof$/.test(path) ||
  parseTilePath(path) !== null

/** Every tile and entry bundle of a log of `size` entries, by path. */
export const tilePaths = (size: number): string[] => changedTiles(0, size).map(tilePath)

/** A file of the log; where a partial tile made room for the full one, its beginning. */
export async function readLogFile(store: Pick<LogStore, 'read'>, path: string): Promise<Uint8Array | null> {
  const exact = await store.read(path)
  const tile = exact === null ? parseTilePath(path) : null
  if (tile === null || tile.width === 256) return exact
  const full = await store.read(path.slice(0, path.lastIndexOf('.p/')))
  if (full === null) return null
  return tile.level === 'entries'
    ? encodeBundle(splitBundle(full).entries.slice(0, tile.width))
    : full.subarray(0, tile.width * 32)
}
