import { append } from '../../audit/index.ts'
import type { Caller } from '../../identity/index.ts'
import type { Tx } from '../../platform/db/index.ts'

/** Who disabled a handler in a project, when and why. */
export interface Disabled {
  readonly at: number
  readonly by: string | null
  readonly reason: string | null
}

/** What a row says of it; null of a handler that is enabled, or was disabled before that was kept. */
export const disabledOf = (row: {
  readonly disabled_at: number | null
  readonly disabled_by_id: string | null
  readonly disabled_reason: string | null
}): Disabled | null =>
  row.disabled_at === null ? null : { at: Number(row.disabled_at), by: row.disabled_by_id, reason: row.disabled_reason }

/** Says in the log that a handler was enabled, or disabled, which may be with a reason. */
export const noteSwitch = (
  tx: Tx,
  caller: Caller,
  name: string,
  enabled: boolean,
  reason: string | undefined,
): Promise<void> =>
  append(tx, caller.at, caller, {
    type: enabled ? 'handler.enabled' : 'handler.disabled',
    action: `${enabled ? 'Enabled' : 'Disabled'} handler: ${name}`,
    details: { handler: name, ...(enabled || reason === undefined ? {} : { reason }) },
  })
