import assert from 'node:assert/strict'
import { test } from 'node:test'
import { missingBackend } from '../servers/missing-backend.ts'
import { isBorrowed, missingPostgres } from '../servers/postgres.ts'
import { missingRedis } from '../servers/redis.ts'
import { runCampaign } from './campaign.ts'

const noRedis = missingBackend('Redis', missingRedis())
const noPostgres =
  missingBackend('PostgreSQL', missingPostgres()) ||
  (isBorrowed() ? 'PostgreSQL: the server is not ours to kill' : false)

// Hundreds of kills: npm run crash.
for (const [store, skip] of [
  ['sqlite', noRedis],
  ['postgres', noRedis || noPostgres],
] as const)
  test(`12 kills of everything under a load of tasks: each accepted task ends once, the log is whole (${store})`, {
    skip,
    timeout: 280_000,
  }, async () => {
    const { accepted } = await runCampaign({ store, kills: 12, seed: 20_260_701 })
    assert.ok(accepted >= 12 * 5)
  })
