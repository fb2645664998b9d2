import { decodeEntry } from './entry.ts'
import type { Hash } from './merkle.ts'
import { parseVkey, SIGNATURE_ED25519 } from './note.ts'

// A log that is closed and continued names the one that follows in one of its own last entries, `log.succeeded`, whose `res` is
// the first vkey of that log. Whoever kept a checkpoint of the old log verifies it to its end and goes on with that key, offline.
// A log that was given up because its database was lost names nobody: there an auditor has to decide.

/** The event type of the entry. */
export const SUCCESSOR_ACT = 'log.succeeded'

/** A log that another one names, with the key under which its first checkpoint has to be. */
export type Successor = { readonly origin: string; readonly vkey: string }

// Every entry of a log is looked at, and entries are canonical JSON: `act` comes first.
const BEGINNING = `{"act":"${SUCCESSOR_ACT}",`

/** The log that an entry names as the one that continues its own; undefined for any other entry. */
export function successorOf(entry: Uint8Array, hash: Hash): Successor | undefined {
  if (entry.length < BEGINNING.length) return undefined
  for (let i = 0; i < BEGINNING.length; i++) if (entry[i] !== BEGINNING.charCodeAt(i)) return undefined
  try {
    const { res } = decodeEntry(entry)
    if (res === undefined) return undefined
    const { name, type } = parseVkey(res, hash)
    return type === SIGNATURE_ED25519 ? { origin: name, vkey: res } : undefined
  } catch {
    // What names no key leads nowhere.
    return undefined
  }
}
