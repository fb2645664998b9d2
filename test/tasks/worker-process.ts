// A worker of its own, to be killed: `slow` says that it began and never ends, unless QUICK is set. `parent` waits for children.
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
worker.handle('parent', { maxAttempts: 1, perKey: { concurrency: 1 } }, async (_, ctx) => {
  process.stdout.write(`parent ${ctx.attempt}\n`)
  const child = await ctx.dispatch('child', { handler: 'part', input: { n: 1 } })
  const { state, result } = await ctx.waitFor(child)
  const ping = await ctx.waitFor(await ctx.dispatch('ping', { handler: 'system.ping' }))
  await ctx.pauseKey(ctx.concurrencyKey!, Date.parse('2100-01-01T00:00:00Z'))
  return { state, result, ping: ping.result, trace: ctx.traceparent.slice(3, 35) }
})
process.stdout.write('working\n')
await worker.run(new AbortController().signal)
