import { sql } from 'kysely'
import { inList, type Tx } from '../platform/db/index.ts'
import { firstIdAt } from '../platform/ids.ts'
import { type Append, type EventRow, type Log, type LogRow, listRowsOf, type Position } from './store.ts'
import { ERASED, EVENTS_PLACED, INDEX, PLACES, placeIn } from './store-sql.ts'

const DAY_MS = 86_400_000

// SQL of erasure and of retention: what of the log goes, and what proves that it was there.

// ---- erasure

/**
 * Kinds of events whose payloads explain the log itself, its keys, or an erasure: they are never erased. A recorded
 * checkpoint is among them, because witnesses stand for a project through it. The function of the owner on PostgreSQL
 * (migration 0004) has the same list, and a test compares them.
 */
export const KEPT_PAYLOADS = [
  'payload.erased',
  'log.opened',
  'log.continued',
  'log.dropped',
  'log.key_rotated',
  'key.added',
  'project.checkpoint',
] as const

/** An event of the project in context by its id, or by its place in the log `shard`: the open one, if none is named. */
export async function findEvent(
  tx: Tx,
  ref: string | number,
  shard?: number,
): Promise<
  | (Pick<EventRow, 'id' | 'event_type' | 'event' | 'run_id' | 'resource_type' | 'resource_id' | 'log_index'> & {
      shard: number | null
    })
  | undefined
> {
  const number = /^\d+$/.test(String(ref)) ? Number(ref) : undefined
  return (
    tx.db
      .selectFrom('audit_events')
      .innerJoin('audit_appends', 'audit_appends.seq', 'audit_events.append')
      .leftJoin('logs', 'logs.shard', 'audit_appends.shard')
      .select([
        'audit_events.id',
        'event_type',
        'event',
        'run_id',
        'resource_type',
        'resource_id',
        placeIn('audit_appends', 'audit_events').as('log_index'),
        'audit_appends.shard',
      ])
      .$if(number === undefined, (q) => q.where('audit_events.id', '=', String(ref)))
      .$if(number !== undefined, (q) =>
        q
          .where(placeIn('audit_appends', 'audit_events'), '=', number!)
          .where('audit_appends.log_index', '<=', number!)
          .where(sql<boolean>`audit_appends.log_index + audit_appends.entries > ${number!}`)
          .$if(shard === undefined, (open) => open.where('logs.closed_at', 'is', null)),
      )
      .$if(shard !== undefined, (q) => q.where('audit_appends.shard', '=', shard!))
      // The rows of one that was dropped go one after the other.
      .where('logs.dropped_at', 'is', null)
      .executeTakeFirst()
  )
}

/** Events with a payload that a person is in: as actor, also by a token, or as what the event is about. Oldest first. */
export async function listEventsOfPerson(
  tx: Tx,
  person: { id: string; username: string },
  after: string,
  limit: number,
): Promise<
  {
    id: string
    run_id: string | null
    resource_type: string | null
    resource_id: string | null
    shard: number | null
    log_index: number | null
    event_type: string
  }[]
> {
  return tx.db
    .selectFrom('audit_events')
    .innerJoin('audit_appends', 'audit_appends.seq', 'audit_events.append')
    .select([
      'audit_events.id',
      'run_id',
      'resource_type',
      'resource_id',
      'audit_appends.shard',
      placeIn('audit_appends', 'audit_events').as('log_index'),
      'event_type',
    ])
    .where((or) =>
      or.or([
        or('actor_id', '=', person.id),
        or('actor_username', '=', person.username),
        or.and([or('resource_type', '=', 'user'), or('resource_id', '=', person.id)]),
      ]),
    )
    .where('event', '<>', '')
    .where('event_type', 'not in', [...KEPT_PAYLOADS])
    .where('audit_events.id', '>', after)
    .orderBy('audit_events.id')
    .limit(limit)
    .execute()
}

/**
 * Empties an event: payload, salt and the actor's name go. `erasedBy` is the payload.erased of the same transaction. False
 * if there is nothing to erase. On PostgreSQL the server may not update audit events; the owner's function does this and
 * nothing else.
 */
