import assert from 'node:assert/strict'
import { test } from 'node:test'
import { INSTANCE, inProject } from '../platform/db/index.ts'
import { createLog } from '../platform/log.ts'
import { createSealRenewal, sealedOfUsers } from './renew-sealed.ts'
import { createSeal, sealMark } from './secret-key.ts'
import { startTestApp } from './test-app.ts'

const [NEW, OLD] = ['the key that is live by now', 'the key that was before it']

test('what the key before seals later is sealed anew after an hour, also when the clock was set back', async () => {
  const app = await startTestApp()
  try {
    const { db, clock } = app
    const { id } = await inProject(INSTANCE, () =>
      db.read((tx) => tx.db.selectFrom('users').select('id').executeTakeFirstOrThrow()),
    )
    const renewal = createSealRenewal({
      db,
      clock,
      log: createLog({ level: 'silent', format: 'json' }),
      keys: [NEW, OLD],
      columns: sealedOfUsers,
    })
    await renewal.run()
    assert.equal(renewal.left, 0)
    // By another server, which has not been restarted yet.
    const sealed = createSeal([OLD], 'one-time codes').seal('a secret', id)
    await inProject(INSTANCE, () =>
      db.write((tx) => tx.db.updateTable('users').set({ totp_secret: sealed }).where('id', '=', id).execute()),
    )
    const isRenewed = async () => {
      await renewal.run()
      const row = await inProject(INSTANCE, () =>
        db.read((tx) => tx.db.selectFrom('users').select('totp_secret').where('id', '=', id).executeTakeFirstOrThrow()),
      )
      return row.totp_secret?.startsWith(sealMark(NEW))
    }
    clock.set(-5 * 3_600_000)
    assert.equal(await isRenewed(), false)
    clock.advance(3_600_000)
    assert.equal(await isRenewed(), true)
  } finally {
    await app.stop()
  }
})
