import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { link, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

import {
  cosignText,
  formatNote,
  formatVkey,
  type NoteSignature,
  parseCheckpoint,
  parseNote,
  parseVkey,
  SIGNATURE_COSIGNATURE,
  SIGNATURE_ED25519,
  type Witnessed,
} from '@writ/tlog'
import { Failure } from '../failure.ts'
import { makeOwnFolder } from '../make-folder.ts'
import { sha256 } from '../verify-crypto.ts'

// A witness is a folder: its key, the logs that it knows, and for each the checkpoint that it cosigned last. That last one
// is its whole worth: it is on disk before anybody gets the cosignature, and nothing is ever put there that does not follow.

export interface WitnessFolder {
  /** The name in the cosignatures. */
  readonly name: string
  /** The key that policies name, of type 0x04. */
  readonly vkey: string
  /** Keys of the logs that are known now, by origin: one that was added counts from the next submission on. */
  loadLogs(): Promise<ReadonlyMap<string, readonly string[]>>
  /** The state cosigned last for a log; null if nothing was. Throws on a damaged file: a witness that forgot would sign anything. */
  lastOf(origin: string): Promise<Witnessed | null>
  /** The note kept for the log whose origin has this SHA-256 in hexadecimal; null if there is none. */
  noteOf(originHash: string): Promise<string | null>
  /**
   * Cosigns a checkpoint's text at `now` (milliseconds) and keeps it with the log's own signatures. Resolves when it is
   * durable; only then may the line be given away. Stopped before, the old state is still there and nobody has the line.
   */
  cosign(text: string, logLines: readonly NoteSignature[], now: number): Promise<NoteSignature>
  close(): void
}

const KEY = 'witness.ed25519.pem'
const NAME = 'name'
const LOGS = 'logs'

const originHash = (origin: string): string => Buffer.from(sha256(Buffer.from(origin))).toString('hex')

/** Makes a witness in a folder, with a new key; answers its vkey. An existing one is left as it is. */
export async function createWitness(dir: string, name?: string): Promise<string> {
  const given = name ?? `writ.witness/${randomBytes(8).toString('hex')}`
  if (/[\s+\u0000-\u001f]/u.test(given) || given === '')
    throw new Failure(`"${given}" cannot be the name of a witness`, {
      code: 'WITNESS_NAME_INVALID',
      advice: 'No blanks and no +.',
    })
  await makeOwnFolder(join(dir, 'state'))
  const { privateKey } = generateKeyPairSync('ed25519')
  await createOnce(join(dir, NAME), `${given}\n`, 0o644)
  await createOnce(join(dir, KEY), privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), 0o600)
  await syncFolder(dir)
  const { vkey, name: actual } = await loadIdentity(dir)
  if (name !== undefined && actual !== name)
    throw new Failure(`This witness is called ${actual}; a name is given once`, { code: 'WITNESS_NAMED' })
  return vkey
}

/** Adds a log to those that a witness knows; false if this key was known. A rotated log has several keys. Throws where no witness is. */
export async function addWitnessedLog(dir: string, vkey: string): Promise<boolean> {
  let type: number
  try {
    type = parseVkey(vkey, sha256).type
  } catch (error) {
    throw new Failure(`This is no verifier key of a log: ${error instanceof Error ? error.message : String(error)}`, {
      code: 'LOG_KEY_INVALID',
      advice: '"writ keys list" on the server shows it.',
    })
  }
  if (type !== SIGNATURE_ED25519)
    throw new Failure('This is the key of a witness, not of a log', { code: 'LOG_KEY_INVALID' })
  await loadIdentity(dir)
  const known = [...(await loadLogs(dir)).values()].flat()
  if (known.includes(vkey)) return false
  await replaceSynced(join(dir, LOGS), [...known, vkey].map((one) => `log ${one}\n`).join(''))
  await syncFolder(dir)
  return true
}

