import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Failure } from './failure.ts'

/**
 * Makes a folder and those above it that are missing, all for their owner alone; one that is there is left as it is. Throws a Failure that
 * names the folder asked for.
 */
export async function makeOwnFolder(dir: string): Promise<void> {
  try {
    await make(dir)
  } catch (error) {
    const code = codeOf(error)
    if (code === undefined) throw error
    throw new Failure(`The folder ${dir} cannot be made: ${reasons[code] ?? 'the system refuses'}`, { code })
  }
}

const reasons: Record<string, string> = {
  EACCES: 'you may not write there',
  EEXIST: 'something else has this name',
  ENOENT: 'nothing can be made there',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'something on the way to it is no folder',
  EPERM: 'you may not write there',
  EROFS: 'what is there can only be read',
}

// One by one: where nothing can be made, as below /proc, Node's own recursive `mkdir` goes round for ever.
async function make(dir: string): Promise<void> {
  try {
    await mkdir(dir, { mode: 0o700 })
  } catch (error) {
    if (codeOf(error) === 'EEXIST' && (await isFolder(dir))) return
    const above = dirname(dir)
    if (codeOf(error) !== 'ENOENT' || above === dir || (await isFolder(above))) throw error
    await make(above)
    await make(dir)
  }
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
