import { type Actor, type Appended, appendAll, SYSTEM } from '../../audit/index.ts'
import type { Command, Tx } from '../../platform/db/index.ts'
import type { Lease, Queue } from '../../queue/index.ts'
import { requireMove, settledEvent } from '../../runs/index.ts'
import { type Journal, journalDigest } from './journal.ts'
import * as store from './store.ts'

/** How a task ends. Texts are redacted already. */
export interface Ending {
  readonly state: 'completed' | 'failed' | 'timeout' | 'cancelled'
  /** JSON text; null when it is in the blob store under its digest, or when there is none. */
  readonly result: string | null
  readonly outputSha256: string | null
  /** The exact result, where what stands in the open is redacted. */
  readonly resultSealed?: string | null
  readonly errorCode: string | null
  readonly error: string | null
}

/** One attempt as the worker saw it. */
export interface Attempted {
  readonly worker: string | null
  readonly startedAt: number | null
  readonly endedAt: number
  /** The newest lines of the work's log; null when it wrote none. */
  readonly log: string | null
  /** Events of the run that are in the log already: its own and this attempt's. */
  readonly events: number
  /** Steps that this attempt asked for. */
  readonly steps: number
}

/** What becomes of work under a lease. `ending` with `runAt` says how it failed before it comes again. */
export type End =
  | {
      readonly next: 'settle'
      readonly lease: Lease
      readonly row: store.WorkRow
      readonly ending: Ending
      readonly attempt: Attempted
    }
  | {
      readonly next: 'retry'
      readonly lease: Lease
      readonly row: store.WorkRow
      readonly ending: Ending
      readonly attempt: Attempted
      readonly runAt: number
    }
  | { readonly next: 'back'; readonly lease: Lease; readonly row: store.WorkRow }

/**
 * Settles what workers did, however many at once, in one transaction: queue, runs, attempts, keys, and one leaf for each
 * task that ended. Answers for each whether its lease still held; where it did not, nothing of it was written.
 *
 * Stopped before the commit: the leases run out and the work is done again. Stopped after it: all is settled.
 */
export const settleTasks = (queue: Queue, now: () => number): Command<readonly End[], readonly boolean[]> => ({
  name: 'settleTasks',
  apart: true,
  async run(tx, inputs) {
    const ends = inputs.flat()
    const held = await queue.settle(
      tx,
      ends.map((end) => {
        const { runId, fence } = end.lease
        if (end.next === 'settle') return { runId, fence, next: 'done' }
        return end.next === 'retry'
          ? { runId, fence, next: 'retry', runAt: end.runAt }
          : { runId, fence, next: 'back', runAt: now() }
      }),
    )
    const mine = ends.filter((_, i) => held[i])
    await Promise.all([
      finish(
        tx,
        mine
          .filter((end) => end.next === 'settle')
          .map((end) => ({ ...end, by: SYSTEM, attemptNumber: end.lease.attempt })),
      ),
      postpone(
        tx,
        mine.filter((end) => end.next === 'retry'),
      ),
    ])
    let taken = 0
    return inputs.map((input) => {
      taken += input.length
      return held.slice(taken - input.length, taken)
    })
  },
})

/** Settles tasks that nobody holds: cancelled or out of time while they waited. Answers the rows that were there to settle. */
export async function settleWaiting(
  tx: Tx,
  queue: Queue,
  rows: readonly store.WorkRow[],
  ending: Ending,
  by: Actor,
  now: number,
): Promise<readonly store.WorkRow[]> {
  const free = await queue.settle(
    tx,
    rows.map(({ id }) => ({ runId: id, fence: 'unclaimed', next: 'done' })),
  )
  const mine = rows.filter((_, i) => free[i])
  await finish(
    tx,
    mine.map((row) => ({
      row,
      ending,
      by,
      attemptNumber: row.attempt,
      attempt: { worker: null, startedAt: null, endedAt: now, log: null, events: row.event_count, steps: 0 },
    })),
  )
  return mine
}

interface Finished {
  readonly row: store.WorkRow
  readonly ending: Ending
  readonly attempt: Attempted
  readonly attemptNumber: number
  readonly by: Actor
}

