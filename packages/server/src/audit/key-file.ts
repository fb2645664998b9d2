import { readFileSync, statSync } from 'node:fs'
import { link, mkdir, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type AfterStep, syncDirectory, writeSynced } from './durable-file.ts'
import { LogError } from './log-error.ts'

// Private keys are files that only their owner may read. They are never in the database, and leave this machine only
// with a backup.

/** The text of a private key file; null if there is none. Throws SIGNER_REFUSED if others than the owner can read it. */
export function readKeyFile(file: string): string | null {
  const text = readTextFile(file)
  if (text !== null && process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0) {
    throw new LogError(
      'SIGNER_REFUSED',
      `the key ${file} can be read by others than its owner; set its mode to 600, and rotate it if others use this machine`,
    )
  }
  return text
}

/**
 * Makes a private key file, durable, mode 0600. An existing one is left as it is: of two processes that make the same
 * file one wins, and both read the winner's.
 */
export async function createKeyFile(file: string, text: string, after?: AfterStep): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  await createFileOnce(file, text, 0o600, after)
}

/** Writes a file that is not there yet, durably; false if it is there already, whoever made it. */
export async function createFileOnce(file: string, text: string, mode: number, after?: AfterStep): Promise<boolean> {
  const temporary = `${file}.${process.pid}.tmp`
  await rm(temporary, { force: true })
  await writeSynced(temporary, text, mode)
  after?.('key-temp-synced')
  // A link, not a rename: it never replaces what somebody else put there.
  const made = await link(temporary, file).then(
    () => true,
    (error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
      throw error
    },
  )
  await rm(temporary)
  await syncDirectory(dirname(file))
  after?.('key-created')
  return made
}

/** The text of a file; null if there is none. */
export function readTextFile(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}
