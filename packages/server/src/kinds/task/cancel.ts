import type { Task } from '@writ/api'
import { type Actor, append, SYSTEM } from '../../audit/index.ts'
import type { Caller } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import type { Tx } from '../../platform/db/index.ts'
import type { Queue } from '../../queue/index.ts'
import { isFinal, type Waiting } from '../../runs/index.ts'
import type { Ref } from '../../tickets/index.ts'
import { requireTaskFilter, type TaskFilter } from './filter.ts'
import { see } from './see.ts'
import { type Ended, settleWaiting } from './settle.ts'
import { showTask } from './show.ts'
import * as store from './store.ts'
import * as held from './store-held.ts'

export interface Cancelling {
  /**
   * Cancels what waits at once; of what runs it asks the worker to stop, and the answer has `cancel_requested_at`. What the task
   * dispatched and has not ended goes the same way.
   * Throws TASK_NOT_FOUND, TASK_VIEW_DENIED, TASK_NOT_CANCELLABLE.
   */
  cancel(tx: Tx, caller: Caller, ref: Ref, reason: string | null): Promise<Task>

  /** How many tasks that have not ended the filter takes, up to 10,000. Throws TASKS_UNFILTERED. */
  previewOpen(tx: Tx, filter: TaskFilter): Promise<{ count: number; more: boolean }>
  /** Cancels up to `limit` tasks that have not ended, oldest first, as `cancel` does. Throws TASKS_UNFILTERED. */
  cancelMany(
    tx: Tx,
    caller: Caller,
    filter: TaskFilter,
    limit: number,
    reason: string | null,
  ): Promise<{ cancelled: number; stopping: number; left: number }>
}

/** For others that cancel. */
export interface Cancels {
  /** Cancels tasks that nobody holds; answers those that it could, and those that ended with them. */
  cancelWaiting(tx: Tx, caller: Caller, ids: readonly string[], reason: string | null): Promise<readonly string[]>
  /**
   * Cancels these and all that they dispatched: what waits at once, what runs is asked to stop. Of what they dispatched as much as
   * one transaction may take; timers see to the others.
   */
  cancelAll(tx: Tx, caller: Caller, ids: readonly string[], reason: string): Promise<void>
  /** The same, of what these dispatched. */
  cancelChildren(tx: Tx, caller: Caller, parentIds: readonly string[], reason: string): Promise<void>
  /** The timer of a task that was cancelled, or is to be: there was no room for all that it dispatched. */
  cancelOtherChildren(tx: Tx, parentId: string, now: number): Promise<void>
  /** After the commit, those who wait for one of these hear that it has ended. */
  settled(tx: Tx, ended: readonly Ended[]): void
}

/** Somebody, or the server itself. */
type By = Actor & Pick<Caller, 'at'>

/**
 * Asks a task that a worker holds to stop; the worker hears of it. Who asks stands in the log, because the end is the worker's: false if
 * nobody holds it.
 */
export async function askToStop(
  tx: Tx,
  queue: Queue,
  by: By,
  { id, number, handler }: Pick<store.WorkRow, 'id' | 'number' | 'handler'>,
  reason: string | null,
  replacedBy: string | null = null,
): Promise<boolean> {
  if (!(await queue.stop(tx, id))) return false
  // Twice is once: the first who asked has stopped it.
  if (await store.noteCancel(tx, id, by.at, { cancel_reason: reason, replaced_by_run_id: replacedBy }))
    await append(tx, by.at, by, {
      type: 'run.cancel_requested',
      resource: { type: 'run', id, number },
      action: `Asked task ${number} to stop${reason === null ? '' : `: ${reason}`}`,
      details: { handler, reason },
    })
  return true
}

const CANCELLED = { state: 'cancelled', result: null, outputSha256: null, errorCode: 'CANCELLED' } as const
const CANCEL_TRIES = 10
/** Of what cancelled tasks dispatched so many go in one transaction: meanwhile nobody else changes anything. */
const MOST_CHILDREN = 1_000
/** As many as a preview counts. */
const MOST_COUNTED = 10_000

