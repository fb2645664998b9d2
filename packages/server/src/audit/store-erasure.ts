import { sql } from 'kysely'
import { inList, type Tx } from '../platform/db/index.ts'
import type { EventRow, Log, LogRow } from './store.ts'
import { ERASED, ERASURE, EVENTS_PLACED, INDEX, PLACES, placeIn } from './store-sql.ts'

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

/** An event of the project in context by its id, or by its place in the open log. */
export async function findEvent(
  tx: Tx,
  ref: string | number,
): Promise<
  | (Pick<EventRow, 'id' | 'event_type' | 'event' | 'run_id' | 'resource_type' | 'resource_id' | 'log_index'> & {
      shard: number | null
    })
  | undefined
> {
  const number = /^\d+$/.test(String(ref)) ? Number(ref) : undefined
  return tx.db
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
        .where('logs.closed_at', 'is', null),
    )
    .executeTakeFirst()
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

/** Rows of one UTC day in the order of the day files, after a place: only whether they are erased, and where that is said. */
export async function listDayRows(
  tx: Tx,
  project: string,
  day: { from: number; until: number },
  after: { shard: number; index: number },
  limit: number,
): Promise<(LogRow & { readonly shard: number })[]> {
  return tx.sql(
    `select b.shard, ${INDEX} as log_index, e.id, e.timestamp, e.event, e.actor_number, e.resource_number, e.entry, ${ERASED}
     from ${EVENTS_PLACED} ${ERASURE}
     where e.project_id = ?1 and e.timestamp >= ?2 and e.timestamp < ?3 and b.log_index is not null
       and (b.shard > ?4 or (b.shard = ?4 and ${INDEX} > ?5))
     order by b.shard, ${INDEX} limit ?6`,
    [project, day.from, day.until, after.shard, after.index, limit],
  )
}

// ---- retention

/**
 * Deletes the rows of the oldest closed log of the project in context; its line in `logs` stays, with the last checkpoint.
 * `droppedBy` is the log.dropped of the same transaction. On PostgreSQL the owner's function does it.
 */
export async function dropLog(tx: Tx, shard: number, droppedBy: string, now: number): Promise<void> {
  if (tx.dialect === 'postgres') {
    await tx.sql('/* slow */ select writ_drop_log(?1, ?2, ?3)', [shard, droppedBy, now])
    return
  }
  await tx.sql('pragma secure_delete = on')
  const own = `project_id = ?1 and %s in (select e.id from ${PLACES} where b.project_id = ?1 and b.shard = ?2)`
  await tx.sql(
    `update logs set dropped_at = ?3,
       dropped_until = coalesce((select max(e.timestamp) from ${PLACES} where b.project_id = ?1 and b.shard = ?2), 0)
     where project_id = ?1 and shard = ?2`,
    [tx.project, shard, now],
  )
  await tx.sql(`delete from erasures where ${own.replace('%s', 'event_id')}`, [tx.project, shard])
  await tx.sql(`delete from audit_events where ${own.replace('%s', 'id')}`, [tx.project, shard])
  await tx.sql('delete from audit_appends where project_id = ?1 and shard = ?2', [tx.project, shard])
}

/** Logs whose rows were dropped and whose files still have to follow. Outside the fences. */
export const listDroppedLogs = (tx: Tx): Promise<Log[]> =>
  tx.sql('select * from logs where dropped_at is not null and files_gone_at is null order by project_id, shard')

export async function setFilesGone(tx: Tx, log: Pick<Log, 'project_id' | 'shard'>, now: number): Promise<void> {
  await tx.sql('update logs set files_gone_at = ?3 where project_id = ?1 and shard = ?2', [
    log.project_id,
    log.shard,
    now,
  ])
}
