import type { Database, RequestMark, Tx } from '../platform/db/index.ts'
import { INSTANCE } from '../platform/db/index.ts'
import { type Actor, appendUnfenced } from './append.ts'
import type { AuditFolders } from './folders.ts'
import type { LogKeys } from './log-keys.ts'
import { createLogKeys } from './log-keys.ts'
import type * as store from './store.ts'
import * as logRows from './store-logs.ts'

export interface RotatedLogKey {
  readonly origin: string
  readonly old_vkey: string
  readonly new_vkey: string
  /** Until when the old key signs beside the new one, RFC 3339; longer if the handing over is not in the log by then. */
  readonly overlap_until: string
}

/**
 * Gives a project's open log a new key. In this order, so that a crash is harmless anywhere:
 *
 * 1. the new key is written, and the list of keys replaced: from here on both sign. Stopped before: nothing happened.
 * 2. The project's log and the instance's are told, in one transaction. Stopped before: the sequencer tells them when it
 *    opens the log next, because the row names another key than the list.
 * 3. The sequencer publishes the entry under both signatures and keeps the proof of it (`key-changes/...`). Stopped before:
 *    the old key signs on, also beyond the overlap, until that proof is there.
 */
export async function rotateLogKey(on: {
  db: Database
  folders: AuditFolders
  project: string
  overlapMs: number
  now: number
  by: Actor
  /** Goes beside the new key into the list, which is the commit point. */
  mark?: RequestMark | null
  /** Whether what another rotation left beside its key is of this request: then that rotation is the answer. */
  isRepeatOf?(left: RequestMark | undefined): boolean
}): Promise<RotatedLogKey> {
  const { db, folders, project, now, isRepeatOf } = on
  if (isRepeatOf)
    for (const { origin } of (await db.sequence(logRows.listAllLogs)).filter((log) => log.project_id === project)) {
      const before = await createLogKeys(folders.keys, origin).rotated(isRepeatOf)
      if (before) return { origin, old_vkey: before.old, new_vkey: before.vkey, overlap_until: before.until }
    }
  const log = await db.sequence((tx) => logRows.findOpenLogOf(tx, project))
  if (!log) throw new Error(`project ${project} has no open log`)
  const keys = createLogKeys(folders.keys, log.origin)
  const { old, vkey, until } = await keys.rotate(now, on.overlapMs, on.mark)
  await announceKeys({ db, log, keys, now, by: on.by })
  return { origin: log.origin, old_vkey: old, new_vkey: vkey, overlap_until: until }
}

/** The keys of a log whose files are here, the oldest first. */
export const loadLogKeys = (folders: AuditFolders, origin: string) => createLogKeys(folders.keys, origin).list()

/** Tells the logs of a rotation that they do not know of yet; nothing to do otherwise. */
export async function announceKeys(on: {
  db: Database
  log: store.Log
  keys: LogKeys
  now: number
  by: Actor
}): Promise<void> {
  const { db, log, now, by } = on
  const keys = await on.keys.list()
  const vkeys = keys.map((key) => key.vkey)
  const newest = vkeys.at(-1)!
  const details = {
    origin: log.origin,
    old_vkey: vkeys.at(-2) ?? null,
    new_vkey: newest,
    overlap_until: keys.at(-2)?.until ?? null,
  }
  await db.sequence(async (tx: Tx) => {
    // Of two that tell at once, one does: the row is compared and set.
    if (!(await logRows.setVkeys(tx, log, vkeys))) return
    // The key itself is the resource, so that it stands in the leaf: who reads only the tiles can follow it.
    const event = {
      type: 'log.key_rotated',
      resource: { type: 'log_key', id: newest },
      action: `Rotated the key of ${log.origin}`,
      details,
    } as const
    await appendUnfenced(tx, log.project_id, now, by, event)
    if (log.project_id !== INSTANCE) await appendUnfenced(tx, INSTANCE, now, by, event)
  })
}
