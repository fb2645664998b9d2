import { type Client, WritError } from '@writ/sdk'
import {
  followKeyChanges,
  keyChangePath,
  type LogVerdict,
  parseLogProof,
  type Successor,
  successorOf,
  verifyLog,
} from '@writ/tlog'
import { sha256, verifyEd25519 } from './verify-crypto.ts'

// Verification of a log that a server hands out, trusting the server in nothing.

// A bundle holds 256 entries of at most 64 KiB; a server that sends more is not answering the question.
const MAX_FILE_BYTES = 32 * 1024 * 1024
// A key a week for twenty years: a server that goes on and on is not answering either.
const MOST_KEY_CHANGES = 1_000

/** Reads a file of one log by its path; null if there is none. */
type ReadFile = (path: string, signal: AbortSignal) => Promise<Uint8Array | null>

/** The open log of the project that the client asks for. */
const openLogOf =
  (client: Client): ReadFile =>
  (path, signal) =>
    readLogFile(path, () => client.audit.file({ params: { path }, signal }))

/** Any log, closed ones too, at its address. */
const logAt = (client: Client, origin: string): ReadFile => {
  const name = origin.slice(origin.lastIndexOf('/') + 1)
  return (path, signal) => readLogFile(path, () => client.audit.served({ params: { path: `${name}/${path}` }, signal }))
}

/**
 * Downloads and verifies the whole log under `vkey`: signature, every entry, every tile, the root, and consistency with
 * `kept`. The note that was verified comes back as `checkpoint`; null if the log has none.
 */
async function verifyServedLog(
  client: Client,
  log: {
    origin: string
    vkey: string
    kept?: string | undefined
    keyChanges?: readonly string[]
    pasts?: readonly { size: number; root: Uint8Array }[]
  },
  options: {
    onProgress?: (done: { entries: number; size: number }) => void
    onEntry?: (index: number, entry: Uint8Array) => void
    signal: AbortSignal
    read?: ReadFile
  },
): Promise<{ verdict: LogVerdict; checkpoint: string | null }> {
  const readFile = options.read ?? openLogOf(client)
  let checkpoint: string | null = null
  const verdict = await verifyLog({
    read: async (path) => {
      const bytes = await readFile(path, options.signal)
      // Asked for once: what is kept later is what was verified, not what is served by then.
      if (path === 'checkpoint') checkpoint = bytes && new TextDecoder().decode(bytes)
      return bytes
    },
    vkeys: [log.vkey],
    origin: log.origin,
    hash: sha256,
    verify: verifyEd25519,
    ...(log.kept === undefined ? {} : { kept: log.kept }),
    ...(log.keyChanges ? { keyChanges: log.keyChanges } : {}),
    ...(log.pasts ? { pasts: log.pasts } : {}),
    ...(options.onProgress ? { onProgress: options.onProgress } : {}),
    onEntry: (index, entry) => {
      options.onEntry?.(index, entry)
      return undefined
    },
    signal: options.signal,
  })
  return { verdict, checkpoint }
}

interface KeyChanges {
  readonly vkeys: readonly string[]
  readonly files: readonly string[]
}

/** Keys that replace each other while the log is verified: a server that goes on and on is not answering. */
const MOST_TRIES = 20

/**
 * As `verifyServedLog`, with `keys` that `trusted` leads to. Where the checkpoint is signed with none of them its key may have been
 * replaced since they were read, before any entry was looked at: then the changes that came meanwhile are read too. Answers the keys
 * with which it was verified.
 */
export async function verifyWhileKeysChange(
  client: Client,
  log: { origin: string; trusted: string; keys: KeyChanges } & Pick<
    Parameters<typeof verifyServedLog>[1],
    'kept' | 'pasts'
  >,
  options: Parameters<typeof verifyServedLog>[2],
): Promise<{ verdict: LogVerdict; checkpoint: string | null; keys: KeyChanges }> {
  const { origin, trusted, kept, pasts } = log
  let { keys } = log
  for (let tries = 1; ; tries++) {
    const { verdict, checkpoint } = await verifyServedLog(
      client,
      { origin, vkey: trusted, kept, keyChanges: keys.files, ...(pasts ? { pasts } : {}) },
      options,
    )
    if (verdict.ok || verdict.code !== 'CHECKPOINT_SIGNATURE' || tries === MOST_TRIES)
      return { verdict, checkpoint, keys }
    const { signal, read } = options
    const newer = await loadKeyChanges(client, { origin, trusted }, signal, {
      known: keys.files,
      ...(read ? { read } : {}),
    })
    if (newer.vkeys.length <= keys.vkeys.length) return { verdict, checkpoint, keys }
    keys = newer
  }
}

