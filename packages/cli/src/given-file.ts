import { access, constants, readFile, stat } from 'node:fs/promises'
import { Failure, usage } from './failure.ts'

/** What is said of a file that a command line names, and what the file should be: `Give the private key.` */
export interface Wanted {
  readonly advice?: string
  /** An empty one is good for something, as a text is. */
  readonly mayBeEmpty?: boolean
}

const sentences: Readonly<Record<string, (path: string) => string>> = {
  ENOENT: (path) => `There is no file ${path}`,
  ENOTDIR: (path) => `There is no file ${path}`,
  EISDIR: (path) => `${path} is a folder`,
  EACCES: (path) => `${path} may not be read by you`,
  EPERM: (path) => `${path} may not be read by you`,
}

/** The usage failure that this error is for whoever named the file; undefined if it is no fault of the name. */
export function fileFault(error: unknown, path: string, { advice }: Wanted = {}): Failure | undefined {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const what = sentences[code]?.(path)
  return what === undefined ? undefined : usage(what, advice)
}

/** Does something with a file that the command line names. Throws a usage failure when that cannot be read. */
async function withGiven<T>(path: string, work: () => Promise<T>, wanted: Wanted = {}): Promise<T> {
  return work().catch((error: unknown) => {
    throw fileFault(error, path, wanted) ?? error
  })
}

/** The text of a file that the command line names. Throws a usage failure when it cannot be read, or has nothing in it. */
export async function readGiven(path: string, wanted: Wanted = {}): Promise<string> {
  const text = await withGiven(path, () => readFile(path, 'utf8'), wanted)
  if (text.trim() === '' && !wanted.mayBeEmpty) throw usage(`${path} is empty`, wanted.advice)
  return text
}

/** Throws a usage failure unless the command line names a file that can be read and has something in it. Opens nothing: it may be a pipe. */
export async function mustBeFile(path: string, wanted: Wanted = {}): Promise<void> {
  const found = await withGiven(
    path,
    async () => {
      await access(path, constants.R_OK)
      return stat(path)
    },
    wanted,
  )
  if (found.isDirectory()) throw usage(sentences.EISDIR!(path), wanted.advice)
  if (found.isFile() && found.size === 0 && !wanted.mayBeEmpty) throw usage(`${path} is empty`, wanted.advice)
}

/**
 * Throws a failure if there is something of this name already. Asked before a server is: what it sends is recorded as taken, and
 * would have been kept nowhere.
 */
export async function requireFree(path: string, advice: string): Promise<void> {
  const isTaken = await access(path).then(
    () => true,
    () => false,
  )
  if (isTaken) throw new Failure(`${path} exists already`, { advice })
}
