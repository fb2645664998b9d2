import { forUpdate, inList, type ListPart, type Tx, textsOfList } from '../../platform/db/index.ts'
import type { HeldTable } from '../../platform/db/tables.ts'

// All SQL of what holds tasks back: keys with limits, and other tasks that have to end first.

export type HeldRow = HeldTable

const columns =
  'project_id, run_id, place, handler, priority, run_at, waits_for, admitted, key, max_active, rate_limit, rate_ms'

export const insertHeld = (tx: Tx, rows: readonly Omit<HeldRow, 'project_id'>[]): Promise<void> =>
  tx.insert(
    'held',
    rows.map((row) => ({ project_id: tx.project, ...row })),
  )

/** Takes tasks out of here, for they have ended; answers the keys that may have a place again. */
export async function removeHeld(tx: Tx, runIds: readonly string[]): Promise<string[]> {
  if (runIds.length === 0) return []
  const rows = await tx.sql<{ key: string | null }>(
    `delete from held where project_id = ?1 and ${inList(tx, 'run_id', '?2')} returning key`,
    [tx.project, runIds],
  )
  return rows.flatMap(({ key }) => (key === null ? [] : [key]))
}

export async function isHeld(tx: Tx, runId: string): Promise<boolean> {
  const rows = await tx.sql('select run_id from held where project_id = ?1 and run_id = ?2', [tx.project, runId])
  return rows.length === 1
}

// ---- keys

export interface KeyRow {
  readonly key: string
  readonly next_us: number
  readonly paused_until: number | null
  /** JSON; see `KeyPause`. */
  readonly pause: string | null
  /** JSON; see `KeyLimit`. */
  readonly limits: string | null
}

/**
 * The rows of these keys, made where there are none, locked until commit: one transaction admits under a key at a time. Locked in
 * the order of their names, or two transactions could wait for each other.
 */
export async function lockKeys(tx: Tx, keys: readonly string[]): Promise<KeyRow[]> {
  if (keys.length === 0) return []
  return tx.sql<KeyRow>(
    `insert into concurrency_keys (project_id, key) select cast(?1 as text), listed.key from (${textsOfList(tx, '?2', 'key')}) listed
     where true order by listed.key
     on conflict (project_id, key) do update set key = excluded.key returning key, next_us, paused_until, pause, limits`,
    [tx.project, keys],
  )
}

/** As `lockKeys`, of one. */
export async function lockKey(tx: Tx, key: string): Promise<KeyRow> {
  const [row] = await lockKeys(tx, [key])
  return row!
}

export async function saveKey(
  tx: Tx,
  key: string,
  { next_us, paused_until, pause, limits, wake_at }: Omit<KeyRow, 'key'> & { readonly wake_at: number | null },
): Promise<void> {
  await tx.sql(
    'update concurrency_keys set next_us = ?3, paused_until = ?4, pause = ?5, limits = ?6, wake_at = ?7 where project_id = ?1 and key = ?2',
    [tx.project, key, next_us, paused_until, pause, limits, wake_at],
  )
}

/** Of a key that holds nothing back and is owed nothing nothing is kept. */
export async function removeKey(tx: Tx, key: string): Promise<void> {
  await tx.sql('delete from concurrency_keys where project_id = ?1 and key = ?2', [tx.project, key])
}

/** Keys of all projects of which something may be admitted by now. */
export const listDueKeys = (
  db: { lookup<Row>(text: string, params: readonly (string | number)[]): Promise<Row[]> },
  now: number,
  limit: number,
): Promise<{ project_id: string; key: string }[]> =>
  db.lookup(
    'select project_id, key from concurrency_keys where wake_at is not null and wake_at <= ?1 order by wake_at limit ?2',
    [now, limit],
  )

/** Of tasks that have their place, what they got it by, with the row of their key. */
export async function listAdmitted(
  tx: Tx,
  runIds: readonly string[],
): Promise<(HeldRow & Pick<KeyRow, 'paused_until' | 'limits'>)[]> {
  const rows = await tx.sql<HeldRow & Pick<KeyRow, 'paused_until' | 'limits'>>(
    `select held.*, concurrency_keys.paused_until as paused_until, concurrency_keys.limits as limits
     from held left join concurrency_keys on concurrency_keys.project_id = held.project_id and concurrency_keys.key = held.key
     where held.project_id = ?1 and ${inList(tx, 'held.run_id', '?2')}`,
    [tx.project, runIds],
  )
  // Not asked of the database: it would read all under keys, of which it has an index.
  return rows.filter(({ key }) => key !== null)
}

