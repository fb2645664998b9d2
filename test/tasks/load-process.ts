/** A server as a process of its own that dispatches tasks to itself and notes which were accepted, so that it can be killed. */
import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { openApp } from '../../packages/server/src/app.ts'
import { loadConfig } from '../../packages/server/src/config.ts'
import { createLog } from '../../packages/server/src/platform/log.ts'
import { dispatcherOf } from './dispatch.ts'
import { loadHandlers } from './load-handlers.ts'

const { ACCEPTED, PERSON, ...env } = process.env
const { config, problems } = loadConfig({ argv: [], env, cwd: process.cwd() })
if (!config) throw new Error(problems?.join('\n'))
const app = await openApp({
  config,
  log: createLog({ level: 'error', format: 'text' }),
  passwordCost: { memory: 64, passes: 1, parallelism: 1 },
  testHandlers: loadHandlers,
})
process.on('SIGTERM', () => void app.stop().then(() => process.exit(0)))
await app.listen()
const by = await dispatcherOf(app, JSON.parse(PERSON!))
process.stdout.write('loading\n')
for (let n = 0; ; n++) {
  const accepted = await by.submit(
    ...Array.from({ length: 1 + (n % 20) }, (_, i) => ({
      handler: i % 9 === 4 ? 'test.second' : i % 7 === 3 ? 'test.pay' : 'test.noop',
      input: { n, i },
      max_attempts: 3,
      queue: i % 2 === 0 ? 'api' : 'script',
    })),
  )
  // Only after the commit: what stands here was promised.
  appendFileSync(ACCEPTED!, accepted.map((one) => `${one.id}\n`).join(''))
  if (n % 10 === 0) await sleep(1)
}
