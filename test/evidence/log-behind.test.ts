/** While events wait for a log that cannot be written, what weighs much waits too, and all else goes on. */
import assert from 'node:assert/strict'
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import type { LogInfo } from '@writ/api'
import { backends } from '../backends.ts'
import { until } from '../test-system.ts'
import { ok } from '../verifies.ts'

for (const backend of backends())
  test(`what weighs much is refused while the log is behind by more than a minute (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start({ fakeClock: true })
    const { admin, employee } = system
    const open = async (title: string) => ok(await employee.post<{ number: number }>('/tickets', { title })).number
    const approve = (ticket: number) => admin.post<{ code?: string }>(`/tickets/${ticket}/approve`)
    const logCheck = async () =>
      ((await (await fetch(`${system.base}/readyz`)).json()) as { checks: { log: string } }).checks.log
    const pending = async () => ok(await admin.get<LogInfo>('/audit/log')).pending
    const first = await open('before')
    await system.settle()
    assert.equal((await approve(first)).status, 200)
    await system.settle()

    // As on a disk that is gone: where the log was there is none, and none can be made.
    const { folder } = ok(await admin.get<LogInfo>('/audit/log'))
    renameSync(folder, `${folder}.away`)
    writeFileSync(folder, '')
    const second = await open('while it is away')
    await until('the server says that the log cannot be written', async () => (await logCheck()) !== 'ok')
    const third = await open('and another')
    // Not at once: a log that is slow for a moment is in nobody's way.
    assert.equal((await approve(second)).status, 200)
    system.advance(61_000)
    const refused = await approve(third)
    assert.deepEqual([refused.status, refused.body.code], [503, 'LOG_BEHIND'])
    assert.equal(refused.headers.get('retry-after'), '10')
    await open('all else goes on')

    rmSync(folder)
    renameSync(`${folder}.away`, folder)
    await until('it is caught up', async () => (await pending()) === 0 && (await logCheck()) === 'ok')
    assert.equal((await approve(third)).status, 200)
    await system.settle()
    await system.check()
  })
