/** What every queue promises, as tests: `exerciseQueue('sqlite', open)` in a test file runs them all, and none is left out. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Database, inProject, type Tx } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { type Entry, type Lease, type Queue, type Runnable, remotePlace, type Settlement } from './queue.ts'

/** A queue under test, empty, over a migrated database with the projects A and B. */
export interface Exercise {
  readonly db: Database
  readonly queue: Queue
  /** Opens the same queue again as the next process would; the one before was killed. */
  reopen(): Promise<Queue>
  end(): Promise<void>
}

export const A = '0190a000-0000-7000-8000-00000000000a'
export const B = '0190a000-0000-7000-8000-00000000000b'
/** When it all happens: what the queue's clock says too. */
export const T = 1_800_000_000_000
const LEASE = 30_000

/** @param skip why this backend cannot be had here, or false */
export function exerciseQueue(name: string, open: () => Promise<Exercise>, skip: string | false = false): void {
  const queueTest = (title: string, run: (on: Exercise & Verbs) => Promise<void>) =>
    test(`${name}: ${title}`, { skip }, async () => {
      const exercise = await open()
      try {
        await exercise.queue.sweep(T)
        await run({ ...exercise, ...verbs(exercise.db, exercise.queue) })
      } finally {
        await exercise.end()
      }
    })

  queueTest('what was enqueued is claimed, and after it is done never again', async ({ put, claim, done, sweep }) => {
    const run = await put({})
    const [lease] = await claim()
    assert.deepEqual(lease, {
      runId: run,
      project: A,
      queue: 'api',
      handler: 'noop',
      fence: 1,
      attempt: 1,
      failures: 0,
    })
    assert.deepEqual(await claim(), [])
    assert.deepEqual(await done(lease!), true)
    assert.deepEqual(await sweep(T + 10 * LEASE), [])
    assert.deepEqual(await claim({ now: T + 10 * LEASE }), [])
  })

  queueTest('of a transaction that was undone nothing is claimed', async ({ db, queue, claim, sweep }) => {
    await assert.rejects(
      inProject(A, () =>
        db.write(async (tx) => {
          await queue.enqueue(tx, [entry({})], T)
          throw new Error('changed my mind')
        }),
      ),
      /changed my mind/,
    )
    assert.deepEqual(await sweep(T), [])
    assert.deepEqual(await claim(), [])
  })

  queueTest('what is enqueued by who works on it is claimed from the start', async ({ db, queue, ...verbs }) => {
    const { claim, done, pause, sweep } = verbs
    const enqueue = (entries: readonly Entry[]) =>
      inProject(A, () =>
        db.write(async (tx) => queue.enqueueHeld(tx, entries, { worker: 'one', now: T, leaseUntil: T + LEASE })),
      )
    const [first, second] = [entry({}), entry({})]
    const leases = await enqueue([first, second])
    assert.deepEqual(
      leases,
      [first, second].map(({ runId }) => ({
        runId,
        project: A,
        queue: 'api',
        handler: 'noop',
        fence: 1,
        attempt: 1,
        failures: 0,
      })),
    )
    assert.deepEqual(await claim(), [])
    assert.deepEqual(await queue.extend([leases[0]!], T + 2 * LEASE), { lost: [], stop: [] })
    assert.equal(await done(leases[0]!), true)
    // The lease of the other runs out as any does.
    assert.deepEqual(await sweep(T + LEASE), [{ queue: 'api', project: A }])
    const [next] = await claim({ now: T + LEASE, worker: 'other' })
    assert.deepEqual([next!.runId, next!.fence, next!.attempt], [second.runId, 2, 2])
    assert.equal(await done(leases[1]!), false)
    assert.equal(await done(next!), true)
    const mayHold = () => inProject(A, () => db.write((tx) => queue.mayHold(tx, 'api')))
    assert.equal(await mayHold(), true)
    await pause(T)
    assert.equal(await mayHold(), false)
    await pause(null)
    assert.equal(await mayHold(), true)
  })

  queueTest('a claim that was undone leaves what it took to others', async ({ db, queue, put, claim, sweep }) => {
    await put({})
    const ask = askFor({})
    await queue.reserve(A, ask)
    await assert.rejects(
      inProject(A, () =>
        db.write(async (tx) => {
          assert.equal((await queue.claim(tx, ask)).length, 1)
          throw new Error('no room')
        }),
      ),
      /no room/,
    )
    await sweep(T + LEASE)
    assert.equal((await claim({ now: T + LEASE })).length, 1)
  })

  queueTest('many that claim at once share, and nobody gets what another has', async ({ put, claim }) => {
    const runs = await Promise.all(Array.from({ length: 60 }, () => put({})))
    const claimed = await Promise.all(Array.from({ length: 9 }, (_, i) => claim({ worker: `w${i}`, limit: 10 })))
    const again = await claim({ limit: 100 })
    const all = [...claimed.flat(), ...again].map((lease) => lease.runId)
    assert.equal(all.length, 60)
    assert.deepEqual(all.toSorted(), runs.toSorted())
  })

  queueTest('a lease that ran out is another’s, with a higher fence', async ({ queue, put, claim, done, sweep }) => {
    await put({})
    const [old] = await claim()
    assert.deepEqual(await sweep(T + LEASE - 1), [])
    assert.deepEqual(await sweep(T + LEASE), [{ queue: 'api', project: A }])
    const [next] = await claim({ now: T + LEASE, worker: 'other' })
    assert.deepEqual(
      { fence: next?.fence, attempt: next?.attempt, failures: next?.failures },
      { fence: 2, attempt: 2, failures: 0 },
    )
    assert.deepEqual(await queue.extend([old!], T + 9 * LEASE), { lost: [old], stop: [] })
    assert.equal(await done(old!), false)
    assert.equal(await done(next!), true)
  })

  queueTest('a lease that is extended does not run out', async ({ queue, put, claim, sweep }) => {
    await put({})
    const [lease] = await claim()
    assert.deepEqual(await queue.extend([lease!], T + 3 * LEASE), { lost: [], stop: [] })
    assert.deepEqual(await sweep(T + 2 * LEASE), [])
    assert.deepEqual(await sweep(T + 3 * LEASE), [{ queue: 'api', project: A }])
  })

  queueTest(
    'a clock that was set ends no lease, and lets none last longer',
    async ({ queue, put, claim, done, sweep }) => {
      const HOURS = 36_000_000
      await put({})
      const [lease] = await claim()
      await queue.clockSet({ from: T, to: T + HOURS, leaseUntil: T + HOURS + LEASE })
      assert.deepEqual(await sweep(T + HOURS), [])
      assert.deepEqual(await claim({ now: T + HOURS }), [])
      // Back, and a process that begins now finds a lease of a clock that was ahead.
      await queue.clockSet({ from: T, to: T, leaseUntil: T + LEASE })
      assert.deepEqual(await sweep(T + LEASE - 1), [])
      assert.deepEqual(await sweep(T + LEASE), [{ queue: 'api', project: A }])
      assert.equal(await done(lease!), false)
    },
  )

  queueTest('what was due stays due when the clock goes back', async ({ queue, put, claim, sweep }) => {
    const due = await put({})
    const later = await put({ runAt: T + 5 })
    await sweep(T)
    await queue.clockSet({ from: T, to: T - 36_000_000, leaseUntil: T - 36_000_000 + LEASE })
    const claimed = await claim({ now: T - 36_000_000, limit: 9 })
    assert.deepEqual(
      claimed.map((lease) => lease.runId),
      [due],
    )
    await queue.clockSet({ from: T - 36_000_000, to: T + 5, leaseUntil: T + 5 + LEASE })
    await sweep(T + 5)
    assert.deepEqual(
      (await claim({ now: T + 5, limit: 9 })).map((lease) => lease.runId),
      [later],
    )
  })

  queueTest('the highest priority goes first, then the earliest time, then the oldest', async ({ put, claim }) => {
    const late = await put({ runAt: T - 1 })
    const early = await put({ runAt: T - 9 })
    const same = await put({ runAt: T - 9 })
    const urgent = await put({ priority: 5 })
    const least = await put({ priority: -3, runAt: T - 99 })
    assert.deepEqual(
      (await claim({ limit: 2 })).map((lease) => lease.runId),
      [urgent, early],
    )
    assert.deepEqual(
      (await claim({ limit: 9 })).map((lease) => lease.runId),
      [same, late, least],
    )
  })

  queueTest('nothing is claimed before its time, and a sweep says when that is', async ({ queue, put, claim }) => {
    const run = await put({ runAt: T + 500 })
    assert.deepEqual(await queue.sweep(T + 499), { runnable: [], next: T + 500, stopped: [] })
    assert.deepEqual(await claim({ now: T + 499 }), [])
    assert.deepEqual(await queue.sweep(T + 500), {
      runnable: [{ queue: 'api', project: A }],
      next: null,
      stopped: [],
    })
    assert.deepEqual(
      (await claim({ now: T + 500 })).map((lease) => lease.runId),
      [run],
    )
  })

  queueTest(
    'put again, what waits gets the new time, and what is claimed stays',
    async ({ put, claim, sweep, done }) => {
      const run = await put({ runAt: T + 900 })
      await put({ runId: run, runAt: T })
      const [lease] = await claim()
      assert.equal(lease?.runId, run)
      await put({ runId: run, runAt: T })
      assert.deepEqual(await sweep(T), [])
      assert.equal(await done(lease!), true)
    },
  )

  queueTest('a retry counts a failure and comes at its time', async ({ put, claim, settle, sweep }) => {
    await put({})
    const [lease] = await claim()
    assert.equal(await settle({ runId: lease!.runId, fence: 1, next: 'retry', runAt: T + 2_000 }), true)
    assert.deepEqual(await sweep(T + 1_999), [])
    await sweep(T + 2_000)
    const [again] = await claim({ now: T + 2_000 })
    assert.deepEqual({ attempt: again?.attempt, failures: again?.failures }, { attempt: 2, failures: 1 })
  })

  queueTest('what is given back was never claimed', async ({ put, claim, settle, sweep }) => {
    await put({})
    const [lease] = await claim()
    assert.equal(await settle({ runId: lease!.runId, fence: 1, next: 'back', runAt: T }), true)
    await sweep(T)
    const [again] = await claim()
    assert.deepEqual(
      { fence: again?.fence, attempt: again?.attempt, failures: again?.failures },
      { fence: 2, attempt: 1, failures: 0 },
    )
  })

  queueTest('what nobody holds can be taken away, what is claimed cannot', async ({ put, claim, settle, sweep }) => {
    const waits = await put({ runAt: T + 1_000 })
    const held = await put({})
    await claim()
    assert.equal(await settle({ runId: waits, fence: 'unclaimed', next: 'done' }), true)
    assert.equal(await settle({ runId: waits, fence: 'unclaimed', next: 'done' }), false)
    assert.equal(await settle({ runId: held, fence: 'unclaimed', next: 'done' }), false)
    assert.deepEqual(await sweep(T + 5_000), [])
  })

  queueTest('settlements in one go are answered in their order', async ({ db, queue, put, claim }) => {
    for (let i = 0; i < 4; i++) await put({})
    const [a, b, c, d] = await claim({ limit: 4 })
    const ends: Settlement[] = [
      { runId: a!.runId, fence: a!.fence, next: 'done' },
      { runId: b!.runId, fence: b!.fence + 1, next: 'done' },
      { runId: c!.runId, fence: c!.fence, next: 'retry', runAt: T + 1 },
      { runId: d!.runId, fence: 'unclaimed', next: 'done' },
    ]
    assert.deepEqual(await inProject(A, () => db.write((tx) => queue.settle(tx, ends))), [true, false, true, false])
  })

  queueTest(
    'of work that is done all at once, what was settled before is told apart',
    async ({ db, queue, put, claim }) => {
      for (let i = 0; i < 5; i++) await put({})
      const leases = await claim({ limit: 4 })
      const ends: Settlement[] = leases.map(({ runId, fence }) => ({ runId, fence, next: 'done' }))
      const settle = (some: readonly Settlement[]) => inProject(A, () => db.write((tx) => queue.settle(tx, some)))
      assert.deepEqual(await settle([ends[1]!, ends[2]!]), [true, true])
      assert.deepEqual(await settle(ends), [true, false, false, true])
      assert.deepEqual(await settle(ends), [false, false, false, false])
      assert.equal((await claim({ limit: 9 })).length, 1)
    },
  )

  queueTest(
    'of two claims of one run, settled in one go, the newer counts',
    async ({ db, queue, put, claim, sweep }) => {
      await put({})
      const [old] = await claim()
      await sweep(T + LEASE)
      const [next] = await claim({ now: T + LEASE })
      assert.deepEqual(await queue.extend([old!, next!], T + 9 * LEASE), { lost: [old], stop: [] })
      const ends: Settlement[] = [old!, next!].map(({ runId, fence }) => ({ runId, fence, next: 'done' }))
      assert.deepEqual(await inProject(A, () => db.write((tx) => queue.settle(tx, ends))), [false, true])
    },
  )

  queueTest('handlers of which there is enough stay where they are', async ({ put, claim }) => {
    await put({ handler: 'slow' })
    const other = await put({ handler: 'quick' })
    assert.deepEqual(
      (await claim({ except: ['slow', 'slower'] })).map((lease) => lease.runId),
      [other],
    )
    assert.equal((await claim()).length, 1)
  })

  queueTest('projects and queues are claimed apart', async ({ put, claim, sweep }) => {
    const mine = await put({})
    await put({ project: B })
    await put({ queue: 'script' })
    const sorted = (all: readonly Runnable[]) => all.map((one) => `${one.queue} ${one.project}`).toSorted()
    assert.deepEqual(sorted(await sweep(T)), [`api ${A}`, `api ${B}`, `script ${A}`])
    assert.deepEqual(
      (await claim({ limit: 9 })).map((lease) => lease.runId),
      [mine],
    )
    assert.deepEqual(sorted(await sweep(T)), [`api ${B}`, `script ${A}`])
  })

  queueTest('a paused queue is not claimed from, and loses nothing', async ({ put, pause, claim, sweep }) => {
    await put({})
    await put({ project: B })
    await pause(T)
    assert.deepEqual(await sweep(T), [{ queue: 'api', project: B }])
    assert.deepEqual(await claim(), [])
    await pause(null)
    assert.equal((await claim()).length, 1)
  })

  queueTest(
    'of a queue with a limit as many are held as it allows, by whomever',
    async ({ db, queue, put, claim, done, sweep }) => {
      const limit = (n: number | null) =>
        inProject(A, () =>
          db.write((tx) =>
            tx.sql(
              `insert into queues (project_id, name, concurrency, created_at) values (?1, 'api', ?2, 0)
             on conflict (project_id, name) do update set concurrency = excluded.concurrency`,
              [A, n],
            ),
          ),
        )
      for (let i = 0; i < 5; i++) await put({})
      await put({ project: B })
      await put({ queue: '@api/far', handler: 'far' })
      await limit(3)
      await sweep(T)
      const claimed = await Promise.all(['one', 'two', 'three'].map((worker) => claim({ worker, limit: 2 })))
      assert.equal(claimed.flat().length, 3)
      assert.deepEqual(await claim({ queue: '@api/far', limit: 9 }), [])
      assert.equal((await claim({ project: B, limit: 9 })).length, 1)
      const heard = Promise.withResolvers<Runnable | null>()
      queue.wake({ runnable: heard.resolve, stop: () => {} })
      assert.equal(await done(claimed.flat()[0]!), true)
      assert.equal((await heard.promise)?.project, A)
      await sweep(T)
      assert.equal((await claim({ limit: 9 })).length, 1)
      await limit(null)
      await sweep(T)
      assert.equal((await claim({ limit: 9 })).length, 1)
      assert.equal((await claim({ queue: '@api/far', limit: 9 })).length, 1)
    },
  )

  queueTest('who holds a lease hears that its work is to stop', async ({ db, queue, put, claim }) => {
    const run = await put({})
    const stop = () => inProject(A, () => db.write((tx) => queue.stop(tx, run)))
    assert.equal(await stop(), false)
    const [lease] = await claim()
    assert.equal(await stop(), true)
    assert.deepEqual(await queue.extend([lease!], T + LEASE), { lost: [], stop: [lease] })
  })

  queueTest(
    'what was to stop and whose holder is gone is never claimed again, and named until one has settled it',
    async ({ db, queue, put, claim, reopen }) => {
      const run = await put({})
      const [lease] = await claim()
      const other = await put({})
      await claim()
      await inProject(A, () => db.write((tx) => queue.stop(tx, run)))
      assert.deepEqual((await queue.sweep(T + LEASE - 1)).stopped, [])
      const swept = await queue.sweep(T + LEASE)
      assert.deepEqual(swept.stopped, [lease])
      // What was held beside it goes on.
      assert.deepEqual(swept.runnable, [{ queue: 'api', project: A }])
      const [next] = await claim({ now: T + LEASE, limit: 9 })
      assert.equal(next!.runId, other)
      assert.deepEqual(await claim({ now: T + LEASE, limit: 9 }), [])
      // Killed before it was settled: the next process is told as well.
      const restarted = await reopen()
      const { claim: claimNow, done } = verbs(db, restarted)
      const named = async (now: number) =>
        (await restarted.sweep(now)).stopped.filter(({ runId }) => runId === run).map(({ fence }) => fence)
      assert.deepEqual(await named(T + LEASE + 1), [1])
      // Of two that were told one settles it.
      assert.deepEqual((await Promise.all([done(lease!), done(lease!)])).toSorted(), [false, true])
      assert.deepEqual(await named(T + 9 * LEASE), [])
      assert.deepEqual(
        (await claimNow({ now: T + 9 * LEASE, limit: 9 })).map(({ runId }) => runId),
        [other],
      )
    },
  )

  queueTest('a hint comes after the commit, with the place', async ({ db, queue }) => {
    const heard: (Runnable | null)[] = []
    let before = 0
    const first = Promise.withResolvers<void>()
    queue.wake({
      runnable: (where) => {
        heard.push(where)
        first.resolve()
      },
      stop: () => {},
    })
    await inProject(A, () =>
      db.write(async (tx) => {
        await queue.enqueue(tx, [entry({}), entry({})], T)
        before = heard.length
      }),
    )
    await first.promise
    assert.equal(before, 0)
    assert.deepEqual(heard[0], { queue: 'api', project: A })
  })

  queueTest(
    'depth counts what waits, is delayed and is claimed, in its own project',
    async ({ db, queue, put, claim }) => {
      await put({ runAt: T - 7 })
      await put({ runAt: T - 5 })
      await put({ runAt: T + 9 })
      await put({ queue: 'script', runAt: T + 9 })
      await put({ project: B })
      await claim({ limit: 1 })
      assert.deepEqual(await inProject(A, () => db.read((tx) => queue.depth(tx))), [
        { queue: 'api', waiting: 1, delayed: 1, claimed: 1, oldest: T - 5 },
        { queue: 'script', waiting: 0, delayed: 1, claimed: 0, oldest: null },
      ])
      await put({ queue: remotePlace('script', 'echo'), runAt: T - 9 })
      await put({ queue: 'scripts' })
      assert.deepEqual(await inProject(A, () => db.read((tx) => queue.depth(tx, 'script'))), [
        { queue: '@script/echo', waiting: 1, delayed: 0, claimed: 0, oldest: T - 9 },
        { queue: 'script', waiting: 0, delayed: 1, claimed: 0, oldest: null },
      ])
    },
  )

  queueTest('the next process finds everything, once what was held has run out', async ({ db, put, claim, reopen }) => {
    const runs = [await put({}), await put({}), await put({ runAt: T + 100 })]
    const [held] = await claim({ limit: 1 })
    const next = await reopen()
    const again = verbs(db, next)
    await next.sweep(T + LEASE)
    const claimed = await again.claim({ now: T + LEASE, limit: 9, worker: 'next' })
    assert.deepEqual(claimed.map((lease) => lease.runId).toSorted(), runs.toSorted())
    assert.equal(await again.done(held!), false)
    for (const lease of claimed) assert.equal(await again.done(lease), true)
  })
}