export async function emptyEvent(tx: Tx, event: string, erasedBy: string, now: number): Promise<boolean> {
  if (tx.dialect === 'postgres') {
    const rows = await tx.sql<{ done: boolean }>('select writ_erase_payload(?1, ?2, ?3) as done', [
      event,
      erasedBy,
      now,
    ])
    return rows[0]!.done
  }
  // Without it the freed part of a page would keep the text until something else is written there.
  await tx.sql('pragma secure_delete = on')
  const rows = await tx.sql(
    `update audit_events set event = '', salt = x'', actor_username = null
     where project_id = ?1 and id = ?2 and event <> '' and event_type not in ('payload.erased', 'log.opened', 'log.continued', 'log.dropped')
     returning id`,
    [tx.project, event],
  )
  if (rows.length === 0) return false
  await tx.insert('erasures', [{ project_id: tx.project, event_id: event, erased_by: erasedBy, created_at: now }])
  return true
}

/** Changes when a payload is erased or a log dropped, and again when the files say so: a verification that saw neither end of it tries again. */
export async function erasureState(tx: Tx): Promise<string> {
  const rows = await tx.sql<{ n: number; written: number | null }>(
    `select (select count(*) from erasures where project_id = ?1) + (select count(*) from logs where project_id = ?1 and dropped_at is not null) as n,
       (select coalesce(sum(in_day_file), 0) from erasures where project_id = ?1)
         + (select count(*) from logs where project_id = ?1 and files_gone_at is not null) as written`,
    [tx.project],
  )
  return `${rows[0]!.n}/${rows[0]!.written ?? 0}`
}

/** Whether a row is a payload.erased of the project for this event, by the leaf that it will have or has. */
export async function findErasure(
  tx: Tx,
  id: string,
): Promise<{ entry: Uint8Array; log_index: number | null } | undefined> {
  const rows = await tx.sql<{ entry: Uint8Array; log_index: number | null }>(
    `select e.entry, ${INDEX} as log_index from ${EVENTS_PLACED}
     where e.project_id = ?1 and e.id = ?2 and e.event_type = 'payload.erased'`,
    [tx.project, id],
  )
  return rows[0]
}

/** Whether files have to follow an erasure or a dropped log. Outside the fences. */
export async function filesLag(tx: Tx): Promise<boolean> {
  const rows = await tx.sql(
    `select 1 as one where exists (select 1 from erasures where in_day_file = 0)
       or exists (select 1 from logs where dropped_at is not null and files_gone_at is null)`,
  )
  return rows.length > 0
}

/** Times of erased events whose day files do not say so yet, though the erasure has its place. Outside the fences. */
export async function listUnwrittenErasures(
  tx: Tx,
): Promise<{ project_id: string; event_id: string; timestamp: number }[]> {
  return tx.sql(
    `select r.project_id, r.event_id, e.timestamp from erasures r
     join audit_events e on e.project_id = r.project_id and e.id = r.event_id
     join audit_events x on x.project_id = r.project_id and x.id = r.erased_by
     join audit_appends j on j.project_id = x.project_id and j.seq = x.append
     where r.in_day_file = 0 and j.log_index is not null order by r.project_id, e.timestamp limit 10000`,
  )
}

export async function setErasuresWritten(tx: Tx, project: string, events: readonly string[]): Promise<void> {
  await tx.sql(`update erasures set in_day_file = 1 where project_id = ?1 and ${inList(tx, 'event_id', '?2')}`, [
    project,
    events,
  ])
}

type DayRow = LogRow & { readonly shard: number }

/** Appends that are looked through at once, and entries of them that are read. */
const DAY_APPENDS = 1_000
const DAY_ENTRIES = 2_000

/**
 * Rows of one UTC day in the order of the day files: only whether they are erased, and where that is said. What is left of a dropped
 * log is none of them: its lines go before its rows. Page by page, and no further than somebody wants more. Outside the fences.
 */
export async function* rowsOfDay(
  read: <T>(work: (tx: Tx) => Promise<T>) => Promise<T>,
  project: string,
  day: string,
): AsyncGenerator<DayRow> {
  for (let after: Position | undefined = { shard: -1, index: -1 }; after; ) {
    const page = await read((tx) => listDayRows(tx, project, Date.parse(day), after!))
    yield* page.rows
    after = page.next
  }
}

/**
 * Their appends first, as `EVENTS_OF` says: joined, SQLite read every event of the project for each append. An id is made at the time of
 * its event or, after the clock was set back, later; so what ends before the day began holds none of it.
 */
