import { sql } from 'kysely'

// Parts that statements over the log share.

// What is known of an erased payload: who emptied the row (a payload.erased), and the log and place of that.
export const ERASED = 'r.erased_by, r.in_day_file, j.log_index + x.place as erased_index, j.shard as erased_shard'
export const ERASURE = `left join erasures r on r.project_id = e.project_id and r.event_id = e.id
     left join audit_events x on x.project_id = r.project_id and x.id = r.erased_by
     left join audit_appends j on j.project_id = x.project_id and j.seq = x.append`

// From an event to its place, and from places to the events there: what was appended together was placed together, so a
// append has the place of its first event. The bounds find its events by their key.
export const EVENTS_PLACED = 'audit_events e join audit_appends b on b.project_id = e.project_id and b.seq = e.append'
export const PLACES = `audit_appends b join audit_events e
     on e.project_id = b.project_id and e.id >= b.first_id and e.id <= b.last_id and e.append = b.seq`
export const INDEX = 'b.log_index + e.place'
/**
 * The first entry of the append that has the entry ?3 of the log ?1, ?2; null where that log has none. Nothing but a bare subquery:
 * inside `coalesce` or `max` row-level security keeps PostgreSQL from using the index, and each look reads the whole log.
 */
export const APPEND_OF_ENTRY = `(select c.log_index from audit_appends c
     where c.project_id = ?1 and c.shard = ?2 and c.log_index <= ?3 order by c.log_index desc limit 1)`

export const placeIn = (append: string, event: string) =>
  sql<number | null>`${sql.ref(`${append}.log_index`)} + ${sql.ref(`${event}.place`)}`
