import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeOwnFile } from './contexts.ts'
import { Failure } from './failure.ts'

/**
 * What this machine remembers of a log: its name, its key and the newest state that it verified. Only this catches a log
 * that the holder of its key has rewritten or cut.
 */
export interface KeptCheckpoint {
  readonly url: string
  readonly project: string
  readonly origin: string
  readonly vkey: string
  readonly size: number
  /** The signed note, verbatim. */
  readonly checkpoint: string
  readonly seen_at: string
}

// Filed under server and project, not under the log's own name: a server that shows another log must not find a clean page.
function fileOf(stateFolder: string, { url, project }: { url: string; project: string }): string {
  const digest = createHash('sha256').update(`${url}\n${project}`).digest('hex').slice(0, 12)
  const readable = `${new URL(url).host}_${project}`.replace(/[^A-Za-z0-9._-]/g, '_').slice(0, 80)
  return join(stateFolder, 'checkpoints', `${readable}_${digest}.json`)
}

/** The checkpoint kept of this project's log; undefined before the first verification. Throws on a damaged file. */
export async function loadKeptCheckpoint(
  stateFolder: string,
  log: { url: string; project: string },
): Promise<KeptCheckpoint | undefined> {
  const file = fileOf(stateFolder, log)
  try {
    const value: unknown = JSON.parse(await readFile(file, 'utf8'))
    if (isKept(value)) return value
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new Failure(`${file} is not a checkpoint that was kept here`, {
    advice: 'Find out who changed it; moving it away forgets what was verified before.',
    exit: 5,
  })
}

function isKept(value: unknown): value is KeptCheckpoint {
  if (typeof value !== 'object' || value === null) return false
  const texts = ['url', 'project', 'origin', 'vkey', 'checkpoint', 'seen_at']
  return (
    texts.every((key) => typeof Reflect.get(value, key) === 'string') &&
    Number.isSafeInteger(Reflect.get(value, 'size'))
  )
}

/** Keeps a verified checkpoint in the place of an older one. */
export async function keepCheckpoint(stateFolder: string, kept: KeptCheckpoint): Promise<void> {
  await writeOwnFile(fileOf(stateFolder, kept), `${JSON.stringify(kept, null, 2)}\n`)
}
