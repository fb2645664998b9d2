import type { Batch, NewTask, Queue, RunState, Submitted, Task, TaskDetail, TaskLog } from '@writ/api'
import { append, appendAll, SYSTEM } from '../../audit/index.ts'
import { type Caller, personOf, seesAll } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import type { Blobs } from '../../platform/blobs/index.ts'
import { type Clock, rfc3339 } from '../../platform/clock.ts'
import { type Command, type Database, inProject, type Tx } from '../../platform/db/index.ts'
import { createLooks } from '../../platform/looks.ts'
import type { Queue as RunQueue } from '../../queue/index.ts'
import { isFinal, searchFloor, type Waiting } from '../../runs/index.ts'
import type { Ref } from '../../tickets/index.ts'
import { depthsOf } from './backlog.ts'
import { type Children, createChildren } from './child.ts'
import type { Handler, Handlers } from './handler.ts'
import { admitDue } from './hold.ts'
import type { HttpHandlers } from './http/http-handlers.ts'
import type { Switches } from './http/switches.ts'
import { createKeys, type Keys } from './keys.ts'
import { type LogPlace, readLog } from './log.ts'
import { readJson, readResult } from './payload.ts'
import type { RemoteHandlers } from './remote/registry.ts'
import type { Payloads } from './sealed.ts'
import { type Ending, settleWaiting } from './settle.ts'
import { showAttempts, showQueue, showStep, showTask } from './show.ts'
import * as store from './store.ts'
import * as held from './store-held.ts'
import { createSubmit, type PreparedTask, prepareTask, type SubmitTasks } from './submit.ts'

type TaskRow = store.TaskRow

/** Who asks, and how the project is read: `Ask` of the routes is one. */
export interface Asked {
  readonly caller: Caller
  read<T>(work: (tx: Tx) => Promise<T>): Promise<T>
}

export interface TaskFilter {
  readonly queue?: string | undefined
  readonly handler?: string | undefined
  /** `running` is a task whose lease is held. */
  readonly state?: RunState | undefined
  readonly error_code?: string | undefined
  readonly tag?: string | undefined
  readonly unique_key?: string | undefined
  /** Children of this task. */
  readonly parent?: string | undefined
  /** Tasks that were dispatched together. */
  readonly batch?: string | undefined
  readonly created_after?: number | undefined
  readonly created_before?: number | undefined
  readonly q?: string | undefined
}

/** Which dead letters. One that was replayed or purged is none any more. */
export interface DeadFilter {
  readonly ids?: readonly Ref[] | undefined
  readonly queue?: string | undefined
  readonly handler?: string | undefined
  readonly error_code?: string | undefined
  readonly died_after?: number | undefined
  readonly died_before?: number | undefined
}

/** `before`: the number of the last row of the page before, newest first. */
export interface TaskPage {
  readonly limit: number
  readonly skip: number
  readonly before?: number | undefined
}

/**
 * What the routes call. Everything with `tx` belongs inside `ask.change` or `ask.read`. Who may see: ops, auditors and admins
 * every task of the project, others those that they dispatched.
 */
export interface Tasks extends Keys {
  readonly handlers: Handlers
  /** Those that workers registered in the project. */
  readonly remote: RemoteHandlers
  /** Those of the project that are addresses. */
  readonly http: HttpHandlers
  /** Which of the servers' own and of those are disabled. */
  readonly switches: Switches

  /**
   * Examines one dispatch; stores a large input. Writes no row: call it before the transaction.
   * Throws TASK_UNKNOWN_HANDLER, TASK_INPUT_INVALID (with fields below `body.input`), TASK_INPUT_TOO_LARGE, TASK_TIMES_INVALID.
   */
  prepare(caller: Caller, asked: NewTask, more?: { door?: 'dispatch' }): Promise<PreparedTask>
  /**
   * Accepts tasks: `ask.submit(tasks.submit, { caller, tasks: [prepared] })`. Joined with everybody else's by group commit;
   * answers after the commit, in order, and the worker has heard of them.
   */
  readonly submit: Command<SubmitTasks, readonly Submitted[]>

