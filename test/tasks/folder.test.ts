import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { ConcurrencyKey, HandlerInfo, NewTask, Submitted, TaskDetail } from '@writ/api'
import { backends } from '../backends.ts'
import { freePort } from '../servers/free-port.ts'
import { type StartOptions, TestSystem, until } from '../test-system.ts'

const GREET = `
import { defineHandler } from '@writ/sdk/handlers'
import { word } from './_word.ts'
interface Input { readonly name: string }
export default defineHandler({
  name: 'greet',
  title: 'Greets',
  input: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
  async run(input, ctx) {
    console.log('greeting', (input as Input).name)
    ctx.log('attempt ' + ctx.attempt)
    return { text: word + ', ' + (input as Input).name, secret: process.env.GREETING_KEY ?? null, other: process.env.PATH ?? null }
  },
})`

/** Handlers that go wrong in every way that takes a process with it. */
const ROUGH = `
import { TaskError } from '@writ/sdk/handlers'
export const block = { name: 'block', timeoutMs: 300, run() { for (;;); } }
export const exit = { name: 'exit', maxAttempts: 2, run(_, { attempt }) {
  console.error('about to leave')
  if (attempt === 1) process.exit(3)
  return 'second time'
} }
export const leak = { name: 'leak', async run() {
  const kept = []
  for (;;) {
    kept.push(Buffer.alloc(8 * 2 ** 20, 1))
    await new Promise((later) => setTimeout(later, 5))
  }
} }
export const heap = { name: 'heap', run() { const kept = []; for (;;) kept.push(new Array(10_000).fill({})) } }
export const refuse = { name: 'refuse', maxAttempts: 3, run() { throw new TaskError('NOT_TODAY', 'come back', { retryable: false }) } }
export const pid = { name: 'pid', run: () => process.pid }
export const slow = { name: 'slow', run: async (input, { signal }) => {
  await new Promise((done) => { setTimeout(done, input.ms); signal.addEventListener('abort', done) })
  return process.pid
} }
export const chatty = { name: 'chatty', run() { for (let i = 0; i < 50_000; i++) console.log('line ' + i); return null } }
export const pieces = { name: 'pieces', async run(_, { step }) {
  // A step goes to the server and back: what was written before it has been read by then.
  const write = async (name, text) => {
    await new Promise((done) => process.stdout.write(text, done))
    await step(name, () => null)
  }
  await write('first', 'one\\n\\nsign in with passw')
  await write('second', 'ord=hunter2 now\\ntw')
  await write('third', 'o')
} }
export const lastly = { name: 'lastly', maxAttempts: 1, run({ fail }) {
  const stream = fail ? process.stderr : process.stdout
  for (let i = 0; i < 400; i++) stream.write('x'.repeat(999) + '\\n')
  stream.write('the end')
  if (fail) throw new Error('no')
  return null
} }
export const steps = { name: 'steps', maxAttempts: 3, async run(_, { step, attempt, traceparent }) {
  const first = await step('first', () => attempt)
  const failed = await step('second', () => { throw new TaskError('NOT_YET', 'second') }).catch((error) => error.code)
  if (attempt === 1) process.exit(1)
  return { first, attempt, failed, traced: /^00-[0-9a-f]{32}-[0-9a-f]{16}-/.test(traceparent) }
} }
export const family = { name: 'family', perKey: { concurrency: 1 }, async run(input, { dispatch, waitFor, concurrencyKey, pauseKey }) {
  const refused = await dispatch('nobody', { handler: 'nobody' }).catch((error) => error.code)
  const child = await dispatch('child', { handler: 'pid' })
  const { state, result } = await waitFor(child)
  await pauseKey('some other', Date.now() + 60_000)
  return { refused, state, result: typeof result, concurrencyKey }
} }
export const big = { name: 'big', run: () => 'x'.repeat(2 ** 20) }
`

type Scene = Awaited<ReturnType<typeof startScene>>

