import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { JobResult, VerifyJob } from './verify-worker.ts'

/** Runs a verification in a thread of its own: hashing a million entries must not hold up requests. */
export async function runInThread<J extends VerifyJob>(job: J): Promise<JobResult<J['kind']>> {
  const worker = new Worker(new URL('./verify-worker.ts', import.meta.url), { workerData: job })
  // `once` rejects when the thread dies of an error. The thread answers for the kind of job that it was given.
  const [result] = (await once(worker, 'message')) as [JobResult<J['kind']>]
  return result
}
