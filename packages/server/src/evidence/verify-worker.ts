// Verification in a thread of its own: hashing a million entries must not hold up requests.
import { parentPort, workerData } from 'node:worker_threads'
import { nowAndThen, runVerifyJob, type VerifyJob } from './verify-job.ts'

// What the host put there, and nobody else can.
const result = await runVerifyJob(
  workerData as VerifyJob,
  nowAndThen((progress) => parentPort!.postMessage({ progress })),
)
parentPort!.postMessage({ result })
