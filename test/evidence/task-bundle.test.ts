// The evidence of a task: the log commits to its journal, the journal to its input and result, and a stranger checks both.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { verifyBundle } from '@writ/tlog'
import { sha256, sha512, verifySignature } from '../../packages/cli/src/verify-crypto.ts'
import { openKeys } from '../../packages/server/src/audit/index.ts'
import { TaskError } from '../../packages/server/src/kinds/task/index.ts'
import { backends } from '../backends.ts'
import { dispatcherOf, handlerOf } from '../tasks/dispatch.ts'
import { type TestSystem, until } from '../test-system.ts'
import { exportBundle, folderFiles, signFolder, unpack, verifySh, verifyZipFile } from './scene.ts'

const run = promisify(execFile)
const on = { sha256, sha512, verify: verifySignature }
const handlers = () => [
  handlerOf(
    'test.pay',
    async (_, ctx) => {
      ctx.cost(0.25, 'model')
      return { paid: true, password: 'correct-horse-battery' }
    },
    { sideEffect: 'irreversible' },
  ),
  handlerOf('test.large', async () => 'x'.repeat(20_000)),
  handlerOf('test.refuses', async () => {
    throw new TaskError('NEVER', 'there is no use in trying', { retryable: false })
  }),
  handlerOf(
    'test.twice',
    async (_, ctx) => {
      if (ctx.attempt === 1) throw new TaskError('NOT_YET', 'not yet')
      return 2
    },
    { maxAttempts: 2 },
  ),
  // One at a time: the next is a worker's, and has not begun.
  handlerOf(
    'test.narrow',
    async (input, ctx) => {
      if (input === 'waits') await ctx.waitFor(await ctx.dispatch('child', { handler: 'test.held', run_at: FAR }))
      await new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason)))
    },
    { concurrency: 1 },
  ),
  handlerOf('test.held', async () => 'done'),
]
const FAR = '2999-01-01T00:00:00Z'

