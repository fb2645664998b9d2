import { type Database, forUpdate, INSTANCE, inProject, type Tx } from '../platform/db/index.ts'
import {
  type Ask,
  type Depth,
  type Entry,
  type Holder,
  type Lease,
  type Listener,
  queueOfPlace,
  type Runnable,
  remotePlace,
  type Swept,
} from './queue.ts'

// What the two databases say alike. Claiming and settling, the hot statements, are each backend's own.

export interface LeaseRow {
  readonly run_id: string
  readonly project_id: string
  readonly queue: string
  readonly handler: string
  readonly fence: number
  readonly attempt: number
  readonly failures: number
  readonly priority: number
  readonly run_at: number
}

export const leaseColumns =
  'queue.run_id, queue.project_id, queue.queue, queue.handler, queue.fence, queue.attempt, queue.failures, queue.priority, queue.run_at'

/** Leases in the order in which they are to be started: an update answers its rows in any. */
export const leasesOf = (rows: readonly LeaseRow[]): Lease[] =>
  rows
    .toSorted((a, b) => b.priority - a.priority || a.run_at - b.run_at || (a.run_id < b.run_id ? -1 : 1))
    .map((row) => ({
      runId: row.run_id,
      project: row.project_id,
      queue: row.queue,
      handler: row.handler,
      fence: row.fence,
      attempt: row.attempt,
      failures: row.failures,
    }))

/**
 * That somebody holds an entry which is found by its id. Not `lease_until is not null`: PostgreSQL has an index of those rows, expects
 * nothing in it once it has statistics of an empty queue, and would walk through all leases that ended since the last vacuum.
 */
export const IS_HELD = 'coalesce(queue.lease_until, -1) >= 0'

/** Entries a sweep moves at once: more than this and it has to come again. */
const SWEEP_LIMIT = 1_000

/**
 * For a claim from one queue of one project, whose places these are. About the queue and not about each entry: joined to the
 * entries, PostgreSQL expects none to be left, and reads and sorts all that wait.
 */
export const unpausedAt = (queue: string, project: string): string =>
  `not exists (select 1 from queues where queues.name = ${queue} and queues.project_id = ${project} and queues.paused_at is not null)`

/** Queues that do so many at once and no more, over all servers and workers. */
export interface QueueLimits {
  /** Which queues have a limit; asked for at each sweep, so that a claim from one that has none costs nothing. */
  refresh(): Promise<void>
  has(tx: Tx, place: string): boolean
  /** How many a claim may take. Claims from a queue with a limit wait for each other. */
  room(tx: Tx, ask: Ask): Promise<number>
  /** Leases ended: places from which less was given than was asked for may give more now. */
  ended(tx: Tx, listener: () => Listener | undefined): void
}

export function createQueueLimits(db: Database): QueueLimits {
  let limited = new Set<string>()
  const short = new Map<string, Runnable>()
  const has = (tx: Tx, place: string) => limited.has(`${tx.project} ${queueOfPlace(place)}`)
  return {
    async refresh() {
      const rows = await db.lookup<Runnable>(
        'select name as queue, project_id as project from queues where concurrency is not null',
        [],
      )
      limited = new Set(rows.map(({ queue, project }) => `${project} ${queue}`))
    },
    has,
    async room(tx, ask) {
      const queue = queueOfPlace(ask.queue)
      if (!has(tx, queue)) return ask.limit
      const [row] = await tx.sql<{ concurrency: number | null }>(
        `select concurrency from queues where project_id = ?1 and name = ?2 ${forUpdate(tx)}`,
        [tx.project, queue],
      )
      if (row?.concurrency == null) return ask.limit
      // A statement of its own, after the lock: what another claim took by then counts.
      const [held] = await tx.sql<{ n: number }>(
        `select count(*) as n from queue where project_id = ?1 and lease_until is not null
           and (queue = ?2 or substr(queue, 1, length(?3)) = ?3)`,
        [tx.project, queue, remotePlace(queue, '')],
      )
      const room = Math.max(0, Math.min(ask.limit, row.concurrency - Number(held!.n)))
      if (room < ask.limit) {
        const place = { queue: ask.queue, project: tx.project }
        short.set(`${place.project} ${place.queue}`, place)
      }
      return room
    },
    ended(tx, listener) {
      if (short.size === 0) return
      tx.afterCommit(() => {
        const all = [...short.values()]
        short.clear()
        for (const place of all) listener()?.runnable(place)
      })
    },
  }
}

