import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backends } from '../backends.ts'
import { until } from '../test-system.ts'
import { dispatcherOf, handlerOf } from './dispatch.ts'

for (const backend of backends()) {
  test(`what this process has room for is claimed as it is accepted, the rest waits (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    let open = Promise.withResolvers<void>()
    let working = 0
    const one = handlerOf(
      'test.one',
      async () => {
        working++
        await open.promise
        working--
        return null
      },
      { concurrency: 1 },
    )
    await using system = await backend.start({ testHandlers: [one] })
    const { id, number, username } = system.admin
    const by = await dispatcherOf(system.app, { id, number, username, role: 'admin' })
    const task = await system.app.tasks.prepare(by.caller, { handler: 'test.one' })

    /** Submits in a transaction, and answers which tasks were claimed when it ended. */
    const submit = (count: number, undo = false) => {
      const inputs = [{ caller: by.caller, tasks: Array.from({ length: count }, () => task), remember: null }]
      const claimed: { id: string; claimed: boolean }[] = []
      const written = by.write(async (tx) => {
        const [submitted] = await system.app.tasks.submit.run(tx, inputs)
        for (const { id } of submitted!) {
          const rows = await tx.sql('select 1 from queue where run_id = ?1 and lease_until is not null', [id])
          claimed.push({ id, claimed: rows.length === 1 })
        }
        if (undo) throw new Error('changed my mind')
      })
      return written.then(() => claimed)
    }
    const finish = async (ids: readonly string[]) => {
      open.resolve()
      for (const id of ids) await by.settled(id)
      open = Promise.withResolvers<void>()
    }

    // Before its first sweep a worker begins nothing.
    await until('one is claimed as it is accepted', async () => {
      const [only] = await submit(1)
      await finish([only!.id])
      return only!.claimed
    })

    // What is undone gives its room back.
    await assert.rejects(submit(1, true), /changed my mind/)
    await until('the room is there again', async () => {
      const [only] = await submit(1)
      await finish([only!.id])
      return only!.claimed
    })

    // Of a handler that does one at a time one is taken, and none while it is at work.
    let three: Awaited<ReturnType<typeof submit>> = []
    await until('of three one is claimed', async () => {
      three = await submit(3)
      const claimed = three.filter((task) => task.claimed).length
      if (claimed !== 1) await finish(three.map((task) => task.id))
      return claimed === 1
    })
    await until('it is at work', async () => working === 1)
    const [more] = await submit(1)
    assert.equal(more!.claimed, false)
    await finish([...three, more!].map((task) => task.id))
    assert.equal(working, 0)

    // A paused queue begins nothing.
    assert.equal((await system.admin.post('/queues/api/pause', {})).status, 200)
    const [paused] = await submit(1)
    assert.equal(paused!.claimed, false)
    assert.equal((await by.find(paused!.id)).state, 'pending')
    assert.equal((await system.admin.post('/queues/api/resume', {})).status, 200)
    await finish([paused!.id])
    await system.check()
  })
}
