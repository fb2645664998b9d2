import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { parseCheckpoint, parseNote, signCheckpoint } from '@writ/tlog'
import { sha256 } from '../../packages/server/src/audit/index.ts'
import { buildVerifier, type Independent, missingGo } from '../servers/go-verifier.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { rebuildWithRealKey, rewriteHistory } from '../tamper/rebuild.ts'
import { type Copy, makeScene, type Scene } from '../tamper/scene.ts'

// What a stranger finds with a verifier that is not ours, for each way to tamper with a log (docs/trust.md).

const skip = missingBackend('Go', missingGo())
let scene: Scene
let independent: Independent
before(async () => {
  if (skip) return
  scene = await makeScene()
  independent = await buildVerifier(scene.folder)
})
after(() => scene?.remove())

const ENTRIES = 'tile/entries/000'

interface Original {
  readonly vkey: string
  /** A folder with the checkpoint that a reader kept before anybody tampered. */
  readonly kept: string
}

async function original(copy: Copy): Promise<Original> {
  const kept = path.join(copy.dataDir, 'kept-by-a-reader')
  await mkdir(kept)
  await cp(copy.log('checkpoint'), path.join(kept, '0'))
  return {
    vkey: copy.query<{ vkey: string }>('select vkey from logs where project_id = ?', copy.project)[0]!.vkey,
    kept,
  }
}

/** Rewrites entry `index` of the first bundle; null drops it. */
async function changeEntry(
  copy: Copy,
  index: number,
  change: (entry: Buffer) => Buffer | null,
): Promise<Buffer | null> {
  const bundle = await readFile(copy.log(ENTRIES))
  const parts: Buffer[] = []
  let changed: Buffer | null = null
  for (let at = 0, i = 0; at < bundle.length; i++) {
    const length = bundle.readUInt16BE(at)
    let entry: Buffer | null = bundle.subarray(at + 2, at + 2 + length)
    if (i === index) {
      entry = change(Buffer.from(entry))
      changed = entry
    }
    if (entry) parts.push(Buffer.of(entry.length >> 8, entry.length & 255), entry)
    at += 2 + length
  }
  await writeFile(copy.log(ENTRIES), Buffer.concat(parts))
  return changed
}

const flip = (entry: Buffer) => {
  entry[60]! ^= 1
  return entry
}

const cases: { title: string; says: RegExp; change(copy: Copy): Promise<unknown> }[] = [
  { title: 'an edited entry', says: /^FAILED: entry 73: /, change: (copy) => changeEntry(copy, 73, flip) },
  { title: 'a dropped entry', says: /^FAILED: entry 73: /, change: (copy) => changeEntry(copy, 73, () => null) },
  {
    title: 'an edited entry with its leaf hash',
    // The tile no longer hashes to its parent, so nothing in it is believed.
    says: /^FAILED: entry 0: /,
    async change(copy) {
      const entry = await changeEntry(copy, 73, flip)
      const tile = await readFile(copy.log('tile/0/000'))
      createHash('sha256')
        .update(Buffer.of(0))
        .update(entry!)
        .digest()
        .copy(tile, 73 * 32)
      await writeFile(copy.log('tile/0/000'), tile)
    },
  },
  {
    title: 'two swapped bundles',
    says: /^FAILED: entry 0: /,
    async change(copy) {
      await rename(copy.log(ENTRIES), copy.log('swap'))
      await rename(copy.log('tile/entries/001'), copy.log(ENTRIES))
      await rename(copy.log('swap'), copy.log('tile/entries/001'))
    },
  },
  {
    title: 'a removed partial tile',
    says: /^FAILED: file tile\/0\/002/,
    change: (copy) => rm(copy.log('tile/0/002.p'), { recursive: true }),
  },
  {
    title: 'an edited size',
    says: /^FAILED: signature of checkpoint checkpoint/,
    async change(copy) {
      const text = await readFile(copy.log('checkpoint'), 'utf8')
      const size = Number(text.split('\n')[1])
      await writeFile(copy.log('checkpoint'), text.replace(`\n${size}\n`, `\n${size - 1}\n`))
    },
  },
  {
    title: 'a checkpoint signed with another key',
    says: /^FAILED: signature of checkpoint checkpoint/,
    async change(copy) {
      const { privateKey, publicKey } = generateKeyPairSync('ed25519')
      const raw = new Uint8Array(Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url'))
      const checkpoint = parseCheckpoint(parseNote(await readFile(copy.log('checkpoint'), 'utf8')).text)
      const signWith = (message: Uint8Array) => sign(null, message, privateKey)
      await writeFile(copy.log('checkpoint'), await signCheckpoint(checkpoint, { publicKey: raw }, signWith, sha256))
    },
  },
]

for (const { title, says, change } of cases) {
  test(`Go finds ${title}`, { skip }, async () => {
    const copy = await scene.copy()
    const { vkey, kept } = await original(copy)
    assert.equal((await independent.verify(copy.log('.'), vkey, kept)).ok, true)
    await change(copy)
    const { ok, said } = await independent.verify(copy.log('.'), vkey)
    assert.equal(ok, false)
    assert.match(said, says)
  })
}

test('Go finds a cut end only with a checkpoint that was kept', { skip }, async () => {
  const copy = await scene.copy()
  const { vkey, kept } = await original(copy)
  await writeFile(copy.log('checkpoint'), await rebuildWithRealKey(copy, { upTo: 512 }))
  assert.equal((await independent.verify(copy.log('.'), vkey)).ok, true)
  const { ok, said } = await independent.verify(copy.log('.'), vkey, kept)
  assert.equal(ok, false)
  assert.match(said, /its end was cut$/)
})

test('Go finds a log rebuilt with its own key only with a checkpoint that was kept', { skip }, async () => {
  const copy = await scene.copy()
  const { vkey, kept } = await original(copy)
  await rewriteHistory(copy, 77)
  assert.equal((await independent.verify(copy.log('.'), vkey)).ok, true)
  const { ok, said } = await independent.verify(copy.log('.'), vkey, kept)
  assert.equal(ok, false)
  assert.match(said, /^FAILED: consistency with checkpoint 0 of \d+ entries: /)
})

test("the instance's own log is a log like any other to Go", { skip }, async () => {
  const copy = await scene.copy()
  const [instance] = copy.query<{ vkey: string }>("select vkey from logs where project_id like '00000000-%'")
  const folder = path.join(copy.dataDir, 'log/_instance/0')
  assert.ok((await readdir(folder)).includes('checkpoint'))
  assert.equal((await independent.verify(folder, instance!.vkey)).ok, true)
})
