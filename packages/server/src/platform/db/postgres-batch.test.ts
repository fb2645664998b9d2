import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import pg from 'pg'
import { missingBackend } from '../../../../../test/servers/missing-backend.ts'
import { missingPostgres, type Postgres, startPostgres } from '../../../../../test/servers/postgres.ts'
import { ask, askOnce, mindPatience, type Statement } from './postgres-batch.ts'
import { types } from './postgres-wire.ts'

const skip = missingBackend('PostgreSQL', missingPostgres())
let server: Promise<Postgres> | undefined
after(async () => (await server)?.stop())

let made = 0
/** Under a name of its own, for the columns of a statement are remembered. */
const statement = (text: string, more: Partial<Statement> = {}): Statement => ({ name: `t${made++}`, text, ...more })

/** A connection as the store has them, and how often the backend was through with what it was sent. */
async function connect(more: pg.PoolConfig = {}) {
  server ??= startPostgres()
  const { url } = await server
  const pool = new pg.Pool({ connectionString: url, max: 1, types, pipeline: true, ...more })
  pool.on('error', () => {})
  const client = await pool.connect()
  client.on('error', () => {})
  let ready = 0
  const { connection } = client as unknown as { connection: NodeJS.EventEmitter }
  connection.on('readyForQuery', () => ready++)
  return {
    client,
    async syncs(work: () => Promise<unknown>) {
      const before = ready
      await work()
      return ready - before
    },
    async close() {
      client.release(true)
      await pool.end()
    },
  }
}

test('statements of one turn are answered in order, the second time at once', { skip }, async () => {
  const { client, syncs, close } = await connect()
  try {
    await client.query('create temporary table things (name text, size int8, bytes bytea, tags text[])')
    const insert = statement('insert into things values ($1, $2, $3, $4)')
    const select = statement('select name, size, bytes, tags, size > 1 as big from things order by name')
    const change = statement('update things set size = size + 1 where size < $1')
    const clear = statement('delete from things')
    const all = async () => {
      const answers = await Promise.all([
        ask(client, clear),
        ask(client, insert, ['a', 2 ** 40, Buffer.from([0, 255]), ['x', 'y "z"']]),
        ask(client, insert, ['b', null, null, null]),
        ask(client, change, [2 ** 41]),
        ask(client, select),
      ])
      return answers.slice(1)
    }
    const expected = [
      { rows: [], count: 1 },
      { rows: [], count: 1 },
      { rows: [], count: 1 },
      {
        rows: [
          { name: 'a', size: 2 ** 40 + 1, bytes: Buffer.from([0, 255]), tags: ['x', 'y "z"'], big: true },
          { name: 'b', size: null, bytes: null, tags: null, big: null },
        ],
        count: 2,
      },
    ]
    assert.equal(await syncs(async () => assert.deepEqual(await all(), expected)), 5)
    assert.equal(await syncs(async () => assert.deepEqual(await all(), expected)), 1)
  } finally {
    await close()
  }
})

test('what stands behind a statement that fails is not done, and fails with it', { skip }, async () => {
  const { client, close } = await connect()
  try {
    await client.query('create temporary table numbers (n int8 primary key)')
    const [begin, commit, rollback] = [statement('begin'), statement('commit'), statement('rollback')]
    const insert = statement('insert into numbers values ($1)')
    const count = statement('select count(*) as n from numbers')
    const prepared = [ask(client, begin), ask(client, insert, [1]), ask(client, commit), ask(client, count)]
    await Promise.all(prepared)
    await ask(client, rollback)

    const asked = [begin, insert, insert, count, commit].map((one) => ask(client, one, one === insert ? [2] : []))
    const outcomes = await Promise.allSettled(asked)
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'rejected', 'rejected', 'rejected'],
    )
    const reasons = outcomes.map((one) => (one.status === 'rejected' ? one.reason : null)).slice(2)
    assert.equal(reasons[0].code, '23505')
    assert.deepEqual(new Set(reasons).size, 1)

    await ask(client, rollback)
    assert.deepEqual((await ask(client, count)).rows, [{ n: 1 }])
    await ask(client, insert, [2])
    assert.deepEqual((await ask(client, count)).rows, [{ n: 2 }])
  } finally {
    await close()
  }
})