  /** The whole of a task. Throws TASK_NOT_FOUND, TASK_VIEW_DENIED. */
  find(asked: Asked, ref: Ref): Promise<TaskDetail>
  /** As `find`, once it is settled, or as it is after `ms`, or when `gone` aborts. */
  wait(asked: Asked, ref: Ref, ms: number, gone: AbortSignal): Promise<TaskDetail>
  /** What an attempt printed, as far as it is kept. Throws TASK_NOT_FOUND, TASK_VIEW_DENIED, ATTEMPT_NOT_FOUND. */
  log(asked: Asked, ref: Ref, place: LogPlace): Promise<TaskLog>
  /**
   * As `log`, as soon as there is a line behind the place, or the attempt is over; as it is when `until` aborts. Those who wait at the
   * same place share one look at the database.
   */
  nextLog(asked: Asked, ref: Ref, place: LogPlace, until: AbortSignal): Promise<TaskLog>
  /** What a settled task came to, exactly: for whoever dispatched it and waits, and for callbacks. Undefined if it is gone. */
  outcome(tx: Tx, ref: Ref): Promise<{ row: TaskRow; result: unknown } | undefined>
  /** Rows for `ask.page`, newest first; `show` makes items of them, `key` is the number. */
  list(tx: Tx, caller: Caller, filter: TaskFilter, page: TaskPage): Promise<TaskRow[]>
  count(tx: Tx, caller: Caller, filter: TaskFilter): Promise<number>
  show(row: TaskRow): Task

  /**
   * Cancels what waits at once; of what runs it asks the worker to stop, and the answer has `cancel_requested_at`. What the task
   * dispatched and has not ended goes the same way.
   * Throws TASK_NOT_FOUND, TASK_VIEW_DENIED, TASK_NOT_CANCELLABLE.
   */
  cancel(tx: Tx, caller: Caller, ref: Ref, reason: string | null): Promise<Task>

  /** How many tasks the filter takes, up to 10,000; `open`: of those that have not ended. Throws TASKS_UNFILTERED. */
  preview(tx: Tx, filter: TaskFilter, open: boolean): Promise<{ count: number; more: boolean }>
  /** Cancels up to `limit` tasks that have not ended, oldest first, as `cancel` does. Throws TASKS_UNFILTERED. */
  cancelMany(
    tx: Tx,
    caller: Caller,
    filter: TaskFilter,
    limit: number,
    reason: string | null,
  ): Promise<{ cancelled: number; stopping: number; left: number }>
  /** Up to `limit` tasks that ended in the state of the filter as new ones, oldest first. Throws TASKS_UNFILTERED, TASK_UNKNOWN_HANDLER. */
  replayEnded(
    tx: Tx,
    caller: Caller,
    filter: TaskFilter,
    limit: number,
  ): Promise<(Submitted & { replays_run_id: string })[]>

  /** Dead letters for `ask.page`, newest first. */
  listDead(tx: Tx, filter: DeadFilter, page: TaskPage): Promise<TaskRow[]>
  countDead(tx: Tx, filter: DeadFilter): Promise<number>
  /** Throws DEAD_LETTERS_UNFILTERED for a filter that would take all. */
  requireDeadFilter(filter: DeadFilter): void
  /** The whole of a dead letter. Throws TASK_NOT_FOUND, TASK_NOT_DEAD. */
  findDead(asked: Asked, ref: Ref): Promise<TaskDetail>
  /** The same work as a new task that names the old one, which leaves the dead letters. Throws TASK_NOT_FOUND, TASK_NOT_DEAD, TASK_UNKNOWN_HANDLER. */
  replay(tx: Tx, caller: Caller, ref: Ref): Promise<Submitted>
  /** As `replay` for up to `limit` of those that the filter takes, oldest first. Throws DEAD_LETTERS_UNFILTERED. */
  replayMany(
    tx: Tx,
    caller: Caller,
    filter: DeadFilter,
    limit: number,
  ): Promise<{ replayed: (Submitted & { replays_run_id: string })[]; left: number }>
  /** Takes those off the list; their runs stay. Throws DEAD_LETTERS_UNFILTERED. */
  purge(tx: Tx, caller: Caller, filter: DeadFilter): Promise<{ purged: number }>

