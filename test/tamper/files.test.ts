import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { formatVkey, fromUtf8, parseCheckpoint, parseNote, SIGNATURE_ED25519, signCheckpoint } from '@writ/tlog'
import { sha256 } from '../../packages/server/src/audit/index.ts'
import { cutHistory, rebuildWithRealKey, rewriteHistory } from './rebuild.ts'
import { type Copy, makeScene, type Scene } from './scene.ts'

let scene: Scene
before(async () => {
  scene = await makeScene()
})
after(() => scene.remove())

const FULL_HASHES = 'tile/0/000'
const FULL_ENTRIES = 'tile/entries/000'

async function flipByte(file: string, at: number): Promise<void> {
  const bytes = await readFile(file)
  bytes[at]! ^= 1
  await writeFile(file, bytes)
}

async function swap(one: string, other: string): Promise<void> {
  await rename(one, `${one}.swap`)
  await rename(other, one)
  await rename(`${one}.swap`, other)
}

async function editLines(file: string, edit: (lines: string[]) => string[]): Promise<void> {
  const lines = (await readFile(file, 'utf8')).split('\n').slice(0, -1)
  await writeFile(
    file,
    edit(lines)
      .map((line) => `${line}\n`)
      .join(''),
  )
}

/** Signs the present state with a key of the attacker's own, under the log's name. */
async function resign(copy: Copy): Promise<{ vkey: string; note: string }> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const raw = new Uint8Array(Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url'))
  const checkpoint = parseCheckpoint(parseNote(await readFile(copy.log('checkpoint'), 'utf8')).text)
  const key = { publicKey: raw }
  const note = await signCheckpoint(checkpoint, key, (message: Uint8Array) => sign(null, message, privateKey), sha256)
  const vkey = formatVkey({ name: checkpoint.origin, type: SIGNATURE_ED25519, publicKey: raw }, sha256)
  await writeFile(copy.log('checkpoint'), note)
  return { vkey, note }
}

const vkeyFile = (copy: Copy, vkey: string) =>
  path.join(copy.dataDir, 'keys', `${encodeURIComponent(vkey.split('+')[0]!)}.vkey`)

const cases: { title: string; code: string; index?: number; path?: string; change(copy: Copy): Promise<unknown> }[] = [
  {
    title: 'a flipped byte in an entry bundle',
    code: 'LEAF_MISMATCH',
    change: (copy) => flipByte(copy.log(FULL_ENTRIES), 40),
  },
  {
    title: 'a shortened entry bundle',
    code: 'BUNDLE_MALFORMED',
    change: (copy) => truncate(copy.log(FULL_ENTRIES), 1000),
  },
  { title: 'a deleted entry bundle', code: 'FILE_MISSING', change: (copy) => rm(copy.log(FULL_ENTRIES)) },
  {
    title: 'two swapped entry bundles',
    code: 'LEAF_MISMATCH',
    index: 0,
    change: (copy) => swap(copy.log(FULL_ENTRIES), copy.log('tile/entries/001')),
  },
  {
    title: 'a flipped byte in a hash tile',
    code: 'LEAF_MISMATCH',
    index: 3,
    change: (copy) => flipByte(copy.log(FULL_HASHES), 3 * 32),
  },
  { title: 'a shortened hash tile', code: 'TILE_MALFORMED', change: (copy) => truncate(copy.log(FULL_HASHES), 100) },
  { title: 'a deleted hash tile', code: 'FILE_MISSING', change: (copy) => rm(copy.log(FULL_HASHES)) },
  {
    title: 'two swapped hash tiles',
    code: 'LEAF_MISMATCH',
    change: (copy) => swap(copy.log(FULL_HASHES), copy.log('tile/0/001')),
  },
  {
    title: 'a swap of bundles together with their hash tiles',
    code: 'TILE_MISMATCH',
    async change(copy) {
      await swap(copy.log(FULL_ENTRIES), copy.log('tile/entries/001'))
      await swap(copy.log(FULL_HASHES), copy.log('tile/0/001'))
    },
  },
  { title: 'a deleted checkpoint', code: 'CHECKPOINT_MISSING', change: (copy) => rm(copy.log('checkpoint')) },
  {
    title: 'an edited size in the checkpoint',
    code: 'CHECKPOINT_SIGNATURE',
    async change(copy) {
      const text = await readFile(copy.log('checkpoint'), 'utf8')
      const size = text.split('\n')[1]!
      await writeFile(copy.log('checkpoint'), text.replace(`\n${size}\n`, `\n${Number(size) + 1}\n`))
    },
  },
  { title: 'a checkpoint signed with another key', code: 'CHECKPOINT_SIGNATURE', change: resign },
  {
    title: "another key's signature with that key in the database",
    code: 'KEY_CHANGED',
    async change(copy) {
      const { vkey } = await resign(copy)
      copy.execute('update logs set vkey = ? where project_id = ?', vkey, copy.project)
    },
  },
  {
    title: 'an edited line of a day file',
    code: 'DAY_FILE_CHANGED',
    index: 100,
    path: 'jsonl',
    change: (copy) =>
      editLines(copy.day('jsonl'), (lines) => lines.with(100, lines[100]!.replace('Created', 'Altered'))),
  },
  {
    title: 'a line added to a day file',
    code: 'DAY_FILE_CHANGED',
    path: 'jsonl',
    change: (copy) => editLines(copy.day('jsonl'), (lines) => [...lines, lines[7]!]),
  },
  {
    title: 'a line taken from a day file',
    code: 'DAY_FILE_CHANGED',
    index: 55,
    change: (copy) => editLines(copy.day('jsonl'), (lines) => lines.toSpliced(55, 1)),
  },
  {
    title: 'the last line taken from a day file',
    code: 'DAY_FILE_CHANGED',
    change: (copy) => editLines(copy.day('jsonl'), (lines) => lines.slice(0, -1)),
  },
  {
    title: 'two lines of a day file in the other order',
    code: 'DAY_FILE_CHANGED',
    index: 55,
    change: (copy) => editLines(copy.day('jsonl'), (lines) => lines.with(55, lines[56]!).with(56, lines[55]!)),
  },
  {
    title: 'an edited line of a readable day file',
    code: 'DAY_FILE_CHANGED',
    index: 100,
    path: 'txt',
    change: (copy) => editLines(copy.day('txt'), (lines) => lines.with(100, lines[100]!.replace('SUCCESS', 'FAILED'))),
  },
  { title: 'a deleted day file', code: 'DAY_FILE_CHANGED', index: 0, change: (copy) => rm(copy.day('txt')) },
  {
    title: 'a day file of a day without events',
    code: 'DAY_FILE_CHANGED',
    change: (copy) => writeFile(path.join(copy.dataDir, 'audit', 'audit_2020-01-01.jsonl'), '{}\n'),
  },
]

