// Whoever verifies a log again and again goes on when it is closed and continued, because the old log names the new one.
import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after } from 'node:test'
import type { AuditEvent, LogInfo } from '@writ/api'
import type { TestSystem } from '../test-system.ts'
import { holds, ok } from '../verifies.ts'
import { writ } from './command-line.ts'

const folder = await mkdtemp(path.join(tmpdir(), 'writ-rotation-'))
after(() => rm(folder, { recursive: true, force: true }))

const open = async (sys: TestSystem, title: string) => {
  ok(await sys.admin.post('/tickets', { title }))
  await sys.settle()
}
type Rotated = Record<'closed' | 'opened', { origin: string; vkey: string }>
const rotate = async (sys: TestSystem) =>
  ok(await sys.admin.post<Rotated>('/audit/logs/rotate', { reason: 'end of the year' }))
const originOf = async (sys: TestSystem) => ok(await sys.admin.get<LogInfo>('/audit/log')).origin
const verify = async (sys: TestSystem, home: string, ...more: string[]) => {
  const { code, out, err } = await writ(sys, home, 'audit', 'verify', '-o', 'json', ...more)
  return { code, err, said: code === 0 ? JSON.parse(out) : null }
}

holds('a log that was closed and continued is followed to the one that is open, and both are verified', async (sys) => {
  const home = await mkdtemp(path.join(folder, 'home-'))
  await open(sys, 'First')
  const first = await verify(sys, home)
  assert.equal(first.code, 0, first.err)
  const origins = [await originOf(sys)]
  // One that is rotated on the way, with a key that was, too.
  ok(await sys.admin.post('/keys/rotate', { purpose: 'log', project: 'default', overlap_hours: 0 }))
  await sys.settle()
  for (const title of ['Second', 'Third']) {
    const { closed, opened } = await rotate(sys)
    origins.push(await originOf(sys))
    assert.deepEqual([closed.origin, opened.origin], origins.slice(-2))
    await open(sys, title)
    // The key was told before the new log was signed with it for the first time.
    assert.equal(opened.vkey, ok(await sys.admin.get<LogInfo>('/audit/log')).vkey)
  }
  assert.equal(new Set(origins).size, 3)
  const listed = await writ(sys, home, 'keys', 'list')
  assert.deepEqual(
    [...listed.out.matchAll(/^log of default(, closed)? .*?(replaced|in use|signs no more)$/gm)].map((line) => [
      line[1],
      line[2],
    ]),
    [
      [', closed', 'replaced'],
      [', closed', 'signs no more'],
      [', closed', 'signs no more'],
      [undefined, 'in use'],
    ],
  )
  const next = await verify(sys, home)
  assert.equal(next.code, 0, next.err)
  assert.equal(next.said.origin, origins[2])
  assert.equal(next.said.continues.size, first.said.size)
  assert.deepEqual(
    next.said.followed.map((log: { origin: string }) => log.origin),
    origins.slice(0, 2),
  )
  assert.ok(next.said.followed[0].size > first.said.size)
  // From now on the new one is kept.
  const again = await verify(sys, home)
  assert.deepEqual([again.code, again.said.followed, again.said.continues.size], [0, [], next.said.size])
})

holds('a log is closed, and its successor named, also after who closed one before was erased', async (sys) => {
  const leaver = await sys.hire('leaver', 'admin')
  ok(await leaver.post('/audit/logs/rotate', { reason: 'end of the year' }))
  ok(await sys.admin.patch(`/users/${leaver.id}`, { is_active: false }))
  ok(await sys.admin.post(`/users/${leaver.id}/erase`, { ground: 'GDPR Art. 17, request 2026-11' }))
  const { opened } = await rotate(sys)
  assert.equal(opened.origin, await originOf(sys))
  assert.ok(opened.vkey.startsWith(`${opened.origin}+`), opened.vkey)
})

holds('of rotations at the same time each closes a log that names the next, or is refused', async (sys) => {
  await open(sys, 'First')
  const answers = []
  for (let i = 0; i < 5; i++) {
    const asked = [1, 2, 3].map(() => sys.admin.post('/audit/logs/rotate', { reason: 'at once' }))
    answers.push(...(await Promise.all(asked)))
  }
  const closed = answers.filter(({ status }) => status === 200).length
  assert.ok(closed >= 5, 'one of each three')
  for (const { status, body } of answers)
    if (status !== 200) assert.deepEqual([status, (body as { code: string }).code], [409, 'LOG_BUSY'])
  await sys.settle()
  const told = async (type: string) =>
    ok(await sys.admin.get<AuditEvent[]>(`/audit/events?event_type=${type}&limit=500`)).map(
      ({ details }) => details as { origin?: string; old_origin?: string; new_origin: string },
    )
  const succeeded = await told('log.succeeded')
  const continued = await told('log.continued')
  assert.equal(continued.length, closed)
  for (const { old_origin, new_origin } of continued)
    assert.ok(succeeded.some((one) => one.origin === old_origin && one.new_origin === new_origin))
})

holds('a closed log that was changed afterwards is found, whatever continues it', async (sys) => {
  const home = await mkdtemp(path.join(folder, 'home-'))
  await open(sys, 'First')
  assert.equal((await verify(sys, home)).code, 0)
  const origin = await originOf(sys)
  await rotate(sys)
  await open(sys, 'Second')
  const files = globSync('data/log/*/0/tile/entries/**/*', { cwd: sys.folder, withFileTypes: true })
    .filter((one) => one.isFile() && !one.parentPath.includes('_instance'))
    .map((one) => path.join(one.parentPath, one.name))
  for (const file of files) {
    const bytes = await readFile(file)
    bytes[bytes.length - 5]! ^= 1
    await writeFile(file, bytes)
  }
  const { code, err } = await verify(sys, home)
  assert.equal(code, 5)
  assert.match(err, new RegExp(`The log does not verify: .*${origin.replaceAll('.', '\\.')}.*first bad entry`))
  // Undone, for the invariants that hold of every system.
  for (const file of files) {
    const bytes = await readFile(file)
    bytes[bytes.length - 5]! ^= 1
    await writeFile(file, bytes)
  }
})

holds('a log that was dropped leads nowhere, and that is said', async (sys) => {
  const home = await mkdtemp(path.join(folder, 'home-'))
  const second = await sys.hire('second', 'admin')
  await open(sys, 'First')
  assert.equal((await verify(sys, home)).code, 0)
  const origin = await originOf(sys)
  await rotate(sys)
  await open(sys, 'Second')
  const reason = { reason: 'kept long enough' }
  ok(await sys.admin.post('/audit/logs/0/drop', reason))
  ok(await second.post('/audit/logs/0/drop', reason))
  await sys.settle()
  const { code, err } = await verify(sys, home)
  assert.equal(code, 5)
  assert.match(err, /This is another log than on .*\[LOG_REPLACED\]/)
  assert.ok(err.includes(`${origin} was dropped on `), err)
  const trusted = await verify(sys, home, '--trust-new-log')
  assert.deepEqual([trusted.code, trusted.said?.continues], [0, null])
})
