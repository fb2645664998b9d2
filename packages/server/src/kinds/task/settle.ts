import { totalUsd } from '@writ/api/costs'
import { type Actor, type Appended, appendAll, SYSTEM } from '../../audit/index.ts'
import { type Command, DatabaseConflict, type Tx } from '../../platform/db/index.ts'
import { HELD_AT, type Lease, type Queue } from '../../queue/index.ts'
import { requireMove, settledEvent } from '../../runs/index.ts'
import type { Cost } from './cost.ts'
import { endedFor, forget, holdAgain, holdUntil, release } from './hold.ts'
import { type Journal, journalDigest, triedOf } from './journal.ts'
import * as store from './store.ts'
import { addCosts, type CostRow, listCosts, type NewCosts } from './store-cost.ts'
import * as held from './store-held.ts'
import { keepChunks, type NewChunk } from './store-log.ts'
import { namePayloads } from './store-retention.ts'

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

/** A task that has ended, and how. */
export interface Ended {
  readonly id: string
  readonly state: Ending['state']
}

/** One that has ended, as those hear of it who wait for it. */
type Heard = { readonly id: string; readonly state: string }

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

/**
 * What becomes of work under a lease. `ending` with `runAt` says how it failed before it comes again; `rest` is what it printed and
 * is not kept yet, `costs` what it cost and is not kept yet: undefined if it never said, empty if all of it is kept.
 */
export type End = { readonly rest?: NewChunk | undefined; readonly costs?: readonly Cost[] | undefined } & (
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
  /** Its key was paused before it began, or gives it no start now. */
  | { readonly next: 'hold'; readonly lease: Lease; readonly row: store.WorkRow }
  /** It goes on, from its first line and with its steps done, when these have ended. */
  | {
      readonly next: 'wait'
      readonly lease: Lease
      readonly row: store.WorkRow
      readonly on: readonly string[]
      readonly startedAt: number | null
    }
)

export const dependencyFailed = (onRunId: string): Ending => ({
  state: 'cancelled',
  result: null,
  outputSha256: null,
  errorCode: 'DEPENDENCY_FAILED',
  error: `Task ${onRunId}, which had to complete first, did not`,
})

/** Of what another with its unique key took the place of. */
export const replacedBy = (id: string): Ending => ({
  state: 'cancelled',
  result: null,
  outputSha256: null,
  errorCode: 'REPLACED',
  error: `Task ${id} with the same unique key took its place`,
})

/** Of work that was asked to stop. */
export const CANCELLED: Ending = {
  state: 'cancelled',
  result: null,
  outputSha256: null,
  errorCode: 'CANCELLED',
  error: 'Cancelled while it ran',
}

/** Ends of which one was of a lost lease, when they were settled together. */
const doubted = new WeakSet<End>()

/**
 * Settles what workers did, however many at once, in one transaction: queue, runs, attempts, keys, and one leaf for each
 * task that ended. Answers for each whether its lease still held; where it did not, nothing of it was written.
 *
 * Stopped before the commit: the leases run out and the work is done again. Stopped after it: all is settled.
 */
export const settleTasks = (
  queue: Queue,
  now: () => number,
  /** Hears after the commit of tasks that were settled along with these. */
  told: (runId: string, state: Ending['state']) => void,
): Command<readonly End[], readonly boolean[]> => ({
  name: 'settleTasks',
  apart: true,
  weight: (ends) => ends.length,
  async run(tx, inputs) {
    const ends = inputs.flat()
    const asked = queue.settle(
      tx,
      ends.map((end) => {
        const { runId, fence } = end.lease
        if (end.next === 'settle') return { runId, fence, next: 'done' }
        if (end.next === 'retry')
          return { runId, fence, next: 'retry', runAt: end.row.concurrency_key === null ? end.runAt : HELD_AT }
        return { runId, fence, next: 'back', runAt: end.next === 'back' ? now() : HELD_AT }
      }),
    )
    const write = (mine: readonly End[]) =>
      Promise.all([
        finish(
          tx,
          queue,
          mine
            .filter((end) => end.next === 'settle')
            .map((end) => ({ ...end, by: SYSTEM, attemptNumber: end.lease.attempt })),
        ),
        postpone(
          tx,
          mine.filter((end) => end.next === 'retry'),
        ),
        addCosts(tx, mine.filter((end) => end.next !== 'settle').flatMap(costsOf)),
      ])
    const trusting = !ends.some((end) => doubted.has(end))
    // Almost always every lease holds. So what they did is written along with the question, and undone where it was wrong.
    const trusted = trusting ? write(ends) : undefined
    // Who else had the lease has written there too, so what went wrong is heard of after who still had it.
    trusted?.catch(() => {})
    const held = await asked
    if (trusted && !held.every(Boolean)) {
      for (const end of ends) doubted.add(end)
      await Promise.allSettled([trusted])
      throw new DatabaseConflict(new Error('a lease was lost'))
    }
    const mine = ends.filter((_, i) => held[i])
    const along = [...(await (trusted ?? write(mine)))[0]]
    const rests = mine.flatMap((end) => end.rest ?? [])
    if (rests.length > 0) await keepChunks(tx, rests)
    await keepBack(tx, queue, mine, now())
    along.push(...(await endCancelled(tx, queue, mine, now())))
    if (along.length > 0)
      tx.afterCommit(() => {
        for (const { id, state } of along) told(id, state)
      })
    let taken = 0
    return inputs.map((input) => {
      taken += input.length
      return held.slice(taken - input.length, taken)
    })
  },
})

