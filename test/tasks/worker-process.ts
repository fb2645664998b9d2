// A worker of its own, to be killed: `slow` says that it began and never ends, unless QUICK is set.
import { createClient, createWorker } from '../../packages/sdk/src/index.ts'

const { WRIT_URL, WRIT_TOKEN, QUICK } = process.env
const worker = createWorker(createClient({ url: WRIT_URL!, token: WRIT_TOKEN }), {
  name: QUICK ? 'quick' : 'slow',
  onError: (error) => process.stderr.write(`${error}\n`),
})
worker.handle('slow', { maxAttempts: 1 }, async (_, ctx) => {
  process.stdout.write(`began ${ctx.runId}\n`)
  if (!QUICK) await new Promise((never) => setTimeout(never, 600_000))
  return { attempt: ctx.attempt }
})
process.stdout.write('working\n')
await worker.run(new AbortController().signal)