const WAITING = 'project_id = ?1 and key = ?2 and admitted = 0 and waits_for = 0'

/** The first `limit` of those that wait for a place under a key and whose time has come. */
export const listWaitingFor = (tx: Tx, key: string, now: number, limit: number): Promise<HeldRow[]> =>
  tx.sql<HeldRow>(
    `select ${columns} from held where ${WAITING} and run_at <= ?3 order by priority desc, run_at, run_id limit ?4`,
    [tx.project, key, now, limit],
  )

/** When the time of the next comes; null if none waits for its time. */
export async function findNextTime(tx: Tx, key: string, now: number): Promise<number | null> {
  const [row] = await tx.sql<{ at: number | null }>(
    `select min(run_at) as at from held where ${WAITING} and run_at > ?3`,
    [tx.project, key, now],
  )
  return row!.at
}

export async function countAdmitted(tx: Tx, key: string): Promise<number> {
  const [row] = await tx.sql<{ n: number }>(
    'select count(*) as n from held where project_id = ?1 and key = ?2 and admitted = 1',
    [tx.project, key],
  )
  return Number(row!.n)
}

export async function admitHeld(tx: Tx, runIds: readonly string[]): Promise<void> {
  await tx.sql(`update held set admitted = 1 where project_id = ?1 and ${inList(tx, 'run_id', '?2')}`, [
    tx.project,
    runIds,
  ])
}

/** When these took their starts of a rate: from then on their time says that. */
export async function noteTaken(tx: Tx, runIds: readonly string[], at: number): Promise<void> {
  await tx.sql(`update held set run_at = ?3 where project_id = ?1 and ${inList(tx, 'run_id', '?2')}`, [
    tx.project,
    runIds,
    at,
  ])
}

/** Takes a task's place under its key away again; answers the key. `runAt`: not before this time, or as before. */
export async function putBack(tx: Tx, runId: string, runAt: number | null): Promise<string | null> {
  const [row] = await tx.sql<{ key: string | null }>(
    `update held set admitted = 0, run_at = ${runAt === null ? 'run_at' : '?3'} where project_id = ?1 and run_id = ?2 returning key`,
    [tx.project, runId, ...(runAt === null ? [] : [runAt])],
  )
  return row?.key ?? null
}

/** Of these keys the longest period of a rate, in milliseconds, that the contract of a task under it has; without those that have none. */
export async function longestPeriods(tx: Tx, keys: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const rows = await tx.sql<{ key: string; longest: number | string | null }>(
    `select key, max(rate_ms) as longest from held where project_id = ?1 and ${inList(tx, 'key', '?2')} group by key`,
    [tx.project, keys],
  )
  return new Map(rows.flatMap(({ key, longest }) => (longest === null ? [] : [[key, Number(longest)]])))
}

/** Every project in which something waits for a time after `now`. What is held is in the queue, too, at a time that never comes. */
export const listAheadProjects = (
  db: { lookup<Row>(text: string, params: readonly (string | number)[]): Promise<Row[]> },
  now: number,
): Promise<{ project_id: string }[]> =>
  db.lookup(
    `select distinct project_id from queue where lease_until is null and run_at > ?1
     union select distinct project_id from concurrency_keys where wake_at > ?1 or next_us > ?1 * 1000`,
    [now],
  )

/**
 * Names of keys after `after` under which something waits, or whose bucket is to be full after `now`. Also where nothing is to be
 * admitted later than `now`: whoever admits there at this moment may still have read a time that `keepDueHeld` has moved since.
 */
export async function listKeysToLookAt(tx: Tx, now: number, after: string, limit: number): Promise<string[]> {
  const rows = await tx.sql<{ key: string }>(
    `select key from concurrency_keys where project_id = ?1 and key > ?3 and (wake_at > ?2 or next_us > ?2 * 1000)
     union
     select key from held where project_id = ?1 and key > ?3 and admitted = 0
     order by key limit ?4`,
    [tx.project, now, after, limit],
  )
  return rows.map(({ key }) => key)
}