type Put = Partial<Entry> & { project?: string }
type Claim = { queue?: string; project?: string; worker?: string; limit?: number; now?: number; except?: string[] }

interface Verbs {
  put(what: Put): Promise<string>
  claim(what?: Claim): Promise<Lease[]>
  settle(one: Settlement): Promise<boolean>
  done(lease: Lease): Promise<boolean>
  sweep(now: number): Promise<readonly Runnable[]>
  pause(at: number | null): Promise<void>
}

const entry = ({ runId, queue = 'api', handler = 'noop', priority = 0, runAt = T }: Put): Entry => ({
  runId: runId ?? uuidv7(T),
  queue,
  handler,
  priority,
  runAt,
})

const askFor = ({ queue = 'api', worker = 'one', limit = 1, now = T, except = [] }: Claim) => ({
  queue,
  worker,
  limit,
  now,
  leaseUntil: now + LEASE,
  except,
})

function verbs(db: Database, queue: Queue): Verbs {
  const write = <T>(project: string, work: (tx: Tx) => Promise<T>) => inProject(project, () => db.write(work))
  const settle = async (one: Settlement) => (await write(A, (tx) => queue.settle(tx, [one])))[0]!
  return {
    async put(what) {
      const made = entry(what)
      await write(what.project ?? A, (tx) => queue.enqueue(tx, [made], T))
      return made.runId
    },
    async claim(what = {}) {
      const ask = askFor(what)
      await queue.reserve(what.project ?? A, ask)
      return write(what.project ?? A, (tx) => queue.claim(tx, ask))
    },
    settle,
    done: (lease) => settle({ runId: lease.runId, fence: lease.fence, next: 'done' }),
    sweep: async (now) => (await queue.sweep(now)).runnable,
    async pause(at) {
      await write(A, (tx) =>
        tx.sql(
          `insert into queues (project_id, name, paused_at, created_at) values (?1, 'api', ?2, 0)
           on conflict (project_id, name) do update set paused_at = excluded.paused_at`,
          [A, at],
        ),
      )
    },
  }
}
