import { inList, type Tx } from '../platform/db/index.ts'
import { type Log, type LogRow, listRowsFrom, type ProvenEvent } from './store.ts'
import { ERASED, EVENTS_PLACED, INDEX } from './store-sql.ts'

// SQL of the sequencer and of what keeps logs: it runs outside the fences and carries project_id itself.

export async function listOpenLogs(tx: Tx): Promise<Log[]> {
  return tx.sql('select * from logs where closed_at is null order by project_id')
}

/** Of the open logs those of these projects, and the new ones, whose key nobody has named yet. */
export const listMovedLogs = (tx: Tx, projects: readonly string[]): Promise<Log[]> =>
  tx.sql(
    `select * from logs where closed_at is null and ${inList(tx, 'project_id', '?1')}
     union all select * from logs where closed_at is null and vkey is null and not (${inList(tx, 'project_id', '?1')})
     order by project_id`,
    [projects],
  )

/** Logs that were closed before witnesses had signed all that they signed a part of. */
export const listHalfCosigned = (tx: Tx): Promise<Log[]> =>
  tx.sql(
    `select * from logs where closed_at is not null and dropped_at is null and cosigned_size > 0 and cosigned_size < size
     order by project_id, shard`,
  )

/** The logs of the instance that witnesses have signed, the newest first. */
export const listCosignedOf = (tx: Tx, project: string): Promise<Log[]> =>
  tx.sql('select * from logs where project_id = ?1 and cosigned_size > 0 order by shard desc', [project])

export const listAllLogs = (tx: Tx): Promise<Log[]> => tx.sql('select * from logs order by project_id, shard')

export async function listPendingProjects(tx: Tx): Promise<string[]> {
  const rows = await tx.sql<{ project_id: string }>(
    'select distinct project_id from audit_appends where log_index is null order by project_id',
  )
  return rows.map((row) => row.project_id)
}

/**
 * Gives the next places of a log to appends that have none, in the order of appending, and answers which got which: whole
 * appends that begin within `limit` entries. The log's size is compared and set, so of two sequencers one places them and
 * the other throws.
 */
export async function placeAppends(
  tx: Tx,
  log: Pick<Log, 'project_id' | 'shard' | 'size'>,
  limit: number,
): Promise<Placement[]> {
  const places = await tx.sql<Placement>(
    `with todo as (
       select seq, sum(entries) over (order by seq) - entries as before
       from (select seq, entries from audit_appends where project_id = ?1 and log_index is null order by seq limit ?4) as waiting
     )
     update audit_appends set shard = ?2, log_index = ?3 + todo.before from todo where audit_appends.seq = todo.seq and todo.before < ?4
     returning first_id, entries, log_index`,
    [log.project_id, log.shard, log.size, limit],
  )
  if (places.length === 0) return places
  const entries = places.reduce((sum, place) => sum + place.entries, 0)
  const moved = await tx.sql<{ size: number }>(
    'update logs set size = size + ?4 where project_id = ?1 and shard = ?2 and size = ?3 and closed_at is null returning size',
    [log.project_id, log.shard, log.size, entries],
  )
  if (moved.length !== 1) throw new Error('another sequencer placed rows in this log')
  return places.sort((a, b) => a.log_index - b.log_index)
}

/** What an append got from the sequencer: the place of its first entry. */
export interface Placement {
  readonly first_id: string
  readonly entries: number
  readonly log_index: number
}

/**
 * The entries of a log from `from` on, of whole appends that begin within `limit` entries: what was published always ends
 * with an append, so that an append never stands in two logs.
 */
export const listPlacedRows = (
  tx: Tx,
  log: Pick<Log, 'project_id' | 'shard'>,
  from: number,
  limit: number,
): Promise<LogRow[]> =>
  listRowsFrom(tx, log, {
    from,
    limit,
    columns: `e.timestamp, e.event, e.actor_number, e.resource_number, e.entry, ${ERASED}`,
  })

