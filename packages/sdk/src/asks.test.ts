import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { WorkerAsks } from '@writ/api'
import { createAsk } from './asks.ts'
import { createClient, WritError } from './index.ts'

const CHILD = '01900000-0000-7000-8000-000000000001'
const quiet = new AbortController().signal

interface Heard {
  readonly path: string
  readonly body: { readonly name: string } & Partial<WorkerAsks>
  readonly response: ServerResponse
  answer(status: number, body: unknown): void
}

/** A server that answers as `hear` says, in the place of one that has workers. */
async function asking(hear: (one: Heard) => void) {
  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part) => parts.push(part))
    request.on('end', () => {
      const answer = (status: number, body: unknown) => {
        response.writeHead(status, { 'content-type': status < 400 ? 'application/json' : 'application/problem+json' })
        response.end(JSON.stringify(body))
      }
      const path = request.url!.split('/').at(-1)!
      hear({ path, body: JSON.parse(Buffer.concat(parts).toString()), response, answer })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const ask = createAsk(createClient({ url: `http://127.0.0.1:${port}`, token: 't', retry: { attempts: 1 } }))
  return {
    dispatch: (name: string, signal = quiet, more: object = {}) =>
      ask('dispatch', { lease: 'a.b', name, task: { handler: 'system.ping', ...more } }, signal),
    step: (name: string) => ask('step', { lease: 'a.b', name }, quiet),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const dispatched = (name: string) => ({ id: CHILD, number: Number(name.slice(6)), duplicate: false })
const names = (count: number) => Array.from({ length: count }, (_, n) => `child ${n}`)
const answersTo = (asks: WorkerAsks['asks']) => asks.map((one) => ({ dispatch: dispatched(one.dispatch!.name) }))
const problem = (status: number, code: string) => ({ status, code, detail: code, type: 'about:blank', title: code })

test('what is asked for at once travels together, some requests at a time, and each hears its own answer', async () => {
  const asks: number[] = []
  let [open, most] = [0, 0]
  await using server = await asking(({ path, body, answer }) => {
    assert.equal(path, 'ask')
    asks.push(body.asks!.length)
    most = Math.max(most, ++open)
    // Long enough for all that is asked at once to arrive.
    setTimeout(() => {
      open--
      answer(200, { answers: answersTo(body.asks!) })
    }, 20)
  })
  const children = await Promise.all(names(2_500).map((name) => server.dispatch(name)))
  assert.deepEqual(
    children.map(({ number }) => number),
    names(2_500).map((_, n) => n),
  )
  assert.deepEqual(asks, Array(25).fill(100))
  assert.ok(most <= 16, `${most} at once`)
})

test('one thing is asked as it is', async () => {
  const heard: string[] = []
  await using server = await asking(({ path, answer }) => {
    heard.push(path)
    answer(200, { done: false, result: null })
  })
  assert.deepEqual(await server.step('open change'), { done: false, result: null })
  assert.deepEqual(await server.step('close change'), { done: false, result: null })
  assert.deepEqual(heard, ['step', 'step'])
})

test('what is large is not sent together', async () => {
  const asks: number[] = []
  await using server = await asking(({ path, body, answer }) => {
    if (path === 'dispatch') return answer(200, dispatched(body.name))
    asks.push(body.asks!.length)
    answer(200, { answers: answersTo(body.asks!) })
  })
  const input = { text: 'x'.repeat(100_000) }
  await Promise.all(names(5).map((name) => server.dispatch(name, quiet, { input })))
  assert.deepEqual(asks, [2, 2])
})

test('what is refused among others is told why, and holds up none of them', async () => {
  const alone: string[] = []
  await using server = await asking(({ path, body, answer }) => {
    const isRefused = (name: string) => name === 'child 7' || name === 'child 3'
    if (path === 'ask')
      return answer(200, {
        answers: answersTo(body.asks!).map((one, n) => (isRefused(`child ${n}`) ? null : one)),
      })
    alone.push(body.name)
    answer(409, problem(409, 'TASK_STOPPING'))
  })
  const all = await Promise.allSettled(names(20).map((name) => server.dispatch(name)))
  const refused = all.flatMap((one, n) => (one.status === 'rejected' ? [{ n, code: one.reason.code }] : []))
  assert.deepEqual(refused, [
    { n: 3, code: 'TASK_STOPPING' },
    { n: 7, code: 'TASK_STOPPING' },
  ])
  assert.deepEqual(alone.sort(), ['child 3', 'child 7'])
})

test('what spoils a whole request is found by asking each by itself', async () => {
  await using server = await asking(({ path, body, answer }) => {
    if (path === 'ask') return answer(422, problem(422, 'VALIDATION_FAILED'))
    if (body.name === 'child 2') return answer(422, problem(422, 'VALIDATION_FAILED'))
    answer(200, dispatched(body.name))
  })
  const all = await Promise.allSettled(names(5).map((name) => server.dispatch(name)))
  assert.deepEqual(
    all.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
  )
})

test('a server of before is asked one thing at a time', async () => {
  const heard: string[] = []
  let [open, most] = [0, 0]
  await using server = await asking(({ path, body, answer }) => {
    heard.push(path)
    if (path === 'ask') return answer(404, problem(404, 'ROUTE_NOT_FOUND'))
    most = Math.max(most, ++open)
    setTimeout(() => {
      open--
      answer(200, dispatched(body.name))
    }, 20)
  })
  assert.equal((await Promise.all(names(100).map((name) => server.dispatch(name)))).length, 100)
  assert.equal((await Promise.all(names(200).map((name) => server.dispatch(name)))).length, 200)
  assert.deepEqual([heard.filter((path) => path === 'ask').length, heard.length], [1, 301])
  assert.ok(most <= 64, `${most} at once`)
})

test('a task that is to stop hears no answer, and those of others come; when nobody is left the request ends', async () => {
  const [one, other] = [new AbortController(), new AbortController()]
  const arrived = Promise.withResolvers<Heard>()
  const closed = Promise.withResolvers<void>()
  const heard: Heard[] = []
  await using server = await asking((now) => {
    heard.push(now)
    now.response.once('close', () => {
      if (!now.response.writableFinished) closed.resolve()
    })
    arrived.resolve(now)
  })
  const mine = server.dispatch('child 1', one.signal)
  const others = server.dispatch('child 2', other.signal)
  const { body, answer } = await arrived.promise
  one.abort(new Error('the task is to stop'))
  await assert.rejects(mine, /the task is to stop/)
  answer(200, { answers: answersTo(body.asks!) })
  assert.equal((await others).number, 2)

  const left = [server.dispatch('child 3', other.signal), server.dispatch('child 4', other.signal)]
  while (heard.length < 2) await new Promise((later) => setImmediate(later))
  other.abort(new Error('the worker stops'))
  for (const each of left) await assert.rejects(each, /the worker stops/)
  await closed.promise
  await assert.rejects(server.dispatch('child 5', other.signal), /the worker stops/)
})

test('where the server cannot be asked, each hears so', async () => {
  await using server = await asking(({ answer }) => answer(503, problem(503, 'DATABASE_UNAVAILABLE')))
  const all = await Promise.allSettled(names(3).map((name) => server.dispatch(name)))
  for (const each of all)
    assert.ok(each.status === 'rejected' && each.reason instanceof WritError && each.reason.status === 503)
})
