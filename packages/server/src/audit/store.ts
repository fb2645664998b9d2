import type { AuditEventType } from '@writ/api'
import type { Selectable } from 'kysely'
import { sql } from 'kysely'
import { inList, type Tx } from '../platform/db/index.ts'
import type { AuditEventsTable, LogsTable } from '../platform/db/tables.ts'
import type { DayEvent } from './day-file.ts'

// All SQL of the audit log. Functions of the sequencer run outside the fences and carry project_id themselves.

export type Log = Selectable<LogsTable>
/** As the API lists events; `erased_index` is the place of the payload.erased that emptied it. */
export type EventRow = Selectable<AuditEventsTable> & {
  readonly log_index: number | null
  readonly erased_by: string | null
  readonly erased_index: number | null
}
/** What the sequencer and the verifier need of an event. */
export type LogRow = DayEvent & {
  readonly log_index: number
  readonly id: string
  readonly entry: Uint8Array
  readonly erased_by: string | null
  readonly erased_index: number | null
  readonly in_day_file: number | null
}

// What is known of an erased payload: who emptied the row (a payload.erased), and its place in the log.
const ERASED = 'r.erased_by, r.in_day_file, j.log_index + x.place as erased_index'
const ERASURE = `left join erasures r on r.project_id = e.project_id and r.event_id = e.id
     left join audit_events x on x.project_id = r.project_id and x.id = r.erased_by
     left join audit_appends j on j.project_id = x.project_id and j.seq = x.append`

// From an event to its place, and from places to the events there: what was appended together was placed together, so a
// append has the place of its first event. The bounds find its events by their key.
const EVENTS_PLACED = 'audit_events e join audit_appends b on b.project_id = e.project_id and b.seq = e.append'
const PLACES = `audit_appends b join audit_events e
     on e.project_id = b.project_id and e.id >= b.first_id and e.id <= b.last_id and e.append = b.seq`
const INDEX = 'b.log_index + e.place'
/**
 * The first entry of the append that has the entry ?3 of the log ?1, ?2; null where that log has none. Nothing but a bare subquery:
 * inside `coalesce` or `max` row-level security keeps PostgreSQL from using the index, and each look reads the whole log.
 */
const APPEND_OF_ENTRY = `(select c.log_index from audit_appends c
     where c.project_id = ?1 and c.shard = ?2 and c.log_index <= ?3 order by c.log_index desc limit 1)`

const placeIn = (append: string, event: string) =>
  sql<number | null>`${sql.ref(`${append}.log_index`)} + ${sql.ref(`${event}.place`)}`

export interface EventFilter {
  readonly event_type?: string
  readonly actor_id?: string
  readonly resource_type?: string
  /** An id, or the number of the resource. */
  readonly resource?: string | number
  readonly since?: number
  readonly until?: number
  readonly success?: boolean
}

/** The log of a project exists from its first row on; the sequencer adds the key. `origin` says nothing of the project. */
export async function insertLog(
  tx: Tx,
  log: { shard: number; origin: string; now: number; root: string },
): Promise<void> {
  await tx.insert('logs', [
    { project_id: tx.project, shard: log.shard, origin: log.origin, root: log.root, opened_at: log.now },
  ])
}

export async function findOpenLog(tx: Tx): Promise<Log | undefined> {
  return tx.db.selectFrom('logs').selectAll().where('closed_at', 'is', null).executeTakeFirst()
}

/** Every log of the project in context, the closed ones first, in the order in which they continue each other. */
export const listLogs = (tx: Tx): Promise<Log[]> => tx.db.selectFrom('logs').selectAll().orderBy('shard').execute()

