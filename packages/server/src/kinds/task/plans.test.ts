/** That tasks with a key are found by its index, however many others there are: asked of the planner, because time says little. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Asked,
  doneOnPostgres,
  listeningOn,
  notingIn,
  planOnSqlite,
  plansOnPostgres,
  type Said,
} from '../../../../../test/servers/listening.ts'
import { missingBackend } from '../../../../../test/servers/missing-backend.ts'
import { missingPostgres } from '../../../../../test/servers/postgres.ts'
import { onPostgres, onSqlite } from '../../../../../test/servers/stores.ts'
import { type Database, inProject, type Tx } from '../../platform/db/index.ts'
import { uuidv7 } from '../../platform/ids.ts'
import {
  countByState,
  countTasks,
  findOutcomes,
  findParents,
  findSteps,
  findTask,
  insertBatches,
  keepSteps,
  listReplayable,
  listTasks,
  type Wanted,
} from './store.ts'
import { findAwaited } from './store-held.ts'
import { dropEmptyBatches } from './store-retention.ts'

const A = '0190a000-0000-7000-8000-00000000000a'
const T = 1_800_000_000_000
const TASKS = 6_000
const DEAD = [5_002, 2_002, 2]
/** One in a thousand has keys. */
const rows = Array.from({ length: TASKS }, (_, n) => {
  const id = uuidv7(T + n)
  return {
    id,
    project_id: A,
    number: n + 1,
    kind: 'task',
    handler: 'noop',
    state: n % 2 === 0 ? 'completed' : 'failed',
    error_code: n % 2 === 0 ? null : 'TASK_FAILED',
    // All but these were purged since.
    dead_at: n % 2 === 0 ? null : T,
    purged_at: n % 2 === 0 || DEAD.includes(n + 1) ? null : T,
    root_run_id: id,
    trigger: '{}',
    trace_id: '0',
    queue: 'api',
    priority: 0,
    run_at: T,
    max_attempts: 1,
    timeout_ms: 1_000,
    concurrency_key: n % 1_000 === 0 ? 'customer 17' : null,
    unique_key: n % 1_000 === 0 ? 'night 17' : null,
    created_at: T + n,
    updated_at: T + n,
  }
})

/** What `work` asks of the database by its query builder. */
async function listened(db: Database, work: (tx: Tx) => Promise<void>): Promise<Said[]> {
  return inProject(A, () =>
    db.read(async (tx) => {
      const listening = listeningOn(tx)
      await work(listening.tx)
      return listening.said()
    }),
  )
}

const planIn = (db: Database, said: Said): Promise<string> =>
  inProject(A, () => db.read(async (tx) => (await planOnSqlite(tx, said)).join('\n')))

/** A page of tasks with a key, and their count. */
async function asked(db: Database, want: Wanted): Promise<Said[]> {
  const said = await listened(db, async (tx) => {
    const page = await listTasks(tx, want, { limit: 4, skip: 0, before: 5_500 })
    assert.deepEqual(
      page.map(({ number }) => number),
      [5_001, 4_001, 3_001, 2_001],
    )
    assert.equal((await listReplayable(tx, want, 100)).length, 6)
  })
  assert.equal(said.length, 2)
  return said
}

/** Two tasks of all wait, and one is in work: pages of each, and their counts. */
async function askedOpen(db: Database): Promise<Said[]> {
  const open = [10, 3_000, 5_990].map((n) => rows[n]!)
  await inProject(A, () =>
    db.write(async (tx) => {
      for (const [i, { id }] of open.entries()) {
        await tx.sql(`update runs set state = 'pending' where project_id = ?1 and id = ?2`, [A, id])
        await tx.sql(
          `insert into queue (run_id, project_id, queue, handler, run_at, lease_until) values (?1, ?2, 'api', 'noop', ?3, ?4)`,
          [id, A, T, i === 1 ? T : null],
        )
      }
    }),
  )
  return listened(db, async (tx) => {
    for (const [state, numbers] of [
      ['pending', [5_991, 11]],
      ['running', [3_001]],
      // Nobody's, and what ended is not looked at either.
      ['running', []],
    ] as const) {
      const want = { state, ...(numbers.length === 0 ? { handler: 'other' } : {}) }
      const page = await listTasks(tx, want, { limit: 100, skip: 0 })
      assert.deepEqual(
        page.map(({ number }) => number),
        numbers,
      )
      assert.equal(await countTasks(tx, want), numbers.length)
    }
  })
}

async function fill(db: Database): Promise<void> {
  await inProject(A, () =>
    db.write((tx) => tx.insert('projects', [{ id: A, slug: 'p', name: 'Test', policy: '{}', created_at: 0 }])),
  )
  await db.prepareMonths(T)
  await inProject(A, () => db.write((tx) => tx.insert('runs', rows)))
}

