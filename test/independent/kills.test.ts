import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildVerifier, missingGo } from '../servers/go-verifier.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { isBorrowed, missingPostgres } from '../servers/postgres.ts'
import { openCampaign } from './campaign.ts'

const skip =
  missingBackend('PostgreSQL', missingPostgres()) ||
  missingBackend('Go', missingGo()) ||
  (isBorrowed() ? 'PostgreSQL: the server is not ours to kill' : false)

test('80 kills of the sequencer and 20 of PostgreSQL: the log holds what was committed, in order, and Go agrees', {
  skip,
  timeout: 400_000,
}, async () => {
  await using campaign = await openCampaign({ writers: 4 })
  for (let i = 0; i < 80; i++) {
    const sequencer = await campaign.sequencer()
    await campaign.answered(60 + ((i * 37) % 120))
    if (i % 4 === 3) {
      await campaign.postgres.kill9()
      await campaign.postgres.restart()
      await campaign.answered(20)
    }
    await sequencer.kill9()
  }
  const last = await campaign.sequencer()
  await campaign.answered(1_000)
  const { entries, checkpoints, rolledBack } = await campaign.settle()
  await last.stop()
  assert.ok(entries >= 10_000, `${entries} entries`)
  assert.ok(checkpoints >= 80, `${checkpoints} checkpoints`)
  assert.ok(rolledBack > 500, `${rolledBack} rolled back`)
  const independent = await buildVerifier(campaign.folder)
  const { ok, said } = await independent.verify(campaign.log, campaign.vkey, campaign.checkpoints)
  assert.deepEqual(
    [ok, said.split(',').slice(0, 2)],
    [true, [`ok: ${entries} entries`, ` ${checkpoints} earlier checkpoints`]],
  )
})
