// What an auditor sees who has the data folder of a server and not the server.
import assert from 'node:assert/strict'
import { cpSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { missingBackend } from '../servers/missing-backend.ts'
import { makeReadOnly, missingSmallDisk, mountSmall } from '../servers/small-disk.ts'
import { TestSystem } from '../test-system.ts'
import { writ } from './command-line.ts'

test('every log of a data folder is verified and named, and so is the one that was changed', async () => {
  await using system = await TestSystem.start()
  const { admin, employee } = system
  assert.equal((await admin.post('/projects', { slug: 'factory-a', name: 'A' })).status, 201)
  assert.equal((await employee.post('/tickets', { title: 'Replace the main switch' })).status, 200)
  await system.settle()
  const data = path.join(system.folder, 'data')
  const verify = () => writ(system, system.folder, 'audit', 'verify', '--data-dir', data)

  const sound = await verify()
  assert.equal(sound.code, 0, sound.err)
  for (const place of ['the instance', 'the project default', 'the project factory-a'])
    assert.match(sound.out, new RegExp(`Verified +\\d+ entries of ${place}: writ\\.log/[0-9a-f]{32}\n`))

  const database = new DatabaseSync(path.join(data, 'writ.db'))
  database.exec(`update audit_events set event = replace(event, 'main', 'other') where event_type = 'ticket.created'`)
  database.close()
  const changed = await verify()
  assert.equal(changed.code, 5)
  assert.match(
    changed.err,
    /\(writ\.log\/[0-9a-f]{32}, log of the project default, first bad entry \d+\).*\[PAYLOAD_CHANGED\]/,
  )
})

test('a snapshot that nobody can write to is verified and backed up where it is, of a server that was stopped or not', {
  skip: missingBackend('a small file system', missingSmallDisk()),
}, async () => {
  await using system = await TestSystem.start({ process: true })
  assert.equal((await system.employee.post('/tickets', { title: 'Replace the main switch' })).status, 200)
  await system.settle()
  const data = path.join(system.folder, 'data')
  const mounted: (() => void)[] = []
  /** A copy of the data folder as it is now, without these files, on a disk of its own. */
  const snapshot = (name: string, ...without: string[]) => {
    const folder = path.join(system.folder, name)
    mounted.push(mountSmall(folder)!)
    cpSync(data, folder, { recursive: true, preserveTimestamps: true })
    for (const file of without) rmSync(path.join(folder, file))
    makeReadOnly(folder)
    return folder
  }
  const run = (...args: string[]) => writ(system, system.folder, ...args)
  try {
    const running = snapshot('running')
    assert.ok(statSync(path.join(running, 'writ.db-wal')).size > 0)
    const half = snapshot('half', 'writ.db-shm')
    const wanted = await run('audit', 'verify', '--data-dir', data)
    assert.equal(wanted.code, 0, wanted.err)
    const refused = await run('audit', 'verify', '--data-dir', half)
    assert.equal(refused.code, 1)
    assert.match(refused.err, /half\/writ\.db cannot be read .* Copy the folder to a place where files can be made/)
    await system.stop()
    const stopped = snapshot('stopped')
    await system.restart()
    for (const folder of [running, stopped]) {
      assert.deepEqual(await run('audit', 'verify', '--data-dir', folder), wanted)
      const saved = await run('backup', `${folder}-saved`, '--data-dir', folder)
      assert.equal(saved.code, 0, saved.err)
    }
    // Nothing else can be begun there, and it is said where.
    const server = TestSystem.start({ process: true, env: { WRIT_DATA_DIR: stopped, LOG_DIR: `${stopped}-logs` } })
    await assert.rejects(server, { message: /Writ cannot go on: The database .*stopped\/writ\.db cannot be opened/ })
  } finally {
    for (const unmount of mounted) unmount()
  }
})

test('a folder that cannot be read is named: it is neither changed nor left out', async () => {
  await using system = await TestSystem.start()
  await system.settle()
  const data = path.join(system.folder, 'data')
  const run = (...args: string[]) => writ(system, system.folder, ...args)
  for (const [folder, ...command] of [
    [path.join(data, 'audit'), 'audit', 'verify', '--data-dir', data],
    [path.join(data, 'blobs'), 'backup', path.join(system.folder, 'saved'), '--data-dir', data],
    [path.join(data, 'keys'), 'backup', path.join(system.folder, 'saved'), '--data-dir', data],
  ] as const) {
    // What stops root as well.
    renameSync(folder, `${folder}-away`)
    symlinkSync(folder, folder)
    const answer = await run(...command)
    assert.deepEqual([answer.code, answer.err.includes(folder)], [1, true], answer.err)
    assert.match(answer.err, /\[ELOOP\]\n$/)
    rmSync(folder)
    renameSync(`${folder}-away`, folder)
  }
})
