/** What the suite of all queues does not ask: a Redis that dies, forgets, goes back in time or cannot be reached. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { Redis } from 'ioredis'
import { addMigratedDatabase } from '../../../../test/backends.ts'
import { freePort } from '../../../../test/servers/free-port.ts'
import { asSuperuser } from '../../../../test/servers/logins.ts'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { missingPostgres, type Postgres, startPostgres } from '../../../../test/servers/postgres.ts'
import { missingRedis, startRedis, startRedisCluster } from '../../../../test/servers/redis.ts'
import { createFakeClock, systemClock } from '../platform/clock.ts'
import { type Database, inProject, openDatabase } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { createLog } from '../platform/log.ts'
import { Secret } from '../platform/secret.ts'
import { A } from './conformance.ts'
import { openQueue, type QueueSettings } from './open.ts'
import type { Ask, Entry, Lease, Queue } from './queue.ts'
import { codeOf, connectRedis, isFull, mastersOf, reasonOf } from './redis-client.ts'
import { copyKeysOf, copyScripts } from './redis-scripts.ts'

const skip = missingBackend('Redis', missingRedis())
const skipWithoutPostgres = skip || missingBackend('PostgreSQL', missingPostgres())
const LEASE = 30_000
const FULL = "command not allowed when used memory > 'maxmemory'"

let server: Promise<Postgres> | undefined
after(async () => (await server)?.stop())

/** A migrated database with the project A; `reopen` connects to it once more. */
async function onPostgres(): Promise<{ open(): Promise<Database>; end(): Promise<void> }> {
  server ??= startPostgres()
  const { url } = await server
  const name = `writ_redis_${randomBytes(6).toString('hex')}`
  const { DATABASE_URL, WRIT_MIGRATION_URL } = await addMigratedDatabase(url, name)
  return {
    open: () => openDatabase({ url: DATABASE_URL, migrationUrl: WRIT_MIGRATION_URL }, systemClock),
    async end() {
      await asSuperuser(url, `drop database ${name} with (force)`)
    },
  }
}

