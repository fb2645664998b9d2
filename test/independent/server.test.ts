import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { buildVerifier, missingGo } from '../servers/go-verifier.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { prepareWrit } from '../servers/writ.ts'
import { watchCheckpoints } from './campaign.ts'
import { openTickets, openTicketsThroughKills } from './open-tickets.ts'

const skip = missingBackend('Go', missingGo())
/** Checkpoints that are to be consistent with the last one. */
const CHECKPOINTS = 50

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
    await openTicketsThroughKills(writ)
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
