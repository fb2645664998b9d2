import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, mock, test } from 'node:test'
import { createFakeClock } from '../clock.ts'
import { DatabaseUnavailable } from './database.ts'
import { openDatabase } from './open.ts'
import { inProject } from './project.ts'
import { openWal } from './wal.ts'

const P = '0190a000-0000-7000-8000-00000000000a'
const folder = fs.mkdtempSync(join(tmpdir(), 'writ-wal-'))
after(() => fs.rmSync(folder, { recursive: true, force: true }))

/** A disk that has a sync done only when it is told so. */
function slowDisk() {
  const asked: (() => void)[] = []
  let heard = Promise.withResolvers<void>()
  mock.method(fs, 'fdatasync', (_: number, done: (error: Error | null) => void) => {
    asked.push(() => done(null))
    heard.resolve()
  })
  syncBuiltinESMExports()
  return {
    async asked() {
      if (asked.length === 0) await heard.promise
      heard = Promise.withResolvers()
    },
    done: () => asked.shift()!(),
    put() {
      mock.restoreAll()
      syncBuiltinESMExports()
    },
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('on SQLite neither a change is answered nor what a reader saw of it before it is on the disk', async () => {
  const db = await openDatabase({ url: `sqlite:${join(folder, 'slow.db')}` }, createFakeClock())
  const disk = slowDisk()
  try {
    const done: string[] = []
    const put = (name: string) =>
      inProject(P, () =>
        db.write(async (tx) => {
          await tx.sql('insert into counters (project_id, name, value, total) values (?1, ?2, 1, 1)', [P, name])
          tx.afterCommit(() => done.push(`told of ${name}`))
        }),
      ).then(() => done.push(name))
    const count = () => inProject(P, () => db.read((tx) => tx.sql<{ n: number }>('select count(*) as n from counters')))
    const [before] = await count()
    const first = put('first')
    await disk.asked()
    const seen = count().then(([row]) => done.push(`${row!.n - before!.n} seen`))
    // It is committed while the disk is busy with the first, and needs a sync of its own.
    const second = put('second')
    for (let i = 0; i < 20; i++) await turn()
    assert.equal(done.length, 0)
    disk.done()
    await first
    await disk.asked()
    assert.equal(done.includes('second'), false)
    disk.done()
    await Promise.all([second, seen])
    assert.deepEqual(done.toSorted(), ['1 seen', 'first', 'second', 'told of first', 'told of second'])
    assert.ok(done.indexOf('told of first') < done.indexOf('first'))
  } finally {
    disk.put()
    await db.close()
  }
})

test('one sync serves every commit before it', async () => {
  const file = join(folder, 'one')
  fs.writeFileSync(`${file}-wal`, '')
  const wal = openWal(file)
  const disk = slowDisk()
  try {
    wal.wrote()
    const first = wal.onDisk()
    await disk.asked()
    wal.wrote()
    const [second, third] = [wal.onDisk(), wal.onDisk()]
    disk.done()
    await first
    await disk.asked()
    assert.equal(wal.behind, true)
    disk.done()
    await Promise.all([second, third])
    assert.equal(wal.behind, false)
    await wal.onDisk()
  } finally {
    disk.put()
    await wal.close()
  }
})

test('after a sync that failed nothing is said to be on the disk any more', {
  skip: fs.existsSync('/dev/full') ? false : 'no file here that cannot be synced',
}, async () => {
  const file = join(folder, 'full')
  // The kernel refuses to sync this one.
  fs.symlinkSync('/dev/full', `${file}-wal`)
  const wal = openWal(file)
  wal.refuseLost()
  wal.wrote()
  await assert.rejects(wal.onDisk(), DatabaseUnavailable)
  assert.throws(() => wal.refuseLost(), DatabaseUnavailable)
  await assert.rejects(wal.onDisk(), DatabaseUnavailable)
  await assert.rejects(wal.broken, /^Error: The disk did not keep what the database was given \(EINVAL: /)
  await wal.close()
})

test('pages come from the log into the file without the writer', async () => {
  const file = join(folder, 'checkpointed.db')
  const db = await openDatabase({ url: `sqlite:${file}` }, createFakeClock())
  try {
    const before = fs.statSync(file).size
    const rows = Array.from({ length: 2_500 }, (_, i) => ({ project_id: P, name: `n${i}`, value: 1, total: 1 }))
    await inProject(P, () => db.write((tx) => tx.insert('counters', rows)))
    // Far from what lets the writer do it itself.
    assert.ok(fs.statSync(`${file}-wal`).size < 4 * 2 ** 20)
    while (fs.statSync(file).size === before) await turn()
    const read = () => inProject(P, () => db.read((tx) => tx.sql<{ n: number }>('select count(*) as n from counters')))
    assert.equal((await read())[0]!.n, rows.length)
  } finally {
    await db.close()
  }
  // The thread is gone, and with it its hold on the log.
  assert.equal(fs.existsSync(`${file}-wal`), false)
})

test('a process with nothing else to do still waits for its checkpoints to end', async () => {
  const file = join(folder, 'alone.db')
  await (await openDatabase({ url: `sqlite:${file}` }, createFakeClock())).close()
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [
      '--input-type=module-typescript',
      '--eval',
      `import { createCheckpoints } from ${JSON.stringify(new URL('./checkpoints.ts', import.meta.url).href)}
       const checkpoints = createCheckpoints(${JSON.stringify(file)})
       checkpoints.changed(1_000_000)
       await checkpoints.close()
       process.stdout.write('closed')`,
    ],
    { encoding: 'utf8' },
  )
  assert.equal(stdout, 'closed', stderr)
})
