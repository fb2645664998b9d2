import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { after, test } from 'node:test'
import { changedTiles, tilePath, verifyConsistency, verifyLog } from '@writ/tlog'
import { openDiskStore } from './disk-store.ts'
import type { AfterStep } from './durable-file.ts'
import { openLogFiles } from './log-files.ts'
import { sha256, verifyEd25519 } from './node-crypto.ts'
import { createSigner } from './signer.ts'

const origin = 'example.org/log'
const folders: string[] = []
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true })
})

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'log-files-'))
  folders.push(folder)
  return folder
}

function makeEntries(count: number, from = 0): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => new TextEncoder().encode(`entry ${from + i}`))
}

async function openLog(folder: string, afterStep?: AfterStep) {
  const files = await openLogFiles({
    store: await openDiskStore(join(folder, 'log'), afterStep),
    origin,
    hash: sha256,
    after: afterStep,
  })
  const signer = await createSigner({
    keysDir: join(folder, 'keys'),
    origin,
    stateFile: join(folder, 'signer', 'state.json'),
    after: afterStep && ((step) => afterStep(`signer-${step}`)),
  })
  async function publish() {
    const { size, root } = files.integrated
    const consistencyProof = await files.proveFrom((await signer.last()).size)
    await files.publish(await signer.sign({ size, root, consistencyProof }))
  }
  return {
    files,
    signer,
    publish,
    async append(entries: readonly Uint8Array[], start = files.integrated.size) {
      await files.integrate(start, entries)
      await publish()
    },
    verify: (kept?: string) =>
      verifyLog({ read: files.read, vkeys: [signer.vkey], hash: sha256, verify: verifyEd25519, kept }),
  }
}

async function filesBelow(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true })
  return found
    .filter((one) => one.isFile())
    .map((one) => relative(folder, join(one.parentPath, one.name)))
    .sort()
}

test('a log grown in uneven steps, reopened on the way, verifies and holds its entries in order', async () => {
  const folder = await makeFolder()
  let log = await openLog(folder)
  let size = 0
  let kept: string | undefined
  for (const step of [1, 254, 1, 1, 255, 600, 3, 1000]) {
    await log.append(makeEntries(step, size))
    size += step
    log = await openLog(folder)
    assert.equal(log.files.published.size, size)
    assert.equal((await log.verify(kept)).ok, true, `size ${size}`)
    kept = await readFile(join(folder, 'log', 'checkpoint'), 'utf8')
  }
  const seen: string[] = []
  await verifyLog({
    read: log.files.read,
    vkeys: [log.signer.vkey],
    hash: sha256,
    verify: verifyEd25519,
    onEntry: (_, entry) => void seen.push(Buffer.from(entry).toString()),
  })
  assert.deepEqual(
    seen,
    makeEntries(2115).map((entry) => Buffer.from(entry).toString()),
  )
})

test('the files of a log do not depend on the steps in which it grew, but for partial tiles on the way', async () => {
  const [once, often] = [await makeFolder(), await makeFolder()]
  await (await openLog(once)).append(makeEntries(1000))
  const log = await openLog(often)
  for (const [from, to] of [
    [0, 100],
    [100, 300],
    [300, 900],
    [900, 1000],
  ])
    await log.append(makeEntries(to! - from!, from))
  for (const tile of changedTiles(0, 1000)) {
    const path = join('log', tilePath(tile))
    assert.deepEqual(await readFile(join(often, path)), await readFile(join(once, path)), path)
  }
})

test('the proof that a round needs reads nothing of what that round wrote', async () => {
  const folder = await makeFolder()
  const store = await openDiskStore(join(folder, 'log'))
  const read: string[] = []
  const files = await openLogFiles({
    store: {
      ...store,
      read(path) {
        read.push(path)
        return store.read(path)
      },
    },
    origin,
    hash: sha256,
  })
  const { size: from, root: fromRoot } = await files.integrate(0, makeEntries(300))
  const { size: to, root: toRoot } = await files.integrate(from, makeEntries(500, from))
  read.length = 0
  const proof = await files.proveFrom(from)
  assert.equal(verifyConsistency({ from, fromRoot, to, toRoot, proof, hash: sha256 }), true)
  assert.deepEqual(read, [])
})

test('partial tiles go once the full one is published, and the others stay', async () => {
  const folder = await makeFolder()
  const log = await openLog(folder)
  await log.append(makeEntries(200))
  await log.append(makeEntries(100, 200))
  assert.deepEqual(await filesBelow(join(folder, 'log')), [
    'checkpoint',
    'tile/0/000',
    'tile/0/001.p/44',
    'tile/1/000.p/1',
    'tile/entries/000',
    'tile/entries/001.p/44',
  ])
  assert.equal((await log.files.readTile(0, 0, 200)).length, 200 * 32)
})