const KEYS: { wanted: Wanted; column: string; index: string }[] = [
  { wanted: { concurrency_key: 'customer 17' }, column: 'concurrency_key', index: 'runs_keyed' },
  { wanted: { unique_key: 'night 17' }, column: 'unique_key', index: 'runs_unique_keyed' },
]

test('SQLite: tasks with a key are found by its index, in the order of lists', async () => {
  await onSqlite(T, async (db) => {
    await fill(db)
    for (const { wanted, column, index } of KEYS)
      for (const said of await asked(db, wanted)) {
        const details = await planIn(db, said)
        assert.match(details, new RegExp(`SEARCH runs USING INDEX ${index} \\(project_id=\\? AND ${column}=\\?`))
        assert.doesNotMatch(details, /SCAN runs\b|TEMP B-TREE/)
      }
  })
})

test('PostgreSQL: tasks with a key are found by its index, also behind row-level security', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(T, async (db, client) => {
    await fill(db)
    const said = await Promise.all(KEYS.map(async ({ wanted, column }) => ({ column, all: await asked(db, wanted) })))
    await client.query('analyze runs')
    await client.query(`set role writ_app; set writ.project = '${A}'`)
    for (const { column, all } of said)
      for (const one of all) {
        const { plan, blocks } = await doneOnPostgres(client, one)
        assert.match(plan, new RegExp(`"Index Cond":"[^"]*${column}`))
        // All of the tasks are some hundred blocks.
        assert.ok(blocks < 40, plan)
      }
  })
})

test('SQLite: of the tasks that wait or are in work, few among many, nothing else is looked at', async () => {
  await onSqlite(T, async (db) => {
    await fill(db)
    for (const said of await askedOpen(db)) {
      const details = await planIn(db, said)
      if (!said.sql.includes('1 = 0')) assert.match(details, /SEARCH runs USING INDEX .*\(project_id=\? AND id=\?\)/)
    }
  })
})

test('PostgreSQL: of the tasks that wait or are in work, few among many, nothing else is looked at', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(T, async (db, client) => {
    await fill(db)
    const said = await askedOpen(db)
    await client.query('analyze runs; analyze queue')
    await client.query(`set role writ_app; set writ.project = '${A}'`)
    for (const one of said) {
      const { plan, blocks } = await doneOnPostgres(client, one)
      assert.ok(blocks < 60, plan)
    }
  })
})

test('PostgreSQL: however many wait, a page of tasks, and one of them, look at their own entries of the queue', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(T, async (db, client) => {
    await fill(db)
    const waiting = rows.map(({ id }) => ({ run_id: id, project_id: A, queue: 'api', handler: 'noop', run_at: T }))
    await inProject(A, () => db.write((tx) => tx.insert('queue', waiting)))
    const said = await listened(db, async (tx) => {
      assert.equal((await listTasks(tx, {}, { limit: 10, skip: 0 })).length, 10)
      assert.equal((await findTask(tx, rows[17]!.id))?.number, 18)
    })
    await client.query('analyze runs; analyze queue')
    await client.query(`set role writ_app; set writ.project = '${A}'`)
    for (const one of said) {
      const { plan } = await doneOnPostgres(client, one)
      assert.doesNotMatch(plan, /"Node Type":"Seq Scan"[^{}]*"Relation Name":"queue"/)
    }
  })
})

/** What a task with thousands of steps, each a child, asks about some of them. */
async function askedOfChildren(db: Database): Promise<Asked[]> {
  const parent = rows[40]!.id
  const children = rows.filter((_, n) => n % 180 === 100).map(({ id }) => id)
  const steps = rows.map((_, n) => ({
    run_id: parent,
    name: `child ${n}`,
    attempt: 1,
    started_at: T,
    ended_at: T,
    result: 'null',
    sha256: '',
    result_sealed: null,
  }))
  await inProject(A, () => db.write((tx) => keepSteps(tx, steps)))
  const said: Asked[] = []
  await inProject(A, () =>
    db.read(async (plain) => {
      const tx = notingIn(plain, said)
      const names = children.map((_, n) => ({ runId: parent, name: `child ${n * 100}` }))
      assert.equal((await findSteps(tx, names)).size, children.length)
      assert.equal((await findOutcomes(tx, children)).size, children.length)
      const parents = [parent, rows.at(-1)!.id, rows[3_000]!.id]
      assert.equal((await findParents(tx, [...parents, parent])).size, 3)
      assert.equal((await findAwaited(tx, parents)).size, 0)
    }),
  )
  assert.equal(said.length, 4)
  return said
}