async function listDayRows(
  tx: Tx,
  project: string,
  from: number,
  after: Position,
): Promise<{ rows: DayRow[]; next: Position | undefined }> {
  const appends = await tx.sql<Append>(
    `select seq, first_id, last_id, entries, shard, log_index, ends from audit_appends
     where project_id = ?1 and (shard, log_index) > (?2, ?3)
       and shard not in (select l.shard from logs l where l.project_id = ?1 and l.dropped_at is not null)
     order by shard, log_index limit ?4`,
    [project, after.shard, after.index, DAY_APPENDS],
  )
  const first = firstIdAt(from)
  const read: Append[] = []
  let entries = 0
  let last: Append | undefined
  for (const append of appends) {
    if (entries >= DAY_ENTRIES) break
    last = append
    if (append.last_id < first) continue
    read.push(append)
    entries += append.entries
  }
  const columns = `e.timestamp, e.event, e.actor_number, e.resource_number, e.entry, ${ERASED}`
  const rows = await listRowsOf<DayRow>(tx, project, read, columns)
  return {
    rows: rows.filter((row) => row.timestamp >= from && row.timestamp < from + DAY_MS),
    next: last && { shard: last.shard, index: last.log_index },
  }
}

// ---- retention

/**
 * Drops the oldest closed log of the project in context; its line in `logs` stays, with the last checkpoint. `droppedBy` is the
 * log.dropped of the same transaction. Its rows follow by `deleteDropped`: a million in one transaction would keep the changes of the
 * project waiting for ten seconds, and on SQLite everybody's. On PostgreSQL it is the owner's functions that may do both.
 */
export async function dropLog(tx: Tx, shard: number, droppedBy: string, now: number): Promise<void> {
  if (tx.dialect === 'postgres') {
    await tx.sql('select writ_drop_log(?1, ?2, ?3)', [shard, droppedBy, now])
    return
  }
  // Its newest event is no newer, unless the clock was set back; then the slices find it.
  await tx.sql('update logs set dropped_at = ?3, dropped_until = closed_at where project_id = ?1 and shard = ?2', [
    tx.project,
    shard,
    now,
  ])
}

/**
 * Deletes the oldest rows of a log that was dropped, of whole appends with about `entries` events, so that no event is ever without
 * its append. False when none is left. Outside the fences.
 */
export async function deleteDropped(tx: Tx, log: Pick<Log, 'project_id' | 'shard'>, entries: number): Promise<boolean> {
  const own = [log.project_id, log.shard]
  if (tx.dialect === 'postgres') {
    const [row] = await tx.sql<{ left: boolean }>('select writ_clear_log(?1, ?2, ?3) as left', [...own, entries])
    return row!.left
  }
  const appends = await tx.sql<{ log_index: number; entries: number }>(
    'select log_index, entries from audit_appends where project_id = ?1 and shard = ?2 order by log_index limit ?3',
    [...own, entries],
  )
  const first = appends[0]
  if (!first) return false
  const last = appends.findLast((one) => one.log_index < first.log_index + entries)!
  await tx.sql('pragma secure_delete = on')
  const gone = `(select e.id from ${PLACES} where b.project_id = ?1 and b.shard = ?2 and b.log_index <= ?3)`
  const upTo = [...own, last.log_index]
  await tx.sql(
    `update logs set dropped_until = max(dropped_until, coalesce((select max(e.timestamp) from audit_events e where e.project_id = ?1 and e.id in ${gone}), 0))
     where project_id = ?1 and shard = ?2`,
    upTo,
  )
  await tx.sql(`delete from erasures where project_id = ?1 and event_id in ${gone}`, upTo)
  await tx.sql(`delete from audit_events where project_id = ?1 and id in ${gone}`, upTo)
  await tx.sql('delete from audit_appends where project_id = ?1 and shard = ?2 and log_index <= ?3', upTo)
  return true
}

/** Logs whose rows were dropped and whose files still have to follow. Outside the fences. */
export const listDroppedLogs = (tx: Tx): Promise<Log[]> =>
  tx.sql('select * from logs where dropped_at is not null and files_gone_at is null order by project_id, shard')

/** The time of the newest event that a dropped log had, as far as its rows are gone. Outside the fences. */
export async function findDroppedUntil(tx: Tx, log: Pick<Log, 'project_id' | 'shard'>): Promise<number> {
  const rows = await tx.sql<{ dropped_until: number }>(
    'select dropped_until from logs where project_id = ?1 and shard = ?2',
    [log.project_id, log.shard],
  )
  return rows[0]!.dropped_until
}

export async function setFilesGone(tx: Tx, log: Pick<Log, 'project_id' | 'shard'>, now: number): Promise<void> {
  await tx.sql('update logs set files_gone_at = ?3 where project_id = ?1 and shard = ?2', [
    log.project_id,
    log.shard,
    now,
  ])
}
