import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { primitives } from '../test/bundle.ts'
import { formatSshKey, parseSshKey, parseSshSignature, sshFingerprint, toUtf8, verifySshSignature } from './index.ts'

const folder = mkdtempSync(join(tmpdir(), 'writ-sshsig-'))
after(() => rmSync(folder, { recursive: true }))
const keygen = (...args: string[]) =>
  execFileSync('ssh-keygen', args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString()
const message = join(folder, 'message')
writeFileSync(message, 'one statement\n')

for (const [type, bits] of [['ed25519'], ['ecdsa', '256']] as const) {
  const file = join(folder, type)
  keygen('-q', '-t', type, ...(bits ? ['-b', bits] : []), '-N', '', '-f', file)
  const line = readFileSync(`${file}.pub`, 'utf8')

  test(`a public key of ssh-keygen is read and written, with its fingerprint (${type})`, () => {
    const spki = parseSshKey(line)
    assert.equal(formatSshKey(spki), line.split(' ').slice(0, 2).join(' '))
    assert.equal(sshFingerprint(spki, primitives.sha256), keygen('-l', '-f', `${file}.pub`).split(' ')[1])
  })

  for (const hash of ['sha256', 'sha512']) {
    test(`a signature of ssh-keygen verifies, and no changed one (${type}, ${hash})`, async () => {
      rmSync(`${message}.sig`, { force: true })
      keygen('-q', '-Y', 'sign', '-f', file, '-n', 'writ-approval', '-O', `hashalg=${hash}`, message)
      const text = readFileSync(`${message}.sig`, 'utf8')
      const signed = parseSshSignature(text)
      assert.deepEqual(signed.spki, parseSshKey(line))
      const verify = (bytes: string, namespace = 'writ-approval', one = signed) =>
        verifySshSignature(one, toUtf8(bytes), namespace, primitives)
      assert.equal(await verify('one statement\n'), true)
      assert.equal(await verify('two statements\n'), false)
      assert.equal(await verify('one statement\n', 'file'), false)
      const bent = signed.signature.slice()
      bent[bent.length - 1]! ^= 1
      assert.equal(await verify('one statement\n', 'writ-approval', { ...signed, signature: bent }), false)
      // One text for one signature: another line break is another text.
      assert.throws(() => parseSshSignature(text.replace('\n', '\r\n')))
      assert.throws(() => parseSshSignature(`${text}\n`))
    })
  }
}

test('keys of other types are refused by name', () => {
  const file = join(folder, 'rsa')
  keygen('-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', file)
  assert.throws(
    () => parseSshKey(readFileSync(`${file}.pub`, 'utf8')),
    /of type ssh-rsa is not supported: use ed25519 or ecdsa with 256 bits/,
  )
  assert.throws(() => parseSshKey('ssh-ed25519 AAAA'), /./)
})
