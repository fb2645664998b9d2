// Verification in a thread of its own, over connections of its own: hashing a million entries must not hold up requests.
import { parentPort, workerData } from 'node:worker_threads'
import type { AuditFolders, LogSnapshot } from '../audit/index.ts'
import { verifyProjectLog } from '../audit/index.ts'
import { attachDatabase, type DatabaseSettings } from '../platform/db/index.ts'

export interface VerifyJob {
  readonly database: DatabaseSettings
  readonly folders: AuditFolders
  readonly project: string
  readonly slug: string
  readonly kept: string | undefined
  readonly snapshot: LogSnapshot
}

// What the host put there, and nobody else can.
const job = workerData as VerifyJob
const db = await attachDatabase(job.database)
try {
  parentPort!.postMessage(await verifyProjectLog({ ...job, db }))
} finally {
  await db.close()
}
