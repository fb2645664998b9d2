// Two whole servers on one PostgreSQL and one keys/: what one rotates the other uses, while it goes on appending and exporting.
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import type { AuditEvent } from '@writ/api'
import { backends } from '../backends.ts'
import { createClient } from '../client.ts'
import { openSecond } from '../tasks/second.ts'
import { ok } from '../verifies.ts'
import { exportBundle, unpack, verifySh, verifyZipFile } from './scene.ts'

const [, postgres] = backends()

test('keys that two servers rotate at once are in use in both, and every bundle made meanwhile verifies', {
  skip: postgres!.skip,
}, async () => {
  await using system = await postgres!.start()
  await using second = await openSecond(system, [], {})
  const base = `http://127.0.0.1:${second.port}`
  const authorization = `Bearer ${await system.admin.token()}`
  const there = createClient({ base: () => base, prefix: '/api/v1', credentials: async () => ({ authorization }) })
  ok(await system.admin.post('/tickets', { title: 'one' }))
  await system.settle()
  const rotate = (who: typeof there, purpose: string) =>
    who.post<{ new_key: string; code?: string }>('/keys/rotate', {
      purpose,
      ...(purpose === 'log' ? { project: 'default', overlap_hours: 0 } : {}),
    })
  let going = true
  // As many as verify.sh is through with in seconds.
  const appending = (async () => {
    for (let n = 0; going && n < 30; n++) {
      ok(await there.post('/tickets', { title: `meanwhile ${n}` }))
      assert.equal((await system.admin.post('/tickets/1/comments', { body: `remark ${n}` })).status, 201)
    }
  })()
  const zips: string[] = []
  try {
    for (const purpose of ['attestation', 'manifest', 'log', 'attestation', 'manifest']) {
      const answers = await Promise.all([rotate(system.admin, purpose), rotate(there, purpose)])
      // One after the other, or one of them is refused: never half.
      for (const { status, body } of answers)
        assert.ok(status === 200 || (status === 409 && body.code === 'KEY_ROTATION_UNDERWAY'), JSON.stringify(body))
      assert.ok(answers.some(({ status }) => status === 200))
      zips.push(path.join(system.folder, `${zips.length}-${purpose}.zip`))
      await exportBundle(system, zips.at(-1)!, { subject: 'ticket', id: 1 })
    }
  } finally {
    going = false
    await appending
  }
  const [here, beside] = await Promise.all(
    [system.admin, there].map(async (who) => ok(await who.get<{ signing: unknown[] }>('/keys')).signing),
  )
  assert.deepEqual(here, beside)
  const added = ok(await system.admin.get<AuditEvent[]>('/audit/events?event_type=key.added&limit=100'))
  assert.ok(Array.isArray(added))
  for (const zip of zips) {
    const report = await verifyZipFile(zip)
    assert.equal(report.fault, undefined, `${zip}: ${JSON.stringify(report.fault)}`)
  }
  await unpack(zips.at(-1)!, path.join(system.folder, 'last'))
  const script = await verifySh(path.join(system.folder, 'last'))
  assert.equal(script.code, 0, script.err)
  await system.settle()
  await system.check()
})