export async function setVkey(tx: Tx, log: Pick<Log, 'project_id' | 'shard'>, vkey: string): Promise<void> {
  await tx.sql('update logs set vkey = ?3 where project_id = ?1 and shard = ?2 and vkey is null', [
    log.project_id,
    log.shard,
    vkey,
  ])
}

/** Records the verifier keys of a log after a rotation, the oldest first. Answers false if they were recorded already. */
export async function setVkeys(
  tx: Tx,
  log: Pick<Log, 'project_id' | 'shard'>,
  vkeys: readonly string[],
): Promise<boolean> {
  const changed = await tx.sql(
    'update logs set vkey = ?3, vkeys = ?4 where project_id = ?1 and shard = ?2 and vkey <> ?3 returning shard',
    [log.project_id, log.shard, vkeys.at(-1)!, JSON.stringify(vkeys)],
  )
  return changed.length > 0
}

/** Where the entry stands that names a key of a log; null while it waits for its place, or if there is none. */
export async function findKeyChange(
  tx: Tx,
  log: Pick<Log, 'project_id' | 'shard'>,
  vkey: string,
): Promise<{ log_index: number; entry: Uint8Array } | null> {
  const rows = await tx.sql<{ log_index: number; entry: Uint8Array }>(
    `select ${INDEX} as log_index, e.entry
     from ${EVENTS_PLACED}
     where e.project_id = ?1 and e.resource_type = 'log_key' and e.resource_id = ?3 and e.event_type = 'log.key_rotated' and b.shard = ?2
       and b.log_index is not null
     order by ${INDEX} limit 1`,
    [log.project_id, log.shard, vkey],
  )
  return rows[0] ?? null
}

/** Keeps the newest cosigned checkpoint beside the row, for answers and for the next `run.started`. */
export async function setCosigned(
  tx: Tx,
  log: Pick<Log, 'project_id' | 'shard'>,
  note: string,
  size: number,
): Promise<void> {
  await tx.sql('update logs set cosigned = ?3, cosigned_size = ?4 where project_id = ?1 and shard = ?2', [
    log.project_id,
    log.shard,
    note,
    size,
  ])
}

/** The verifier keys of a log, the oldest first; empty before its first checkpoint. */
export const vkeysOf = (log: Pick<Log, 'vkey' | 'vkeys'>): readonly string[] =>
  // Written by setVkeys.
  log.vkeys === null ? (log.vkey === null ? [] : [log.vkey]) : (JSON.parse(log.vkeys) as string[])

/** The log of an origin, whichever project it is of. */
export async function findLogByOrigin(tx: Tx, origin: string): Promise<Log | undefined> {
  const rows = await tx.sql<Log>('select * from logs where origin = ?1', [origin])
  return rows[0]
}

/** The open log of a project, also outside its fence. */
export async function findOpenLogOf(tx: Tx, project: string): Promise<Log | undefined> {
  const rows = await tx.sql<Log>('select * from logs where project_id = ?1 and closed_at is null', [project])
  return rows[0]
}

/** An entry of the instance log that records a project's checkpoint. */
export type RecordedRow = Omit<ProvenEvent, 'shard'>

/**
 * The newest `project.checkpoint` of a project's log among the first `below` entries of a shard of the instance log; of an open log it may
 * tell of the one before. What is newer than the end of a closed log tells of the one that continues it.
 */