for (const backend of backends()) {
  const start = async () => {
    const system = await backend.start({ testHandlers: handlers(), fakeClock: true })
    const { id, number, username } = system.admin
    return { system, by: await dispatcherOf(system.app, { id, number, username, role: 'admin' }, { now: system.now }) }
  }
  const bundleOf = async (system: TestSystem, id: string | number) => {
    const zip = path.join(system.folder, 'task.zip')
    const folder = path.join(system.folder, 'task')
    await exportBundle(system, zip, { subject: 'run', id })
    await unpack(zip, folder)
    return { folder, report: await verifyZipFile(zip) }
  }

  test(`a task is proven with its journal, input and result (${backend.name})`, {
    skip: backend.skip,
    timeout: 300_000,
  }, async () => {
    const { system, by } = await start()
    await using _ = system
    const paid = await by.settled((await by.dispatch('test.pay', { to: 'somebody' })).id)
    const { folder, report } = await bundleOf(system, paid.number)
    assert.deepEqual(report.fault, undefined)
    const said = JSON.stringify(report.checks)
    assert.ok(report.rests.some(({ what }) => what === 'attestation key'))
    assert.match(said, new RegExp(`task ${paid.id}: test\\.pay completed, asked for by ${system.admin.id}`))
    assert.match(said, /1 run: nothing missing/)
    const files = (await folderFiles(folder)).names.filter((name) => name.startsWith('tasks/'))
    assert.deepEqual(
      files.map((name) => path.basename(name)),
      ['input.json', 'journal.json', 'provenance.dsse.json', 'result.json'],
    )
    const own = path.join(folder, path.dirname(files[0]!))
    // What is secret in it was redacted before anything committed to it.
    assert.doesNotMatch(await readFile(path.join(own, 'result.json'), 'utf8'), /correct-horse/)
    assert.equal(JSON.parse(await readFile(path.join(own, 'journal.json'), 'utf8')).cost_usd, 0.25)
    const script = await verifySh(folder)
    assert.deepEqual([script.code, script.err], [0, ''])
    assert.match(script.out, /^tasks: 1$/m)

    for (const handler of ['test.large', 'test.refuses', 'test.twice']) {
      const { id } = await by.dispatch(handler)
      if (handler === 'test.twice') {
        await until('it failed once', async () => (await by.find(id)).attempts[0]?.outcome === 'failed')
        system.advance(600_000)
      }
      const done = await by.settled(id)
      const one = await bundleOf(system, done.id)
      assert.deepEqual(one.report.fault, undefined, handler)
      assert.equal((await verifySh(one.folder)).code, 0, handler)
      const there = (await folderFiles(one.folder)).names.some((name) => name.endsWith('provenance.dsse.json'))
      assert.equal(there, done.state === 'completed', handler)
    }
    await system.check()
  })

  test(`a task that was stopped before it began is proven as one (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    const { system, by } = await start()
    await using _ = system
    const proven = async (id: string) => {
      assert.equal((await system.admin.post(`/tasks/${id}/cancel`)).status, 200)
      const ended = await by.settled(id)
      assert.deepEqual([ended.state, ended.error_code, ended.attempts.length], ['cancelled', 'CANCELLED', 1])
      const { folder, report } = await bundleOf(system, id)
      assert.deepEqual(report.fault, undefined)
      const [journal] = (await folderFiles(folder)).names.filter((name) => name.endsWith('journal.json'))
      const { attempts } = JSON.parse(await readFile(path.join(folder, journal!), 'utf8')) as { attempts: object[] }
      return attempts.length
    }
    const isClaimed = (id: string) => until('a worker has it', async () => (await by.find(id)).state === 'running')
    const waits = await by.dispatch('test.narrow', 'waits')
    const isWaiting = async () => (await by.find(waits.id)).waiting_for !== null
    await until('it waits for its child', isWaiting)
    const runs = await by.dispatch('test.narrow')
    await isClaimed(runs.id)
    const behind = await by.dispatch('test.narrow')
    await isClaimed(behind.id)
    assert.equal(await proven(behind.id), 0)
    // What went on behind another when its child had ended had begun before.
    const [child] = (await system.admin.get<{ id: string }[]>(`/tasks?parent=${waits.id}`)).body
    assert.equal((await system.admin.post(`/tasks/${child!.id}/cancel`)).status, 200)
    await isClaimed(waits.id)
    assert.equal(await proven(waits.id), 1)
    await proven(runs.id)
    await system.check()
  })

  test(`a task that has not ended has no evidence yet (${backend.name})`, { skip: backend.skip }, async () => {
    const { system, by } = await start()
    await using _ = system
    const { number } = await by.dispatch('test.large', {}, { run_at: new Date(system.now() + 3_600_000).toISOString() })
    const refused = await system.admin.post<{ code: string }>('/evidence/export', { subject: 'run', id: number })
    assert.deepEqual([refused.status, refused.body.code], [409, 'TASK_NOT_SETTLED'])
    const none = await system.admin.post<{ code: string }>('/evidence/export', { subject: 'run', id: number + 1 })
    assert.deepEqual([none.status, none.body.code], [404, 'RUN_NOT_FOUND'])
  })
}

test('whoever signs changed files of a task is found by both verifiers', { timeout: 300_000 }, async () => {
  const [backend] = backends()
  const system = await backend!.start({ testHandlers: handlers(), fakeClock: true })
  await using _ = system
  const { id, number, username } = system.admin
  const by = await dispatcherOf(system.app, { id, number, username, role: 'admin' }, { now: system.now })
  const done = await by.settled((await by.dispatch('test.pay', { to: 'somebody' })).id)
  const zip = path.join(system.folder, 'task.zip')
  const folder = path.join(system.folder, 'task')
  await exportBundle(system, zip, { subject: 'run', id: done.id })
  await unpack(zip, folder)
  const keys = await openKeys(path.join(system.folder, 'data/keys'), Date.now())
  const other = path.join(system.folder, 'other')
  const own = path.join(other, 'tasks', done.id)
  const changed = (name: string, from: string, to: string) => async () => {
    const file = path.join(own, name)
    const text = await readFile(file, 'utf8')
    assert.ok(text.includes(from), `${name} holds ${from}`)
    await writeFile(file, text.replace(from, to))
  }
  const cases: [code: string, said: RegExp, change: () => Promise<void>][] = [
    ['RECORD_CHANGED', /no entry commits to it/, changed('journal.json', '"completed"', '"failed"')],
    ['RECORD_CHANGED', /not the one that the journal names/, changed('input.json', 'somebody', 'nobody')],
    ['RECORD_CHANGED', /not the one that the journal names/, changed('result.json', 'true', 'false')],
    ['ATTESTATION_INVALID', /the signature is not valid/, changed('provenance.dsse.json', '"sig":"M', '"sig":"N')],
    ['RECORD_CHANGED', /no file of a task/, () => writeFile(path.join(own, 'more.json'), '{}')],
    ['FILE_MISSING', /journal\.json/, () => rm(path.join(own, 'journal.json'))],
  ]
  for (const [code, said, change] of cases) {
    await rm(other, { recursive: true, force: true })
    await cp(folder, other, { recursive: true })
    await change()
    await signFolder(other, keys)
    assert.equal((await verifyBundle(await folderFiles(other), on)).fault?.code, code, String(said))
    const script = await verifySh(other)
    assert.equal(script.code, 1, String(said))
    assert.match(script.err, said)
  }
  // Left out is no fault, and said.
  await rm(other, { recursive: true, force: true })
  await cp(folder, other, { recursive: true })
  await rm(path.join(own, 'input.json'))
  await signFolder(other, keys)
  const less = await verifyBundle(await folderFiles(other), on)
  assert.deepEqual(less.fault, undefined)
  assert.match(JSON.stringify(less.checks), /"left out","what":"input\.json of task/)

  const writ = (...args: string[]) =>
    run(process.execPath, ['--disable-warning=ExperimentalWarning', 'packages/cli/src/main.ts', 'verify', ...args])
  assert.match((await writ(zip)).stdout, /1 task: as the log commits to/)
})
