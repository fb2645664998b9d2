import { type Client, WritError } from '@writ/sdk'
import { followKeyChanges, keyChangePath, type LogVerdict, verifyLog } from '@writ/tlog'
import { sha256, verifyEd25519 } from './verify-crypto.ts'

// Verification of a log that a server hands out, trusting the server in nothing.

// A bundle holds 256 entries of at most 64 KiB; a server that sends more is not answering the question.
const MAX_FILE_BYTES = 32 * 1024 * 1024

/**
 * Downloads and verifies the whole log under `vkey`: signature, every entry, every tile, the root, and consistency with
 * `kept`. The note that was verified comes back as `checkpoint`; null if the log has none.
 */
export async function verifyServedLog(
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
  },
): Promise<{ verdict: LogVerdict; checkpoint: string | null }> {
  let checkpoint: string | null = null
  const verdict = await verifyLog({
    read: async (path) => {
      const bytes = await readLogFile(client, path, options.signal)
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

/**
 * The keys that `trusted` leads to by what the log itself says, and the files that say it. A change that does not follow
 * from the trusted key ends the way: what is signed with a key beyond it does not verify.
 */
export async function loadKeyChanges(
  client: Client,
  log: { origin: string; trusted: string },
  signal: AbortSignal,
): Promise<{ vkeys: readonly string[]; files: readonly string[] }> {
  const files: string[] = []
  let vkeys: readonly string[] = [log.trusted]
  for (;;) {
    const file = await readLogFile(client, keyChangePath(files.length), signal)
    if (file === null) return { vkeys, files }
    const all = [...files, new TextDecoder().decode(file)]
    const { origin, trusted } = log
    const followed = await followKeyChanges({
      vkeys: [trusted],
      files: all,
      origin,
      hash: sha256,
      verify: verifyEd25519,
    })
    if (followed.ok) vkeys = followed.vkeys
    files.push(all.at(-1)!)
  }
}

async function readLogFile(client: Client, path: string, signal: AbortSignal): Promise<Uint8Array | null> {
  try {
    const { stream } = await client.audit.file({ params: { path }, signal })
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
