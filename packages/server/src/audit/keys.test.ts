import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPublicKey, verify } from 'node:crypto'
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { allowedSigners, openKeys } from './keys.ts'

const folders: string[] = []
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true })
})

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'keys-'))
  folders.push(folder)
  return folder
}

const NOON = Date.UTC(2026, 10, 22, 12)
const LATER = NOON + 3_600_000

test('both keys are made once, for their owner alone, and survive a restart', async () => {
  const folder = await makeFolder()
  const first = await openKeys(folder, NOON)
  const again = await openKeys(folder, LATER)
  assert.equal(again.attestation.keyid, first.attestation.keyid)
  assert.equal(again.manifest.publicOpenSsh, first.manifest.publicOpenSsh)
  const secret = (await readdir(folder)).filter((name) => name.endsWith('.pem'))
  assert.equal(secret.length, 2)
  for (const name of secret) assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name)
  assert.deepEqual(
    again.list().map(({ purpose, valid_from, valid_until }) => ({ purpose, valid_from, valid_until })),
    [
      { purpose: 'attestation', valid_from: '2026-11-22T12:00:00.000Z', valid_until: null },
      { purpose: 'manifest', valid_from: '2026-11-22T12:00:00.000Z', valid_until: null },
    ],
  )
})

test('a key that another server rotated is in use here, too, at once', async () => {
  const folder = await makeFolder()
  const [here, there] = [await openKeys(folder, NOON), await openKeys(folder, NOON)]
  for (const purpose of ['attestation', 'manifest'] as const) {
    const before = here[purpose].keyid
    const { keyid } = await there.rotate(purpose, LATER)
    assert.notEqual(keyid, before)
    assert.equal(here[purpose].keyid, keyid)
    const signed = here[purpose].sign(Buffer.from('x'))
    const digest = purpose === 'attestation' ? 'sha256' : null
    assert.ok(verify(digest, Buffer.from('x'), createPublicKey(there[purpose].publicPem), signed))
  }
  assert.deepEqual(here.list(), there.list())
  assert.equal(here.list().length, 4)
  // What runs goes on with what it has when the folder goes away.
  await rm(join(folder, 'attestation.json'))
  assert.equal(here.attestation.keyid, there.attestation.keyid)
})

test('openssl verifies what the attestation key signs, and refuses one other byte', async () => {
  const folder = await makeFolder()
  const { attestation } = await openKeys(folder, NOON)
  const at = (name: string) => join(folder, name)
  await writeFile(at('pub.pem'), attestation.publicPem)
  await writeFile(at('bytes'), 'the statement')
  await writeFile(at('sig'), attestation.sign(Buffer.from('the statement')))
  const check = () =>
    execFileSync('openssl', ['dgst', '-sha256', '-verify', at('pub.pem'), '-signature', at('sig'), at('bytes')], {
      stdio: 'pipe',
    })
  assert.match(check().toString(), /Verified OK/)
  await writeFile(at('bytes'), 'the statemenT')
  assert.throws(check)
})

test('the manifest key is what ssh-keygen says it is, and its signatures are raw Ed25519', async () => {
  const folder = await makeFolder()
  const { manifest } = await openKeys(folder, NOON)
  await writeFile(join(folder, 'key.pub'), `${manifest.publicOpenSsh}\n`)
  const said = execFileSync('ssh-keygen', ['-l', '-f', join(folder, 'key.pub')]).toString()
  assert.equal(said.trim(), `256 ${manifest.fingerprint} writ-manifest (ED25519)`)
  const bytes = Buffer.from('the manifest')
  const signature = manifest.sign(bytes)
  assert.equal(signature.length, 64)
  assert.ok(verify(null, bytes, createPublicKey(manifest.publicPem), signature))
})

test('a rotated key signs from then on, the old public key stays listed, the old private key is gone', async () => {
  const folder = await makeFolder()
  const keys = await openKeys(folder, NOON)
  const old = { attestation: keys.attestation.keyid, manifest: keys.manifest.keyid }
  const made = await keys.rotate('attestation', LATER)
  assert.equal(keys.attestation.keyid, made.keyid)
  assert.notEqual(made.keyid, old.attestation)
  assert.equal(keys.manifest.keyid, old.manifest)
  assert.equal((await openKeys(folder, LATER)).attestation.keyid, made.keyid)
  assert.deepEqual(
    keys.list().map(({ keyid, valid_until }) => [keyid, valid_until]),
    [
      [old.attestation, '2026-11-22T13:00:00.000Z'],
      [made.keyid, null],
      [old.manifest, null],
    ],
  )
  assert.equal((await readdir(folder)).filter((name) => name.startsWith('attestation-')).length, 1)
  await keys.rotate('manifest', LATER)
  assert.equal(allowedSigners(keys.list()).trim().split('\n').length, 2)
})

