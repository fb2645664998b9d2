import assert from 'node:assert/strict'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { mock, test } from 'node:test'
import { TestSystem } from '../test-system.ts'
import { ok, refused } from '../verifies.ts'

test('a server whose disk failed to sync answers nothing as done, and gives up', async () => {
  const system = await TestSystem.start({})
  try {
    const before = ok(await system.admin.post<{ number: number }>('/tickets', { title: 'kept' }))
    mock.method(fs, 'fdatasync', (_: number, done: (error: Error | null) => void) =>
      setImmediate(() => done(Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }))),
    )
    syncBuiltinESMExports()
    refused(await system.admin.post('/tickets', { title: 'lost' }), 503, 'DATABASE_UNAVAILABLE')
    await assert.rejects(system.app.failed, /The disk did not keep what the database was given \(EIO: /)
    // The kernel says that all is well again.
    mock.restoreAll()
    syncBuiltinESMExports()
    refused(await system.admin.post('/tickets', { title: 'late' }), 503, 'DATABASE_UNAVAILABLE')
    assert.equal(before.number, 1)
  } finally {
    mock.restoreAll()
    syncBuiltinESMExports()
    await system.stop()
  }
})
