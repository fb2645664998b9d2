import type { AuditEventType } from '@writ/api'
import type { Selectable } from 'kysely'
import { sql } from 'kysely'
import { countOf, inList, inOrderOf, inStretches, type ListPart, type Stretch, type Tx } from '../platform/db/index.ts'
import type { AuditEventsTable, LogsTable } from '../platform/db/tables.ts'
import { firstIdAt, timeOfId } from '../platform/ids.ts'
import type { DayEvent } from './day-file.ts'
import { APPEND_OF_ENTRY, ERASED, ERASURE, EVENTS_PLACED, INDEX, PLACES, placeIn } from './store-sql.ts'

// SQL of who reads the log. That of the sequencer is in store-logs.ts, that of erasure in store-erasure.ts.

export type Log = Selectable<LogsTable>
/** As the API lists events; `erased_index` in `erased_shard` is the place of the payload.erased that emptied it. */
export type EventRow = Selectable<AuditEventsTable> & {
  readonly shard: number | null
  readonly log_index: number | null
  readonly erased_by: string | null
  readonly erased_index: number | null
  readonly erased_shard: number | null
}
/** What the sequencer and the verifier need of an event. */
export type LogRow = DayEvent & {
  readonly shard: number
  readonly log_index: number
  readonly id: string
  readonly entry: Uint8Array
  readonly erased_by: string | null
  readonly erased_index: number | null
  readonly erased_shard: number | null
  readonly in_day_file: number | null
}

export interface EventFilter {
  readonly id?: string
  readonly event_type?: string
  /** Any of these. */
  readonly actor_ids?: readonly string[]
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

/** A part of them, behind the log of the number `after`. */
export const listLogsPart = (tx: Tx, part: ListPart): Promise<Log[]> =>
  tx.db
    .selectFrom('logs')
    .selectAll()
    .$call(inOrderOf('shard', 'asc', { ...part, after: part.after === undefined ? undefined : Number(part.after) }))
    .execute()

export const countLogs = (tx: Tx): Promise<number> => countOf(tx.db.selectFrom('logs'))

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
  const { limit, before } = page
  let skip = page.skip ?? 0
  const part = (within: Stretch, most: number) =>
    withPlaces(tx, filter, within)
      .orderBy('audit_events.id', 'desc')
      .limit(most)
      .$if(skip > 0, (q) => q.offset(skip))
      .execute()
  if (!isLookedThrough(tx, filter, skip)) return part({ below: before }, limit)
  const found: EventRow[] = []
  for await (const stretch of stretches(tx, 'desc', { from: firstOf(filter), below: before })) {
    const passed = skip === 0 ? 0 : await countOf(filtered(tx, filter, stretch))
    if (passed < skip) skip -= passed
    else {
      found.push(...(await part(stretch, limit - found.length)))
      skip = 0
    }
    if (found.length === limit) break
  }
  return found
}