test('SQLite: of thousands of steps and children those that are asked for are looked at', async () => {
  await onSqlite(T, async (db) => {
    await fill(db)
    for (const one of await askedOfChildren(db)) {
      const details = await planIn(db, { sql: one.text, parameters: one.params })
      if (one.text.includes('from steps'))
        assert.match(details, /SEARCH steps USING .*\(project_id=\? AND run_id=\? AND name=\?\)/)
      else assert.match(details, /SEARCH runs USING .*\bid=\?/)
    }
  })
})

test('PostgreSQL: of thousands of steps and children those that are asked for are looked at, in their months', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(T, async (db, client) => {
    await fill(db)
    const said = await askedOfChildren(db)
    await client.query('analyze runs; analyze steps')
    for (const one of said)
      for (const plan of await plansOnPostgres(client, one)) {
        assert.match(plan, /Index Cond: .*\b(name = asked\.b|id = ANY)/)
        // The other months are empty.
        assert.doesNotMatch(plan, /Seq Scan on (steps|runs)_2027_01/)
      }
  })
})

/** Pages of dead letters and their counts. */
const askedDead = (db: Database) =>
  listened(db, async (tx) => {
    for (const [want, numbers] of [
      [{ dead: true }, DEAD],
      [{ dead: true, queue: 'api', handler: 'noop' }, DEAD],
      [{ dead: true, queue: 'other' }, []],
      [{ dead: true, error_code: 'OTHER' }, []],
      [{ dead: true, died_before: T }, []],
    ] as const) {
      const page = await listTasks(tx, want, { limit: 100, skip: 0 })
      assert.deepEqual(
        page.map(({ number }) => number),
        numbers,
      )
      assert.equal(await countTasks(tx, want), numbers.length)
    }
  })

test('SQLite: a page of dead letters looks at none that was purged, and a count at no row', async () => {
  await onSqlite(T, async (db) => {
    await fill(db)
    for (const said of await askedDead(db)) {
      const details = await planIn(db, said)
      const index = said.sql.includes('count(*)') ? 'COVERING INDEX' : 'INDEX'
      assert.match(details, new RegExp(`SEARCH runs USING ${index} runs_dead \\(project_id=\\? AND purged_at=\\?\\)`))
      assert.doesNotMatch(details, said.sql.includes('count(*)') ? /queue/ : /TEMP B-TREE/)
    }
  })
})

test('PostgreSQL: a page of dead letters looks at none that was purged', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(T, async (db, client) => {
    await fill(db)
    const said = await askedDead(db)
    await client.query('analyze runs')
    await client.query(`set role writ_app; set writ.project = '${A}'`)
    for (const one of said) {
      const { plan, blocks } = await doneOnPostgres(client, one)
      assert.ok(blocks < 40, plan)
    }
  })
})

test('SQLite: what failed in a time is found by the narrow index of what ended badly', async () => {
  await onSqlite(T, async (db) => {
    await fill(db)
    const said = await listened(db, async (tx) => {
      const since = { state: 'failed', created_after: T + 10, created_before: T + 20 } as const
      assert.equal((await listTasks(tx, since, { limit: 100, skip: 0 })).length, 5)
      assert.equal(await countTasks(tx, since), 5)
    })
    for (const one of said) {
      assert.match(await planIn(db, one), /SEARCH runs USING INDEX runs_troubled /)
    }
  })
})

test('PostgreSQL: of the tasks of a batch, and where all of them are gone, no others are looked at', {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  await onPostgres(T, async (db, client) => {
    await fill(db)
    // Of the last of all tasks, and of some whose records went.
    const batches = [5_801, TASKS + 1].map((first_number, n) => ({
      id: uuidv7(T + n),
      first_number,
      last_number: first_number + 99,
      executed_by_id: null,
      created_at: T,
    }))
    const said: Asked[] = []
    await inProject(A, () =>
      db.write(async (plain) => {
        const tx = notingIn(plain, said)
        await insertBatches(plain, batches as never)
        const counts = await countByState(tx, batches as never)
        assert.deepEqual([...counts.values()], [{ completed: 50, failed: 50 }, {}])
        assert.equal(await dropEmptyBatches(tx, '', 100), batches[1]!.id)
      }),
    )
    // One for all batches of a page.
    assert.equal(said.length, 3)
    await client.query('analyze runs; analyze batches')
    await client.query(`set role writ_app; set writ.project = '${A}'`)
    for (const { text, params } of said.slice(0, 2)) {
      const { plan, blocks } = await doneOnPostgres(client, { sql: text, parameters: params })
      assert.ok(blocks < 60, plan)
    }
  })
})