async function onSqlite(): Promise<{ db: Database; end(): Promise<void> }> {
  const folder = mkdtempSync(path.join(tmpdir(), 'writ-redis-'))
  const db = await openDatabase({ url: `sqlite:${path.join(folder, 'writ.db')}` }, systemClock)
  await addProject(db)
  return {
    db,
    async end() {
      await db.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const addProject = (db: Database): Promise<void> =>
  inProject(A, () =>
    db.write((tx) => tx.insert('projects', [{ id: A, slug: 'test', name: 'Test', policy: '{}', created_at: 0 }])),
  )

function logTo(lines: string[]) {
  const destination = { write: (line: string) => lines.push(line) } as unknown as NodeJS.WritableStream
  return createLog({ level: 'info', format: 'json', destination })
}

const open = (db: Database, url: string, more: Partial<QueueSettings> = {}): Promise<Queue> =>
  openQueue(db, {
    backend: 'redis',
    redisUrl: new Secret(url),
    clock: systemClock,
    log: logTo([]),
    health() {},
    refused() {},
    ...more,
  })

const entry = (more: Partial<Entry> = {}): Entry => ({
  runId: uuidv7(systemClock.now()),
  queue: 'api',
  handler: 'noop',
  priority: 0,
  runAt: systemClock.now(),
  ...more,
})

const enqueue = (db: Database, queue: Queue, entries: readonly Entry[]): Promise<void> =>
  inProject(A, () => db.write((tx) => queue.enqueue(tx, entries, systemClock.now())))

async function claim(db: Database, queue: Queue, limit = 100, now = systemClock.now()): Promise<Lease[]> {
  const ask: Ask = { queue: 'api', limit, worker: 'one', now, leaseUntil: now + LEASE, except: [] }
  await queue.reserve(A, ask)
  return inProject(A, () => db.write((tx) => queue.claim(tx, ask)))
}

const finish = (db: Database, queue: Queue, leases: readonly Lease[]): Promise<boolean[]> =>
  inProject(A, () =>
    db.write((tx) =>
      queue.settle(
        tx,
        leases.map(({ runId, fence }) => ({ runId, fence, next: 'done' })),
      ),
    ),
  )

const nap = (ms: number): Promise<void> => new Promise((later) => setTimeout(later, ms))

/** Waits for something that another process does and cannot announce. */
async function until(claimed: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await claimed()); tries++) {
    assert.ok(tries < 6_000, 'never came true')
    await nap(10)
  }
}

/** Sweeps until something can be claimed, and claims it. */
async function claimSoon(db: Database, queue: Queue, limit = 100): Promise<Lease[]> {
  let leases: Lease[] = []
  await until(async () => {
    await queue.sweep(systemClock.now())
    leases = await claim(db, queue, limit)
    return leases.length > 0
  })
  return leases
}

/**
 * Two servers put entries in and work on them, some fail once, while `disturb` does its worst. Then everything has to have been
 * settled, once, and the table to be empty.
 */
async function workThrough(
  url: string,
  disturb: (progress: () => number) => Promise<void>,
  settings: Partial<QueueSettings> = {},
  rhythm?: 'in bursts',
): Promise<void> {
  const TASKS = 1_200
  const store = await onPostgres()
  const dbs = [await store.open(), await store.open()]
  await addProject(dbs[0]!)
  const queues = await Promise.all(dbs.map((db) => open(db, url, settings)))
  const settled = new Map<string, number>()
  const failed = new Set<string>()
  const accepted = new Set<string>()
  let disturbed = false
  const all = () => disturbed && settled.size === TASKS

  const give = async (i: number) => {
    for (let n = 0; n < TASKS / 2; n += 20) {
      const entries = Array.from({ length: 20 }, (_, k) =>
        entry({ priority: k % 3, runAt: systemClock.now() + (rhythm ? 0 : (k % 5) * 50) }),
      )
      await enqueue(dbs[i]!, queues[i]!, entries)
      for (const { runId } of entries) accepted.add(runId)
      // The next comes about when the place of an empty queue goes.
      if (rhythm) await until(() => settled.size >= accepted.size)
      await nap(rhythm ? (n * 7 + i * 3) % 40 : 15)
    }
  }
  const work = async (i: number) => {
    const [db, queue] = [dbs[i]!, queues[i]!]
    while (!all()) {
      await queue.sweep(systemClock.now())
      const leases = await claim(db, queue, 25)
      if (leases.length === 0) {
        await nap(10)
        continue
      }
      const fails = leases.filter(({ runId, failures }) => failures === 0 && runId.endsWith('0'))
      const ends = await inProject(A, () =>
        db.write((tx) =>
          queue.settle(
            tx,
            leases.map((lease) =>
              fails.includes(lease)
                ? { runId: lease.runId, fence: lease.fence, next: 'retry', runAt: systemClock.now() + 20 }
                : { runId: lease.runId, fence: lease.fence, next: 'done' },
            ),
          ),
        ),
      )
      for (const [n, lease] of leases.entries()) {
        if (!ends[n]) continue
        if (fails.includes(lease)) failed.add(lease.runId)
        else settled.set(lease.runId, (settled.get(lease.runId) ?? 0) + 1)
      }
    }
  }
  try {
    await Promise.all([
      give(0),
      give(1),
      work(0),
      work(1),
      disturb(() => settled.size).then(() => {
        disturbed = true
      }),
    ])
    assert.deepEqual([...settled.keys()].toSorted(), [...accepted].toSorted())
    assert.deepEqual(
      [...settled].filter(([, times]) => times !== 1),
      [],
    )
    assert.deepEqual(
      [...failed].filter((run) => !settled.has(run)),
      [],
    )
    assert.deepEqual(await dbs[0]!.lookup('select run_id from queue', []), [])
  } finally {
    for (const queue of queues) await queue.close()
    for (const db of dbs) await db.close()
    await store.end()
  }
}

for (const [how, empty] of [
  ['with what it kept', false],
  ['empty', true],
] as const)
  test(`Redis is killed under load again and again and comes back ${how}: nothing is lost, nothing is settled twice`, {
    skip: skipWithoutPostgres,
  }, async () => {
    const redis = await startRedis({ keep: 'all' })
    try {
      await workThrough(redis.url, async (progress) => {
        for (const mark of [50, 250, 600]) {
          await until(() => progress() >= mark)
          await redis.kill9()
          await redis.restart({ empty })
        }
      })
    } finally {
      await redis.stop()
    }
  })

test('a node of a cluster is killed under load and comes back empty', { skip: skipWithoutPostgres }, async () => {
  const cluster = await startRedisCluster()
  try {
    await workThrough(cluster.url, async (progress) => {
      for (const [n, mark] of [50, 400, 700].entries()) {
        await until(() => progress() >= mark)
        await cluster.nodes[n]!.kill9()
        await cluster.nodes[n]!.restart({ empty: true })
      }
    })
  } finally {
    await cluster.stop()
  }
})

test('connections are cut under load: nothing is lost, nothing is settled twice', {
  skip: skipWithoutPostgres,
}, async () => {
  const redis = await startRedis()
  const proxy = await startProxy(redis.port)
  try {
    await workThrough(proxy.url, async (progress) => {
      for (const mark of [50, 200, 350, 500, 650]) {
        await until(() => progress() >= mark)
        proxy.cut()
      }
    })
  } finally {
    await proxy.stop()
    await redis.stop()
  }
})

for (const [where, start] of [
  ['Redis', startRedis],
  ['a cluster', startRedisCluster],
] as const)
  test(`a queue that goes from ${where} whenever it is empty, under load, loses nothing and doubles nothing`, {
    skip: skipWithoutPostgres,
  }, async () => {
    const redis = await start()
    const direct = await connectRedis(redis.url, { troubled() {}, cut() {} })
    try {
      let came = 0
      await workThrough(
        redis.url,
        async (progress) => {
          await until(() => progress() >= 1_000)
          const [numbers] = (await Promise.all(mastersOf(direct).map((node) => node.keys('*:numbers')))).flat()
          came = Number(await direct.hget(numbers!, ''))
        },
        { idleMs: 0 },
        'in bursts',
      )
      assert.ok(came >= 3, `it came back ${came} times`)
    } finally {
      direct.disconnect()
      await redis.stop()
    }
  })

test('of a queue that nobody uses any more nothing stays in Redis, and it is there again when it is used', {
  skip,
}, async () => {
  const redis = await startRedis()
  const { db, end } = await onSqlite()
  const queue = await open(db, redis.url, { idleMs: 0 })
  const other = await open(db, redis.url)
  const direct = new Redis(redis.url)
  try {
    await queue.sweep(systemClock.now())
    await other.sweep(systemClock.now())
    const left = async () =>
      (await direct.keys('*:api}:*')).length + (await direct.scard((await direct.keys('*:places'))[0]!))
    const doOne = async () => {
      const one = entry()
      await enqueue(db, other, [one])
      const leases = await claim(db, other)
      assert.deepEqual(
        leases.map(({ runId }) => runId),
        [one.runId],
      )
      return leases
    }
    // What waits for its time, or was taken, is not idle.
    await enqueue(db, other, [entry({ runAt: systemClock.now() + 60_000 })])
    const held = await doOne()
    for (let i = 0; i < 3; i++) await queue.sweep(systemClock.now())
    assert.ok((await left()) > 1)
    await finish(db, other, held)
    const waiting = await db.lookup<{ run_id: string }>('select run_id from queue', [])
    await inProject(A, () =>
      db.write((tx) =>
        other.settle(
          tx,
          waiting.map(({ run_id }) => ({ runId: run_id, fence: 'unclaimed' as const, next: 'done' as const })),
        ),
      ),
    )
    await until(async () => {
      await queue.sweep(systemClock.now())
      return (await left().catch(() => 0)) === 0
    })
    // The other server has not heard that it went. Ids of its stream do not come again.
    await finish(db, other, await doOne())
    await finish(db, other, await doOne())
    const [seq] = await direct.keys('*:api}:seq')
    assert.ok(Number(await direct.get(seq!)) > 1e15)
  } finally {
    direct.disconnect()
    await queue.close()
    await other.close()
    await end()
    await redis.stop()
  }
})

test('a lease outlives the Redis that gave it, and is settled once', { skip }, async () => {
  const redis = await startRedis()
  const { db, end } = await onSqlite()
  const queue = await open(db, redis.url)
  try {
    await queue.sweep(systemClock.now())
    await enqueue(db, queue, [entry(), entry()])
    const [held] = await claim(db, queue, 1)
    await redis.kill9()
    await redis.restart({ empty: true })
    const [other, ...none] = await claimSoon(db, queue)
    assert.notEqual(other?.runId, held?.runId)
    assert.deepEqual(none, [])
    const [copy] = await db.lookup<{ epoch: number }>('select epoch from queue_copy', [])
    assert.equal(copy?.epoch, 2)
    assert.deepEqual(await queue.extend([held!], systemClock.now() + LEASE), { lost: [], stop: [] })
    assert.deepEqual(await finish(db, queue, [held!, other!]), [true, true])
    assert.deepEqual(await finish(db, queue, [held!, other!]), [false, false])
  } finally {
    await queue.close()
    await end()
    await redis.stop()
  }
})

test('a Redis that comes back as it was some time ago is built anew, in order', { skip }, async () => {
  const redis = await startRedis({ keep: 'all' })
  const { db, end } = await onSqlite()
  const queue = await open(db, redis.url)
  const direct = new Redis(redis.url)
  direct.on('error', () => {})
  try {
    await queue.sweep(systemClock.now())
    const later = systemClock.now() - 60_000
    const [low, high, gone] = [
      entry({ runAt: later }),
      entry({ runAt: later, priority: 9 }),
      entry({ runAt: later - 1 }),
    ]
    await enqueue(db, queue, [low, high, gone])
    // All three are seen to be in the copy, and so not looked for again; then one is done.
    await queue.sweep(systemClock.now())
    const [seen] = await db.lookup<{ n: number }>('select count(*) as n from queue where ready = 2', [])
    assert.equal(seen?.n, 3)
    // As a failover to a replica that had heard of one entry only, and of one that is done by now.
    const [key] = await direct.keys('*:due:noop')
    await direct.zremrangebyrank(key!, 0, 0)
    assert.equal(
      await inProject(A, () =>
        db.write((tx) => queue.settle(tx, [{ runId: gone.runId, fence: 'unclaimed', next: 'done' }])),
      ).then(([one]) => one),
      true,
    )
    await redis.kill9()
    await redis.restart()
    const leases = await claimSoon(db, queue)
    assert.deepEqual(
      leases.map((lease) => lease.runId),
      [high.runId, low.runId],
    )
  } finally {
    direct.disconnect()
    await queue.close()
    await end()
    await redis.stop()
  }
})

test('what is accepted while Redis is away waits in the database, and is found when it is back', { skip }, async () => {
  const redis = await startRedis({ keep: 'all' })
  const { db, end } = await onSqlite()
  const lines: string[] = []
  const healths: (string | null)[] = []
  const queue = await open(db, redis.url, { log: logTo(lines), health: (reason) => healths.push(reason) })
  try {
    await queue.sweep(systemClock.now())
    await redis.kill9()
    const one = entry()
    await enqueue(db, queue, [one])
    assert.deepEqual(await queue.sweep(systemClock.now()), { runnable: [], next: null, stopped: [] })
    assert.deepEqual(await claim(db, queue), [])
    assert.equal(lines.filter((line) => line.includes('redis is away')).length, 1)
    assert.equal(typeof healths.at(-1), 'string')
    await redis.restart()
    assert.deepEqual(
      (await claimSoon(db, queue)).map((lease) => lease.runId),
      [one.runId],
    )
    assert.equal(lines.filter((line) => line.includes('redis is back')).length, 1)
    assert.equal(healths.at(-1), null)
  } finally {
    await queue.close()
    await end()
    await redis.stop()
  }
})

for (const [what, spoil, mend] of [
  ['full', 'config set maxmemory 1', 'config set maxmemory 0'],
  ['read-only', 'replicaof 127.0.0.1 1', 'replicaof no one'],
] as const)
  test(`a Redis that is ${what} is told of once, until it takes entries again, and nothing is lost`, {
    skip,
  }, async () => {
    const redis = await startRedis()
    const { db, end } = await onSqlite()
    const lines: string[] = []
    const healths: (string | null)[] = []
    const codes = new Set<string>()
    const queue = await open(db, redis.url, {
      log: logTo(lines),
      health: (reason) => healths.push(reason),
      refused: (code) => codes.add(code),
    })
    const operator = new Redis(redis.url)
    const order = (line: string) => operator.call(...(line.split(' ') as [string, ...string[]]))
    const said = (text: string) => lines.filter((line) => line.includes(text)).length
    try {
      const [before, meanwhile] = [entry(), entry()]
      await queue.sweep(systemClock.now())
      await enqueue(db, queue, [before])
      await until(async () => (await queue.sweep(systemClock.now())).runnable.length === 1)
      await order(spoil)
      await enqueue(db, queue, [meanwhile])
      // As a server does it: it looks around, and offers what waits, longer than it takes to believe that all is well.
      const claimed = new Set<string>()
      for (let began = performance.now(); performance.now() - began < 4_500; await nap(100)) {
        await queue.sweep(systemClock.now())
        for (const lease of await claim(db, queue)) claimed.add(lease.runId)
      }
      assert.deepEqual(claimed, new Set(what === 'full' ? [before.runId] : []))
      assert.deepEqual([said('redis takes nothing'), said('redis is away'), said('redis is back')], [1, 0, 0])
      assert.match(healths.at(-1) ?? '', /^(OOM command not allowed|READONLY You can't write)[^:]*$/)
      assert.deepEqual([...codes], [what === 'full' ? 'OOM' : 'READONLY'])

      await order(mend)
      await until(async () => {
        for (const lease of await claimSoon(db, queue)) claimed.add(lease.runId)
        return claimed.size === 2
      })
      assert.deepEqual(claimed, new Set([before.runId, meanwhile.runId]))
      await until(async () => {
        await queue.sweep(systemClock.now())
        return healths.at(-1) === null
      })
      assert.equal(said('redis is back'), 1)
    } finally {
      operator.disconnect()
      await queue.close()
      await end()
      await redis.stop()
    }
  })

for (const [what, message] of [
  ['as Redis 7 says it', `OOM ${FULL}. script: ${'a1'.repeat(20)}, on @user_script:40.`],
  [
    'as Redis 6.2 says it',
    `ERR Error running script (call to f_${'a1'.repeat(20)}): @user_script:40: @user_script: 40: -OOM ${FULL}.  `,
  ],
] as const)
  test(`why Redis refuses is told in one short line under one code: ${what}`, () => {
    const error = Object.assign(new Error(message), { name: 'ReplyError' })
    assert.deepEqual([codeOf(error), reasonOf(error).replace(/\.$/, '')], ['OOM', `OOM ${FULL}`])
    assert.equal(isFull(error), true)
  })

/** Sets how much memory each server may use: what it uses now, and so many bytes more or less; null: as much as it likes. */
async function limitMemory(url: string, more: number | null): Promise<void> {
  const operator = await connectRedis(url, { troubled() {}, cut() {} })
  try {
    for (const master of mastersOf(operator)) {
      const used = Number(/^used_memory:(\d+)/m.exec(await master.info('memory'))?.[1])
      await master.config('SET', 'maxmemory', more === null ? 0 : used + more)
    }
  } finally {
    operator.disconnect()
  }
}

const settleAs = (db: Database, queue: Queue, lease: Lease, runAt: number): Promise<boolean[]> =>
  inProject(A, () =>
    db.write((tx) => queue.settle(tx, [{ runId: lease.runId, fence: lease.fence, next: 'retry', runAt }])),
  )

for (const [where, start] of [
  ['Redis', startRedis],
  ['cluster', startRedisCluster],
] as const)
  test(`a ${where} that is full hands out, takes back and lets go of what it has, and refuses what is new`, {
    skip,
  }, async () => {
    const redis = await start()
    const { db, end } = await onSqlite()
    const before = await open(db, redis.url)
    try {
      const due = [entry(), entry(), entry()]
      const later = entry({ runAt: systemClock.now() + 300 })
      await before.sweep(systemClock.now())
      await enqueue(db, before, [...due, later])
      await until(async () => (await before.sweep(systemClock.now())).runnable.length === 1)
      await before.close()
      await limitMemory(redis.url, -1_000_000)
      // A server that begins meanwhile, and knows of no place.
      const queue = await open(db, redis.url)
      try {
        const fresh = entry()
        await queue.sweep(systemClock.now())
        await enqueue(db, queue, [fresh])
        const [first] = await claimSoon(db, queue, 1)
        await settleAs(db, queue, first!, systemClock.now())
        const done: string[] = []
        await until(async () => {
          await queue.sweep(systemClock.now())
          const leases = await claim(db, queue, 2)
          assert.deepEqual([...new Set(await finish(db, queue, leases))], leases.length > 0 ? [true] : [])
          done.push(...leases.map((lease) => lease.runId))
          return done.length >= 4
        })
        assert.deepEqual(done.toSorted(), [...due, later].map((one) => one.runId).toSorted())
        // What it had is gone from it: only so does it become free.
        await queue.sweep(systemClock.now())
        const operator = await connectRedis(redis.url, { troubled() {}, cut() {} })
        const left = (await Promise.all(mastersOf(operator).map((master) => master.keys('*')))).flat()
        operator.disconnect()
        assert.deepEqual(
          left.filter((key) => /:(entries|later|out|due:.*)$/.test(key)),
          [],
        )
        await limitMemory(redis.url, null)
        assert.deepEqual(
          (await claimSoon(db, queue)).map((lease) => lease.runId),
          [fresh.runId],
        )
      } finally {
        await queue.close()
      }
    } finally {
      await end()
      await redis.stop()
    }
  })

test('what was held back in a full Redis (paused, or over a limit) goes back into it', { skip }, async () => {
  const redis = await startRedis()
  const { db, end } = await onSqlite()
  const queue = await open(db, redis.url)
  const pause = (at: number | null) =>
    inProject(A, () =>
      db.write((tx) =>
        tx.sql(
          `insert into queues (project_id, name, paused_at, created_at) values (?1, 'api', ?2, 0)
           on conflict (project_id, name) do update set paused_at = excluded.paused_at`,
          [A, at],
        ),
      ),
    )
  try {
    const one = entry({ runAt: systemClock.now() - 10_000 })
    await queue.sweep(systemClock.now())
    await enqueue(db, queue, [one])
    // It was seen in Redis: nobody offers it again.
    await until(async () => {
      await queue.sweep(systemClock.now())
      return (await db.lookup<{ ready: number }>('select ready from queue', []))[0]!.ready === 2
    })
    await limitMemory(redis.url, -1_000_000)
    await pause(1)
    assert.deepEqual(await claim(db, queue), [])
    await pause(null)
    assert.deepEqual(
      (await claimSoon(db, queue)).map((lease) => lease.runId),
      [one.runId],
    )
  } finally {
    await queue.close()
    await end()
    await redis.stop()
  }
})

for (const how of [
  'more comes than it has memory for',
  'it begins anew with less memory than what waits needs',
] as const)
  test(`a full Redis drains by itself, and nothing is lost or doubled: ${how}`, { skip }, async () => {
    const redis = await startRedis()
    const { db, end } = await onSqlite()
    const all = Array.from({ length: 10_000 }, () => entry({ priority: 1 }))
    let queue = await open(db, redis.url)
    try {
      await queue.sweep(systemClock.now())
      await enqueue(db, queue, all)
      await until(async () => (await queue.sweep(systemClock.now())).runnable.length === 1)
      if (how.startsWith('more')) {
        await limitMemory(redis.url, -1_000_000)
        const more = Array.from({ length: 1_000 }, () => entry())
        await enqueue(db, queue, more)
        all.push(...more)
      } else {
        await until(async () => {
          await queue.sweep(systemClock.now())
          return (await db.lookup('select 1 from queue where ready = 0 limit 1', [])).length === 0
        })
        await queue.close()
        await redis.restart({ empty: true })
        await limitMemory(redis.url, 2_000_000)
        queue = await open(db, redis.url)
      }
      const done: string[] = []
      await until(async () => {
        await queue.sweep(systemClock.now())
        const leases = await claim(db, queue, 500)
        const ends = await finish(db, queue, leases)
        done.push(...leases.filter((_, i) => ends[i]).map((lease) => lease.runId))
        return done.length >= all.length
      })
      assert.deepEqual(done.toSorted(), all.map((one) => one.runId).toSorted())
    } finally {
      await queue.close()
      await end()
      await redis.stop()
    }
  })

test('a server that only accepts sees that Redis is away, and that it is back', { skip }, async () => {
  const redis = await startRedis()
  const { db, end } = await onSqlite()
  const healths: (string | null)[] = []
  const accepting = await open(db, redis.url, { health: (reason) => healths.push(reason) })
  const working = await open(db, redis.url)
  try {
    await working.sweep(systemClock.now())
    await redis.kill9()
    await enqueue(db, accepting, [entry()])
    await until(() => typeof healths.at(-1) === 'string')
    await redis.restart({ empty: true })
    await until(() => healths.at(-1) === null)
    // A queue that nobody ever used goes into the new copy as well.
    await enqueue(db, accepting, [entry({ queue: 'fresh' })])
    await until(async () => {
      const { runnable } = await working.sweep(systemClock.now())
      return runnable.some((place) => place.queue === 'fresh')
    })
    assert.equal((await claim(db, working)).length, 1)
  } finally {
    await accepting.close()
    await working.close()
    await end()
    await redis.stop()
  }
})

test('a queue that is used for the first time while the copy is built is found when it is complete', {
  skip,
}, async () => {
  const redis = await startRedis()
  const { db, end } = await onSqlite()
  const queue = await open(db, redis.url)
  const direct = new Redis(redis.url)
  try {
    await queue.sweep(systemClock.now())
    const [copy] = await db.lookup<{ space: string; epoch: number }>('select space, epoch from queue_copy', [])
    const [stamp, places] = copyKeysOf(copy!.space)
    // Another server builds the copy, and has asked for the places already.
    await direct.del(stamp!)
    await enqueue(db, queue, [entry({ queue: 'fresh', runAt: systemClock.now() - 60_000 })])
    await until(async () => (await direct.sismember(places!, `${A}:fresh`)) === 1)
    // Whatever is due for two seconds and could be put in counts as seen.
    await inProject(A, () => db.write((tx) => tx.sql('update queue set ready = 2', [])))
    await direct.eval(copyScripts.writComplete, 2, stamp!, places!, copy!.epoch)
    assert.deepEqual((await queue.sweep(systemClock.now())).runnable, [{ queue: 'fresh', project: A }])
  } finally {
    direct.disconnect()
    await queue.close()
    await end()
    await redis.stop()
  }
})

test('a server that only hands out, and never sweeps, does so again after its connection was cut', {
  skip,
}, async () => {
  const redis = await startRedis()
  const { db, end } = await onSqlite()
  const queue = await open(db, redis.url)
  const observer = new Redis(redis.url)
  /** What is put in while the connection is not quite back stays in the table: then the next is claimed. */
  const doOne = async () => {
    let leases: Lease[] = []
    await until(async () => {
      await enqueue(db, queue, [entry()])
      leases = await claim(db, queue)
      return leases.length > 0
    })
    await finish(db, queue, leases)
  }
  /** Connections that are new and have greeted the server: the one for commands, and the one that listens. */
  const greeted = async (after: number) =>
    [...String(await observer.client('LIST')).matchAll(/^id=(\d+).* cmd=(info|subscribe)\b/gm)].filter(
      ([, id]) => Number(id) > after,
    ).length
  const newest = async () =>
    Math.max(...[...String(await observer.client('LIST')).matchAll(/^id=(\d+)/gm)].map(([, id]) => Number(id)))
  try {
    // As somebody else's sweep.
    await queue.sweep(systemClock.now())
    await doOne()
    const before = await newest()
    await observer.call('CLIENT', 'KILL', 'TYPE', 'normal')
    await observer.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    // Back before anybody asks for anything, so that no command fails that would say so.
    await until(async () => (await greeted(before)) >= 2)
    await doOne()
  } finally {
    await queue.close()
    observer.disconnect()
    await end()
    await redis.stop()
  }
})

test('a server that stops between the commit and Redis leaves nothing behind', { skip }, async () => {
  const redis = await startRedis()
  const { db, end } = await onSqlite()
  const nowhere = await open(db, `redis://127.0.0.1:${await freePort()}/0`)
  const lost = entry({ runAt: systemClock.now() - 1_000 })
  await enqueue(db, nowhere, [lost])
  await nowhere.close()
  const clock = createFakeClock(systemClock.now())
  const queue = await open(db, redis.url, { clock })
  try {
    await queue.sweep(clock.now())
    // Known to the copy from its making, though nobody put it there.
    assert.deepEqual((await claim(db, queue)).length, 1)
    const unseen = entry({ runAt: clock.now() })
    await inProject(A, () =>
      db.write((tx) =>
        tx.sql(
          `insert into queue (run_id, project_id, queue, handler, priority, run_at) values (?1, ?2, 'api', 'noop', 0, ?3)`,
          [unseen.runId, A, unseen.runAt],
        ),
      ),
    )
    assert.deepEqual((await queue.sweep(clock.now() + 1_999)).runnable, [])
    assert.deepEqual((await queue.sweep(clock.now() + 2_000)).runnable, [{ queue: 'api', project: A }])
    assert.deepEqual(
      (await claim(db, queue, 9, clock.now() + 2_000)).map((lease) => lease.runId),
      [unseen.runId],
    )
  } finally {
    await queue.close()
    await end()
    await redis.stop()
  }
})

test('what a lost server took out and never claimed is given to the next', { skip: skipWithoutPostgres }, async () => {
  const redis = await startRedis()
  const store = await onPostgres()
  const db = await store.open()
  await addProject(db)
  const lost = await open(db, redis.url)
  const queue = await open(db, redis.url)
  const direct = new Redis(redis.url)
  try {
    await lost.sweep(systemClock.now())
    await enqueue(db, lost, [entry(), entry()])
    const now = systemClock.now()
    await lost.reserve(A, { queue: 'api', limit: 2, worker: 'lost', now, leaseUntil: now + LEASE, except: [] })
    await queue.sweep(now)
    assert.deepEqual(await claim(db, queue), [])
    // Ten seconds pass for its consumer.
    const [key] = await direct.keys('*:out')
    const pending = (await direct.xpending(key!, 'workers', '-', '+', 9)) as [string, string][]
    assert.deepEqual(
      pending.map(([, consumer]) => consumer),
      ['lost', 'lost'],
    )
    for (const [id] of pending) await direct.xclaim(key!, 'workers', 'lost', 0, id, 'IDLE', 10_000)
    await queue.sweep(systemClock.now())
    assert.equal((await claim(db, queue)).length, 2)
    await queue.sweep(systemClock.now())
    assert.deepEqual(await direct.keys('*:out'), [])
  } finally {
    direct.disconnect()
    await lost.close()
    await queue.close()
    await db.close()
    await store.end()
    await redis.stop()
  }
})

test('one server hears of what another put in', { skip: skipWithoutPostgres }, async () => {
  const redis = await startRedis()
  const store = await onPostgres()
  const dbs = [await store.open(), await store.open()]
  await addProject(dbs[0]!)
  const [here, there] = [await open(dbs[0]!, redis.url), await open(dbs[1]!, redis.url)]
  try {
    await here.sweep(systemClock.now())
    await there.sweep(systemClock.now())
    const heard = Promise.withResolvers<unknown>()
    there.wake({ runnable: heard.resolve, stop() {} })
    await enqueue(dbs[0]!, here, [entry()])
    assert.deepEqual(await heard.promise, { queue: 'api', project: A })
    assert.equal((await claim(dbs[1]!, there)).length, 1)
  } finally {
    for (const queue of [here, there]) await queue.close()
    for (const db of dbs) await db.close()
    await store.end()
    await redis.stop()
  }
})

test('installations that share a Redis do not meet', { skip }, async () => {
  const redis = await startRedis()
  const [mine, theirs] = [await onSqlite(), await onSqlite()]
  const [queue, other] = [await open(mine.db, redis.url), await open(theirs.db, redis.url)]
  try {
    await queue.sweep(systemClock.now())
    await other.sweep(systemClock.now())
    await enqueue(mine.db, queue, [entry()])
    assert.deepEqual((await other.sweep(systemClock.now())).runnable, [])
    assert.deepEqual(await claim(theirs.db, other), [])
    assert.equal((await claim(mine.db, queue)).length, 1)
  } finally {
    for (const one of [queue, other]) await one.close()
    for (const one of [mine, theirs]) await one.end()
    await redis.stop()
  }
})

test('from Redis back to the database’s own queue nothing is left behind', { skip }, async () => {
  const redis = await startRedis()
  const { db, end } = await onSqlite()
  const queue = await open(db, redis.url)
  const waits = entry({ runAt: systemClock.now() - 60_000 })
  await queue.sweep(systemClock.now())
  await enqueue(db, queue, [waits, entry()])
  await queue.sweep(systemClock.now())
  await queue.close()
  await redis.stop()
  const own = await open(db, '', { backend: 'database' })
  try {
    await own.sweep(systemClock.now())
    assert.equal((await claim(db, own)).length, 2)
  } finally {
    await own.close()
    await end()
  }
})

test('the password of REDIS_URL is in no line of the log', { skip }, async () => {
  const redis = await startRedis({ password: 'right-canary-4711' })
  const { db, end } = await onSqlite()
  const lines: string[] = []
  const log = logTo(lines)
  const wrong = await open(db, redis.url.replace('right', 'wrong'), { log })
  const right = await open(db, redis.url, { log })
  try {
    await wrong.sweep(systemClock.now())
    await right.sweep(systemClock.now())
    await redis.kill9()
    await right.sweep(systemClock.now())
    assert.match(lines.join(''), /WRONGPASS/)
    assert.match(lines.join(''), /redis is away/)
    assert.doesNotMatch(lines.join(''), /canary/)
  } finally {
    await wrong.close()
    await right.close()
    await end()
    await redis.stop()
  }
})

test('a second server with a queue in memory is refused', { skip: skipWithoutPostgres }, async () => {
  const store = await onPostgres()
  const dbs = [await store.open(), await store.open()]
  const first = await open(dbs[0]!, '', { backend: 'memory' })
  try {
    await assert.rejects(
      open(dbs[1]!, '', { backend: 'memory' }),
      /Another server keeps the queue of this database in memory/,
    )
  } finally {
    await first.close()
    for (const db of dbs) await db.close()
    await store.end()
  }
})

/** Passes bytes on, until it cuts every connection. */
async function startProxy(to: number): Promise<{ url: string; cut(): void; stop(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const proxy = createServer((socket) => {
    const out = connect(to, '127.0.0.1')
    for (const one of [socket, out]) {
      sockets.add(one)
      one.on('error', () => {})
      one.on('close', () => {
        sockets.delete(one)
        socket.destroy()
        out.destroy()
      })
    }
    socket.pipe(out)
    out.pipe(socket)
  })
  const port = await freePort()
  await new Promise<void>((ready) => proxy.listen(port, '127.0.0.1', ready))
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: `redis://127.0.0.1:${port}/0`,
    cut,
    async stop() {
      cut()
      await new Promise((done) => proxy.close(done))
    },
  }
}
