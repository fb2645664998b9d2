import { once } from 'node:events'
import type { Writable } from 'node:stream'

/**
 * Writes and waits until the reader has taken enough of it. False if the reader is gone or has not read for `patienceMs`:
 * then the connection is ended, and nothing more is kept for it.
 */
export async function writePatiently(
  to: Writable,
  text: string,
  patienceMs: number,
  gone: AbortSignal,
): Promise<boolean> {
  if (gone.aborted) return false
  if (to.write(text)) return true
  try {
    await once(to, 'drain', { signal: AbortSignal.any([gone, AbortSignal.timeout(patienceMs)]) })
    return true
  } catch {
    to.destroy()
    return false
  }
}
