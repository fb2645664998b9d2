import { formatLogProof, parseRecordedState, proveInclusion, tilePath, toBase64, toUtf8 } from '@writ/tlog'
import { type Database, INSTANCE } from '../platform/db/index.ts'
import { openNote } from './continuation.ts'
import { type AuditFolders, type LogReader, openLogReader } from './folders.ts'
import { readKeyChanges } from './log-snapshot.ts'
import { readLogFile } from './log-store.ts'
import { sha256 } from './node-crypto.ts'
import type * as store from './store.ts'
import * as logRows from './store-logs.ts'

/** How far witnesses stand for a log: entries below `size`, by cosignatures of the log itself or of the instance log. */
export interface Anchored {
  readonly size: number
  readonly via: 'log' | 'instance'
  /** The cosigned note: of the log itself, or of the instance log. */
  readonly note: string
  /** The instance log's entry that records the state, and the log that it is in; only via `instance`. */
  readonly recorded?: { readonly row: logRows.RecordedRow; readonly instance: store.Log }
}

/**
 * Looks for the largest anchored state of a log; null if there is none. One statement or three, and one more for each log of the instance
 * that was closed since this one was recorded.
 */
export async function findAnchored(db: Database, log: store.Log): Promise<Anchored | null> {
  return db.sequence(async (tx) => {
    const own: Anchored | null =
      log.cosigned === null ? null : { size: log.cosigned_size, via: 'log', note: log.cosigned }
    if (log.project_id === INSTANCE) return own
    for (const instance of await logRows.listCosignedOf(tx, INSTANCE)) {
      const row = await logRows.findRecorded(tx, instance, log, instance.cosigned_size)
      const state = row && parseRecordedState(toUtf8(row.event))
      if (!row || state?.origin !== log.origin) continue
      if (own && own.size >= state.size) return own
      return { size: state.size, via: 'instance', note: instance.cosigned!, recorded: { row, instance } }
    }
    return own
  })
}

/** An anchor with everything that a stranger needs to verify it, beside the policy. */
export interface AnchorEvidence {
  readonly via: 'log' | 'instance'
  readonly checkpoint: string
  readonly instance: {
    readonly origin: string
    readonly vkeys: string[]
    readonly entry: string
    readonly payload: string
    readonly salt: string
    readonly proof: string
    readonly key_changes: string[]
  } | null
}

/** The evidence of what `findAnchored` found. Reads tiles of the instance log. */
export async function loadAnchorEvidence(folders: AuditFolders, anchored: Anchored): Promise<AnchorEvidence> {
  const { via, note } = anchored
  if (!anchored.recorded) return { via, checkpoint: note, instance: null }
  const { row: recorded, instance } = anchored.recorded
  const { size } = openNote(note)!
  const reader = await openLogReader(folders, INSTANCE, instance.shard)
  try {
    const hashes = await proveInclusion({ index: recorded.log_index, size, readTile: tilesOf(reader), hash: sha256 })
    return {
      via,
      checkpoint: note,
      instance: {
        origin: instance.origin,
        vkeys: [...logRows.vkeysOf(instance)],
        entry: toBase64(recorded.entry),
        payload: recorded.event,
        salt: Buffer.from(recorded.salt).toString('hex'),
        proof: formatLogProof({ index: recorded.log_index, hashes, checkpoint: note }),
        key_changes: await readKeyChanges(reader),
      },
    }
  } finally {
    await reader.close()
  }
}

/** Reads hash tiles of a log for proofs; of full tiles the beginning where the partial one is gone. Throws if one is missing. */
export const tilesOf =
  (reader: Pick<LogReader, 'read'>) =>
  async (level: number, index: number, width: number): Promise<Uint8Array> => {
    const bytes = await readLogFile(reader, tilePath({ level, index, width }))
    if (bytes === null) throw new Error(`${tilePath({ level, index, width })} is missing`)
    return bytes
  }

/** Enough for the tiles that one proof needs and those of its neighbours, half a megabyte. */
const TILES_KEPT = 64

/**
 * Keeps the tiles that were asked for last: proofs of many entries of one log need the same few, and each would be read from the disk, or
 * asked of the store, for every one of them.
 */
export function keepTiles(readTile: ReturnType<typeof tilesOf>): ReturnType<typeof tilesOf> {
  const kept = new Map<string, Promise<Uint8Array>>()
  return (level, index, width) => {
    const path = tilePath({ level, index, width })
    const tile = kept.get(path) ?? readTile(level, index, width)
    // At the end of the line again: a map keeps the order in which its keys came.
    kept.delete(path)
    kept.set(path, tile)
    if (kept.size > TILES_KEPT) kept.delete(kept.keys().next().value!)
    return tile
  }
}