export async function countPending(tx: Tx): Promise<number> {
  const row = await tx.db
    .selectFrom('audit_appends')
    .select(sql<number>`coalesce(sum(entries), 0)`.as('n'))
    .where('log_index', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(row.n)
}

/** Events by filter, newest first, `limit` of them, older than `before` (an id). */
export async function listEvents(
  tx: Tx,
  filter: EventFilter,
  page: { limit: number; before?: string; skip?: number },
): Promise<EventRow[]> {
  return filtered(tx, filter)
    .selectAll('audit_events')
    .leftJoin('erasures', 'erasures.event_id', 'audit_events.id')
    .leftJoin('audit_events as erasing', 'erasing.id', 'erasures.erased_by')
    .leftJoin('audit_appends as erased', 'erased.seq', 'erasing.append')
    .select([
      placeIn('audit_appends', 'audit_events').as('log_index'),
      'erasures.erased_by',
      placeIn('erased', 'erasing').as('erased_index'),
    ])
    .$if(page.before !== undefined, (q) => q.where('audit_events.id', '<', page.before!))
    .orderBy('audit_events.id', 'desc')
    .limit(page.limit)
    .$if((page.skip ?? 0) > 0, (q) => q.offset(page.skip!))
    .execute()
}

/** As `listEvents`, oldest first: for exports, page by page. */
export async function listEventsForward(
  tx: Tx,
  filter: EventFilter,
  page: { limit: number; after?: string },
): Promise<EventRow[]> {
  return filtered(tx, filter)
    .selectAll('audit_events')
    .leftJoin('erasures', 'erasures.event_id', 'audit_events.id')
    .leftJoin('audit_events as erasing', 'erasing.id', 'erasures.erased_by')
    .leftJoin('audit_appends as erased', 'erased.seq', 'erasing.append')
    .select([
      placeIn('audit_appends', 'audit_events').as('log_index'),
      'erasures.erased_by',
      placeIn('erased', 'erasing').as('erased_index'),
    ])
    .$if(page.after !== undefined, (q) => q.where('audit_events.id', '>', page.after!))
    .orderBy('audit_events.id')
    .limit(page.limit)
    .execute()
}

/** A placed event with all that proves it: its entry, its payload, the salt between them. */
export interface ProvenEvent {
  readonly id: string
  readonly shard: number
  readonly log_index: number
  readonly event_type: string
  readonly resource_id: string
  readonly event: string
  readonly salt: Uint8Array
  readonly entry: Uint8Array
}

/** Every placed event about these things, in log order. */
export const listProvenEvents = (tx: Tx, resources: readonly string[]): Promise<ProvenEvent[]> =>
  tx.sql(
    `select e.id, b.shard, ${INDEX} as log_index, e.event_type, e.resource_id, e.event, e.salt, e.entry
     from ${EVENTS_PLACED}
     where e.project_id = ?1 and ${inList(tx, 'e.resource_id', '?2')} and b.log_index is not null
     order by b.shard, ${INDEX}`,
    [tx.project, resources],
  )

/** How many events of a thing have a place in one log, and the last of them; `shard` is null for those without a place. */
export interface Placed {
  readonly resource_id: string
  readonly shard: number | null
  readonly events: number
  readonly last_index: number | null
}

/** Of these things, event counts by log. */
export async function countPlaced(tx: Tx, resources: readonly string[]): Promise<Placed[]> {
  const rows = await tx.sql<Placed>(
    `select e.resource_id, b.shard, count(*) as events, max(${INDEX}) as last_index
     from ${EVENTS_PLACED}
     where e.project_id = ?1 and ${inList(tx, 'e.resource_id', '?2')}
     group by e.resource_id, b.shard`,
    [tx.project, resources],
  )
  // PostgreSQL counts in bigint.
  return rows.map((row) => ({ ...row, events: Number(row.events) }))
}

/** Envelopes of attestations by the digests of their payloads. */
export const listEnvelopes = (tx: Tx, digests: readonly string[]): Promise<{ digest: string; envelope: string }[]> =>
  tx.sql(`select digest, envelope from attestations where project_id = ?1 and ${inList(tx, 'digest', '?2')}`, [
    tx.project,
    digests,
  ])

/** A place in a project's log. */
export interface Position {
  readonly shard: number
  readonly index: number
}

/** An event as those outside the log may need it; `position` is null while the sequencer has given it none. */
export interface PlacedEvent {
  readonly id: string
  readonly event_type: string
  readonly timestamp: number
  readonly actor_kind: string
  readonly actor_id: string | null
  readonly actor_number: number | null
  readonly actor_username: string | null
  readonly resource_type: string | null
  readonly resource_id: string | null
  readonly resource_number: number | null
  readonly run_id: string | null
  readonly success: number
  readonly event: string
  readonly position: Position | null
}

type PlacedRow = Omit<PlacedEvent, 'position'> & { shard: number | null; log_index: number | null }
const eventColumns = `e.id, e.event_type, e.timestamp, e.actor_kind, e.actor_id, e.actor_number, e.actor_username,
  e.resource_type, e.resource_id, e.resource_number, e.run_id, e.success, e.event`
const placedColumns = `${eventColumns}, b.shard, ${INDEX} as log_index`
const placed = ({ shard, log_index, ...event }: PlacedRow): PlacedEvent => ({
  ...event,
  position: shard === null || log_index === null ? null : { shard, index: log_index },
})

interface Append {
  readonly seq: number
  readonly first_id: string
  readonly last_id: string
  readonly entries: number
  readonly shard: number
  readonly log_index: number
  readonly ends: number | null
}

/**
 * The appends that end behind a place, in log order. In two steps, because neither database looks up a pair in an index when half
 * of it is a subquery, and without the index each look reads the whole log.
 */
async function listAppendsBehind(tx: Tx, { shard, index }: Position, limit: number): Promise<Append[]> {
  // Before the first entry of a log is behind the log before it.
  const at = index < 0 ? [tx.project, shard - 1, Number.MAX_SAFE_INTEGER] : [tx.project, shard, index]
  const [append] = await tx.sql<{ log_index: number | null }>(`select ${APPEND_OF_ENTRY} as log_index`, at)
  return tx.sql<Append>(
    `select seq, first_id, last_id, entries, shard, log_index, ends from audit_appends
     where project_id = ?1 and (shard, log_index) >= (?2, ?4) and (shard > ?2 or log_index + entries - 1 > ?3)
     order by shard, log_index limit ?5`,
    [...at, append!.log_index, limit],
  )
}

/**
 * The events of appends, found by where their ids lie: `e.append` names the append. No join, for a planner that does not know how few
 * appends there are reads every event.
 */
const EVENTS_OF = (tx: Tx) => `e.project_id = ?1 and e.id >= ?2 and e.id <= ?3 and ${inList(tx, 'e.append', '?4')}`
function eventsOf(tx: Tx, appends: readonly Append[]): [string, string, string, number[]] {
  const first = appends.reduce((least, { first_id }) => (first_id < least ? first_id : least), appends[0]!.first_id)
  const last = appends.reduce((most, { last_id }) => (last_id > most ? last_id : most), '')
  return [tx.project, first, last, appends.map((append) => append.seq)]
}

/**
 * The events behind a place, in log order. A place is given after the commit and one after the other, so what was read up
 * to a place never gets a late neighbour: whoever reads on from there misses nothing.
 */
export async function listEventsBehind(tx: Tx, after: Position, limit: number): Promise<PlacedEvent[]> {
  const appends = await listAppendsBehind(tx, after, limit)
  if (appends.length === 0) return []
  // As many as hold `limit` entries, of the first only what is behind the place.
  let left = limit
  const enough = appends.findIndex(({ shard, log_index, entries }) => {
    left -= shard === after.shard ? Math.min(entries, log_index + entries - 1 - after.index) : entries
    return left <= 0
  })
  const read = enough < 0 ? appends : appends.slice(0, enough + 1)
  const rows = await tx.sql<Omit<PlacedRow, 'shard' | 'log_index'> & { append: number; place: number }>(
    `select ${eventColumns}, e.append, e.place from audit_events e where ${EVENTS_OF(tx)}`,
    eventsOf(tx, read),
  )
  const bySeq = new Map(read.map((append) => [append.seq, append]))
  return rows
    .map(({ append, place, ...event }) => {
      const { shard, log_index } = bySeq.get(append)!
      return { ...event, position: { shard, index: log_index + place } }
    })
    .filter(({ position }) => position.shard > after.shard || position.index > after.index)
    .sort((a, b) => a.position.shard - b.position.shard || a.position.index - b.position.index)
    .slice(0, limit)
}

/** The event types that end a run; each run has one of them, once. */
export const RUN_ENDS: ReadonlySet<string> = new Set<AuditEventType>([
  'run.completed',
  'run.failed',
  'run.timeout',
  'run.cancelled',
])

/** Entries of appends that tell of ends, and appends of any kind, that are read at once. */
const MOST_ENTRIES = 1_000
const MOST_APPENDS = 1_000

/**
 * The runs whose ends the log tells of behind a place, up to the place `to`, which is the end of an append; undefined where nothing
 * is behind. Only appends that tell of ends are read, so what else is in the log costs no more than its appends.
 */
export async function listEndsBehind(
  tx: Tx,
  after: Position,
): Promise<{ to: Position | undefined; entries: number; runs: string[]; more: boolean }> {
  const appends = await listAppendsBehind(tx, after, MOST_APPENDS)
  let entries = 0
  const beyond = appends.findIndex(({ ends, entries: n }, i) => {
    if (ends !== 0) entries += n
    return entries > MOST_ENTRIES && i > 0
  })
  const read = beyond < 0 ? appends : appends.slice(0, beyond)
  const last = read.at(-1)
  if (!last) return { to: undefined, entries: 0, runs: [], more: false }
  const telling = read.filter(({ ends }) => ends !== 0)
  const rows =
    telling.length === 0
      ? []
      : await tx.sql<{ resource_id: string; append: number; place: number }>(
          `select e.resource_id, e.append, e.place from audit_events e
           where ${EVENTS_OF(tx)} and ${inList(tx, 'e.event_type', '?5')} and e.resource_id is not null`,
          [...eventsOf(tx, telling), [...RUN_ENDS]],
        )
  // Only the first may begin before the place.
  const [first] = read
  const counted = first!.shard === after.shard ? after.index - first!.log_index : -1
  const runs = rows.filter(({ append, place }) => append !== first!.seq || place > counted)
  return {
    to: { shard: last.shard, index: last.log_index + last.entries - 1 },
    entries: read.reduce((sum, one) => sum + one.entries, 0),
    runs: [...new Set(runs.map((run) => run.resource_id))],
    more: beyond >= 0 || appends.length === MOST_APPENDS,
  }
}

/** The last place that was given in this project; before the first one if there is none. */
export async function endOfLog(tx: Tx): Promise<Position> {
  const log = await findOpenLog(tx)
  return log === undefined ? { shard: -1, index: -1 } : { shard: log.shard, index: log.size - 1 }
}

export async function findPlacedEvent(tx: Tx, id: string): Promise<PlacedEvent | undefined> {
  const rows = await tx.sql<PlacedRow>(
    `select ${placedColumns}
     from ${EVENTS_PLACED}
     where e.project_id = ?1 and e.id = ?2`,
    [tx.project, id],
  )
  return rows.map(placed)[0]
}

/** The id of the newest event of a type about a thing, committed or of this transaction. */
export async function newestEventOf(tx: Tx, type: string, resource: string): Promise<string | undefined> {
  const row = await tx.db
    .selectFrom('audit_events')
    .select('id')
    .where('event_type', '=', type)
    .where('resource_id', '=', resource)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row?.id
}

export async function countEvents(tx: Tx, filter: EventFilter): Promise<number> {
  const row = await filtered(tx, filter).select(sql<number>`count(*)`.as('n')).executeTakeFirstOrThrow()
  return Number(row.n)
}

function filtered(tx: Tx, f: EventFilter) {
  return (
    tx.db
      .selectFrom('audit_events')
      .leftJoin('audit_appends', 'audit_appends.seq', 'audit_events.append')
      .$if(f.event_type !== undefined, (q) => q.where('audit_events.event_type', '=', f.event_type!))
      // As the index says it: completed runs, of which there are most, are not in it.
      .$if(f.event_type !== undefined && f.event_type !== 'run.completed', (q) =>
        q.where(sql<boolean>`audit_events.event_type <> 'run.completed'`),
      )
      .$if(f.actor_id !== undefined, (q) => q.where('audit_events.actor_id', '=', f.actor_id!))
      .$if(f.resource_type !== undefined, (q) => q.where('audit_events.resource_type', '=', f.resource_type!))
      .$if(f.resource !== undefined, (q) => {
        const number = /^\d+$/.test(String(f.resource)) ? Number(f.resource) : undefined
        return number === undefined
          ? q.where('audit_events.resource_id', '=', String(f.resource))
          : q.where('audit_events.resource_number', '=', number)
      })
      .$if(f.since !== undefined, (q) => q.where('audit_events.timestamp', '>=', f.since!))
      .$if(f.until !== undefined, (q) => q.where('audit_events.timestamp', '<', f.until!))
      .$if(f.success !== undefined, (q) => q.where('audit_events.success', '=', f.success ? 1 : 0))
  )
}

/** A row with everything that verification compares with the leaf and with the payload. */
export type VerifiedRow = LogRow & {
  readonly salt: Uint8Array
  readonly event_type: string
  readonly actor_kind: string
  readonly actor_id: string | null
  readonly actor_username: string | null
  readonly resource_type: string | null
  readonly resource_id: string | null
  readonly run_id: string | null
  readonly success: number
}

/** The rows of a shard in log order from `from` on, with what verification compares. */
export async function listLogRows(tx: Tx, shard: number, from: number, limit: number): Promise<VerifiedRow[]> {
  return tx.sql(
    `select ${INDEX} as log_index, e.id, e.timestamp, e.event, e.actor_number, e.resource_number, e.entry, e.salt, e.event_type,
            e.actor_kind, e.actor_id, e.actor_username, e.resource_type, e.resource_id, e.run_id, e.success, ${ERASED}
     from ${PLACES} ${ERASURE}
     where b.project_id = ?1 and b.shard = ?2 and b.log_index >= ${APPEND_OF_ENTRY} and b.log_index < ?3 + ?4 and ${INDEX} >= ?3
     order by b.log_index, e.place limit ?4`,
    [tx.project, shard, from, limit],
  )
}

/**
 * In one snapshot: rows that have a place in this shard, the size that the log's row records, and events that are of no
 * append. The first two differ, and the last is not zero, only after somebody changed a table by hand.
 */
export async function countLogRows(
  tx: Tx,
  shard: number,
): Promise<{ placed: number; recorded: number; orphans: number }> {
  const rows = await tx.sql<{ placed: number; recorded: number; orphans: number }>(
    `select (select count(*) from ${PLACES} where b.project_id = ?1 and b.shard = ?2 and b.log_index is not null) as placed,
            (select size from logs where project_id = ?1 and shard = ?2) as recorded,
            (select count(*) from audit_events e where e.project_id = ?1
              and not exists (select 1 from audit_appends b where b.project_id = e.project_id and b.seq = e.append
                and e.place < b.entries and e.id >= b.first_id and e.id <= b.last_id)) as orphans`,
    [tx.project, shard],
  )
  return { placed: Number(rows[0]!.placed), recorded: Number(rows[0]!.recorded), orphans: Number(rows[0]!.orphans) }
}

// ---- the sequencer, outside the fences

export async function listOpenLogs(tx: Tx): Promise<Log[]> {
  return tx.sql('select * from logs where closed_at is null order by project_id')
}

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
export async function listPlacedRows(
  tx: Tx,
  log: Pick<Log, 'project_id' | 'shard'>,
  from: number,
  limit: number,
): Promise<LogRow[]> {
  return tx.sql(
    `select ${INDEX} as log_index, e.id, e.timestamp, e.event, e.actor_number, e.resource_number, e.entry, ${ERASED}
     from ${PLACES} ${ERASURE}
     where b.project_id = ?1 and b.shard = ?2 and b.log_index >= ${APPEND_OF_ENTRY} and b.log_index < ?3 + ?4 and ${INDEX} >= ?3
     order by b.log_index, e.place`,
    [log.project_id, log.shard, from, limit],
  )
}

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
export interface RecordedRow {
  readonly log_index: number
  readonly entry: Uint8Array
  readonly event: string
  readonly salt: Uint8Array
}

/** The newest `project.checkpoint` of a project among the first `below` entries of a shard of the instance log. */
export async function findRecorded(
  tx: Tx,
  instance: Pick<Log, 'project_id' | 'shard'>,
  project: string,
  below: number,
): Promise<RecordedRow | undefined> {
  const rows = await tx.sql<RecordedRow>(
    `select ${INDEX} as log_index, e.entry, e.event, e.salt
     from ${EVENTS_PLACED}
     where e.project_id = ?1 and e.resource_type = 'log' and e.resource_id = ?3 and b.shard = ?2
       and e.event_type = 'project.checkpoint'
       and ${INDEX} < ?4
     order by e.id desc limit 1`,
    [instance.project_id, instance.shard, project, below],
  )
  return rows[0]
}

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

/** Ends a log at the entries that the restored database knows. Nothing is ever signed under its origin again. */
export async function closeLog(
  tx: Tx,
  log: Pick<Log, 'project_id' | 'shard'>,
  end: { size: number; now: number },
): Promise<void> {
  await tx.sql('update logs set size = ?3, closed_at = ?4 where project_id = ?1 and shard = ?2 and closed_at is null', [
    log.project_id,
    log.shard,
    end.size,
    end.now,
  ])
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

export async function setRecordedSize(tx: Tx, log: Pick<Log, 'project_id' | 'shard'>, size: number): Promise<void> {
  await tx.sql('update logs set recorded_size = ?3 where project_id = ?1 and shard = ?2', [
    log.project_id,
    log.shard,
    size,
  ])
}

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
