import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ifThere } from '../platform/if-there.ts'

/**
 * A file of the data directory while a restore is under way. What it puts back knows nothing of what was signed after the backup: until
 * each log is continued in a new one, no server may start there, because it would sign a second history under the old name.
 */
export const UNFINISHED_RESTORE = 'restore.unfinished'

/** A restore was stopped, and a server must not go on from where it stopped. */
export class RestoreUnfinished extends Error {
  override name = 'RestoreUnfinished'
  constructor(dataDir: string, step: 'copying' | 'continuing') {
    super(
      `A restore into ${dataDir} did not finish; going on would sign a second history. ${
        step === 'copying'
          ? 'Give "writ restore" the same backup again.'
          : 'Run "writ restore --accept-loss --reason <why>" to finish it.'
      }`,
    )
  }
}

/** What a restore was doing when it was stopped: `copying` the backup, or `continuing` the logs. Null where none was. */
export async function loadUnfinishedRestore(dataDir: string): Promise<'copying' | 'continuing' | null> {
  const text = await ifThere(readFile(join(dataDir, UNFINISHED_RESTORE), 'utf8'), null)
  if (text === null) return null
  return text.trim() === 'continuing' ? 'continuing' : 'copying'
}
