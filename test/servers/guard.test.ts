import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { removeFolder, startGuarded } from './guard.ts'

const guard = path.join(import.meta.dirname, 'guard.ts')

/** Waits for something that another process does and cannot announce. */
async function until(claim: () => boolean): Promise<void> {
  for (let tries = 0; !claim(); tries++) {
    assert.ok(tries < 3_000, 'never came true')
    await new Promise((later) => setTimeout(later, 10))
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('a server and its folder do not outlive a process that is killed', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-guard-'))
  const script = `
    const { startGuarded } = await import(${JSON.stringify(guard)})
    const server = await startGuarded({ command: 'sleep', args: ['1000'], folder: ${JSON.stringify(folder)} })
    console.log(server.pid)
    setInterval(() => {}, 1000)`
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [text] = await once(parent.stdout, 'data')
  const pid = Number(String(text))
  assert.equal(isAlive(pid), true)
  parent.kill('SIGKILL')
  await until(() => !isAlive(pid) && !existsSync(folder))
})

test('stop ends the server and keeps its folder', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-guard-'))
  const server = await startGuarded({ command: 'sh', args: ['-c', 'echo ready; exec sleep 1000'], folder })
  await server.saying('ready')
  await server.stop()
  assert.equal(isAlive(server.pid), false)
  assert.equal(existsSync(folder), true)
  removeFolder(folder)
})

test('a server that ends by itself says why', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-guard-'))
  const server = await startGuarded({ command: 'sh', args: ['-c', 'echo no such luck >&2; exit 3'], folder })
  await assert.rejects(server.failed, /no such luck/)
  await server.stop()
  removeFolder(folder)
})
