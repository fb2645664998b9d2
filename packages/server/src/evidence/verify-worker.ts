// Verification in a thread of its own: hashing a million entries must not hold up requests.
import { parentPort, workerData } from 'node:worker_threads'
import { runVerifyJob, type VerifyJob } from './verify-job.ts'

// What the host put there, and nobody else can.
parentPort!.postMessage(await runVerifyJob(workerData as VerifyJob))
