/** A server as a process of its own that says what its handlers do, so that a test can kill it or cut it off. LEASE_MS sets how long leases last. */
import { flushCompileCache } from 'node:module'
import { openApp } from '../../packages/server/src/app.ts'
import { loadConfig } from '../../packages/server/src/config.ts'
import { createLog } from '../../packages/server/src/platform/log.ts'
import { loadHandlers, slowHandler } from './load-handlers.ts'

const { LEASE_MS, ...env } = process.env
const { config, problems } = loadConfig({ argv: [], env, cwd: process.cwd() })
if (!config) throw new Error(problems?.join('\n'))
const say = (text: string) => void process.stdout.write(`${text}\n`)
const app = await openApp({
  config,
  log: createLog({ level: config.logLevel, format: 'text' }),
  passwordCost: { memory: 64, passes: 1, parallelism: 1 },
  ...(LEASE_MS === undefined ? {} : { leaseMs: Number(LEASE_MS) }),
  testHandlers: [...loadHandlers, slowHandler(say)],
})
process.on('SIGTERM', () => void app.stop().then(() => process.exit(0)))
await app.listen()
// A process that is killed writes none at its end, and is started again.
flushCompileCache()
say('is ready at')
