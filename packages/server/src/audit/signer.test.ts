import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createCompactRange, createTreeHasher, openCheckpoint, proveConsistency, verifyConsistency } from '@writ/tlog'
import type { AfterStep } from './durable-file.ts'
import { sha256, verifyEd25519 } from './node-crypto.ts'
import { createSigner } from './signer.ts'

const origin = 'example.org/log'
const { leaf } = createTreeHasher(sha256)
const folders: string[] = []
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true })
})

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'signer-'))
  folders.push(folder)
  return folder
}

const keyName = 'example.org%2Flog.ed25519.pem'
const open = (folder: string, afterStep?: AfterStep) =>
  createSigner({ keysDir: join(folder, 'keys'), origin, stateFile: join(folder, 'state.json'), after: afterStep })

/** A tree of numbered entries below 256; `twist` makes another history from that index on. */
function tree(size: number, twist = Number.POSITIVE_INFINITY) {
  const leaves = Array.from({ length: size }, (_, i) => leaf(Buffer.from(i < twist ? `${i}` : `other ${i}`)))
  const range = createCompactRange(sha256)
  for (const one of leaves) range.append(one)
  const readTile = async () => Buffer.concat(leaves)
  const proof = (from: number) => proveConsistency({ from, to: size, readTile, hash: sha256 })
  return { size, root: range.root(), proof }
}

async function request(size: number, from: number, twist?: number) {
  const { root, proof } = tree(size, twist)
  return { size, root, consistencyProof: await proof(from) }
}

test('a signed state is a checkpoint that its vkey opens', async () => {
  const signer = await open(await makeFolder())
  const note = await signer.sign(await request(10, 0))
  const opened = await openCheckpoint(note, { vkeys: [signer.vkey], hash: sha256, verify: verifyEd25519 })
  assert.ok(opened.ok)
  assert.equal(opened.checkpoint.origin, origin)
  assert.equal(opened.checkpoint.size, 10)
  assert.deepEqual(await signer.last(), { size: 10, root: new Uint8Array(tree(10).root) })
})

test('the key is for its owner alone and survives a restart; the vkey lies beside it', async () => {
  const folder = await makeFolder()
  const first = await open(folder)
  assert.equal((await stat(join(folder, 'keys', keyName))).mode & 0o777, 0o600)
  assert.equal((await stat(join(folder, 'keys'))).mode & 0o777, 0o700)
  assert.equal(await readFile(join(folder, 'keys', 'example.org%2Flog.vkey'), 'utf8'), `${first.vkey}\n`)
  assert.equal((await open(folder)).vkey, first.vkey)
  assert.deepEqual((await readdir(join(folder, 'keys'))).sort(), [keyName, 'example.org%2Flog.vkey'])
})

test('two signers on their first start agree on one key', async () => {
  const folder = await makeFolder()
  const [one, two] = [await open(folder), await open(folder)]
  assert.equal(one.vkey, two.vkey)
})

test('the same state is signed again with the same bytes, also after a restart', async () => {
  const folder = await makeFolder()
  const first = await (await open(folder)).sign(await request(10, 0))
  const again = await (await open(folder)).sign({ ...(await request(10, 0)), consistencyProof: [] })
  assert.equal(again, first)
})

test('a smaller, another or an unproven state is refused, and the memory stays', async () => {
  const folder = await makeFolder()
  await (await open(folder)).sign(await request(10, 0))
  const signer = await open(folder)
  const good = await request(20, 10)
  const refused = [
    await request(9, 0),
    await request(10, 0, 3),
    await request(20, 10, 3),
    { ...good, consistencyProof: [] },
    { ...good, consistencyProof: good.consistencyProof.slice(1) },
    { ...good, size: 40 },
    { ...good, size: 20.5 },
    { ...good, root: good.root.subarray(1) },
  ]
  for (const one of refused) await assert.rejects(signer.sign(one), { code: 'SIGNER_REFUSED' })
  assert.equal((await signer.last()).size, 10)
  await signer.sign(good)
  assert.equal((await signer.last()).size, 20)
})

test('an old leader that wakes up is refused by what another process signed meanwhile', async () => {
  const folder = await makeFolder()
  const [old, fresh] = [await open(folder), await open(folder)]
  await old.sign(await request(10, 0))
  await fresh.sign(await request(20, 10))
  await assert.rejects(old.sign(await request(15, 10)), { code: 'SIGNER_REFUSED' })
  await assert.rejects(old.sign(await request(20, 10, 12)), { code: 'SIGNER_REFUSED' })
})

test('of two requests at once that contradict each other one is signed', async () => {
  const signer = await open(await makeFolder())
  await signer.sign(await request(10, 0))
  const both = await Promise.allSettled([
    signer.sign(await request(20, 10)),
    signer.sign(await request(20, 10, 15)),
    signer.sign(await request(20, 10)),
  ])
  assert.deepEqual(
    both.map((one) => one.status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
})

test('a signer without its memory, its key or its privacy does not start', async () => {
  const spoil: [string, (folder: string) => Promise<void>, RegExp][] = [
    ['state lost', (folder) => rm(join(folder, 'state.json')), /is gone; without it/],
    ['state damaged', (folder) => writeFile(join(folder, 'state.json'), '{"size":1'), /damaged/],
    [
      'state of another log',
      (folder) => writeFile(join(folder, 'state.json'), '{"v":1,"origin":"x"}'),
      /another origin/,
    ],
    ['key lost', (folder) => rm(join(folder, 'keys', keyName)), /has signed; open a new origin/],
    ['key readable', (folder) => chmod(join(folder, 'keys', keyName), 0o644), /read by others/],
  ]
  for (const [name, change, reason] of spoil) {
    const folder = await makeFolder()
    await (await open(folder)).sign(await request(10, 0))
    await change(folder)
    await assert.rejects(open(folder), (error: Error) => {
      assert.match(error.message, reason, name)
      assert.equal('code' in error && error.code, 'SIGNER_REFUSED')
      return true
    })
  }
})

test('stopped after any step, nothing was signed that the memory does not hold, and the next start goes on', async () => {
  const steps: string[] = []
  const run = async (folder: string, step?: AfterStep) => {
    const signer = await open(folder, step)
    const { size } = await signer.last()
    if (size < 10) await signer.sign(await request(10, 0))
    if (size < 20) await signer.sign(await request(20, 10))
    return signer
  }
  await run(await makeFolder(), (step) => steps.push(step))
  assert.ok(steps.includes('key-created') && steps.includes('state-renamed'))
  for (let stop = 0; stop < steps.length; stop++) {
    const folder = await makeFolder()
    let done = 0
    const crash = run(folder, (step) => {
      if (done++ === stop) throw new Error(`stopped after ${step}`)
    })
    await assert.rejects(crash, /stopped after/)
    if (steps[stop] === 'signed') {
      const { size, root } = await (await open(folder)).last()
      const { proof, root: toRoot } = tree(20)
      const claim = { from: size, fromRoot: root, to: 20, toRoot, proof: await proof(size), hash: sha256 }
      assert.ok(verifyConsistency(claim))
    }
    const signer = await run(folder)
    assert.equal((await signer.last()).size, 20, steps[stop])
  }
})