/**
 * The keys that `trusted` leads to by what the log itself says, and the files that say it; `known` are those that were read before.
 * A change that does not follow from the trusted key ends the way: what is signed with a key beyond it does not verify.
 */
export async function loadKeyChanges(
  client: Client,
  log: { origin: string; trusted: string },
  signal: AbortSignal,
  { read = openLogOf(client), known = [] }: { read?: ReadFile; known?: readonly string[] } = {},
): Promise<KeyChanges> {
  const files = [...known]
  while (files.length < MOST_KEY_CHANGES) {
    const file = await read(keyChangePath(files.length), signal)
    const text = file && new TextDecoder().decode(file)
    if (text === null || !isLogProof(text)) break
    files.push(text)
  }
  const { origin, trusted } = log
  const { vkeys } = await followKeyChanges({ vkeys: [trusted], files, origin, hash: sha256, verify: verifyEd25519 })
  // Without a step that follows they say nothing about the trusted key, and there is nothing to verify them with.
  return { vkeys, files: vkeys.length > 1 ? files : [] }
}

function isLogProof(text: string): boolean {
  try {
    parseLogProof(text)
    return true
  } catch {
    return false
  }
}

/** A closed log that was verified to its end. */
interface Followed {
  readonly origin: string
  readonly size: number
}

export type FollowedLogs =
  | { ok: true; vkey: string; logs: readonly Followed[] }
  | { ok: false; origin: string; fault: Extract<LogVerdict, { ok: false }> | null }

/**
 * From the log that was kept to the one that is open now, by way of what each closed log names as its successor: each is verified to
 * its end, the first from the state that was kept. Answers the key that the open log has to begin with. `fault` is null where a log
 * names nobody that is there: what came then is another log.
 */
export async function followLogs(
  client: Client,
  kept: { origin: string; vkey: string; checkpoint: string },
  open: string,
  options: { onProgress: (done: { entries: number; size: number }) => void; signal: AbortSignal },
): Promise<FollowedLogs> {
  const { signal, onProgress } = options
  const logs: Followed[] = []
  let at: { origin: string; vkey: string; checkpoint?: string } = kept
  while (at.origin !== open) {
    const { origin, vkey, checkpoint } = at
    const read = logAt(client, origin)
    if ((await read('checkpoint', signal)) === null) return { ok: false, origin, fault: null }
    const keys = await loadKeyChanges(client, { origin, trusted: vkey }, signal, { read })
    const named: Successor[] = []
    const { verdict } = await verifyServedLog(
      client,
      { origin, vkey, kept: checkpoint, keyChanges: keys.files },
      {
        signal,
        read,
        onProgress,
        onEntry(_, entry) {
          const successor = successorOf(entry, sha256)
          if (successor) named.push(successor)
        },
      },
    )
    signal.throwIfAborted()
    if (!verdict.ok) return { ok: false, origin, fault: verdict }
    logs.push({ origin, size: verdict.checkpoint.size })
    const next = await findBegun(client, named.toReversed(), open, signal)
    if (!next || logs.some((log) => log.origin === next.origin)) return { ok: false, origin, fault: null }
    at = next
  }
  return { ok: true, vkey: at.vkey, logs }
}

/** The first that has begun: one that is named is none if the server was stopped before it opened it. */
async function findBegun(
  client: Client,
  named: readonly Successor[],
  open: string,
  signal: AbortSignal,
): Promise<Successor | undefined> {
  for (const one of named)
    if (one.origin === open || (await logAt(client, one.origin)('checkpoint', signal)) !== null) return one
  return undefined
}

async function readLogFile(
  path: string,
  ask: () => Promise<{ stream: AsyncIterable<Uint8Array> }>,
): Promise<Uint8Array | null> {
  try {
    const { stream } = await ask()
    const chunks: Uint8Array[] = []
    let bytes = 0
    for await (const chunk of stream) {
      bytes += chunk.length
      if (bytes > MAX_FILE_BYTES) throw new Error(`${path} is larger than any file of a log`)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  } catch (error) {
    if (error instanceof WritError && error.code === 'LOG_FILE_NOT_FOUND') return null
    throw error
  }
}
