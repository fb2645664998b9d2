import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { BlobMissing, BlobStoreUnavailable, blobPath } from './blobs.ts'
import { exerciseBlobs } from './conformance.ts'
import { openBlobs } from './open.ts'

const PROJECT = '0190a000-0000-7000-8000-00000000000a'
const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'

exerciseBlobs('local', async () => {
  const dir = await fs.mkdtemp(path.join(tmpdir(), 'writ-blobs-'))
  const blobs = await openBlobs({ type: 'local', dir })
  return {
    blobs,
    async tamper(project, sha256, bytes) {
      const file = path.join(dir, blobPath(project, sha256))
      await fs.chmod(file, 0o600)
      await fs.writeFile(file, bytes)
    },
    leftovers: () => fs.readdir(path.join(dir, '.tmp')),
    // Numbers above the kernel's limit belong to nobody.
    leaveHalf: () => fs.writeFile(path.join(dir, '.tmp', `${hostname()}~4194999~another~upload`), 'half'),
    reopen: () => openBlobs({ type: 'local', dir }),
    async end() {
      await blobs.close()
      await fs.rm(dir, { recursive: true })
    },
  }
})

async function* once(bytes: Uint8Array) {
  yield bytes
}

test('a blob is a file under its digest that nobody may write', async () => {
  const dir = await fs.mkdtemp(path.join(tmpdir(), 'writ-blobs-'))
  const blobs = await openBlobs({ type: 'local', dir })
  await blobs.put(PROJECT, once(Buffer.from('abc')), { maxBytes: 3 })
  const file = path.join(dir, PROJECT, 'sha256/ba/78', ABC)
  assert.equal(await fs.readFile(file, 'utf8'), 'abc')
  assert.equal((await fs.stat(file)).mode & 0o222, 0)
  await fs.rm(dir, { recursive: true })
})

test('uploads of a living process and young ones of another host are not swept', async () => {
  const dir = await fs.mkdtemp(path.join(tmpdir(), 'writ-blobs-'))
  await openBlobs({ type: 'local', dir })
  const alive = `${hostname()}~${process.ppid}~another~upload`
  await fs.writeFile(path.join(dir, '.tmp', alive), 'half')
  await fs.writeFile(path.join(dir, '.tmp', 'elsewhere~1~another~upload'), 'half')
  await openBlobs({ type: 'local', dir })
  assert.deepEqual((await fs.readdir(path.join(dir, '.tmp'))).sort(), ['elsewhere~1~another~upload', alive].sort())
  await openBlobs({ type: 'local', dir, sweepAfterMs: 0 })
  assert.deepEqual(await fs.readdir(path.join(dir, '.tmp')), [alive])
  await fs.rm(dir, { recursive: true })
})

test('a store whose folder has gone is unavailable, and not empty', async () => {
  const dir = await fs.mkdtemp(path.join(tmpdir(), 'writ-blobs-'))
  const blobs = await openBlobs({ type: 'local', dir })
  await assert.rejects(blobs.open(PROJECT, ABC), BlobMissing)
  await fs.rm(dir, { recursive: true })
  const unavailable = { name: 'BlobStoreUnavailable', reason: 'the store is not there any more' }
  await assert.rejects(blobs.open(PROJECT, ABC), unavailable)
  await assert.rejects(blobs.stat(PROJECT, ABC), unavailable)
  await assert.rejects(blobs.remove(PROJECT, ABC), unavailable)
  await assert.rejects(blobs.check(), unavailable)
  await assert.rejects(blobs.put(PROJECT, once(Buffer.from('abc')), { maxBytes: 3 }), unavailable)
  await assert.rejects(blobs.list(PROJECT)[Symbol.asyncIterator]().next(), unavailable)
})

test('a folder that cannot be made is refused at open', async () => {
  await assert.rejects(openBlobs({ type: 'local', dir: '/dev/null/blobs' }), BlobStoreUnavailable)
})

test('a full disk is ENOSPC, leaves nothing, and the store goes on when there is room', async (t) => {
  const dir = await fs.mkdtemp(path.join(tmpdir(), 'writ-blobs-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', dir], { stdio: 'ignore' })
  } catch {
    await fs.rm(dir, { recursive: true })
    return t.skip('a small disk needs the right to mount one')
  }
  try {
    const blobs = await openBlobs({ type: 'local', dir })
    const big = Buffer.alloc(6_000_000, 7)
    const put = blobs.put(PROJECT, once(big), { maxBytes: 10_000_000 })
    await assert.rejects(put, { name: 'BlobStoreUnavailable', reason: 'ENOSPC' })
    assert.deepEqual(await fs.readdir(path.join(dir, '.tmp')), [])
    await blobs.put(PROJECT, once(big.subarray(0, 3_000_000)), { maxBytes: 10_000_000 })
    // The last page of the disk is taken too: then readiness has to notice.
    await fs.writeFile(path.join(dir, 'filler'), Buffer.alloc(4_000_000)).catch(() => {})
    await assert.rejects(blobs.check(), { name: 'BlobStoreUnavailable', reason: 'ENOSPC' })
  } finally {
    execFileSync('umount', [dir])
    await fs.rm(dir, { recursive: true })
  }
})
