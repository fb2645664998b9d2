import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { formatVkey, keyId, SIGNATURE_ED25519 } from '@writ/tlog'
import { rfc3339 } from '../platform/clock.ts'
import type { RequestMark } from '../platform/db/index.ts'
import { type AfterStep, replaceFile, syncDirectory } from './durable-file.ts'
import { createKeyFile, readKeyFile, readTextFile } from './key-file.ts'
import { LogError } from './log-error.ts'
import { type Ed25519Key, generateEd25519Key, parseEd25519Key, sha256 } from './node-crypto.ts'

// The keys of one log. The first is `<origin>.ed25519.pem`; a log that was never rotated has nothing more. The list
// `<origin>.keys.json`, made by the first rotation, is the commit point of every rotation: a key file that it does not
// name was never used. Public keys stay listed for ever; a private key goes when its last signature is no longer asked for.

/** A key of a log, as the list holds it. */
export interface LogKey {
  readonly vkey: string
  /** Until when it signs beside the next one, RFC 3339; null for the newest. */
  readonly until: string | null
  /** Whether the next key was handed over: the key change is in the log, under a checkpoint that this key signed. */
  readonly handed_over: boolean
  /** The request that asked for this key, if it had an Idempotency-Key: found again when it was stopped before its answer. */
  readonly asked_by?: RequestMark
}

export interface RotatedKey {
  readonly old: string
  readonly vkey: string
  readonly until: string
}

export interface LogKeys {
  readonly origin: string
  /** All keys that there ever were, the oldest first. Read anew: another process may have rotated. */
  list(): Promise<readonly LogKey[]>
  /** The keys that sign at `now` (milliseconds): the newest, and those before it whose overlap is not over. Newest last. */
  signing(now: number): Promise<readonly Ed25519Key[]>
  /**
   * Makes a new key that signs from now on, beside the old one until `now` + `overlapMs`, or longer: until the handing over
   * is in the log. Throws KEY_ROTATION_UNDERWAY while an overlap lasts.
   */
  rotate(now: number, overlapMs: number, mark?: RequestMark | null): Promise<RotatedKey>
  /** What the request of which `is` says that it is this one has done before. */
  rotated(is: (mark: RequestMark | undefined) => boolean): Promise<RotatedKey | undefined>
  /** Notes that the change from key `n` to the next is in the log. */
  handedOver(n: number): Promise<void>
}

const nameOf = (origin: string) => encodeURIComponent(origin)
const firstFile = (dir: string, origin: string) => join(dir, `${nameOf(origin)}.ed25519.pem`)
const listFile = (dir: string, origin: string) => join(dir, `${nameOf(origin)}.keys.json`)
const vkeyOf = (origin: string, key: Ed25519Key) =>
  formatVkey({ name: origin, type: SIGNATURE_ED25519, publicKey: key.publicKey }, sha256)

/** The keys of a log that the list or the first key file names, for those who only read. Empty if there are none here. */
export async function loadLogVkeys(keysDir: string, origin: string): Promise<readonly string[]> {
  const list = readTextFile(listFile(keysDir, origin))
  if (list !== null) return parseList(list, origin).map((key) => key.vkey)
  const vkey = readTextFile(join(keysDir, `${nameOf(origin)}.vkey`))
  return vkey === null ? [] : [vkey.trim()]
}