/**
 * After the clock went back: what is held and whose time had come keeps it. Not what waits for a span: of that one cannot tell whether
 * somebody has moved its time already.
 */
export const keepDueHeld = (tx: Tx, { from, to }: { readonly from: number; readonly to: number }): Promise<unknown> =>
  tx.sql(
    `update held set run_at = ?2 where project_id = ?1 and admitted = 0 and run_at > ?2 and run_at <= ?3
       and not exists (select 1 from queue q where q.run_id = held.run_id and (q.failures > 0 or q.span_ms is not null))`,
    [tx.project, to, from],
  )

/** A task that waits for a span, in the queue or, where something else holds it too, here. */
export interface WaitingSpan {
  readonly run_id: string
  readonly queue: string
  readonly handler: string
  readonly priority: number
  readonly held: number
  /** For how long it was to wait: from the end of the try before, or from the last dispatch. */
  readonly wait_ms: number
}

/** Of the tasks of the project that wait for a try or are debounced, the first behind `after` that would wait for longer than their span. */
export async function listLateWaits(tx: Tx, now: number, after: string, limit: number): Promise<WaitingSpan[]> {
  const late = (span: string) =>
    `q.project_id = ?1 and q.run_id > ?3 and q.lease_until is null and q.ready <> 1 and q.run_at > ?2
       and coalesce(h.run_at, q.run_at) > ?2 + ${span} and (h.run_id is null or h.admitted = 0)`
  const found = (span: string) =>
    `select q.run_id, q.queue, q.handler, q.priority, case when h.run_id is null then 0 else 1 end as held, ${span} as wait_ms
     from queue q left join held h on h.project_id = ?1 and h.run_id = q.run_id`
  const rows = await tx.sql<WaitingSpan>(
    `${found('a.next_run_at - a.ended_at')}
     join attempts a on a.project_id = ?1 and a.run_id = q.run_id and a.next_run_at is not null
       and a.attempt = (select max(b.attempt) from attempts b where b.project_id = ?1 and b.run_id = q.run_id)
     where q.failures > 0 and ${late('(a.next_run_at - a.ended_at)')} and (h.run_id is null or h.waits_for = 0)
     union all
     ${found('q.span_ms')}
     where q.failures = 0 and q.span_ms is not null and ${late('q.span_ms')}
     order by 1 limit ?4`,
    [tx.project, now, after, limit],
  )
  return rows.map((row) => ({ ...row, wait_ms: Number(row.wait_ms) }))
}

/** Of these those that still wait, and that nobody ends or claims before this transaction ends. */
export async function lockWaiting(tx: Tx, runIds: readonly string[]): Promise<ReadonlySet<string>> {
  // As whoever cancels: the run before its place.
  const open = await tx.sql<{ id: string }>(
    `select id from runs where project_id = ?1 and ${inList(tx, 'id', '?2')} and state = 'pending' order by id ${forUpdate(tx)}`,
    [tx.project, runIds],
  )
  const rows = await tx.sql<{ run_id: string }>(
    `select run_id from queue where project_id = ?1 and ${inList(tx, 'run_id', '?2')} and lease_until is null
     order by run_id ${forUpdate(tx)}`,
    [tx.project, open.map(({ id }) => id)],
  )
  return new Set(rows.map(({ run_id }) => run_id))
}

/** That a task in the queue waits for so long from now on, and not for a time that somebody named. */
export const setSpan = (tx: Tx, runId: string, spanMs: number): Promise<unknown> =>
  tx.sql('update queue set span_ms = ?3 where project_id = ?1 and run_id = ?2', [tx.project, runId, spanMs])

/** From when on a held task may be admitted. */
export const setHeldTime = (tx: Tx, runId: string, runAt: number): Promise<unknown> =>
  tx.sql('update held set run_at = ?3 where project_id = ?1 and run_id = ?2', [tx.project, runId, runAt])

