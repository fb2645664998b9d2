import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { buildLog, makeEntries, makeKey } from '../../tlog/test/memory-log.ts'
import { openCommandLine } from './test-terminal.ts'

const quiet = { stdio: 'pipe' } as const

/** A time-stamping authority of the test's own: openssl behind a few lines of HTTP. */
async function startAuthority(
  t: TestContext,
  edit: (reply: Buffer) => Buffer = (reply) => reply,
  key: 'ec' | 'rsa' = 'ec',
) {
  const folder = await mkdtemp(join(tmpdir(), 'writ-tsa-'))
  t.after(() => rm(folder, { recursive: true }))
  const at = (name: string) => join(folder, name)
  await writeFile(
    at('tsa.cnf'),
    `
[req]
distinguished_name = dn
prompt = no
x509_extensions = ext
[dn]
CN = Time of the test
[ext]
basicConstraints = critical, CA:true
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = own
[own]
serial = ${at('serial')}
crypto_device = builtin
signer_cert = ${at('tsa.pem')}
signer_key = ${at('tsa.key')}
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
`,
  )
  const kind = { ec: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], rsa: ['-newkey', 'rsa:2048'] }[key]
  const request = ['req', '-x509', ...kind, '-nodes', '-days', '2']
  execFileSync(
    'openssl',
    [...request, '-config', at('tsa.cnf'), '-keyout', at('tsa.key'), '-out', at('tsa.pem')],
    quiet,
  )
  await writeFile(at('serial'), '01\n')
  const server = createServer(async (incoming, reply) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    await writeFile(at('query.tsq'), Buffer.concat(chunks))
    const stamp = ['ts', '-reply', '-config', at('tsa.cnf'), '-section', 'own', '-queryfile', at('query.tsq')]
    execFileSync('openssl', [...stamp, '-out', at('reply.tsr')], quiet)
    reply.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end(edit(await readFile(at('reply.tsr'))))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.after(() => new Promise((done) => server.close(done)))
  const address = server.address()
  return { url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/`, root: at('tsa.pem') }
}

test('a time stamp of a file is one that openssl verifies, and of another file one that it refuses', async (t) => {
  const tsa = await startAuthority(t)
  const { writ, folder } = await openCommandLine(t)
  const file = join(folder, 'evidence.zip')
  await writeFile(file, 'evidence')
  const done = await writ(['anchor', 'timestamp', '--tsa', tsa.url, file])
  assert.equal(done.code, 0, done.err)
  const verify = () =>
    execFileSync('openssl', ['ts', '-verify', '-in', `${file}.tsr`, '-data', file, '-CAfile', tsa.root], quiet)
  assert.match(verify().toString(), /Verification: OK/)
  assert.match(done.out, /Time +20\d\d-\d\d-\d\d \d\d:\d\d:\d\dZ\n.*Signed by +CN=Time of the test\n/)
  assert.match(done.err, /Whether that certificate is the authority's was not checked/)
  await writeFile(file, 'evidencf')
  assert.throws(verify)
  // Nothing is asked for a token that could not be kept.
  const again = await writ(['anchor', 'timestamp', '--tsa', 'http://127.0.0.1:1/', file])
  assert.match(again.err, /is there already/)
  const odd = await writ(['anchor', 'timestamp', '--tsa', tsa.url, file, '--to', join(folder, "it's")])
  assert.ok(odd.out.includes(`-in '${join(folder, "it'\\''s")}' -data ${file} `), odd.out)
})

