// Verification in a process of its own: one job after the other, until whoever started it lets go.
import { nowAndThen, runVerifyJob, type VerifyJob } from './verify-job.ts'

process.on('message', (job) => {
  // Nobody but the server that started it has this channel.
  runVerifyJob(
    job as VerifyJob,
    nowAndThen((progress) => process.send!({ progress })),
  ).then(
    (result) => process.send!({ result }),
    (error: unknown) => process.send!({ error: error instanceof Error ? error.message : String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
