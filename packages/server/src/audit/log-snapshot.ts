import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { keyChangePath } from '@writ/tlog'
import { ifThere } from '../platform/if-there.ts'
import { sizeOfNote } from './continuation.ts'
import { type AuditFolders, dayFolder, type LogReader, openLogReader, readLogText } from './folders.ts'
import { CHECKPOINT } from './log-store.ts'

const PAUSE_MS = 25
/** Looks at a log that another server publishes meanwhile. */
const MOST_TRIES = 5

/** What a verification compares with: the published checkpoint, and the day files as long as they were at that moment. */
export interface LogSnapshot {
  readonly checkpoint: string
  /** The key changes at that moment: one that came after it is under a checkpoint that this one does not reach. */
  readonly keyChanges: readonly string[]
  readonly days: Readonly<Record<string, number>>
  /** The checkpoint that the database recorded, read before the other two: the published one cannot be older. */
  readonly recorded?: string | null | undefined
}

/** Take it while the sequencer rests, so that day files hold exactly the entries below the checkpoint. */
export async function snapshotLog(
  folders: AuditFolders,
  project: string,
  shard: number,
  slug: string | undefined,
): Promise<LogSnapshot> {
  const days = dayFolder(folders, project, slug)
  const names = (await ifThere(readdir(days), [])).filter((name) => /^audit_.*\.(jsonl|txt)$/.test(name))
  const sizes = await Promise.all(names.map(async (name) => [name, (await stat(join(days, name))).size] as const))
  const reader = await openLogReader(folders, project, shard)
  try {
    for (let tries = 1; ; tries++) {
      const checkpoint = await readCheckpoint(folders, project, shard)
      // A change is kept after the checkpoint that it is under, and before the first that the key before does not sign.
      const keyChanges = await readKeyChanges(reader)
      const rests = checkpoint === (await readCheckpoint(folders, project, shard))
      if (rests || tries === MOST_TRIES) return { checkpoint, keyChanges, days: Object.fromEntries(sizes) }
    }
  } finally {
    await reader.close()
  }
}

/** How far the writer of the day files has come. */
export interface Behind {
  /** The lines of so many entries are in the day files. */
  readonly written: number
  /** Entries of the checkpoint whose lines are not. */
  readonly behind: number
  /** The files are as long as their writer left them. */
  readonly asRemembered: boolean
}

/**
 * The same from outside of a server that may be running: a moment is looked for in which the day files' writer rests
 * (its memory did not change meanwhile and agrees with the checkpoint). If there is none within `patienceMs`, the last
 * look is answered as it is: then either nobody completes the day files, or they were changed, and both are findings.
 */
export async function snapshotBeside(
  folders: AuditFolders,
  project: string,
  shard: number,
  slug: string | undefined,
  recorded: string | null,
  patienceMs: number,
): Promise<LogSnapshot & Behind> {
  const memoryFile = join(dayFolder(folders, project, slug), '.cursor.json')
  const readMemory = () => ifThere(readFile(memoryFile, 'utf8'), '')
  for (let tries = 1; ; tries++) {
    const before = await readMemory()
    const snapshot = await snapshotLog(folders, project, shard, slug)
    const memory = parseMemory(before)
    const written = memory.shard === shard ? memory.cursor : 0
    const behind = sizeOfNote(snapshot.checkpoint) - written
    const asRemembered =
      before === (await readMemory()) &&
      Object.entries(memory.files).every(([name, size]) => snapshot.days[name] === size)
    const atRest =
      asRemembered && behind === 0 && snapshot.checkpoint === (await readCheckpoint(folders, project, shard))
    if (atRest || tries * PAUSE_MS > patienceMs) return { ...snapshot, recorded, written, behind, asRemembered }
    await sleep(PAUSE_MS)
  }
}

const readCheckpoint = (folders: AuditFolders, project: string, shard: number): Promise<string> =>
  readLogText(folders, { project_id: project, shard }, CHECKPOINT)

function parseMemory(text: string): { cursor: number; shard: number; files: Record<string, number> } {
  try {
    // Written by the day files' own writer; anything else only means that no moment of rest is found.
    return { cursor: 0, shard: 0, files: {}, ...(JSON.parse(text) as object) }
  } catch {
    return { cursor: 0, shard: 0, files: {} }
  }
}

/** The key changes of a log, in order. */
export async function readKeyChanges(reader: Pick<LogReader, 'read'>): Promise<string[]> {
  const changes: string[] = []
  for (;;) {
    const file = await reader.read(keyChangePath(changes.length))
    if (file === null) return changes
    changes.push(Buffer.from(file).toString())
  }
}
