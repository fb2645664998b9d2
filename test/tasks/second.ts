/** A second server beside that of a test. */
import assert from 'node:assert/strict'
import { openApp } from '../../packages/server/src/app.ts'
import { loadConfig } from '../../packages/server/src/config.ts'
import { createLog } from '../../packages/server/src/platform/log.ts'
import type { TestSystem } from '../test-system.ts'
import type { handlerOf } from './dispatch.ts'

/** On the data and the database of the first. */
export async function openSecond(
  system: TestSystem,
  testHandlers: ReturnType<typeof handlerOf>[],
  env: Record<string, string>,
) {
  const { config, problems } = loadConfig({
    argv: [],
    cwd: system.folder,
    env: {
      HOST: '127.0.0.1',
      PORT: '0',
      WRIT_DATA_DIR: `${system.folder}/data`,
      WRIT_CHECKPOINT_INTERVAL_MS: '20',
      WRIT_SELF_CHECK_MINUTES: '0',
      DATABASE_URL: system.databaseUrl!,
      ...env,
    },
  })
  assert.ok(config, problems?.join('\n'))
  const app = await openApp({
    config,
    log: createLog({ level: 'error', format: 'text' }),
    passwordCost: { memory: 64, passes: 1, parallelism: 1 },
    testHandlers,
  })
  const { port } = await app.listen()
  return { app, port, [Symbol.asyncDispose]: () => app.stop() }
}
