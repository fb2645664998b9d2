import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes a folder and those above it that are missing, all with `mode`; one that is there is left as it is. Throws what the system says.
 * Where the system answers that a folder is not there in which nothing can be made, as below /proc, Node's own recursive `mkdir` goes round
 * for ever: a setting that names such a place would be a server that neither starts nor says why.
 */
export function makeFolder(dir: string, mode: number): void {
  try {
    mkdirSync(dir, { mode })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EEXIST' && isFolder(dir)) return
    const above = dirname(dir)
    if (code !== 'ENOENT' || above === dir || isFolder(above)) throw error
    makeFolder(above, mode)
    makeFolder(dir, mode)
  }
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
