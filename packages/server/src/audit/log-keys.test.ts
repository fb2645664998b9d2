import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createCompactRange, createTreeHasher, openCheckpoint, parseNote } from '@writ/tlog'
import { createLogKeys } from './log-keys.ts'
import { sha256, verifyEd25519 } from './node-crypto.ts'
import { createSigner } from './signer.ts'

const origin = 'example.org/log'
const folders: string[] = []
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true })
})

const NOON = Date.UTC(2026, 10, 22, 12)
const HOUR = 3_600_000
const { leaf } = createTreeHasher(sha256)

/** A signer of an empty log at a clock that stands at noon. */
async function open() {
  const folder = await mkdtemp(join(tmpdir(), 'log-keys-'))
  folders.push(folder)
  const keysDir = join(folder, 'keys')
  let now = NOON
  const reopen = () => createSigner({ keysDir, origin, stateFile: join(folder, 'state.json'), now: () => now })
  const signer = await reopen()
  const range = createCompactRange(sha256)
  range.append(leaf(Buffer.from('only entry')))
  const sign = async (by = signer) => {
    const note = await by.sign({ size: 1, root: range.root(), consistencyProof: [] })
    return { note, lines: parseNote(note).signatures.length }
  }
  const good = async (note: string, vkey: string) =>
    (await openCheckpoint(note, { vkeys: [vkey], hash: sha256, verify: verifyEd25519 })).ok
  const pems = async () => (await readdir(keysDir)).filter((name) => name.endsWith('.pem')).length
  const at = (ms: number) => {
    now = NOON + ms
  }
  return { keysDir, signer, reopen, sign, good, pems, at }
}

test('old and new key sign during the overlap, and after it the new one alone', async () => {
  const { signer, sign, good, pems, at } = await open()
  const { old, vkey, until } = await signer.keys.rotate(NOON, HOUR)
  assert.equal(old, signer.vkey)
  assert.equal(until, '2026-11-22T13:00:00.000Z')
  const during = await sign()
  assert.equal(during.lines, 2)
  assert.ok((await good(during.note, old)) && (await good(during.note, vkey)))
  await signer.keys.handedOver(0)
  at(HOUR)
  const afterwards = await sign()
  assert.equal(afterwards.lines, 1)
  assert.ok((await good(afterwards.note, vkey)) && !(await good(afterwards.note, old)))
  assert.equal(await pems(), 1)
  assert.deepEqual(
    (await signer.keys.list()).map((key) => key.vkey),
    [old, vkey],
  )
})

test('the old key signs on beyond the overlap until the handing over is in the log', async () => {
  const { signer, sign, at } = await open()
  await signer.keys.rotate(NOON, 0)
  at(24 * HOUR)
  assert.equal((await sign()).lines, 2)
  await signer.keys.handedOver(0)
  assert.equal((await sign()).lines, 1)
})

test('an overlap that is over is so for good, whatever the clock is set to', async () => {
  const { signer, reopen, sign, good, pems, at } = await open()
  const { old, vkey } = await signer.keys.rotate(NOON, HOUR)
  await signer.keys.handedOver(0)
  at(HOUR)
  await sign()
  assert.equal(await pems(), 1)
  at(HOUR - 5_000)
  for (const by of [signer, await reopen()]) {
    const { note, lines } = await sign(by)
    assert.deepEqual([lines, await good(note, vkey), await good(note, old)], [1, true, false])
  }
  await signer.keys.rotate(NOON + HOUR - 5_000, 0)
  assert.equal((await sign()).lines, 2)
})

test('another rotation waits for the end of the overlap', async () => {
  const { signer, reopen, sign, good } = await open()
  await signer.keys.rotate(NOON, HOUR)
  await assert.rejects(signer.keys.rotate(NOON, HOUR), { code: 'KEY_ROTATION_UNDERWAY' })
  await signer.keys.handedOver(0)
  const second = await signer.keys.rotate(NOON + HOUR, HOUR)
  const third = await reopen()
  assert.equal(third.vkey, second.vkey)
  assert.ok(await good((await sign(third)).note, second.vkey))
})

const steps = {
  'key-temp-synced': 'old',
  'key-created': 'old',
  'list-temp-synced': 'old',
  'list-renamed': 'both',
  'list-directory-synced': 'both',
}
for (const [step, outcome] of Object.entries(steps)) {
  test(`a rotation that is stopped after ${step} leaves ${outcome} signing, and can be done again`, async () => {
    const { keysDir, signer, reopen, sign, good } = await open()
    const stopped = createLogKeys(keysDir, origin, (done) => {
      if (done === step) throw new Error('stopped')
    })
    await assert.rejects(stopped.rotate(NOON, 0), /stopped/)
    const { note, lines } = await sign(await reopen())
    assert.equal(lines, outcome === 'old' ? 1 : 2)
    assert.ok(await good(note, signer.vkey))
    if (outcome === 'both') await signer.keys.handedOver(0)
    const { vkey } = await createLogKeys(keysDir, origin).rotate(NOON + 1, 0)
    assert.ok(await good((await sign()).note, vkey))
  })
}