/** Opens the keys of a log whose first key file exists, or whose list does. Writes nothing. `after` is for tests only. */
export function createLogKeys(keysDir: string, origin: string, after?: AfterStep): LogKeys {
  const loaded = new Map<string, Ed25519Key>()

  async function list(): Promise<LogKey[]> {
    const text = readTextFile(listFile(keysDir, origin))
    if (text !== null) return parseList(text, origin)
    return [{ vkey: vkeyOf(origin, await load(firstFile(keysDir, origin))), until: null, handed_over: false }]
  }

  async function load(file: string): Promise<Ed25519Key> {
    const pem = readKeyFile(file)
    if (pem === null)
      throw new LogError('SIGNER_REFUSED', `the key ${file} is gone; put it back from a backup, or open a new origin`)
    return parseEd25519Key(pem)
  }

  const fileOf = (keys: readonly LogKey[], n: number) =>
    n === 0 ? firstFile(keysDir, origin) : join(keysDir, `${nameOf(origin)}.${keys[n]!.vkey.split('+')[1]}.ed25519.pem`)

  async function keyOf(keys: readonly LogKey[], n: number): Promise<Ed25519Key> {
    const { vkey } = keys[n]!
    const key = loaded.get(vkey) ?? (await load(fileOf(keys, n)))
    if (vkeyOf(origin, key) !== vkey)
      throw new LogError('SIGNER_REFUSED', `the key file ${fileOf(keys, n)} holds another key than ${vkey}`)
    loaded.set(vkey, key)
    return key
  }

  const save = (keys: readonly LogKey[]) =>
    replaceFile(listFile(keysDir, origin), `${JSON.stringify({ v: 1, origin, keys }, null, 2)}\n`, {
      mode: 0o600,
      after: after && ((step) => after(`list-${step}`)),
    })

  return {
    origin,
    list,
    async signing(now) {
      const keys = await list()
      const last = keys.length - 1
      const signing: Ed25519Key[] = []
      for (const [n, key] of keys.entries()) {
        if (n === last || (signsBeside(key, now) && !isForgotten(keys, n))) signing.push(await keyOf(keys, n))
        // Its last signature was given. Stopped here, the file is removed at the next signature.
        else if (loaded.delete(key.vkey) || n === last - 1) await forget(fileOf(keys, n))
      }
      return signing
    },
    async rotate(now, overlapMs, mark) {
      const keys = await list()
      const old = keys.at(-1)!
      if (keys.some((key, n) => signsBeside(key, now) && !isForgotten(keys, n)))
        throw new LogError('KEY_ROTATION_UNDERWAY', `the overlap of the last rotation of ${origin} has not ended`)
      const key = generateEd25519Key()
      const id = keyId({ name: origin, type: SIGNATURE_ED25519, publicKey: key.publicKey }, sha256)
      const file = join(keysDir, `${nameOf(origin)}.${id.toString(16).padStart(8, '0')}.ed25519.pem`)
      await createKeyFile(file, key.privatePem, after)
      // Stopped here, the new key is a file that no list names; the next rotation makes another.
      const until = rfc3339(now + overlapMs)
      const vkey = vkeyOf(origin, key)
      const made: LogKey = { vkey, until: null, handed_over: false, ...(mark && { asked_by: mark }) }
      await save([...keys.slice(0, -1), { ...old, until }, made])
      // Stopped here, both keys sign, and the sequencer's next start tells the logs of it.
      return { old: old.vkey, vkey, until }
    },
    async rotated(is) {
      const keys = await list()
      const n = keys.findIndex((key) => is(key.asked_by))
      return n < 1 ? undefined : { old: keys[n - 1]!.vkey, vkey: keys[n]!.vkey, until: keys[n - 1]!.until! }
    },
    async handedOver(n) {
      const keys = await list()
      await save(keys.map((key, i) => (i === n ? { ...key, handed_over: true } : key)))
    },
  }

  /** Its overlap was over, by whichever clock, and is so for good, also where that clock was set back since. */
  function isForgotten(keys: readonly LogKey[], n: number): boolean {
    return keys[n]!.handed_over && readTextFile(fileOf(keys, n)) === null
  }

  async function forget(file: string): Promise<void> {
    if (readTextFile(file) === null) return
    await rm(file)
    await syncDirectory(keysDir)
  }
}

const signsBeside = (key: LogKey, now: number): boolean =>
  key.until !== null && (!key.handed_over || Date.parse(key.until) > now)

/** Makes the first key of a log; one that is there already is left as it is. */
export async function createFirstKey(keysDir: string, origin: string, after?: AfterStep): Promise<void> {
  await mkdir(keysDir, { recursive: true, mode: 0o700 })
  await createKeyFile(firstFile(keysDir, origin), generateEd25519Key().privatePem, after)
}

/** Whether a log has any key here. */
export const hasKey = async (keysDir: string, origin: string): Promise<boolean> =>
  readTextFile(listFile(keysDir, origin)) !== null || readTextFile(firstFile(keysDir, origin)) !== null

function parseList(text: string, origin: string): LogKey[] {
  try {
    // Our own file, checked for what is relied upon.
    const { v, origin: of, keys } = JSON.parse(text) as { v?: unknown; origin?: unknown; keys?: LogKey[] }
    if (v !== 1 || of !== origin || !Array.isArray(keys) || keys.length === 0)
      throw new Error('not the keys of this log')
    for (const [i, key] of keys.entries()) {
      if (!key.vkey.startsWith(`${origin}+`)) throw new Error(`key ${i} is of another log`)
      if ((key.until === null) !== (i === keys.length - 1)) throw new Error('not exactly the last key is the newest')
    }
    return keys
  } catch (cause) {
    throw new LogError('SIGNER_REFUSED', `the list of keys of ${origin} is damaged: ${String(cause)}`, { cause })
  }
}