/** A system with a folder of handlers, which holds these files at its start. */
async function startScene(
  start: (options: StartOptions) => Promise<TestSystem>,
  files: Record<string, string>,
  env: Record<string, string> = {},
) {
  const dir = await mkdtemp(path.join(tmpdir(), 'writ-handlers-'))
  const write = (name: string, text: string) => writeFile(path.join(dir, name), text)
  for (const [name, text] of Object.entries(files)) await write(name, text)
  const system = await start({
    env: { WRIT_HANDLERS_DIR: dir, WRIT_HANDLERS_PROCESSES: '2', ...env },
  })
  const { admin } = system
  const dispatch = async (handler: string, input: unknown = {}, more: Partial<NewTask> = {}) => {
    const answer = await admin.post<Submitted>('/tasks', { handler, input, ...more })
    assert.equal(answer.status, 201, JSON.stringify(answer.body))
    return answer.body.id
  }
  const ended = async (id: string) => {
    const { body } = await admin.get<TaskDetail>(`/tasks/${id}/wait?timeout=30`)
    assert.ok(body.completed_at !== null, `task ${id} is still ${body.state}`)
    return body
  }
  const find = async (name: string) =>
    (await admin.get<HandlerInfo[]>('/handlers')).body.find((one) => one.name === name)
  return {
    system,
    dir,
    write,
    remove: (name: string) => rm(path.join(dir, name)),
    dispatch,
    ended,
    find,
    run: async (handler: string, input?: unknown, more?: Partial<NewTask>) =>
      ended(await dispatch(handler, input, more)),
    async [Symbol.asyncDispose]() {
      await system[Symbol.asyncDispose]()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

for (const backend of backends()) {
  const scene = (files: Record<string, string>, env?: Record<string, string>) => startScene(backend.start, files, env)

  test(`what a handler writes in pieces is kept in lines, and no secret goes by in halves (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using on = await scene({ 'rough.ts': ROUGH })
    const { state, log } = await on.run('pieces')
    assert.equal(state, 'completed')
    assert.equal(log?.replace(/:[0-9a-f]{8}\]/, ']'), 'one\nsign in with password=[REDACTED:assigned-secret] now\ntwo')
  })

  test(`what a handler writes last is kept, whether it answers or fails (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using on = await scene({ 'rough.ts': ROUGH })
    for (const [fail, ends] of [
      [false, 'completed'],
      [true, 'failed'],
    ] as const) {
      const { state, log } = await on.run('lastly', { fail })
      assert.equal(state, ends)
      assert.ok(log?.endsWith('the end'), `ends with ${log?.slice(-20)}`)
    }
  })

  test(`a handler of the folder does tasks, and sees no environment but what is named (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using on = await scene(
      { 'greet.ts': GREET, '_word.ts': "export const word: string = 'Hello'" },
      { WRIT_HANDLERS_ENV: 'GREETING_KEY,NOT_SET', GREETING_KEY: 'k' },
    )
    const info = await on.find('greet')
    assert.deepEqual(
      [info?.source, info?.title, info?.timeout_ms, info?.enabled, info?.fault],
      ['folder', 'Greets', 60_000, true, null],
    )
    const task = await on.run('greet', { name: 'Ada' })
    assert.equal(task.state, 'completed', JSON.stringify(task))
    assert.deepEqual(task.result, { text: 'Hello, Ada', secret: 'k', other: null })
    assert.equal(task.log, 'greeting Ada\nattempt 1')
    const refused = await on.system.admin.post('/tasks', { handler: 'greet', input: {} })
    assert.equal(refused.status, 422)
    await on.system.settle()
    await on.system.check()
  })

  test(`handlers that block, crash and leak lose their own attempt and nothing else (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using on = await scene({ 'rough.mjs': ROUGH }, { WRIT_HANDLERS_MEMORY_MB: '200' })
    const [blocked, crashed, bystander] = await Promise.all([
      on.run('block'),
      on.run('exit'),
      on.run('slow', { ms: 50 }),
    ])
    assert.deepEqual([blocked.state, blocked.error_code], ['timeout', 'TASK_TIMEOUT'])
    assert.equal(bystander.state, 'completed')
    assert.deepEqual([crashed.state, crashed.result], ['completed', 'second time'])
    assert.deepEqual(
      crashed.attempts.map(({ outcome, error_code }) => [outcome, error_code]),
      [
        ['failed', 'HANDLER_CRASHED'],
        ['completed', null],
      ],
    )
    assert.match(crashed.attempts[0]?.error ?? '', /exit code 3/)
    const [leaked, heap] = await Promise.all([on.run('leak'), on.run('heap')])
    assert.deepEqual([leaked.state, leaked.error_code], ['failed', 'HANDLER_CRASHED'])
    assert.match(leaked.error ?? '', /MiB of memory; at most 200/)
    assert.deepEqual([heap.state, heap.error_code], ['failed', 'HANDLER_CRASHED'])
    const stepped = await on.run('steps')
    assert.deepEqual(stepped.result, { first: 1, attempt: 2, failed: 'NOT_YET', traced: true })
    const family = await on.ended(await on.dispatch('family', {}, { concurrency_key: 'one' }))
    assert.deepEqual(family.result, {
      refused: 'TASK_UNKNOWN_HANDLER',
      state: 'completed',
      result: 'number',
      concurrencyKey: 'one',
    })
    const keys = await on.system.admin.get<ConcurrencyKey[]>('/concurrency-keys')
    assert.deepEqual(
      keys.body.map(({ key, active }) => [key, active]),
      [['some other', 0]],
    )
    const refused = await on.run('refuse')
    assert.deepEqual([refused.error_code, refused.attempts.length], ['NOT_TODAY', 1])
    assert.equal((await on.run('big')).error_code, 'RESULT_TOO_LARGE')
    const chatty = await on.run('chatty')
    assert.equal(chatty.state, 'completed')
    assert.ok((chatty.log ?? '').endsWith('line 49999'))
    assert.ok((chatty.log ?? '').length <= 64 * 1024)
    assert.equal((await on.system.anonymous.get('/health')).status, 200)
    await on.system.settle()
    await on.system.check()
  })

  test(`a changed file counts from the next task on; a broken one leaves the last good version (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    const version = (text: string) => `
      export default { name: 'version', run: async (input) => {
        if (input.ms) await new Promise((later) => setTimeout(later, input.ms))
        return '${text}'
      } }`
    await using on = await scene({
      'version.mjs': version('one'),
      'other.mjs': "export default { name: 'other', run: () => 1 }",
    })
    const old = await on.dispatch('version', { ms: 2_500 })
    await until(
      'it runs',
      async () => (await on.system.admin.get<TaskDetail>(`/tasks/${old}`)).body.state === 'running',
    )
    await on.write('version.mjs', version('two'))
    await until('the new version is there', async () => (await on.run('version')).result === 'two')
    assert.equal((await on.ended(old)).result, 'one')

    await on.write('version.mjs', 'export default { name: ')
    await until('the file is known to be broken', async () => (await on.find('version'))?.fault != null)
    assert.match(on.system.log(), /"file":"version\.mjs","reason":".*a file of handlers does not load/)
    assert.equal((await on.run('version')).result, 'two')
    assert.equal((await on.run('other')).result, 1)

    await on.write('new.mjs', "export default { name: 'other', run: () => 2 }")
    await until(
      'the new file is refused',
      async () => (await on.find('other.mjs'))?.fault != null || (await on.find('new.mjs'))?.fault != null,
    )
    assert.equal((await on.run('other')).result, 1)

    await on.write('place.ts', "export default {\n  name: 'place',\n  run: async () => 1\n")
    await until('the line is named', async () => /\(place\.ts:3\)$/.test((await on.find('place.ts'))?.fault ?? ''))
    await on.write('place.ts', "\nthrow new Error('at load')\n")
    await until('the line is named', async () => (await on.find('place.ts'))?.fault === 'at load (place.ts:2)')
    await on.remove('place.ts')

    // A limit that is misspelt would be none, and so would a schema.
    await on.write('typo.mjs', "export default { name: 'typo', timeout_ms: 5, run: () => 1 }")
    await until('the misspelt field is named', async () =>
      /timeout_ms is no field of a handler; did you mean timeoutMs\?/.test((await on.find('typo.mjs'))?.fault ?? ''),
    )
    await on.write('typo.mjs', "export default { name: 'typo', input: { type: 'strng' }, run: () => 1 }")
    await until('the misspelt schema is named', async () =>
      /the schema of its input is none: \/type must be/.test((await on.find('typo.mjs'))?.fault ?? ''),
    )
    const asked = await on.system.admin.get<HandlerInfo>('/handlers/typo.mjs')
    assert.match(asked.body.fault ?? '', /the schema of its input is none/)
    await on.remove('typo.mjs')

    await on.remove('version.mjs')
    await until('its handler is gone', async () => (await on.find('version')) === undefined)
    const gone = await on.system.admin.post('/tasks', { handler: 'version', input: {} })
    assert.equal(gone.status, 422)
  })
}

test('tasks wait for a process without losing time of their own, and a cancel reaches the one that runs', async () => {
  await using on = await startScene(TestSystem.start, { 'rough.mjs': ROUGH }, { WRIT_HANDLERS_PROCESSES: '1' })
  const ids = await Promise.all([1, 2, 3].map(() => on.dispatch('slow', { ms: 1_000 }, { timeout_ms: 2_500 })))
  const ended = await Promise.all(ids.map(on.ended))
  assert.deepEqual(
    ended.map(({ state }) => state),
    ['completed', 'completed', 'completed'],
  )
  assert.equal(new Set(ended.map(({ result }) => result)).size, 1, 'all in one process')
  const long = await on.dispatch('slow', { ms: 60_000 })
  await until('it runs', async () => (await on.system.admin.get<TaskDetail>(`/tasks/${long}`)).body.state === 'running')
  await on.system.admin.post(`/tasks/${long}/cancel`)
  assert.equal((await on.ended(long)).state, 'cancelled')
})

test('the example is a handler', async () => {
  await using system = await TestSystem.start({
    env: { WRIT_HANDLERS_DIR: path.join(import.meta.dirname, '../../examples/handlers') },
  })
  const open = new URL(system.base).host
  const closed = `127.0.0.1:${await freePort()}`
  const { body } = await system.admin.post<Submitted>('/tasks', {
    handler: 'port_check',
    input: { targets: [open, closed] },
  })
  const task = (await system.admin.get<TaskDetail>(`/tasks/${body.id}/wait`)).body
  const { answers } = task.result as { answers: { target: string; open: boolean; error?: string }[] }
  assert.deepEqual(
    answers.map((one) => [one.target, one.open, one.error]),
    [
      [open, true, undefined],
      [closed, false, 'ECONNREFUSED'],
    ],
  )
  assert.equal(task.log, '1 of 2 are open')
})

test('a process is replaced after its tasks', async () => {
  await using on = await startScene(
    TestSystem.start,
    { 'rough.mjs': ROUGH },
    { WRIT_HANDLERS_PROCESSES: '1', WRIT_HANDLERS_MAX_TASKS: '2' },
  )
  const pids: unknown[] = []
  for (let i = 0; i < 4; i++) pids.push((await on.run('pid')).result)
  assert.equal(pids[0], pids[1])
  assert.notEqual(pids[1], pids[2])
  assert.equal(pids[2], pids[3])
})

test('a server that is killed leaves no process of handlers, not even a blocked one', async () => {
  const file = `
    import { writeFileSync } from 'node:fs'
    export const idle = { name: 'idle', run: () => process.pid }
    export const block = { name: 'block', run() { writeFileSync('pid.txt', String(process.pid)); for (;;); } }`
  await using on: Scene = await startScene(TestSystem.start, { 'stay.mjs': file })
  await on.system.restart({ process: true })
  const [, idle] = await Promise.all([on.dispatch('block'), on.run('idle')])
  const blocked = () => readFile(path.join(on.dir, 'pid.txt'), 'utf8').catch(() => '')
  await until('it runs', async () => (await blocked()) !== '')
  const pids = [Number(idle.result), Number(await blocked())]
  assert.ok(pids.every(alive))
  await on.system.kill9()
  await until('its processes ended', async () => !pids.some(alive))
})

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
