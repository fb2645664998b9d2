/** What tasks print, read while they run: by the server's own handlers, by processes of a folder, by workers elsewhere. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { ClaimedTask, KeptLines, NewTask, Submitted, TaskLog, WorkerLines, WorkResult } from '@writ/api'
import { createClient, createWorker, TaskError, type WritError } from '../../packages/sdk/src/index.ts'
import { createAttemptLog } from '../../packages/server/src/kinds/task/attempt-log.ts'
import { findLogEnd, keepChunks, listChunks } from '../../packages/server/src/kinds/task/store-log.ts'
import { backends } from '../backends.ts'
import { writ } from '../evidence/command-line.ts'
import { removeFolder } from '../servers/guard.ts'
import { type TestSystem, until } from '../test-system.ts'
import { dispatcherOf, handlerOf } from './dispatch.ts'

/** Doors that a handler waits at until a test opens them. */
function doors() {
  const all = new Map<string, PromiseWithResolvers<void>>()
  const door = (name: string) => {
    const one = all.get(name) ?? Promise.withResolvers<void>()
    all.set(name, one)
    return one
  }
  return { open: (name: string) => door(name).resolve(), at: (name: string) => door(name).promise }
}

async function sceneOf(system: TestSystem) {
  const made = await system.admin.post<{ token: string }>('/tokens', { name: 't', role: 'admin', scopes: ['*'] })
  const client = createClient({ url: system.base, token: made.body.token })
  const dispatch = async (handler: string, more: Partial<NewTask> = {}) => {
    const answer = await system.admin.post<Submitted>('/tasks', { handler, input: {}, ...more })
    assert.equal(answer.status, 201, JSON.stringify(answer.body))
    return answer.body.number
  }
  const read = (id: number, query: { attempt?: number; after?: number; tail?: number; limit?: number } = {}) =>
    client.tasks.log({ params: { id }, query })
  const shows = (id: number, text: string, attempt = 1) =>
    until(`the log shows ${text}`, async () => linesOf(await read(id, { attempt, tail: 100 })).includes(text))
  const ended = (id: number) => client.tasks.wait({ params: { id }, query: { timeout: 20 } })
  return { client, dispatch, read, shows, ended, token: made.body.token }
}

const linesOf = (...logs: readonly TaskLog[]): string[] =>
  logs.flatMap(({ chunks }) => chunks.flatMap(({ lines }) => lines))
const KEY = '-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----'