export interface KeyState {
  readonly key: string
  readonly active: number
  readonly waiting: number
  readonly paused_until: number | null
  /** JSON; see `KeyPause`. Null where `paused_until` is. */
  readonly pause: string | null
  /** JSON; see `KeyLimit`. */
  readonly limits: string | null
}

/** Keys that are in use, paused or limited, by name, behind the name `after`. */
export async function listKeys(tx: Tx, now: number, part: ListPart): Promise<KeyState[]> {
  const rows = await tx.sql<KeyState>(
    `select used.key as key, sum(used.active) as active, sum(used.waiting) as waiting, max(used.paused_until) as paused_until, max(used.pause) as pause,
       max(used.limits) as limits
     from (
       select key, admitted as active, 1 - admitted as waiting, null as paused_until, null as pause, null as limits from held
       where project_id = ?1 and key is not null and key > ?3
       union all
       select key, 0, 0, case when paused_until > ?2 then paused_until end, case when paused_until > ?2 then pause end, limits from concurrency_keys
       where project_id = ?1 and (paused_until > ?2 or limits is not null) and key > ?3
     ) used group by used.key order by used.key limit ?4 offset ?5`,
    // No key is empty.
    [tx.project, now, part.after ?? '', part.limit, part.skip],
  )
  return rows.map((row) => ({
    key: row.key,
    active: Number(row.active),
    waiting: Number(row.waiting),
    paused_until: row.paused_until === null ? null : Number(row.paused_until),
    pause: row.pause,
    limits: row.limits,
  }))
}

export async function countKeys(tx: Tx, now: number): Promise<number> {
  const [row] = await tx.sql<{ n: number }>(
    `select count(*) as n from (
       select key from held where project_id = ?1 and key is not null
       union
       select key from concurrency_keys where project_id = ?1 and (paused_until > ?2 or limits is not null)
     ) used`,
    [tx.project, now],
  )
  return Number(row!.n)
}

export async function findKeyState(tx: Tx, key: string, now: number): Promise<KeyState> {
  const [row] = await tx.sql<{ active: number | null; n: number }>(
    'select sum(admitted) as active, count(*) as n from held where project_id = ?1 and key = ?2',
    [tx.project, key],
  )
  const active = Number(row!.active ?? 0)
  const [of] = await tx.sql<Pick<KeyState, 'paused_until' | 'pause' | 'limits'>>(
    'select case when paused_until > ?3 then paused_until end as paused_until, case when paused_until > ?3 then pause end as pause, limits from concurrency_keys where project_id = ?1 and key = ?2',
    [tx.project, key, now],
  )
  return {
    key,
    active,
    waiting: Number(row!.n) - active,
    paused_until: of?.paused_until ?? null,
    pause: of?.pause ?? null,
    limits: of?.limits ?? null,
  }
}

// ---- dependencies

/** What a task waits for, and what becomes of it when that ends badly. */
export interface Dependency {
  readonly run_id: string
  readonly on_run_id: string
  readonly policy: 'cancel' | 'run'
}

/**
 * Says of tasks that others wait for their end; answers those that have not ended. Whoever settles one of them just now
 * waits for this transaction, or this one for theirs, and then sees what the other wrote.
 */
export async function markAwaited(tx: Tx, runIds: readonly string[]): Promise<Set<string>> {
  const rows = await tx.sql<{ id: string }>(
    `update runs set awaited = 1 where project_id = ?1 and ${inList(tx, 'id', '?2')} and state = 'pending' returning id`,
    [tx.project, runIds.toSorted()],
  )
  return new Set(rows.map(({ id }) => id))
}

/** Those of them for whose end others wait. Of one that is to stop nobody waits for what it would wait for. */
export async function findAwaited(tx: Tx, runIds: readonly string[]): Promise<Set<string>> {
  const ids = runIds.toSorted()
  const rows = await tx.sql<{ id: string }>(
    `select id from runs
     where project_id = ?1 and id >= ?2 and id <= ?3 and ${inList(tx, 'id', '?4')} and awaited = 1 and cancel_requested_at is null`,
    [tx.project, ids[0]!, ids.at(-1)!, ids],
  )
  return new Set(rows.map(({ id }) => id))
}