/** Opens a witness for the one process that serves it. Close it. */
export async function openWitness(dir: string): Promise<WitnessFolder> {
  const { name, vkey, publicKey, privateKey } = await loadIdentity(dir)
  await loadLogs(dir)
  const lock = await hold(dir)
  const state = join(dir, 'state')
  await makeOwnFolder(state)
  const noteOf = (hash: string) => readText(join(state, hash))

  return {
    name,
    vkey,
    loadLogs: () => loadLogs(dir),
    noteOf,
    async lastOf(origin) {
      const note = await noteOf(originHash(origin))
      if (note === null) return null
      // Whoever runs the witness has to find the file, and put it back: one that forgot would sign a log that was rewritten.
      const damaged = (why: unknown) =>
        new Error(`the state ${join(state, originHash(origin))} of ${origin} is damaged: ${why}`)
      let at: ReturnType<typeof parseCheckpoint>
      try {
        at = parseCheckpoint(parseNote(note).text)
      } catch (cause) {
        throw damaged(cause instanceof Error ? cause.message : cause)
      }
      if (at.origin !== origin) throw damaged(`it is that of ${at.origin}`)
      return at
    },
    async cosign(text, logLines, now) {
      const { origin } = parseCheckpoint(text)
      const signOne = (message: Uint8Array) => sign(null, message, privateKey)
      const line = await cosignText(text, { name, publicKey }, Math.floor(now / 1_000), signOne, sha256)
      await replaceSynced(join(state, originHash(origin)), formatNote(text, [...logLines, line]))
      await syncFolder(state)
      return line
    },
    close: () => lock.close(),
  }
}

async function loadIdentity(dir: string) {
  const file = join(dir, KEY)
  const [pem, name] = [await readText(file), await readText(join(dir, NAME))]
  if (pem === null || name === null)
    throw new Failure(`There is no witness in ${dir}`, {
      code: 'WITNESS_NOT_THERE',
      advice: `Run "writ witness init --dir ${dir}".`,
    })
  if (process.platform !== 'win32' && ((await stat(file)).mode & 0o077) !== 0)
    throw new Failure(`The key ${file} can be read by others than its owner`, {
      code: 'WITNESS_KEY_OPEN',
      advice: 'Set its mode to 600.',
    })
  const privateKey = createPrivateKey(pem)
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' })
  const publicKey = new Uint8Array(Buffer.from(x ?? '', 'base64url'))
  const called = name.trim()
  const vkey = formatVkey({ name: called, type: SIGNATURE_COSIGNATURE, publicKey }, sha256)
  return { name: called, vkey, publicKey, privateKey }
}

/** `log <vkey>` a line, as in a policy file; other lines of a policy may stand there and mean nothing here. */
async function loadLogs(dir: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const file = join(dir, LOGS)
  const logs = new Map<string, string[]>()
  for (const [i, line] of ((await readText(file)) ?? '').split('\n').entries()) {
    const [keyword, vkey = ''] = line.trim().split(/[ \t]+/)
    if (keyword !== 'log') continue
    const name = nameOf(vkey, `${file}, line ${i + 1}`)
    logs.set(name, [...(logs.get(name) ?? []), vkey])
  }
  return logs
}

/** The origin of a log's key. Throws with the place where it stands: a line that is passed over would be a log that nobody watches. */
function nameOf(vkey: string, place: string): string {
  try {
    return parseVkey(vkey, sha256).name
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new Failure(`${place} holds no verifier key of a log: ${why}`, { code: 'LOG_KEY_INVALID' })
  }
}

/** One process at a time: two would each check against what the other is about to replace. The kernel lets go of it. */
async function hold(dir: string): Promise<{ close(): void }> {
  // Loaded here, so that no other command needs a Node that has it.
  const { DatabaseSync } = await import('node:sqlite')
  const database = new DatabaseSync(join(dir, 'witness.lock'), { timeout: 0 })
  try {
    database.exec('pragma locking_mode = exclusive; begin exclusive')
    return database
  } catch (cause) {
    database.close()
    if (!/locked|busy/i.test(String(cause))) throw cause
    throw new Failure(`Another process serves the witness in ${dir}`, { code: 'WITNESS_BUSY' })
  }
}

async function createOnce(file: string, text: string, mode: number): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`
  await writeSynced(temporary, text, mode)
  await link(temporary, file).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  })
  await rm(temporary)
}

async function replaceSynced(file: string, text: string): Promise<void> {
  await writeSynced(`${file}.tmp`, text, 0o644)
  await rename(`${file}.tmp`, file)
}

async function writeSynced(file: string, text: string, mode: number): Promise<void> {
  const handle = await open(file, 'w', mode)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function syncFolder(dir: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function readText(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}
