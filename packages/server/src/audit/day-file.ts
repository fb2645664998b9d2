import { withHiddenShown } from '@writ/api/hidden'
import { OVERWRITTEN } from './event-line.ts'

/** What a day file needs of an event: its line as stored, and the numbers that people read. */
export interface DayEvent {
  readonly timestamp: number
  readonly event: string
  readonly actor_number: number | null
  readonly resource_number: number | null
  /** For an erased payload, whose `event` is empty: the place of the payload.erased, null until it has one. */
  readonly erased_index?: number | null
  /** The log of the event, and that of the payload.erased. */
  readonly shard?: number | null
  readonly erased_shard?: number | null
}

/** Where it is said that a payload was erased: each log counts from 0, so the number of another log comes with that log. */
export function placeOfErasure({
  shard,
  erased_index,
  erased_shard,
}: Pick<DayEvent, 'shard' | 'erased_index' | 'erased_shard'>): string | null {
  if (erased_index == null) return null
  const isElsewhere = shard != null && erased_shard != null && erased_shard !== shard
  return isElsewhere ? `${erased_shard}/${erased_index}` : `${erased_index}`
}

/** What stands where a payload was erased. As a JSON text in the one file, so that its readers go on; bare in the other. */
const erasedText = (row: DayEvent): string => `[erased, see ${placeOfErasure(row) ?? 'the log'}]`

/** As both files had it before the other log was named: files of then stay as they are. */
export const earlierErasedLines = (row: DayEvent): { jsonl: string; readable: string } => {
  const readable = `[erased, see ${row.erased_index ?? 'the log'}]`
  return { jsonl: JSON.stringify(readable), readable }
}

/** True for an event whose payload is not there any more. */
export const isErased = (row: Pick<DayEvent, 'event'>): boolean => row.event === ''

/** One line for machines: the payload as it was committed to. None that was written over makes two lines of one. */
export function jsonlLine(row: DayEvent): string {
  if (isErased(row)) return JSON.stringify(erasedText(row))
  return row.event.includes('\n') ? JSON.stringify(OVERWRITTEN) : row.event
}

/** UTC day of an event, as its files are named. */
export function dayOf(timestamp: number): string {
  const day = Math.floor(timestamp / DAY_MS)
  if (day !== known.day) known = { day, name: new Date(timestamp).toISOString().slice(0, 10) }
  return known.name
}
const DAY_MS = 86_400_000
let known = { day: Number.NaN, name: '' }

export const jsonlName = (day: string): string => `audit_${day}.jsonl`
export const readableName = (day: string): string => `audit_readable_${day}.txt`

/**
 * One line for people: `timestamp|event|actor(number)|type:number|SUCCESS|action`. Whatever people typed is escaped, so
 * no title or file name can forge a field or a line.
 */
export const readableLine = (row: DayEvent): string => lineWith(escapeField, row)

/** As it was written before hidden characters were escaped: files of then stay as they are, and are still what their rows say. */
export const earlierReadableLine = (row: DayEvent): string => lineWith(escapeEarlier, row)

function lineWith(escaped: (text: string) => string, row: DayEvent): string {
  if (isErased(row)) return erasedText(row)
  const e = fieldsOf(row.event)
  if (e === null) return OVERWRITTEN
  const actor = e.actor_username === null ? 'system' : `${e.actor_username}(${row.actor_number ?? e.actor_id ?? '?'})`
  const resource = e.resource_type === null ? 'none' : `${e.resource_type}:${row.resource_number ?? e.resource_id}`
  return [e.timestamp, e.event_type, actor, resource, e.success ? 'SUCCESS' : 'FAILED', e.action]
    .map((field) => escaped(String(field)))
    .join('|')
}

/**
 * The fields of a payload that people read; what stands between, the details and who asked from where, is most of it. Within a text
 * every quote has a backslash before it, so a comma and a bare quote are the end of a field. Null of what is no payload.
 */
function fieldsOf(event: string): Record<string, string | boolean | null> | null {
  const from = event.indexOf(',"details":')
  const to = event.lastIndexOf(',"success":')
  // Written in another order: read as whatever JSON it is.
  const shown = from < 0 || to < from ? event : event.slice(0, from) + event.slice(to)
  try {
    return Object(JSON.parse(shown))
  } catch {
    return null
  }
}

const UNSAFE = /[\\|\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

const escapeField = (text: string): string =>
  withHiddenShown(escapeEarlier(text), (one) => {
    const code = one.codePointAt(0)!.toString(16)
    return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, '0')}`
  })

function escapeEarlier(text: string): string {
  return text.replace(UNSAFE, (c) => {
    if (c === '\\' || c === '|') return `\\${c}`
    if (c === '\n') return '\\n'
    if (c === '\r') return '\\r'
    return c === '\t' ? '\\t' : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
