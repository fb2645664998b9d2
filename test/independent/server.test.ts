import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { buildVerifier, missingGo } from '../servers/go-verifier.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { prepareWrit, type Writ } from '../servers/writ.ts'
import { watchCheckpoints } from './campaign.ts'

const skip = missingBackend('Go', missingGo())
const CLIENTS = 32
const RETRY_MS = 10
/** Checkpoints that are to be consistent with the last one. */
const CHECKPOINTS = 50

/** Opens tickets until `count` were answered; a broken connection is a client that asks again. */
async function openTickets(writ: Writ, count: number): Promise<void> {
  let left = count
  const client = async () => {
    while (left > 0) {
      left--
      const answer = await writ.call('POST', '/tickets', { title: 'Port 1/0/7' }).catch(() => undefined)
      if (answer?.status === 200) continue
      left++
      await pause(RETRY_MS)
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
}

test('a log of 10,000 entries, made by a server that was restarted and killed, passes before Go as a whole', {
  skip,
}, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-independent-'))
  const writ = await prepareWrit({ folder })
  try {
    await writ.start()
    await writ.login()
    const logs = path.join(writ.dataDir, 'log')
    const log = path.join(logs, (await readdir(logs)).find((name) => name !== '_instance')!, '0')
    const seen = path.join(folder, 'seen')
    await mkdir(seen)
    const watcher = watchCheckpoints(log, seen)
    for (const end of ['kill9', 'stop', 'kill9', 'stop', 'kill9'] as const) {
      const working = openTickets(writ, 2_000)
      // Killed under load; a polite end comes when the work is done.
      if (end === 'stop') await working
      else await Promise.race([working, openTickets(writ, 500)])
      await writ[end]()
      await writ.start()
      await working
    }
    // A fast machine makes 10,000 entries in fewer checkpoints than we want to compare.
    while ((await readdir(seen)).length < CHECKPOINTS) await openTickets(writ, 50)
    await writ.stop()
    const { seen: checkpoints, wrong } = await watcher.end()
    assert.equal(wrong, null)

    const database = new DatabaseSync(path.join(writ.dataDir, 'writ.db'), { readOnly: true })
    const { vkey, size } = database
      .prepare("select vkey, size from logs where project_id not like '00000000-%'")
      .get() as {
      vkey: string
      size: number
    }
    database.close()
    assert.ok(size >= 10_000 && checkpoints >= CHECKPOINTS, `${size} entries, ${checkpoints} checkpoints`)
    const independent = await buildVerifier(folder)
    const { ok, said } = await independent.verify(log, vkey, seen)
    assert.equal(ok, true, said)
    assert.match(said, new RegExp(`^ok: ${size} entries, ${checkpoints} earlier checkpoints, `))
  } finally {
    await writ.stop()
    await rm(folder, { recursive: true, force: true })
  }
})
