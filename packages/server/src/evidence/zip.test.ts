import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { createSha256, inflate } from '../../../cli/src/bundle-zip.ts'
import { openZip } from '../../../tlog/src/index.ts'
import { type ZipFile, zipped } from './zip.ts'

const run = promisify(execFile)
const folder = await mkdtemp(join(tmpdir(), 'writ-zip-'))
after(() => rm(folder, { recursive: true }))
const AT = new Date('2026-11-29T10:20:30Z')

async function* each(files: Iterable<ZipFile>): AsyncGenerator<ZipFile> {
  yield* files
}

async function pack(files: Iterable<ZipFile>): Promise<{ bytes: Buffer; pieces: number }> {
  const pieces: Buffer[] = []
  for await (const piece of zipped(each(files), AT)) pieces.push(piece)
  return { bytes: Buffer.concat(pieces), pieces: pieces.length }
}

const open = (bytes: Buffer) =>
  openZip(
    { size: bytes.length, read: async (from, length) => bytes.subarray(from, from + length) },
    { inflate, createSha256 },
  )

/** What Python says of each file: its name, mode, time, method and size; it reads them all, and checks what they sum up to. */
async function inPython(file: string): Promise<string[]> {
  const script = `import sys, zipfile
zip = zipfile.ZipFile(sys.argv[1])
assert zip.testzip() is None
for i in zip.infolist(): print(i.filename, oct(i.external_attr >> 16), i.date_time[0], i.compress_type, i.file_size)`
  const { stdout } = await run('python3', ['-c', script, file], { maxBuffer: 64 * 1024 * 1024 })
  return stdout.trimEnd().split('\n')
}

const large = Buffer.from('all the same, '.repeat(20_000))
const noise = randomBytes(10_000)
const muchNoise = randomBytes(280_000)
const streamed = (bytes: Buffer) =>
  (async function* () {
    for (let at = 0; at < bytes.length; at += 10_000) yield bytes.subarray(at, at + 10_000)
  })()
const some = (): ZipFile[] => [
  { path: 'run.sh', body: Buffer.from('echo\n'), executable: true },
  { path: 'empty', body: new Uint8Array() },
  { path: 'logs/a/small.json', body: large.subarray(0, 2_048) },
  { path: 'logs/a/larger.json', body: large.subarray(0, 2_049) },
  { path: 'noise', body: noise },
  { path: 'in-one-piece', body: large },
  { path: 'in-many', body: streamed(large) },
  { path: 'noise-in-many', body: streamed(muchNoise) },
  { path: 'nothing-came', body: streamed(Buffer.alloc(0)) },
]

test('what is small, and what deflating does not shrink, is stored; every reader finds the same', async () => {
  const { bytes } = await pack(some())
  assert.deepEqual((await pack(some())).bytes, bytes)
  const file = join(folder, 'some.zip')
  await writeFile(file, bytes)
  assert.deepEqual(await inPython(file), [
    'run.sh 0o100755 2026 0 5',
    'empty 0o100644 2026 0 0',
    'logs/a/small.json 0o100644 2026 0 2048',
    'logs/a/larger.json 0o100644 2026 8 2049',
    'noise 0o100644 2026 0 10000',
    'in-one-piece 0o100644 2026 8 280000',
    'in-many 0o100644 2026 8 280000',
    'noise-in-many 0o100644 2026 8 280000',
    'nothing-came 0o100644 2026 8 0',
  ])
  // It is not deflated in earnest either: some bytes for each block, and no more.
  const grown = (await pack([{ path: 'a', body: streamed(muchNoise) }])).bytes.length - muchNoise.length
  assert.ok(grown < 500, `${grown}`)
  await run('unzip', ['-q', '-d', join(folder, 'some'), file])
  const script = await stat(join(folder, 'some/run.sh'))
  assert.deepEqual([script.mtime, (script.mode & 0o111) !== 0], [AT, true])
  const zip = await open(bytes)
  for (const [name, content] of [
    ['in-many', large],
    ['noise', noise],
    ['noise-in-many', muchNoise],
    ['nothing-came', Buffer.alloc(0)],
  ] as const)
    assert.ok(content.equals(await zip.read(name)), name)
})

test('an archive of more files than its short form can count is handed out in few pieces, and read by everybody', async () => {
  const count = 70_000
  const file = join(folder, 'many.zip')
  const content = Buffer.from('x'.repeat(20))
  const { bytes, pieces } = await pack(
    (function* () {
      for (let i = 0; i < count; i++) yield { path: `entries/${i}.json`, body: content }
    })(),
  )
  // Of 64 KiB each.
  assert.ok(pieces <= bytes.length / 65_536 + 1, `${pieces}`)
  assert.equal((await open(bytes)).names.length, count)
  await writeFile(file, bytes)
  assert.equal((await inPython(file)).length, count)
  await run('unzip', ['-tqq', file])
})

test('no more is asked for than the reader takes, and a reader that leaves ends what was begun', async () => {
  let asked = 0
  const ended = { body: Promise.withResolvers<void>(), files: Promise.withResolvers<void>() }
  async function* body(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield randomBytes(50_000)
    } finally {
      ended.body.resolve()
    }
  }
  async function* files(): AsyncGenerator<ZipFile> {
    try {
      for (; ; asked++) yield asked < 100 ? { path: `${asked}`, body: noise } : { path: 'endless', body: body() }
    } finally {
      ended.files.resolve()
    }
  }
  const pieces = zipped(files(), AT)
  await pieces.next()
  // Seven of ten thousand bytes are more than a piece.
  assert.equal(asked, 6)
  while (asked < 100) await pieces.next()
  await pieces.next()
  await pieces.return(undefined)
  await Promise.all([ended.files.promise, ended.body.promise])
})