test('a time stamp that was damaged on its way is not kept, whatever its key', async (t) => {
  const { writ, folder } = await openCommandLine(t)
  const file = join(folder, 'evidence.zip')
  await writeFile(file, 'evidence')
  const swap = (reply: Buffer, at: number) => Buffer.from(reply.map((byte, i) => (i === at ? byte ^ 1 : byte)))
  const damages: [string, (reply: Buffer) => Buffer, RegExp][] = [
    ['signature', (reply) => swap(reply, reply.length - 2), /signature is not valid/],
    // The last digit of the year, in the time that is signed.
    ['time', (reply) => swap(reply, reply.indexOf(Buffer.from([0x18, 0x0f])) + 5), /signature is not valid/],
    ['end', (reply) => reply.subarray(0, -1), /no time stamp/],
    ['tail', (reply) => Buffer.concat([reply, Buffer.from('x')]), /no time stamp/],
  ]
  for (const key of ['ec', 'rsa'] as const) {
    let edit = (reply: Buffer) => reply
    const tsa = await startAuthority(t, (reply) => edit(reply), key)
    const stamp = (to: string) => writ(['anchor', 'timestamp', '--tsa', tsa.url, file, '--to', join(folder, to)])
    const whole = await stamp(key)
    assert.match(whole.out, /Signed by +CN=Time of the test/, whole.err)
    for (const [name, damage, said] of damages) {
      edit = damage
      const { code, err } = await stamp(`${key}-${name}`)
      assert.deepEqual([code, said.test(err)], [1, true], `${key} ${name}: ${err}`)
      await assert.rejects(readFile(join(folder, `${key}-${name}`)), { code: 'ENOENT' })
    }
  }
})

