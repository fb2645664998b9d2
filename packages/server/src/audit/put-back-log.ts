import { keyChangePath } from '@writ/tlog'
import { openNote } from './continuation.ts'
import { createDiskReader } from './disk-store.ts'
import { type AuditFolders, logFolder, openLogReader, openLogStore } from './folders.ts'
import { LogError } from './log-error.ts'
import { readKeyChanges } from './log-snapshot.ts'
import { CHECKPOINT, COSIGNED_CHECKPOINT, readLogFile, tilePaths } from './log-store.ts'

/** One log of a backup. */
export interface BackedUpLog {
  readonly project: string
  readonly shard: number
  readonly origin: string
  readonly size: number
}

const AT_ONCE = 64

/**
 * What the store of the tiles has of a log, in entries; nothing is 0. Throws LogError (LOG_FORK) where another log has its place, and
 * LogStoreUnavailable.
 */
export async function sizeInStore(folders: AuditFolders, log: BackedUpLog): Promise<number> {
  const reader = await openLogReader(folders, log.project, log.shard)
  try {
    const there = await reader.read(CHECKPOINT)
    if (there === null) return 0
    const known = openNote(Buffer.from(there).toString())
    if (known?.origin !== log.origin)
      throw new LogError('LOG_FORK', `in the place of ${log.origin} is ${known?.origin ?? 'what is no checkpoint'}.`)
    return known.size
  } finally {
    await reader.close()
  }
}

/**
 * Puts the files of a log from a folder of logs into the store of the tiles, unless as much of it is there: a store that outlived its
 * server knows more than any backup. The checkpoint comes last. Stopped before it: the same bytes are put at the same paths again.
 */
export async function putBackLog(folders: AuditFolders, log: BackedUpLog, from: string): Promise<void> {
  if ((await sizeInStore(folders, log)) >= log.size) return
  const saved = createDiskReader(logFolder({ log: from }, log.project, log.shard))
  const store = await openLogStore(folders, log.project, log.shard)
  try {
    // Of a log that was dropped only the checkpoint was left.
    const paths = tilePaths(log.size)
    for (let at = 0; at < paths.length; at += AT_ONCE) {
      const files = new Map<string, Uint8Array>()
      for (const path of paths.slice(at, at + AT_ONCE)) {
        const bytes = await readLogFile(saved, path)
        if (bytes) files.set(path, bytes)
      }
      await store.add(files)
    }
    for (const [n, text] of (await readKeyChanges(saved)).entries()) await store.replace(keyChangePath(n), text)
    for (const path of [COSIGNED_CHECKPOINT, CHECKPOINT]) {
      const bytes = await saved.read(path)
      if (bytes) await store.replace(path, bytes)
    }
  } finally {
    await store.close()
  }
}
