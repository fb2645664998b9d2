import { type Database, INSTANCE, inList, inProject, type Tx } from '../platform/db/index.ts'
import { randomToken } from '../platform/ids.ts'
import { type Copy, type Line, type Place, type Placed, placeText, type Source } from './line.ts'
import type { Depth, Entry, Lease, Runnable } from './queue.ts'
import { listStopped, ofQueue } from './rows.ts'

// The table `queue` as a queue with a line uses it. `ready` is 0 of what was not seen in the line, 2 of what was.

/** Rows that one step of a sweep takes. */
export const PAGE = 1_000

interface EntryRow {
  readonly run_id: string
  readonly project_id: string
  readonly queue: string
  readonly handler: string
  readonly priority: number
  readonly run_at: number
  readonly fence: number
}

const columns = 'run_id, project_id, queue, handler, priority, run_at, fence'

const placedOf = (row: EntryRow): Placed => ({
  runId: row.run_id,
  project: row.project_id,
  queue: row.queue,
  handler: row.handler,
  priority: row.priority,
  runAt: row.run_at,
})

/** Puts entries into the table, or moves the time of those that nobody holds; answers those that are to be in the line. */
export async function insertEntries(tx: Tx, entries: readonly Entry[]): Promise<Entry[]> {
  if (entries.length === 0) return []
  const there = new Set<string>()
  const again = `on conflict (run_id) do update set run_at = excluded.run_at, ready = 0 where queue.lease_until is null returning run_id`
  const note = (rows: readonly { run_id: string }[]) => {
    for (const row of rows) there.add(row.run_id)
  }
  if (tx.dialect === 'postgres')
    note(
      await tx.sql(
        `insert into queue (run_id, project_id, queue, handler, priority, run_at)
         select u.run_id, ?1, u.queue, u.handler, u.priority, u.run_at
         from unnest(?2::text[], ?3::text[], ?4::text[], ?5::smallint[], ?6::bigint[]) as u(run_id, queue, handler, priority, run_at)
         ${again}`,
        [
          tx.project,
          entries.map((entry) => entry.runId),
          entries.map((entry) => entry.queue),
          entries.map((entry) => entry.handler),
          entries.map((entry) => entry.priority),
          entries.map((entry) => entry.runAt),
        ],
      ),
    )
  else
    for (const entry of entries)
      note(
        await tx.sql(
          `insert into queue (run_id, project_id, queue, handler, priority, run_at) values (?1, ?2, ?3, ?4, ?5, ?6) ${again}`,
          [entry.runId, tx.project, entry.queue, entry.handler, entry.priority, entry.runAt],
        ),
      )
  return entries.filter((entry) => there.has(entry.runId))
}

/** Those of these runs that wait in the table, held by nobody. */
export async function findWaiting(tx: Tx, runIds: readonly string[]): Promise<Placed[]> {
  if (runIds.length === 0) return []
  const rows = await tx.sql<EntryRow>(
    `select ${columns} from queue where ${inList(tx, 'run_id', '?1')} and lease_until is null`,
    [runIds],
  )
  return rows.map(placedOf)
}

/** Takes entries that nobody holds out of the table; answers those that were there. */
export async function removeUnheld(tx: Tx, runIds: readonly string[]): Promise<{ runId: string; queue: string }[]> {
  if (runIds.length === 0) return []
  const rows = await tx.sql<{ run_id: string; queue: string }>(
    `delete from queue where ${inList(tx, 'run_id', '?1')} and lease_until is null returning run_id, queue`,
    [runIds],
  )
  return rows.map((row) => ({ runId: row.run_id, queue: row.queue }))
}

/** Ends up to a page of leases that ran out at `until`; answers their entries, and the leases of what was asked to stop, which stay. */
export async function endLapsed(
  db: Database,
  until: number,
): Promise<{ lapsed: readonly Placed[]; stopped: readonly Lease[] }> {
  const [first] = await db.lookup<{ lapse: number | null }>(
    'select min(lease_until) as lapse from queue where lease_until is not null',
    [],
  )
  if (first!.lapse === null || first!.lapse > until) return { lapsed: [], stopped: [] }
  const rows = await inProject(INSTANCE, () =>
    db.write((tx) =>
      tx.sql<EntryRow>(
        `update queue set ready = 0, lease_owner = null, lease_until = null, claimed_at = null where run_id in
           (select run_id from queue where lease_until is not null and lease_until <= ?1 and stop = 0
            order by lease_until limit ${PAGE})
           and lease_until is not null and lease_until <= ?1 and stop = 0
         returning ${columns}`,
        [until],
      ),
    ),
  )
  return { lapsed: rows.map(placedOf), stopped: await listStopped(db, until) }
}

/**
 * After the clock went back: what was due before is due now, for a claim is refused what its time has not come. Not what waits for a
 * span, such as another try: of that one cannot tell whether somebody has moved its time already.
 */
export async function keepDue(db: Database, { from, to }: { from: number; to: number }): Promise<void> {
  if (to >= from) return
  await inProject(INSTANCE, () =>
    db.write((tx) =>
      tx.sql(
        'update queue set run_at = ?1 where lease_until is null and failures = 0 and span_ms is null and run_at > ?1 and run_at <= ?2',
        [to, from],
      ),
    ),
  )
}

/**
 * Puts what was due at `until` and was not seen in the line into it, unless it is there; answers how many it looked at.
 * Stopped before the mark: looked at again. The mark is refused for what was claimed meanwhile: when that comes back, it was
 * not seen again.
 */