  /** The queues of the project, by name. */
  listQueues(tx: Tx): Promise<Queue[]>
  /** No task of this queue is claimed any more; those that run go on. Throws QUEUE_UNKNOWN. Twice is once. */
  pauseQueue(tx: Tx, caller: Caller, name: string): Promise<Queue>
  resumeQueue(tx: Tx, caller: Caller, name: string): Promise<Queue>
  /** So many tasks of the queue run at once, over all servers and workers; null: as many as each may. Throws QUEUE_UNKNOWN. */
  limitQueue(tx: Tx, caller: Caller, name: string, concurrency: number | null): Promise<Queue>
  /** Cancels up to `limit` of what waits, delayed ones included; those that run go on. Throws QUEUE_UNKNOWN. */
  drainQueue(tx: Tx, caller: Caller, name: string, limit: number): Promise<{ cancelled: number; left: number }>

  /** Batches, newest first, that the caller may see; `before` is the id of one. */
  listBatches(
    tx: Tx,
    caller: Caller,
    page: { limit: number; skip: number; before: string | undefined },
  ): Promise<Batch[]>
  countBatches(tx: Tx, caller: Caller): Promise<number>
  /** How far a batch is. Throws BATCH_NOT_FOUND. */
  batch(tx: Tx, caller: Caller, id: string): Promise<Batch>
  /** Cancels what of a batch has not ended, up to `limit` at once. Throws BATCH_NOT_FOUND. */
  cancelBatch(tx: Tx, caller: Caller, id: string, limit: number): Promise<Batch>

  /** Starts what may start under keys by time alone, in all projects. Called again and again. */
  admitDue(): Promise<void>
  /** What running work may ask for. */
  readonly children: Children

  /** The deadline of a task passed while it waited: settles it, unless a worker has it, who knows the deadline too. */
  expire(tx: Tx, runId: string): Promise<boolean>
}

export interface TasksOn {
  readonly queue: RunQueue
  readonly blobs: Blobs
  readonly clock: Clock
  readonly handlers: Handlers
  readonly waiting: Waiting
  readonly payloads: Payloads
  readonly db: Database
  readonly remote: RemoteHandlers
  readonly http: HttpHandlers
  readonly switches: Switches
  /** Hears of each task after it was accepted. */
  readonly accepted?: (queue: string, handler: string) => void
}

const CANCELLED = { state: 'cancelled', result: null, outputSha256: null, errorCode: 'CANCELLED' } as const
const EXPIRED: Ending = {
  state: 'timeout',
  result: null,
  outputSha256: null,
  errorCode: 'DEADLINE_EXCEEDED',
  error: 'The deadline passed while it waited',
}

