import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { DigestMismatch } from '@writ/sdk/node'

/** Copies a download to a stream that stays open, at the reader's pace. Throws DigestMismatch at the end. */
export async function pipeChecked(
  from: ReadableStream<Uint8Array>,
  to: Writable,
  sha256: string | undefined,
): Promise<void> {
  const hash = createHash('sha256')
  for await (const chunk of from) {
    hash.update(chunk)
    if (!to.write(chunk)) await once(to, 'drain')
  }
  const actual = hash.digest('hex')
  if (sha256 !== undefined && sha256 !== actual) throw new DigestMismatch(sha256, actual)
}
