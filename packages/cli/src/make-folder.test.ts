import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { makeOwnFolder } from './make-folder.ts'
import { openCommandLine } from './test-terminal.ts'

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'writ-folders-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

test('folders are made for their owner with those above them, and left alone where they are there', async (t) => {
  const folder = await temporaryFolder(t)
  await makeOwnFolder(join(folder, 'a/b/c'))
  await makeOwnFolder(join(folder, 'a/b/c'))
  for (const made of ['a', 'a/b', 'a/b/c']) assert.equal((await stat(join(folder, made))).mode & 0o777, 0o700)
})

test('a file in the way is named, and so is what was asked for', async (t) => {
  const file = join(await temporaryFolder(t), 'file')
  await writeFile(file, '')
  await assert.rejects(makeOwnFolder(file), {
    message: `The folder ${file} cannot be made: something else has this name`,
  })
  await assert.rejects(makeOwnFolder(join(file, 'a/b')), {
    message: `The folder ${join(file, 'a/b')} cannot be made: something on the way to it is no folder`,
    code: 'ENOTDIR',
  })
})

test('a name that no witness can have leaves no folder behind', async (t) => {
  const { writ, folder } = await openCommandLine(t)
  const refused = await writ(['witness', 'init', '--dir', join(folder, 'w'), '--name', 'two words'])
  assert.match(refused.err, /cannot be the name of a witness/)
  assert.equal((await readdir(folder)).includes('w'), false)
})

// In another process: what goes round in one call can be ended from outside only.
const { href: contexts } = new URL('contexts.ts', import.meta.url)
for (const [what, args] of [
  ['a witness', [join(import.meta.dirname, 'main.ts'), 'witness', 'init', '--dir', '/proc/writ/witness']],
  [
    'what a login leaves',
    ['--input-type=module', '-e', `await (await import('${contexts}')).saveContexts('/proc/writ/config', {})`],
  ],
] as const)
  test(`below /proc ${what} is refused with a sentence`, {
    skip: !existsSync('/proc/self') && 'no /proc',
  }, async () => {
    const made = promisify(execFile)(process.execPath, args, { timeout: 20_000 })
    await assert.rejects(made, (error: Error & { code?: unknown; stderr?: string }) => {
      assert.equal(error.code, 1)
      assert.match(error.stderr ?? '', /The folder \/proc\/writ\/\S+ cannot be made: nothing can be made there/)
      return true
    })
  })
