import { type Caller, personOf, seesAll } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import type { Tx } from '../../platform/db/index.ts'
import { missingTask } from '../../runs/index.ts'
import type { Ref } from '../../tickets/index.ts'
import * as store from './store.ts'

// Who may see which tasks: ops, auditors and admins every one of the project, others those that they dispatched.

/** Whose tasks the caller sees; undefined: everybody's. */
export const mine = (caller: Caller) => (seesAll(caller) ? undefined : personOf(caller))

/** Throws TASK_NOT_FOUND, TASK_DROPPED, TASK_VIEW_DENIED. */
export async function see(tx: Tx, caller: Caller, ref: Ref): Promise<store.TaskRow> {
  const row = await store.findTask(tx, ref)
  if (!row) throw await missingTask(tx, ref, 'TASK_NOT_FOUND')
  if (!seesAll(caller) && row.executed_by_id !== personOf(caller)) throw new AppError('TASK_VIEW_DENIED')
  return row
}