test('the same entries at the same start are met again, others are a fork', async () => {
  const folder = await makeFolder()
  const first = await openLog(folder)
  await first.append(makeEntries(10))
  await first.files.integrate(10, makeEntries(300, 10))

  // The process died before it could publish.
  const second = await openLog(folder)
  assert.equal(second.files.integrated.size, 10)
  const before = await stat(join(folder, 'log', 'tile/entries/000'))
  const other = makeEntries(300, 10).with(5, Buffer.from('another'))
  await assert.rejects(second.files.integrate(10, other), { code: 'LOG_FORK' })
  assert.deepEqual(second.files.integrated, second.files.published)
  await second.append(makeEntries(300, 10))
  assert.equal((await stat(join(folder, 'log', 'tile/entries/000'))).ino, before.ino)
  assert.equal((await second.verify()).ok, true)
})

test('after a failed publish the same process may offer its entries again', async () => {
  const folder = await makeFolder()
  const log = await openLog(folder)
  await log.append(makeEntries(10))
  await log.files.integrate(10, makeEntries(20, 10))
  await log.append(makeEntries(25, 10), 10)
  assert.equal(log.files.published.size, 35)
  assert.equal((await log.verify()).ok, true)
})

test('entries for another index, and entries while others are being written, are refused', async () => {
  const log = await openLog(await makeFolder())
  await log.append(makeEntries(10))
  await assert.rejects(log.files.integrate(11, makeEntries(1)), { code: 'LOG_GAP' })
  await assert.rejects(log.files.integrate(9, makeEntries(1)), { code: 'LOG_GAP' })
  const running = log.files.integrate(10, makeEntries(5, 10))
  await assert.rejects(log.files.integrate(10, makeEntries(5, 10)), /one writer/)
  await running
})

test('only a checkpoint of the integrated state is published', async () => {
  const [folder, elsewhere] = [await makeFolder(), await makeFolder()]
  const log = await openLog(folder)
  const other = await openLog(elsewhere)
  await log.append(makeEntries(10))
  await other.append(makeEntries(10, 5))
  const foreign = await readFile(join(elsewhere, 'log', 'checkpoint'), 'utf8')
  await assert.rejects(log.files.publish(foreign), { code: 'LOG_MISMATCH' })
  const own = await readFile(join(folder, 'log', 'checkpoint'), 'utf8')
  await log.files.integrate(10, makeEntries(1, 10))
  await assert.rejects(log.files.publish(own), { code: 'LOG_MISMATCH' })
  await assert.rejects(log.files.publish('nonsense'), { code: 'LOG_DAMAGED' })
  assert.equal((await log.verify()).ok, true)
})

test('a log whose edge does not fit its checkpoint does not open', async () => {
  const spoil: [string, (path: string) => Promise<void>][] = [
    ['tile/0/001.p/44', (path) => writeFile(path, new Uint8Array(44 * 32))],
    ['tile/1/000.p/1', (path) => rm(path)],
    ['tile/entries/001.p/44', async (path) => writeFile(path, (await readFile(path, 'latin1')).replace('299', '298'))],
    ['checkpoint', (path) => writeFile(path, 'nonsense')],
  ]
  for (const [path, change] of spoil) {
    const folder = await makeFolder()
    await (await openLog(folder)).append(makeEntries(300))
    await change(join(folder, 'log', path))
    await assert.rejects(openLog(folder), { code: 'LOG_DAMAGED' }, path)
  }
})

test('reading is for the files of a log only', async () => {
  const folder = await makeFolder()
  const log = await openLog(folder)
  await log.append(makeEntries(3))
  assert.ok(await log.files.read('checkpoint'))
  assert.ok(await log.files.read('tile/0/000.p/3'))
  for (const path of ['tile/0/000', 'tile/0', '../signer/state.json', 'tile/../checkpoint', '.tmp', '/etc/hostname']) {
    assert.equal(await log.files.read(path), null, path)
  }
})

test('stopped after any step, the log reopens whole, takes the same entries again and loses nothing', async () => {
  const steps: string[] = []
  const run = async (folder: string, step?: AfterStep) => {
    const log = await openLog(folder, step)
    for (const [from, to] of [
      [0, 200],
      [200, 600],
    ]) {
      if (log.files.published.size < to!) await log.append(makeEntries(to! - from!, from), from)
    }
    return log
  }
  await run(await makeFolder(), (step) => steps.push(step))
  assert.ok(steps.includes('files-synced') && steps.includes('checkpoint-renamed') && steps.includes('signer-signed'))

  for (let stop = 0; stop < steps.length; stop++) {
    const folder = await makeFolder()
    let done = 0
    const crash = run(folder, (step) => {
      if (done++ === stop) throw new Error(`stopped after ${step}`)
    })
    await assert.rejects(crash, { message: `stopped after ${steps[stop]}` })

    const where = `${stop}: ${steps[stop]}`
    const kept = await readFile(join(folder, 'log', 'checkpoint'), 'utf8').catch(() => undefined)
    if (kept !== undefined) assert.equal((await (await openLog(folder)).verify(kept)).ok, true, where)
    const log = await run(folder)
    assert.equal(log.files.published.size, 600, where)
    assert.equal((await log.verify(kept)).ok, true, where)
    assert.deepEqual(await readdir(join(folder, 'log', '.tmp')), [], where)
  }
})
