import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildVerifier, missingGo } from '../servers/go-verifier.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingPostgres } from '../servers/postgres.ts'
import { type Campaign, openCampaign } from './campaign.ts'

const skip = missingBackend('PostgreSQL', missingPostgres()) || missingBackend('Go', missingGo())

const LEADER = "application_name = 'writ_lead_sequencer'"
const leaders = async (campaign: Campaign) =>
  Number(
    (
      await campaign.sql<{ n: string }>(`select count(*) as n from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted and ${LEADER}`)
    )[0]!.n,
  )
/** Ends the connection that holds the leader's lock, as a network or a proxy does. */
const cutLock = (campaign: Campaign) =>
  campaign.sql(`select pg_terminate_backend(a.pid) from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted and ${LEADER}`)

async function agrees(campaign: Campaign): Promise<void> {
  const { entries, checkpoints } = await campaign.settle()
  const independent = await buildVerifier(campaign.folder)
  const { ok, said } = await independent.verify(campaign.log, campaign.vkey, campaign.checkpoints)
  assert.equal(ok, true, said)
  assert.ok(entries > 200 && checkpoints > 1)
}

test('of two sequencers one works, and the other follows when it is gone', { skip }, async () => {
  await using campaign = await openCampaign({ writers: 4 })
  const first = await campaign.sequencer()
  const second = await campaign.sequencer({ lead: false })
  await campaign.answered(100)
  assert.equal(await leaders(campaign), 1)
  await first.kill9()
  await second.saying('leading')
  await campaign.answered(100)
  await agrees(campaign)
  await second.stop()
})

test('a leader whose lock connection is cut stops, another leads, and the log has one history', { skip }, async () => {
  await using campaign = await openCampaign({ writers: 4 })
  const first = await campaign.sequencer()
  const second = await campaign.sequencer({ lead: false })
  for (let i = 0; i < 5; i++) {
    await campaign.answered(60)
    await cutLock(campaign)
  }
  await campaign.answered(100)
  await agrees(campaign)
  assert.equal(await leaders(campaign), 1)
  await first.stop()
  await second.stop()
})

test('a leader that was paused, lost its lock and woke up publishes nothing of its own', { skip }, async () => {
  await using campaign = await openCampaign({ writers: 4 })
  const old = await campaign.sequencer()
  for (let i = 0; i < 5; i++) {
    await campaign.answered(60)
    // Stopped wherever it is: between places and files, between files and signature, between signature and name.
    process.kill(old.pid, 'SIGSTOP')
    await cutLock(campaign)
    const next = await campaign.sequencer()
    await campaign.answered(60)
    process.kill(old.pid, 'SIGCONT')
    await campaign.answered(60)
    await next.kill9()
  }
  await campaign.answered(60)
  await agrees(campaign)
  await old.kill9()
})