/** What `Queue.mayHold` promises. */
export async function mayHold(tx: Tx, queue: string, limits: QueueLimits): Promise<boolean> {
  if (limits.has(tx, queue)) return false
  const free = await tx.sql(`select 1 where ${unpausedAt('?2', '?1')}`, [tx.project, queue])
  return free.length === 1
}

/** What `Queue.enqueueHeld` promises; the line of a queue that has one never hears of these. */
export function enqueueHeld(tx: Tx, entries: readonly Entry[], holder: Holder): Lease[] {
  tx.behind(
    tx.insert(
      'queue',
      entries.map((entry) => ({
        run_id: entry.runId,
        project_id: tx.project,
        queue: entry.queue,
        handler: entry.handler,
        priority: entry.priority,
        run_at: entry.runAt,
        lease_owner: holder.worker,
        lease_until: holder.leaseUntil,
        claimed_at: holder.now,
        fence: 1,
        attempt: 1,
      })),
    ),
  )
  return entries.map(({ runId, queue, handler }) => ({
    runId,
    project: tx.project,
    queue,
    handler,
    fence: 1,
    attempt: 1,
    failures: 0,
  }))
}

/** What `Queue.sweep` promises. */
export async function sweepRows(db: Database, now: number): Promise<Swept> {
  const ahead = await lookAhead(db)
  const due = ahead.due !== null && ahead.due <= now
  const lapse = ahead.lapse !== null && ahead.lapse <= now
  const [ripe, ended] = await inProject(INSTANCE, () =>
    Promise.all([due ? db.write((tx) => ripen(tx, now)) : 0, lapse ? db.write((tx) => endLapsed(tx, now)) : 0]),
  )
  const stopped = lapse ? await listStopped(db, now) : []
  if (ripe === SWEEP_LIMIT || ended === SWEEP_LIMIT) return { runnable: await listRunnable(db), next: now, stopped }
  return { runnable: await listRunnable(db), next: due ? (await lookAhead(db)).due : ahead.due, stopped }
}

/** Leases that ran out at `until` of what was asked to stop; nobody is to claim it again. */
export const listStopped = async (db: Database, until: number): Promise<Lease[]> =>
  leasesOf(
    await db.lookup<LeaseRow>(
      `select ${leaseColumns} from queue where lease_until is not null and lease_until <= ?1 and stop = 1
       order by lease_until limit ${SWEEP_LIMIT}`,
      [until],
    ),
  )

/**
 * On SQLite this process is the only server: at its first sweep the leases of servers are those of one that is gone, and have run out.
 * Those of workers elsewhere go on: they may not even have noticed.
 */
export const endOwn = (db: Database): Promise<unknown> =>
  inProject(INSTANCE, () =>
    db.write((tx) =>
      tx.sql(`update queue set lease_until = 0 where lease_until is not null and substr(queue, 1, 1) <> '@'`),
    ),
  )

/** What `Queue.clockSet` promises of leases. */
export async function renewLeases(
  db: Database,
  { from, to, leaseUntil }: { from: number; to: number; leaseUntil: number },
): Promise<void> {
  const [last] = await db.lookup<{ until: number | null }>(
    'select max(lease_until) as until from queue where lease_until is not null',
    [],
  )
  if (last!.until === null || (from === to && last!.until <= leaseUntil)) return
  await inProject(INSTANCE, () =>
    db.write((tx) =>
      tx.sql(
        `update queue set lease_until = ?1 where lease_until is not null and lease_until ${from === to ? '>' : '<>'} ?1`,
        [leaseUntil],
      ),
    ),
  )
}

/**
 * After the clock went back: what fell due after the last sweep is due, for no sweep would find it before that time comes again. Not what
 * waits for a span, such as another try: of that one cannot tell whether somebody has moved its time already.
 */
export async function ripenDue(db: Database, { from, to }: { from: number; to: number }): Promise<void> {
  if (to >= from) return
  await inProject(INSTANCE, () =>
    db.write((tx) =>
      tx.sql(
        'update queue set ready = 1 where ready = 0 and lease_until is null and failures = 0 and span_ms is null and run_at > ?1 and run_at <= ?2',
        [to, from],
      ),
    ),
  )
}

