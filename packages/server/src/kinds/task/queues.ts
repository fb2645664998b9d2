import { type Queue, QueueName } from '@writ/api'
import { Check } from 'typebox/schema'
import { append } from '../../audit/index.ts'
import { type Caller, personOf } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import type { ListPart, Tx } from '../../platform/db/index.ts'
import type { Depth, Queue as RunQueue } from '../../queue/index.ts'
import { depthsOf } from './backlog.ts'
import type { Cancels } from './cancel.ts'
import { showQueue } from './show.ts'
import * as store from './store.ts'

export interface QueueLimit {
  readonly concurrency: number | null
  readonly depth: Depth | undefined
  readonly create?: boolean | undefined
}

export interface QueuePause {
  readonly depth?: Depth | undefined
  readonly create?: boolean | undefined
  readonly reason?: string | undefined
}

/** Queues of a project, for operators. */
export interface Queues {
  /** Queues of the project, by name. */
  listQueues(tx: Tx, part: ListPart): Promise<Queue[]>
  countQueues(tx: Tx): Promise<number>
  /** What is in one queue. Asked for before a change of it, and outside of its transaction, because counting takes long where much waits. */
  depthOf(tx: Tx, name: string): Promise<Depth | undefined>
  /**
   * No task of this queue is claimed any more; those that run go on. Twice is once. One that is not there throws QUEUE_UNKNOWN, and
   * with `create` is made: whoever prepares a maintenance window need not wait for its first task.
   */
  pauseQueue(tx: Tx, caller: Caller, name: string, pause: QueuePause): Promise<Queue>
  resumeQueue(tx: Tx, caller: Caller, name: string, depth: Depth | undefined): Promise<Queue>
  /** So many tasks of the queue run at once, over all servers and workers; null: as many as each may. `create` as of a pause. */
  limitQueue(tx: Tx, caller: Caller, name: string, limit: QueueLimit): Promise<Queue>
  /** Cancels up to `limit` of what waits, delayed ones included; those that run go on. Throws QUEUE_UNKNOWN. */
  drainQueue(tx: Tx, caller: Caller, name: string, limit: number): Promise<{ cancelled: number; left: number }>
}

export function createQueues(
  on: Pick<Cancels, 'cancelWaiting' | 'cancelChildren'> & { readonly queue: RunQueue },
): Queues {
  const { queue, cancelWaiting, cancelChildren } = on

  const knownQueue = async (tx: Tx, name: string) => {
    const row = await store.findQueue(tx, name)
    if (!row) throw new AppError('QUEUE_UNKNOWN', { queue: name })
    return row
  }

  async function makeQueue(tx: Tx, caller: Caller, name: string): Promise<void> {
    if (!Check(QueueName, name)) {
      const message = 'is no name of a queue: 1 to 64 of a-z, 0-9, _, . and -, a letter or digit first'
      throw new AppError('VALIDATION_FAILED', {}, { fields: [{ path: 'params.name', message }] })
    }
    await store.addQueues(tx, [name], caller.at)
  }

  async function changePause(
    tx: Tx,
    caller: Caller,
    name: string,
    pause: { readonly reason: string | null } | null,
    depth: Depth | undefined,
  ): Promise<Queue> {
    const done = await store.setPaused(tx, name, pause && { ...pause, at: caller.at, by: personOf(caller) })
    if (!done) throw new AppError('QUEUE_UNKNOWN', { queue: name })
    const shown = showQueue(await knownQueue(tx, name), depth)
    if (!done.changed) return shown
    await append(tx, caller.at, caller, {
      type: pause ? 'queue.paused' : 'queue.resumed',
      action: `${pause ? 'Paused' : 'Resumed'} queue: ${name}`,
      details: {
        queue: name,
        waiting: shown.waiting,
        delayed: shown.delayed,
        ...(pause && pause.reason !== null ? { reason: pause.reason } : {}),
      },
    })
    return shown
  }

  return {
    countQueues: store.countQueues,
    async listQueues(tx, part) {
      const found = await depthsOf(tx, queue)
      return (await store.listQueues(tx, part)).map((row) => showQueue(row, found.get(row.name)))
    },
    depthOf: async (tx, name) => (await depthsOf(tx, queue, name)).get(name),
    async pauseQueue(tx, caller, name, { depth, create = false, reason = null }) {
      if (create) await makeQueue(tx, caller, name)
      return changePause(tx, caller, name, { reason }, depth)
    },
    resumeQueue: (tx, caller, name, depth) => changePause(tx, caller, name, null, depth),
    async limitQueue(tx, caller, name, { concurrency, depth, create = false }) {
      // Without a limit there would be nothing to say of it.
      if (create && concurrency !== null) await makeQueue(tx, caller, name)
      const done = await store.setConcurrency(tx, name, concurrency)
      if (!done) throw new AppError('QUEUE_UNKNOWN', { queue: name })
      const shown = showQueue(await knownQueue(tx, name), depth)
      if (done.before !== concurrency)
        await append(tx, caller.at, caller, {
          type: 'queue.limited',
          action: `Limited queue: ${name}`,
          details: { queue: name, concurrency, before: done.before },
        })
      return shown
    },
    async drainQueue(tx, caller, name, limit) {
      await knownQueue(tx, name)
      const ids = await store.listWaiting(tx, name, limit)
      const ended = await cancelWaiting(tx, caller, ids, `queue ${name} was drained`)
      // Of those that wait for what they dispatched, wherever that is.
      await cancelChildren(tx, caller, ended, 'what dispatched it was cancelled')
      const cancelled = ended.length
      if (cancelled > 0)
        await append(tx, caller.at, caller, {
          type: 'queue.drained',
          action: `Drained queue: ${name}`,
          details: { queue: name, cancelled },
        })
      return { cancelled, left: await store.countWaiting(tx, name) }
    },
  }
}