export function createTasks(on: TasksOn): Tasks {
  const { queue, handlers, remote, http, switches, waiting } = on
  const { accept, submit } = createSubmit(queue, on.accepted)
  const keys = createKeys(on)
  const looks = createLooks(LOG_POLL_MS)

  const findRemote = (project: string, name: string) =>
    inProject(project, () =>
      on.db.read(async (tx) => (await http.find(tx, [name])).get(name) ?? (await remote.find(tx, [name])).get(name)),
    )

  const prepare: Tasks['prepare'] = (caller, asked, more) =>
    prepareTask({ ...on, findRemote, isOff: switches.isOff }, caller, asked, more?.door ?? null)

  const mine = (caller: Caller) => (seesAll(caller) ? undefined : personOf(caller))

  /** The filter as this caller may use it; a search has a floor, so that it costs the same however many runs there are. */
  async function bounded(tx: Tx, caller: Caller, filter: TaskFilter): Promise<store.Wanted> {
    const above = filter.q === undefined ? undefined : await searchFloor(tx, filter.created_before)
    const { batch, ...rest } = filter
    return { ...rest, of: mine(caller), above, numbers: batch === undefined ? undefined : await numbersOf(tx, batch) }
  }

  // There are no tasks of a batch that is none.
  async function numbersOf(tx: Tx, batch: string): Promise<[number, number]> {
    const row = await store.findBatch(tx, batch)
    return row ? [row.first_number, row.last_number] : [0, -1]
  }

  async function see(tx: Tx, caller: Caller, ref: Ref): Promise<TaskRow> {
    const row = await store.findTask(tx, ref)
    if (!row) throw new AppError('TASK_NOT_FOUND')
    if (!seesAll(caller) && row.executed_by_id !== personOf(caller)) throw new AppError('TASK_VIEW_DENIED')
    return row
  }

  async function seeDead(tx: Tx, ref: Ref): Promise<TaskRow> {
    const row = await store.findTask(tx, ref)
    if (!row) throw new AppError('TASK_NOT_FOUND')
    if (row.dead_at === null || row.purged_at !== null) throw new AppError('TASK_NOT_DEAD')
    return row
  }

  async function detail(asked: Asked, row: TaskRow): Promise<TaskDetail> {
    const [kept, steps] = await asked.read(async (tx) => [
      await store.listAttempts(tx, [row.id]),
      await store.listSteps(tx, row.id),
    ])
    // The fence of the caller's project held when the row was read.
    const [input, result] = await Promise.all([
      readJson(on.blobs, row.project_id, row.input, row.input_sha256),
      readJson(on.blobs, row.project_id, row.result, row.output_sha256),
    ])
    return {
      ...showTask(row),
      input: input ?? null,
      result: result ?? null,
      log: row.stdout_log,
      attempts: showAttempts(row, kept),
      steps: steps.map(showStep),
    }
  }

  /** Cancels tasks that nobody holds; answers which it could. */
  async function cancelWaiting(tx: Tx, caller: Caller, ids: readonly string[], reason: string | null): Promise<number> {
    const rows = await store.loadWork(tx, ids)
    const ending = { ...CANCELLED, error: reason === null ? 'Cancelled while it waited' : `Cancelled: ${reason}` }
    const settled = await settleWaiting(tx, queue, [...rows.values()], ending, caller, caller.at)
    tx.afterCommit(() => {
      for (const { id } of settled) waiting.settled(id)
    })
    return settled.length
  }

  /** Cancels these and all that they dispatched: what waits at once, what runs is asked to stop. */
  async function cancelAll(tx: Tx, caller: Caller, ids: readonly string[], reason: string): Promise<void> {
    for (let some = ids; some.length > 0; some = await held.listOpenChildren(tx, some)) {
      await cancelWaiting(tx, caller, some, reason)
      for (const [id, state] of await store.findStates(tx, some)) {
        if (isFinal(state) || !(await queue.stop(tx, id))) continue
        await store.updateTask(tx, id, { cancel_requested_at: caller.at, updated_at: caller.at })
      }
    }
  }

  async function seeBatch(tx: Tx, caller: Caller, id: string): Promise<store.BatchRow> {
    const row = await store.findBatch(tx, id)
    // Of others it is not told whether there is one.
    if (!row || (!seesAll(caller) && row.executed_by_id !== personOf(caller))) throw new AppError('BATCH_NOT_FOUND')
    return row
  }

  async function showBatch(tx: Tx, row: store.BatchRow): Promise<Batch> {
    return batchOf(row, (await store.countByState(tx, [row])).get(row.id))
  }

  function batchOf(row: store.BatchRow, counts: Partial<Record<RunState, number>> = {}): Batch {
    const of = (state: RunState) => counts[state] ?? 0
    return {
      id: row.id,
      executed_by_id: row.executed_by_id,
      created_at: rfc3339(row.created_at),
      total: row.last_number - row.first_number + 1,
      pending: of('pending'),
      running: of('running'),
      completed: of('completed'),
      failed: of('failed'),
      timeout: of('timeout'),
      cancelled: of('cancelled'),
      done: of('pending') + of('running') === 0,
    }
  }

  const knownQueue = async (tx: Tx, name: string) => {
    const row = (await store.listQueues(tx)).find((one) => one.name === name)
    if (!row) throw new AppError('QUEUE_UNKNOWN', { queue: name })
    return row
  }

  async function changePause(tx: Tx, caller: Caller, name: string, paused: boolean): Promise<Queue> {
    const done = await store.setPaused(tx, name, paused ? { at: caller.at, by: personOf(caller) } : null)
    if (!done) throw new AppError('QUEUE_UNKNOWN', { queue: name })
    const depth = (await depthsOf(tx, queue)).get(name)
    const shown = showQueue(await knownQueue(tx, name), depth)
    if (!done.changed) return shown
    await append(tx, caller.at, caller, {
      type: paused ? 'queue.paused' : 'queue.resumed',
      action: `${paused ? 'Paused' : 'Resumed'} queue: ${name}`,
      details: { queue: name, waiting: shown.waiting, delayed: shown.delayed },
    })
    return shown
  }

  async function replayRows(tx: Tx, caller: Caller, rows: readonly TaskRow[]): Promise<Submitted[]> {
    const names = rows.map((row) => row.handler)
    const theirs = new Map<string, Handler>([...(await remote.find(tx, names)), ...(await http.find(tx, names))])
    const handlerOf = (row: TaskRow): Handler => {
      const found = handlers.find(row.handler) ?? theirs.get(row.handler)
      if (!found) throw new AppError('TASK_UNKNOWN_HANDLER', { handler: row.handler })
      return found
    }
    const submitted = await accept(
      tx,
      rows.map((row) => ({
        caller,
        task: preparedFrom(row, handlerOf(row)),
        replays: { id: row.id, root: row.root_run_id },
      })),
    )
    if (rows.length > 0) await store.purgeDead(tx, { ids: rows.map((row) => row.id) }, caller.at)
    await appendAll(
      tx,
      await Promise.all(
        rows.map(async (row, i) => ({
          at: caller.at,
          by: caller,
          event: {
            type: 'run.replayed' as const,
            resource: { type: 'run', id: row.id, number: row.number },
            action: `Replayed task ${row.number} as task ${submitted[i]!.number}`,
            details: { handler: row.handler, queue: row.queue, replayed_as: submitted[i]!.id },
            run: { id: row.id, seq: await store.nextEvent(tx, row.id) },
          },
        })),
      ),
    )
    return submitted
  }

  return {
    handlers,
    remote,
    http,
    switches,
    prepare,
    submit,

    find: async (asked, ref) => detail(asked, await asked.read((tx) => see(tx, asked.caller, ref))),
    async wait(asked, ref, ms, gone) {
      const read = () => asked.read((tx) => see(tx, asked.caller, ref))
      const first = await read()
      return detail(asked, await waiting.until(first.id, read, ms, gone))
    },
    log: (asked, ref, place) => asked.read(async (tx) => readLog(tx, await see(tx, asked.caller, ref), place)),
    nextLog: (asked, ref, place, until) =>
      looks.until(
        JSON.stringify([asked.caller.project, mine(asked.caller), ref, place]),
        () => asked.read(async (tx) => readLog(tx, await see(tx, asked.caller, ref), place)),
        ({ chunks, complete }) => chunks.length > 0 || complete,
        until,
      ),
    async outcome(tx, ref) {
      const row = await store.findTask(tx, ref)
      if (!row) return undefined
      return { row, result: (await readResult(on, row.project_id, row)) ?? null }
    },
    list: async (tx, caller, filter, page) => store.listTasks(tx, await bounded(tx, caller, filter), page),
    count: async (tx, caller, filter) => store.countTasks(tx, await bounded(tx, caller, filter)),
    show: showTask,

    async cancel(tx, caller, ref, reason) {
      const row = await see(tx, caller, ref)
      if (isFinal(row.state)) throw new AppError('TASK_NOT_CANCELLABLE', { state: row.state })
      // Between a look and the next it may come back from its worker, or go to one.
      for (let tries = 1; (await cancelWaiting(tx, caller, [row.id], reason)) === 0; tries++) {
        // Somebody holds it. If its work ends before it hears, it ends as it did.
        if (await queue.stop(tx, row.id)) {
          if (row.cancel_requested_at === null)
            await store.updateTask(tx, row.id, { cancel_requested_at: caller.at, updated_at: caller.at })
          break
        }
        const { state } = await see(tx, caller, row.id)
        if (isFinal(state) || tries === CANCEL_TRIES) throw new AppError('TASK_NOT_CANCELLABLE', { state })
      }
      await cancelAll(tx, caller, await held.listOpenChildren(tx, [row.id]), `task ${row.number} was cancelled`)
      return showTask(await see(tx, caller, row.id))
    },

    async preview(tx, filter, open) {
      requireTaskFilter(filter)
      const found = open
        ? (await store.listOpen(tx, filter, MOST_COUNTED + 1)).length
        : await store.countUpTo(tx, filter, MOST_COUNTED + 1)
      return { count: Math.min(found, MOST_COUNTED), more: found > MOST_COUNTED }
    },
    async cancelMany(tx, caller, filter, limit, reason) {
      requireTaskFilter(filter)
      const rows = await store.listOpen(tx, filter, limit)
      const free = rows.filter(({ held }) => !held).map(({ id }) => id)
      const cancelled = await cancelWaiting(tx, caller, free, reason)
      let stopping = 0
      // One that was taken meanwhile is held now; in the order of ids, as everybody locks them.
      for (const { id } of rows)
        if (await queue.stop(tx, id)) {
          stopping++
          await store.updateTask(tx, id, { cancel_requested_at: caller.at, updated_at: caller.at })
        }
      const children = await held.listOpenChildren(
        tx,
        rows.map(({ id }) => id),
      )
      await cancelAll(tx, caller, children, 'what dispatched it was cancelled')
      // What was asked to stop is open until it has: it is none of those that are left to be asked.
      const left = (await store.listOpen(tx, filter, MOST_COUNTED + stopping)).length - stopping
      return { cancelled, stopping, left: Math.max(0, left) }
    },
    async replayEnded(tx, caller, filter, limit) {
      requireTaskFilter(filter)
      const rows = await store.listTasks(tx, filter, { limit, skip: 0, oldest: true })
      const submitted = await replayRows(tx, caller, rows)
      return submitted.map((one, i) => ({ ...one, replays_run_id: rows[i]!.id }))
    },

    requireDeadFilter: requireFilter,
    listDead: (tx, filter, page) => store.listTasks(tx, { ...filter, dead: true }, page),
    countDead: (tx, filter) => store.countTasks(tx, { ...filter, dead: true }),
    findDead: async (asked, ref) => detail(asked, await asked.read((tx) => seeDead(tx, ref))),
    async replay(tx, caller, ref) {
      const row = await seeDead(tx, ref)
      return (await replayRows(tx, caller, [row]))[0]!
    },
    async replayMany(tx, caller, filter, limit) {
      requireFilter(filter)
      const rows = await store.listTasks(tx, { ...filter, dead: true }, { limit, skip: 0, oldest: true })
      const submitted = await replayRows(tx, caller, rows)
      return {
        replayed: submitted.map((one, i) => ({ ...one, replays_run_id: rows[i]!.id })),
        left: await store.countTasks(tx, { ...filter, dead: true }),
      }
    },
    async purge(tx, caller, filter) {
      requireFilter(filter)
      const purged = await store.purgeDead(tx, filter, caller.at)
      if (purged > 0)
        await append(tx, caller.at, caller, {
          type: 'dead_letters.purged',
          action: `Purged dead letters: ${purged}`,
          details: { purged, filter: filter as Record<string, unknown> },
        })
      return { purged }
    },

    async listQueues(tx) {
      const found = await depthsOf(tx, queue)
      return (await store.listQueues(tx)).map((row) => showQueue(row, found.get(row.name)))
    },
    pauseQueue: (tx, caller, name) => changePause(tx, caller, name, true),
    resumeQueue: (tx, caller, name) => changePause(tx, caller, name, false),
    async limitQueue(tx, caller, name, concurrency) {
      const done = await store.setConcurrency(tx, name, concurrency)
      if (!done) throw new AppError('QUEUE_UNKNOWN', { queue: name })
      const shown = showQueue(await knownQueue(tx, name), (await depthsOf(tx, queue)).get(name))
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
      const cancelled = await cancelWaiting(tx, caller, ids, `queue ${name} was drained`)
      if (cancelled > 0)
        await append(tx, caller.at, caller, {
          type: 'queue.drained',
          action: `Drained queue: ${name}`,
          details: { queue: name, cancelled },
        })
      return { cancelled, left: await store.countWaiting(tx, name) }
    },

    async listBatches(tx, caller, page) {
      const rows = await store.listBatches(tx, mine(caller), page)
      const counts = await store.countByState(tx, rows)
      return rows.map((row) => batchOf(row, counts.get(row.id)))
    },
    countBatches: (tx, caller) => store.countBatches(tx, mine(caller)),
    batch: async (tx, caller, id) => showBatch(tx, await seeBatch(tx, caller, id)),
    async cancelBatch(tx, caller, id, limit) {
      const row = await seeBatch(tx, caller, id)
      await cancelAll(tx, caller, await store.listOpenOf(tx, row, limit), `batch ${row.id} was cancelled`)
      return showBatch(tx, row)
    },

    ...keys,
    admitDue: () =>
      admitDue(
        { db: on.db, queue, change: (project, work) => inProject(project, () => on.db.write(work)) },
        on.clock.now(),
      ),
    children: createChildren({ ...on, prepare, accept }),

    async expire(tx, runId) {
      const rows = await store.loadWork(tx, [runId])
      const settled = await settleWaiting(tx, queue, [...rows.values()], EXPIRED, SYSTEM, on.clock.now())
      tx.afterCommit(() => {
        for (const { id } of settled) waiting.settled(id)
      })
      return settled.length > 0
    },
  }
}