test('a statement that is asked once comes behind what waits', { skip }, async () => {
  const { client, close } = await connect()
  try {
    await client.query('create temporary table numbers (n int8)')
    const insert = statement('insert into numbers values ($1)')
    for (const n of [1, 2]) {
      const inserted = ask(client, insert, [n])
      assert.deepEqual((await askOnce(client, 'select max(n) as n from numbers where n <= $1', [9])).rows, [{ n }])
      await inserted
    }
  } finally {
    await close()
  }
})

test('a value that cannot be sent is refused, and nothing else', { skip }, async () => {
  const { client, close } = await connect()
  try {
    const echo = statement('select $1::text as text')
    const circle: unknown[] = []
    circle.push({ circle })
    for (const text of ['first', 'second']) {
      const [good, bad] = await Promise.allSettled([ask(client, echo, [text]), ask(client, echo, [circle[0]])])
      assert.deepEqual(good, { status: 'fulfilled', value: { rows: [{ text }], count: 1 } })
      assert.equal(bad.status, 'rejected')
    }
  } finally {
    await close()
  }
})

test('a connection that ends, or is silent for too long, fails what was asked of it', { skip }, async () => {
  for (const [more, how] of [
    [{}, 'select pg_terminate_backend(pg_backend_pid())'],
    [{ query_timeout: 20 }, 'select pg_sleep(60)'],
  ] as const) {
    const { client, close } = await connect()
    try {
      const fine = statement('select 1 as one')
      const fatal = statement(`${how}, $1::int`, more)
      // Prepared without being run to its end.
      await client.query(`prepare ${fatal.name} (int) as ${fatal.text}`)
      Object.assign((client as unknown as { connection: { parsedStatements: object } }).connection.parsedStatements, {
        [fatal.name]: fatal.text,
      })
      fatal.columns = []
      await ask(client, fine)
      const outcomes = await Promise.allSettled([ask(client, fatal, [1]), ask(client, fine)])
      assert.deepEqual(
        outcomes.map(({ status }) => status),
        ['rejected', 'rejected'],
      )
      await assert.rejects(ask(client, fine))
    } finally {
      await close()
    }
  }
})

test('a connection has the time to answer that it was configured with, however it is asked', { skip }, async () => {
  for (const prepared of [true, false]) {
    const { client, close } = await connect({ query_timeout: 20 })
    try {
      mindPatience(client)
      const asked = prepared ? ask(client, statement('select pg_sleep(60)')) : askOnce(client, 'select pg_sleep(60)')
      await assert.rejects(asked, /Query read timeout/)
      await assert.rejects(askOnce(client, 'select 1'))
    } finally {
      await close()
    }
  }
})

test('what was asked and answered leaves nothing in the old generation', { skip }, async () => {
  setFlagsFromString('--expose-gc')
  const gc: (how?: { type: 'minor' }) => void = runInNewContext('gc')
  const old = () => getHeapSpaceStatistics().find((space) => space.space_name === 'old_space')!.space_used_size
  const { client, close } = await connect({ query_timeout: 60_000 })
  try {
    mindPatience(client)
    const echo = statement('select $1::text as text')
    const askMany = async () => {
      for (let i = 0; i < 200; i++) {
        await ask(client, echo, [`${i}`.padEnd(4_000, 'x')])
        if (i % 10 === 0) gc({ type: 'minor' })
      }
    }
    await askMany()
    gc()
    await askMany()
    for (const type of ['minor', 'minor'] as const) gc({ type })
    const before = old()
    gc()
    const left = before - old()
    assert.ok(left < 400_000, `${left} bytes of 200 statements with 4,000 bytes each`)
  } finally {
    await close()
  }
})
