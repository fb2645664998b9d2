// Which tier holds scripts, told by a server on a host without bubblewrap.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { startGuarded } from './servers/guard.ts'

const main = path.join(import.meta.dirname, '../packages/server/src/main.js')

test('a host on which bubblewrap does not work: the server says so and what holds scripts instead, or does not start', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-tiers-'))
  await mkdir(path.join(folder, 'bin'))
  // What the second tier needs, and the shell that watches over the server.
  for (const name of ['prlimit', 'sleep', 'rm']) {
    const found = execFileSync('/bin/sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim()
    await symlink(found, path.join(folder, 'bin', name))
  }
  await mkdir(path.join(folder, 'scripts'))
  const server = await startGuarded({
    command: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', main],
    folder,
    env: {
      PATH: path.join(folder, 'bin'),
      HOST: '127.0.0.1',
      PORT: '0',
      WRIT_DATA_DIR: path.join(folder, 'data'),
      WRIT_SCRIPTS_DIR: path.join(folder, 'scripts'),
    },
  })
  try {
    const why = 'ubblewrap does not work (spawn bwrap ENOENT)'
    if (process.getuid?.() === 0)
      await server.saying(
        `Note: Scripts run as another user with an empty environment and limits, but they see the file system and the network. B${why}.`,
      )
    else await assert.rejects(server.saying('is ready at'), (error: Error) => error.message.includes(why))
  } finally {
    await server.stop()
    await rm(folder, { recursive: true })
  }
})
