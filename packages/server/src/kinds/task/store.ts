import type { Selectable } from 'kysely'
import type { RunsTable } from '../../platform/db/tables.ts'

/** A task with what its lease says of it. */
export type TaskRow = Selectable<RunsTable> & {
  readonly queue: string
  readonly priority: number
  readonly run_at: number
  readonly max_attempts: number
  readonly timeout_ms: number
  readonly executed_by_username: string | null
  /** Of the queue's entry; null without one. */
  readonly lease_until: number | null
  readonly claimed_at: number | null
  readonly deliveries: number | null
}
