import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import type { Keys, LogInfo, RotatedKey } from '@writ/api'
import { createClient } from '@writ/sdk'
import { verifyOffline } from '@writ/server/ops'
import { loadKeyChanges, verifyWhileKeysChange } from '../../packages/cli/src/served-log.ts'
import { createLogKeys } from '../../packages/server/src/audit/log-keys.ts'
import { loadConfig } from '../../packages/server/src/config.ts'
import { backends } from '../backends.ts'
import { dispatcherOf, handlerOf } from '../tasks/dispatch.ts'
import { type TestSystem, until } from '../test-system.ts'
import { holds, ok, refused } from '../verifies.ts'
import { writ } from './command-line.ts'
import { enrolSigner, exportBundle, folderFiles, makeTicket, unpack, verifySh, verifyZipFile } from './scene.ts'

const folder = await mkdtemp(path.join(tmpdir(), 'writ-keys-'))
after(() => rm(folder, { recursive: true, force: true }))

const describe = async (sys: TestSystem) => ok(await sys.admin.get<LogInfo>('/audit/log'))
const keysOf = async (sys: TestSystem) => ok(await sys.admin.get<Keys>('/keys'))
const rotate = (sys: TestSystem, body: object) => sys.admin.post<RotatedKey>('/keys/rotate', body)
const signatures = async (sys: TestSystem) =>
  (await sys.admin.get<string>('/audit/log/files/checkpoint')).body.split('\n').filter((line) => line.startsWith('— '))
    .length

holds('a rotated log key is named by the log itself, and whoever trusted the old one follows', async (sys) => {
  const home = await mkdtemp(path.join(folder, 'home-'))
  ok(await sys.admin.post('/tickets', { title: 'Before' }))
  await sys.settle()
  const first = await writ(sys, home, 'audit', 'verify', '-o', 'json')
  assert.equal(first.code, 0, first.err)
  const before = await describe(sys)

  const done = ok(await rotate(sys, { purpose: 'log', project: 'default', overlap_hours: 0 }))
  assert.equal(done.old_key, before.vkey)
  await sys.settle()
  const info = await describe(sys)
  assert.deepEqual(info.vkeys, [done.old_key, done.new_key])

  // With an overlap of nothing the old key stopped when the handing over was in the log.
  ok(await sys.admin.post('/tickets', { title: 'After' }))
  await sys.settle()
  assert.equal(await signatures(sys), 1)
  const change = (await sys.admin.get<string>('/audit/log/files/key-changes/000.tlog-proof')).body
  assert.match(change, /^c2sp\.org\/tlog-proof@v1\nextra /)

  const second = await writ(sys, home, 'audit', 'verify', '-o', 'json')
  assert.equal(second.code, 0, second.err)
  assert.equal(JSON.parse(second.out).continues.size, JSON.parse(first.out).size)
  // An auditor who wrote the first key down and has nothing else.
  const auditor = await mkdtemp(path.join(folder, 'auditor-'))
  assert.equal((await writ(sys, auditor, 'audit', 'verify', '--vkey', done.old_key)).code, 0)
  const types = (await sys.admin.get<{ event_type: string }[]>('/audit/events?event_type=log.key_rotated')).body
  assert.equal(types.length, 1)
})

holds('whoever verifies a log while its key is replaced, and replaced again, follows both', async (sys) => {
  ok(await sys.admin.post('/tickets', { title: 'Before' }))
  await sys.settle()
  const { origin, vkey: trusted, folder: log } = await describe(sys)
  const client = createClient({ url: sys.base, token: await sys.admin.token() })
  const signal = AbortSignal.timeout(60_000)
  let rotations = 0
  const read = async (name: string) => {
    if (name === 'checkpoint' && rotations < 2) {
      rotations++
      ok(await rotate(sys, { purpose: 'log', project: 'default', overlap_hours: 0 }))
      await sys.settle()
      // With the handing over in the log, what comes next is signed with the new key alone.
      ok(await sys.admin.post('/tickets', { title: `After ${rotations}` }))
      await sys.settle()
    }
    return readFile(path.join(log, name)).then(
      (bytes) => new Uint8Array(bytes),
      () => null,
    )
  }
  const known = await loadKeyChanges(client, { origin, trusted }, signal, { read })
  const { verdict, keys } = await verifyWhileKeysChange(client, { origin, trusted, keys: known }, { signal, read })
  assert.ok(verdict.ok, JSON.stringify(verdict))
  assert.deepEqual([rotations, keys.vkeys], [2, (await describe(sys)).vkeys])
})

holds('of two rotations at once one is done', async (sys) => {
  const body = { purpose: 'log', project: 'default', overlap_hours: 1 }
  const answers = await Promise.all([rotate(sys, body), rotate(sys, body), rotate(sys, body)])
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409, 409])
  await sys.settle()
  assert.equal((await describe(sys)).vkeys.length, 2)
})

holds('during the overlap both keys sign, and another rotation has to wait', async (sys) => {
  ok(await rotate(sys, { purpose: 'log', project: 'default', overlap_hours: 1 }))
  await sys.settle()
  ok(await sys.admin.post('/tickets', { title: 'In between' }))
  await sys.settle()
  assert.equal(await signatures(sys), 2)
  refused(await rotate(sys, { purpose: 'log', project: 'default' }), 409, 'KEY_ROTATION_UNDERWAY')
  const { logs } = await keysOf(sys)
  assert.notEqual(logs.find((log) => log.project === 'default')!.overlap_until, null)
  refused(await rotate(sys, { purpose: 'log', project: 'nowhere' }), 404, 'PROJECT_NOT_FOUND')
  assert.equal((await rotate(sys, { purpose: 'manifest', project: 'default' })).status, 200)
})

