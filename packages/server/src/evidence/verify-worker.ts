// Verification in a thread of its own, over connections of its own: hashing a million entries must not hold up requests.
import { parentPort, workerData } from 'node:worker_threads'
import type { VerifyReport } from '@writ/api'
import type { AuditFolders, LogSnapshot, SelfChecked } from '../audit/index.ts'
import { selfCheck, verifyProjectLog } from '../audit/index.ts'
import { attachDatabase, type DatabaseSettings } from '../platform/db/index.ts'

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

// What the host put there, and nobody else can.
const job = workerData as VerifyJob
const db = await attachDatabase(job.database)
try {
  parentPort!.postMessage(
    job.kind === 'verify'
      ? await verifyProjectLog({ ...job, db })
      : await selfCheck({ ...job, db, random: Math.random }),
  )
} finally {
  await db.close()
}
