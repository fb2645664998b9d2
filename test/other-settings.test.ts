import assert from 'node:assert/strict'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { removeFolder } from './servers/guard.ts'
import { missingBackend } from './servers/missing-backend.ts'
import { missingPostgres, startPostgres } from './servers/postgres.ts'
import { prepareWrit } from './servers/writ.ts'

test('a server beside others that has another store, log, key or queue does not start, and says which', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  const above = await mkdtemp(path.join(tmpdir(), 'writ-other-'))
  const postgres = await startPostgres()
  const place = async (name: string, env: Record<string, string> = {}) => {
    const folder = path.join(above, name)
    await mkdir(folder, { recursive: true })
    return prepareWrit({ folder, databaseUrl: postgres.url, env: { SECRET_KEY: 'a'.repeat(40), ...env } })
  }
  const first = await place('one')
  try {
    await first.start()
    const blobs = path.join(first.dataDir, 'blobs')
    const [beside, ...others] = await Promise.all([
      place('one', { WRIT_ROLES: 'worker' }),
      place('two', { WRIT_ROLES: 'worker' }),
      place('three', { ARTIFACT_STORAGE_PATH: blobs }),
      place('one', { SECRET_KEY: 'b'.repeat(40) }),
      place('one', { QUEUE_BACKEND: 'redis', REDIS_URL: 'redis://127.0.0.1:1' }),
    ])
    await beside!.start()
    const said = await Promise.all(others.map((one) => one.refusal()))
    for (const [i, what] of [
      'another store of artifacts',
      'another folder of log files',
      'SECRET_KEY',
      'QUEUE_BACKEND',
    ].entries()) {
      assert.match(said[i]!, /Another server of this database \(/)
      assert.ok(said[i]!.includes(what), said[i])
    }
    await beside!.stop()
  } finally {
    await first.stop()
    await postgres.stop()
    removeFolder(above)
  }
})
