import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { missingBackend } from '../../../../../test/servers/missing-backend.ts'
import { missingPostgres, startPostgres } from '../../../../../test/servers/postgres.ts'
import { createFakeClock } from '../clock.ts'
import { type Command, type Database, UniqueViolation } from './database.ts'
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

/** Counters by name, left behind: a name that is there already is refused after the command has ended. */
const leaveCounters: Command<string, string> = {
  name: 'leaveCounters',
  run: async (tx, names) => {
    for (const name of names) tx.behind(tx.insert('counters', [{ project_id: tx.project, name, value: 1, total: 1 }]))
    return names
  },
}

test('heavy inputs are committed by fewer at a time', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'writ-group-'))
  const db = await openDatabase({ url: `sqlite:${join(folder, 'writ.db')}` }, createFakeClock())
  const groups: number[][] = []
  const weigh: Command<number, number> = {
    name: 'weigh',
    weight: (input) => input,
    run: async (_, inputs) => {
      groups.push([...inputs])
      return inputs
    },
  }
  try {
    await inProject(P, () => Promise.all([600, 600, 600, 1, 5_000, 2].map((input) => db.submit(weigh, input))))
    assert.deepEqual(groups, [[600, 600], [600, 1, 5_000], [2]])
  } finally {
    await db.close()
    rmSync(folder, { recursive: true, force: true })
  }
})

const namesOf = async (db: Database) =>
  inProject(P, () => db.read((tx) => tx.sql<{ name: string }>('select name from counters order by name'))).then(
    (rows) => rows.map(({ name }) => name),
  )

async function failsBehind(db: Database): Promise<void> {
  const submit = (name: string) => inProject(P, () => db.submit(leaveCounters, name))
  try {
    await submit('a')
    const all = await Promise.allSettled([submit('b'), submit('a'), submit('c')])
    assert.deepEqual(
      all.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    )
    assert.ok((all[1] as PromiseRejectedResult).reason instanceof UniqueViolation)
    assert.deepEqual(await namesOf(db), ['a', 'b', 'c'])
    // What was done before it in the same transaction, by another command, stays out of it too.
    const unit = (name: string) =>
      inProject(P, () =>
        db.write(async (tx) => {
          await tx.insert('counters', [{ project_id: P, name, value: 1, total: 1 }])
          tx.behind(tx.insert('counters', [{ project_id: P, name: 'a', value: 1, total: 1 }]))
        }),
      )
    const mixed = await Promise.allSettled([unit('d'), submit('e')])
    assert.deepEqual(
      mixed.map(({ status }) => status),
      ['rejected', 'fulfilled'],
    )
    assert.deepEqual(await namesOf(db), ['a', 'b', 'c', 'e'])
    // What it left behind fails after the statement that it stumbled over, and is undone with it.
    const stumbles = inProject(P, () =>
      db.write(async (tx) => {
        const refused = tx.insert('counters', [{ project_id: P, name: 'a', value: 1, total: 1 }])
        tx.behind(tx.insert('counters', [{ project_id: P, name: 'g', value: 1, total: 1 }]))
        await refused
      }),
    )
    const beside = await Promise.allSettled([stumbles, submit('h')])
    assert.deepEqual(
      beside.map(({ status }) => status),
      ['rejected', 'fulfilled'],
    )
    assert.deepEqual(await namesOf(db), ['a', 'b', 'c', 'e', 'h'])
    await assert.rejects(
      inProject(P, () =>
        db.write(async (tx) => {
          const refused = tx.insert('counters', [{ project_id: P, name: 'a', value: 1, total: 1 }])
          tx.behind(tx.insert('counters', [{ project_id: P, name: 'g', value: 1, total: 1 }]))
          await refused
        }),
      ),
      UniqueViolation,
    )
    // It fails before it reaches the database, which therefore would commit the rest.
    const unsent = inProject(P, () =>
      db.write(async (tx) => {
        tx.behind(tx.insert('counters', [{ project_id: P, name: 'f', value: 1, total: 1 }]))
        tx.behind(Promise.reject(new Error('cannot be written')))
      }),
    )
    await assert.rejects(unsent, /cannot be written/)
    assert.deepEqual(await namesOf(db), ['a', 'b', 'c', 'e', 'h'])
  } finally {
    await db.close()
  }
}

test('what a command left behind fails as the command, and nobody else (sqlite)', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'writ-group-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  await failsBehind(await openDatabase({ url: `sqlite:${join(folder, 'writ.db')}` }, createFakeClock()))
})

test('what a command left behind fails as the command, and nobody else (postgres)', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  const server = await startPostgres()
  after(() => server.stop())
  await failsBehind(await openDatabase({ url: server.url }, createFakeClock()))
})