const [sqlite] = backends()

test('a rotation that was stopped before the logs were told is told at the next start', async () => {
  await using sys = await sqlite!.start()
  const { origin, vkey } = await describe(sys)
  await sys.stop()
  const { vkey: made } = await createLogKeys(path.join(sys.folder, 'data/keys'), origin).rotate(Date.now(), 0)
  await sys.restart()
  await sys.settle()
  assert.deepEqual((await describe(sys)).vkeys, [vkey, made])
  await sys.settle()
  assert.match((await sys.admin.get<string>('/audit/log/files/key-changes/000.tlog-proof')).body, /index \d+/)
  await sys.check()
})

test('keys that are older than their log are refused at the start', async () => {
  await using sys = await sqlite!.start()
  ok(await rotate(sys, { purpose: 'log', project: 'default', overlap_hours: 1 }))
  await sys.settle()
  await sys.stop()
  const keys = path.join(sys.folder, 'data/keys')
  for (const name of (await readdir(keys)).filter((one) => one.endsWith('.keys.json'))) await rm(path.join(keys, name))
  await assert.rejects(sys.restart({ process: true }), /older than its log/)
})

test('the instance log and the offline verification follow a rotation too', async () => {
  await using sys = await sqlite!.start()
  ok(await rotate(sys, { purpose: 'log', overlap_hours: 0 }))
  ok(await sys.admin.post('/tickets', { title: 'A ticket' }))
  await sys.settle()
  await sys.stop()
  const env = { WRIT_DATA_DIR: path.join(sys.folder, 'data') }
  const report = await verifyOffline({ config: loadConfig({ argv: [], env, cwd: sys.folder }).config })
  assert.deepEqual(
    report.reports.map(({ project, ok: good, reason }) => ({ project, good, reason })),
    [
      { project: '_instance', good: true, reason: null },
      { project: 'default', good: true, reason: null },
    ],
  )
  await sys.restart()
})

test('writ keys lists, rotates and exports what an auditor takes along', async () => {
  await using sys = await sqlite!.start()
  const home = await mkdtemp(path.join(folder, 'home-'))
  const listed = await writ(sys, home, 'keys', 'list')
  assert.equal(listed.code, 0, listed.err)
  assert.match(listed.out, /log of the instance[\s\S]*log of default[\s\S]*attestations[\s\S]*manifests/)
  const old = (await keysOf(sys)).signing.find((key) => key.purpose === 'attestation')!.keyid
  const rotated = await writ(sys, home, 'keys', 'rotate', 'attestation', '-o', 'json')
  assert.equal(JSON.parse(rotated.out).old_key, old)
  const to = path.join(home, 'public')
  assert.equal((await writ(sys, home, 'keys', 'export', '--to', to)).code, 0)
  const names = (await readdir(to)).sort()
  assert.equal(names.filter((name) => name.startsWith('attestation-')).length, 2)
  for (const name of names.filter((one) => one.endsWith('.pem')))
    execFileSync('openssl', ['pkey', '-pubin', '-noout', '-in', path.join(to, name)])
  const signer = (await readFile(path.join(to, 'allowed_signers'), 'utf8')).trim().split(' ')
  assert.equal(signer[0], 'writ-manifest')
  await writeFile(path.join(home, 'k.pub'), `${signer.slice(1).join(' ')}\n`)
  execFileSync('ssh-keygen', ['-l', '-f', path.join(home, 'k.pub')])
  // Every key that came into use stands in the log of the instance.
  await sys.settle()
  await until('the instance log has its day file', async () => {
    const day = path.join(sys.folder, 'data/audit/_instance')
    const files = (await readdir(day)).filter((name) => name.endsWith('.jsonl'))
    const text = (await Promise.all(files.map((name) => readFile(path.join(day, name), 'utf8')))).join('')
    return text.split('"key.added"').length - 1 === 3
  })
})

test('a bundle takes those keys of attestations along with which something in it was signed', async () => {
  await using sys = await sqlite!.start({ testHandlers: [handlerOf('test.echo', async () => 'said')] })
  const keys = [(await keysOf(sys)).signing.find(({ purpose }) => purpose === 'attestation')!.keyid]
  const next = async () => keys.push(ok(await rotate(sys, { purpose: 'attestation' })).new_key)
  const named = async (name: string, body: object) => {
    const zip = path.join(sys.folder, `${name}.zip`)
    await exportBundle(sys, zip, body)
    const report = await verifyZipFile(zip)
    assert.equal(report.fault, undefined, JSON.stringify(report.fault))
    const to = path.join(sys.folder, name)
    await unpack(zip, to)
    const script = await verifySh(to)
    assert.deepEqual([script.code, script.err], [0, ''])
    const { names } = await folderFiles(to)
    return names.flatMap((one) => /^keys\/attestation-(\w+)\.pem$/.exec(one)?.[1] ?? [])
  }
  ok(await sys.employee.post('/tickets', { title: 'of which nothing is attested' }))
  assert.deepEqual(await named('nothing', { subject: 'ticket', id: 1 }), [])
  // The key of the person who approves is attested with the first, the approval and the runs with the third.
  const signer = await enrolSigner(sys)
  await next()
  await next()
  const ticket = await makeTicket(sys, signer)
  await next()
  const both = [keys[0], keys[2]].sort()
  assert.deepEqual((await named('ticket', { subject: 'ticket', id: ticket.number })).sort(), both)
  // What follows from a task's journal is signed now.
  const { id, number, username } = sys.admin
  const by = await dispatcherOf(sys.app, { id, number, username, role: 'admin' })
  const task = await by.settled((await by.dispatch('test.echo', {})).id)
  assert.deepEqual(await named('task', { subject: 'run', id: task.number }), [keys[3]])
})
