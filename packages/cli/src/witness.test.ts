import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeKey } from '../../tlog/test/memory-log.ts'
import { openCommandLine } from './test-terminal.ts'
import { openWitness } from './witness/witness-folder.ts'

test('a witness is made once; its key is for its owner, and its name is given once', async (t) => {
  const { writ, folder } = await openCommandLine(t)
  const dir = join(folder, 'w')
  const made = await writ(['witness', 'init', '--dir', dir, '--name', 'witness.example/w1', '-q'])
  assert.match(made.out, /^witness\.example\/w1\+[0-9a-f]{8}\+B/)
  assert.equal((await writ(['witness', 'init', '--dir', dir, '-q'])).out, made.out)
  assert.match((await writ(['witness', 'init', '--dir', dir, '--name', 'other'])).err, /\[WITNESS_NAMED\]/)
  assert.equal((await writ(['witness', 'init', '--dir', join(folder, 'x'), '--name', 'two words'])).code, 1)
  assert.equal((await stat(join(dir, 'witness.ed25519.pem'))).mode & 0o777, 0o600)
  assert.deepEqual((await readdir(dir)).sort(), ['name', 'state', 'witness.ed25519.pem'])
})

test('logs are added by their keys, each once, and nothing else is', async (t) => {
  const { writ, folder } = await openCommandLine(t)
  const dir = join(folder, 'w')
  await writ(['witness', 'init', '--dir', dir])
  const [one, two] = [makeKey('example.org/log'), makeKey('example.org/log')]
  const add = (vkey: string) => writ(['witness', 'add-log', '--dir', dir, vkey])
  assert.match((await add(one.vkey)).err, /Added/)
  assert.match((await add(one.vkey)).err, /Known already/)
  assert.match((await add(two.vkey)).err, /Added/)
  assert.match((await add(one.witnessVkey)).err, /key of a witness, not of a log/)
  assert.match((await add('nonsense')).err, /no verifier key.*"writ keys list".*\[LOG_KEY_INVALID\]/)
  const witness = await openWitness(dir)
  assert.deepEqual([...(await witness.loadLogs())], [['example.org/log', [one.vkey, two.vkey]]])
  witness.close()
})

test('a list of logs that somebody damaged is refused with the line that says nothing', async (t) => {
  const { writ, folder } = await openCommandLine(t)
  const dir = join(folder, 'w')
  await writ(['witness', 'init', '--dir', dir])
  await writeFile(join(dir, 'logs'), `log ${makeKey('example.org/log').vkey}\nlog example.org/other\n`)
  const { code, err } = await writ(['witness', 'serve', '--dir', dir, '--port', '0'])
  assert.equal(code, 1)
  assert.match(err, /\/w\/logs, line 2 holds no verifier key of a log: .*\[LOG_KEY_INVALID\]/)
})

test('a log is added to a witness only, and a witness has a folder of its own', async (t) => {
  const { writ, folder } = await openCommandLine(t)
  const { vkey } = makeKey('example.org/log')
  await mkdir(join(folder, 'other'))
  for (const dir of [join(folder, 'other'), join(folder, 'none')]) {
    const added = await writ(['witness', 'add-log', '--dir', dir, vkey])
    assert.equal(added.code, 1)
    assert.ok(added.err.includes(`There is no witness in ${dir}. Run "writ witness init`), added.err)
  }
  assert.deepEqual(await readdir(join(folder, 'other')), [])
  for (const args of [['init'], ['add-log', vkey], ['serve']]) {
    const refused = await writ(['witness', ...args, '--dir', ''])
    assert.equal(refused.code, 2)
    assert.match(refused.err, /names no folder/)
  }
})

test('one process serves a witness; a key that others read, a damaged state or no witness at all is refused', async (t) => {
  const { writ, folder } = await openCommandLine(t)
  const dir = join(folder, 'w')
  assert.match((await writ(['witness', 'serve', '--dir', dir])).err, /There is no witness in/)
  await writ(['witness', 'init', '--dir', dir])
  const first = await openWitness(dir)
  await assert.rejects(openWitness(dir), { code: 'WITNESS_BUSY', message: /Another process serves/ })
  await mkdir(join(dir, 'state'), { recursive: true })
  for (const name of await readdir(join(dir, 'state'))) await rm(join(dir, 'state', name))
  const digest = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from('example.org/log'))).toString('hex')
  await writeFile(join(dir, 'state', digest), 'half a note')
  await assert.rejects(first.lastOf('example.org/log'))
  first.close()
  await chmod(join(dir, 'witness.ed25519.pem'), 0o644)
  await assert.rejects(openWitness(dir), { code: 'WITNESS_KEY_OPEN', message: /can be read by others/ })
})
