// What a supervisor that knows one process does to `npm start`.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './servers/free-port.ts'

test('a signal to npm alone stops the server, too', { timeout: 180_000 }, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-npm-'))
  const port = await freePort()
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    PORT: String(port),
    WRIT_DATA_DIR: path.join(folder, 'data'),
    WRIT_ADMIN_PASSWORD: 'winter-copper-lantern',
  }
  // In a group of its own, so that whatever happens all of it can be ended.
  const npm = spawn('npm', ['start', '--ignore-scripts'], {
    cwd: path.resolve(import.meta.dirname, '..'),
    env,
    detached: true,
    stdio: 'ignore',
  })
  const answers = () =>
    fetch(`http://127.0.0.1:${port}/readyz`).then(
      (answer) => answer.ok,
      () => false,
    )
  try {
    while (!(await answers())) {
      assert.equal(npm.exitCode, null, 'npm start ended')
      await sleep(100)
    }
    npm.kill('SIGTERM')
    await once(npm, 'exit')
    while (await answers()) await sleep(50)
    // All of the group has ended: the server, and not only its door.
    while (isThere(npm.pid!)) await sleep(50)
  } finally {
    if (isThere(npm.pid!)) process.kill(-npm.pid!, 'SIGKILL')
    await rm(folder, { recursive: true })
  }
})

function isThere(group: number): boolean {
  try {
    return process.kill(-group, 0)
  } catch {
    return false
  }
}