export async function seeInLine(db: Database, line: Line, until: number, now: number): Promise<number> {
  const rows = await db.lookup<EntryRow>(
    `select ${columns} from queue where ready = 0 and lease_until is null and run_at <= ?1 order by run_at limit ${PAGE}`,
    [until],
  )
  if (rows.length === 0) return 0
  const placed = Map.groupBy(rows.map(placedOf), placeText)
  const put = await Promise.all(
    [...placed.values()].map((entries) =>
      line.change(
        entries[0]!,
        entries.map((entry) => ({ do: 'put', entry }) as const),
        now,
      ),
    ),
  )
  if (put.includes(false)) return 0
  await inProject(INSTANCE, () =>
    db.write((tx) =>
      tx.sql(
        `update queue set ready = 2 where ${inList(tx, 'run_id', '?1')} and ${inList(tx, "run_id || ' ' || fence", '?2')}
           and ready = 0 and lease_until is null`,
        [rows.map((row) => row.run_id), rows.map((row) => `${row.run_id} ${row.fence}`)],
      ),
    ),
  )
  return rows.length
}

/** Those of these places that are not paused. */
export async function unpaused(db: Database, places: readonly Runnable[]): Promise<Runnable[]> {
  if (places.length === 0) return []
  const rows = await db.lookup<Place>(
    'select name as queue, project_id as project from queues where paused_at is not null',
    [],
  )
  const paused = new Set(rows.map(placeText))
  return places.filter((place) => !paused.has(placeText(place)))
}

/** What `Queue.depth` promises. What fell due is told by the clock, for the line does not write it into the table. */
export async function countWaiting(tx: Tx, now: number, name?: string): Promise<Depth[]> {
  const of = ofQueue(name, 3)
  const rows = await tx.sql<Depth>(
    `select queue, sum(case when lease_until is null and run_at <= ?2 then 1 else 0 end) as waiting,
            sum(case when lease_until is null and run_at > ?2 then 1 else 0 end) as delayed,
            sum(case when lease_until is not null then 1 else 0 end) as claimed,
            min(case when lease_until is null and run_at <= ?2 then run_at end) as oldest
     from queue where project_id = ?1 ${of.where} group by queue order by queue`,
    [tx.project, now, ...of.params],
  )
  return rows.map((row) => ({
    ...row,
    waiting: Number(row.waiting),
    delayed: Number(row.delayed),
    claimed: Number(row.claimed),
  }))
}

export const createSource = (db: Database): Source => ({
  async copy() {
    const find = () => db.lookup<Copy>('select space, epoch, servers from queue_copy', [])
    const [there] = await find()
    if (there) return there
    await inProject(INSTANCE, () =>
      db.write((tx) =>
        tx.sql(`insert into queue_copy (id, space, epoch, servers) values (1, ?1, 0, '') on conflict do nothing`, [
          randomToken(6),
        ]),
      ),
    )
    return (await find())[0]!
  },
  async advance(from, servers) {
    await inProject(INSTANCE, () =>
      db.write((tx) =>
        tx.sql('update queue_copy set epoch = epoch + 1, servers = ?1 where epoch = ?2', [servers, from.epoch]),
      ),
    )
  },
  places: () => db.lookup<Place>('select distinct queue, project_id as project from queue', []),
  async page(places, after) {
    const rows = await db.lookup<EntryRow>(
      `select ${columns} from queue where run_id > ?1 and lease_until is null
         and ${inList(db, "project_id || ':' || queue", '?2')} order by run_id limit ${PAGE}`,
      [after, places.map(placeText)],
    )
    return rows.map(placedOf)
  },
  async unsee(entries) {
    await inProject(INSTANCE, () =>
      db.write((tx) =>
        tx.sql(`update queue set ready = 0 where ${inList(tx, 'run_id', '?1')} and ready = 2 and lease_until is null`, [
          entries.map((entry) => entry.runId),
        ]),
      ),
    )
  },
})

/** The database's own queue takes over from a line: all that waits has to be looked at again. */
export async function leaveLine(db: Database): Promise<void> {
  const [copy] = await db.lookup<Copy>(`select space, epoch, servers from queue_copy where servers <> ''`, [])
  if (!copy) return
  await inProject(INSTANCE, () =>
    db.write(async (tx) => {
      await tx.sql(`update queue_copy set epoch = epoch + 1, servers = '' where id = 1`)
      await tx.sql('/* slow */ update queue set ready = 0 where ready = 2')
    }),
  )
}

/** More claims than there are of one run: a lease that was given since a backup has a fence that is never reached again. */
const FENCES_BETWEEN = 1_000_000

/**
 * For a database that was put back: its line has gone on without it, and may be that of a server that still runs. Under another name
 * there is nothing, and all that waits is put in. Leases were given without it, too, and remote workers still hold them: none of those
 * may settle what somebody else is given now.
 */
export async function leaveLineToOthers(db: Database): Promise<void> {
  await inProject(INSTANCE, () =>
    db.write(async (tx) => {
      await tx.sql(`update queue_copy set space = ?1, epoch = epoch + 1, servers = '' where id = 1`, [randomToken(6)])
      await tx.sql('/* slow */ update queue set ready = 0 where ready = 2')
      await tx.sql('/* slow */ update queue set fence = fence + ?1', [FENCES_BETWEEN])
    }),
  )
}
