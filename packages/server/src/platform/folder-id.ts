import { randomUUID } from 'node:crypto'
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ifThere } from './if-there.ts'
import { makeFolder } from './make-folder.ts'

const NAME = '.folder-id'

/**
 * What tells a folder from every other, whatever path leads to it: two hosts that mount it find the same. Made with the folder, when
 * nobody has asked before.
 */
export async function folderId(folder: string, mode: number): Promise<string> {
  const file = join(folder, NAME)
  const known = await ifThere(readFile(file, 'utf8'), undefined)
  if (known !== undefined) return known.trim()
  makeFolder(folder, mode)
  const draft = `${file}.${randomUUID()}`
  await writeFile(draft, `${randomUUID()}\n`, { mode: 0o640, flag: 'wx' })
  try {
    // Whoever was faster has named it. Some network folders have no links.
    await link(draft, file).catch(async (error: unknown) => {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) await rename(draft, file)
    })
  } finally {
    await rm(draft, { force: true })
  }
  return (await readFile(file, 'utf8')).trim()
}
