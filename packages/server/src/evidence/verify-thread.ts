import { Worker } from 'node:worker_threads'
import type { VerifyProgress } from '../audit/index.ts'
import type { JobResult, VerifyJob } from './verify-job.ts'

/**
 * Runs a verification in a thread of its own: hashing a million entries must not hold up requests. Answers when the thread
 * is gone, and with it its connection to the database: of two connections to SQLite the last to close tidies up.
 * Rejects when the thread died, or was ended by the signal.
 */
export function runInThread<J extends VerifyJob>(
  job: J,
  {
    signal,
    onProgress,
  }: { signal?: AbortSignal | undefined; onProgress?: ((done: VerifyProgress) => void) | undefined } = {},
): Promise<JobResult<J['kind']>> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./verify-worker.ts', import.meta.url), { workerData: job })
    const end = () => void worker.terminate()
    signal?.addEventListener('abort', end, { once: true })
    let answer: { result: JobResult<J['kind']> } | undefined
    worker.on('message', (said: { progress: VerifyProgress } | { result: JobResult<J['kind']> }) => {
      if ('result' in said) answer = said
      else onProgress?.(said.progress)
    })
    worker.once('error', reject)
    worker.once('exit', () => {
      signal?.removeEventListener('abort', end)
      if (answer) resolve(answer.result)
      else reject(new Error('the verification ended without an answer'))
    })
    if (signal?.aborted) end()
  })
}
