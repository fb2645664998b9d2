// The way of the command line, with the real ssh-keygen: a key is enrolled, a ticket approved with it, evidence exported
// and verified.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, copyFile, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import type { Run, Ticket } from '@writ/api'
import { type Person, TestSystem } from '../test-system.ts'
import { makeSshKey } from './ssh-key.ts'

const main = path.join(import.meta.dirname, '../../packages/cli/src/main.ts')

test('enrol, approve, export, verify', async () => {
  await using system = await TestSystem.start()
  const second = await system.hire('second', 'admin')
  const key = await makeSshKey(system.folder, 'mine')
  const other = await makeSshKey(system.folder, 'other', 'ecdsa')
  await system.employee.post<Ticket>('/tickets', { title: 'Replace the main switch' })

  async function writ(person: Person | null, ...args: string[]) {
    const env = {
      PATH: process.env.PATH,
      HOME: system.folder,
      ...(person ? { WRIT_URL: system.base, WRIT_TOKEN: await person.token() } : {}),
    }
    return promisify(execFile)(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], {
      env,
      cwd: system.folder,
    }).then(
      ({ stdout, stderr }) => ({ code: 0, out: stdout, err: stderr }),
      (error: { code: number; stdout: string; stderr: string }) => ({
        code: error.code,
        out: error.stdout,
        err: error.stderr,
      }),
    )
  }

  const first = await writ(second, 'signing-key', 'enrol', '--ssh-key', key.file)
  assert.match(first.out, /State +enrolled \(the first of this project: bootstrap\)/, first.err)
  const next = await writ(system.admin, 'signing-key', 'enrol', '--ssh-key', other.file)
  assert.match(next.err, /Another admin runs "writ signing-key approve/)

  // Before a passphrase would be asked for: there is nothing here that could sign.
  await copyFile(`${other.file}.pub`, path.join(system.folder, 'alone.pub'))
  const twice = await writ(system.admin, 'signing-key', 'enrol', '--ssh-key', path.join(system.folder, 'alone.pub'))
  assert.match(
    twice.err,
    /^writ: The key SHA256:\S+ of admin is proposed in this project already\. Another admin runs /,
  )

  const early = await writ(system.admin, 'approve', 'ticket', '1', '--ssh-key', other.file)
  assert.equal(early.code, 2)
  assert.match(
    early.err,
    /The key SHA256:\S+ is proposed, and not enrolled yet\. Another admin runs "writ signing-key approve \S+"/,
  )
  const { id } = (await system.admin.get<{ id: string; state: string }[]>('/signing-keys')).body.find(
    (one) => one.state === 'proposed',
  )!
  assert.equal((await writ(second, 'signing-key', 'reject', id)).code, 0)
  // Of a key that will not do nothing is signed: it is gone, and would be asked for.
  await rm(other.file)
  const rejected = await writ(system.admin, 'approve', 'ticket', '1', '--ssh-key', `${other.file}.pub`)
  assert.match(rejected.err, /^writ: The key SHA256:\S+ was rejected at \S+ \S+Z\. Sign with another; /)
  const unknown = await makeSshKey(system.folder, 'unknown')
  const stranger = await writ(second, 'approve', 'ticket', '1', '--ssh-key', unknown.file)
  assert.match(stranger.err, /No enrolled signing key has the fingerprint SHA256:/)
  // Neither is asked of somebody else's key, whose passphrase one has not.
  const notMine = await writ(system.admin, 'approve', 'ticket', '1', '--ssh-key', `${key.file}.pub`)
  assert.match(
    notMine.err,
    /^writ: The key SHA256:\S+ is that of second\. What you approve you sign with a key of your /,
  )

  const publicHalf = await readFile(`${key.file}.pub`)
  await rm(`${key.file}.pub`)
  const half = await writ(second, 'approve', 'ticket', '1', '--ssh-key', key.file)
  assert.deepEqual(
    [half.code, half.err.includes(`"ssh-keygen -y -f ${key.file} > ${key.file}.pub"`)],
    [2, true],
    half.err,
  )
  await writeFile(`${key.file}.pub`, publicHalf)
  const toSign = async (file: string) => (await writ(second, 'approve', 'ticket', '1', '--ssh-key', file)).err
  await writeFile(path.join(system.folder, 'away.pub'), publicHalf)
  assert.match(await toSign('away.pub'), /No agent that SSH_AUTH_SOCK names holds this key: load it with "ssh-add"/)
  await chmod(key.file, 0o644)
  assert.match(await toSign(key.file), /Permissions 0644 for .* are too open\. "chmod 600 /)
  await chmod(key.file, 0o600)
  await promisify(execFile)('ssh-keygen', ['-q', '-p', '-N', 'long enough', '-f', key.file])
  assert.match(await toSign(key.file), /incorrect passphrase.*Try again with the passphrase .* "ssh-add /)
  await promisify(execFile)('ssh-keygen', ['-q', '-p', '-P', 'long enough', '-N', '', '-f', key.file])

  const approved = await writ(second, 'approve', '--ssh-key', key.file, 'ticket', '1')
  assert.match(approved.out, /Status +approved/, approved.err)

  const exported = await writ(second, 'evidence', 'export', 'ticket', '1', '--to', 'e.zip')
  assert.match(exported.out, /Next +writ verify e\.zip/, exported.err)
  const again = await writ(second, 'evidence', 'export', 'ticket', '1', '--to', 'e.zip')
  assert.deepEqual([again.code, /e\.zip exists already\. Choose another name/.test(again.err)], [1, true], again.err)
  const exports = await system.admin.get('/audit/events?event_type=evidence.exported')
  assert.equal(exports.headers.get('x-total-count'), '1', 'what was not saved was not taken')
  // No server is named here.
  const verified = await writ(null, 'verify', 'e.zip')
  assert.match(verified.out, /signed with their SSH key/, verified.err)
  const fingerprint = /manifest key: (SHA256:\S+)/.exec(verified.out)![1]!
  assert.equal((await writ(null, 'verify', 'e.zip', '--fingerprint', fingerprint)).code, 0)
  const wrong = await writ(null, 'verify', 'e.zip', '--fingerprint', `SHA256:${'A'.repeat(43)}`)
  assert.deepEqual([wrong.code, /\[MANIFEST_KEY\]/.test(wrong.err)], [5, true])
  const typo = await writ(null, 'verify', 'e.zip', '--fingerprint', fingerprint.slice(0, -1))
  assert.deepEqual([typo.code, typo.err.includes('is no fingerprint')], [2, true], typo.err)
  const cut = await writ(null, 'verify', 'e.zip', '--vkey', 'writ.log/x+00000000+AA==')
  assert.deepEqual([cut.code, cut.err.includes('is no verifier key')], [2, true], cut.err)
  const none = await writ(null, 'verify', 'mine.pub')
  assert.deepEqual([none.code, /\[BUNDLE_MALFORMED\]/.test(none.err)], [5, true])
  const zip = await readFile(path.join(system.folder, 'e.zip'))
  const at = zip.indexOf('README.txt') + 40
  await writeFile(path.join(system.folder, 'bad.zip'), zip.fill(0xff, at, at + 40))
  const bad = await writ(null, 'verify', 'bad.zip')
  assert.equal(bad.code, 5)
  assert.match(bad.err, /the archive is damaged at README\.txt/)
  const folder = await writ(null, 'verify', '.')
  assert.deepEqual([folder.code, /^writ: \. is a folder\. Give the zip itself/.test(folder.err)], [2, true], folder.err)
  const run = (
    await system.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: 1, script_id: 'proof.file_hash' })
  ).body
  await writeFile(path.join(system.folder, 'switch.cfg'), `aws_key = AKIA${'ABCDEFGH23456789'}\n`)
  const uploaded = await writ(system.employee, 'artifact', 'upload', 'switch.cfg', '--run', String(run.number))
  assert.equal(uploaded.code, 0, uploaded.err)
  const without = await writ(second, 'evidence', 'export', 'ticket', '1', '--to', 'without.zip')
  assert.match(
    without.out,
    /Left out +artifact 1: secrets were found in it; --include-flagged takes it along/,
    without.err,
  )
  const along = await writ(
    second,
    'evidence',
    'export',
    'ticket',
    '1',
    '--to',
    'with.zip',
    '--include-flagged',
    '-o',
    'json',
  )
  assert.deepEqual(JSON.parse(along.out).left_out, [])
  const denied = await writ(system.employee, 'evidence', 'export', 'ticket', '1', '--to', 'f.zip')
  assert.equal(denied.code, 3)
})