test('an authority that refuses says why, and one that breaks off gave no answer', async (t) => {
  const { writ, folder } = await openCommandLine(t)
  const file = join(folder, 'evidence.zip')
  await writeFile(file, 'evidence')
  const said = Buffer.from('no stamps today')
  const text = Buffer.concat([Buffer.from([0x30, said.length + 2, 0x0c, said.length]), said])
  const status = Buffer.concat([Buffer.from([0x30, text.length + 3, 2, 1, 2]), text])
  const server = createServer((asked, reply) => {
    if (asked.url === '/refuses') return reply.end(Buffer.concat([Buffer.from([0x30, status.length]), status]))
    if (asked.url === '/moved' && asked.method === 'POST') return reply.writeHead(302, { location: '/elsewhere' }).end()
    if (asked.method !== 'POST') return reply.writeHead(405).end()
    reply.writeHead(200, { 'content-length': '5000' }).write('x')
    setTimeout(() => reply.destroy(), 50)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.after(() => new Promise((done) => server.close(done)))
  const address = server.address()
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  const stamp = async (path: string) => (await writ(['anchor', 'timestamp', '--tsa', url + path, file])).err
  assert.match(await stamp('/refuses'), /^writ: No time stamp from \S+: the authority refused: no stamps today\. /)
  assert.match(
    await stamp('/moved'),
    /^writ: 127\.0\.0\.1:\d+ answered 302: it is now at \/elsewhere\. Give that address/,
  )
  assert.match(await stamp('/breaks'), /^writ: No answer from 127\.0\.0\.1:\d+\. \[/)
})

test('an answer about other bytes, or none at all, is no time stamp and leaves no file', async (t) => {
  const { writ, folder, url } = await openCommandLine(t)
  const file = join(folder, 'evidence.zip')
  await writeFile(file, 'evidence')
  const digest = execFileSync('sha256sum', [file]).toString().slice(0, 64)
  const swapped = await startAuthority(t, (reply) => {
    const at = reply.indexOf(Buffer.from(digest, 'hex'))
    return Buffer.concat([reply.subarray(0, at), Buffer.alloc(32), reply.subarray(at + 32)])
  })
  // Of the same bytes, and granted: but what was asked now may have been asked at any time.
  let kept: Buffer | undefined
  const stale = await startAuthority(t, (reply) => {
    kept ??= reply
    return kept
  })
  assert.equal((await writ(['anchor', 'timestamp', '--tsa', stale.url, file, '--to', join(folder, 'first')])).code, 0)
  const cases = [
    [swapped.url, /about other bytes.*TIMESTAMP_REFUSED/],
    [stale.url, /to an earlier question.*TIMESTAMP_REFUSED/],
    [url, /TIMESTAMP_REFUSED/],
    ['http://127.0.0.1:1/', /No answer from 127\.0\.0\.1:1\. \[(?!TypeError)/],
  ] as const
  for (const [tsa, said] of cases) {
    const { code, err } = await writ(['anchor', 'timestamp', '--tsa', tsa, file])
    assert.equal(code, 1, tsa)
    assert.match(err, said)
  }
  assert.equal((await writ(['anchor', 'timestamp', '--tsa', 'ftp://x', file])).code, 2)
  await assert.rejects(readFile(`${file}.tsr`), { code: 'ENOENT' })
})

test('checkpoints are committed one after the other, and only what continues the last', async (t) => {
  const key = makeKey('writ.log/a')
  let files = await buildLog(makeEntries(300), key)
  const { writ, folder } = await openCommandLine(t, ({ url }) => {
    const path = url.match(/^\/audit\/log\/files\/(.*)$/)?.[1]
    if (path === undefined) return { json: { origin: key.name, vkey: key.vkey, size: 300, pending: 0 } }
    const bytes = files.get(path)
    return bytes ? { bytes } : { status: 404, json: { code: 'LOG_FILE_NOT_FOUND', status: 404, detail: 'no' } }
  })
  const repo = join(folder, 'repo')
  const git = (...args: string[]) => execFileSync('git', ['-C', repo, ...args], quiet).toString()
  execFileSync('git', ['init', '--quiet', repo])
  git('config', 'user.name', 'Auditor')
  git('config', 'user.email', 'auditor@example.com')
  const anchor = () => writ(['anchor', 'git', '--repo', repo, '-q'])
  const first = await anchor()
  assert.equal(first.code, 0, first.err)
  assert.equal((await anchor()).out, '')
  files = await buildLog(makeEntries(400), key)
  assert.equal((await anchor()).code, 0)
  assert.deepEqual(git('log', '--format=%s').trim().split('\n'), [
    'checkpoint: writ.log/a with 400 entries',
    'checkpoint: writ.log/a with 300 entries',
  ])
  files = await buildLog(makeEntries(500, 1), key)
  const rewritten = await anchor()
  assert.equal(rewritten.code, 5)
  assert.match(rewritten.err, /LOG_REWRITTEN/)
  await rm(join(repo, 'checkpoints'), { recursive: true })
  assert.match((await anchor()).err, /LOG_REWRITTEN/, 'also when the file is gone, the commit is not')
  assert.equal(git('rev-list', '--count', 'HEAD').trim(), '2')
  assert.match((await writ(['anchor', 'git', '--repo', folder])).err, /git rev-parse failed/)
})

test('a checkpoint whose commit failed is committed the next time', async (t) => {
  const key = makeKey('writ.log/a')
  const files = await buildLog(makeEntries(3), key)
  const { writ, folder } = await openCommandLine(t, ({ url }) => {
    const bytes = files.get(url.match(/^\/audit\/log\/files\/(.*)$/)?.[1] ?? '')
    return bytes ? { bytes } : { json: { origin: key.name, vkey: key.vkey, size: 3, pending: 0 } }
  })
  const repo = join(folder, 'repo')
  execFileSync('git', ['init', '--quiet', repo])
  execFileSync('git', ['-C', repo, 'config', 'user.name', 'Auditor'])
  const hook = join(repo, '.git/hooks/pre-commit')
  await writeFile(hook, '#!/bin/sh\necho not today >&2\nexit 1\n', { mode: 0o755 })
  execFileSync('git', ['-C', repo, 'config', 'user.email', 'auditor@example.com'])
  const anchor = () => writ(['anchor', 'git', '--repo', repo, '-q'])
  assert.match((await anchor()).err, /git commit failed in .*: not today/)
  assert.match((await anchor()).err, /not today/)
  await writeFile(hook, '#!/bin/sh\nexit 1\n')
  assert.match((await anchor()).err, /git commit failed in .*: it said nothing, as a hook may\. /)
  await rm(hook)
  const done = await anchor()
  assert.equal(done.code, 0, done.err)
  assert.match(done.out, /^[0-9a-f]{40}\n$/)
})
