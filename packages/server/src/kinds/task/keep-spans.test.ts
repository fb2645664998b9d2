/** The clock goes back while somebody admits: they have read times that are moved meanwhile, and commit after that. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { missingBackend } from '../../../../../test/servers/missing-backend.ts'
import { missingPostgres } from '../../../../../test/servers/postgres.ts'
import { onPostgres } from '../../../../../test/servers/stores.ts'
import { until } from '../../../../../test/test-system.ts'
import { createFakeClock } from '../../platform/clock.ts'
import { inProject, openDatabase, type Tx } from '../../platform/db/index.ts'
import { uuidv7 } from '../../platform/ids.ts'
import { createLog } from '../../platform/log.ts'
import { Secret } from '../../platform/secret.ts'
import { openQueue, type Queue } from '../../queue/index.ts'
import { endedFor, hold, release } from './hold.ts'
import { keepSpans } from './keep-spans.ts'
import * as held from './store-held.ts'

const PROJECT = '0190a000-0000-7000-8000-00000000000a'
const FROM = 1_800_000_000_000
const TO = FROM - 36_000_000
const SPAN = 30_000
const [FIRST, SECOND] = [uuidv7(FROM), uuidv7(FROM)]

const runOf = (id: string, number: number) => ({
  id,
  project_id: PROJECT,
  number,
  kind: 'task',
  handler: 'noop',
  state: 'pending',
  root_run_id: id,
  trigger: '{}',
  trace_id: '0',
  queue: 'api',
  priority: 0,
  run_at: FROM,
  max_attempts: 1,
  timeout_ms: 1_000,
  created_at: FROM,
  updated_at: FROM,
})

const entryOf = (runId: string, runAt: number) => ({ runId, queue: 'api', handler: 'noop', priority: 0, runAt })

/** Dispatches by `begin`, then sets the clock while `work` is done and not yet committed; answers what is read afterwards. */
async function setWhile<T>(on: {
  begin(tx: Tx, queue: Queue): Promise<void>
  work(tx: Tx, queue: Queue): Promise<unknown>
  read(tx: Tx): Promise<T>
}): Promise<T | undefined> {
  let read: T | undefined
  await onPostgres(FROM, async (db, client, url) => {
    // As another server: in one of them changes of a project take turns.
    const other = await openDatabase({ url }, createFakeClock(FROM))
    const queue = await openQueue(db, {
      backend: 'database',
      clock: createFakeClock(FROM),
      log: createLog({ level: 'error', format: 'json' }),
      redisUrl: new Secret(''),
      health() {},
      refused() {},
    })
    const write = <R>(work: (tx: Tx) => Promise<R>) => inProject(PROJECT, () => db.write(work))
    try {
      await write((tx) =>
        tx.insert('projects', [{ id: PROJECT, slug: 'p', name: 'Test', policy: '{}', created_at: 0 }]),
      )
      await db.prepareMonths(FROM)
      await write(async (tx) => {
        await tx.insert('runs', [runOf(FIRST, 1), runOf(SECOND, 2)])
        await on.begin(tx, queue)
      })
      const done = Promise.withResolvers<void>()
      const may = Promise.withResolvers<void>()
      const working = inProject(PROJECT, () =>
        other.write(async (tx) => {
          await on.work(tx, queue)
          done.resolve()
          await may.promise
        }),
      )
      await Promise.race([done.promise, working])
      let kept = false
      const keeping = keepSpans({ db, queue }, { from: FROM, to: TO }).finally(() => (kept = true))
      await until('it is done, or waits for who admits', async () => {
        const { rowCount } = await client.query(`select from pg_stat_activity where wait_event_type = 'Lock'`)
        return kept || rowCount !== 0
      })
      may.resolve()
      await working
      await keeping
      read = await write(on.read)
    } finally {
      await other.close()
      await queue.close()
    }
  })
  return read
}

const skip = missingBackend('PostgreSQL', missingPostgres())

test('who has its place under a key by a time that is moved meanwhile is admitted at the next look', {
  skip,
}, async () => {
  const under = { key: 'one', limits: { concurrency: 1, rate: null }, waitsFor: 0 }
  const woken = await setWhile({
    async begin(tx, queue) {
      const entries = await hold(
        tx,
        [FIRST, SECOND].map((runId) => ({ ...under, entry: entryOf(runId, FROM) })),
        FROM,
      )
      await queue.enqueue(tx, entries, FROM)
    },
    work: (tx, queue) => release(tx, queue, [FIRST], TO),
    read: (tx) => held.listDueKeys({ lookup: tx.sql }, TO, 10),
  })
  assert.deepEqual(woken, [{ project_id: PROJECT, key: 'one' }])
})

test('what has to wait for nobody any more, and is debounced, waits for its span', { skip }, async () => {
  const at = await setWhile({
    async begin(tx, queue) {
      const entry = entryOf(SECOND, FROM + SPAN)
      const entries = await hold(tx, [{ entry, key: null, limits: null, waitsFor: 1 }], FROM)
      await queue.enqueue(tx, entries, FROM)
      await held.setSpan(tx, SECOND, SPAN)
      await held.insertDependencies(tx, [{ run_id: SECOND, on_run_id: FIRST, policy: 'run' }])
    },
    work: (tx, queue) => endedFor(tx, queue, [{ id: FIRST, state: 'completed' }], 10, TO),
    read: (tx) => tx.sql<{ run_at: number }>('select run_at from queue where run_id = ?1', [SECOND]),
  })
  assert.deepEqual(at, [{ run_at: TO + SPAN }])
})