async function finish(tx: Tx, all: readonly Finished[]): Promise<void> {
  if (all.length === 0) return
  // Whatever was attempted before this one stands in rows of its own.
  const again = all
    .filter(({ attemptNumber, attempt }) => attemptNumber > (attempt.startedAt === null ? 0 : 1))
    .map(({ row }) => row.id)
  const earlier = Map.groupBy(await store.listAttempts(tx, again), (one) => one.run_id)
  const rows: store.FinalRow[] = []
  const events: Appended[] = []
  const attempts: Omit<store.AttemptRow, 'project_id'>[] = []
  for (const one of all) {
    const { row, ending, attempt } = one
    if (attempt.startedAt !== null) requireMove('pending', 'running')
    requireMove(attempt.startedAt === null ? row.state : 'running', ending.state)
    const last = attempt.startedAt === null ? [] : [attemptRow(one)]
    if (one.attemptNumber > 1) attempts.push(...last)
    const journal = journalDigest(journalOf(one, [...(earlier.get(row.id) ?? []), ...last]))
    rows.push(finalRow(one, journal))
    events.push(settled(one, journal))
  }
  const [written] = await Promise.all([
    store.finishTasks(tx, rows),
    store.insertAttempts(tx, attempts),
    store.freeKeys(
      tx,
      all.map(({ row }) => row).filter((row) => row.unique_key !== null),
    ),
    store.clearDeadlines(
      tx,
      all.filter(({ row }) => row.deadline_at !== null).map(({ row }) => row.id),
    ),
    appendAll(tx, events),
  ])
  const settledBefore = rows.find((_, i) => !written[i])
  if (settledBefore) throw new Error(`leased task ${settledBefore.id} is settled already`)
}

const attemptRow = ({ row, ending, attempt, attemptNumber }: Finished): Omit<store.AttemptRow, 'project_id'> => ({
  run_id: row.id,
  attempt: attemptNumber,
  started_at: attempt.startedAt,
  ended_at: attempt.endedAt,
  outcome: ending.state,
  error_code: ending.errorCode,
  error: ending.error,
  worker: attempt.worker,
  next_run_at: null,
})

const journalOf = (
  { row, ending, attempt }: Finished,
  attempts: readonly Omit<store.AttemptRow, 'project_id'>[],
): Journal => ({
  run: row.id,
  handler: row.handler,
  queue: row.queue,
  askedBy: row.executed_by_id,
  acceptedAt: row.created_at,
  inputSha256: row.input_sha256,
  attempts: attempts.map((one) => ({
    attempt: one.attempt,
    outcome: one.outcome,
    startedAt: one.started_at,
    endedAt: one.ended_at,
    errorCode: one.error_code,
  })),
  state: ending.state,
  errorCode: ending.errorCode,
  outputSha256: ending.outputSha256,
  settledAt: attempt.endedAt,
})

const finalRow = ({ row, ending, attempt, attemptNumber }: Finished, journal: string): store.FinalRow => ({
  id: row.id,
  state: ending.state,
  started_at: row.started_at ?? attempt.startedAt,
  completed_at: attempt.endedAt,
  updated_at: attempt.endedAt,
  attempt: attemptNumber,
  event_count: attempt.events + 1,
  step_count: attempt.steps,
  result: ending.result,
  result_sealed: ending.resultSealed ?? null,
  output_sha256: ending.outputSha256,
  error: ending.error,
  error_code: ending.errorCode,
  stdout_log: attempt.log,
  worker: attempt.worker,
  // What ended badly and was not called off waits for somebody to look at it.
  dead_at: ending.state === 'failed' || ending.state === 'timeout' ? attempt.endedAt : null,
  journal_sha256: journal,
})

/** Which webhook is to hear of it: the log itself says so, and the reader of the log makes the delivery. */
const callbackOf = (callback: string): string | null =>
  (JSON.parse(callback) as { webhook_id?: string }).webhook_id ?? null

const settled = ({ row, ending, attempt, attemptNumber, by }: Finished, journal: string): Appended => ({
  at: attempt.endedAt,
  by,
  event: {
    type: settledEvent({ state: ending.state, verdict: null }),
    resource: { type: 'run', id: row.id, number: row.number },
    action: `Task ${row.handler}: ${ending.state}`,
    details: {
      handler: row.handler,
      queue: row.queue,
      state: ending.state,
      attempt: attemptNumber,
      asked_by_id: row.executed_by_id,
      input_sha256: row.input_sha256,
      output_sha256: ending.outputSha256,
      journal_sha256: journal,
      ...(ending.errorCode === null ? {} : { error_code: ending.errorCode }),
      ...(row.callback === null ? {} : { callback: callbackOf(row.callback) }),
    },
    success: ending.state === 'completed',
    ...(ending.error === null ? {} : { error: ending.error }),
    run: { id: row.id, seq: attempt.events },
  },
})

async function postpone(tx: Tx, all: readonly Extract<End, { next: 'retry' }>[]): Promise<void> {
  if (all.length === 0) return
  requireMove('running', 'pending')
  await Promise.all([
    store.postponeTasks(
      tx,
      all.map(({ row, lease, attempt, runAt }) => ({
        id: row.id,
        attempt: lease.attempt,
        run_at: runAt,
        started_at: row.started_at ?? attempt.startedAt,
        event_count: attempt.events,
        updated_at: attempt.endedAt,
      })),
    ),
    store.insertAttempts(
      tx,
      all.map(({ row, lease, ending, attempt, runAt }) => ({
        run_id: row.id,
        attempt: lease.attempt,
        started_at: attempt.startedAt,
        ended_at: attempt.endedAt,
        outcome: ending.state,
        error_code: ending.errorCode,
        error: ending.error,
        worker: attempt.worker,
        next_run_at: runAt,
      })),
    ),
  ])
}
