import { randomUUID } from 'node:crypto'
import { chmod, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Failure } from './failure.ts'
import { makeOwnFolder } from './make-folder.ts'

/** A server, a project there, and the token of a login. */
export interface Context {
  readonly url: string
  readonly project: string
  readonly username: string
  readonly token: string
  /** For revoking it at logout; null for a token that was given, not made. */
  readonly token_id: string | null
  readonly expires_at: string | null
}

export interface Contexts {
  readonly current: string | null
  readonly contexts: Readonly<Record<string, Context>>
}

const fileOf = (configFolder: string) => join(configFolder, 'contexts.json')

/** The contexts of this person; none if there is no file. Throws Failure on a file that is not ours. */
export async function loadContexts(configFolder: string): Promise<Contexts> {
  const file = fileOf(configFolder)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { current: null, contexts: {} }
    throw error
  }
  try {
    const value: unknown = JSON.parse(text)
    if (isContexts(value)) return value
  } catch {
    // Said below, like any other content that is not ours.
  }
  throw new Failure(`${file} cannot be read as contexts`, { advice: 'Move it away and run "writ login".' })
}

function isContexts(value: unknown): value is Contexts {
  if (typeof value !== 'object' || value === null || !('contexts' in value) || !('current' in value)) return false
  if (typeof value.contexts !== 'object' || value.contexts === null) return false
  return Object.values(value.contexts).every(
    (one: unknown) =>
      typeof one === 'object' &&
      one !== null &&
      ['url', 'project', 'token'].every((key) => typeof Reflect.get(one, key) === 'string'),
  )
}

/** Writes the contexts, readable by their owner only. */
export async function saveContexts(configFolder: string, contexts: Contexts): Promise<void> {
  await writeOwnFile(fileOf(configFolder), `${JSON.stringify(contexts, null, 2)}\n`)
}

/** Replaces a file at once, mode 0600: stopped on the way, the old one is still whole. */
export async function writeOwnFile(file: string, text: string): Promise<void> {
  await makeOwnFolder(dirname(file))
  const part = `${file}.${randomUUID()}`
  try {
    await writeFile(part, text, { mode: 0o600, flush: true })
    await chmod(part, 0o600)
    await rename(part, file)
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
}

/** `writ.example.com/default`: the name of a context that nobody named. */
export const contextName = (url: string, project: string): string => `${new URL(url).host}/${project}`
