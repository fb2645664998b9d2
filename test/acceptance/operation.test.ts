import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { Agent, get, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import type { AuditEvent, Run, Ticket } from '@writ/api'
import { removeFolder } from '../servers/guard.ts'
import { type TestSystem, until } from '../test-system.ts'
import { holds, ok, verifies } from '../verifies.ts'

const main = path.join(import.meta.dirname, '../../packages/server/src/main.js')
const lines = (word: string) => Array.from({ length: 20_000 }, (_, n) => `${word} ${n}`).join('\n')

/** A run whose judging takes seconds: two long files with nothing in common, compared as often as there are rules. */
async function startSlowRun(sys: TestSystem, rules: number): Promise<Run> {
  const rule = { validator: 'config_diff@4', params: {} }
  const definition = { rules: Array.from({ length: rules }, () => rule) }
  ok(await sys.admin.post('/rule-sets', { name: 'slow', definition }), 201)
  ok(await sys.employee.post('/tickets', { title: 'x' }))
  const expect = [
    { name: 'before.txt', role: 'before' },
    { name: 'after.txt', role: 'after' },
  ]
  const run = ok(
    await sys.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: 1, script_id: 'rules.slow', expect }),
  )
  ok(await sys.employee.upload(run.id, 'before.txt', lines('alpha')))
  ok(await sys.employee.upload(run.id, 'after.txt', lines('beta')))
  return run
}
const running = (sys: TestSystem, run: Run) =>
  until('the run is running', async () => ok(await sys.employee.get<Run>(`/runs/${run.id}`)).state === 'running')

verifies(
  'T34',
  'a run that takes longer than its limit ends as timeout',
  async (sys) => {
    const { id } = await startSlowRun(sys, 50)
    const run = await sys.waitFor(id)
    assert.deepEqual(
      [run.state, run.status, run.result_summary, run.stderr_log, run.error_code, run.exit_code],
      ['timeout', 'timeout', 'Run execution timed out', 'Execution exceeded timeout of 3 seconds', 'RUN_TIMEOUT', null],
    )
    assert.equal(
      Date.parse(run.timeout_at!) - Date.parse(run.started_at!),
      3_000,
      'it says when it is over at the latest',
    )
    const [event] = ok(await sys.admin.get<AuditEvent[]>('/audit/events?event_type=run.timeout'))
    assert.deepEqual([event?.resource_id, event?.success], [id, false])
    assert.equal(ok(await sys.employee.get<Ticket>('/tickets/1')).status, 'failed')
    // The thread that was stopped is not the last one.
    const next = ok(await sys.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: 1 }))
    ok(await sys.employee.upload(next.id, 'a.txt', 'a'))
    assert.equal((await sys.waitFor(next.id)).verdict, 'passed')
  },
  { env: { RUN_TIMEOUT_SECONDS: '3' } },
)

verifies(
  'T48',
  'a run that was running when the server was killed goes on when it is there again',
  async (sys) => {
    const run = await startSlowRun(sys, 2)
    await running(sys, run)
    await sys.kill9()
    await sys.restart({ process: false, fakeClock: true })
    // A lone server takes its own leases back at once; beside others it waits until the lease of the dead has run out.
    if (sys.databaseUrl) {
      assert.equal(ok(await sys.employee.get<Run>(`/runs/${run.id}`)).state, 'running')
      sys.advance(31_000)
    }
    const settled = await sys.waitFor(run.id)
    assert.deepEqual([settled.state, settled.verdict, settled.attempt], ['completed', 'failed', 2])
    const events = ok(await sys.admin.get<AuditEvent[]>('/audit/events?resource_type=run&limit=1000'))
    assert.deepEqual(events.map((one) => one.event_type).toReversed(), [
      'run.created',
      'run.started',
      'run.requeued',
      'run.started',
      'run.failed',
    ])
  },
  { process: true },
)

holds(
  'a server that is stopped gives its runs back, and the next one finishes them',
  async (sys) => {
    const run = await startSlowRun(sys, 2)
    await running(sys, run)
    await sys.restart()
    const settled = await sys.waitFor(run.id)
    assert.deepEqual([settled.state, settled.verdict, settled.attempt], ['completed', 'failed', 1])
  },
  { env: { WRIT_SHUTDOWN_GRACE_SECONDS: '0' } },
)

