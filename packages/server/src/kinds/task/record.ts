import { AppError } from '../../platform/app-error.ts'
import type { Tx } from '../../platform/db/index.ts'
import { missingTask } from '../../runs/index.ts'
import type { Ref } from '../../tickets/index.ts'
import { journalText, triedOf } from './journal.ts'
import * as store from './store.ts'
import { type CostRow, listCosts } from './store-cost.ts'

/** What is kept of a task that has ended, as its journal names it. */
export interface TaskRecord {
  readonly id: string
  readonly number: number
  /** The text whose digest the leaf of its end commits to. */
  readonly journal: string
  readonly input: KeptText | null
  readonly result: KeptText | null
}

/** A JSON text that is stored in the open; null where it is a blob under its digest. */
interface KeptText {
  readonly text: string | null
  readonly sha256: string
}

/** Throws TASK_NOT_FOUND, TASK_DROPPED, and TASK_NOT_SETTLED while it has not ended. */
export async function loadTaskRecord(tx: Tx, ref: Ref): Promise<TaskRecord> {
  const row = await store.findTask(tx, ref)
  if (!row) throw await missingTask(tx, ref, 'TASK_NOT_FOUND')
  if (row.completed_at === null) throw new AppError('TASK_NOT_SETTLED')
  const kept = await store.listAttempts(tx, [row.id])
  const journal = journalOfRows({ ...row, completed_at: row.completed_at }, kept, await listCosts(tx, [row.id]))
  const keptText = (text: string | null, sha256: string | null) => (sha256 === null ? null : { text, sha256 })
  return {
    id: row.id,
    number: row.number,
    journal,
    input: keptText(row.input, row.input_sha256),
    result: keptText(row.result, row.output_sha256),
  }
}

/** The journal of a task that has ended, from what is stored: the text whose digest was in its leaf. */
export function journalOfRows(
  row: store.TaskRow & { readonly completed_at: number },
  kept: readonly store.AttemptRow[],
  costs: readonly CostRow[],
): string {
  // A task that went well at once has no row of its attempt: the task's own says all of it. One that a worker had, and that was stopped
  // before it began, made no attempt.
  const only = { ...row, outcome: row.state, ended_at: row.completed_at }
  const begun = row.attempt === 1 && row.worker !== null && row.started_at !== null
  const attempts = begun && kept.length === 0 ? [only] : kept
  return journalText({
    run: row.id,
    handler: row.handler,
    queue: row.queue,
    askedBy: row.executed_by_id,
    acceptedAt: row.created_at,
    inputSha256: row.input_sha256,
    attempts: attempts.map(triedOf),
    costs,
    state: row.state,
    errorCode: row.error_code,
    outputSha256: row.output_sha256,
    settledAt: row.completed_at,
  })
}
