import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { buildLog, makeEntries, makeKey, sha256 } from '../../tlog/test/memory-log.ts'
import { openCommandLine } from './test-terminal.ts'
import { serveWitness } from './witness/serve-witness.ts'
import { openWitness } from './witness/witness-folder.ts'

test('a witness is made once; its key is for its owner, and its name is given once', async (t) => {
  const { writ, folder } = await openCommandLine(t)
  const dir = join(folder, 'w')
  const made = await writ(['witness', 'init', '--dir', dir, '--name', 'witness.example/w1', '-q'])
  assert.match(made.out, /^witness\.example\/w1\+[0-9a-f]{8}\+B/)
  assert.equal((await writ(['witness', 'init', '--dir', dir, '-q'])).out, made.out)
  assert.match((await writ(['witness', 'init', '--dir', dir, '--name', 'other'])).err, /\[WITNESS_NAMED\]/)
  assert.equal((await writ(['witness', 'init', '--dir', join(folder, 'x'), '--name', 'two words'])).code, 1)
  // Two lines into one policy: each has a name of its own.
  const second = await writ(['witness', 'init', '--dir', join(folder, 'second'), '--name', 'witness.example/w2'])
  assert.match(second.out, /Policy line {3}witness w2 witness\.example\/w2\+/)
  assert.equal((await stat(join(dir, 'witness.ed25519.pem'))).mode & 0o777, 0o600)
  assert.deepEqual((await readdir(dir)).sort(), ['name', 'state', 'witness.ed25519.pem'])
})

test('a witness that is asked to stop answers what it was asked, gives its folder back and exits with 0', async (t) => {
  const { writ, folder } = await openCommandLine(t)
  const dir = join(folder, 'w')
  await writ(['witness', 'init', '--dir', dir])
  const main = join(import.meta.dirname, 'main.ts')
  const options = ['--disable-warning=ExperimentalWarning', main, 'witness', 'serve', '--dir', dir, '--port', '0']
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const child = spawn(process.execPath, options, { stdio: ['ignore', 'pipe', 'pipe'] })
    t.after(() => child.kill('SIGKILL'))
    const errors = text(child.stderr)
    const ended = once(child, 'exit')
    const ready = await new Promise<string>((resolve) => {
      let said = ''
      child.stdout.on('data', (chunk) => {
        said += String(chunk)
        if (said.includes('\n')) resolve(said)
      })
    })
    // The witness has this request when it asks for its body, and is told to stop before that comes.
    const url = `${/http:\S+/.exec(ready)![0]}/add-checkpoint`
    const asked = request(url, { method: 'POST', headers: { expect: '100-continue', connection: 'close' } })
    const answered = once(asked, 'response') as Promise<[IncomingMessage]>
    asked.flushHeaders()
    await once(asked, 'continue')
    child.kill(signal)
    asked.end('old times')
    const [answer] = await answered
    answer.resume()
    assert.equal(answer.statusCode, 400)
    assert.deepEqual(await ended, [0, null], `${signal}: ${await errors}`)
    ;(await openWitness(dir)).close()
  }
})

test('a witness that is asked to stop does not wait for whoever never ends a request, and serves others beside them', async (t) => {
  const { writ, folder } = await openCommandLine(t)
  const dir = join(folder, 'w')
  await writ(['witness', 'init', '--dir', dir])
  const witness = await openWitness(dir)
  t.after(() => witness.close())
  const served = await serveWitness(witness, { host: '127.0.0.1', port: 0, now: () => new Date(), say: () => {} })
  const slow: Promise<unknown>[] = []
  for (let i = 0; i < 50; i++) {
    const socket = connect(served.port, '127.0.0.1')
    socket.on('error', () => {})
    slow.push(once(socket, 'close'))
    await once(socket, 'connect')
    socket.write('POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: 500\r\n\r\nold')
  }
  const answer = await fetch(`http://127.0.0.1:${served.port}/`)
  assert.equal((await answer.text()).trim(), witness.vkey)
  await served.close()
  await Promise.all(slow)
})

test('a state that was damaged is named, and is neither signed over nor in the way of other logs', async (t) => {
  const { writ, folder } = await openCommandLine(t)
  const dir = join(folder, 'w')
  await writ(['witness', 'init', '--dir', dir])
  const keys = ['example.org/one', 'example.org/two'].map(makeKey)
  for (const { vkey } of keys) await writ(['witness', 'add-log', '--dir', dir, vkey])
  const witness = await openWitness(dir)
  t.after(() => witness.close())
  const said: string[] = []
  const say = (line: string) => said.push(line)
  const served = await serveWitness(witness, { host: '127.0.0.1', port: 0, now: () => new Date(), say })
  t.after(served.close)
  const submit = async (key: (typeof keys)[number]) => {
    const note = (await buildLog(makeEntries(5), key)).get('checkpoint')!
    const body = `old 0\n\n${Buffer.from(note)}`
    return (await fetch(`http://127.0.0.1:${served.port}/add-checkpoint`, { method: 'POST', body })).status
  }
  const state = join(dir, 'state', Buffer.from(sha256(Buffer.from('example.org/one'))).toString('hex'))
  assert.equal(await submit(keys[0]!), 200)
  const sound = await readFile(state)
  for (const bytes of [sound.subarray(0, 30), Buffer.alloc(0)]) {
    await writeFile(state, bytes)
    assert.equal(await submit(keys[0]!), 500)
    assert.ok(said.at(-1)?.startsWith(`500 the state ${state} of example.org/one is damaged: `), said.at(-1))
    assert.deepEqual(await readFile(state), bytes)
  }
  assert.equal(await submit(keys[1]!), 200)
  await writeFile(state, sound)
  assert.equal(await submit(keys[0]!), 409)
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