/** A server without a TestSystem around it: for how it starts and ends. */
async function serve(folder: string, env: Record<string, string>) {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main], {
    cwd: folder,
    env: { PATH: process.env.PATH, PORT: '0', WRIT_DATA_DIR: path.join(folder, 'data'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said = { out: '', err: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.err += text))
  return { child, said, ended: once(child, 'close').then(([code, signal]) => ({ code, signal })) }
}
const ready = (said: { out: string }) => until('the server is ready', async () => said.out.includes('is ready at'))

async function inFolder(work: (folder: string, started: ChildProcess[]) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-operation-'))
  const started: ChildProcess[] = []
  try {
    await work(folder, started)
  } finally {
    for (const child of started) child.kill('SIGKILL')
    removeFolder(folder)
  }
}

test('SIGTERM stops the server cleanly, and the same data serves again', () =>
  inFolder(async (folder, started) => {
    for (let time = 0; time < 2; time++) {
      const server = await serve(folder, {})
      started.push(server.child)
      await ready(server.said)
      assert.equal(server.said.out.includes('One-time password, shown only now: '), time === 0)
      server.child.kill('SIGTERM')
      assert.deepEqual(await server.ended, { code: 0, signal: null })
      assert.equal(server.said.err, '')
    }
  }))

test('who asks by a kept connection while it stops is answered once more, and let go', () =>
  inFolder(async (folder, started) => {
    const server = await serve(folder, {})
    started.push(server.child)
    await ready(server.said)
    const url = /http:\/\/localhost:(\d+)/.exec(server.said.out)!
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const ask = async () => {
      const request = get({ host: '127.0.0.1', port: url[1], path: '/api/v1/health', agent })
      const [answer] = (await once(request, 'response')) as [IncomingMessage]
      await text(answer)
      return { status: answer.statusCode, connection: answer.headers.connection, kept: request.reusedSocket }
    }
    assert.deepEqual(await ask(), { status: 200, connection: 'keep-alive', kept: false })
    server.child.kill('SIGTERM')
    await until('it stops', async () => server.said.out.includes('stopping'))
    assert.deepEqual(await ask(), { status: 200, connection: 'close', kept: true })
    assert.deepEqual(await server.ended, { code: 0, signal: null })
  }))

test('who waits for a task is answered as it is when the server stops, and holds it up no longer', () =>
  inFolder(async (folder, started) => {
    const password = 'correct horse battery'
    const server = await serve(folder, { WRIT_ADMIN_USERNAME: 'admin', WRIT_ADMIN_PASSWORD: password })
    started.push(server.child)
    await ready(server.said)
    const base = `http://127.0.0.1:${/http:\/\/localhost:(\d+)/.exec(server.said.out)![1]}/api/v1`
    const post = async (where: string, body: object, token = '') => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
      const answer = await fetch(`${base}${where}`, { method: 'POST', headers, body: JSON.stringify(body) })
      return (await answer.json()) as { id: string; access_token: string }
    }
    const { access_token: token } = await post('/auth/login', { username: 'admin', password })
    const { id } = await post('/tasks', { handler: 'system.ping', run_at: '2100-01-01T00:00:00Z' }, token)
    const begun = performance.now()
    const waits = fetch(`${base}/tasks/${id}/wait?timeout=60`, { headers: { authorization: `Bearer ${token}` } })
    // It has to have arrived.
    await new Promise((later) => setTimeout(later, 500))
    server.child.kill('SIGTERM')
    const answer = await waits
    assert.deepEqual([answer.status, ((await answer.json()) as Run).state], [200, 'pending'])
    assert.deepEqual(await server.ended, { code: 0, signal: null })
    assert.ok(performance.now() - begun < 45_000, 'it was not waited for')
  }))

test('a client that does not finish its request is cut off when the grace of a stop is over', () =>
  inFolder(async (folder, started) => {
    const server = await serve(folder, { WRIT_SHUTDOWN_GRACE_SECONDS: '1' })
    started.push(server.child)
    await ready(server.said)
    const client = connect({ host: '127.0.0.1', port: Number(/http:\/\/localhost:(\d+)/.exec(server.said.out)![1]) })
    const closed = once(client, 'close')
    const head =
      'POST /api/v1/auth/login HTTP/1.1\r\nhost: writ\r\ncontent-type: application/json\r\ncontent-length: 100'
    client.on('error', () => {}).write(`${head}\r\nexpect: 100-continue\r\n\r\n{"username"`)
    // The server has begun to read it.
    await once(client, 'data')
    server.child.kill('SIGTERM')
    const late = setTimeout(() => client.destroy(), 30_000)
    await closed
    clearTimeout(late)
    assert.deepEqual(await server.ended, { code: 0, signal: null })
    assert.match(server.said.out, /not over within the grace are cut off/)
  }))

test('a second server on the same data refuses to start, and says why', () =>
  inFolder(async (folder, started) => {
    const first = await serve(folder, {})
    started.push(first.child)
    await ready(first.said)
    const second = await serve(folder, {})
    started.push(second.child)
    assert.deepEqual(await second.ended, { code: 1, signal: null })
    assert.match(second.said.err, /^Writ cannot go on: .*(another|already|lock)/im)
    first.child.kill('SIGTERM')
    assert.equal((await first.ended).code, 0)
  }))

test('wrong settings are refused all at once, each with what was expected and without its secret', () =>
  inFolder(async (folder, started) => {
    const server = await serve(folder, { PORT: 'eighty', SECRET_KEY: 'hunter2-too-short', WRIT_NONSENSE: '1' })
    started.push(server.child)
    assert.deepEqual(await server.ended, { code: 2, signal: null })
    const said = server.said.err.trim().split('\n')
    assert.equal(said.length, 3, server.said.err)
    assert.match(server.said.err, /^PORT \(environment\): expected a whole number from 0 to 65535, found "eighty"$/m)
    assert.match(server.said.err, /^SECRET_KEY \(environment\): expected .*32/m)
    assert.match(server.said.err, /^WRIT_NONSENSE \(environment\): no such setting/m)
    assert.doesNotMatch(server.said.err, /hunter2/)
  }))

test('an address that others can reach needs a secret key', () =>
  inFolder(async (folder, started) => {
    const server = await serve(folder, { HOST: '0.0.0.0' })
    started.push(server.child)
    assert.deepEqual(await server.ended, { code: 2, signal: null })
    assert.match(server.said.err, /^SECRET_KEY: has to be set/)
  }))
