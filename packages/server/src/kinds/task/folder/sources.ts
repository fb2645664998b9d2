import { readdir, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Sources } from './protocol.ts'

/** What a process imports from memory, so that it sees one version; other files it reads from the disk. */
const SOURCE = /\.(?:[mc]?ts|mjs|js|json)$/
/** Of the folder itself: a file of handlers. What begins with _ or . or lies in folders is for those to import. */
const ENTRY = /^[^._][^/]*(?<!\.d|\.test|\.spec)\.(?:ts|mjs|js)$/
const MAX_FILES = 2_000
const MAX_BYTES = 16 * 1024 * 1024

export interface Found {
  readonly sources: Sources
  /** Names of files with handlers, in order. */
  readonly entries: readonly string[]
}

interface Listed {
  readonly name: string
  readonly stamp: string
  readonly size: number
}

/** Sizes and times of all that `readSources` would read, as one text: other when anything was changed. */
export async function stampOf(dir: string): Promise<string> {
  return (await list(dir)).map(({ name, stamp }) => `${name} ${stamp}`).join('\n')
}

/** Throws Error when the folder is gone, or holds too much. */
export async function readSources(dir: string): Promise<Found> {
  const files = await list(dir)
  const bytes = files.reduce((sum, file) => sum + file.size, 0)
  if (files.length > MAX_FILES || bytes > MAX_BYTES)
    throw new Error(`the folder holds ${files.length} sources of ${bytes} bytes; at most ${MAX_FILES} of ${MAX_BYTES}`)
  const sources: Record<string, string> = {}
  for (const { name } of files) {
    const file = path.join(dir, name)
    sources[pathToFileURL(file).href] = await readFile(file, 'utf8')
  }
  return { sources, entries: files.map(({ name }) => name).filter((name) => ENTRY.test(name)) }
}

async function list(dir: string): Promise<Listed[]> {
  const found: Listed[] = []
  const walk = async (below: string) => {
    for (const entry of await readdir(path.join(dir, below), { withFileTypes: true })) {
      const name = path.posix.join(below, entry.name)
      if (entry.name.startsWith('.') || entry.name === 'node_modules' || found.length > MAX_FILES) continue
      if (entry.isDirectory()) await walk(name)
      else if (SOURCE.test(entry.name)) {
        // Links count as what they lead to: mounted configuration is made of them.
        const at = await stat(path.join(dir, name)).catch(() => undefined)
        if (at?.isFile()) found.push({ name, stamp: `${at.ino} ${at.size} ${at.mtimeMs}`, size: at.size })
      }
    }
  }
  await walk('')
  return found.sort((a, b) => (a.name < b.name ? -1 : 1))
}