const costsOf = ({ lease, costs }: End): readonly NewCosts[] =>
  costs === undefined || costs.length === 0 ? [] : [{ runId: lease.runId, attempt: lease.attempt, costs }]

/** What goes back and is not to be claimed at once, or at its time, but when what holds it back is lifted. */
async function keepBack(tx: Tx, queue: Queue, ends: readonly End[], now: number): Promise<void> {
  const again = ends.flatMap((end): { readonly runId: string; readonly runAt: number | null }[] => {
    if (end.next === 'hold') return [{ runId: end.row.id, runAt: null }]
    return end.next === 'retry' && end.row.concurrency_key !== null ? [{ runId: end.row.id, runAt: end.runAt }] : []
  })
  if (again.length > 0) await holdAgain(tx, queue, again, now)
  for (const end of ends) {
    if (end.next !== 'wait') continue
    await store.noteStart(tx, end.row.id, end.startedAt)
    await holdUntil(tx, queue, end.row.id, end.on, now)
  }
}

/**
 * Work that was asked to stop and failed, went to wait or was handed back before it heard of it has no next attempt: it would wait for
 * its time, or for a worker, only to end. Answers those that ended so, and with them.
 */
async function endCancelled(tx: Tx, queue: Queue, ends: readonly End[], now: number): Promise<Ended[]> {
  const ids = ends.flatMap(({ next, row }) => (next === 'settle' ? [] : [row.id]))
  const ended: Ended[] = []
  const asked = ids.length === 0 ? new Map<string, store.StopReason>() : await store.findCancelled(tx, ids)
  for (const [id, why] of asked) {
    const rows = [...(await store.loadWork(tx, [id])).values()]
    ended.push(...(await settleWaiting(tx, queue, rows, stoppedFor(CANCELLED, why), SYSTEM, now)))
  }
  return ended
}

/**
 * Settles tasks that nobody holds: cancelled or out of time while they waited. Answers those that were there to settle, and
 * after them those that ended with them, which whoever commits has to tell.
 */
export async function settleWaiting(
  tx: Tx,
  queue: Queue,
  rows: readonly store.WorkRow[],
  ending: Ending,
  by: Actor,
  now: number,
): Promise<readonly Ended[]> {
  const { ended, awaited } = await endFree(tx, queue, rows, () => ending, by, now)
  return ended.concat(await endDependents(tx, queue, awaited, now))
}

/** Settles these as far as nobody holds them. Who waited for `awaited` is still to hear of it. */
async function endFree(
  tx: Tx,
  queue: Queue,
  rows: readonly store.WorkRow[],
  endingOf: (row: store.WorkRow) => Ending,
  by: Actor,
  now: number,
): Promise<{ readonly ended: readonly Ended[]; readonly awaited: readonly Heard[] }> {
  const free = await queue.settle(
    tx,
    rows.map(({ id }) => ({ runId: id, fence: 'unclaimed', next: 'done' })),
  )
  const mine = rows.filter((_, i) => free[i])
  if (mine.length === 0) return { ended: [], awaited: [] }
  await giveKeysBack(tx, mine)
  await forget(
    tx,
    queue,
    mine.map(({ id }) => id),
    now,
  )
  const all = mine.map((row) => ({
    row,
    ending: endingOf(row),
    by,
    attemptNumber: row.attempt,
    attempt: { worker: null, startedAt: null, endedAt: now, log: null, events: row.event_count, steps: 0 },
  }))
  const awaited = await writeEnds(tx, queue, all)
  return { ended: all.map(({ row, ending: { state } }) => ({ id: row.id, state })), awaited }
}

