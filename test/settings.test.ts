/** Settings whose effect no other test sees, each on a server that has it. */
import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import type { Submitted, TaskDetail } from '@writ/api'
import { loadConfig } from '../packages/server/src/config.ts'
import { openSandbox, type Tier } from '../packages/server/src/kinds/task/script/sandbox.ts'
import { missingBackend } from './servers/missing-backend.ts'
import { TestSystem, until } from './test-system.ts'
import { ok } from './verifies.ts'

const files = {
  'sleeps.py':
    'import time\ndef run(context):\n    began = time.time()\n    time.sleep(0.3)\n    return [began, time.time()]\n',
  'dials.py':
    'import socket\ndef run(context):\n    socket.create_connection(("127.0.0.1", context.get_arg("port")), 2)\n    return "connected"\n',
  'reads.py': 'def run(context):\n    return open(context.get_arg("path")).read()\n',
}

let folder: string
before(async () => {
  // Not in a folder that only we may enter: one tier is another user.
  folder = await mkdtemp(path.join(tmpdir(), 'writ-settings-'))
  await mkdir(path.join(folder, 'scripts'))
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(folder, 'scripts', name), text)
  await writeFile(path.join(folder, 'readable'), 'for everybody', { mode: 0o644 })
  await chmod(folder, 0o755)
})
after(() => rm(folder, { recursive: true, force: true }))

const skipOf = async (tier: Tier) => {
  const opened = await openSandbox(tier).catch((error: Error) => error)
  return missingBackend(`scripts in ${tier}`, opened instanceof Error ? opened.message : undefined)
}
const scripts = { bubblewrap: await skipOf('bubblewrap'), process: await skipOf('process') }

const withScripts = (env: Record<string, string>) =>
  TestSystem.start({ env: { WRIT_SCRIPTS_DIR: path.join(folder, 'scripts'), ...env } })

async function script(system: TestSystem, script_name: string, args: object = {}): Promise<TaskDetail> {
  const task = { handler: 'script.execute', input: { script_name, args }, max_attempts: 1 }
  const { id } = ok(await system.admin.post<Submitted>('/tasks', task), 201)
  return ok(await system.admin.get<TaskDetail>(`/tasks/${id}/wait?timeout=60`))
}

async function listening(): Promise<{ port: number } & AsyncDisposable> {
  const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1')
  await new Promise((done) => server.once('listening', done))
  const { port } = server.address() as { port: number }
  return { port, [Symbol.asyncDispose]: () => new Promise<void>((done) => void server.close(() => done())) }
}

test('MAX_CONCURRENT_SCRIPTS and WRIT_SCRIPTS_NETWORK: one script at a time, with the network', {
  skip: scripts.bubblewrap,
}, async () => {
  await using there = await listening()
  await using system = await withScripts({ MAX_CONCURRENT_SCRIPTS: '1', WRIT_SCRIPTS_NETWORK: 'true' })
  const all = await Promise.all([1, 2, 3].map(() => script(system, 'sleeps')))
  const spans = all.map(({ result }) => result as [number, number]).sort(([a], [b]) => a - b)
  for (const [i, [began]] of spans.slice(1).entries()) assert.ok(began >= spans[i]![1], 'they do not overlap')
  assert.equal((await script(system, 'dials', { port: there.port })).result, 'connected')
})

test('WRIT_SCRIPTS_SANDBOX=bubblewrap, and no network unless it is set: a script sees neither files nor machines', {
  skip: scripts.bubblewrap,
}, async () => {
  await using there = await listening()
  await using system = await withScripts({ WRIT_SCRIPTS_SANDBOX: 'bubblewrap', MAX_CONCURRENT_SCRIPTS: '2' })
  const both = await Promise.all([1, 2].map(() => script(system, 'sleeps')))
  const [[a, b], [c, d]] = both.map(({ result }) => result) as [[number, number], [number, number]]
  assert.ok(a < d && c < b, 'two at a time')
  const dialled = await script(system, 'dials', { port: there.port })
  assert.deepEqual([dialled.state, dialled.error_code], ['failed', 'SCRIPT_FAILED'])
  const read = await script(system, 'reads', { path: path.join(folder, 'readable') })
  assert.deepEqual([read.state, read.error_code], ['failed', 'SCRIPT_FAILED'])
})

test('WRIT_SCRIPTS_SANDBOX=process: a script sees what everybody may read', { skip: scripts.process }, async () => {
  await using system = await withScripts({ WRIT_SCRIPTS_SANDBOX: 'process' })
  assert.equal((await script(system, 'reads', { path: path.join(folder, 'readable') })).result, 'for everybody')
})

test('RETRY_MAX: a dispatch that says nothing of retries has so many', async () => {
  await using system = await TestSystem.start({ env: { RETRY_MAX: '2' } })
  const attempts = async (more: object) => {
    const body = { task: 'system.ping', taskData: {}, ...more }
    const { task_id } = ok(await system.admin.post<{ task_id: string }>('//dispatch', body))
    return ok(await system.admin.get<TaskDetail>(`/tasks/${task_id}`)).max_attempts
  }
  assert.equal(await attempts({}), 3)
  assert.equal(await attempts({ maxRetries: 5 }), 6)
})

test('WRIT_LOG_ROTATE_DAYS: a log of that age is continued in a new one', async () => {
  await using system = await TestSystem.start({ fakeClock: true, env: { WRIT_LOG_ROTATE_DAYS: '2' } })
  const logs = async () => ok(await system.admin.get<{ closed_at: string | null }[]>('/audit/logs'))
  const before = await logs()
  assert.deepEqual(
    before.map(({ closed_at }) => closed_at),
    [null],
  )
  system.advance(2 * 86_400_000 - 60_000)
  // Looked at each minute, and at a start.
  await system.restart()
  await system.settle()
  assert.equal((await logs()).length, 1)
  system.advance(60_000)
  await system.restart()
  await until('there is a second', async () => (await logs()).length === 2)
  await system.check()
})

test('ENVIRONMENT is checked, and changes nothing', () => {
  const load = (ENVIRONMENT: string) => loadConfig({ argv: [], cwd: folder, env: { ENVIRONMENT } })
  assert.deepEqual([load('production').config?.environment, load('staging').problems], ['production', undefined])
  const { config, problems } = load('plant')
  assert.equal(config, undefined)
  assert.match(problems!.join(), /ENVIRONMENT.*development, staging.*production/)
})
