import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import pg from 'pg'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { missingPostgres, type Postgres, startPostgres } from '../../../../test/servers/postgres.ts'
import { createFakeClock } from '../platform/clock.ts'
import { type Database, inProject, openDatabase } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { A, B, type Exercise, exerciseQueue } from './conformance.ts'
import { openQueue } from './open.ts'

const clock = createFakeClock(Date.UTC(2027, 0, 15))

async function exercise(
  db: Database,
  open: () => ReturnType<typeof openQueue>,
  afterwards: () => Promise<void>,
): Promise<Exercise> {
  for (const id of [A, B])
    await inProject(id, () =>
      db.write((tx) =>
        tx.insert('projects', [{ id, slug: `p-${id.slice(-1)}`, name: 'Test', policy: '{}', created_at: 0 }]),
      ),
    )
  const opened = [open()]
  return {
    db,
    queue: opened[0]!,
    async reopen() {
      opened.push(open())
      return opened.at(-1)!
    },
    async end() {
      for (const queue of opened) await queue.close()
      await db.close()
      await afterwards()
    },
  }
}

async function onSqlite(): Promise<Exercise> {
  const folder = mkdtempSync(path.join(tmpdir(), 'writ-queue-'))
  const db = await openDatabase({ url: `sqlite:${path.join(folder, 'writ.db')}` }, clock)
  return exercise(
    db,
    () => openQueue(db),
    async () => rmSync(folder, { recursive: true, force: true }),
  )
}

let server: Promise<Postgres> | undefined
after(async () => (await server)?.stop())

async function execute(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(statement).finally(() => client.end())
}

async function onPostgres(): Promise<Exercise> {
  server ??= startPostgres()
  const { url } = await server
  const name = `writ_queue_${randomBytes(6).toString('hex')}`
  await execute(url, `create database ${name}`)
  const own = Object.assign(new URL(url), { pathname: `/${name}` }).href
  const db = await openDatabase({ url: own }, clock)
  return exercise(
    db,
    () => openQueue(db),
    () => execute(url, `drop database ${name} with (force)`),
  )
}

exerciseQueue('sqlite', onSqlite)
exerciseQueue('postgres', onPostgres, missingBackend('PostgreSQL', missingPostgres()))

// Of the processes on one PostgreSQL each hears of the others; on SQLite there is one.
test('another process hears that there is something, and what is to stop', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  const { db, queue, reopen, end } = await onPostgres()
  try {
    const far = await reopen()
    const something = Promise.withResolvers<void>()
    const stopped = Promise.withResolvers<string>()
    far.wake({ runnable: () => something.resolve(), stop: (runId) => stopped.resolve(runId) })
    const runId = uuidv7(0)
    const say = () =>
      inProject(A, () =>
        db.write(async (tx) => {
          await queue.enqueue(tx, [{ runId, queue: 'api', handler: '', priority: 0, runAt: 0 }], 0)
          await queue.stop(tx, runId)
        }),
      )
    // Hints may be lost, and are until it listens.
    const saying = setInterval(() => void say(), 50)
    await something.promise
    const heard = await stopped.promise
    clearInterval(saying)
    assert.equal(heard, runId)
  } finally {
    await end()
  }
})
