import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { missingBackend } from '../../../../../test/servers/missing-backend.ts'
import { missingPostgres, startPostgres } from '../../../../../test/servers/postgres.ts'
import { createFakeClock } from '../clock.ts'
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
