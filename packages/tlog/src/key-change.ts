import { type Checkpoint, openCheckpoint } from './checkpoint.ts'
import { decodeEntry } from './entry.ts'
import { formatLogProof, parseLogProof, verifyLogProof } from './log-proof.ts'
import { createTreeHasher, type Hash } from './merkle.ts'
import { parseVkey, SIGNATURE_ED25519, type VerifyEd25519 } from './note.ts'

// A log names its next key itself: in an entry `log.key_rotated` whose `res` is the new vkey, under a checkpoint that the
// key before has signed. Whoever trusts any earlier key can follow from there, offline.
//
// On disk a key change is a tlog-proof file whose `extra` holds the entry: authenticated by the proof over its hash.

/** The event type of the entry. */
export const KEY_CHANGE_ACT = 'log.key_rotated'

/** Where a log keeps its key changes: `key-changes/000.tlog-proof`, `001`, ... */
export const keyChangePath = (n: number): string => `key-changes/${String(n).padStart(3, '0')}.tlog-proof`

/** A key change as a file's text. */
export const formatKeyChange = (change: {
  entry: Uint8Array
  index: number
  hashes: Uint8Array[]
  checkpoint: string
}): string =>
  formatLogProof({ extra: change.entry, index: change.index, hashes: change.hashes, checkpoint: change.checkpoint })

/** One step to the next key that was verified: at which entry, and under which checkpoint. */
export type KeyChange = { vkey: string; index: number; checkpoint: Checkpoint }

export type FollowedKeys =
  | { ok: true; vkeys: readonly string[]; changes: readonly KeyChange[] }
  | { ok: false; code: 'KEY_CHANGE_INVALID'; reason: string; vkeys: readonly string[] }

/**
 * Follows the recorded key changes of the log `origin` from the keys that are trusted to the newest. `files` in their
 * order, the first first; those before the newest trusted key are passed over, so one may begin anywhere. Answers all
 * keys, in the order in which they came to be trusted; of a list in which a step is wrong those up to it.
 */
export async function followKeyChanges(from: {
  vkeys: readonly string[]
  files: readonly string[]
  origin: string
  hash: Hash
  verify: VerifyEd25519
}): Promise<FollowedKeys> {
  const { files, origin, hash, verify } = from
  const vkeys = [...from.vkeys]
  const changes: KeyChange[] = []
  const { leaf } = createTreeHasher(hash)
  const read: { entry: Uint8Array; next: string }[] = []
  const fail = (i: number, reason: string) =>
    ({ ok: false, code: 'KEY_CHANGE_INVALID', reason: `key change ${i}: ${reason}`, vkeys }) as const
  let unread: string | undefined
  for (const file of files) {
    try {
      read.push(readChange(file, origin, hash))
    } catch (error) {
      unread = error instanceof Error ? error.message : String(error)
      break
    }
  }
  const trusted = read.findLastIndex(({ next }) => vkeys.includes(next))
  for (let i = trusted + 1; i < read.length; i++) {
    const { entry, next } = read[i]!
    const verified = await verifyLogProof({ proof: files[i]!, leaf: leaf(entry), vkeys, origin, hash, verify })
    if (!verified.ok) return fail(i, verified.reason)
    vkeys.push(next)
    changes.push({ vkey: next, index: verified.index, checkpoint: verified.checkpoint })
  }
  return unread === undefined ? { ok: true, vkeys, changes } : fail(read.length, unread)
}

function readChange(file: string, origin: string, hash: Hash): { entry: Uint8Array; next: string } {
  const entry = parseLogProof(file).extra ?? new Uint8Array()
  const { act, res } = decodeEntry(entry)
  if (act !== KEY_CHANGE_ACT || res === undefined) throw new Error('the entry names no key')
  const key = parseVkey(res, hash)
  if (key.type !== SIGNATURE_ED25519 || key.name !== origin) throw new Error('the key is not one of this log')
  return { entry, next: res }
}

/**
 * Whether a checkpoint carries the signature that it must: a state that holds a key change is good only with the
 * signature of the newest key it names. Throws only on a malformed vkey.
 */
export async function signedByNewestKey(
  note: string,
  size: number,
  changes: readonly KeyChange[],
  trust: { hash: Hash; verify: VerifyEd25519 },
): Promise<boolean> {
  const newest = changes.findLast((change) => change.index < size)
  return newest === undefined || (await openCheckpoint(note, { vkeys: [newest.vkey], ...trust })).ok
}
