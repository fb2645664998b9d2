import type { Statement } from '@writ/tlog'
import type { Tx } from '../platform/db/index.ts'

/**
 * Signs a statement with the platform's key and keeps the envelope, in the transaction of what the statement tells of.
 * Answers the digest of its payload, `sha256:<hex>`, which belongs into the `att` of that change's event: so the log says
 * which attestations exist, and one that was made later or elsewhere is in no entry.
 */
export type Attest = (
  tx: Tx,
  about: { readonly type: string; readonly id: string },
  statement: Statement,
  at: number,
) => Promise<string>