export async function insertDependencies(tx: Tx, rows: readonly Dependency[]): Promise<void> {
  await tx.insert(
    'dependencies',
    rows.map((row) => ({ project_id: tx.project, ...row })),
  )
}

/** Whether a task waits, itself or through others, until that one has ended. */
export async function isAfter(tx: Tx, runId: string, thatId: string): Promise<boolean> {
  const rows = await tx.sql(
    `with recursive before (id) as (
       select on_run_id from dependencies where project_id = ?1 and run_id = ?2
       union
       select next.on_run_id from dependencies next join before on next.run_id = before.id where next.project_id = ?1)
     select id from before where id = ?3`,
    [tx.project, runId, thatId],
  )
  return rows.length > 0
}

/** Of tasks that have ended: who waited for them waits for them no more. At most `limit` at once. */
export function takeDependencies(tx: Tx, onRunIds: readonly string[], limit: number): Promise<Dependency[]> {
  const those = (place: string) =>
    `select ${place} from dependencies where project_id = ?1 and ${inList(tx, 'on_run_id', '?2')} order by on_run_id, run_id limit ?3`
  // By their places, and nothing else: either database may read all there is of the project for a second condition.
  const taken = tx.dialect === 'postgres' ? `ctid = any(array(${those('ctid')}))` : `rowid in (${those('rowid')})`
  return tx.sql<Dependency>(`delete from dependencies where ${taken} returning run_id, on_run_id, policy`, [
    tx.project,
    onRunIds,
    limit,
  ])
}

/** A task that has ended waits for nothing. */
export async function removeDependencies(tx: Tx, runIds: readonly string[]): Promise<void> {
  await tx.sql(`delete from dependencies where project_id = ?1 and ${inList(tx, 'run_id', '?2')}`, [tx.project, runIds])
}

/** Each of these waits for `count` tasks less; answers those that wait for none any more. */
export const countDown = (tx: Tx, runIds: readonly string[], count: number): Promise<HeldRow[]> =>
  tx
    .sql<HeldRow>(
      `update held set waits_for = waits_for - ?3 where project_id = ?1 and ${inList(tx, 'run_id', '?2')} returning ${columns}`,
      [tx.project, runIds.toSorted(), count],
    )
    .then((rows) => rows.filter((row) => row.waits_for === 0))

/** A task in the queue that from now on waits for `count` others, and has no place under its key meanwhile. */
export async function holdFor(tx: Tx, runId: string, count: number, now: number): Promise<HeldRow> {
  const [row] = await tx.sql<HeldRow>(
    `insert into held (project_id, run_id, place, handler, priority, run_at, waits_for, admitted)
     select project_id, run_id, queue, handler, priority, cast(?3 as ${tx.dialect === 'postgres' ? 'bigint' : 'integer'}), ?4, 0
     from queue where run_id = ?2 and project_id = ?1
     on conflict (project_id, run_id) do update set waits_for = excluded.waits_for, admitted = 0, run_at = excluded.run_at returning ${columns}`,
    [tx.project, runId, now, count],
  )
  return row!
}

/** Of what these dispatched, what has not ended and was not asked to stop. */
const OPEN_CHILDREN = (tx: Tx) =>
  `from runs where project_id = ?1 and ${inList(tx, 'parent_run_id', '?2')} and parent_run_id is not null
     and state = 'pending' and kind = 'task' and cancel_requested_at is null`

/** The oldest `limit` of the tasks that these dispatched and that go on. */
export async function listOpenChildren(tx: Tx, parentIds: readonly string[], limit: number): Promise<string[]> {
  const rows = await tx.sql<{ id: string }>(`select id ${OPEN_CHILDREN(tx)} order by id limit ?3`, [
    tx.project,
    parentIds,
    limit,
  ])
  return rows.map(({ id }) => id)
}

/** Those of them that dispatched a task that goes on. */
export async function listWithOpenChildren(tx: Tx, parentIds: readonly string[]): Promise<string[]> {
  const rows = await tx.sql<{ id: string }>(
    `select distinct parent_run_id as id ${OPEN_CHILDREN(tx)} order by parent_run_id`,
    [tx.project, parentIds],
  )
  return rows.map(({ id }) => id)
}
