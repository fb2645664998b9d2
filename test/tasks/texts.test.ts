/** What handlers throw and print, whatever it is: it is kept, it says what happened, and it holds up nobody else. */
import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { createClient, createWorker } from '../../packages/sdk/src/index.ts'
import { TaskError } from '../../packages/server/src/kinds/task/index.ts'
import { inProject } from '../../packages/server/src/platform/db/index.ts'
import { backends } from '../backends.ts'
import { freePort } from '../servers/free-port.ts'
import { removeFolder } from '../servers/guard.ts'
import { stateOnPostgres } from '../servers/statement.ts'
import { until } from '../test-system.ts'
import { dispatcherOf, handlerOf } from './dispatch.ts'

for (const backend of backends()) {
  const { name, skip } = backend

  test(`a task whose handler throws or prints what no database keeps is settled (${name})`, { skip }, async () => {
    const throws = handlerOf('test.throws', async () => {
      throw new TaskError('BAD\0CODE', 'a\0b \ud800 c', { retryable: false })
    })
    const prints = handlerOf('test.prints', async (_, ctx) => {
      ctx.log('before\0after \udfff')
      return null
    })
    await using system = await backend.start({ testHandlers: [throws, prints] })
    const by = await dispatcherOf(system.app, { ...system.admin, role: 'admin' })
    const [one, two] = await by.submit({ handler: 'test.throws' }, { handler: 'test.prints' })
    const failed = await by.settled(one!.id)
    assert.deepEqual([failed.state, failed.error_code, failed.error], ['failed', 'BAD\ufffdCODE', 'a\ufffdb \ufffd c'])
    assert.equal((await by.settled(two!.id)).log, 'before\ufffdafter \ufffd')

    // The same from a worker elsewhere, and while it runs.
    const { body } = await system.admin.post<{ token: string }>('/tokens', { name: 'w', role: 'admin' })
    const worker = createWorker(createClient({ url: system.base, token: body.token }), { queues: ['far'] })
    const door = Promise.withResolvers<void>()
    worker.handle('far.throws', { queue: 'far' }, async (_, ctx) => {
      ctx.log('far\0away')
      await door.promise
      throw new Error('x\0y')
    })
    const stop = new AbortController()
    const working = worker.run(stop.signal)
    try {
      await until(
        'the worker is known',
        async () => (await system.admin.post('/tasks', { handler: 'far.throws', unique_key: 'k' })).status === 201,
      )
      const { body: tasks } = await system.admin.get<{ id: string }[]>('/tasks?handler=far.throws')
      const id = tasks[0]!.id
      const read = () => system.admin.get<{ chunks: { lines: string[] }[] }>(`/tasks/${id}/log`)
      await until('its line can be read', async () => {
        const { body } = await read()
        return body.chunks?.some(({ lines }) => lines.includes('far\ufffdaway')) ?? false
      })
      door.resolve()
      assert.equal((await by.settled(id)).error, 'x\ufffdy')
    } finally {
      door.resolve()
      stop.abort()
      await working
    }
    await system.check()
  })

  test(`an end that the database refuses holds up none that came with it (${name})`, { skip }, async () => {
    const door = Promise.withResolvers<void>()
    const waits = handlerOf('test.waits', async (input) => {
      await door.promise
      return input
    })
    await using system = await backend.start({ testHandlers: [waits] })
    const by = await dispatcherOf(system.app, { ...system.admin, role: 'admin' })
    const [bad, good] = await by.submit(
      { handler: 'test.waits', input: 'bad' },
      { handler: 'test.waits', input: 'good' },
    )
    const state = async (statements: readonly string[]) => {
      if (system.databaseUrl !== undefined) return stateOnPostgres(system.databaseUrl, statements)
      for (const one of statements)
        await inProject(by.project, () => system.app.db.write(async (tx) => void (await tx.sql(one))))
    }
    await state(
      system.databaseUrl === undefined
        ? [
            `create trigger refuse before update on runs when new.id = '${bad!.id}' begin select raise(abort, 'refused'); end`,
          ]
        : [
            `create function refuse() returns trigger language plpgsql as $$ begin
               if new.id = '${bad!.id}' then raise exception 'refused'; end if; return new; end $$`,
            'create trigger refuse before update on runs for each row execute function refuse()',
          ],
    )
    door.resolve()
    assert.equal((await by.settled(good!.id)).result, 'good')
    assert.equal((await by.find(bad!.id)).state, 'running')
    await state([`drop trigger refuse ${system.databaseUrl === undefined ? '' : 'on runs'}`])
    assert.equal((await by.settled(bad!.id)).result, 'bad')
    await system.check()
  })

  test(`the error of a task says why, wherever its handler ran (${name})`, { skip }, async () => {
    const port = await freePort()
    const folder = await mkdtemp(path.join(tmpdir(), 'writ-texts-'))
    const folderOf = path.join(folder, 'texts.ts')
    await writeFile(
      folderOf,
      `export const fetches = { name: 'far.fetches', run: () => fetch('http://127.0.0.1:${port}/') }
       export const nothing = { name: 'far.nothing', run: () => { throw new Error('', { cause: new Error('the cause') }) } }
       export const floats = { name: 'far.floats', run: async () => { void Promise.reject(new Error('nobody caught me')); await new Promise((r) => setTimeout(r, 5000)) } }`,
    )
    const object = handlerOf('test.object', async () => {
      throw { status: 7 }
    })
    const named = handlerOf('test.named', async () => {
      throw new RangeError('')
    })
    try {
      await using system = await backend.start({
        testHandlers: [object, named],
        env: { WRIT_HANDLERS_DIR: folder, WRIT_HANDLERS_PROCESSES: '1' },
      })
      const by = await dispatcherOf(system.app, { ...system.admin, role: 'admin' })
      const errorOf = async (handler: string) => (await by.settled((await by.dispatch(handler)).id)).error
      assert.equal(await errorOf('test.object'), '{"status":7}')
      assert.equal(await errorOf('test.named'), 'RangeError')
      assert.equal(await errorOf('far.fetches'), `fetch failed: connect ECONNREFUSED 127.0.0.1:${port}`)
      assert.equal(await errorOf('far.nothing'), 'Error: the cause')
      assert.equal(await errorOf('far.floats'), "The handler's process ended (exit code 1). Error: nobody caught me")
    } finally {
      removeFolder(folder)
    }
  })
}
