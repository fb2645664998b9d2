import type { AuditEvent } from '@writ/api'

/** The line of an event: the twelve documented keys, as `append` writes them. */
export type EventLine = Omit<
  AuditEvent,
  'id' | 'shard' | 'log_index' | 'actor_number' | 'resource_number' | 'erased_index' | 'erased_shard'
>

/** Stands where somebody wrote something over the line of an event that is none: verification says which, and what was recorded. */
export const OVERWRITTEN = '[overwritten: not what was recorded, "writ audit verify" says more]'

/**
 * What the line of an event says. Null where it was erased, and where somebody wrote over it in the database what no line is: readers go
 * on behind it, or one row that was changed by hand would keep all others from whoever looks for it.
 */
export function readLine(event: string): EventLine | null {
  if (event === '') return null
  let value: unknown
  try {
    value = JSON.parse(event)
  } catch {
    return null
  }
  return isLine(value) ? value : null
}

function isLine(value: unknown): value is EventLine {
  if (typeof value !== 'object' || value === null) return false
  // Checked key by key.
  const line = value as Partial<Record<keyof EventLine, unknown>>
  const isText = (...fields: unknown[]) => fields.every((field) => typeof field === 'string')
  const isTextOrNull = (...fields: unknown[]) => fields.every((field) => field === null || typeof field === 'string')
  return (
    isText(line.event_type, line.timestamp, line.action) &&
    isTextOrNull(line.actor_id, line.actor_username, line.resource_type, line.resource_id) &&
    isTextOrNull(line.ip_address, line.user_agent, line.error_message) &&
    typeof line.details === 'object' &&
    typeof line.success === 'boolean'
  )
}