/** As `listEvents`, oldest first: for exports, page by page. */
export async function listEventsForward(
  tx: Tx,
  filter: EventFilter,
  page: { limit: number; after?: string },
): Promise<EventRow[]> {
  const { limit, after } = page
  const part = (within: Stretch, most: number) =>
    withPlaces(tx, filter, within).orderBy('audit_events.id').limit(most).execute()
  if (!isLookedThrough(tx, filter)) return part({ above: after }, limit)
  const found: EventRow[] = []
  const behind: Stretch = after === undefined ? { from: firstOf(filter) } : { above: after }
  for await (const stretch of stretches(tx, 'asc', behind)) {
    found.push(...(await part(stretch, limit - found.length)))
    if (found.length === limit) break
  }
  return found
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

const listProvenBy = (tx: Tx, column: 'id' | 'resource_id', values: readonly string[]): Promise<ProvenEvent[]> =>
  tx.sql(
    `select e.id, b.shard, ${INDEX} as log_index, e.event_type, e.resource_id, e.event, e.salt, e.entry
     from ${EVENTS_PLACED}
     where e.project_id = ?1 and ${inList(tx, `e.${column}`, '?2')} and b.log_index is not null
     order by b.shard, ${INDEX}`,
    [tx.project, values],
  )

/** Every placed event about these things, in log order. */
export const listProvenEvents = (tx: Tx, resources: readonly string[]) => listProvenBy(tx, 'resource_id', resources)

/** As `listProvenEvents`, those with these ids: of what has as many as a project has recorded checkpoints. */
export const listProvenById = (tx: Tx, ids: readonly string[]) => listProvenBy(tx, 'id', ids)

/** The events of some types about a thing, oldest first, whether they have a place or not. `event` is empty where it was erased. */
export const listEventsAbout = (
  tx: Tx,
  resource: string,
  types: readonly AuditEventType[],
): Promise<{ event_type: string; event: string }[]> =>
  tx.sql(
    `select event_type, event from audit_events
     where project_id = ?1 and resource_id = ?2 and ${inList(tx, 'event_type', '?3')} order by append, place`,
    [tx.project, resource, types],
  )

/** The entries of every event about these things, whether they have a place or not. */
export async function listEntriesAbout(tx: Tx, resources: readonly string[]): Promise<Uint8Array[]> {
  const rows = await tx.sql<{ entry: Uint8Array }>(
    `select entry from audit_events where project_id = ?1 and ${inList(tx, 'resource_id', '?2')}`,
    [tx.project, resources],
  )
  return rows.map(({ entry }) => entry)
}

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

/** Below zero where `a` comes before `b`, above it where it comes after. */
export const comparePositions = (a: Position, b: Position): number => a.shard - b.shard || a.index - b.index

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

/** What was appended together, and where it was placed. */
export interface Append {
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
function eventsOf(project: string, appends: readonly Append[]): [string, string, string, number[]] {
  const first = appends.reduce((least, { first_id }) => (first_id < least ? first_id : least), appends[0]!.first_id)
  const last = appends.reduce((most, { last_id }) => (last_id > most ? last_id : most), '')
  return [project, first, last, appends.map((append) => append.seq)]
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
    eventsOf(tx.project, read),
  )
  const bySeq = new Map(read.map((append) => [append.seq, append]))
  return rows
    .map(({ append, place, ...event }) => {
      const { shard, log_index } = bySeq.get(append)!
      return { ...event, position: { shard, index: log_index + place } }
    })
    .filter(({ position }) => comparePositions(position, after) > 0)
    .sort((a, b) => comparePositions(a.position, b.position))
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
          [...eventsOf(tx.project, telling), [...RUN_ENDS]],
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

/** When the first of the events behind a place was made, those that wait for theirs included, in milliseconds; Infinity if there is none. */
export async function oldestBehind(tx: Tx, after: Position): Promise<number> {
  const placed = await listAppendsBehind(tx, after, 1)
  const waiting = await tx.sql<Pick<Append, 'first_id'>>(
    'select first_id from audit_appends where project_id = ?1 and log_index is null order by seq limit 1',
    [tx.project],
  )
  return Math.min(...[...placed, ...waiting].map(({ first_id }) => timeOfId(first_id)))
}

/** The last place that was given in this project; before the first one if there is none. */
export async function endOfLog(tx: Tx): Promise<Position> {
  const log = await findOpenLog(tx)
  return log === undefined ? { shard: -1, index: -1 } : { shard: log.shard, index: log.size - 1 }
}

/** Events by their ids, of whatever month. */
export async function findPlacedEvents(tx: Tx, ids: readonly string[]): Promise<Map<string, PlacedEvent>> {
  if (ids.length === 0) return new Map()
  const sorted = ids.toSorted()
  // The bounds let months be left out.
  const rows = await tx.sql<PlacedRow>(
    `select ${placedColumns}
     from ${EVENTS_PLACED}
     where e.project_id = ?1 and ${inList(tx, 'e.id', '?2')} and e.id >= ?3 and e.id <= ?4`,
    [tx.project, ids, sorted[0]!, sorted.at(-1)!],
  )
  return new Map(rows.map(placed).map((event) => [event.id, event]))
}

export async function countEvents(tx: Tx, filter: EventFilter): Promise<number> {
  if (Object.values(filter).every((value) => value === undefined)) {
    // A log knows how long it is. Of one that was dropped the rows go piece by piece.
    const [all] = await tx.sql<{ n: number; dropping: number }>(
      `select coalesce(sum(case when dropped_at is null then size else 0 end), 0)
         + (select coalesce(sum(entries), 0) from audit_appends where project_id = ?1 and log_index is null) as n,
         coalesce(sum(case when dropped_at is not null and files_gone_at is null then 1 else 0 end), 0) as dropping
       from logs where project_id = ?1`,
      [tx.project],
    )
    if (Number(all!.dropping) === 0) return Number(all!.n)
  }
  if (!isLookedThrough(tx, filter)) return countOf(filtered(tx, filter))
  let count = 0
  for await (const stretch of stretches(tx, 'desc', { from: firstOf(filter) }))
    count += await countOf(filtered(tx, filter, stretch))
  return count
}

/**
 * What no index answers alone is looked for in all events. On SQLite that is done in the thread that answers everybody: two seconds of a
 * million events, in which nobody else would be heard.
 */
function isLookedThrough(tx: Tx, { id, resource, ...filter }: EventFilter, skip = 0): boolean {
  if (tx.dialect !== 'sqlite' || id !== undefined) return false
  // What was done to one thing, of which there is not much.
  if (resource !== undefined) return numberOf(resource) !== undefined
  const asked = Object.values(filter).filter((value) => value !== undefined).length
  // Completed runs, of which there are most, are not in the index of types.
  const isOfType = filter.event_type !== undefined && filter.event_type !== 'run.completed'
  const isIndexed = isOfType || filter.actor_ids?.length === 1
  return skip > 0 || asked > 1 || (asked === 1 && !isIndexed)
}

const numberOf = (resource: string | number): number | undefined =>
  /^\d+$/.test(String(resource)) ? Number(resource) : undefined

/** No event of a time has a sooner id: a clock that is set back makes ids later than it. */
const firstOf = ({ since }: EventFilter): string | undefined => (since === undefined ? undefined : firstIdAt(since))

/** A part of the log in stretches, between which others are heard. */
const stretches = (tx: Tx, order: 'asc' | 'desc', whole: Stretch): AsyncGenerator<Stretch> =>
  inStretches(whole, order, async (part, before) => {
    const ids = filtered(tx, {}, part).select('audit_events.id').orderBy('audit_events.id', order)
    return (await ids.offset(before).limit(1).executeTakeFirst())?.id
  })

/** With their places in the log, and what was erased by which event. */
const withPlaces = (tx: Tx, filter: EventFilter, stretch: Stretch) =>
  filtered(tx, filter, stretch)
    .selectAll('audit_events')
    .leftJoin('audit_appends', 'audit_appends.seq', 'audit_events.append')
    .leftJoin('erasures', 'erasures.event_id', 'audit_events.id')
    .leftJoin('audit_events as erasing', 'erasing.id', 'erasures.erased_by')
    .leftJoin('audit_appends as erased', 'erased.seq', 'erasing.append')
    .select([
      'audit_appends.shard',
      placeIn('audit_appends', 'audit_events').as('log_index'),
      'erasures.erased_by',
      'erased.shard as erased_shard',
      placeIn('erased', 'erasing').as('erased_index'),
    ])

function filtered(tx: Tx, f: EventFilter, { from, above, below }: Stretch = {}) {
  return (
    tx.db
      .selectFrom('audit_events')
      .$if(from !== undefined, (q) => q.where('audit_events.id', '>=', from!))
      .$if(above !== undefined, (q) => q.where('audit_events.id', '>', above!))
      .$if(below !== undefined, (q) => q.where('audit_events.id', '<', below!))
      .$if(f.id !== undefined, (q) => q.where('audit_events.id', '=', f.id!))
      .$if(f.event_type !== undefined, (q) => q.where('audit_events.event_type', '=', f.event_type!))
      // As the index says it: completed runs, of which there are most, are not in it.
      .$if(f.event_type !== undefined && f.event_type !== 'run.completed', (q) =>
        q.where(sql<boolean>`audit_events.event_type <> 'run.completed'`),
      )
      .$if(f.actor_ids?.length === 1, (q) => q.where('audit_events.actor_id', '=', f.actor_ids![0]!))
      // By the index alone: of several actors SQLite would look through all events for the few of somebody who did little.
      .$if((f.actor_ids?.length ?? 0) > 1, (q) =>
        q.where('audit_events.id', 'in', (inner) =>
          inner
            .selectFrom('audit_events as acted')
            .select('acted.id')
            .where('acted.actor_id', 'in', f.actor_ids!)
            .$if(from !== undefined, (acted) => acted.where('acted.id', '>=', from!))
            .$if(above !== undefined, (acted) => acted.where('acted.id', '>', above!))
            .$if(below !== undefined, (acted) => acted.where('acted.id', '<', below!)),
        ),
      )
      .$if(f.resource_type !== undefined, (q) => q.where('audit_events.resource_type', '=', f.resource_type!))
      .$if(f.resource !== undefined, (q) => {
        const number = numberOf(f.resource!)
        return number === undefined
          ? q.where('audit_events.resource_id', '=', String(f.resource))
          : q.where('audit_events.resource_number', '=', number)
      })
      .$if(f.since !== undefined, (q) => q.where('audit_events.timestamp', '>=', f.since!))
      // By it months are left out.
      .$if(f.since !== undefined, (q) => q.where('audit_events.id', '>=', firstOf(f)!))
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
  const columns = `e.timestamp, e.event, e.actor_number, e.resource_number, e.entry, e.salt, e.event_type, e.actor_kind, e.actor_id,
    e.actor_username, e.resource_type, e.resource_id, e.run_id, e.success, ${ERASED}`
  const rows = await listRowsFrom<VerifiedRow>(tx, { project_id: tx.project, shard }, { from, limit, columns })
  return rows.slice(0, limit)
}

/**
 * The rows of a log in its order, from an entry on: of every append that begins within `limit` entries, to its end. An event that is
 * not between the first and the last of its append is none of it. Their appends first, as `EVENTS_OF` says.
 */
export async function listRowsFrom<Row extends { readonly id: string; readonly log_index: number }>(
  tx: Tx,
  { project_id, shard }: Pick<Log, 'project_id' | 'shard'>,
  { from, limit, columns }: { from: number; limit: number; columns: string },
): Promise<Row[]> {
  const appends = await tx.sql<Append>(
    `select seq, first_id, last_id, entries, shard, log_index, ends from audit_appends
     where project_id = ?1 and shard = ?2 and log_index >= ${APPEND_OF_ENTRY} and log_index < ?3 + ?4`,
    [project_id, shard, from, limit],
  )
  const rows = await listRowsOf<Row>(tx, project_id, appends, columns)
  return rows.filter((row) => row.log_index >= from)
}

/** The rows of appends, in their order. */
export async function listRowsOf<Row extends { readonly id: string; readonly log_index: number }>(
  tx: Tx,
  project_id: string,
  appends: readonly Append[],
  columns: string,
): Promise<(Row & { readonly shard: number })[]> {
  if (appends.length === 0) return []
  const rows = await tx.sql<Omit<Row, 'log_index'> & { id: string; append: number; place: number }>(
    `select e.append, e.place, e.id, ${columns} from audit_events e ${ERASURE} where ${EVENTS_OF(tx)}`,
    eventsOf(project_id, appends),
  )
  const bySeq = new Map(appends.map((append) => [append.seq, append]))
  return rows
    .flatMap(({ append, place, ...row }) => {
      const { first_id, last_id, shard, log_index } = bySeq.get(append)!
      // What is left is the row that the caller's columns make.
      const found = { ...row, shard, log_index: log_index + place } as unknown as Row & { shard: number }
      return row.id < first_id || row.id > last_id ? [] : [found]
    })
    .sort((a, b) => a.shard - b.shard || a.log_index - b.log_index)
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
