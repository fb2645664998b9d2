import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { makeFolder } from './make-folder.ts'

test('folders are made with those above them, and left alone where they are there', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-folders-'))
  try {
    const deep = path.join(folder, 'a/b/c')
    makeFolder(deep, 0o700)
    makeFolder(deep, 0o750)
    for (const made of ['a', 'a/b', 'a/b/c']) assert.equal((await stat(path.join(folder, made))).mode & 0o777, 0o700)
    await writeFile(path.join(folder, 'file'), '')
    assert.throws(() => makeFolder(path.join(folder, 'file'), 0o700), { code: 'EEXIST' })
    assert.throws(() => makeFolder(path.join(folder, 'file/a'), 0o700), { code: 'ENOTDIR' })
  } finally {
    await rm(folder, { recursive: true })
  }
})

// In another process: what goes round in one call can be ended from outside only.
test('below /proc nothing can be made, and it is said', { skip: !existsSync('/proc/self') && 'no /proc' }, async () => {
  const place = JSON.stringify(new URL('make-folder.ts', import.meta.url).href)
  const program = `import { makeFolder } from ${place}; makeFolder('/proc/writ/data', 0o700)`
  const made = promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { timeout: 20_000 })
  await assert.rejects(made, (error: Error & { code?: unknown; stderr?: string }) => {
    assert.equal(error.code, 1)
    assert.match(error.stderr ?? '', /ENOENT.*'\/proc\/writ/)
    return true
  })
})