const LOG_POLL_MS = 250
const CANCEL_TRIES = 10

/** As many as a preview counts. */
const MOST_COUNTED = 10_000

/** A state alone would take all of them. */
function requireTaskFilter({ state: _, ...filter }: TaskFilter): void {
  if (Object.values(filter).every((value) => value === undefined)) throw new AppError('TASKS_UNFILTERED')
}

function requireFilter(filter: DeadFilter): void {
  if (Object.values(filter).every((value) => value === undefined)) throw new AppError('DEAD_LETTERS_UNFILTERED')
}

/** What a dead letter asked for, without the times that have passed. */
const preparedFrom = (row: TaskRow, handler: Handler): PreparedTask => ({
  handler: row.handler,
  queue: row.queue,
  remote: handler.source === 'worker',
  priority: row.priority,
  runAt: null,
  maxAttempts: row.max_attempts,
  timeoutMs: row.timeout_ms,
  deadlineAt: null,
  uniqueKey: row.unique_key,
  uniquePolicy: 'return',
  debounce: null,
  concurrencyKey: row.concurrency_key,
  keyLimits: handler.perKey ?? null,
  // What it waited for has ended.
  dependsOn: null,
  input: row.input,
  inputSha256: row.input_sha256!,
  inputSealed: row.input_sealed,
  tags: row.tags,
  metadata: row.metadata,
  callback: row.callback,
  door: row.door,
})
