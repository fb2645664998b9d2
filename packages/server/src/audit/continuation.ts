import { type Checkpoint, parseCheckpoint, parseNote } from '@writ/tlog'

/**
 * What the first entry of a log says that continues a closed one. Its payload is committed to by that entry,
 * so whoever holds the new log's checkpoint also holds the end of the old one.
 */
export interface Continuation {
  readonly old_origin: string
  /** The last checkpoint known of the old log, verbatim; empty if nothing of it was ever published. */
  readonly last_checkpoint: string
  /** Entries of the old log that the restored database knows. What was published beyond is lost, and named so here. */
  readonly restored_size: number
  readonly lost_entries: number
  readonly operator: string
  readonly reason: string
}

/** The continuation that an event line tells of; undefined if it is not one. */
export function readContinuation(event: string): Continuation | undefined {
  try {
    const { event_type, details } = JSON.parse(event) as {
      event_type?: unknown
      details?: Partial<Continuation> | null
    }
    const { old_origin, last_checkpoint, restored_size, lost_entries, operator, reason } = details ?? {}
    if (event_type !== 'log.continued' || typeof old_origin !== 'string' || typeof restored_size !== 'number') return
    return {
      old_origin,
      restored_size,
      last_checkpoint: String(last_checkpoint ?? ''),
      lost_entries: Number(lost_entries ?? 0),
      operator: String(operator ?? ''),
      reason: String(reason ?? ''),
    }
  } catch {
    return undefined
  }
}

/**
 * What the log behind a closed one says of its end, in its first entry. A log that was closed before anything of it was published, as by
 * a restore that was stopped and finished, gave its entries back: they stand in the next one, behind what that says of the empty one and
 * what else had waited for a place.
 */
export async function findContinuation(
  origin: string,
  following: readonly { readonly shard: number; readonly size: number; readonly closed_at: number | null }[],
  firstRows: (shard: number, limit: number) => Promise<readonly { readonly event: string }[]>,
): Promise<Continuation | undefined> {
  for (const [empty, next] of following.entries()) {
    const rows = await firstRows(next.shard, empty === 0 ? 1 : GIVEN_BACK)
    const end = rows.map(({ event }) => readContinuation(event)).find((one) => one?.old_origin === origin)
    if (end || next.closed_at === null || next.size > 0) return end
  }
  return undefined
}

/** More than wait for a place while a log is not published. */
const GIVEN_BACK = 5_000

/** Origin, size and root of a checkpoint note, unverified; undefined if the text is none. */
export function openNote(note: string): Checkpoint | undefined {
  try {
    return parseCheckpoint(parseNote(note).text)
  } catch {
    return undefined
  }
}

/** Entries that a checkpoint speaks of; 0 where there is none, or it cannot be read. */
export const sizeOfNote = (note: string | null | undefined): number => openNote(note ?? '')?.size ?? 0
