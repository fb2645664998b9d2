import { thrownText } from '@writ/api/thrown'
import { AppError } from '../../platform/app-error.ts'
import { BlobStoreUnavailable, type Blobs } from '../../platform/blobs/index.ts'
import type { Clock } from '../../platform/clock.ts'
import { type Database, DatabaseConflict, DatabaseUnavailable } from '../../platform/db/index.ts'
import { redactor } from '../../platform/redact/index.ts'
import { storable } from '../../platform/storable.ts'
import type { Lease } from '../../queue/index.ts'
import { faultsOf, type Handler, TaskError } from './handler.ts'
import { INLINE_BYTES, keepJson } from './payload.ts'
import { backoffMs } from './retry.ts'
import type { Payloads } from './sealed.ts'
import type { Attempted, End, Ending } from './settle.ts'
import type { WorkRow } from './store.ts'

// How an attempt ends, wherever it was made: in this server, or by a worker that tells it.

const MAX_RESULT_BYTES = 1024 * 1024
const MAX_ERROR_CHARS = 2_000
const LONGEST_WAIT_MS = 86_400_000

/** Failures that no other try can mend. */
const noRetry: ReadonlySet<string> = new Set(['DELIVERIES_EXHAUSTED', 'HANDLER_GONE'])

export const ended = (state: Ending['state'], errorCode: string, error: string): Ending => ({
  state,
  result: null,
  outputSha256: null,
  errorCode,
  error,
})

/** `code` of the handler's own; the message is redacted here. Whatever is thrown can be kept. */
export const failedWith = (code: string, message: string): Ending =>
  ended('failed', storable(code.slice(0, 100)), redactor.text(storable(message.slice(0, MAX_ERROR_CHARS))))

/** How an attempt ends that threw. */
export function failureOf(error: unknown): Ending {
  const code = error instanceof TaskError || error instanceof AppError ? error.code : 'TASK_FAILED'
  return failedWith(code, code === 'TASK_FAILED' ? thrownText(error) : (error as Error).message)
}

/** That the database or the store of bytes cannot be used now: for the record of an intent, a large input, a step, a large result. */
export const isAway = (error: unknown): boolean =>
  error instanceof DatabaseUnavailable || error instanceof DatabaseConflict || error instanceof BlobStoreUnavailable

export const TIMED_OUT = ended('timeout', 'TASK_TIMEOUT', 'The attempt took longer than it may')
export const PAST_DEADLINE = ended('timeout', 'DEADLINE_EXCEEDED', 'The deadline passed while it ran')

/** What ends a task before its handler is called. */
export function refusalOf(row: WorkRow, lease: Lease, on: { now: number; maxLost: number }): Ending | undefined {
  if (row.cancel_requested_at !== null) return ended('cancelled', 'CANCELLED', 'Cancelled before it began')
  if (row.deadline_at !== null && row.deadline_at <= on.now)
    return ended('timeout', 'DEADLINE_EXCEEDED', 'The deadline passed before it began')
  if (lease.attempt - 1 - lease.failures > on.maxLost)
    return ended('failed', 'DELIVERIES_EXHAUSTED', 'Its workers were lost too often')
  return undefined
}

/** Why JSON from elsewhere is no result: at `path`, such as `.order.id`, a number stands that would be kept as another. */
export const resultAltered = (path: string, code = 'RESULT_INVALID'): TaskError =>
  new TaskError(code, `The number at result${path} would not keep all its digits: it goes into text, in quotes`, {
    retryable: false,
  })

/** Throws TaskError: RESULT_INVALID, RESULT_TOO_LARGE. Stores a large result. */
export async function resultOf(
  on: { db: Database; blobs: Blobs; clock: Clock; payloads: Payloads },
  handler: Pick<Handler, 'output'>,
  project: string,
  value: unknown,
): Promise<Ending> {
  // Undefined is what a function without an answer answers.
  const written = JSON.stringify(value ?? null) as string | undefined
  if (written === undefined) throw new TaskError('RESULT_INVALID', 'The result is not JSON', { retryable: false })
  const [fault] = faultsOf(handler.output, value ?? null, 'result')
  if (fault)
    throw new TaskError('RESULT_INVALID', `The result does not fit: ${fault.path} ${fault.message}`, {
      retryable: false,
    })
  const { shown: text, sha256: outputSha256, sealed: resultSealed } = on.payloads.hide(project, written)
  const ending = { state: 'completed', errorCode: null, error: null, outputSha256, resultSealed } as const
  if (text.length <= INLINE_BYTES) return { ...ending, result: text }
  const bytes = Buffer.from(text)
  if (bytes.length > MAX_RESULT_BYTES)
    throw new TaskError('RESULT_TOO_LARGE', `The result has ${bytes.length} bytes; at most ${MAX_RESULT_BYTES}`, {
      retryable: false,
    })
  await keepJson(on, project, { bytes, sha256: outputSha256 })
  return { ...ending, result: null }
}

/** Whether an attempt that ended so comes again, or the task is settled. `final`: whoever failed knows that no other try can help. */
export function endOf(
  work: {
    lease: Lease
    row: WorkRow
    ending: Ending
    attempt: Attempted
    final: boolean
    /** The next attempt waits at least so long; at most a day. */
    retryAfterMs?: number
  },
  random: () => number,
): End {
  const { lease, row, ending, attempt, final } = work
  const failures = lease.failures + 1
  const retryable =
    ending.state === 'failed' ? !final && !noRetry.has(ending.errorCode ?? '') : ending.errorCode === 'TASK_TIMEOUT'
  if (retryable && failures < row.max_attempts) {
    const wait = Math.min(work.retryAfterMs ?? 0, LONGEST_WAIT_MS)
    const runAt = attempt.endedAt + Math.max(wait, backoffMs(failures, random))
    if (row.deadline_at === null || runAt < row.deadline_at)
      return { next: 'retry', lease, row, ending, attempt, runAt }
  }
  return { next: 'settle', lease, row, ending, attempt }
}
