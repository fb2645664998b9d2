import { type Event, eventTypeOf } from '@writ/api'
import { OVERWRITTEN, type PlacedEvent, type Position, readLine } from '../audit/index.ts'
import { rfc3339 } from '../platform/clock.ts'

/**
 * A place in a project's log as text that sorts like the log: shard, dash, index. `0` is before the first event; only the
 * first shard is ever empty, a later one begins with the event that opened it.
 */
export const sequenceOf = ({ shard, index }: Position): string =>
  index < 0 ? '0' : `${String(shard).padStart(5, '0')}-${String(index).padStart(12, '0')}`

/** The place that a sequence names; `0` is before the first. Undefined for anything else. */
export function positionOf(sequence: string): Position | undefined {
  if (sequence === '0') return { shard: -1, index: -1 }
  const match = /^(\d{5})-(\d{12})$/.exec(sequence)
  return match ? { shard: Number(match[1]), index: Number(match[2]) } : undefined
}

/** Whether one of the patterns (`*`, `run.*`, `run.completed`) covers a type. */
export const covers = (patterns: readonly string[], type: string): boolean =>
  patterns.some((one) => one === '*' || one === type || (one.endsWith('.*') && type.startsWith(one.slice(0, -1))))

/**
 * An event of the log as the world outside gets it, everywhere in this one form: CloudEvents 1.0, structured, JSON. The
 * address and the browser of whoever acted stay inside.
 */
export function showEvent(row: PlacedEvent, from: { readonly source: string }): Event {
  // Of one that was erased, or written over, nothing is left to say but that.
  const line = readLine(row.event) ?? {
    action: row.event === '' ? '[erased]' : OVERWRITTEN,
    details: null,
    error_message: null,
  }
  return {
    specversion: '1.0',
    id: row.id,
    source: from.source,
    type: eventTypeOf(row.event_type),
    ...(row.resource_id === null ? {} : { subject: row.resource_id }),
    time: rfc3339(row.timestamp),
    datacontenttype: 'application/json',
    ...(row.position === null ? {} : { sequence: sequenceOf(row.position) }),
    data: {
      event_type: row.event_type,
      action: line.action,
      resource_type: row.resource_type,
      resource_id: row.resource_id,
      resource_number: row.resource_number,
      run_id: row.run_id,
      actor_kind: row.actor_kind,
      actor_id: row.actor_id,
      actor_number: row.actor_number,
      actor_username: row.actor_username,
      success: row.success === 1,
      error_message: line.error_message,
      details: line.details,
    },
  }
}
