// A log that grows, changes its key and is continued while somebody verifies it is no log that was tampered with.
import assert from 'node:assert/strict'
import { mkdtemp, readFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import type { LogInfo } from '@writ/api'
import { verifyLog } from '@writ/tlog'
import { sha256, verifyEd25519 } from '../../packages/cli/src/verify-crypto.ts'
import { TestSystem } from '../test-system.ts'
import { ok } from '../verifies.ts'
import { writ } from './command-line.ts'

test('whoever verifies a log while it grows is told that it is sound, each time and in every way', {
  timeout: 300_000,
}, async () => {
  await using system = await TestSystem.start({ process: true, env: { WRIT_CHECKPOINT_INTERVAL_MS: '10' } })
  for (let i = 0; i < 300; i++) ok(await system.admin.post('/tickets', { title: `before ${i}` }))
  await system.settle()
  const home = await mkdtemp(path.join(system.folder, 'home-'))
  const data = path.join(system.folder, 'data')
  let going = true
  const growing = Array.from({ length: 2 }, async () => {
    for (let i = 0; going; i++) {
      ok(await system.employee.post('/tickets', { title: `meanwhile ${i}` }))
      await new Promise((later) => setTimeout(later, 50))
    }
  })
  const changing = (async () => {
    while (going) {
      const body = { purpose: 'log', project: 'default', overlap_hours: 0 }
      const { status } = await system.admin.post('/keys/rotate', body)
      // The one before is not in the log yet.
      assert.ok(status === 200 || status === 409, String(status))
      await system.settle()
      await new Promise((later) => setTimeout(later, 300))
    }
  })()
  const sizes: number[] = []

  const byLibrary = (async () => {
    while (going) {
      const info = ok(await system.admin.get<LogInfo>('/audit/log'))
      const read = (name: string) =>
        readFile(path.join(info.folder, name)).then(
          (bytes) => new Uint8Array(bytes),
          () => null,
        )
      // The keys that are known now; the checkpoint may have been signed with a newer one since.
      const verdict = await verifyLog({
        read,
        vkeys: info.vkeys,
        origin: info.origin,
        hash: sha256,
        verify: verifyEd25519,
      })
      if (!verdict.ok && verdict.code === 'CHECKPOINT_SIGNATURE') continue
      assert.ok(verdict.ok, JSON.stringify(verdict))
      sizes.push(verdict.checkpoint.size)
    }
  })()
  try {
    for (let round = 0; round < 3; round++)
      for (const args of [
        ['audit', 'verify'],
        ['audit', 'verify', '--data-dir', data],
      ]) {
        const { code, err, out } = await writ(system, home, ...args)
        assert.equal(code, 0, `${args.join(' ')}, round ${round}: ${out}${err}`)
      }
  } finally {
    going = false
    await Promise.all([...growing, changing, byLibrary])
  }
  assert.ok(sizes.length > 3 && sizes.at(-1)! > sizes[0]!, sizes.join())
  await system.check()
})