/** Whether there is something to sweep, and when the next falls due. Looks at the first entry of two indexes. */
async function lookAhead(db: Database): Promise<{ due: number | null; lapse: number | null }> {
  const rows = await db.lookup<{ due: number | null; lapse: number | null }>(
    `select (select min(run_at) from queue where ready = 0 and lease_until is null) as due,
            (select min(lease_until) from queue where lease_until is not null) as lapse`,
    [],
  )
  return rows[0]!
}

/** Makes what fell due claimable; answers how many. */
async function ripen(tx: Tx, now: number): Promise<number> {
  const rows = await tx.sql(
    `update queue set ready = 1 where run_id in
       (select run_id from queue where ready = 0 and lease_until is null and run_at <= ?1 order by run_at limit ${SWEEP_LIMIT})
       and ready = 0 and lease_until is null
     returning run_id`,
    [now],
  )
  return rows.length
}

/** Ends leases that ran out: their entries may be claimed again, but for what was asked to stop. */
async function endLapsed(tx: Tx, now: number): Promise<number> {
  const rows = await tx.sql(
    `update queue set ready = 1, lease_owner = null, lease_until = null, claimed_at = null where run_id in
       (select run_id from queue where lease_until is not null and lease_until <= ?1 and stop = 0
        order by lease_until limit ${SWEEP_LIMIT})
       and lease_until is not null and lease_until <= ?1 and stop = 0
     returning run_id`,
    [now],
  )
  return rows.length
}

/**
 * Which queues of which projects have something to claim and are not paused. Walks from pair to pair through the index, so
 * it costs by how many pairs there are, whatever waits in them. The next project of a queue and the next queue are asked for
 * apart: of a comparison of pairs SQLite would look up the queue, and walk through all that waits in it.
 */
async function listRunnable(db: Database): Promise<Runnable[]> {
  const rows = await db.lookup<Runnable>(
    `with recursive pairs(queue, project) as (
       select (select queue from queue where ready = 1 order by queue, project_id limit 1),
              (select project_id from queue where ready = 1 order by queue, project_id limit 1)
       union all
       select coalesce((select queue from queue where ready = 1 and queue = pairs.queue and project_id > pairs.project
                        order by project_id limit 1),
                       (select queue from queue where ready = 1 and queue > pairs.queue order by queue limit 1)),
              coalesce((select project_id from queue where ready = 1 and queue = pairs.queue and project_id > pairs.project
                        order by project_id limit 1),
                       (select project_id from queue where ready = 1 and queue > pairs.queue order by queue, project_id limit 1))
       from pairs where pairs.queue is not null
     )
     select queue, project from pairs
     where queue is not null
       and not exists (select 1 from queues where queues.project_id = pairs.project and queues.name = pairs.queue and queues.paused_at is not null)`,
    [],
  )
  return rows.map(({ queue, project }) => ({ queue, project }))
}

/** Of a project's entries those of one queue, and of the places beside it; all, without a name. `nth` is the number of the first parameter. */
export function ofQueue(name: string | undefined, nth: number): { where: string; params: string[] } {
  if (name === undefined) return { where: '', params: [] }
  const [own, beside] = [`?${nth}`, `?${nth + 1}`]
  return {
    where: `and (queue = ${own} or substr(queue, 1, length(${beside})) = ${beside})`,
    params: [name, remotePlace(name, '')],
  }
}

export async function countDepth(tx: Tx, name?: string): Promise<Depth[]> {
  const of = ofQueue(name, 2)
  const rows = await tx.sql<{
    queue: string
    waiting: number
    delayed: number
    claimed: number
    oldest: number | null
  }>(
    `select queue, sum(ready) as waiting, sum(case when lease_until is not null then 1 else 0 end) as claimed,
            sum(case when ready = 0 and lease_until is null then 1 else 0 end) as delayed,
            min(case when ready = 1 then run_at end) as oldest
     from queue where project_id = ?1 ${of.where} group by queue order by queue`,
    [tx.project, ...of.params],
  )
  return rows.map((row) => ({
    ...row,
    waiting: Number(row.waiting),
    delayed: Number(row.delayed),
    claimed: Number(row.claimed),
  }))
}
