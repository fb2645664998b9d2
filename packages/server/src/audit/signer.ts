import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  canonicalize,
  createTreeHasher,
  equalBytes,
  formatCheckpoint,
  formatNote,
  fromBase64,
  signText,
  toBase64,
  verifyConsistency,
} from '@writ/tlog'
import { systemClock } from '../platform/clock.ts'
import { type AfterStep, replaceFile } from './durable-file.ts'
import { readTextFile } from './key-file.ts'
import { LogError } from './log-error.ts'
import { createFirstKey, createLogKeys, hasKey, type LogKeys } from './log-keys.ts'
import { sha256 } from './node-crypto.ts'

// The signer's memory is its own: a database or log directory rolled back to yesterday, or an old leader that wakes up
// late, asks for a second history, and is refused here because the last signed state is remembered beside the key.

export type Signer = {
  readonly origin: string
  /** The newest public key when the signer was made, as a vkey of type 0x01 under the origin's name. */
  readonly vkey: string
  readonly keys: LogKeys
  /** The state signed last; size 0 before the first. The consistency proof of the next request starts here. */
  last(): Promise<{ size: number; root: Uint8Array }>
  /**
   * A signed checkpoint note of this state. `consistencyProof` leads from the state signed last to this one; empty if
   * nothing was signed or the state is the same. During the overlap of a rotation old and new key sign. Throws
   * SIGNER_REFUSED if the state is smaller or not a continuation.
   */
  sign(request: { size: number; root: Uint8Array; consistencyProof: readonly Uint8Array[] }): Promise<string>
}

type Memory = { size: number; root: Uint8Array }

/**
 * The signer of one log. On first use makes an Ed25519 key pair in `keysDir`: `<origin>.ed25519.pem`, readable by its
 * owner alone, with `<origin>.vkey` beside it, and the state file. One process at a time may sign for a state file.
 *
 * Throws SIGNER_REFUSED if the key can be read by others, if the state file is lost while the key exists, or the other
 * way round: a signer without memory would sign a second history. `now` ends the overlap of a rotation. `after` is for tests only.
 */
export async function createSigner(options: {
  keysDir: string
  origin: string
  stateFile: string
  /** The log has named its key already, so that none may be made under this origin. */
  isNamed?: boolean
  now?: () => number
  after?: AfterStep
}): Promise<Signer> {
  const { keysDir, origin, stateFile, isNamed = false, now = systemClock.now, after } = options
  await mkdir(keysDir, { recursive: true, mode: 0o700 })
  await mkdir(dirname(stateFile), { recursive: true })
  if (!(await hasKey(keysDir, origin))) await createKey()
  const keys = createLogKeys(keysDir, origin, after)
  // Reads every key that signs, so that one that is gone or open to others is refused now and not at the first checkpoint.
  await keys.signing(now())
  const { vkey } = (await keys.list()).at(-1)!
  const vkeyFile = join(keysDir, `${encodeURIComponent(origin)}.vkey`)
  // Derived from the key, so a crash before this line costs nothing: the next start writes it.
  if (readTextFile(vkeyFile) !== `${vkey}\n`) await replaceFile(vkeyFile, `${vkey}\n`)
  await loadMemory()

  /** Memory first, key second: stopped in between, there is a state of size 0 and no key, and the next start goes on. */
  async function createKey(): Promise<void> {
    const memory = readTextFile(stateFile)
    if (isNamed) refuse(`the key of ${origin} is gone, but has signed; open a new origin`)
    if (memory === null) await saveMemory({ size: 0, root: createTreeHasher(sha256).empty() })
    else if (parseMemory(memory, origin).size > 0)
      refuse(`the key of ${origin} is gone, but has signed; open a new origin`)
    after?.('state-created')
    await createFirstKey(keysDir, origin, after)
  }

  // Read anew for each signature: what another process signed with this file counts, too.
  async function loadMemory(): Promise<Memory> {
    const text = readTextFile(stateFile)
    if (text === null) refuse(`the state file ${stateFile} is gone; without it a second history could be signed`)
    return parseMemory(text, origin)
  }

  async function saveMemory({ size, root }: Memory): Promise<void> {
    const text = `${canonicalize({ origin, root: toBase64(root), size, v: 1 })}\n`
    await replaceFile(stateFile, text, { mode: 0o600, after: after && ((step) => after(`state-${step}`)) })
  }

  async function sign({ size, root, consistencyProof }: Parameters<Signer['sign']>[0]): Promise<string> {
    const last = await loadMemory()
    if (size < last.size) refuse(`asked to sign ${size} entries after ${last.size}: the log was rolled back`)
    const consistent = { from: last.size, fromRoot: last.root, to: size, toRoot: root, hash: sha256 }
    if (size === last.size) {
      if (!equalBytes(root, last.root)) refuse(`asked to sign another root for the same ${size} entries`)
    } else if (verifyConsistency({ ...consistent, proof: consistencyProof })) {
      // Remembered before the signature exists. Stopped here, the state is remembered and unsigned: the same request
      // after the restart is the same state, and gets the same signature.
      await saveMemory({ size, root })
    } else {
      refuse(`${size} entries were not shown to continue the ${last.size} signed before`)
    }
    const text = formatCheckpoint({ origin, size, root })
    const signing = await keys.signing(now())
    const lines = await Promise.all(
      signing.map((key) => signText(text, { name: origin, publicKey: key.publicKey }, key.sign, sha256)),
    )
    after?.('signed')
    return formatNote(text, lines)
  }

  // One request at a time: between reading the memory and replacing it nothing else may be signed.
  let queue: Promise<unknown> = Promise.resolve()
  return {
    origin,
    vkey,
    keys,
    last: loadMemory,
    sign(request) {
      const turn = queue.then(() => sign(request))
      // The next request runs whether or not this one was refused; the caller gets the refusal.
      queue = turn.catch(() => {})
      return turn
    },
  }
}

function parseMemory(text: string, origin: string): Memory {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null) throw new Error('not an object')
    if (!('v' in value && value.v === 1)) throw new Error('not of version 1')
    if (!('origin' in value && value.origin === origin)) throw new Error('of another origin')
    if (!('size' in value && typeof value.size === 'number' && Number.isSafeInteger(value.size) && value.size >= 0)) {
      throw new Error('without a size')
    }
    if (!('root' in value && typeof value.root === 'string')) throw new Error('without a root')
    const root = fromBase64(value.root)
    if (root.length !== 32) throw new Error('with a root that is not 32 bytes')
    return { size: value.size, root }
  } catch (cause) {
    throw new LogError('SIGNER_REFUSED', `the state file is damaged: ${String(cause)}`, { cause })
  }
}

function refuse(reason: string): never {
  throw new LogError('SIGNER_REFUSED', reason)
}