for (const backend of backends()) {
  const { name, skip } = backend

  test(`lines are read while the attempt runs, without secrets, and stay with each attempt (${name})`, {
    skip,
  }, async () => {
    const { open, at } = doors()
    const prints = handlerOf(
      'test.prints',
      async (_, { log, attempt }) => {
        log(`attempt ${attempt} begins`)
        log('password: hunter2hunter2')
        log(KEY.split('\n')[0]!)
        await at(`key ${attempt}`)
        for (const line of KEY.split('\n').slice(1)) log(line)
        log('two\nlines')
        await at(`end ${attempt}`)
        log('the end')
        if (attempt === 1) throw new Error('once more')
        return 1
      },
      { maxAttempts: 2 },
    )
    await using system = await backend.start({ testHandlers: [prints] })
    const on = await sceneOf(system)
    const id = await on.dispatch('test.prints')
    await on.shows(id, 'attempt 1 begins')
    const begun = await on.read(id)
    assert.equal(begun.outcome, 'running')
    assert.deepEqual([begun.complete, begun.final, begun.attempt, begun.attempts], [false, false, 1, 1])
    // What may be half of a key waits for its other half.
    assert.deepEqual(linesOf(begun).length, 2)
    assert.match(linesOf(begun)[1]!, /^password: \[REDACTED:assigned-secret:/)
    open('key 1')
    await on.shows(id, 'lines')
    const keyed = await on.read(id)
    assert.match(linesOf(keyed)[2]!, /^\[REDACTED:private-key:[0-9a-f]{8}\]$/)
    assert.deepEqual(linesOf(keyed).slice(3), ['two', 'lines'])
    assert.doesNotMatch(JSON.stringify(keyed), /MIIEvQ|hunter2/)

    open('end 1')
    open('key 2')
    await on.shows(id, 'attempt 2 begins', 2)
    const first = await on.read(id, { attempt: 1 })
    assert.deepEqual([first.outcome, first.complete, first.final], ['failed', true, false])
    assert.deepEqual(linesOf(first).slice(-2), ['lines', 'the end'])
    open('end 2')
    const task = await on.ended(id)
    const second = await on.read(id)
    assert.deepEqual([second.attempt, second.outcome, second.final], [2, 'completed', true])
    assert.deepEqual(linesOf(second).join('\n'), task.log)

    // Parts of it.
    assert.deepEqual(linesOf(await on.read(id, { tail: 2 })), ['lines', 'the end'])
    const part = await on.read(id, { attempt: 1, after: 3, limit: 1 })
    assert.deepEqual([linesOf(part), part.chunks[0]!.first_line, part.last_line, part.more], [['two'], 4, 4, true])
    await assert.rejects(on.read(id, { attempt: 3 }), (error: WritError) => error.code === 'ATTEMPT_NOT_FOUND')
    const other = await system.employee.get(`/tasks/${id}/log`)
    assert.deepEqual([other.status, (other.body as { code: string }).code], [403, 'TASK_VIEW_DENIED'])
  })

  test(`a log is followed over its attempts, and from where a stream broke off (${name})`, { skip }, async () => {
    const { open, at } = doors()
    const counts = handlerOf(
      'test.counts',
      async (_, { log, attempt }) => {
        log(`${attempt}: one`)
        await at(`${attempt}`)
        log(`${attempt}: two`)
        if (attempt === 1) throw new TaskError('AGAIN', 'again')
        return 1
      },
      { maxAttempts: 2 },
    )
    await using system = await backend.start({ testHandlers: [counts] })
    const on = await sceneOf(system)
    const id = await on.dispatch('test.counts')
    const heard: string[] = []
    const outcomes: unknown[] = []
    for await (const log of on.client.followLog({ task: id })) {
      heard.push(...linesOf(log))
      outcomes.push(log.outcome)
      if (heard.at(-1) === '1: one') open('1')
      if (heard.at(-1) === '2: one') open('2')
    }
    assert.deepEqual(heard, ['1: one', '1: two', '2: one', '2: two'])
    assert.equal(outcomes.at(-1), 'completed')

    // By hand, as a browser comes back.
    const resume = async (after: string) => {
      const answer = await fetch(`${system.base}/api/v1/tasks/${id}/log`, {
        headers: { authorization: `Bearer ${on.token}`, accept: 'text/event-stream', 'last-event-id': after },
      })
      return { status: answer.status, text: await answer.text() }
    }
    const rest = await resume('1.1')
    assert.deepEqual(rest.text.match(/^id: .*$/gm), ['id: 1.2', 'id: 2.2'])
    assert.match(rest.text, /"lines":\["1: two"\]/)
    assert.doesNotMatch(rest.text, /1: one/)
    assert.equal((await resume('no place')).status, 422)
    // One attempt alone.
    const alone: string[] = []
    for await (const log of on.client.followLog({ task: id, attempt: 1, tail: 1 })) alone.push(...linesOf(log))
    assert.deepEqual(alone, ['1: two'])
    const { code, out } = await writ(system, system.folder, 'task', 'log', String(id), '--follow', '--attempt', '1')
    assert.deepEqual([code, out], [0, '1: one\n1: two\n'])
  })

  test(`of what is printed faster than it is kept the newest stays, and the numbers tell (${name})`, {
    skip,
  }, async () => {
    const { open, at } = doors()
    const floods = handlerOf('test.floods', async (_, { log }) => {
      for (let i = 1; i <= 20_000; i++) log(`line ${i}`)
      await at('end')
      log('the end')
    })
    await using system = await backend.start({ testHandlers: [floods] })
    const on = await sceneOf(system)
    const id = await on.dispatch('test.floods')
    await on.shows(id, 'line 20000')
    const [first] = (await on.read(id)).chunks
    assert.ok(first!.first_line > 1)
    assert.equal(first!.lines[0], `line ${first!.first_line}`)
    open('end')
    await on.ended(id)
    const end = await on.read(id, { tail: 1 })
    assert.deepEqual([linesOf(end), end.last_line], [['the end'], 20_001])

    // Of a long one the oldest lines go; those that stay keep their numbers.
    const by = await dispatcherOf(system.app, { ...system.admin, role: 'admin' })
    const { id: runId } = await by.find(id)
    const printed = Array.from({ length: 1_000 }, () => 'x')
    for (let i = 0; i < 60; i++)
      await by.write((tx) => keepChunks(tx, [{ runId, attempt: 2, fence: 1, printed, leftOut: 0, at: 0, last: false }]))
    const [oldest] = await by.read((tx) => listChunks(tx, runId, 2, 0, 1))
    const { line } = await by.read((tx) => findLogEnd(tx, runId, 2))
    assert.equal(line, 60_000)
    assert.ok(oldest!.first_line > 1_000 && oldest!.first_line <= 10_001, String(oldest!.first_line))
  })

  test(`lines of a process of the folder and of a worker elsewhere are read while they run (${name})`, {
    skip,
  }, async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'writ-log-handlers-'))
    await mkdir(path.join(dir, 'handlers'))
    const gate = path.join(dir, 'gate')
    await writeFile(
      path.join(dir, 'handlers/says.ts'),
      `import { existsSync } from 'node:fs'
export default { name: 'says', async run(_, { log }) {
  console.log('from the process')
  while (!existsSync(${JSON.stringify(gate)})) await new Promise((later) => setTimeout(later, 20))
  log('and its end')
} }`,
    )
    try {
      await using system = await backend.start({ env: { WRIT_HANDLERS_DIR: path.join(dir, 'handlers') } })
      const on = await sceneOf(system)
      const { open, at } = doors()
      const errors: unknown[] = []
      const worker = createWorker(on.client, { concurrency: 2, onError: (error) => errors.push(error) })
      worker.handle('elsewhere', { maxAttempts: 2 }, async (_, { log, attempt }) => {
        log(`attempt ${attempt}`)
        log('token:')
        await at(`value ${attempt}`)
        log('0123456789abcdef')
        log('printed')
        await at(`end ${attempt}`)
        log('the end')
        if (attempt === 1) throw new Error('once more')
        return 1
      })
      const stop = new AbortController()
      const running = worker.run(stop.signal)
      try {
        const local = await on.dispatch('says')
        await on.shows(local, 'from the process')
        await writeFile(gate, '')
        await on.ended(local)
        assert.deepEqual(linesOf(await on.read(local)), ['from the process', 'and its end'])

        await until('the worker has said what it has', async () =>
          (await on.client.tasks.handlers()).some((one) => one.name === 'elsewhere'),
        )
        const id = await on.dispatch('elsewhere')
        await on.shows(id, 'attempt 1')
        // Its value is redacted together with its name.
        assert.deepEqual(linesOf(await on.read(id)), ['attempt 1'])
        open('value 1')
        await on.shows(id, 'printed')
        open('end 1')
        open('value 2')
        await on.shows(id, 'attempt 2', 2)
        const first = linesOf(await on.read(id, { attempt: 1 }))
        assert.deepEqual([first[0], ...first.slice(-2)], ['attempt 1', 'printed', 'the end'])
        assert.match(first[2]!, /REDACTED/)
        open('end 2')
        const task = await on.ended(id)
        assert.equal(linesOf(await on.read(id)).join('\n'), task.log)
        assert.deepEqual(errors, [])
      } finally {
        for (const n of [1, 2]) for (const door of ['value', 'end']) open(`${door} ${n}`)
        stop.abort()
        await running
      }
    } finally {
      await removeFolder(dir)
    }
  })

  test(`lines that a worker elsewhere sends twice are kept once (${name})`, { skip }, async () => {
    await using system = await backend.start()
    const on = await sceneOf(system)
    const by = { authorization: `Bearer ${on.token}`, 'content-type': 'application/json' }
    const ask = async <T>(verb: string, body: object) => {
      const answer = await fetch(`${system.base}/api/v1/workers/${verb}`, {
        method: 'POST',
        headers: by,
        body: JSON.stringify(body),
      })
      return { status: answer.status, body: (await answer.json()) as T }
    }
    const claim = async () => {
      const handlers = [{ name: 'far', max_attempts: 2 }]
      const body = { worker: 'w', queues: ['api'], handlers, wait_seconds: 20 }
      return (await ask<{ tasks: ClaimedTask[] }>('claim', body)).body.tasks[0]!
    }
    const say = async (lease: string, said: Omit<WorkerLines, 'lease'>) => {
      const { status, body } = await ask<KeptLines & { code?: string; detail?: string; errors?: unknown }>('log', {
        logs: [{ lease, ...said }],
      })
      return status === 200 ? body.logs[0]!.kept : body
    }
    const settle = (lease: string, said: Omit<WorkResult, 'lease'>) => ask('settle', { results: [{ lease, ...said }] })
    await ask('claim', { worker: 'w', queues: ['api'], handlers: [{ name: 'far', max_attempts: 2 }] })
    const id = await on.dispatch('far')
    const { lease } = await claim()
    assert.equal(await say(lease, { lines: ['a', 'b', 'c'], first: 1 }), 3)
    assert.equal(await say(lease, { lines: ['a', 'b', 'c'], first: 1 }), 3)
    assert.equal(await say(lease, { lines: ['b'], first: 2 }), 1)
    assert.equal(await say(lease, { lines: ['b', 'c', 'd'], first: 2 }), 3)
    assert.deepEqual(linesOf(await on.read(id)), ['a', 'b', 'c', 'd'])
    // Both at once: whoever comes second finds what the first has kept.
    await Promise.all([1, 2, 3, 4].map(() => say(lease, { lines: ['e', 'f'], first: 5 })))
    assert.deepEqual(linesOf(await on.read(id)), ['a', 'b', 'c', 'd', 'e', 'f'])

    // A gap that is not said, and numbers that cannot be.
    const gap = await say(lease, { lines: ['i'], first: 9, left_out: 1 })
    assert.deepEqual(
      [(gap as { code: string }).code, (gap as { detail: string }).detail],
      ['LOG_GAP', 'Lines are missing: 6 of this lease are known, and these begin with 9, 1 before them left out.'],
    )
    const senseless = await say(lease, { lines: ['i'], first: 2, left_out: 2 })
    assert.deepEqual((senseless as { errors: unknown }).errors, [
      { path: 'body.logs.0.first', message: 'must be more than left_out, which is 2' },
    ])
    assert.equal(((await say(lease, { lines: ['i'], first: 0 })) as { code: string }).code, 'VALIDATION_FAILED')
    assert.equal(await say(lease, { lines: ['i'], first: 9, left_out: 2 }), 1)
    const gone = await on.read(id, { tail: 1 })
    assert.deepEqual([linesOf(gone), gone.last_line], [['i'], 9])

    // Without numbers, as before: they count too.
    assert.equal(await say(lease, { lines: ['j'] }), 1)
    assert.equal(await say(lease, { lines: ['j', 'k'], first: 10 }), 2)
    assert.deepEqual(linesOf(await on.read(id, { tail: 3 })), ['i', 'j', 'k'])

    // Given back uncounted, it begins again under another lease, whose lines are numbered anew.
    await settle(lease, { outcome: 'back', log: 'j\nk\nl', log_rest: { lines: 3, left_out: 0, first: 10 } })
    const { lease: second } = await claim()
    assert.equal(await say(second, { lines: ['a', 'b'], first: 1 }), 2)
    assert.deepEqual(linesOf(await on.read(id, { tail: 4 })), ['k', 'l', 'a', 'b'])
    assert.equal(await say(lease, { lines: ['m'], first: 13 }), 0)
    // The end of an attempt repeats what may have been kept.
    await settle(second, { outcome: 'failed', log: 'a\nb\nc', log_rest: { lines: 3, left_out: 0, first: 1 } })
    const first = await on.read(id, { attempt: 1, tail: 4 })
    assert.deepEqual([linesOf(first), first.complete], [['l', 'a', 'b', 'c'], true])

    const third = await claim()
    assert.equal(await say(third.lease, { lines: ['x', 'y'], first: 1 }), 2)
    await settle(third.lease, { outcome: 'completed', log: 'x\ny', log_rest: { lines: 2, left_out: 0, first: 1 } })
    const last = await on.read(id)
    assert.deepEqual([last.attempt, last.final, linesOf(last)], [2, true, ['x', 'y']])
  })

  test(`the client's worker sends lines again when their answer is lost, and they stand once (${name})`, {
    skip,
  }, async () => {
    await using system = await backend.start()
    const on = await sceneOf(system)
    // A way to the server that loses answers: what was asked is done, and nobody hears of it.
    let losing = true
    let lost = 0
    const way = createServer(async (request, response) => {
      const body = await new Response(request as unknown as ReadableStream).text()
      const answer = await fetch(`${system.base}${request.url}`, {
        method: request.method!,
        headers: { authorization: request.headers.authorization!, 'content-type': 'application/json' },
        ...(body === '' ? {} : { body }),
      }).catch(() => null)
      const text = (await answer?.text()) ?? ''
      if (answer === null || (losing && request.url!.endsWith('/workers/log'))) {
        lost++
        return response.destroy()
      }
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type')! }).end(text)
    })
    way.listen(0, '127.0.0.1')
    await once(way, 'listening')
    const { open, at } = doors()
    const stop = new AbortController()
    const url = `http://127.0.0.1:${(way.address() as AddressInfo).port}`
    const worker = createWorker(createClient({ url, token: on.token }), { concurrency: 2, graceMs: 0 })
    worker.handle('talks', {}, async (_, { log }) => {
      log('one')
      await at('two')
      log('two')
      await at('three')
      log('three')
    })
    worker.handle('ends', {}, async (_, { log }) => {
      log('one')
      await at('end')
      log('two')
    })
    const running = worker.run(stop.signal)
    try {
      await until('the worker has said what it has', async () =>
        (await on.client.tasks.handlers()).some((one) => one.name === 'ends'),
      )
      const talks = await on.dispatch('talks')
      await on.shows(talks, 'one')
      await until('its answer was lost', async () => lost === 1)
      open('two')
      await on.shows(talks, 'two')
      await until('the answer was lost again', async () => lost === 2)
      losing = false
      open('three')
      await on.ended(talks)
      assert.deepEqual(linesOf(await on.read(talks)), ['one', 'two', 'three'])

      // Nothing was heard of any line when the task ends: the whole log comes with the result.
      losing = true
      const ends = await on.dispatch('ends')
      await on.shows(ends, 'one')
      open('end')
      await on.ended(ends)
      assert.deepEqual(linesOf(await on.read(ends)), ['one', 'two'])
    } finally {
      for (const door of ['two', 'three', 'end']) open(door)
      stop.abort()
      await running
      way.closeAllConnections()
      way.close()
    }
  })

  test(`lines that were kept by a store that was lost before it said so are kept once (${name})`, {
    skip,
  }, async () => {
    await using system = await backend.start()
    const by = await dispatcherOf(system.app, { ...system.admin, role: 'admin' })
    const { number } = await by.dispatch('system.ping')
    const { id: runId } = await by.find(number)
    const log = createAttemptLog()
    const keep = (taken: ReturnType<typeof log.take>) =>
      by.write((tx) => keepChunks(tx, [{ ...taken!, runId, attempt: 2, fence: 7, at: 0, last: false }]))
    log.add('one\ntwo')
    await keep(log.take())
    log.doubt()
    assert.ok(log.isParted)
    log.add('three')
    const again = log.take()!
    assert.deepEqual([again.printed, again.first], [['one', 'two', 'three'], 1])
    await keep(again)
    log.kept(again)
    log.add('four')
    const rest = log.takeRest()!
    assert.deepEqual([rest.printed, rest.first], [['four'], undefined])
    await keep(rest)
    const chunks = await by.read((tx) => listChunks(tx, runId, 2, 0, 10))
    assert.deepEqual(
      chunks.map(({ first_line, text }) => [first_line, text]),
      [
        [1, 'one\ntwo'],
        [3, 'three'],
        [4, 'four'],
      ],
    )
  })
}
