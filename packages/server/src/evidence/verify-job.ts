import type { VerifyReport } from '@writ/api'
import type { AuditFolders, LogSnapshot, SelfChecked, VerifyProgress } from '../audit/index.ts'
import { selfCheck } from '../audit/self-check.ts'
import { verifyProjectLog } from '../audit/verify.ts'
import { attachDatabase, type DatabaseSettings } from '../platform/db/index.ts'
import { findUntoldEnd } from '../runs/store-untold.ts'

interface Common {
  readonly database: DatabaseSettings
  readonly folders: AuditFolders
  readonly project: string
  readonly slug: string | undefined
  readonly snapshot: LogSnapshot
}
export type VerifyJob =
  | (Common & { readonly kind: 'verify'; readonly kept: string | undefined })
  | (Common & {
      readonly kind: 'self-check'
      readonly since: { readonly shard: number; readonly index: number }
      readonly share: number
    })
export type JobResult<K extends VerifyJob['kind']> = K extends 'verify' ? VerifyReport : SelfChecked

/** How often it is told how far it is, at most. */
const TELL_MS = 250

/** Tells the first, and then no more often than anybody looks. */
export function nowAndThen(tell: (done: VerifyProgress) => void): (done: VerifyProgress) => void {
  let toldAt = Number.NEGATIVE_INFINITY
  return (done) => {
    const now = performance.now()
    if (now - toldAt < TELL_MS) return
    toldAt = now
    tell(done)
  }
}

/** Does the job over a connection of its own, which is closed when it answers. */
export async function runVerifyJob(
  job: VerifyJob,
  onProgress?: (done: VerifyProgress) => void,
): Promise<VerifyReport | SelfChecked> {
  const db = await attachDatabase(job.database)
  try {
    return job.kind === 'verify'
      ? await verifyProjectLog({ ...job, db, findUntoldEnd, onProgress })
      : await selfCheck({ ...job, db, random: Math.random, onProgress })
  } finally {
    await db.close()
  }
}