export function createCancelling(on: { readonly queue: Queue; readonly waiting: Waiting }): Cancelling & Cancels {
  const { queue, waiting } = on

  const told: Cancels['settled'] = (tx, ended) =>
    tx.afterCommit(() => {
      for (const { id, state } of ended) waiting.settled(id, 'task', state)
    })

  async function cancelFree(tx: Tx, by: By, ids: readonly string[], reason: string | null): Promise<readonly string[]> {
    const rows = await store.loadWork(tx, ids)
    const ending = { ...CANCELLED, error: reason === null ? 'Cancelled while it waited' : `Cancelled: ${reason}` }
    const settled = await settleWaiting(tx, queue, [...rows.values()], ending, by, by.at)
    told(tx, settled)
    return settled.map(({ id }) => id)
  }

  async function cancelThese(tx: Tx, by: By, ids: readonly string[], reason: string): Promise<void> {
    await cancelFree(tx, by, ids, reason)
    for (const row of (await store.loadWork(tx, ids)).values())
      if (!isFinal(row.state)) await askToStop(tx, queue, by, row, reason)
  }

  /** Level by level. Who was asked to stop dispatches nothing more, so what is left for the timers is all there is. */
  async function cancelBelow(tx: Tx, by: By, parentIds: readonly string[], reason: string): Promise<void> {
    let room = MOST_CHILDREN
    for (let above = parentIds; above.length > 0; ) {
      const some = await held.listOpenChildren(tx, above, room)
      await cancelThese(tx, by, some, reason)
      room -= some.length
      if (room === 0) {
        // Of this level, and of the next.
        await store.cancelChildrenLater(tx, await held.listWithOpenChildren(tx, [...above, ...some]), by.at)
        return
      }
      above = some
    }
  }

  return {
    cancelWaiting: cancelFree,
    async cancelAll(tx, caller, ids, reason) {
      await cancelThese(tx, caller, ids, reason)
      await cancelBelow(tx, caller, ids, reason)
    },
    cancelChildren: cancelBelow,
    async cancelOtherChildren(tx, parentId, now) {
      const [parent] = (await store.loadWork(tx, [parentId])).values()
      if (parent) await cancelBelow(tx, { ...SYSTEM, at: now }, [parentId], `task ${parent.number} was cancelled`)
    },
    settled: told,

    async cancel(tx, caller, ref, reason) {
      const row = await see(tx, caller, ref)
      if (isFinal(row.state)) throw new AppError('TASK_NOT_CANCELLABLE', { state: row.state })
      // Between a look and the next it may come back from its worker, or go to one.
      for (let tries = 1; (await cancelFree(tx, caller, [row.id], reason)).length === 0; tries++) {
        // Somebody holds it. If its work ends before it hears, it ends as it did.
        if (await askToStop(tx, queue, caller, row, reason)) break
        const { state } = await see(tx, caller, row.id)
        if (isFinal(state) || tries === CANCEL_TRIES) throw new AppError('TASK_NOT_CANCELLABLE', { state })
      }
      await cancelBelow(tx, caller, [row.id], `task ${row.number} was cancelled`)
      return showTask(await see(tx, caller, row.id), caller.at)
    },

    async previewOpen(tx, filter) {
      requireTaskFilter(filter)
      const found = (await store.listOpen(tx, filter, MOST_COUNTED + 1)).length
      return { count: Math.min(found, MOST_COUNTED), more: found > MOST_COUNTED }
    },
    async cancelMany(tx, caller, filter, limit, reason) {
      requireTaskFilter(filter)
      const rows = await store.listOpen(tx, filter, limit)
      const free = rows.filter(({ held }) => !held).map(({ id }) => id)
      const { length: cancelled } = await cancelFree(tx, caller, free, reason)
      let stopping = 0
      // One that was taken meanwhile is held now; in the order of ids, as everybody locks them.
      const rest = await store.loadWork(
        tx,
        rows.map(({ id }) => id),
      )
      for (const { id } of rows) if (await askToStop(tx, queue, caller, rest.get(id)!, reason)) stopping++
      const parents = rows.map(({ id }) => id)
      await cancelBelow(tx, caller, parents, 'what dispatched it was cancelled')
      // What was asked to stop is open until it has: it is none of those that are left to be asked.
      const left = (await store.listOpen(tx, filter, MOST_COUNTED + stopping)).length - stopping
      return { cancelled, stopping, left: Math.max(0, left) }
    },
  }
}