for (const { title, code, index, path: file, change } of cases) {
  test(`verification names ${title}: ${code}`, async () => {
    const copy = await scene.copy()
    await change(copy)
    const report = await copy.verify()
    assert.deepEqual({ ok: report.ok, code: report.code }, { ok: false, code }, report.reason ?? 'passed')
    if (index !== undefined) assert.equal(report.index, index)
    if (file !== undefined) assert.match(String(report.path), new RegExp(`${file}$`))
  })
}

test('a key changed everywhere on the machine is named by a checkpoint that was kept elsewhere', async () => {
  const copy = await scene.copy()
  const keptDir = path.join(copy.dataDir, 'kept')
  assert.equal((await copy.verify({ keptDir })).ok, true)
  const { vkey, note } = await resign(copy)
  copy.execute('update logs set vkey = ?, checkpoint = ? where project_id = ?', vkey, note, copy.project)
  await writeFile(vkeyFile(copy, vkey), `${vkey}\n`)
  assert.equal((await copy.verify()).ok, true)
  assert.equal((await copy.verify({ keptDir })).code, 'KEPT_SIGNATURE')
})

test('verification leaves the files of a log that is being written alone', async () => {
  const copy = await scene.copy()
  const unfinished = copy.log('.tmp/tile_0_002.p_99')
  await mkdir(path.dirname(unfinished), { recursive: true })
  await writeFile(unfinished, 'half written')
  assert.equal((await copy.verify()).ok, true)
  assert.equal(fromUtf8(await readFile(unfinished)), 'half written')
})

test('a checkpoint put back to an earlier one is named, because the database recorded a later one', async () => {
  const copy = await scene.copy()
  const early = await rebuildWithRealKey(copy, { upTo: 300 })
  await writeFile(copy.log('checkpoint'), early)
  assert.equal((await copy.verify()).code, 'LOG_TRUNCATED')
})

test('a log rewritten with its own key passes alone, and is named once a checkpoint was kept', async () => {
  const copy = await scene.copy()
  const keptDir = path.join(copy.dataDir, 'kept')
  assert.equal((await copy.verify({ keptDir })).ok, true)
  await rewriteHistory(copy, 77)
  const alone = await copy.verify()
  assert.deepEqual([alone.code, alone.reason], [null, null])
  assert.equal((await copy.verify({ keptDir })).code, 'LOG_REWRITTEN')
})

test('a log cut with its own key passes alone, and is named once a checkpoint was kept', async () => {
  const copy = await scene.copy()
  const keptDir = path.join(copy.dataDir, 'kept')
  assert.equal((await copy.verify({ keptDir })).ok, true)
  await cutHistory(copy, 300)
  const alone = await copy.verify()
  assert.deepEqual([alone.code, alone.reason], [null, null])
  assert.equal((await copy.verify({ keptDir })).code, 'LOG_TRUNCATED')
})

test('a log replaced by a new one under another name is named once a checkpoint was kept', async () => {
  const copy = await scene.copy()
  const keptDir = path.join(copy.dataDir, 'kept')
  assert.equal((await copy.verify({ keptDir })).ok, true)
  copy.execute(
    `update logs set origin = 'writ.log/other', vkey = null, checkpoint = null, size = 0 where project_id = ?`,
    copy.project,
  )
  copy.execute('update audit_appends set log_index = null, shard = null where project_id = ?', copy.project)
  await rm(copy.log('.'), { recursive: true })
  assert.equal((await copy.verify({ keptDir })).code, 'KEPT_ORIGIN')
})
