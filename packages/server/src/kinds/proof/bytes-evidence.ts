import { createHash } from 'node:crypto'
import type { Evidence, EvidenceRole } from './validator.ts'

const chunk = 65_536

/** Evidence over bytes in memory: for tests, previews and files that a caller holds already. */
export function bytesEvidence(
  name: string,
  bytes: Uint8Array,
  more: { role?: EvidenceRole; expectedSha256?: string } = {},
): Evidence {
  return {
    name,
    size: bytes.byteLength,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    ...more,
    bytes: async () => bytes,
    async *stream() {
      for (let at = 0; at < bytes.byteLength; at += chunk) yield bytes.subarray(at, at + chunk)
    },
  }
}
