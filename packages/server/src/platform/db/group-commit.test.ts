import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { missingBackend } from '../../../../../test/servers/missing-backend.ts'
import { missingPostgres, startPostgres } from '../../../../../test/servers/postgres.ts'
import { createFakeClock } from '../clock.ts'
import { addToTotal, takeNumbers, totalOf } from './counters.ts'
import type { Command } from './database.ts'
import { openDatabase } from './open.ts'
import { inProject } from './project.ts'

const P = '0190a000-0000-7000-8000-00000000000a'

test('on PostgreSQL a command that is apart waits for no other change of its project, others do', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  const server = await startPostgres()
  after(() => server.stop())
  const db = await openDatabase({ url: server.url }, createFakeClock())
  const answer = (name: string, apart?: true): Command<string, string> => ({
    name,
    ...(apart ? { apart } : {}),
    run: async (tx, inputs) => {
      await tx.sql('select 1')
      return inputs
    },
  })
  try {
    const gate = Promise.withResolvers<void>()
    const open = Promise.withResolvers<void>()
    const done: string[] = []
    const first = inProject(P, () =>
      db.write(async (tx) => {
        await tx.sql('select 1')
        open.resolve()
        await gate.promise
      }),
    ).then(() => done.push('first'))
    await open.promise
    const behind = inProject(P, () => db.submit(answer('behind'), 'behind')).then((said) => done.push(said))
    await inProject(P, () => db.submit(answer('aside', true), 'aside')).then((said) => done.push(said))
    assert.deepEqual(done, ['aside'])
    gate.resolve()
    await Promise.all([first, behind])
    assert.deepEqual(done, ['aside', 'first', 'behind'])
  } finally {
    await db.close()
  }
})

test('on PostgreSQL two groups of a command with lanes are under way at once, with numbers of their own; one that is undone leaves a gap', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  const server = await startPostgres()
  after(() => server.stop())
  const db = await openDatabase({ url: server.url }, createFakeClock())
  const gates = new Map<string, { reached: PromiseWithResolvers<void>; open: PromiseWithResolvers<void> }>()
  const gate = (name: string) => {
    const one = { reached: Promise.withResolvers<void>(), open: Promise.withResolvers<void>() }
    gates.set(name, one)
    return one
  }
  const number: Command<string, number> = {
    name: 'number',
    apart: true,
    lanes: 2,
    async run(tx, inputs) {
      const last = await tx.reserve('things', inputs.length)
      for (const input of inputs) {
        gates.get(input)?.reached.resolve()
        await gates.get(input)?.open.promise
        if (input.startsWith('bad')) throw new Error(input)
      }
      await addToTotal(tx, 'things', inputs.length)
      return inputs.map((_, i) => last - inputs.length + 1 + i)
    },
  }
  const ask = (input: string) => inProject(P, () => db.submit(number, input))
  try {
    await inProject(P, () => db.write((tx) => takeNumbers(tx, 'things', 1)))
    const slow = gate('slow')
    const first = ask('slow')
    await slow.reached.promise
    // The first still runs, and has its number.
    assert.deepEqual(await Promise.all([ask('a'), ask('b')]), [3, 4])
    await assert.rejects(ask('bad'), /bad/)
    assert.equal(await ask('c'), 6)
    slow.open.resolve()
    assert.equal(await first, 2)
    assert.equal(await inProject(P, () => db.read((tx) => totalOf(tx, 'things'))), 5)
    assert.equal(await inProject(P, () => db.write((tx) => takeNumbers(tx, 'things', 1))), 7)
  } finally {
    await db.close()
  }
})
