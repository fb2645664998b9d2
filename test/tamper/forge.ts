/** What the holder of a log's key can make of it beside the server: the same log with one entry forged and one more, signed anew. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { parseCheckpoint, parseNote, proveConsistency, splitBundle, tilePath } from '@writ/tlog'
import { openDiskStore } from '../../packages/server/src/audit/disk-store.ts'
import { sha256 } from '../../packages/server/src/audit/index.ts'
import { openLogFiles } from '../../packages/server/src/audit/log-files.ts'
import { createSigner } from '../../packages/server/src/audit/signer.ts'

export interface Forged {
  /** The size that witnesses cosigned last: what the new state claims to continue. */
  readonly old: number
  /** The proof that the new log itself gives. */
  readonly proof: Uint8Array[]
  /** Validly signed with the log's key. */
  readonly checkpoint: string
}

/**
 * Forges entry `index` of the log in the folder `log`, as it was cosigned last, appends one, and signs with the keys of `dataDir` by a
 * signer that remembers nothing. Writes into `scratch`, which must be its own.
 */
export async function forgeEntry(dataDir: string, log: string, index: number, scratch: string): Promise<Forged> {
  const note = parseNote(await readFile(path.join(log, 'checkpoint.cosigned'), 'utf8'))
  const { origin, size } = parseCheckpoint(note.text)
  const entries = (await entriesOf(log, size)).with(index, Buffer.from('forged'))
  const files = await openLogFiles({ store: await openDiskStore(path.join(scratch, 'log')), origin, hash: sha256 })
  const state = await files.integrate(0, [...entries, Buffer.from('one more')])
  const stateFile = path.join(scratch, 'memory.json')
  const nothing = { v: 1, origin, size: 0, root: Buffer.from(sha256(new Uint8Array())).toString('base64') }
  await mkdir(scratch, { recursive: true })
  await writeFile(stateFile, JSON.stringify(nothing))
  const signer = await createSigner({ keysDir: path.join(dataDir, 'keys'), origin, stateFile })
  const checkpoint = await signer.sign({ ...state, consistencyProof: [] })
  const proof = await proveConsistency({ from: size, to: size + 1, readTile: files.readTile, hash: sha256 })
  return { old: size, proof, checkpoint }
}

/** The first entries of the log in a folder. */
export async function entriesOf(log: string, size: number): Promise<Uint8Array[]> {
  const all: Uint8Array[] = []
  for (let index = 0; index * 256 < size; index++) {
    const width = Math.min(256, size - index * 256)
    const bundle = (wide: number) => readFile(path.join(log, tilePath({ level: 'entries', index, width: wide })))
    // Of a log that has grown, the partial bundle may be gone.
    const bytes = await bundle(width).catch(() => bundle(256))
    all.push(...splitBundle(bytes).entries.slice(0, width))
  }
  return all
}