/**
 * What these were to come after, under their unique keys, has its key again: whoever is dispatched next meets it, instead of running
 * beside it. Who settles it just now waits for this transaction, and then frees the key, or was first, and nothing is given back.
 */
async function giveKeysBack(tx: Tx, rows: readonly store.WorkRow[]): Promise<void> {
  const keyed = rows.filter(({ unique_key }) => unique_key !== null).map(({ id }) => id)
  const keyless = await store.listKeyless(tx, keyed)
  if (keyless.length === 0) return
  const live = await held.markAwaited(
    tx,
    keyless.map(({ before }) => before),
  )
  for (const { id, before, key } of keyless) if (live.has(before)) await store.passKey(tx, key, id, before)
}

interface Finished {
  readonly row: store.WorkRow
  readonly ending: Ending
  readonly attempt: Attempted
  readonly attemptNumber: number
  readonly by: Actor
  readonly costs?: readonly Cost[] | undefined
}

/** Answers tasks that ended along with these: they were not to run without them. */
const finish = async (tx: Tx, queue: Queue, all: readonly Finished[]): Promise<readonly Ended[]> =>
  endDependents(tx, queue, await writeEnds(tx, queue, all), all[0]?.attempt.endedAt ?? 0)

/** Answers those of them that others wait for. */
async function writeEnds(tx: Tx, queue: Queue, all: readonly Finished[]): Promise<readonly Heard[]> {
  if (all.length === 0) return []
  const because = await whyStopped(tx, all)
  // Whatever was attempted before this one stands in rows of its own.
  const again = all
    .filter(({ attemptNumber, attempt }) => attemptNumber > (attempt.startedAt === null ? 0 : 1))
    .map(({ row }) => row.id)
  const earlier = Map.groupBy(await store.listAttempts(tx, again), (one) => one.run_id)
  const costed = all.filter(({ row, costs }) => costs !== undefined || row.cost_usd !== null)
  const costs = costed.length === 0 ? undefined : await addedUp(tx, costed)
  const rows: store.FinalRow[] = []
  const events: Appended[] = []
  const attempts: Omit<store.AttemptRow, 'project_id'>[] = []
  for (const given of all) {
    const one = withReason(sinceItsFirstStart(given), because?.get(given.row.id))
    const { row, ending, attempt } = one
    if (attempt.startedAt !== null) requireMove('pending', 'running')
    requireMove(attempt.startedAt === null ? row.state : 'running', ending.state)
    const last = attempt.startedAt === null ? [] : [attemptRow(one)]
    if (one.attemptNumber > 1) attempts.push(...last)
    const cost = costs?.get(row.id) ?? []
    const journal = journalDigest(journalOf(one, [...(earlier.get(row.id) ?? []), ...last], cost))
    rows.push(finalRow(one, journal))
    events.push(settled(one, journal, cost))
  }
  const [written] = await Promise.all([
    store.finishTasks(tx, rows),
    store.insertAttempts(tx, attempts),
    namePayloads(
      tx,
      rows
        .filter((row) => row.result === null && row.output_sha256 !== null)
        .map((row) => ({ run: row.id, sha256: row.output_sha256! })),
    ),
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
  const settledBefore = rows.find((_, i) => written[i] === undefined)
  if (settledBefore) throw new Error(`leased task ${settledBefore.id} is settled already`)
  const keyed = all.filter(({ row }) => row.concurrency_key !== null).map(({ row }) => row.id)
  const now = all[0]!.attempt.endedAt
  if (keyed.length > 0) await release(tx, queue, keyed, now)
  return rows.filter((_, i) => written[i] === 1)
}

/** What each of these tasks cost in all, this attempt included. */
async function addedUp(tx: Tx, all: readonly Finished[]): Promise<ReadonlyMap<string, readonly CostRow[]>> {
  await addCosts(
    tx,
    all.map(({ row, attemptNumber, costs = [] }) => ({ runId: row.id, attempt: attemptNumber, costs })),
  )
  const rows = await listCosts(
    tx,
    all.map(({ row }) => row.id),
  )
  return Map.groupBy(rows, (one) => one.run_id)
}

/** Why work was asked to stop that ended so: its worker heard that it was, and no more; or it was not heard of again. */
async function whyStopped(
  tx: Tx,
  all: readonly Finished[],
): Promise<ReadonlyMap<string, store.StopReason> | undefined> {
  const stopped = all.filter(
    ({ row, ending, attempt }) =>
      ending.errorCode === 'CANCELLED' && (attempt.worker !== null || row.cancel_requested_at !== null),
  )
  return stopped.length === 0
    ? undefined
    : store.findCancelled(
        tx,
        stopped.map(({ row }) => row.id),
      )
}

/** Says why somebody had it stopped, if that was told. */
const stoppedFor = (ending: Ending, { cancel_reason: reason, replaced_by_run_id: by }: store.StopReason): Ending => {
  if (by !== null) return replacedBy(by)
  return reason === null ? ending : { ...ending, error: `Cancelled: ${reason}` }
}

const withReason = (one: Finished, why: store.StopReason | undefined): Finished =>
  why === undefined ? one : { ...one, ending: stoppedFor(one.ending, why) }

/** A first attempt that waited for a child began before it did, and is one, also if it was stopped before it went on. */
const sinceItsFirstStart = (one: Finished): Finished =>
  one.attemptNumber === 1 && one.row.started_at !== null && one.attempt.worker !== null
    ? { ...one, attempt: { ...one.attempt, startedAt: one.row.started_at } }
    : one

/** So many are settled with one round of statements. */
const TOGETHER = 500
/**
 * After so many that waited for others, or so many one after the other, the next are left for a transaction of their own:
 * meanwhile nobody else changes anything.
 */
const MOST_ALONG = 1_000
const MOST_LINKS = 100

/**
 * Who waited for these goes on, or is cancelled and lets those go on that waited for it: as far as one transaction goes, and what
 * is left, of a long chain or of very many that waited for one, by the timers of those that ended.
 */
export async function endDependents(
  tx: Tx,
  queue: Queue,
  ended: readonly Heard[],
  now: number,
): Promise<readonly Ended[]> {
  const along: Ended[] = []
  const goOnFor = (those: readonly Heard[]) =>
    store.setDeadlines(
      tx,
      those.map(({ id }) => ({ id, deadline_at: now })),
    )
  let heard = ended
  let room = MOST_ALONG
  for (let links = 0; heard.length > 0; links++) {
    if (room === 0 || links === MOST_LINKS) {
      await goOnFor(heard)
      break
    }
    const { doomed, taken } = await endedFor(tx, queue, heard, room, now)
    room -= taken
    if (room === 0) await goOnFor(heard)
    const because = new Map(doomed.map(({ runId, onRunId }) => [runId, onRunId]))
    const next: Heard[] = []
    for (let from = 0; from < doomed.length; from += TOGETHER) {
      const rows = await store.loadWork(
        tx,
        doomed.slice(from, from + TOGETHER).map(({ runId }) => runId),
      )
      const one = await endFree(
        tx,
        queue,
        [...rows.values()],
        ({ id }) => dependencyFailed(because.get(id)!),
        SYSTEM,
        now,
      )
      along.push(...one.ended)
      next.push(...one.awaited)
    }
    heard = next
  }
  return along
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
  costs: Journal['costs'],
): Journal => ({
  run: row.id,
  handler: row.handler,
  queue: row.queue,
  askedBy: row.executed_by_id,
  acceptedAt: row.created_at,
  inputSha256: row.input_sha256,
  attempts: attempts.map(triedOf),
  costs,
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

const settled = (
  { row, ending, attempt, attemptNumber, by }: Finished,
  journal: string,
  costs: readonly CostRow[],
): Appended => ({
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
      ...(costs.length === 0 ? {} : { cost_usd: totalUsd(costs) }),
      ...(ending.errorCode === null ? {} : { error_code: ending.errorCode }),
      ...(row.callback === null ? {} : { callback: callbackOf(row.callback) }),
    },
    success: ending.state === 'completed',
    plain: ending.error === null && ending.errorCode === null,
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