export async function findRecorded(
  tx: Tx,
  instance: Pick<Log, 'project_id' | 'shard'>,
  log: Pick<Log, 'project_id' | 'origin' | 'closed_at'>,
  below: number,
): Promise<RecordedRow | undefined> {
  const find = async (origin?: string) => {
    const rows = await tx.sql<RecordedRow>(
      `select e.id, ${INDEX} as log_index, e.event_type, e.resource_id, e.entry, e.event, e.salt
       from ${EVENTS_PLACED}
       where e.project_id = ?1 and e.resource_type = 'log' and e.resource_id = ?3 and b.shard = ?2
         and e.event_type = 'project.checkpoint'
         and ${INDEX} < ?4 and e.timestamp <= ?5 ${origin === undefined ? '' : 'and e.event like ?6'}
       order by e.id desc limit 1`,
      [
        ...[instance.project_id, instance.shard, log.project_id, below, log.closed_at ?? Number.MAX_SAFE_INTEGER],
        ...(origin === undefined ? [] : [`%${said(origin)}%`]),
      ],
    )
    return rows[0]
  }
  const newest = await find()
  if (!newest || log.closed_at === null || newest.event.includes(said(log.origin))) return newest
  // The clock was set back after it was closed, so times do not tell the two apart. Looking into each is for when they do not.
  return find(log.origin)
}

const said = (origin: string) => `"origin":"${origin}"`

export async function setCheckpoint(
  tx: Tx,
  log: Pick<Log, 'project_id' | 'shard'>,
  root: string,
  checkpoint: string,
): Promise<void> {
  await tx.sql('update logs set root = ?3, checkpoint = ?4 where project_id = ?1 and shard = ?2', [
    log.project_id,
    log.shard,
    root,
    checkpoint,
  ])
}

// ---- after a database was put back (writ restore)

/**
 * Ends a log at the entries that the restored database knows; false if it is not as it was seen. Nothing is ever signed under its
 * origin again.
 */
export async function closeLog(
  tx: Tx,
  seen: Pick<Log, 'project_id' | 'shard' | 'size'>,
  end: { size: number; now: number },
): Promise<boolean> {
  const closed = await tx.sql<{ shard: number }>(
    `update logs set size = ?4, closed_at = ?5
     where project_id = ?1 and shard = ?2 and size = ?3 and closed_at is null returning shard`,
    [seen.project_id, seen.shard, seen.size, end.size, end.now],
  )
  return closed.length === 1
}

/** Takes their places from appends that the closed log never published: the next log gives them new ones. */
export async function releaseRows(tx: Tx, log: Pick<Log, 'project_id' | 'shard'>, from: number): Promise<void> {
  await tx.sql(
    'update audit_appends set shard = null, log_index = null where project_id = ?1 and shard = ?2 and log_index >= ?3',
    [log.project_id, log.shard, from],
  )
}

/** Opens the log that continues a closed one. */
export async function insertContinuedLog(
  tx: Tx,
  log: { project_id: string; shard: number; origin: string; root: string; now: number },
): Promise<void> {
  await tx.sql('insert into logs (project_id, shard, origin, root, opened_at) values (?1, ?2, ?3, ?4, ?5)', [
    log.project_id,
    log.shard,
    log.origin,
    log.root,
    log.now,
  ])
}

/** Puts the newest `log.continued` at the beginning of its log, before every row that waits. */
export async function placeContinuation(tx: Tx, log: { project_id: string; shard: number }): Promise<void> {
  await tx.sql(
    `update audit_appends set shard = ?2, log_index = 0
     where log_index is null and project_id = ?1 and first_id =
       (select max(id) from audit_events where project_id = ?1 and event_type = 'log.continued')`,
    [log.project_id, log.shard],
  )
  await tx.sql('update logs set size = 1 where project_id = ?1 and shard = ?2', [log.project_id, log.shard])
}

/** A new log of the instance tells of no project yet: each is recorded in it again, whether it moves or not. */
export async function forgetRecorded(tx: Tx): Promise<void> {
  await tx.sql('update logs set recorded_size = 0 where closed_at is null')
}

export async function setRecordedSize(tx: Tx, log: Pick<Log, 'project_id' | 'shard'>, size: number): Promise<void> {
  await tx.sql('update logs set recorded_size = ?3 where project_id = ?1 and shard = ?2', [
    log.project_id,
    log.shard,
    size,
  ])
}
