// Verification in a thread of its own: hashing a million entries must not hold up requests.
import { parentPort, workerData } from 'node:worker_threads'
import { runVerifyJob, type VerifyJob } from './verify-job.ts'

/** How often it is told how far it is, at most. */
const TELL_MS = 250

let toldAt = 0
// What the host put there, and nobody else can.
const result = await runVerifyJob(workerData as VerifyJob, (progress) => {
  const now = performance.now()
  if (now - toldAt < TELL_MS) return
  toldAt = now
  parentPort!.postMessage({ progress })
})
parentPort!.postMessage({ result })