test('two rotations at once come one after the other, and nothing is lost', async () => {
  const folder = await makeFolder()
  const keys = await openKeys(folder, NOON)
  await Promise.all([keys.rotate('manifest', LATER), keys.rotate('manifest', LATER)])
  const reopened = await openKeys(folder, LATER)
  assert.equal(reopened.list().filter((key) => key.purpose === 'manifest').length, 3)
  assert.equal(reopened.manifest.keyid, keys.manifest.keyid)
})

test('a key that another process made stays listed when this one makes the next', async () => {
  const folder = await makeFolder()
  const [one, another] = [await openKeys(folder, NOON), await openKeys(folder, NOON)]
  const asked = { request: 'a'.repeat(64), body: 'b'.repeat(64) }
  const made = await one.rotate('attestation', LATER, asked)
  const next = await another.rotate('attestation', LATER)
  const listed = another.list().filter((key) => key.purpose === 'attestation')
  assert.deepEqual(
    listed.map(({ keyid }) => keyid),
    [one.list()[0]!.keyid, made.keyid, next.keyid],
  )
  // Asked for again, wherever: it is the same key.
  const found = await another.rotated('attestation', (mark) => mark?.request === asked.request)
  assert.deepEqual([found?.record.keyid, found?.old], [made.keyid, one.list()[0]!.keyid])
})

const first = ['key-temp-synced', 'key-created', 'attestation-listed']
for (const step of first) {
  test(`a first start that is stopped after ${step} is completed by the next`, async () => {
    const folder = await makeFolder()
    await assert.rejects(openKeys(folder, NOON, stopAfter(step)), /stopped/)
    const keys = await openKeys(folder, LATER)
    assert.equal(keys.list().length, 2)
    assert.equal((await openKeys(folder, LATER)).attestation.keyid, keys.attestation.keyid)
  })
}

const rotation = {
  'key-temp-synced': 'old',
  'key-created': 'old',
  'manifest-list-temp-synced': 'old',
  'manifest-list-renamed': 'new',
  'manifest-list-directory-synced': 'new',
}
for (const [step, outcome] of Object.entries(rotation)) {
  test(`a rotation that is stopped after ${step} leaves the ${outcome} key in use`, async () => {
    const folder = await makeFolder()
    const before = (await openKeys(folder, NOON)).manifest.keyid
    const stopped = await openKeys(folder, NOON, stopAfter(step))
    await assert.rejects(stopped.rotate('manifest', LATER), /stopped/)
    const keys = await openKeys(folder, LATER)
    assert.equal(keys.manifest.keyid === before, outcome === 'old')
    const listed = keys.list().filter((key) => key.purpose === 'manifest')
    assert.equal(listed.length, outcome === 'old' ? 1 : 2)
    // What no list names may be about to be named by another process; whoever rotates next removes it.
    const files = async () => (await readdir(folder)).filter((name) => /^manifest-.*\.pem$/.test(name)).length
    assert.equal(await files(), step === 'key-created' || step === 'manifest-list-temp-synced' ? 2 : 1)
    const { keyid } = await keys.rotate('manifest', LATER)
    assert.equal(await files(), 1)
    assert.equal((await openKeys(folder, LATER)).manifest.keyid, keyid)
  })
}

test('a server that starts while another rotates a key leaves the new one alone', async () => {
  const folder = await makeFolder()
  const started: Promise<unknown>[] = []
  let rotating = false
  const keys = await openKeys(folder, NOON, (step) => {
    // Between key and list.
    if (rotating && step === 'key-created') started.push(openKeys(folder, LATER))
  })
  rotating = true
  const { keyid } = await keys.rotate('attestation', LATER)
  await Promise.all(started)
  assert.equal(started.length, 1)
  assert.equal((await openKeys(folder, LATER)).attestation.keyid, keyid)
})

test('a key that others can read, that is gone, or that is another one is refused', async () => {
  const folder = await makeFolder()
  await openKeys(folder, NOON)
  const name = (await readdir(folder)).find((one) => one.startsWith('attestation-'))!
  await chmod(join(folder, name), 0o640)
  await assert.rejects(openKeys(folder, NOON), { code: 'SIGNER_REFUSED', message: /can be read by others/ })
  await rm(join(folder, name))
  await assert.rejects(openKeys(folder, NOON), { code: 'SIGNER_REFUSED', message: /is gone/ })
  await writeFile(join(folder, 'manifest.json'), '{"v":1,"keys":[]}')
  await assert.rejects(openKeys(folder, NOON), { code: 'SIGNER_REFUSED' })
})

function stopAfter(step: string) {
  return (done: string) => {
    if (done === step) throw new Error('stopped')
  }
}
