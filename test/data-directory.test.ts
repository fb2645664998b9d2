// The folder that the server makes at its first start.
import assert from 'node:assert/strict'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { TestSystem } from './test-system.ts'

test('nobody but the owner of the data directory may look into it', async () => {
  await using system = await TestSystem.start({ process: true })
  assert.equal((await stat(path.join(system.folder, 'data'))).mode & 0o777, 0o700)
})

test('a data directory that cannot be made is said in a sentence, with the settings that name it', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-no-data-'))
  try {
    const file = path.join(folder, 'file')
    await writeFile(file, '')
    const started = TestSystem.start({ process: true, env: { WRIT_DATA_DIR: path.join(file, 'data') } })
    await assert.rejects(started, (error: Error) => {
      assert.match(error.message, /Writ cannot go on: .*ENOTDIR.* \(WRIT_DATA_DIR\) and .* \(LOG_DIR\)/)
      assert.doesNotMatch(error.message, /at openLogFiles/)
      return true
    })
  } finally {
    await rm(folder, { recursive: true })
  }
})
